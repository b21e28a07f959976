"""One account: which batch leaves next, and what an answer does to it."""

from itertools import pairwise

import pytest
from msgspec.structs import replace

from gateway.config.schema import RetrySetting
from gateway.deliver.account import Account
from gateway.deliver.intent import intent_of
from gateway.deliver.stored import unpack
from gateway.errors import Reason
from gateway.model import State
from gateway.vendors.base import (
    Batch,
    BatchRules,
    Delivered,
    Failure,
    Limit,
    Outcome,
    Record,
    Refused,
    Response,
    Retry,
    Split,
    Suspended,
    Throttled,
    Verdict,
    same,
)
from tests.deliver.making import RULES, account, destination, feed, now, record, work

OK = Response(200, {}, b"")
GONE = Failure(Reason.CONNECTION_FAILED, "refused")


def leave(made: Account, at_s: float = 100.0) -> Batch:
    batch = made.next_batch(now(at_s))
    assert isinstance(batch, Batch), batch
    return batch


def seqs(batch: Batch) -> list[int]:
    return [one.seq for one in batch.records]


def finish(made: Account, batch: Batch, outcome: Outcome, at_s: float = 100.0) -> None:
    made.finished(batch, OK, same(outcome, batch), 0.01, now(at_s))


def test_a_batch_holds_as_many_records_as_the_vendor_takes() -> None:
    one = work()
    made = account(one)
    feed(made, one, *(record(seq) for seq in range(1, 8)))
    assert [seqs(leave(made)), seqs(leave(made))] == [[1, 2, 3, 4, 5], [6, 7]]


def test_a_batch_holds_no_more_bytes_than_the_vendor_takes() -> None:
    one = work(to=destination(rules=BatchRules(records=5, body_bytes=250, record_bytes=1000)))
    made = account(one)
    feed(made, one, *(record(seq, size=70) for seq in range(1, 5)))
    assert seqs(leave(made)) == [1, 2]


def test_a_batch_holds_one_channel_only() -> None:
    one = work()
    made = account(one)
    feed(made, one, record(1, channel="order"), record(2, channel="product"), record(3, channel="order"))
    assert sorted([seqs(leave(made)), seqs(leave(made))]) == [[1, 3], [2]]


def test_the_channel_of_the_oldest_record_goes_first() -> None:
    one = work()
    made = account(one)
    feed(made, one, *(record(seq, channel="product") for seq in range(1, 8)), record(8, channel="order"))
    feed(made, one, *(record(seq, channel="product") for seq in range(9, 20)))
    assert [batch.channel for batch in (leave(made), leave(made), leave(made))] == ["product", "product", "order"]


def test_a_batch_that_is_not_full_lingers() -> None:
    one = work(to=destination(rules=BatchRules(records=3, body_bytes=9999, record_bytes=999, linger_s=2.0)))
    made = account(one)
    feed(made, one, record(1))
    assert made.next_batch(now(100.0)) == 102.0
    feed(made, one, record(2), at_s=101.0)
    assert seqs(leave(made, 102.0)) == [1, 2]


def test_a_full_batch_does_not_linger() -> None:
    one = work(to=destination(rules=BatchRules(records=2, body_bytes=9999, record_bytes=999, linger_s=60.0)))
    made = account(one)
    feed(made, one, record(1), record(2))
    assert seqs(leave(made)) == [1, 2]


def test_one_key_may_stand_twice_in_a_batch_in_order() -> None:
    one = work()
    made = account(one)
    feed(made, one, record(1, "k"), record(2, "k"))
    assert seqs(leave(made)) == [1, 2]


def test_a_vendor_may_want_each_key_once_per_batch() -> None:
    rules = BatchRules(records=5, body_bytes=9999, record_bytes=999, one_per_key=True)
    one = work(to=destination(rules=rules))
    made = account(one)
    feed(made, one, record(1, "k"), record(2, "k"), record(3))
    first = leave(made)
    assert seqs(first) == [1, 3]
    finish(made, first, Delivered())
    assert seqs(leave(made)) == [2]


