"""Keeping: what is over goes, what is needed stays, and the books go on to balance."""

from gateway.journal.base import DeadFilter, Journal
from gateway.model import Counts, Intent, LaneSpec, State
from tests.journal.making import (
    DAY_MS,
    NOW_MS,
    WEEK_MS,
    Lanehand,
    accept,
    by,
    dead_ids,
    group,
    keep_all,
    offer,
    row,
    rules,
    tried,
)

LATER_MS = NOW_MS + 40 * DAY_MS


async def _seqs(journal: Journal) -> list[int]:
    return [event.seq for event in (await journal.read(0, limit=10_000)).events]


async def test_nothing_is_over_in_an_empty_journal(journal: Journal) -> None:
    kept = await journal.keep(rules(NOW_MS, keep_ms=0, identities_ms=0, attempts_ms=0, dead_ms=0))
    assert not kept.more


async def test_settled_events_go_when_they_are_old(hand: Lanehand) -> None:
    await accept(hand.journal, 3)
    await accept(hand.journal, 1, received_at_ms=LATER_MS)
    await hand.deliver(1, 4)
    kept = await keep_all(hand.journal, rules(LATER_MS, keep_ms=30 * DAY_MS))
    assert kept.events == 3
    assert await _seqs(hand.journal) == [4]
    assert await hand.journal.event(2) is None
    assert (await hand.audited()).balanced


async def test_waiting_events_stay_however_old(hand: Lanehand) -> None:
    for _ in range(4):
        await accept(hand.journal, 1)
    await hand.deliver(1, 2)
    await keep_all(hand.journal, rules(LATER_MS, keep_ms=DAY_MS))
    assert await _seqs(hand.journal) == [3, 4]


async def test_the_slowest_lane_of_a_source_decides(journal: Journal) -> None:
    fast, slow = await Lanehand.on(journal), await Lanehand.on(journal, destination="lake")
    for _ in range(4):
        await accept(journal, 1)
    await fast.deliver(1, 4)
    await slow.deliver(1, 1)
    await keep_all(journal, rules(LATER_MS, keep_ms=DAY_MS))
    assert await _seqs(journal) == [2, 3, 4]
    await journal.change_lane(slow.lane.id, by("end"))
    await keep_all(journal, rules(LATER_MS, keep_ms=DAY_MS))
    assert await _seqs(journal) == [4]
    assert all(one.balanced for one in await journal.audit())


async def test_a_finished_replay_keeps_nothing_back(journal: Journal) -> None:
    hand = await Lanehand.on(journal)
    for _ in range(4):
        await accept(journal, 1)
    await journal.register([LaneSpec("shop", "crm", "replay-1", start_seq=0, end_seq=0)])
    await hand.deliver(1, 4)
    await keep_all(journal, rules(LATER_MS, keep_ms=DAY_MS))
    assert await _seqs(journal) == [4]


async def test_events_of_a_source_without_lanes_go_by_age_alone(journal: Journal) -> None:
    await accept(journal, 2)
    await accept(journal, 1, received_at_ms=LATER_MS)
    await keep_all(journal, rules(LATER_MS, keep_ms=DAY_MS))
    assert await _seqs(journal) == [3]


async def test_the_head_never_goes_back(hand: Lanehand) -> None:
    for _ in range(3):
        await accept(hand.journal, 1)
    await hand.deliver(1, 3)
    await keep_all(hand.journal, rules(LATER_MS, keep_ms=0))
    assert (await hand.journal.head()).seq == 3
    (receipt,) = await accept(hand.journal, 1)
    assert receipt.seq == 4


async def test_an_event_that_a_row_needs_stays_until_the_row_is_gone(hand: Lanehand) -> None:
    for _ in range(4):
        await accept(hand.journal, 1)
    await hand.settle(3, counts=Counts(delivered=1), parked=[row(1, state=State.DEAD), row(3)], attempts=[tried(2)])
    await hand.deliver(4, 4)
    await keep_all(hand.journal, rules(LATER_MS, keep_ms=DAY_MS))
    assert await _seqs(hand.journal) == [1, 3, 4]
    await hand.journal.discard(DeadFilter(), by("discard"))
    await keep_all(hand.journal, rules(LATER_MS, keep_ms=DAY_MS))
    assert await _seqs(hand.journal) == [3, 4]
    assert (await hand.audited()).balanced


