"""One lane: what is open, what a settle says, what parks."""

import pytest
from msgspec.structs import replace

from gateway import document
from gateway.config.schema import RetrySetting
from gateway.deliver.plan import Death
from gateway.deliver.settle import Tried, backoff_ms, row_waiting
from gateway.deliver.stored import unpack
from gateway.errors import Reason
from gateway.model import Counts, LaneSettle, State
from gateway.vendors.base import Delivered, Failure, Record, Refused, Response, Retry
from tests.deliver.making import destination, lane, planned, record, work

TRIED = Tried(at_ms=100_000, latency_ms=20, answer=Response(200, {}, b"fine"), jitter=0.5)


def settle(one: object) -> LaneSettle:
    assert isinstance(one, LaneSettle)
    return one


def test_an_event_that_makes_nothing_is_filtered() -> None:
    one = work()
    one.read_to = 7
    one.take(7, planned(), 0)
    said = settle(one.settlement())
    assert (said.cursor, said.ahead, said.counts) == (7, (), Counts(filtered=1))


def test_a_delivered_event_moves_the_cursor() -> None:
    one = work()
    one.read_to = 3
    one.take(3, planned(record(3)), 0)
    one.delivered(record(3), Delivered("r1"), TRIED)
    said = settle(one.settlement())
    assert (said.cursor, said.counts) == (3, Counts(delivered=1))
    assert said.attempts[0].receipt == "r1"


def test_what_finishes_out_of_order_lies_ahead_of_the_cursor() -> None:
    one = work()
    for seq in (1, 2, 3, 4, 6):
        one.take(seq, planned(record(seq)), 0)
    one.read_to = 6
    for seq in (2, 3, 6):
        one.delivered(record(seq), Delivered(), TRIED)
    said = settle(one.settlement())
    assert (said.cursor, said.ahead) == (0, ((2, 3), (6, 6)))


def test_the_cursor_jumps_over_what_was_ahead_when_the_gap_closes() -> None:
    one = work()
    for seq in (1, 2, 3):
        one.take(seq, planned(record(seq)), 0)
    one.read_to = 9
    one.delivered(record(2), Delivered(), TRIED)
    one.settlement()
    one.settled(lane())
    one.delivered(record(1), Delivered(), TRIED)
    assert settle(one.settlement()).cursor == 2


def test_after_a_restart_what_lay_ahead_is_not_read_again() -> None:
    one = work(cursor=1, ahead=((3, 4),))
    assert [seq for seq in (2, 3, 4, 5) if one.settled_already(seq)] == [3, 4]
    for seq in (2, 3):
        one.skip(seq) if one.settled_already(seq) else one.take(seq, planned(record(seq)), 0)
    one.read_to = 3
    one.delivered(record(2), Delivered(), TRIED)
    said = settle(one.settlement())
    assert (said.cursor, said.counts) == (3, Counts(delivered=1))


def test_what_lay_ahead_at_a_restart_stays_so_until_it_is_read() -> None:
    one = work(cursor=1, ahead=((3, 4), (7, 9)))
    one.take(2, planned(record(2)), 0)
    one.read_to = 2
    one.delivered(record(2), Delivered(), TRIED)
    said = settle(one.settlement())
    assert (said.cursor, said.ahead) == (2, ((3, 4), (7, 9)))
    one.settled(lane(cursor=said.cursor, ahead=said.ahead))
    one.skip(3)
    one.skip(4)
    one.take(5, planned(record(5)), 0)
    one.take(6, planned(record(6)), 0)
    one.read_to = 7
    one.skip(7)
    one.delivered(record(6), Delivered(), TRIED)
    said = settle(one.settlement())
    assert (said.cursor, said.ahead) == (4, ((6, 7), (8, 9)))
    assert [seq for seq in (8, 9, 10) if one.settled_already(seq)] == [8, 9]