def test_what_has_waited_for_its_key_does_not_linger_where_no_request_is_short() -> None:
    rules = BatchRules(records=5, body_bytes=9999, record_bytes=999, linger_s=1.0, one_per_key=True)
    one = work(to=destination(rules=rules))
    made = account(one)
    feed(made, one, record(1, "k"), record(2, "k"))
    assert made.next_batch(now(100.0)) == 101.0
    first = leave(made, 101.0)
    finish(made, first, Delivered(), at_s=101.1)
    assert seqs(leave(made, 101.1)) == [2]


def test_no_two_of_a_key_are_in_flight_and_others_pass() -> None:
    one = work(to=destination(rules=BatchRules(records=1, body_bytes=9999, record_bytes=999)))
    made = account(one)
    feed(made, one, record(1, "k"), record(2, "k"), record(3, "other"))
    first = leave(made)
    assert seqs(leave(made)) == [3]
    assert made.next_batch(now(100.0)) is None
    finish(made, first, Delivered())
    assert seqs(leave(made)) == [2]


def test_a_key_is_not_in_flight_twice_over_two_lanes_of_a_destination() -> None:
    to = destination()
    one, two = work(1, to), work(2, to)
    made = account(one, two)
    feed(made, one, record(1, "k"))
    first = leave(made)
    feed(made, two, record(2, "k", number=2))
    assert made.next_batch(now(100.0)) is None
    finish(made, first, Delivered())
    assert seqs(leave(made)) == [2]


def test_a_flood_on_one_lane_leaves_the_next_batch_open_to_another() -> None:
    to = destination()
    flood, quiet = work(1, to), work(2, to)
    made = account(flood, quiet)
    feed(made, flood, *(record(seq) for seq in range(1, 60)))
    for _ in range(3):
        leave(made)
    feed(made, quiet, record(100, number=2))
    assert 100 in seqs(leave(made))


def test_a_flood_of_one_channel_leaves_the_next_batch_to_another_lane_of_another_channel() -> None:
    to = destination()
    flood, quiet = work(1, to), work(2, to)
    made = account(flood, quiet)
    feed(made, flood, *(record(seq) for seq in range(1, 60)))
    for _ in range(3):
        leave(made)
    feed(made, quiet, record(100, number=2, channel="product"))
    assert seqs(leave(made)) == [100]


def test_lanes_share_by_weight() -> None:
    heavy, light = work(1, destination("heavy", weight=3.0)), work(2, destination("light", weight=1.0))
    made = account(heavy, light)
    made_of = {"heavy": 0, "light": 0}
    for seq in range(1, 200):
        feed(made, heavy, record(seq, number=1))
        feed(made, light, record(1000 + seq, number=2))
    for _ in range(20):
        batch = leave(made)
        made_of[batch.destination] += len(batch.records)
        finish(made, batch, Delivered())
    assert made_of["heavy"] == 3 * made_of["light"]


def test_the_pace_is_kept_over_all_destinations_of_an_account() -> None:
    one, two = work(1, destination("one")), work(2, destination("two"))
    made = account(one, two, limits=(Limit(allow=1, per_s=1.0),))
    feed(made, one, record(1))
    feed(made, two, record(2, number=2))
    leave(made)
    again = made.next_batch(now(100.0))
    assert isinstance(again, float)
    assert again > 101.0


def test_a_refused_batch_is_halved_until_the_record_is_found() -> None:
    one = work()
    made = account(one)
    feed(made, one, *(record(seq) for seq in range(1, 6)))
    sent: list[list[int]] = []
    while not one.dirty() or made.in_flight or len(sent) < 5:
        batch = made.next_batch(now(100.0))
        if not isinstance(batch, Batch):
            break
        sent.append(seqs(batch))
        finish(made, batch, Split(Reason.PAYLOAD_REFUSED) if 4 in seqs(batch) else Delivered())
    assert sent == [[1, 2, 3, 4, 5], [1, 2, 3], [4, 5], [4], [5]]
    settlement = made.settlement(0)
    assert settlement is not None
    (said,) = settlement.lanes
    assert (said.counts.delivered, [(row.seq, row.state) for row in said.parked]) == (4, [(4, State.DEAD)])


