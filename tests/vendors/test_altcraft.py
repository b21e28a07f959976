"""What is particular to Altcraft: request ids that stay over retries, codes that nobody described, matching."""

from typing import Any

import msgspec
import pytest

from gateway.errors import Reason
from gateway.vendors.base import Answer, Batch, Failure, Refused, Response, Retry, Suspended, Throttled
from tests.vendors.samples import a_vendor, an_event, the_batch, the_vendor


def request_id(batch: Batch) -> str:
    return dict(the_vendor("altcraft").request(batch).headers)["Request-ID"]


def tried(batch: Batch, attempt: int, generation: int = 0) -> Batch:
    records = (msgspec.structs.replace(one, attempt=attempt, generation=generation) for one in batch.records)
    return msgspec.structs.replace(batch, records=tuple(records))


def test_a_request_id_stays_over_its_retries_and_changes_with_an_operators() -> None:
    batch = the_batch("altcraft")
    assert request_id(batch) == request_id(tried(batch, 2))
    assert request_id(batch) != request_id(tried(batch, 0, generation=1))


@pytest.mark.parametrize(
    ("code", "attempt", "anew"),
    [(402, 0, True), (403, 0, True), (500, 0, False), (500, 2, True), (777, 1, False), (777, 2, True)],
)
def test_what_altcraft_may_only_remember_goes_under_another_id(code: int, attempt: int, anew: bool) -> None:  # noqa: FBT001  a parameter
    batch = tried(the_batch("altcraft"), attempt)
    (outcome,) = the_vendor("altcraft").judge(batch, Response(200, {}, b'{"error":%d}' % code)).outcomes
    assert isinstance(outcome, Retry | Throttled | Suspended)
    assert outcome.anew is anew


@pytest.mark.parametrize("answer", [Response(502, {}, b"<html>"), Failure(Reason.TIMEOUT, "30 s")])
def test_what_altcraft_has_perhaps_not_heard_keeps_its_id(answer: Answer) -> None:
    for attempt in range(6):
        (outcome,) = the_vendor("altcraft").judge(tried(the_batch("altcraft"), attempt), answer).outcomes
        assert isinstance(outcome, Retry)
        assert not outcome.anew


def test_a_request_id_changes_with_each_answer_that_altcraft_would_only_repeat() -> None:
    one, other = the_batch("altcraft", 2).records
    batches = [
        Batch(
            "crm",
            "profile",
            (msgspec.structs.replace(one, anew_ms=first), msgspec.structs.replace(other, anew_ms=second)),
        )
        for first, second in ((0, 0), (0, 7), (9, 7))
    ]
    assert len({request_id(batch) for batch in batches}) == 3


def test_the_same_profile_twice_is_two_requests() -> None:
    first, second = the_batch("altcraft", 2).records
    one, other = (Batch("crm", "profile", (record,)) for record in (first, second))
    assert the_vendor("altcraft").request(one).body == the_vendor("altcraft").request(other).body
    assert request_id(one) != request_id(other)


def test_only_a_batch_of_several_needs_an_intent() -> None:
    vendor = the_vendor("altcraft")
    assert [vendor.request(the_batch("altcraft", copies)).intent for copies in (1, 2)] == ["", "keyed"]


def test_a_code_that_nobody_described_is_given_up_after_five_attempts() -> None:
    answer = Response(200, {}, b'{"error":999}')
    judged = [the_vendor("altcraft").judge(tried(the_batch("altcraft"), attempt), answer) for attempt in (0, 3, 4)]
    assert [type(verdict.outcomes[0]) for verdict in judged] == [Retry, Retry, Refused]


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"matching": "custom"}, "field_name"),
        ({"field_name": "card"}, "field_name"),
        ({"matching": "profile_id"}, "method: update"),
        ({"db_id": 0}, "db_id"),
        ({"base_url": None}, "base_url"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(settings: dict[str, Any], cause: str) -> None:
    given = {"base_url": "https://altcraft.example.test", "token": "t", "db_id": 1, **settings}
    with pytest.raises(ValueError, match=cause):
        a_vendor("altcraft", **given)


def test_xml_leaves_room_for_its_longer_words() -> None:
    assert the_vendor("altcraft", content="xml").rules().body_bytes < the_vendor("altcraft").rules().body_bytes


def test_nested_lists_can_be_written_as_xml() -> None:
    vendor = the_vendor("altcraft", content="xml")
    (draft,) = vendor.records(an_event(), [{"email": "a@example.test", "matrix": [[1, 2], []]}])
    assert draft.data["data"]["matrix"] == [[1, 2], []]


@pytest.mark.parametrize("type_", ["product.created", "customer.redacted", "unheard.of"])
def test_what_tells_nothing_of_a_profile_is_filtered(type_: str) -> None:
    with pytest.raises(LookupError):
        the_vendor("altcraft").mapping(an_event(type_))
