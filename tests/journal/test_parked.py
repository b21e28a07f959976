"""What waits for its next attempt, and what was given up."""

from gateway.journal.base import DeadFilter
from gateway.model import Counts, State
from tests.journal.making import NOW_MS, Lanehand, accept, by, dead_ids, row, tried


async def _with_dead(hand: Lanehand, number: int) -> None:
    await accept(hand.journal, number)
    rows = [row(seq, state=State.DEAD, attempt=4) for seq in range(1, number + 1)]
    await hand.settle(number, parked=rows, attempts=[tried(seq, State.DEAD) for seq in range(1, number + 1)])


async def test_parked_rows_come_in_the_order_of_their_events(hand: Lanehand) -> None:
    await accept(hand.journal, 3)
    await hand.settle(3, parked=[row(3), row(1, "b"), row(2), row(1, "a")])
    found = [(one.seq, one.part) for one in await hand.journal.parked(hand.lane.id)]
    assert found == [(1, "a"), (1, "b"), (2, "order"), (3, "order")]
    assert len(await hand.journal.parked(hand.lane.id, limit=2)) == 2


async def test_only_the_rows_asked_for_are_given_whole(hand: Lanehand) -> None:
    await accept(hand.journal, 2)
    await hand.settle(2, parked=[row(1), row(2, record=None)])
    refs = [(2, "order"), (1, "order"), (1, "gone"), (9, "order")]
    found = await hand.journal.parked(hand.lane.id, refs)
    assert [(one.seq, one.record, one.answer) for one in found] == [
        (1, b'{"id":"1"}', b"<h1>no</h1>"),
        (2, None, b"<h1>no</h1>"),
    ]


async def test_an_unknown_lane_has_nothing_parked(hand: Lanehand) -> None:
    assert await hand.journal.parked(hand.lane.id + 7) == ()


async def test_a_retried_letter_is_due_now_and_mapped_anew_under_a_new_generation(hand: Lanehand) -> None:
    await _with_dead(hand, 1)
    before = await hand.journal.head()
    assert await hand.journal.retry(DeadFilter(), by("retry", NOW_MS + 7)) == 1
    (parked,) = await hand.journal.parked(hand.lane.id, [(1, "order")])
    assert (parked.state, parked.record, parked.due_at_ms) == (State.PARKED, None, NOW_MS + 7)
    assert (parked.attempt, parked.first_failed_at_ms, parked.generation) == (0, NOW_MS + 7, 1)
    assert not parked.every_state
    lane = await hand.seen()
    assert lane.counts == Counts(parked=1)
    assert lane.changed == 1
    assert (await hand.journal.head()).operations > before.operations
    assert (await hand.audited()).balanced


async def test_all_dead_parts_of_an_event_are_retried_together(hand: Lanehand) -> None:
    await accept(hand.journal, 1)
    await hand.settle(1, parked=[row(1, "a", State.DEAD), row(1, "b", State.DEAD), row(1, "c")])
    (first, _) = await dead_ids(hand.journal)
    assert await hand.journal.retry(DeadFilter(ids=(first,)), by("retry"), every_state=True) == 2
    rows = await hand.journal.parked(hand.lane.id, [(1, part) for part in "abc"])
    found = [(one.part, one.record is None, one.every_state) for one in rows]
    assert found == [("a", True, True), ("b", True, True), ("c", False, False)]


async def test_a_discarded_letter_is_gone_for_good(hand: Lanehand) -> None:
    await _with_dead(hand, 3)
    first, second, _ = await dead_ids(hand.journal)
    assert await hand.journal.discard(DeadFilter(ids=(first, second)), by("discard")) == 2
    assert (await hand.seen()).counts == Counts(discarded=2, dead=1)
    assert await hand.journal.retry(DeadFilter(ids=(first,)), by("retry")) == 0
    assert (await hand.audited()).balanced


async def test_a_letter_discarded_beside_a_delivered_part_leaves_the_event_delivered(hand: Lanehand) -> None:
    await accept(hand.journal, 1)
    attempts = [tried(1, part="a"), tried(1, State.DEAD, "b")]
    await hand.settle(1, parked=[row(1, "b", State.DEAD, delivered_parts=("a",))], attempts=attempts)
    await hand.journal.discard(DeadFilter(), by("discard"))
    assert (await hand.seen()).counts == Counts(delivered=1)
    assert (await hand.audited()).balanced


async def test_a_letter_discarded_beside_a_parked_part_leaves_the_event_parked(hand: Lanehand) -> None:
    await accept(hand.journal, 1)
    await hand.settle(1, parked=[row(1, "a"), row(1, "b", State.DEAD)])
    await hand.journal.discard(DeadFilter(), by("discard"))
    assert (await hand.seen()).counts == Counts(parked=1)
    lane = await hand.settle(resolved=[(1, "a", State.SUPERSEDED)])
    assert lane.counts == Counts(superseded=1)
    assert (await hand.audited()).balanced


async def test_what_waits_is_not_a_dead_letter(hand: Lanehand) -> None:
    await accept(hand.journal, 1)
    await hand.settle(1, parked=[row(1)])
    assert await dead_ids(hand.journal) == []
    assert await hand.journal.discard(DeadFilter(), by("discard")) == 0


async def test_many_letters_are_retried_and_discarded_whole(hand: Lanehand) -> None:
    await _with_dead(hand, 450)
    assert await hand.journal.retry(DeadFilter(), by("retry")) == 450
    assert (await hand.seen()).counts == Counts(parked=450)
    await hand.settle(parked=[row(seq, state=State.DEAD) for seq in range(1, 451)])
    assert await hand.journal.discard(DeadFilter(), by("discard")) == 450
    assert (await hand.seen()).counts == Counts(discarded=450)
    assert (await hand.audited()).balanced


async def test_a_letter_whose_lane_has_ended_is_not_retried(hand: Lanehand) -> None:
    await _with_dead(hand, 1)
    await hand.journal.change_lane(hand.lane.id, by("end"))
    assert await hand.journal.retry(DeadFilter(), by("retry")) == 0