def test_halves_of_a_batch_go_one_after_the_other() -> None:
    one = work()
    made = account(one)
    feed(made, one, record(1, "k"), record(2, "k"))
    finish(made, leave(made), Split(Reason.PAYLOAD_REFUSED))
    first = leave(made)
    assert seqs(first) == [1]
    assert made.next_batch(now(100.0)) is None
    finish(made, first, Delivered())
    assert seqs(leave(made)) == [2]


def test_a_half_that_is_given_back_still_goes_before_the_other_half() -> None:
    one = work()
    made = account(one)
    feed(made, one, record(1, "k"), record(2, "k"))
    finish(made, leave(made), Split(Reason.PAYLOAD_REFUSED))
    finish(made, leave(made), Throttled(Reason.BUSY, 1.0))
    first = leave(made, 102.0)
    assert seqs(first) == [1]
    finish(made, first, Delivered(), 102.0)
    assert seqs(leave(made, 102.0)) == [2]


def test_the_other_half_waits_behind_what_was_parked_of_the_first() -> None:
    one = work()
    made = account(one)
    feed(made, one, record(1, "k"), record(2, "k"), record(3))
    finish(made, leave(made), Split(Reason.PAYLOAD_REFUSED))
    finish(made, leave(made), Retry(Reason.SERVER_ERROR))
    assert seqs(leave(made)) == [3]
    settlement = made.settlement(0)
    assert settlement is not None
    assert [row.seq for row in settlement.lanes[0].parked] == [1, 2]


def test_what_throttles_the_account_parks_nothing() -> None:
    one = work()
    made = account(one)
    feed(made, one, record(1), record(2))
    finish(made, leave(made), Throttled(Reason.RATE_LIMITED, 3.0))
    assert made.next_batch(now(100.0)) == 103.0
    assert not made.dirty()
    assert seqs(leave(made, 103.0)) == [1, 2]


def test_what_stops_a_channel_parks_that_channels_records_and_the_others_pass() -> None:
    one = work()
    made = account(one)
    feed(made, one, record(1, channel="busy"), record(2, channel="free"))
    stopped = leave(made)
    finish(made, stopped, Throttled(Reason.BUSY, 5.0, scope="channel"))
    feed(made, one, record(3, channel="busy"))
    assert seqs(leave(made)) == [2]
    settlement = made.settlement(0)
    assert settlement is not None
    assert [(row.seq, row.due_at_ms, row.attempt) for row in settlement.lanes[0].parked] == [
        (1, 105_000, 0),
        (3, 105_000, 0),
    ]


def test_a_suspended_account_parks_nothing_and_probes_with_one_record() -> None:
    one = work()
    made = account(one)
    feed(made, one, *(record(seq) for seq in range(1, 4)))
    finish(made, leave(made), Suspended(Reason.KEY_REFUSED))
    assert made.next_batch(now(100.0)) == 160.0
    probe = leave(made, 160.0)
    assert seqs(probe) == [1]
    assert made.next_batch(now(160.0)) is None
    finish(made, probe, Delivered(), 160.0)
    assert seqs(leave(made, 160.0)) == [2, 3]


def test_an_account_that_only_fails_is_left_alone() -> None:
    one = work(to=destination(rules=BatchRules(records=1, body_bytes=9999, record_bytes=999)))
    made = account(one)
    feed(made, one, *(record(seq) for seq in range(1, 9)))
    for _ in range(5):
        finish(made, leave(made), Retry(Reason.SERVER_ERROR, "500"))
    assert made.next_batch(now(100.0)) == 130.0
    assert made.settlement(0) is not None
    assert seqs(leave(made, 130.0)) == [6]


def broken_and_closed(limits: tuple[Limit, ...] = ()) -> Account:
    """An account whose breaker closed at 131, with records waiting."""
    one = work(to=destination(rules=BatchRules(records=1, body_bytes=9999, record_bytes=999)))
    made = account(one, limits=limits)
    feed(made, one, *(record(seq) for seq in range(1, 500)))
    at_s = 100.0
    for place in range(5):
        at_s = 100.0 + place / 10
        finish(made, leave(made, at_s), Retry(Reason.SERVER_ERROR, "500"), at_s)
    finish(made, leave(made, 131.0), Delivered(), 131.0)
    return made


