"""Which destinations want an event, through which mappings, and when at the earliest."""

from msgspec.structs import replace

from gateway.config.schema import Route
from gateway.deliver.route import Router, Targets
from gateway.model import NormalEvent

EVENT = NormalEvent("evt_1", 1, "shop", "order.created", "7", "2026-01-02T03:04:05Z", "orders/create", "order", {}, 0)


def targets(*routes: dict[str, object]) -> Targets:
    return Router([Route.model_validate(one) for one in routes]).targets(EVENT)


def test_every_route_that_matches_counts_and_each_mapping_once() -> None:
    assert targets(
        {"to": "crm"}, {"to": ["crm", {"destination": "crm", "map": "mine"}]}, {"events": "customer.*", "to": "other"}
    ) == {"crm": {None: 0.0, "mine": 0.0}}


def test_what_is_known_of_a_type_does_not_decide_for_its_next_event_or_another_source() -> None:
    router = Router(
        [
            Route.model_validate(one)
            for one in ({"to": "large", "when": "data.total > `9`"}, {"from": "shop", "to": "mine"}, {"to": "all"})
        ]
    )

    def wanted(**changes: object) -> list[str]:
        return list(router.targets(replace(EVENT, **changes)))

    assert wanted(held={"total": 10}) == ["large", "mine", "all"]
    assert wanted(held={"total": 1}) == ["mine", "all"]
    assert wanted(held={"total": 10}, source="other") == ["large", "all"]
    assert wanted(held={"total": 10}) == ["large", "mine", "all"]


def test_what_one_event_was_told_is_its_own() -> None:
    router = Router([Route.model_validate({"to": "crm"})])
    router.targets(EVENT)["crm"]["mine"] = 1.0
    assert router.targets(EVENT) == {"crm": {None: 0.0}}


def test_of_several_holds_of_one_destination_and_mapping_the_longest_counts() -> None:
    assert targets(
        {"to": "crm", "hold": "10m"},
        {"to": ["crm", {"destination": "crm", "map": "mine"}]},
        {"to": "crm", "hold": "5m"},
    ) == {"crm": {None: 600.0, "mine": 0.0}}
