"""The desk: what operators see and change."""

import pytest

from gateway.errors import JournalConflict, JournalError
from gateway.journal.base import DeadFilter, DeadGroup, EventFilter, Journal
from gateway.model import Counts, LaneSpec, State
from tests.journal.making import NOW_MS, Lanehand, accept, by, dead_ids, group, offer, rejection, row, tried


async def _seqs(journal: Journal, which: EventFilter) -> list[int]:
    return [event.seq for event in await journal.events(which)]


async def test_events_are_listed_newest_first_and_paged(journal: Journal) -> None:
    await accept(journal, 4)
    await accept(journal, 3)
    assert await _seqs(journal, EventFilter()) == [7, 6, 5, 4, 3, 2, 1]
    assert await _seqs(journal, EventFilter(limit=3)) == [7, 6, 5]
    assert await _seqs(journal, EventFilter(limit=3, before_seq=5)) == [4, 3, 2]


async def test_events_are_found_by_source_topic_and_time(journal: Journal) -> None:
    await journal.append(
        group(
            offer(source="shop", topic="orders/create", received_at_ms=1_000),
            offer(source="erp", topic="orders/create", received_at_ms=2_000),
            offer(source="shop", topic="orders/paid", received_at_ms=3_000),
        )
    )
    await accept(journal, 1, received_at_ms=4_000)
    assert await _seqs(journal, EventFilter(source="shop")) == [4, 3, 1]
    assert await _seqs(journal, EventFilter(topic="orders/create")) == [4, 2, 1]
    assert await _seqs(journal, EventFilter(from_ms=2_000, to_ms=3_000)) == [3, 2]
    assert await _seqs(journal, EventFilter(source="shop", topic="orders/paid", from_ms=2_500)) == [3]
    assert await _seqs(journal, EventFilter(source="nobody")) == []


async def test_an_event_is_shown_on_every_lane_of_its_source(journal: Journal) -> None:
    crm, lake = await Lanehand.on(journal), await Lanehand.on(journal, destination="lake")
    await journal.register([LaneSpec("erp", "crm")])
    await accept(journal, 3)
    await journal.register([LaneSpec("shop", "later")])
    await crm.settle(1, counts=Counts(filtered=1), attempts=[tried(1, State.FILTERED, "")])
    await lake.settle(1, parked=[row(1, "a"), row(1, "b", State.DEAD)], attempts=[tried(1, State.PARKED, "a")])
    view = await journal.view(1)
    assert view is not None
    assert view.event.seq == 1
    assert [(lane.destination, state, len(rows), len(attempts)) for lane, state, rows, attempts in view.lanes] == [
        ("crm", State.FILTERED, 0, 1),
        ("lake", State.PARKED, 2, 1),
    ]
    waiting = await journal.view(2)
    assert waiting is not None
    assert [state for _, state, _, _ in waiting.lanes] == [State.WAITING, State.WAITING]
    assert await journal.view(99) is None


async def test_an_event_shows_its_attempts_oldest_first(hand: Lanehand) -> None:
    await accept(hand.journal, 1)
    await hand.settle(1, parked=[row(1)], attempts=[tried(1, State.PARKED)], at_ms=NOW_MS)
    await hand.settle(parked=[row(1, attempt=2)], attempts=[tried(1, State.PARKED)], at_ms=NOW_MS + 5)
    await hand.settle(resolved=[(1, "order", State.DELIVERED)], attempts=[tried(1)], at_ms=NOW_MS + 9)
    view = await hand.journal.view(1)
    assert view is not None
    ((_, state, rows, attempts),) = view.lanes
    assert (state, rows) == (State.DELIVERED, ())
    assert [(one.at_ms - NOW_MS, one.attempt.outcome) for one in attempts] == [
        (0, "parked"),
        (5, "parked"),
        (9, "delivered"),
    ]