def test_after_a_breaker_the_requests_in_flight_grow_back() -> None:
    made = broken_and_closed()
    together = []
    for at_s in (131.0, 133.5, 136.0, 141.0):
        while isinstance(made.next_batch(now(at_s)), Batch):
            pass
        together.append(made.in_flight)
    assert together == [1, 2, 4, 8]


def test_after_a_breaker_the_pace_grows_back() -> None:
    made = broken_and_closed(limits=(Limit(allow=100, per_s=1.0),))
    at_s, left = 131.0, []
    while at_s < 135:
        found = made.next_batch(now(at_s))
        if not isinstance(found, float):
            assert found is not None
            left.append(at_s)
            made.left(found, now(at_s))
            finish(made, found, Delivered(), at_s)
        else:
            at_s = found
    gaps = [later - earlier for earlier, later in pairwise(left)]
    assert gaps[0] > 0.05
    assert gaps == sorted(gaps, reverse=True)


def test_each_record_gets_its_own_outcome() -> None:
    one = work()
    made = account(one)
    feed(made, one, record(1), record(2), record(3))
    batch = leave(made)
    verdict = Verdict((Delivered(), Refused(Reason.RECORD_REFUSED, "no"), Retry(Reason.BUSY)))
    made.finished(batch, OK, verdict, 0.01, now(100.0))
    settlement = made.settlement(0)
    assert settlement is not None
    (said,) = settlement.lanes
    assert said.counts.delivered == 1
    assert [(row.seq, row.state) for row in said.parked] == [(2, State.DEAD), (3, State.PARKED)]


def test_an_ease_pauses_an_account_that_was_served_well() -> None:
    one = work()
    made = account(one)
    feed(made, one, record(1))
    batch = leave(made)
    ease = Throttled(Reason.QUEUE_FULL, 10.0)
    made.finished(batch, OK, Verdict((Delivered(),), ease), 0.01, now(100.0))
    feed(made, one, record(2))
    assert made.next_batch(now(100.0)) == 110.0


def test_requests_in_flight_are_bounded() -> None:
    one = work(to=destination(rules=BatchRules(1, 9999, 999), concurrency=2))
    made = account(one)
    feed(made, one, *(record(seq) for seq in range(1, 5)))
    leave(made)
    leave(made)
    assert made.next_batch(now(100.0)) is None


def test_a_paused_lane_sends_nothing_and_the_others_go_on() -> None:
    to = destination()
    still, moving = work(1, to), work(2, to)
    made = account(still, moving)
    feed(made, still, record(1))
    still.operated(work(1, to, paused=True).lane, [])
    feed(made, moving, record(2, number=2))
    assert seqs(leave(made)) == [2]
    assert made.next_batch(now(100.0)) is None


DAY_S = 86_400.0
SIX = 6 * 3600.0
"""Six in the morning of the first day, in UTC."""


def test_in_quiet_hours_nothing_is_sent_and_other_destinations_go_on() -> None:
    still, moving = work(1, destination("night", quiet=["22:00-07:00 UTC"])), work(2, destination("day"))
    made = account(still, moving)
    feed(made, still, record(1), at_s=SIX)
    assert made.next_batch(now(SIX)) == SIX + 3600
    assert not still.wants_more(100)
    feed(made, moving, record(2, number=2), at_s=SIX)
    assert seqs(leave(made, SIX)) == [2]
    assert seqs(leave(made, SIX + 3600)) == [1]


def test_halves_and_what_is_due_wait_for_the_end_of_quiet_hours() -> None:
    one = work(1, destination(quiet=["00:00-07:00 UTC"]))
    made = account(one)
    evening_s = DAY_S - 10
    feed(made, one, record(1), record(2), at_s=evening_s)
    finish(made, leave(made, evening_s), Split(Reason.PAYLOAD_REFUSED), evening_s)
    assert made.next_batch(now(DAY_S)) == DAY_S + 7 * 3600
    assert made.due(one, now(DAY_S), 10) == []
    assert seqs(leave(made, DAY_S + 7 * 3600)) == [1]


