"""The events of a page are normalised some at a time, ahead of being mapped, and never more of them than are wanted."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.config.schema import Route, Source
from gateway.deliver.loop import STAGE
from gateway.deliver.plan import Planner
from gateway.deliver.route import Router
from gateway.mapping.book import Book
from gateway.mapping.normalise import Normaliser
from gateway.model import Event, NormalEvent
from gateway.vendors.base import Draft
from tests.deliver.making import destination
from tests.deliver.town import Town
from tests.simulation.paper import Paper, PaperSettings
from tests.simulation.virtual import simulate

Log = list[tuple[str, int]]


class Telling(Normaliser):
    """Tells what it normalises."""

    def __init__(self, log: Log) -> None:
        super().__init__("shop", Source(), {}, Book({}))
        self._log = log

    def normal(self, event: Event) -> tuple[NormalEvent, ...]:
        self._log.append(("normalised", event.seq))
        return super().normal(event)


class Heard(Paper):
    """A vendor that tells what it makes records of."""

    log: Log

    def records(self, event: NormalEvent, documents: Sequence[Any] | None) -> Sequence[Draft]:
        self.log.append(("mapped", event.seq))
        return super().records(event, documents)


def town_that_tells(log: Log, **settings: Any) -> Town:
    town = Town(**settings)
    destination = town.setup.destinations["crm"]
    vendor = Heard("crm", PaperSettings(vendor="paper", **settings))
    vendor.log = log
    planner = Planner({"shop": Telling(log)}, Router([Route(events=["*"], to=["crm"])]), Book({}))
    town.setup = replace(town.setup, destinations={"crm": replace(destination, vendor=vendor)}, planner=planner)
    return town


def test_a_stage_is_normalised_before_any_of_it_is_mapped() -> None:
    async def act() -> None:
        log: Log = []
        async with town_that_tells(log, batch={"records": 100}) as town:
            await town.events(*({"key": f"k{n}", "n": n} for n in range(1, 151)))
            await town.settled()
        kinds = [kind for kind, _ in log]
        assert kinds == ["normalised"] * STAGE + ["mapped"] * STAGE + ["normalised"] * 50 + ["mapped"] * 50
        assert [seq for kind, seq in log if kind == "mapped"] == list(range(1, 151))

    simulate(act())


def test_a_lane_that_wants_only_a_few_has_only_those_normalised_and_none_twice() -> None:
    async def act() -> None:
        log: Log = []
        async with town_that_tells(log, batch={"records": 1}) as town:
            await town.events(*({"key": f"k{n}", "n": n} for n in range(1, 201)))
            await asyncio.sleep(0.5)
            ahead = [seq for kind, seq in log if kind == "normalised"]
            assert 0 < len(ahead) <= 64 + 10
            await town.settled()
        assert sorted(seq for kind, seq in log if kind == "normalised") == list(range(1, 201))

    simulate(act())


@pytest.mark.parametrize(
    ("routes", "times"),
    [([{"to": "crm"}], 2), ([{"to": "crm"}, {"to": "dwh"}], 1), ([{"to": "crm"}, {"from": "other", "to": "dwh"}], 2)],
)
def test_an_event_is_remembered_only_where_another_destination_may_want_it(routes: list[Any], times: int) -> None:
    log: Log = []
    router = Router([Route.model_validate(one) for one in routes])
    planner = Planner({"shop": Telling(log)}, router, Book({}))
    event = Event(1, "evt_1", "shop", "orders/create", 0, 0, "POST", "", (), b'{"key":"k","n":1}')
    for _ in range(2):
        for _ in range(2):
            prepared = planner.prepare(event)
        assert len(planner.plan(event, destination("crm"), 1, prepared=prepared).records) == 1
    assert log == [("normalised", 1)] * times
