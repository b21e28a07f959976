"""Settling: fenced, whole, and counted from the rows."""

import pytest
from msgspec.structs import replace

from gateway.errors import JournalConflict
from gateway.journal.base import AttemptRow, DeadFilter, Journal
from gateway.model import Attempt, Counts, Intent, LaneSettle, Settlement, State
from tests.journal.making import NOW_MS, Lanehand, accept, by, offer, row, tried


def _step(hand: Lanehand, cursor: int, **fields: int) -> LaneSettle:
    version = fields.get("version", hand.lane.version)
    attempts = tuple(tried(seq) for seq in range(hand.lane.cursor + 1, cursor + 1))
    return LaneSettle(hand.lane.id, version, cursor, (), Counts(delivered=len(attempts)), attempts=attempts)


async def test_delivered_events_are_counted(hand: Lanehand) -> None:
    await accept(hand.journal, 5)
    lane = await hand.deliver(1, 5)
    assert (lane.cursor, lane.counts, lane.version) == (5, Counts(delivered=5), 1)
    assert (await hand.audited()).balanced


async def test_a_holder_of_an_old_lease_settles_nothing(hand: Lanehand) -> None:
    await accept(hand.journal, 1)
    await hand.journal.claim(hand.lease.account, "you", hand.lease)
    with pytest.raises(JournalConflict):
        await hand.deliver(1, 1)
    assert (await hand.seen()).cursor == 0


async def test_a_released_lease_settles_nothing(hand: Lanehand) -> None:
    await accept(hand.journal, 1)
    await hand.journal.renew([hand.lease], release=True)
    with pytest.raises(JournalConflict):
        await hand.deliver(1, 1)
    with pytest.raises(JournalConflict):
        await hand.journal.settle(Settlement(replace(hand.lease, owner=""), NOW_MS, (_step(hand, 1),)))


async def test_a_settle_on_an_old_version_is_a_conflict(hand: Lanehand) -> None:
    await accept(hand.journal, 2)
    before = hand.lane
    await hand.deliver(1, 1)
    hand.lane = before
    with pytest.raises(JournalConflict):
        await hand.deliver(1, 1)
    assert (await hand.seen()).counts.delivered == 1


async def test_a_settle_over_several_lanes_is_all_or_nothing(journal: Journal) -> None:
    one, two = await Lanehand.on(journal), await Lanehand.on(journal, destination="lake")
    await accept(journal, 2)
    steps = (_step(one, 2), _step(two, 2, version=99))
    with pytest.raises(JournalConflict):
        await journal.settle(Settlement(one.lease, NOW_MS, steps))
    assert (await one.seen()).cursor == 0
    lanes = await journal.settle(Settlement(one.lease, NOW_MS, (_step(one, 2), _step(two, 1))))
    assert [(lane.id, lane.cursor) for lane in lanes] == [(one.lane.id, 2), (two.lane.id, 1)]


async def test_a_settle_that_does_not_change_a_lane_is_possible(hand: Lanehand) -> None:
    assert await hand.journal.settle(Settlement(hand.lease, NOW_MS, ())) == ()


async def test_a_parked_record_is_found_with_everything(hand: Lanehand) -> None:
    await accept(hand.journal, 1)
    parked = row(1, "order:7", mapping="ometria/order", generation=2, delivered_parts=("customer:9",))
    lane = await hand.settle(1, parked=[parked], attempts=[tried(1, State.PARKED, "order:7")])
    assert lane.counts == Counts(parked=1)
    assert await hand.journal.parked(lane.id, [(1, "order:7")]) == (parked,)
    (light,) = await hand.journal.parked(lane.id)
    assert light == replace(parked, record=None, answer=b"", detail="")


async def test_a_dead_record_is_counted_and_not_among_the_parked(hand: Lanehand) -> None:
    await accept(hand.journal, 1)
    lane = await hand.settle(1, parked=[row(1, state=State.DEAD)], attempts=[tried(1, State.DEAD)])
    assert lane.counts == Counts(dead=1)
    assert await hand.journal.parked(lane.id) == ()
    assert await hand.journal.parked(lane.id, [(1, "order")]) == ()
    assert (await hand.audited()).balanced


async def test_a_parked_record_that_is_delivered_leaves_the_event_delivered(hand: Lanehand) -> None:
    await accept(hand.journal, 1)
    await hand.settle(1, parked=[row(1)])
    lane = await hand.settle(resolved=[(1, "order", State.DELIVERED)], attempts=[tried(1)])
    assert lane.counts == Counts(delivered=1)
    assert await hand.journal.parked(lane.id) == ()
    assert (await hand.audited()).balanced


async def test_a_resolved_row_is_recounted_even_when_no_attempt_tells_of_it(hand: Lanehand) -> None:
    await accept(hand.journal, 1)
    await hand.settle(1, parked=[row(1)])
    lane = await hand.settle(resolved=[(1, "order", State.SUPERSEDED)])
    assert lane.counts == Counts(superseded=1)
    assert (await hand.audited()).balanced


async def test_a_row_is_written_over_by_its_part(hand: Lanehand) -> None:
    await accept(hand.journal, 1)
    await hand.settle(1, parked=[row(1)])
    await hand.settle(parked=[row(1, attempt=2, due_at_ms=NOW_MS + 60_000, detail="again")])
    (parked,) = await hand.journal.parked(hand.lane.id, [(1, "order")])
    assert (parked.attempt, parked.due_at_ms, parked.detail) == (2, NOW_MS + 60_000, "again")
    assert (await hand.seen()).counts == Counts(parked=1)


