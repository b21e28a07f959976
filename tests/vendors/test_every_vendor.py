"""What every vendor keeps to, whatever its API: one outcome for each record, nothing raised, nothing secret shown."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from gateway.errors import Reason, Refusal
from gateway.vendors.answers import DETAIL_CHARS, WAIT_MAX_S
from gateway.vendors.base import (
    Answer,
    Delivered,
    Failure,
    Outcome,
    Refused,
    Response,
    Retry,
    Split,
    Suspended,
    Throttled,
)
from tests.vendors.samples import (
    EVERY_VENDOR,
    SAMPLES,
    a_vendor,
    an_event,
    content_of,
    the_batch,
    the_settings,
    the_vendor,
)

NAMES = sorted(EVERY_VENDOR)
every_vendor = pytest.mark.parametrize("name", NAMES)

BODIES: dict[str, bytes] = {
    "empty": b"",
    "blank": b" \r\n",
    "html": b"<html><body><h1>502 Bad Gateway</h1></body></html>",
    "truncated": b'{"status":"OK","request_id":"e8d9',
    "a list": b"[]",
    "a text": b'"OK"',
    "null": b"null",
    "another object": b"{}",
    "wrong types": b'{"status":[],"rejected":{},"error":[1],"result":{"a":1},"results":"x","message":{},"data":7}',
    "lists of oddities": b'{"error":0,"result":[null,1,"x",[],{}],"results":[{"written":"yes"},{"error":7}]}',
    "not UTF-8": b'{"message":"\xff\xfe\x00"}',
    "deep": b"[" * 100_000,
    "a giant integer": b'{"rejected":' + b"9" * 5_000 + b',"error":' + b"9" * 5_000 + b"}",
    "a giant fraction": b'{"rejected":1e999999999,"error":1e-999999999}',
    "huge": b'{"message":"' + b"x" * ((1 << 20) - 12),
}

HEADERS: dict[str, dict[str, str]] = {
    "none": {},
    "usual": {"retry-after": "5", "x-queuesize-remaining": "120", "content-type": "application/json"},
    "odd": {"retry-after": "soon", "x-queuesize-remaining": "-1e9", "date": "yesterday", "x-request-id": "ö" * 5_000},
    "extreme": {"retry-after": "9" * 30, "x-queuesize-remaining": "9" * 30},
    "dates": {"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT", "date": "Thu, 01 Jan 1970 00:00:00 GMT"},
}

EVERY_STATUS = range(100, 600)
FEW_STATUSES = (100, 200, 202, 302, 400, 413, 429, 503)
"""For bodies that take milliseconds to look through."""

FAILURES = [Failure(Reason.CONNECTION_FAILED, "ClientConnectorError: refused"), Failure(Reason.TIMEOUT, "30 s")]


def outcomes(name: str, answer: Answer) -> tuple[Outcome, ...]:
    """What a vendor makes of an answer to its sample's batch of one."""
    return the_vendor(name).judge(the_batch(name), answer).outcomes


def all_outcomes(
    name: str, body: bytes, headers: dict[str, str], statuses: Iterable[int] = EVERY_STATUS
) -> Iterator[tuple[int, Outcome]]:
    vendor = the_vendor(name)
    for batch in (the_batch(name, copies) for copies in ((1, 3) if vendor.rules().records > 1 else (1,))):
        for status in statuses:
            verdict = vendor.judge(batch, Response(status, headers, body))
            assert len(batch.records) == len(verdict.outcomes)
            assert verdict.ease is None or verdict.ease.for_s <= WAIT_MAX_S
            yield from ((status, outcome) for outcome in verdict.outcomes)


def test_every_vendor_has_a_sample() -> None:
    assert sorted(SAMPLES) == NAMES


@every_vendor
@pytest.mark.parametrize("body", BODIES)
def test_every_answer_gives_each_record_one_outcome_and_raises_nothing(name: str, body: str) -> None:
    statuses = FEW_STATUSES if len(BODIES[body]) > 20_000 else EVERY_STATUS
    judged = {status for status, _ in all_outcomes(name, BODIES[body], HEADERS["usual"], statuses)}
    assert set(statuses) == judged