def test_a_call_that_a_crash_cut_off_waits_for_the_end_of_quiet_hours() -> None:
    one = work(1, destination(quiet=["00:00-07:00 UTC"]))
    made = account(one)
    made.resume(intent_of("paper", Batch("paper", "order", (record(1),)), "keyed", None, 0))
    feed(made, one, record(1), at_s=SIX)
    assert made.next_batch(now(SIX)) == SIX + 3600
    assert seqs(leave(made, SIX + 3600)) == [1]


def test_quiet_hours_and_a_pause_do_not_count_against_a_record() -> None:
    retry = RetrySetting.model_validate({"first": "1s", "give_up_after": "1h"})
    one = work(1, destination(quiet=["00:00-07:00 UTC"], retry=retry))
    made = account(one)
    feed(made, one, record(1), at_s=DAY_S - 10)
    finish(made, leave(made, DAY_S - 10), Retry(Reason.TIMEOUT), DAY_S - 10)
    made.settlement(0)
    made.settled([work(1).lane])
    for at_s in (DAY_S, DAY_S + 7 * 3600):
        made.next_batch(now(at_s))
    (ref,) = made.due(one, now(DAY_S + 7 * 3600), 5)
    made.retry(one, unpack(1, one.parked.row(ref)))
    finish(made, leave(made, DAY_S + 7 * 3600), Retry(Reason.TIMEOUT), DAY_S + 7 * 3600)
    assert one.parked.row(ref).state is State.PARKED


def test_a_retry_goes_before_what_is_newly_planned() -> None:
    one = work(to=destination(rules=RULES))
    made = account(one)
    feed(made, one, record(1), record(2))
    retried: Record = record(9)
    made.retry(one, retried)
    assert seqs(leave(made)) == [9, 1, 2]


@pytest.mark.slow
def test_a_flood_of_100_000_events_leaves_another_shops_event_the_next_slot() -> None:
    to = destination(rules=BatchRules(records=100, body_bytes=1 << 20, record_bytes=999))
    flood, quiet = work(1, to), work(2, to)
    made = account(flood, quiet, limits=(Limit(allow=4, per_s=1.0),))
    feed(made, flood, *(record(seq) for seq in range(1, 100_001)))
    at_s = 100.0
    for _ in range(8):
        finish(made, leave(made, at_s), Delivered(), at_s)
        at_s += 0.26
    feed(made, quiet, record(200_000, number=2), at_s=at_s)
    slots = [seqs(leave(made, at_s + place * 0.26)) for place in range(3)]
    assert 200_000 in slots[0]


def test_lanes_of_two_destinations_of_one_account_share_its_slots() -> None:
    rules = BatchRules(records=1, body_bytes=9999, record_bytes=999)
    flood, quiet = work(1, destination("flooded", rules)), work(2, destination("quiet", rules))
    made = account(flood, quiet)
    feed(made, flood, *(record(seq) for seq in range(1, 1_000)))
    for _ in range(5):
        finish(made, leave(made), Delivered())
    feed(made, quiet, record(2_000, number=2))
    assert seqs(leave(made)) == [2_000]


def test_while_a_page_is_read_only_full_batches_leave() -> None:
    one = work()
    made = account(one)
    feed(made, one, *(record(seq) for seq in range(1, 9)))
    made.reading = "paper"
    first = made.next_batch(now(100.0))
    assert isinstance(first, Batch)
    assert len(first.records) == 5
    assert made.next_batch(now(100.0)) is None
    made.reading = ""
    rest = made.next_batch(now(100.0))
    assert isinstance(rest, Batch)
    assert len(rest.records) == 3


def test_lanes_of_a_destination_know_of_one_another_what_it_has() -> None:
    to = destination(stale=True, coalesce=False)
    one, two = work(1, to), work(2, to)
    made = account(one, two)
    newer = replace(record(1, "k"), version_ms=2_000)
    feed(made, one, newer)
    two.versions.learn({newer.draft.key_hash}, {})
    finish(made, leave(made), Delivered())
    feed(made, two, replace(record(2, "k", number=2), version_ms=1_000))
    assert made.next_batch(now(100.0)) is None
    assert two.dirty()