async def test_an_event_is_parked_while_any_part_is_then_dead_then_delivered(hand: Lanehand) -> None:
    await accept(hand.journal, 1)
    lane = await hand.settle(1, parked=[row(1, "a"), row(1, "b", State.DEAD), row(1, "c")])
    assert lane.counts == Counts(parked=1)
    lane = await hand.settle(resolved=[(1, "a", State.DELIVERED)])
    assert lane.counts == Counts(parked=1)
    lane = await hand.settle(resolved=[(1, "c", State.SUPERSEDED)])
    assert lane.counts == Counts(dead=1)
    lane = await hand.settle(resolved=[(1, "b", State.SUPERSEDED)])
    assert lane.counts == Counts(delivered=1)
    assert (await hand.audited()).balanced


async def test_siblings_learn_which_parts_are_delivered(hand: Lanehand) -> None:
    await accept(hand.journal, 2)
    await hand.settle(2, parked=[row(1, "a"), row(1, "b", delivered_parts=("z",)), row(1, "c"), row(2, "a")])
    await hand.settle(resolved=[(1, "a", State.DELIVERED)], parked=[row(1, "c", attempt=2)])
    known = {(one.seq, one.part): set(one.delivered_parts) for one in await hand.journal.parked(hand.lane.id)}
    assert known == {(1, "b"): {"z", "a"}, (1, "c"): {"z", "a"}, (2, "a"): set()}


async def test_the_parts_delivered_beside_a_parked_one_count_when_it_goes(hand: Lanehand) -> None:
    await accept(hand.journal, 1)
    await hand.settle(
        1, parked=[row(1, "b", delivered_parts=("a",))], attempts=[tried(1, part="a"), tried(1, State.PARKED, "b")]
    )
    lane = await hand.settle(resolved=[(1, "b", State.SUPERSEDED)], attempts=[tried(1, State.SUPERSEDED, "b")])
    assert lane.counts == Counts(delivered=1)
    assert (await hand.audited()).balanced


async def test_a_row_that_an_operator_has_discarded_is_passed_over(hand: Lanehand) -> None:
    await accept(hand.journal, 1)
    await hand.settle(1, parked=[row(1, state=State.DEAD)])
    await hand.journal.discard(DeadFilter(), by("discard"))
    lane = await hand.settle(resolved=[(1, "order", State.DELIVERED)], attempts=[tried(1)])
    assert lane.counts == Counts(discarded=1)
    assert (await hand.audited()).balanced


async def test_a_row_for_an_event_that_is_closed_does_not_open_it(hand: Lanehand) -> None:
    await accept(hand.journal, 2)
    await hand.deliver(1, 1)
    lane = await hand.settle(parked=[row(1)], attempts=[tried(1, State.PARKED)])
    assert lane.counts == Counts(delivered=1)
    assert await hand.journal.parked(lane.id) == ()
    assert (await hand.audited()).balanced


async def test_a_row_for_an_event_that_still_waits_is_a_mistake(hand: Lanehand) -> None:
    await accept(hand.journal, 2)
    with pytest.raises(ValueError, match="still waiting"):
        await hand.settle(1, counts=Counts(delivered=1), attempts=[tried(1)], parked=[row(2)])
    assert (await hand.seen()).version == 0


async def test_a_cursor_does_not_go_back(hand: Lanehand) -> None:
    await accept(hand.journal, 2)
    await hand.deliver(1, 2)
    with pytest.raises(ValueError, match="go back"):
        await hand.settle(1)


async def test_attempts_at_an_event_that_still_waits_are_seen_and_not_counted(hand: Lanehand) -> None:
    await accept(hand.journal, 2)
    await hand.settle(1, counts=Counts(delivered=1), attempts=[tried(1), Attempt(2, "a", "parked", 503, 80, "busy")])
    assert (await hand.audited()).balanced
    view = await hand.journal.view(2)
    assert view is not None
    ((_, state, rows, attempts),) = view.lanes
    assert (state, rows) == (State.WAITING, ())
    assert attempts == (AttemptRow(NOW_MS, Attempt(2, "a", "parked", 503, 80, "busy")),)


async def test_intents_end_with_the_settle(hand: Lanehand) -> None:
    intents = [
        Intent(key, hand.lease.account, "crm", "once", "send", "", 1, ((hand.lane.id, 1, "order"),))
        for key in (b"a", b"b")
    ]
    await hand.journal.intend(hand.lease, intents)
    await hand.settle(intents_done=(b"a",))
    assert await hand.journal.intents([hand.lane.id]) == (intents[1],)


async def test_derived_events_are_appended_with_the_settle(hand: Lanehand) -> None:
    (first,) = await accept(hand.journal, 1)
    derived = offer("d", derived_from=first.id)
    await hand.settle(
        1, counts=Counts(delivered=1), attempts=[tried(1)], derived=(derived, replace(derived, received_at_ms=NOW_MS))
    )
    page = await hand.journal.read(1)
    assert [(event.seq, event.derived_from, event.body) for event in page.events] == [(2, first.id, derived.body)]


async def test_a_settle_that_conflicts_derives_nothing(hand: Lanehand) -> None:
    await accept(hand.journal, 1)
    with pytest.raises(JournalConflict):
        await hand.journal.settle(Settlement(hand.lease, NOW_MS, (_step(hand, 1, version=9),), derived=(offer("d"),)))
    assert (await hand.journal.head()).seq == 1


async def test_settles_with_the_same_derived_body_each_derive(hand: Lanehand) -> None:
    await accept(hand.journal, 2)
    for seq in (1, 2):
        await hand.settle(seq, counts=Counts(delivered=1), attempts=[tried(seq)], derived=(offer(body=b"same"),))
    assert (await hand.journal.head()).seq == 4