@every_vendor
@pytest.mark.parametrize("headers", HEADERS)
def test_odd_headers_never_stop_an_account_for_longer_than_six_hours(name: str, headers: str) -> None:
    for _, outcome in all_outcomes(name, b"{}", HEADERS[headers]):
        wait_s = {Throttled: "for_s", Retry: "after_s"}.get(type(outcome))
        assert 0.0 <= ((getattr(outcome, wait_s) if wait_s else None) or 0.0) <= WAIT_MAX_S


@every_vendor
def test_only_a_2xx_can_mean_delivered(name: str) -> None:
    for body in BODIES.values():
        statuses = FEW_STATUSES if len(body) > 20_000 else EVERY_STATUS
        found = {status for status, one in all_outcomes(name, body, {}, statuses) if isinstance(one, Delivered)}
        assert found <= set(range(200, 300)), body


@every_vendor
@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 599, 408, 425])
def test_what_passes_by_itself_is_tried_again(name: str, status: int) -> None:
    assert {Retry} == set(map(type, outcomes(name, Response(status, {}, b"<html>"))))


@every_vendor
@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_suspends_the_account(name: str, status: int) -> None:
    assert {Suspended} == set(map(type, outcomes(name, Response(status, {}, b"<html>"))))


@every_vendor
def test_a_429_obeys_retry_after_and_costs_no_attempt(name: str) -> None:
    (outcome,) = outcomes(name, Response(429, {"retry-after": "17"}, b""))
    assert isinstance(outcome, Throttled)
    assert (outcome.for_s, outcome.reason) == (17.0, Reason.RATE_LIMITED)


@every_vendor
@pytest.mark.parametrize(
    ("until", "wait_s"),
    [("Fri, 02 Jan 2026 03:01:30 GMT", 90.0), ("Sat, 03 Jan 2026 03:00:00 GMT", 6 * 3600.0), ("86400", 6 * 3600.0)],
)
def test_a_429_obeys_a_retry_after_date_and_waits_six_hours_at_most(name: str, until: str, wait_s: float) -> None:
    headers = {"retry-after": until, "date": "Fri, 02 Jan 2026 03:00:00 GMT"}
    (outcome,) = outcomes(name, Response(429, headers, b""))
    assert isinstance(outcome, Throttled)
    assert outcome.for_s == wait_s


@every_vendor
@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.reason)
def test_an_answer_that_never_came_is_tried_again(name: str, failure: Failure) -> None:
    for outcome in outcomes(name, failure):
        assert isinstance(outcome, Retry)
        assert failure.reason == outcome.reason


@every_vendor
def test_a_batch_of_one_is_never_split(name: str) -> None:
    for body in BODIES.values():
        for status in (200, 202, 400, 413, 422):
            assert Split not in map(type, outcomes(name, Response(status, {}, body))), (status, body)


@every_vendor
def test_no_outcome_shows_a_secret_or_runs_on(name: str) -> None:
    told = " ".join(the_vendor(name).secrets()).encode()
    for body in (
        b'{"message":"%s","request_id":"%s"}' % (told, told),
        b'{"status":"OK","request_id":"%s"}' % told,
        told,
    ):
        for _, outcome in all_outcomes(name, body, HEADERS["odd"]):
            shown = {**msgspec.structs.asdict(outcome), "derived": None}
            assert "hush" not in repr(shown)
            assert all(len(str(value)) <= DETAIL_CHARS for value in shown.values())


@every_vendor
def test_nothing_that_names_the_account_shows_its_secret(name: str) -> None:
    vendor = the_vendor(name)
    settings = the_settings(name, SAMPLES[name].settings)
    for shown in (vendor.account(), repr(vendor), repr(settings), str(settings), settings.model_dump_json()):
        assert "hush" not in shown
    assert all(vendor.secrets())


@every_vendor
def test_two_destinations_with_one_credential_are_one_account(name: str) -> None:
    assert the_vendor(name).account() == the_vendor(name, weight=3.0).account()


