"""What is particular to Ometria's push: its mappings, sizes and queue."""

import pytest

from gateway.errors import Reason
from gateway.vendors.base import (
    Answer,
    Delivered,
    Failure,
    Limit,
    Refused,
    Response,
    Retry,
    Split,
    Throttled,
)
from gateway.vendors.ometria import Ometria
from tests.vendors.samples import CONTACT, a_batch, an_event, the_batch, the_vendor

EMAIL = {
    "@type": "transactional_email",
    "to": {"email": "ada@example.test"},
    "from": {"email": "shop@example.test"},
    "subject": "Thanks",
    "content": {"text": "Thanks"},
}


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        ("customer.updated", "ometria/customer"),
        ("order.cancelled", "ometria/order"),
        ("product.created", "ometria/product"),
        ("product.deleted", None),
    ],
)
def test_shipped_mappings_are_named_by_entity(type_: str, expected: str | None) -> None:
    assert expected == the_vendor("ometria").mapping(an_event(type_))


@pytest.mark.parametrize("type_", ["order.deleted", "customer.redacted", "inventory_levels.update"])
def test_what_push_cannot_take_is_filtered(type_: str) -> None:
    with pytest.raises(LookupError):
        the_vendor("ometria").mapping(an_event(type_))


def test_the_published_limits_are_declared() -> None:
    vendor = the_vendor("ometria")
    push, email = vendor.limits()
    assert push == Limit(4, 1.0, classes=frozenset({"default", "data"}))
    assert (email.allow, email.per_s) == (10, 1.0)
    assert (vendor.rules().records, vendor.rules().record_bytes) == (100, 60_000)


def test_a_full_batch_of_the_largest_records_fits_the_body() -> None:
    vendor, rules = the_vendor("ometria"), the_vendor("ometria").rules()
    padding = rules.record_bytes - len(a_batch(vendor, an_event(), [{**CONTACT, "note": ""}]).records[0].encoded)
    batch = a_batch(vendor, an_event(), [{**CONTACT, "note": "x" * padding}], rules.records)
    assert rules.record_bytes == batch.records[0].size
    assert len(vendor.request(batch).body) <= rules.body_bytes


@pytest.mark.parametrize(
    ("free", "copies", "reason"), [(0, 1, "queue_full"), (2, 3, "queue_full"), (3, 3, "rate_limited")]
)
def test_a_queue_without_room_for_the_batch_is_full(free: int, copies: int, reason: str) -> None:
    answer = Response(429, {"x-queuesize-remaining": str(free)}, b"")
    outcome = the_vendor("ometria").judge(the_batch("ometria", copies), answer).outcomes[0]
    assert isinstance(outcome, Throttled)
    assert reason == outcome.reason


@pytest.mark.parametrize(
    ("free", "for_s"), [("10000", None), ("9999", 0.01), ("9000", 10.0), ("0", 100.0), ("?", None)]
)
def test_the_account_eases_before_the_queue_is_full(free: str, for_s: float | None) -> None:
    answer = Response(202, {"x-queuesize-remaining": free}, b'{"status":"OK","rejected":1}')
    verdict = the_vendor("ometria").judge(the_batch("ometria", 2), answer)
    assert {Split} == set(map(type, verdict.outcomes))
    assert for_s == (verdict.ease.for_s if verdict.ease else None)
    assert verdict.ease is None or verdict.ease.reason is Reason.QUEUE_FULL


def test_a_redacted_customer_is_forgotten_where_the_destination_says_so() -> None:
    event = an_event("customer.redacted", data={"email": "ada@example.test"})
    with pytest.raises(LookupError):
        the_vendor("ometria").mapping(event)
    vendor = the_vendor("ometria", gdpr=True)
    assert vendor.mapping(event) is None
    assert [(limit.allow, limit.per_s) for limit in vendor.limits()] == [(4, 1.0), (6, 60.0), (10, 1.0)]


def test_an_email_is_never_sent_again_when_nobody_knows_whether_it_went() -> None:
    vendor = the_vendor("ometria")
    batch = a_batch(vendor, an_event(), [EMAIL])
    assert vendor.request(batch).intent == "once"
    answers: dict[str, Answer] = {
        "timeout": Failure(Reason.TIMEOUT, "30 s"),
        "500": Response(500, {}, b""),
        "502": Response(502, {}, b""),
        "504": Response(504, {}, b""),
        "408": Response(408, {}, b""),
    }
    judged = {name: vendor.judge(batch, answer).outcomes[0] for name, answer in answers.items()}
    assert {name: getattr(outcome, "reason", None) for name, outcome in judged.items()} == dict.fromkeys(
        answers, Reason.AMBIGUOUS
    )
    assert {type(outcome) for outcome in judged.values()} == {Refused}


def test_an_email_that_surely_did_not_go_is_tried_again() -> None:
    vendor = the_vendor("ometria")
    batch = a_batch(vendor, an_event(), [EMAIL])
    for answer in (Failure(Reason.CONNECTION_FAILED, "refused"), Response(503, {}, b"")):
        assert isinstance(vendor.judge(batch, answer).outcomes[0], Retry)


def test_calls_that_travel_alone_lose_nothing_that_was_put_with_them() -> None:
    vendor = the_vendor("ometria", gdpr=True)
    batch = a_batch(vendor, an_event("customer.redacted", data={"email": "ada@example.test"}), None, copies=3)
    assert all(record.draft.alone for record in batch.records)
    first, *rest = vendor.judge(batch, Response(200, {}, b'{"id":"dr-1"}')).outcomes
    assert first == Delivered("dr-1")
    assert set(map(type, rest)) == {Split}


def test_what_ometria_dropped_can_be_read() -> None:
    vendor = the_vendor("ometria")
    assert isinstance(vendor, Ometria)
    assert vendor.errors().url == "https://api.ometria.com/v2/push/_errors"


@pytest.mark.parametrize("status", [408, 423, 425])
def test_what_a_status_says_will_pass_is_no_fault_of_a_record(status: int) -> None:
    (outcome,) = the_vendor("ometria").judge(the_batch("ometria"), Response(status, {}, b"")).outcomes
    assert isinstance(outcome, Retry)