def test_an_event_with_several_parts_is_settled_whole() -> None:
    one = work()
    first, second = record(1, "a"), record(1, "b")
    one.read_to = 1
    one.take(1, planned(first, second), 0)
    one.delivered(first, Delivered(), TRIED)
    assert one.settlement() is None
    one.failed(second, Retry(Reason.SERVER_ERROR), TRIED)
    said = settle(one.settlement())
    assert said.counts == Counts()
    assert [(row.part, row.state, row.delivered_parts) for row in said.parked] == [
        ("order:b", State.PARKED, ("order:a",))
    ]


def test_a_row_tells_which_mapping_made_its_record_however_often_it_fails() -> None:
    one = work()
    made = replace(record(1), mapping="my-order")
    one.take(1, planned(made), 0)
    row = one.failed(made, Retry(Reason.SERVER_ERROR, "503"), TRIED)
    again = unpack(one.id, row)
    assert (row.mapping, again.mapping) == ("my-order", "my-order")
    held = document.parse(row.record or b"")
    old = replace(row, record=document.dump({name: value for name, value in held.items() if name != "mapping"}))
    assert unpack(one.id, old).mapping == ""


def test_a_record_that_failed_is_parked_with_its_due_time_and_what_the_vendor_said() -> None:
    one = work()
    one.take(1, planned(record(1)), 0)
    answer = Response(503, {}, b"come back later")
    row = one.failed(record(1), Retry(Reason.SERVER_ERROR, "503"), Tried(100_000, 20, answer, 0.5))
    assert (row.due_at_ms, row.attempt, row.reason, row.answer) == (
        102_500,
        1,
        Reason.SERVER_ERROR,
        b"come back later",
    )


def test_what_the_vendor_asks_for_is_waited_at_least() -> None:
    one = work()
    one.take(1, planned(record(1)), 0)
    assert one.failed(record(1), Retry(Reason.BUSY, after_s=60.0), TRIED).due_at_ms == 160_000


def test_a_refused_record_is_dead() -> None:
    one = work()
    one.take(1, planned(record(1)), 0)
    assert one.failed(record(1), Refused(Reason.RECORD_REFUSED, "no"), TRIED).state is State.DEAD
    assert not one.parked.blocks(record(1).draft.key_hash, 9)


def test_what_cannot_be_mapped_is_one_dead_row_without_a_part() -> None:
    one = work()
    one.read_to = 1
    one.take(1, planned(deaths=(Death("", Reason.MAPPING_FAILED, "erp-order: total: a list", "erp-order"),)), 5)
    (row,) = settle(one.settlement()).parked
    assert (row.part, row.state, row.mapping) == ("", State.DEAD, "erp-order")


def test_a_record_whose_key_is_parked_is_parked_behind_it() -> None:
    one = work()
    one.take(1, planned(record(1, "k")), 0)
    one.failed(record(1, "k"), Retry(Reason.TIMEOUT), TRIED)
    assert one.take(2, planned(record(2, "k")), 0) == []
    assert one.take(3, planned(record(3, "other")), 0) != []


def held(seq: int, key: str = "", received_at_ms: int = 0, hold_ms: int = 600_000) -> Record:
    return replace(record(seq, key), received_at_ms=received_at_ms, hold_ms=hold_ms)


def test_a_record_that_is_held_is_parked_until_its_hold_is_over() -> None:
    one = work()
    one.read_to = 1
    assert one.take(1, planned(held(1, received_at_ms=5_000)), 8_000) == []
    (row,) = settle(one.settlement()).parked
    assert (row.state, row.reason, row.due_at_ms, row.attempt) == (State.PARKED, Reason.HELD, 605_000, 0)
    one.settled(lane())
    assert one.parked.take_due(604_999, 5) == []
    assert one.parked.take_due(605_000, 5) == [(1, "order:k1")]


def test_a_record_whose_hold_is_over_when_it_is_read_is_not_parked() -> None:
    assert len(work().take(1, planned(held(1)), 600_000)) == 1


def test_what_comes_after_a_held_record_of_its_key_waits_behind_it() -> None:
    one = work()
    assert one.take(1, planned(held(1, "k")), 0) == []
    assert one.take(2, planned(record(2, "k")), 0) == []
    assert len(one.take(3, planned(record(3, "other")), 0)) == 1


