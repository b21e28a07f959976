"""Accepting: each event once, in order, whole groups or nothing."""

import pytest

from gateway.errors import GroupRefused
from gateway.journal.admission import EVENT_BYTES_MAX
from gateway.journal.base import Journal
from gateway.model import event_id, seq_of
from tests.journal.making import DAY_MS, HOUR_MS, NOW_MS, WEEK_MS, accept, group, offer, rejection


async def test_the_first_event_has_seq_1_and_an_id_that_tells_it(journal: Journal) -> None:
    first = group(offer("a"))
    (receipt,) = await journal.append(first)
    assert (receipt.seq, receipt.duplicate) == (1, False)
    assert receipt.id == event_id(1, first.id)
    assert seq_of(receipt.id) == 1


async def test_events_have_seqs_in_the_order_they_were_offered(journal: Journal) -> None:
    one = await accept(journal, 3)
    two = await accept(journal, 2, source="erp")
    assert [receipt.seq for receipt in (*one, *two)] == [1, 2, 3, 4, 5]
    assert (await journal.head()).seq == 5


async def test_a_retry_in_a_later_group_is_told_the_first_id(journal: Journal) -> None:
    (first,) = await journal.append(group(offer("a")))
    (other, again) = await journal.append(group(offer("b"), offer("a")))
    assert (other.seq, other.duplicate) == (2, False)
    assert (again.seq, again.id, again.duplicate) == (1, first.id, True)


async def test_a_retry_within_one_group_is_recognised(journal: Journal) -> None:
    receipts = await journal.append(group(offer("a"), offer("a"), offer("b"), offer("a")))
    assert [(one.seq, one.duplicate) for one in receipts] == [(1, False), (1, True), (2, False), (1, True)]
    assert (await journal.head()).seq == 2


async def test_what_is_stored_of_a_group_with_retries_are_its_events(journal: Journal) -> None:
    receipts = await journal.append(group(offer("a"), offer("a"), offer("b")))
    page = await journal.read(0)
    assert [(event.seq, event.id) for event in page.events] == [
        (receipts[0].seq, receipts[0].id),
        (receipts[2].seq, receipts[2].id),
    ]
    assert [event.body for event in page.events] == [b'{"note":"a"}', b'{"note":"b"}']


async def test_a_group_of_retries_only_leaves_no_trace(journal: Journal) -> None:
    await journal.append(group(offer("a"), offer("b")))
    receipts = await journal.append(group(offer("b"), offer("a")))
    assert [(one.seq, one.duplicate) for one in receipts] == [(2, True), (1, True)]
    assert (await journal.head()).seq == 2


async def test_the_same_identity_in_another_source_is_another_event(journal: Journal) -> None:
    receipts = await journal.append(group(offer("a", source="shop"), offer("a", source="erp")))
    assert [one.duplicate for one in receipts] == [False, False]


async def test_requests_without_an_identity_are_always_new(journal: Journal) -> None:
    receipts = await journal.append(group(offer(body=b"same"), offer(body=b"same")))
    assert [one.duplicate for one in receipts] == [False, False]


async def test_a_retry_is_recognised_until_its_window_is_over(journal: Journal) -> None:
    await journal.append(group(offer("a", identity_window_ms=HOUR_MS)))
    (late,) = await journal.append(group(offer("a", identity_window_ms=HOUR_MS, received_at_ms=NOW_MS + HOUR_MS - 1)))
    (later,) = await journal.append(group(offer("a", identity_window_ms=HOUR_MS, received_at_ms=NOW_MS + HOUR_MS)))
    assert (late.duplicate, later.duplicate) == (True, False)


async def test_the_window_is_the_retrys_own(journal: Journal) -> None:
    await journal.append(group(offer("a", identity_window_ms=HOUR_MS)))
    (again,) = await journal.append(group(offer("a", identity_window_ms=WEEK_MS, received_at_ms=NOW_MS + 2 * HOUR_MS)))
    assert again.duplicate


async def test_an_identity_taken_anew_is_recognised_as_the_newer_event(journal: Journal) -> None:
    await journal.append(group(offer("a")))
    (newer,) = await journal.append(group(offer("a", received_at_ms=NOW_MS + WEEK_MS)))
    (again,) = await journal.append(group(offer("a", received_at_ms=NOW_MS + WEEK_MS + 1)))
    assert not newer.duplicate
    assert (again.duplicate, again.seq) == (True, newer.seq)


