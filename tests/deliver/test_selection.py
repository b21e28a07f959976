"""What an operator selects: names, times and states become lanes and ranges of seqs."""

import asyncio
from typing import Any

import pytest

from gateway.deliver.selection import CHOICES, Chosen, Selection, Ticket, choose
from gateway.errors import WrongSelection
from gateway.journal.base import Operation
from gateway.journal.ranges import bridged, clipped, without
from gateway.model import Event, LaneSpec, Ranges, State
from tests.deliver.town import Town
from tests.simulation.virtual import START_MS, simulate

TICKET = Ticket("rpl_0123456789abcdef", START_MS, "ada", "the CRM lost a day")


async def chosen(town: Town, **fields: Any) -> Chosen:
    return await choose(town.journal, town.setup, Selection(**fields), TICKET)


async def picked(town: Town, **fields: Any) -> Ranges:
    """The ranges of the one lane that there is."""
    return next((one.seqs for one in (await chosen(town, **fields)).replay.picked), ())


async def ids(town: Town, *seqs: int) -> tuple[str, ...]:
    events: list[Event | None] = [await town.journal.event(seq) for seq in seqs]
    return tuple(event.id for event in events if event is not None)


async def fourfold(town: Town) -> None:
    """Ten seconds apart: delivered, dead, filtered by an ended replay, delivered."""
    await town.event("a", 1)
    await asyncio.sleep(10)
    await town.event("b", 2, poison=True)
    await asyncio.sleep(10)
    await town.event("c", 3)
    await asyncio.sleep(10)
    await town.event("d", 4)
    await town.settled()


def test_a_range_of_time_becomes_a_range_of_seqs_on_each_live_lane() -> None:
    async def main() -> None:
        async with Town() as town:
            await fourfold(town)
            found = await chosen(town, from_ms=START_MS + 5_000, to_ms=START_MS + 25_000)
            assert found.lanes == (LaneSpec("shop", "crm", TICKET.id, start_seq=1, end_seq=4),)
            assert (found.replay.from_ms, found.replay.to_ms) == (START_MS + 5_000, START_MS + 25_000)
            assert (found.replay.id, found.replay.who, found.replay.note) == (TICKET.id, "ada", TICKET.note)

    simulate(main())


def test_what_an_event_is_on_its_lane_selects_it() -> None:
    async def main() -> None:
        async with Town() as town:
            await fourfold(town)
            assert await picked(town, states=(State.DEAD,)) == ((2, 2),)
            assert await picked(town, states=(State.DELIVERED,)) == ((1, 1), (3, 4))
            assert await picked(town, states=(State.DELIVERED, State.DEAD)) == ((1, 4),)
            assert await picked(town, states=(State.DISCARDED,)) == ()

    simulate(main())


def test_events_are_selected_by_id_in_whatever_order() -> None:
    async def main() -> None:
        async with Town() as town:
            await fourfold(town)
            assert await picked(town, ids=await ids(town, 4, 1)) == ((1, 1), (4, 4))
            assert await picked(town, ids=await ids(town, 1, 2), states=(State.DEAD,)) == ((2, 2),)

    simulate(main())


def test_what_waits_or_is_parked_goes_anyway_and_is_not_selected() -> None:
    async def main() -> None:
        async with Town(batch={"records": 1}) as town:
            await town.events(*({"key": f"k{n}", "n": n} for n in range(40)))
            await asyncio.sleep(2)
            await town.close()
            (lane,) = await town.journal.lanes()
            assert 0 < lane.cursor < 40
            assert await picked(town, source="shop") == ((1, lane.cursor),)
            assert (await chosen(town, ids=await ids(town, 40))).lanes == ()

    simulate(main())


def test_only_what_is_there_and_meant_makes_a_lane() -> None:
    async def main() -> None:
        async with Town() as town:
            await fourfold(town)
            assert (await chosen(town, types=("thing.*",))).lanes != ()
            assert (await chosen(town, types=("order.*",))).lanes == ()
            assert (await chosen(town, when="data.n > `3`")).lanes != ()
            assert (await chosen(town, when="data.n > `4`")).lanes == ()
            assert (await chosen(town, from_ms=START_MS + 60_000)).lanes == ()
            assert (await chosen(town, to_ms=START_MS)).lanes == ()

    simulate(main())


def test_a_lane_that_has_ended_is_not_selected() -> None:
    async def main() -> None:
        async with Town() as town:
            await fourfold(town)
            await town.journal.change_lane(1, Operation(START_MS, "ada", "end", ""))
            assert (await chosen(town, source="shop")).lanes == ()

    simulate(main())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"source": "shpo"}, "there is no source shpo: did you mean `shop`?"),
        ({"destination": "lake"}, "there is no destination lake: there is: crm"),
        ({"ids": ("evt_1",)}, "'evt_1' is no event's id: those begin with evt_"),
        ({"ids": ("evt_" + "0" * 20,)}, "there is no event evt_00000000000000000000"),
        ({"types": ("",)}, "a type is a glob of 1 to 200 characters"),
        ({"states": (State.PARKED,)}, "what is parked goes anyway: the states to select are delivered"),
        ({"from_ms": 2, "to_ms": 2}, "`from` is not before `to`"),
        ({"when": "data.n >"}, "when: "),
    ],
)
def test_a_selection_that_cannot_be_read_is_refused_with_what_would_be_right(fields: dict[str, Any], said: str) -> None:
    async def main() -> None:
        async with Town() as town:
            with pytest.raises(WrongSelection) as caught:
                await chosen(town, **fields)
            assert said in str(caught.value)

    simulate(main())


def test_nothing_given_names_nothing() -> None:
    assert not Selection().names_something()
    assert not Selection(every_state=True).names_something()
    assert Selection(source="shop").names_something()
    assert set(CHOICES) == set(State) - {State.WAITING, State.PARKED}


def test_ranges_are_cut_bridged_and_lose_what_is_not_wanted() -> None:
    assert clipped([(1, 4), (6, 9)], 2, 7) == ((3, 4), (6, 7))
    assert clipped([(1, 4)], 4, 9) == ()
    assert without([(1, 4), (6, 9)], [1, 3, 5, 9]) == ((2, 2), (4, 4), (6, 8))
    assert without([(1, 2)], [1, 2]) == ()
    assert without([(5, 6)], []) == ((5, 6),)
    assert bridged([(1, True), (4, True), (5, False), (9, True)]) == ((1, 4), (9, 9))
    assert bridged([]) == ()