def test_a_held_record_behind_another_of_its_key_is_held_for_its_own_time() -> None:
    one = work()
    one.read_to = 2
    one.take(1, planned(held(1, "k")), 0)
    one.take(2, planned(held(2, "k", received_at_ms=5_000)), 5_000)
    assert [row.due_at_ms for row in settle(one.settlement()).parked] == [600_000, 605_000]


def test_a_hold_does_not_count_as_time_in_which_a_record_failed() -> None:
    one = work(to=destination(retry=RetrySetting.model_validate({"give_up_after": "1h"})))
    week_ms = 7 * 86_400_000
    one.take(1, planned(held(1, hold_ms=week_ms)), 0)
    one.settlement()
    one.settled(lane())
    (ref,) = one.parked.take_due(week_ms, 5)
    row = one.failed(unpack(1, one.parked.row(ref)), Retry(Reason.TIMEOUT), replace(TRIED, at_ms=week_ms))
    assert (row.state, row.first_failed_at_ms) == (State.PARKED, week_ms)


def test_a_receipt_that_a_jumped_clock_told_holds_no_longer_than_the_hold() -> None:
    one = work()
    one.read_to = 1
    one.take(1, planned(held(1, received_at_ms=10**12)), 1_000)
    assert settle(one.settlement()).parked[0].due_at_ms == 601_000


def test_without_an_order_nothing_waits_behind_another() -> None:
    one = work(to=destination(order="none"))
    one.take(1, planned(record(1, "k")), 0)
    one.failed(record(1, "k"), Retry(Reason.TIMEOUT), TRIED)
    assert one.take(2, planned(record(2, "k")), 0) != []


def test_a_parked_record_that_is_delivered_goes_from_the_journal() -> None:
    one = work()
    one.take(1, planned(record(1)), 0)
    one.failed(record(1), Retry(Reason.TIMEOUT), TRIED)
    one.settlement()
    one.settled(lane())
    assert one.parked.take_due(10**9, 5) == [(1, "order:k1")]
    one.delivered(record(1), Delivered(), TRIED)
    said = settle(one.settlement())
    assert [(gone.seq, gone.part, gone.outcome) for gone in said.resolved] == [(1, "order:k1", State.DELIVERED)]
    assert said.counts == Counts()


def test_a_parked_record_is_given_up_when_its_time_is_over() -> None:
    one = work(to=destination(retry=RetrySetting.model_validate({"give_up_after": "1h"})))
    one.take(1, planned(record(1)), 0)
    one.failed(record(1), Retry(Reason.TIMEOUT), TRIED)
    one.settlement()
    one.settled(lane())
    late = Tried(100_000 + 3_600_000, 20, Failure(Reason.TIMEOUT, "no answer"), 0.5)
    row = one.failed(record(1), Retry(Reason.TIMEOUT, "no answer"), late)
    assert (row.state, row.reason, row.detail) == (State.DEAD, Reason.GAVE_UP, "timeout: no answer")


def test_time_in_which_the_account_stood_still_does_not_count() -> None:
    one = work(to=destination(retry=RetrySetting.model_validate({"give_up_after": "1h"})))
    one.take(1, planned(record(1)), 0)
    one.failed(record(1), Retry(Reason.TIMEOUT), TRIED)
    one.settlement()
    one.settled(lane())
    stopped_ms = 3_000_000
    late = Tried(100_000 + 3_600_000, 20, Failure(Reason.TIMEOUT, "no answer"), 0.5, stopped_ms)
    assert one.failed(record(1), Retry(Reason.TIMEOUT), late).state is State.PARKED


def test_while_a_settle_is_on_its_way_outcomes_gather_for_the_next() -> None:
    one = work()
    for seq in (1, 2):
        one.take(seq, planned(record(seq)), 0)
    one.delivered(record(1), Delivered(), TRIED)
    first = settle(one.settlement())
    one.delivered(record(2), Delivered(), TRIED)
    assert one.settlement() is None
    one.settled(lane())
    second = settle(one.settlement())
    assert (first.counts, second.counts) == (Counts(delivered=1), Counts(delivered=1))


