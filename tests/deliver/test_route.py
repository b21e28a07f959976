"""Which destinations want an event, through which mappings, and when at the earliest."""

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


def test_of_several_holds_of_one_destination_and_mapping_the_longest_counts() -> None:
    assert targets(
        {"to": "crm", "hold": "10m"},
        {"to": ["crm", {"destination": "crm", "map": "mine"}]},
        {"to": "crm", "hold": "5m"},
    ) == {"crm": {None: 600.0, "mine": 0.0}}