async def test_an_attempt_shows_the_configuration_that_was_in_force(hand: Lanehand) -> None:
    await accept(hand.journal, 2)
    await hand.settle(1, parked=[row(1, state=State.DEAD)], attempts=[tried(1, State.DEAD)], config="0123456789ab")
    await hand.settle(2, counts=Counts(delivered=1), attempts=[tried(2)], config="ba9876543210")
    await hand.journal.retry(DeadFilter(), by("retry"))
    await hand.seen()
    await hand.settle(resolved=[(1, "order", State.DELIVERED)], attempts=[tried(1)], config="ba9876543210")
    assert await _configs(hand.journal, 1) == ["0123456789ab", "ba9876543210"]
    assert await _configs(hand.journal, 2) == ["ba9876543210"]


async def test_what_no_configuration_did_shows_none(hand: Lanehand) -> None:
    await accept(hand.journal, 2)
    await hand.settle(1, parked=[row(1, state=State.DEAD)], attempts=[tried(1, State.DEAD)])
    await hand.journal.discard(DeadFilter(), by("discard"))
    assert await _configs(hand.journal, 1) == ["", ""]


async def _configs(journal: Journal, seq: int) -> list[str]:
    view = await journal.view(seq)
    assert view is not None
    ((_, _, _, attempts),) = view.lanes
    return [one.config for one in attempts]


async def test_a_skipped_and_a_discarded_event_are_shown_as_discarded(hand: Lanehand) -> None:
    await accept(hand.journal, 2)
    await hand.settle(1, parked=[row(1, state=State.DEAD)])
    await hand.journal.discard(DeadFilter(), by("discard"))
    await hand.journal.change_lane(hand.lane.id, by("skip"))
    for seq in (1, 2):
        view = await hand.journal.view(seq)
        assert view is not None
        assert view.lanes[0][1] is State.DISCARDED


async def test_dead_letters_are_listed_whole_with_their_lane_and_event(hand: Lanehand) -> None:
    (receipt, _) = await accept(hand.journal, 2)
    letter = row(1, state=State.DEAD, mapping="ometria/order")
    await hand.settle(2, parked=[letter, row(2)])
    (found,) = [one async for one in hand.journal.dead(DeadFilter())]
    assert (found.row, found.event_id) == (letter, receipt.id)
    assert found.lane == await hand.seen()


async def test_dead_letters_are_found_by_id_reason_source_and_destination(journal: Journal) -> None:
    crm, erp = await Lanehand.on(journal), await Lanehand.on(journal, source="erp", destination="lake")
    await accept(journal, 2)
    await accept(journal, 1, source="erp")
    await crm.settle(2, parked=[row(1, state=State.DEAD, reason="too_large"), row(2, state=State.DEAD)])
    await erp.settle(3, parked=[row(3, state=State.DEAD)])
    ids = await dead_ids(journal)
    assert len(ids) == 3
    assert await dead_ids(journal, DeadFilter(ids=(ids[1], "999", "no-id"))) == [ids[1]]
    assert await dead_ids(journal, DeadFilter(ids=("no-id",))) == []
    assert await dead_ids(journal, DeadFilter(reason="too_large")) == [ids[0]]
    assert await dead_ids(journal, DeadFilter(source="erp")) == [ids[2]]
    assert await dead_ids(journal, DeadFilter(destination="crm", reason="record_refused")) == [ids[1]]


async def test_more_dead_letters_than_a_page_are_all_listed(hand: Lanehand) -> None:
    await accept(hand.journal, 250)
    await hand.settle(250, parked=[row(seq, state=State.DEAD) for seq in range(1, 251)])
    assert len(await dead_ids(hand.journal)) == 250