async def test_retries_are_recognised_over_days_of_other_traffic(journal: Journal) -> None:
    for day in range(12):
        await journal.append(group(offer(f"day-{day}", received_at_ms=NOW_MS + day * DAY_MS)))
    now_ms = NOW_MS + 11 * DAY_MS
    receipts = await journal.append(group(*(offer(f"day-{day}", received_at_ms=now_ms) for day in range(12))))
    assert [one.duplicate for one in receipts] == [False] * 5 + [True] * 7


async def test_a_clock_that_jumps_far_ahead_and_back_forgets_nothing(journal: Journal) -> None:
    await journal.append(group(offer("a")))
    await journal.append(group(offer("b", received_at_ms=NOW_MS + 3650 * DAY_MS)))
    receipts = await journal.append(group(offer("a", received_at_ms=NOW_MS + HOUR_MS), offer("c"), offer("b")))
    assert [one.duplicate for one in receipts] == [True, False, True]


async def test_a_group_offered_again_comes_back_as_it_was_taken(journal: Journal) -> None:
    await journal.append(group(offer("old")))
    mixed = group(offer("a"), offer("old"), offer(), offer("a"), offer("b"))
    receipts = await journal.append(mixed)
    assert await journal.append(mixed) == receipts
    assert (await journal.head()).seq == 4


async def test_a_group_without_identities_that_is_offered_again_is_taken_once(journal: Journal) -> None:
    nameless = group(offer(), offer(), rejections=[rejection()])
    receipts = await journal.append(nameless)
    await journal.append(group(offer("a")))
    assert await journal.append(nameless) == receipts
    assert (await journal.head()).seq == 3
    assert len(await journal.rejected("shop")) == 1


async def test_a_group_offered_again_is_recognised_although_its_identities_are_newer_now(journal: Journal) -> None:
    first = group(offer("a"))
    receipts = await journal.append(first)
    await journal.append(group(offer("a", received_at_ms=NOW_MS + WEEK_MS)))
    assert await journal.append(first) == receipts


async def test_a_group_may_hold_rejections_alone(journal: Journal) -> None:
    assert await journal.append(group(rejections=[rejection()])) == ()
    assert len(await journal.rejected("shop")) == 1
    assert (await journal.head()).seq == 0


async def test_what_can_never_be_stored_is_named_and_nothing_of_its_group_is_taken(journal: Journal) -> None:
    bad = group(offer("a"), offer("b", topic="orders\0create"), offer("c", source="sh\0p"))
    with pytest.raises(GroupRefused) as caught:
        await journal.append(bad)
    assert sorted(caught.value.faults) == [1, 2]
    assert (await journal.read(0)).events == ()
    (receipt,) = await journal.append(group(offer("a")))
    assert not receipt.duplicate


async def test_text_that_is_not_unicode_is_refused(journal: Journal) -> None:
    with pytest.raises(GroupRefused) as caught:
        await journal.append(group(offer(), offer(query="x=\ud800"), offer(headers=(("x-note", "\udfff"),))))
    assert sorted(caught.value.faults) == [1, 2]


async def test_a_body_beyond_all_limits_is_refused(journal: Journal) -> None:
    with pytest.raises(GroupRefused) as caught:
        await journal.append(group(offer(), offer(body=bytes(EVENT_BYTES_MAX + 1))))
    assert list(caught.value.faults) == [1]


async def test_an_identity_that_is_no_hash_is_refused(journal: Journal) -> None:
    with pytest.raises(GroupRefused, match="16 bytes"):
        await journal.append(group(offer(identity=b"order-1")))


@pytest.mark.parametrize("at_ms", [-1, 1 << 63])
async def test_a_time_out_of_range_is_refused(journal: Journal, at_ms: int) -> None:
    with pytest.raises(GroupRefused):
        await journal.append(group(offer(received_at_ms=at_ms)))


async def test_a_large_group_keeps_its_order(journal: Journal) -> None:
    offers = [offer(f"n{number}") for number in range(1_500)]
    receipts = await journal.append(group(*offers))
    assert [one.seq for one in receipts] == list(range(1, 1_501))
    again = await journal.append(group(*reversed(offers)))
    assert [one.seq for one in again] == list(range(1_500, 0, -1))
    assert all(one.duplicate for one in again)


async def test_a_probe_commits_and_is_no_event(journal: Journal) -> None:
    await journal.probe()
    assert (await journal.head()).seq == 0