async def test_a_waiting_event_beyond_all_patience_becomes_dead_and_goes(hand: Lanehand) -> None:
    for _ in range(3):
        await accept(hand.journal, 2)
    await accept(hand.journal, 1, received_at_ms=LATER_MS)
    await hand.settle(1, ahead=((3, 3),), counts=Counts(delivered=2), attempts=[tried(1), tried(3)])
    kept = await keep_all(hand.journal, rules(LATER_MS, keep_ms=DAY_MS, keep_at_most_ms=30 * DAY_MS))
    assert kept.expired == 4
    lane = await hand.seen()
    assert (lane.cursor, lane.ahead, lane.counts) == (6, (), Counts(delivered=2, dead=4))
    letters = [one async for one in hand.journal.dead(DeadFilter(reason="expired"))]
    assert [(one.row.seq, one.row.at_ms) for one in letters] == [(seq, LATER_MS) for seq in (2, 4, 5, 6)]
    assert await _seqs(hand.journal) == [7]
    assert (await hand.audited()).balanced


async def test_an_expired_letter_still_tells_its_event_and_cannot_be_retried(hand: Lanehand) -> None:
    (receipt,) = await accept(hand.journal, 1)
    await accept(hand.journal, 1, received_at_ms=LATER_MS)
    await keep_all(hand.journal, rules(LATER_MS, keep_ms=DAY_MS, keep_at_most_ms=30 * DAY_MS))
    (letter,) = [one async for one in hand.journal.dead(DeadFilter())]
    assert letter.event_id == receipt.id
    assert await hand.journal.retry(DeadFilter(), by("retry")) == 0
    assert (await hand.seen()).counts == Counts(dead=1)


async def test_letters_that_cannot_be_retried_are_in_nobody_s_way(hand: Lanehand) -> None:
    await accept(hand.journal, 3)
    await accept(hand.journal, 2, received_at_ms=LATER_MS)
    await keep_all(hand.journal, rules(LATER_MS, keep_ms=DAY_MS, keep_at_most_ms=30 * DAY_MS))
    expired = await dead_ids(hand.journal)
    await hand.seen()
    await hand.settle(5, parked=[row(seq, state=State.DEAD) for seq in (4, 5)])
    assert len(expired) == 3
    assert await hand.journal.retry(DeadFilter(limit=1), by("retry")) == 1
    assert await hand.journal.retry(DeadFilter(limit=1), by("retry")) == 1
    assert await hand.journal.retry(DeadFilter(limit=1), by("retry")) == 0
    assert await dead_ids(hand.journal) == expired


async def test_many_waiting_events_expire_slice_by_slice(hand: Lanehand) -> None:
    await accept(hand.journal, 700)
    await accept(hand.journal, 300, source="erp")
    await accept(hand.journal, 1, received_at_ms=LATER_MS)
    kept = await keep_all(hand.journal, rules(LATER_MS, keep_at_most_ms=DAY_MS))
    assert kept.expired == 700
    assert (await hand.audited()).balanced


async def test_a_log_that_is_too_large_loses_its_settled_events_first(hand: Lanehand) -> None:
    body = bytes(range(256))
    for number in range(10):
        await hand.journal.append(group(offer(body=body * number + bytes([number]) * 256)))
    await hand.deliver(1, 8)
    kept = await keep_all(hand.journal, rules(NOW_MS, max_bytes=1))
    assert kept.events == 9
    assert kept.expired == 2
    assert await _seqs(hand.journal) == [10]
    assert (await hand.seen()).counts == Counts(delivered=8, dead=2)
    assert (await hand.audited()).balanced


async def test_a_log_that_fits_loses_nothing(hand: Lanehand) -> None:
    await accept(hand.journal, 5)
    await hand.deliver(1, 3)
    kept = await keep_all(hand.journal, rules(NOW_MS, max_bytes=1 << 20))
    assert (kept.events, kept.expired) == (0, 0)


async def test_identities_are_forgotten_when_no_window_reaches_them(journal: Journal) -> None:
    for day in range(20):
        await journal.append(group(offer(f"day-{day}", received_at_ms=NOW_MS + day * DAY_MS)))
    now_ms = NOW_MS + 20 * DAY_MS
    kept = await keep_all(journal, rules(now_ms, identities_ms=WEEK_MS))
    assert kept.identities >= 9
    receipts = await journal.append(
        group(offer("day-19", received_at_ms=now_ms), offer("day-14", received_at_ms=now_ms))
    )
    assert [one.duplicate for one in receipts] == [True, True]


async def test_the_audit_balances_when_attempts_are_gone(hand: Lanehand) -> None:
    await accept(hand.journal, 60)
    for first in range(1, 41, 10):
        await hand.deliver(first, first + 9, at_ms=NOW_MS + first)
    await hand.settle(41, parked=[row(41, "a"), row(41, "b", State.DEAD)], attempts=[tried(41, State.PARKED, "a")])
    kept = await keep_all(hand.journal, rules(LATER_MS, attempts_ms=30 * DAY_MS))
    assert kept.attempts == 5
    audited = await hand.audited()
    assert (audited.removed, audited.recounted) == (40, Counts(parked=1))
    assert audited.balanced
    await hand.settle(resolved=[(41, "a", State.DELIVERED), (41, "b", State.SUPERSEDED)], at_ms=LATER_MS)
    assert (await hand.seen()).counts == Counts(delivered=41)
    assert (await hand.audited()).balanced
    await hand.deliver(42, 60, at_ms=LATER_MS)
    audited = await hand.audited()
    assert (audited.removed, audited.recounted, audited.balanced) == (41, Counts(delivered=19), True)