async def test_dead_letters_are_counted_by_lane_and_reason_most_first(journal: Journal) -> None:
    crm, erp = await Lanehand.on(journal), await Lanehand.on(journal, source="erp", destination="lake")
    await accept(journal, 4)
    await accept(journal, 1, source="erp")
    times = (NOW_MS + 7, NOW_MS, NOW_MS + 3)
    refused = [row(seq, state=State.DEAD, at_ms=at_ms) for seq, at_ms in zip((1, 2, 3), times, strict=True)]
    await crm.settle(4, parked=[*refused, row(4, "a", State.DEAD, reason="too_large"), row(4, "b")])
    await erp.settle(5, parked=[row(5, state=State.DEAD)])
    groups = await journal.dead_groups(DeadFilter())
    assert groups[0] == DeadGroup("shop", "crm", "record_refused", 3, NOW_MS, NOW_MS + 7)
    assert set(groups[1:]) == {
        DeadGroup("shop", "crm", "too_large", 1, NOW_MS, NOW_MS),
        DeadGroup("erp", "lake", "record_refused", 1, NOW_MS, NOW_MS),
    }
    (too_large,) = await journal.dead_groups(DeadFilter(reason="too_large"))
    assert (too_large.destination, too_large.count) == ("crm", 1)
    assert sum(one.count for one in await journal.dead_groups(DeadFilter(to_ms=NOW_MS + 3))) == 4
    assert await journal.dead_groups(DeadFilter(source="nobody")) == ()


async def test_at_most_so_many_dead_letters_are_listed_and_changed_oldest_first(hand: Lanehand) -> None:
    await accept(hand.journal, 500)
    await hand.settle(500, parked=[row(seq, state=State.DEAD) for seq in range(1, 501)])
    ids = await dead_ids(hand.journal)
    assert await dead_ids(hand.journal, DeadFilter(limit=250)) == ids[:250]
    assert await hand.journal.discard(DeadFilter(limit=3), by("discard")) == 3
    assert await dead_ids(hand.journal) == ids[3:]
    assert await hand.journal.retry(DeadFilter(limit=250), by("retry")) == 250
    assert await dead_ids(hand.journal) == ids[253:]
    assert await hand.journal.retry(DeadFilter(limit=250), by("retry")) == 247
    assert await hand.journal.retry(DeadFilter(limit=250), by("retry")) == 0
    assert (await hand.audited()).balanced


async def test_all_dead_parts_of_an_event_are_retried_together_whatever_the_limit(hand: Lanehand) -> None:
    await accept(hand.journal, 2)
    await hand.settle(2, parked=[row(seq, part, State.DEAD) for seq in (1, 2) for part in "abc"])
    assert await hand.journal.retry(DeadFilter(limit=1), by("retry")) == 3
    assert await hand.journal.discard(DeadFilter(limit=2), by("discard")) == 2
    assert (await hand.audited()).balanced


async def test_what_died_again_meanwhile_is_not_taken_twice(hand: Lanehand) -> None:
    await accept(hand.journal, 3)
    await hand.settle(3, parked=[row(seq, state=State.DEAD) for seq in (1, 2, 3)])
    which = DeadFilter(limit=1, to_ms=NOW_MS)
    assert await hand.journal.retry(which, by("retry", NOW_MS + 5)) == 1
    await hand.seen()
    await hand.settle(parked=[row(1, state=State.DEAD, at_ms=NOW_MS + 9)])
    assert await hand.journal.retry(which, by("retry", NOW_MS + 5)) == 1
    assert [one.row.seq async for one in hand.journal.dead(DeadFilter())] == [1, 3]
    assert len(await dead_ids(hand.journal, which)) == 1


async def test_a_lane_is_paused_and_resumed(hand: Lanehand) -> None:
    seen = await hand.journal.head()
    paused = await hand.journal.change_lane(hand.lane.id, by("pause"))
    assert (paused.paused, paused.changed, paused.version) == (True, 1, 0)
    assert (await hand.journal.wait(seen, 5)).operations > seen.operations
    assert not (await hand.journal.change_lane(hand.lane.id, by("resume"))).paused


async def test_what_was_in_flight_when_a_lane_was_paused_can_still_settle(hand: Lanehand) -> None:
    await accept(hand.journal, 1)
    await hand.journal.change_lane(hand.lane.id, by("pause"))
    assert (await hand.deliver(1, 1)).paused