def test_a_lane_with_too_many_parked_rows_stops_reading() -> None:
    one = work(to=destination(parked_max=1))
    assert one.wants_more(10)
    one.take(1, planned(record(1)), 0)
    one.failed(record(1), Retry(Reason.TIMEOUT), TRIED)
    assert not one.wants_more(10)


@pytest.mark.parametrize(("read_ahead", "enough", "expected"), [(100, 10, 8), (5, 10, 3), (2, 10, 1), (100, 2, 1)])
def test_a_lane_says_how_many_more_events_it_would_take(read_ahead: int, enough: int, expected: int) -> None:
    one = work(to=destination(read_ahead=read_ahead))
    for seq in (1, 2):
        one.queued += len(one.take(seq, planned(record(seq)), 0))
    assert one.room(enough) == expected


def test_a_paused_lane_does_not_read() -> None:
    assert not work(paused=True).wants_more(10)
    assert not work(to=destination(paused=True)).wants_more(10)


def test_each_wait_doubles_up_to_the_longest() -> None:
    policy = RetrySetting.model_validate({"first": "5s", "factor": 2, "max": "1m"})
    assert [backoff_ms(policy, attempt, 1.0) for attempt in (1, 2, 3, 4, 5, 500)] == [
        5_000,
        10_000,
        20_000,
        40_000,
        60_000,
        60_000,
    ]


def test_a_parked_record_that_goes_before_anything_is_read_again_leaves_what_lay_ahead() -> None:
    one = work(cursor=2, ahead=((4, 5),), parked=(row_waiting(record(1), 0, 0, Reason.REDELIVER),))
    assert one.parked.take_due(0, 5) == [(1, "order:k1")]
    one.delivered(record(1), Delivered(), TRIED)
    said = settle(one.settlement())
    assert (said.cursor, said.ahead) == (2, ((4, 5),))


def test_a_newer_state_is_settled_no_sooner_than_what_gave_way_to_it() -> None:
    """A crash in between would send the older one after it."""
    one = work()
    old, other, newer = record(1, "k"), record(1, "k", channel="product"), record(2, "k")
    one.take(1, planned(old, other), 0)
    one.take(2, planned(newer), 0)
    one.read_to = 2
    one.supersede(old)
    one.delivered(newer, Delivered(), TRIED)
    assert one.settlement() is None
    one.delivered(other, Delivered(), TRIED)
    said = settle(one.settlement())
    assert (said.cursor, said.ahead, said.counts) == (2, (), Counts(delivered=2))


@pytest.mark.parametrize("one_is_parked", [False, True])
def test_records_that_are_delivered_together_are_booked_as_one_by_one(one_is_parked: bool) -> None:  # noqa: FBT001  a parameter
    together, apart = work(), work()
    batch = [record(1), record(2), record(3), record(3, "b"), record(4)]
    for one in (together, apart):
        for seq in (1, 2, 3, 4):
            one.take(seq, planned(*[each for each in batch if each.seq == seq]), 0)
        if one_is_parked:
            one.failed(batch[0], Retry(Reason.SERVER_ERROR), TRIED)
        one.read_to = 4
    together.delivered_together([*batch, record(9)], Delivered("r1"), TRIED)
    for each in batch:
        apart.delivered(each, Delivered("r1"), TRIED)
    booked, expected = settle(together.settlement()), settle(apart.settlement())
    assert sorted(booked.attempts, key=repr) == sorted(expected.attempts, key=repr)
    assert replace(booked, attempts=()) == replace(expected, attempts=())


def test_what_is_parked_first_holds_back_what_was_read_before_it() -> None:
    one = work()
    older, newer = record(1, "k"), record(2, "k")
    one.take(1, planned(older), 0)
    one.take(2, planned(newer), 0)
    one.failed(newer, Retry(Reason.SERVER_ERROR), TRIED)
    one.settled(lane())
    assert one.parked.take_due(10**9, 10) == []
    one.delivered_together([older], Delivered(), TRIED)
    one.settled(lane())
    assert settle(one.settlement()).counts.delivered == 1
