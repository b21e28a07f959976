"""What is particular to Altcraft: request ids that stay over retries, codes that nobody described, matching."""

from typing import Any

import msgspec
import pytest

from gateway.vendors.base import Batch, Refused, Response, Retry
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


def test_an_error_that_altcraft_may_only_remember_gets_another_id_in_the_end() -> None:
    batch = the_batch("altcraft")
    assert request_id(batch) != request_id(tried(batch, 3))
    assert request_id(tried(batch, 3)) == request_id(tried(batch, 5))


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


def test_what_waits_for_hours_gets_another_id_each_hour_and_within_one_keeps_it() -> None:
    batch = the_batch("altcraft")
    at_ms = batch.sent_at_ms
    records = tuple(msgspec.structs.replace(one, received_at_ms=at_ms) for one in batch.records)
    ids = [
        request_id(msgspec.structs.replace(batch, records=records, sent_at_ms=at_ms + minutes * 60_000))
        for minutes in (0, 59, 60, 119, 120)
    ]
    assert [ids.index(one) for one in ids] == [0, 0, 2, 2, 4]