@every_vendor
def test_the_same_batch_makes_the_same_request_byte_for_byte(name: str) -> None:
    copies = min(3, the_vendor(name).rules().records)
    first, second = (the_vendor(name).request(the_batch(name, copies)) for _ in range(2))
    assert first == second


@every_vendor
def test_a_request_keeps_within_its_own_rules(name: str) -> None:
    vendor, rules = the_vendor(name), the_vendor(name).rules()
    assert rules.record_bytes <= rules.body_bytes
    batch = the_batch(name, min(3, rules.records))
    assert len(vendor.request(batch).body) <= rules.body_bytes


@every_vendor
def test_letters_of_any_alphabet_arrive_as_they_are(name: str) -> None:
    if name == "lookup":
        pytest.skip("it only asks")
    assert "Zoë 🌍".encode() in content_of(the_vendor(name).request(the_batch(name)))


@every_vendor
def test_header_values_can_stand_in_a_request(name: str) -> None:
    for field, value in the_vendor(name).request(the_batch(name)).headers:
        assert field.isascii()
        assert value.isascii()
        assert value.isprintable()


@every_vendor
def test_records_of_one_event_have_keys_that_stay(name: str) -> None:
    first, second = (the_batch(name).records[0] for _ in range(2))
    assert first.draft.key_hash == second.draft.key_hash
    assert first.idempotency_key == second.idempotency_key


def test_a_record_of_another_event_has_another_key_though_a_restored_backup_gives_it_the_same_seq() -> None:
    record = the_batch("http").records[0]
    keys = [replace(record, event_id=id_).idempotency_key for id_ in ("evt_a", "evt_a.2", "evt_b")]
    assert keys[0] == keys[1]
    assert keys[0] != keys[2]


@every_vendor
@pytest.mark.parametrize("document", [None, 7, "text", ["list"], {}, {"id": {}, "@type": []}])
def test_a_mapping_that_makes_nonsense_is_refused_or_carried(name: str, document: Any) -> None:
    vendor = the_vendor(name)
    with suppress(Refusal):
        assert all(draft.data is not None or document is None for draft in vendor.records(an_event(), [document]))


@every_vendor
def test_a_mapping_is_named_or_the_event_is_filtered(name: str) -> None:
    for type_ in ("customer.updated", "order.created", "unheard.of", "product.deleted", "customer.redacted"):
        try:
            mapping = the_vendor(name).mapping(an_event(type_))
        except LookupError:
            continue
        assert mapping is None or mapping.startswith(f"{name}/")


@every_vendor
def test_limits_and_rules_are_positive(name: str) -> None:
    vendor = the_vendor(name)
    assert all(limit.allow > 0 and limit.per_s > 0 for limit in vendor.limits())
    assert vendor.rules().records > 0


@every_vendor
def test_another_place_for_the_api_is_taken_without_its_last_slash(name: str) -> None:
    if name == "http":
        pytest.skip("its url is the place")
    vendor = the_vendor(name, base_url="http://127.0.0.1:9900/here/")
    batch = the_batch(name, base_url="http://127.0.0.1:9900/here/")
    assert vendor.request(batch).url.startswith("http://127.0.0.1:9900/here/")
    assert "//" not in vendor.request(batch).url.removeprefix("http://")
    assert "127.0.0.1:9900" in vendor.account()


@every_vendor
def test_every_setting_is_described(name: str) -> None:
    fields = EVERY_VENDOR[name].Settings.model_fields
    assert [field for field, info in fields.items() if not info.description] == []


def test_a_refused_record_says_so_once() -> None:
    outcome = the_vendor("ometria").judge(the_batch("ometria"), Response(400, {}, b'{"message":"no"}')).outcomes[0]
    assert Refused(Reason.PAYLOAD_REFUSED, "400 no") == outcome


def test_a_vendor_without_its_credential_is_no_configuration() -> None:
    with pytest.raises(ValueError, match="api_key"):
        a_vendor("ometria")
