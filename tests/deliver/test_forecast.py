"""What a replay would come to, counted before it begins, against what it then does."""

import random
from typing import Any

import pytest

from gateway.deliver.forecast import Forecast, Load, forecast, requests_for, seconds_at_pace
from gateway.deliver.selection import Selection, Ticket, choose
from gateway.model import State
from gateway.vendors.base import BatchRules, Limit
from tests.deliver.town import BY, Town
from tests.simulation.virtual import START_MS, simulate

TICKET = Ticket("rpl_0123456789abcdef", START_MS, "ada")
RULES = BatchRules(records=10, body_bytes=1000, record_bytes=500)


async def counted(town: Town, events_max: int | None = None, **fields: Any) -> Forecast:
    chosen = await choose(town.journal, town.setup, Selection(**fields), TICKET)
    return await forecast(town.journal, town.setup, chosen, events_max=events_max)


def _bodies(chance: random.Random, number: int) -> list[dict[str, Any]]:
    return [{"key": f"k{chance.randrange(20)}", "n": n, "poison": chance.random() < 0.1} for n in range(number)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "fields", [{"source": "shop"}, {"source": "shop", "every_state": True}, {"when": "data.n > `30`"}]
)
def test_what_is_counted_is_what_then_happens(seed: int, fields: dict[str, Any]) -> None:
    async def main() -> None:
        async with Town() as town:
            await town.events(*_bodies(random.Random(seed), 60))
            await town.settled()
            told = await counted(town, **fields)
            chosen = await choose(town.journal, town.setup, Selection(**fields), TICKET)
            (lane,) = await town.journal.replay(chosen.replay, chosen.lanes, BY)
            before = len(town.site.applied)
            await town.settled()
            states = list((await town.states(lane)).values())
            assert told.superseded == states.count(State.SUPERSEDED)
            assert told.records == states.count(State.DELIVERED) + states.count(State.DEAD)
            assert told.events == len(states) - states.count(State.FILTERED)
            assert len(town.site.applied) - before == states.count(State.DELIVERED)
            assert told.whole
            assert (told.superseded > 0) is not fields.get("every_state", False)

    simulate(main())


def test_an_old_state_is_old_by_what_came_after_the_selected_time_too() -> None:
    async def main() -> None:
        async with Town() as town:
            await town.event("a", 1)
            await town.event("b", 2)
            await town.event("a", 3)
            await town.settled()
            first = await town.journal.event(1)
            assert first is not None
            told = await counted(town, ids=(first.id,))
            assert (told.events, told.records, told.superseded) == (1, 0, 1)
            assert (await counted(town, ids=(first.id,), every_state=True)).records == 1

    simulate(main())


def test_counting_stops_where_it_is_told_to() -> None:
    async def main() -> None:
        async with Town() as town:
            await town.events(*({"key": f"k{n}", "n": n} for n in range(30)))
            await town.settled()
            told = await counted(town, events_max=12, source="shop")
            assert (told.whole, told.events) == (False, 12)
            assert (await counted(town, source="shop")).whole

    simulate(main())


def test_a_full_batch_is_as_many_records_or_bytes_as_may_be() -> None:
    assert requests_for(RULES, 25, 100, alone=False) == 3
    assert requests_for(RULES, 25, 9_100, alone=False) == 10
    assert requests_for(RULES, 25, 100, alone=True) == 25
    assert requests_for(RULES, 0, 0, alone=False) == 0


def test_the_tightest_limit_says_how_long_it_takes() -> None:
    loads = [Load("", "order", "default", 100), Load("", "customer", "dear", 50)]
    assert seconds_at_pace([], loads) == 0
    assert seconds_at_pace([Limit(10, 1.0)], loads) == pytest.approx(15.3)
    assert seconds_at_pace([Limit(10, 1.0), Limit(5, 1.0, cost={"dear": 2})], loads) == pytest.approx(40.8)
    assert seconds_at_pace([Limit(10, 1.0, scope="channel")], loads) == pytest.approx(10.2)
    assert seconds_at_pace([Limit(10, 1.0, classes=frozenset({"dear"}))], loads) == pytest.approx(5.1)
