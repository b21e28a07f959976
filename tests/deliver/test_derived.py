"""Events that derive from answers: each enters the settle that says its record delivered, and no other."""

from gateway.deliver.lane import LaneWork
from gateway.deliver.settle import Tried
from gateway.errors import Reason
from gateway.model import Counts, LaneSettle, Offer, Resolved, State
from gateway.vendors.base import Batch, Delivered, Derived, Record, Refused, Response, Retry, Superseded, same
from tests.deliver.making import account, feed, lane, now, planned, record, work

TRIED = Tried(at_ms=100_000, latency_ms=20, answer=Response(200, {}, b"{}"), jitter=0.5)
WHOLE = Derived("lookup/order", (("content-type", "application/json"),), b'{"id":7}')


def found(one: LaneWork, record: Record) -> None:
    one.delivered(record, Delivered(derived=WHOLE), TRIED)


def said(one: LaneWork) -> tuple[LaneSettle, list[Offer]]:
    settle = one.settlement()
    assert settle is not None
    return settle, one.derived(3, 200_000)


def test_a_derived_event_says_what_it_derives_from_and_under_which_configuration() -> None:
    one = work()
    one.take(4, planned(record(4)), 0)
    found(one, record(4))
    _, (offer,) = said(one)
    assert (offer.source, offer.topic, offer.body, offer.headers) == ("shop", WHOLE.topic, WHOLE.body, WHOLE.headers)
    assert (offer.derived_from, offer.revision, offer.received_at_ms) == ("evt_4", 3, 200_000)


def test_its_identity_is_the_same_after_a_crash_and_another_for_another_record() -> None:
    identities = []
    for seq, number in ((4, 1), (4, 1), (5, 1), (4, 2)):
        one = work(number)
        one.take(seq, planned(record(seq, number=number)), 0)
        found(one, record(seq, number=number))
        identities.append(said(one)[1][0].identity)
    assert identities[0] == identities[1]
    assert len({one for one in identities if one and len(one) == 16}) == 3


def test_an_event_derives_only_when_all_its_parts_are_done() -> None:
    one = work()
    one.take(4, planned(record(4, "a"), record(4, "b")), 0)
    found(one, record(4, "a"))
    assert one.settlement() is None
    found(one, record(4, "b"))
    settle, offers = said(one)
    assert (settle.counts, len(offers)) == (Counts(delivered=1), 2)


def test_what_derives_beside_a_part_that_is_parked_goes_with_its_row() -> None:
    one = work()
    one.take(4, planned(record(4, "a"), record(4, "b")), 0)
    found(one, record(4, "a"))
    one.failed(record(4, "b"), Retry(Reason.TIMEOUT), TRIED)
    settle, offers = said(one)
    assert ([row.part for row in settle.parked], len(offers)) == (["order:b"], 1)


def test_a_parked_record_derives_with_the_settle_that_takes_its_row_away() -> None:
    one = work()
    one.take(4, planned(record(4)), 0)
    one.failed(record(4), Retry(Reason.TIMEOUT), TRIED)
    assert said(one)[1] == []
    one.settled(lane())
    found(one, record(4))
    settle, offers = said(one)
    assert (settle.resolved, len(offers)) == ((Resolved(4, "order:k4", State.DELIVERED),), 1)


def test_what_is_settled_does_not_derive_again() -> None:
    one = work()
    one.take(4, planned(record(4)), 0)
    found(one, record(4))
    said(one)
    one.settled(lane())
    assert one.derived(3, 0) == []


def test_what_is_gone_is_superseded_and_derives_nothing() -> None:
    one = work()
    one.take(4, planned(record(4)), 0)
    one.gone(record(4), Superseded(Reason.NOT_FOUND, "404"), TRIED)
    settle, offers = said(one)
    assert (settle.counts, offers) == (Counts(superseded=1), [])
    assert (settle.attempts[0].outcome, settle.attempts[0].reason) == ("superseded", Reason.NOT_FOUND)


def test_an_account_settles_what_derives_on_all_its_lanes() -> None:
    first, second = work(1), work(2)
    made = account(first, second)
    feed(made, first, record(1, number=1))
    feed(made, second, record(2, number=2))
    batch = made.next_batch(now(100.0))
    assert isinstance(batch, Batch)
    made.finished(batch, TRIED.answer, same(Delivered(derived=WHOLE), batch), 0.01, now(100.0))
    settlement = made.settlement(5, revision=9)
    assert settlement is not None
    assert [(offer.derived_from, offer.revision) for offer in settlement.derived] == [("evt_1", 9), ("evt_2", 9)]


def test_an_account_books_what_is_gone_and_what_is_refused() -> None:
    one = work()
    made = account(one)
    for seq, outcome in ((1, Superseded(Reason.NOT_FOUND)), (2, Refused(Reason.NOT_FOUND))):
        feed(made, one, record(seq))
        batch = made.next_batch(now(100.0))
        assert isinstance(batch, Batch)
        made.finished(batch, TRIED.answer, same(outcome, batch), 0.01, now(100.0))
    settlement = made.settlement(5)
    assert settlement is not None
    assert settlement.derived == ()
    (settle,) = settlement.lanes
    assert (settle.counts, [row.seq for row in settle.parked]) == (Counts(superseded=1), [2])


def test_a_channel_that_is_empty_is_forgotten() -> None:
    """A look-up has a channel for every entity: what is over must not be looked through for ever."""
    one = work()
    made = account(one)
    (queue,) = made._queues.values()
    for seq in range(1, 50):
        feed(made, one, record(seq, channel=f"entity {seq}"))
        batch = made.next_batch(now(100.0 + seq))
        assert isinstance(batch, Batch)
        made.finished(batch, TRIED.answer, same(Delivered(), batch), 0.01, now(100.0 + seq))
    assert made.next_batch(now(200.0)) is None
    assert len(queue._channels) + len(queue._since_s) <= 2