async def test_an_event_whose_attempts_are_gone_is_not_shown_as_something_it_may_not_be(hand: Lanehand) -> None:
    await accept(hand.journal, 1)
    await hand.deliver(1, 1)
    await keep_all(hand.journal, rules(LATER_MS, attempts_ms=DAY_MS))
    view = await hand.journal.view(1)
    assert view is not None
    assert view.lanes == ()


async def test_the_audit_balances_when_skips_and_discards_are_gone(hand: Lanehand) -> None:
    await accept(hand.journal, 20)
    await hand.settle(4, counts=Counts(delivered=3), parked=[row(4, state=State.DEAD)], attempts=map(tried, (1, 2, 3)))
    await hand.journal.discard(DeadFilter(), by("discard"))
    await hand.journal.change_lane(hand.lane.id, by("skip"))
    await accept(hand.journal, 1)
    await hand.seen()
    await hand.deliver(21, 21)
    await keep_all(hand.journal, rules(LATER_MS, attempts_ms=DAY_MS))
    audited = await hand.audited()
    assert (audited.removed, audited.recounted) == (21, Counts())
    assert audited.balanced
    assert audited.booked == Counts(delivered=4, discarded=17)


async def test_dead_letters_go_when_they_are_old_and_their_events_stay_dead(hand: Lanehand) -> None:
    await accept(hand.journal, 3)
    rows = [row(1, state=State.DEAD), row(2, "a", State.DEAD), row(2, "b"), row(3, state=State.DEAD, at_ms=LATER_MS)]
    await hand.settle(3, parked=rows)
    kept = await keep_all(hand.journal, rules(LATER_MS, dead_ms=30 * DAY_MS))
    assert kept.dead == 2
    assert len(await dead_ids(hand.journal)) == 1
    assert (await hand.seen()).counts == Counts(dead=2, parked=1)
    assert (await hand.audited()).balanced
    await hand.settle(resolved=[(2, "b", State.DELIVERED)], attempts=[tried(2, part="b")])
    assert (await hand.seen()).counts == Counts(dead=3)
    assert (await hand.audited()).balanced
    for days in (90, 180):
        await keep_all(hand.journal, rules(LATER_MS + days * DAY_MS, attempts_ms=DAY_MS, dead_ms=DAY_MS))
    audited = await hand.audited()
    assert (audited.removed, audited.balanced) == (3, True)


async def test_everything_goes_in_the_end_and_the_books_balance(journal: Journal) -> None:
    hands = [await Lanehand.on(journal), await Lanehand.on(journal, destination="lake")]
    for number in range(30):
        await journal.append(group(*(offer(f"{number}-{n}", source="shop" if n % 3 else "erp") for n in range(7))))
    events = (await journal.read(0, sources=["shop"], limit=1_000)).events
    for hand in hands:
        attempts = [tried(event.seq) for event in events]
        await hand.settle(210, counts=Counts(delivered=len(events)), attempts=attempts)
    await accept(journal, 1, received_at_ms=LATER_MS)
    everything = rules(LATER_MS, keep_ms=0, identities_ms=0, attempts_ms=0, dead_ms=0)
    await keep_all(journal, everything)
    assert await _seqs(journal) == [211]
    for audited in await journal.audit():
        assert (audited.expected, audited.removed, audited.balanced) == (len(events), len(events), True)
    assert [one.waiting for one in await journal.lane_rows()] == [1, 1]


async def test_what_was_intended_for_a_lane_that_has_ended_goes(journal: Journal) -> None:
    hand, other = await Lanehand.on(journal), await Lanehand.on(journal, destination="lake")
    await accept(journal, 2)
    ids = (hand.lane.id, other.lane.id)
    await journal.intend(hand.lease, [_intent(b"a", hand.lane.id), _intent(b"b", *ids), _intent(b"c", other.lane.id)])
    await keep_all(journal, rules(LATER_MS))
    assert [one.key for one in await journal.intents(ids)] == [b"a", b"b", b"c"]
    await journal.change_lane(hand.lane.id, by("end"))
    await keep_all(journal, rules(NOW_MS))
    assert [one.key for one in await journal.intents(ids)] == [b"b", b"c"]
    await journal.change_lane(other.lane.id, by("end"))
    await keep_all(journal, rules(NOW_MS))
    assert await journal.intents(ids) == ()


def _intent(key: bytes, *lanes: int) -> Intent:
    return Intent(key, "account-of-crm", "crm", "once", "", "", 1, tuple((lane, 1, "order") for lane in lanes))