async def test_skipping_discards_what_waits_and_nothing_else(hand: Lanehand) -> None:
    await accept(hand.journal, 10)
    await accept(hand.journal, 3, source="erp")
    attempts = [tried(1), tried(4), tried(5)]
    await hand.settle(2, ahead=((4, 5),), counts=Counts(delivered=3), parked=[row(2)], attempts=attempts)
    lane = await hand.journal.change_lane(hand.lane.id, by("skip"))
    assert (lane.cursor, lane.ahead) == (13, ())
    assert lane.counts == Counts(delivered=3, parked=1, discarded=6)
    assert (await hand.audited()).balanced
    await accept(hand.journal, 1)
    await hand.seen()
    await hand.deliver(14, 14)
    assert (await hand.audited()).balanced


async def test_who_was_settling_a_skipped_lane_has_to_read_it_again(hand: Lanehand) -> None:
    await accept(hand.journal, 2)
    await hand.journal.change_lane(hand.lane.id, by("skip"))
    with pytest.raises(JournalConflict):
        await hand.deliver(1, 1)


async def test_skipping_twice_discards_once(hand: Lanehand) -> None:
    await accept(hand.journal, 2)
    await hand.journal.change_lane(hand.lane.id, by("skip"))
    lane = await hand.journal.change_lane(hand.lane.id, by("skip"))
    assert lane.counts == Counts(discarded=2)
    assert (await hand.audited()).balanced


async def test_skipping_a_lane_that_ends_stays_within_it(journal: Journal) -> None:
    await accept(journal, 10)
    hand = await Lanehand.on(journal, kind="replay-1", start_seq=2, end_seq=6)
    lane = await journal.change_lane(hand.lane.id, by("skip"))
    assert (lane.cursor, lane.counts) == (6, Counts(discarded=4))
    assert (await hand.audited()).balanced


async def test_ending_a_lane_discards_all_it_holds(hand: Lanehand) -> None:
    await accept(hand.journal, 300)
    rows = [row(seq, state=State.DEAD if seq % 2 else State.PARKED) for seq in range(1, 251)]
    await hand.settle(250, parked=rows)
    lane = await hand.journal.change_lane(hand.lane.id, by("end"))
    assert (lane.ended, lane.counts) == (True, Counts(discarded=300))
    assert await dead_ids(hand.journal) == []
    assert await hand.journal.parked(lane.id) == ()
    await accept(hand.journal, 5)
    (figures,) = await hand.journal.lane_rows()
    assert figures.waiting == 0
    assert (await hand.audited()).balanced


async def test_an_ended_lane_stays_ended(hand: Lanehand) -> None:
    await accept(hand.journal, 1)
    await hand.journal.change_lane(hand.lane.id, by("end"))
    assert (await hand.journal.change_lane(hand.lane.id, by("end"))).ended
    for what in ("pause", "resume", "skip"):
        with pytest.raises(JournalError):
            await hand.journal.change_lane(hand.lane.id, by(what))
    await hand.seen()
    with pytest.raises(JournalConflict):
        await hand.settle(2)


async def test_what_is_not_known_is_not_done(hand: Lanehand) -> None:
    with pytest.raises(JournalError):
        await hand.journal.change_lane(hand.lane.id + 1, by("pause"))
    with pytest.raises(ValueError, match="explode"):
        await hand.journal.change_lane(hand.lane.id, by("explode"))


async def test_the_last_refused_requests_of_each_source_are_kept(journal: Journal) -> None:
    for first in range(0, 1_050, 150):
        await journal.append(group(rejections=[rejection(at_ms=first + number) for number in range(150)]))
    await journal.append(group(offer(), rejections=[rejection("erp")]))
    assert [one.source for one in await journal.rejected(None, 2)] == ["erp", "shop"]
    kept = await journal.rejected("shop", 5_000)
    assert [one.at_ms for one in kept] == list(range(1_049, 49, -1))
    assert len(await journal.rejected("shop")) == 100


async def test_a_refused_request_is_kept_as_it_was_and_once(journal: Journal) -> None:
    one = rejection(cause="ip_not_allowed")
    offered = group(offer(), rejections=[one])
    await journal.append(offered)
    await journal.append(offered)
    assert await journal.rejected("shop") == (one,)
