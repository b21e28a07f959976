"""What is particular to Ometria's push: its mappings, sizes and queue."""

import pytest

from gateway.errors import Reason
from gateway.vendors.base import Limit, Response, Split, Throttled
from tests.vendors.samples import CONTACT, a_batch, an_event, the_batch, the_vendor


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
    assert [Limit(4, 1.0)] == list(vendor.limits())
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
