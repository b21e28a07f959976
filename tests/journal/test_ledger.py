"""The ledger: whatever happens, every event of a lane is in exactly one state, and a recount finds the same."""

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.journal.base import DeadFilter, Journal
from gateway.model import SETTLED, Counts, LaneSpec, State
from tests.journal.bookkeeper import Bookkeeper
from tests.journal.engines import ENGINES
from tests.journal.making import Lanehand, accept, by, opened, row, tried

Step = tuple[str, list[int]]

KINDS = ("take", "take", "settle", "settle", "attempt", "retry", "discard", "remap", "late", "keep", "skip")
STEPS = st.lists(st.tuples(st.sampled_from(KINDS), st.lists(st.integers(0, 99), min_size=1, max_size=6)), max_size=25)
EXAMPLES = {"memory": 120, "sqlite": 25, "postgres": 8}


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_the_books_balance_after_every_step(engine: str) -> None:
    @settings(max_examples=EXAMPLES.get(engine, 25), deadline=None)
    @given(STEPS)
    def hold(steps: list[Step]) -> None:
        asyncio.run(_play(engine, [("take", [1] * 5), *steps]))

    hold()


async def _play(engine: str, steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with opened(ENGINES[engine](Path(folder))) as journal:
            books = Bookkeeper(journal, await Lanehand.on(journal))
            for what, draw in steps:
                books.now_ms += 1_000
                await getattr(books, what)(draw)
                await books.check()


async def test_each_state_is_booked_and_found_again(hand: Lanehand) -> None:
    await accept(hand.journal, 8)
    await hand.settle(
        5,
        counts=Counts(delivered=1, filtered=1, superseded=1),
        parked=[row(4), row(5, state=State.DEAD)],
        attempts=[tried(1), tried(2, State.FILTERED, ""), tried(3, State.SUPERSEDED), tried(4, State.PARKED)],
    )
    await hand.journal.change_lane(hand.lane.id, by("skip"))
    audited = await hand.audited()
    assert audited.booked == Counts(delivered=1, filtered=1, superseded=1, parked=1, dead=1, discarded=3)
    assert (audited.recounted, audited.expected, audited.removed) == (audited.booked, 8, 0)
    assert (audited.balanced, audited.why) == (True, "")


async def test_a_lane_that_nothing_has_happened_to_balances(journal: Journal) -> None:
    await journal.register([LaneSpec("shop", "crm"), LaneSpec("nobody", "crm")])
    await accept(journal, 2)
    assert [(one.expected, one.waiting, one.balanced) for one in await journal.audit()] == [
        (0, 2, True),
        (0, 0, True),
    ]


async def test_a_settle_that_books_too_much_is_found(hand: Lanehand) -> None:
    await accept(hand.journal, 2)
    await hand.settle(2, counts=Counts(delivered=3), attempts=[tried(1), tried(2)])
    audited = await hand.audited()
    assert not audited.balanced
    assert audited.why == "2 events are settled, 3 are booked; delivered: booked 3, found 2"


async def test_a_settle_that_forgets_an_event_is_found(hand: Lanehand) -> None:
    await accept(hand.journal, 2)
    await hand.settle(2, counts=Counts(delivered=1), attempts=[tried(1)])
    assert not (await hand.audited()).balanced


async def test_a_settle_that_calls_an_event_what_it_is_not_is_found(hand: Lanehand) -> None:
    await accept(hand.journal, 1)
    await hand.settle(1, counts=Counts(delivered=1), attempts=[tried(1, State.FILTERED, "")])
    audited = await hand.audited()
    assert audited.why == "delivered: booked 1, found 0; filtered: booked 0, found 1"


async def test_events_of_other_sources_are_not_expected(hand: Lanehand) -> None:
    await accept(hand.journal, 2, source="erp")
    await accept(hand.journal, 1)
    await accept(hand.journal, 2, source="erp")
    await hand.settle(5, counts=Counts(delivered=1), attempts=[tried(3)])
    assert ((await hand.audited()).expected, (await hand.audited()).balanced) == (1, True)


async def test_a_lane_that_begins_inside_a_group_balances(journal: Journal) -> None:
    await accept(journal, 10)
    hand = await Lanehand.on(journal, kind="replay-1", start_seq=3, end_seq=8)
    await hand.settle(6, ahead=((8, 8),), counts=Counts(delivered=4), attempts=[tried(seq) for seq in (4, 5, 6, 8)])
    audited = await hand.audited()
    assert (audited.expected, audited.waiting, audited.balanced) == (4, 1, True)


async def test_the_counts_hold_every_state_but_waiting(hand: Lanehand) -> None:
    assert set(Counts.__struct_fields__) == {str(state) for state in SETTLED}
    assert [one async for one in hand.journal.dead(DeadFilter())] == []
