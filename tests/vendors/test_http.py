"""What is particular to an HTTP destination's settings and events."""

import re
from base64 import b64encode
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec
import pytest

from gateway.clock import SystemClock
from gateway.config.schema import Source
from gateway.config.values import Secret
from gateway.deliver.outbound import HttpOutbound
from gateway.errors import Reason, Refusal
from gateway.model import NormalEvent
from gateway.receive.keys import Keys
from gateway.receive.verify.standard_webhooks import StandardWebhooks
from gateway.sandbox.server import serving
from gateway.vendors.base import TOKEN, Delivered, Refused, Request, Response, Suspended, Token, TokenVendor, Vendor
from gateway.vendors.http import BODY_BYTES
from tests.vendors.samples import SENT_AT_MS, a_batch, a_vendor, an_event, the_batch, the_vendor


def settings(**changed: Any) -> dict[str, Any]:
    return {"url": "https://crm.example.test/in", **changed}


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"auth": {}}, "one of bearer"),
        ({"auth": {"bearer": "a", "header": {"name": "X", "value": "b"}}}, "one of bearer"),
        ({"auth": {"header": {"name": "X Y", "value": "b"}}}, "pattern"),
        ({"success": ["2xx"]}, "ranges"),
        ({"success": []}, "ranges"),
        ({"headers": {"Content-Length": "5"}}, "no header that may be set"),
        ({"headers": {"X": "a\r\nY: b"}}, "cannot carry"),
        ({"url": "https://ada:secret@crm.example.test/in"}, "belong under"),
        ({"method": "GET"}, "method"),
        ({"format": "xml"}, "format"),
    ],
)
def test_settings_that_cannot_work_are_refused(changed: dict[str, Any], cause: str) -> None:
    with pytest.raises(ValueError, match=cause):
        a_vendor("http", **settings(**changed))


def test_several_documents_of_one_event_have_ids_of_their_own() -> None:
    drafts = a_vendor("http", **settings()).records(an_event("order.created"), [{"n": 1}, {"n": 2}, {"n": 3}])
    assert [draft.data["id"] for draft in drafts] == ["evt_1", "evt_1-2", "evt_1-3"]


def test_orders_of_two_shops_with_one_number_do_not_wait_for_each_other() -> None:
    vendor = a_vendor("http", **settings())
    (uk,), (de,) = (vendor.records(an_event("order.created", source=shop), None) for shop in ("uk-shop", "de-shop"))
    assert uk.key_hash != de.key_hash


def test_an_event_that_its_mapping_drops_is_filtered() -> None:
    assert a_vendor("http", **settings()).records(an_event(), []) == []


def test_a_key_in_another_form_is_still_one_account_and_another_key_another() -> None:
    first, second = ({"bearer": "a"}, {"bearer": "b"})
    accounts = {a_vendor("http", **settings(auth=auth)).account() for auth in (first, first, second)}
    assert len(accounts) == 2


def test_urls_without_a_credential_are_accounts_of_their_own() -> None:
    assert (
        a_vendor("http", **settings()).account()
        != a_vendor("http", **settings(url="https://crm.example.test/x")).account()
    )


def test_the_receipt_is_the_answers_request_id_in_few_words() -> None:
    answer = Response(200, {"x-request-id": "r" * 1_000}, b"")
    (outcome,) = the_vendor("http").judge(the_batch("http"), answer).outcomes
    assert isinstance(outcome, Delivered)
    assert len(outcome.receipt) == 200


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        (
            {
                "auth": {
                    "path": "a",
                    "oauth2": {"token_url": "https://a.example", "client_id": "a", "client_secret": "b"},
                }
            },
            "one of bearer",
        ),
        ({"auth": {"standard_webhooks": "whsec_not base64"}}, "whsec_"),
        ({"auth": {"standard_webhooks": "whsec_"}}, "whsec_"),
        ({"format": "cloudevents-binary", "batch": {"records": 2}}, "one event a request"),
        ({"format": "cloudevents", "content": "xml"}, "format: data"),
        ({"content": "form", "batch": {"records": 2}}, "holds one record"),
        ({"content": "ndjson", "wrap": "batch"}, "nothing goes around"),
        ({"content": "xml", "wrap": {"a": "{records}"}}, "element's name"),
        ({"wrap": {"a": "records"}}, "holds {records} once"),
        ({"wrap": {"a": "{records}", "b": ["{records}"]}}, "holds {records} once"),
        ({"wrap": {"{records}": 1}}, "holds {records} once"),
        ({"element": "a b"}, "pattern"),
        ({"url": "https://crm.example.test/{subject"}, "without its"),
        ({"url": "https://crm.example.test/subject}"}, "without its"),
        ({"url": "https://{source}.example.test/"}, "behind the host"),
        ({"url": "{data.url}"}, "a URL is wanted"),
        ({"url": "https://crm.example.test/{nope(subject)}"}, "no function"),
        ({"success_when": "body."}, "ends too early"),
        ({"results": {"items": "body.results", "ok": "item["}}, "no expression"),
        ({"method": "FETCH"}, "a method is one of"),
    ],
)
def test_what_could_never_be_sent_or_read_is_no_configuration(changed: dict[str, Any], cause: str) -> None:
    with pytest.raises(ValueError, match=re.escape(cause)):
        a_vendor("http", **settings(**changed))


# --- auth ------------------------------------------------------------------------------------------------------------

SIGNING = ["whsec_" + b64encode(text).decode() for text in (b"tide-pool", b"kiln")]


def sent(vendor: Vendor, event: NormalEvent | None = None) -> Request:
    return vendor.request(a_batch(vendor, event or an_event(data={"id": "C-1"}), None))


def test_a_signature_is_taken_by_whoever_verifies_as_standard_webhooks_says() -> None:
    request = sent(a_vendor("http", **settings(auth={"standard_webhooks": SIGNING})))
    headers = dict(request.headers)
    assert headers["webhook-timestamp"] == str(SENT_AT_MS // 1000)
    fields = {name.encode(): value.encode() for name, value in headers.items()}
    for secret in SIGNING:
        source = Source(preset="standard-webhooks", secrets=[Secret(secret)])
        StandardWebhooks().verifier(source, Keys(SystemClock()))(request.body, fields, SENT_AT_MS)


def test_a_signatures_id_stays_over_attempts_and_its_time_does_not() -> None:
    vendor = a_vendor("http", **settings(auth={"standard_webhooks": SIGNING[0], "bearer": "t-1"}))
    batch = a_batch(vendor, an_event(), None)
    first, again = (
        dict(vendor.request(msgspec.structs.replace(batch, sent_at_ms=at_ms)).headers) for at_ms in (1_000, 60_000)
    )
    assert first["authorization"] == "Bearer t-1"
    assert first["webhook-id"] == again["webhook-id"] == batch.key
    assert (first["webhook-timestamp"], again["webhook-timestamp"]) == ("1", "60")
    assert first["webhook-signature"] != again["webhook-signature"]


CLIENT = {
    "token_url": "https://auth.example.test/token",
    "client_id": "gate way",
    "client_secret": "k&1",
    "scope": "a b",
}


def test_a_token_is_fetched_with_the_clients_credentials_in_the_form_or_in_a_header() -> None:
    body, basic = (
        a_vendor("http", **settings(auth={"oauth2": {**CLIENT, "send": send}})) for send in ("body", "basic")
    )
    assert isinstance(body, TokenVendor)
    assert isinstance(basic, TokenVendor)
    form = b"grant_type=client_credentials&scope=a+b"
    assert body.token_request().body == form + b"&client_id=gate+way&client_secret=k%261"
    assert basic.token_request().body == form
    pair = b64encode(b"gate+way:k%261").decode()
    assert dict(basic.token_request().headers)["Authorization"] == f"Basic {pair}"


def test_a_request_says_where_the_fetched_token_goes() -> None:
    vendor = a_vendor("http", **settings(auth={"oauth2": CLIENT}))
    assert isinstance(vendor, TokenVendor)
    assert sent(vendor).token
    assert dict(sent(vendor).headers)["authorization"] == f"Bearer {TOKEN}"
    assert vendor.token_of(Response(200, {}, b'{"access_token":"jwt-1"}')) == Token(Secret("jwt-1"), 3600.0)
    assert vendor.token_of(Response(400, {}, b'{"error":"k&1?"}')) == Suspended(Reason.KEY_REFUSED, "400 ***?")


def test_nothing_is_fetched_where_nothing_is_to_be_fetched() -> None:
    assert not sent(a_vendor("http", **settings())).token


def test_the_secret_end_of_a_url_stands_in_the_request_alone() -> None:
    vendor = a_vendor("http", url="https://hooks.example.test/services/", auth={"path": "T0/B0/hush"})
    assert sent(vendor).url == "https://hooks.example.test/services/T0/B0/hush"
    assert "hush" not in vendor.account()
    assert "T0/B0/hush" in vendor.secrets()


# --- batches, places -------------------------------------------------------------------------------------------------


def test_a_batch_that_the_api_can_know_again_goes_again_as_it_was() -> None:
    for more, intent in (
        ({}, ""),
        ({"idempotency_header": "X-Key"}, "keyed"),
        ({"auth": {"standard_webhooks": SIGNING}}, "keyed"),
    ):
        vendor = a_vendor("http", **settings(batch={"records": 5}, **more))
        batch = a_batch(vendor, an_event(), None, copies=2)
        assert vendor.request(batch).intent == intent
        assert (vendor.rules().keyed, vendor.rules().one_per_key) == (bool(intent), bool(intent))
        assert vendor.request(msgspec.structs.replace(batch, records=batch.records[:1])).intent == ""


def test_records_with_results_of_their_own_overtake_none_of_their_key() -> None:
    vendor = a_vendor("http", **settings(batch={"records": 5}, results={"items": "body", "ok": "item.ok"}))
    assert vendor.rules().one_per_key


@pytest.mark.parametrize("more", [{}, {"content": "form"}, {"content": "xml"}, {"wrap": "batch"}])
def test_a_body_is_within_its_bound(more: dict[str, Any]) -> None:
    vendor = a_vendor("http", **settings(format="data", **more))
    name, most = "n" * 40, 40_000
    event = an_event(data={f"{name}{number}": "<" for number in range(most // 50)})
    request, (record,) = sent(vendor, event), a_batch(vendor, event, None).records
    assert len(request.body) <= BODY_BYTES * record.size / vendor.rules().record_bytes + len('{"batch":[]}')


def test_long_places_are_told_apart_by_a_hash() -> None:
    vendor = a_vendor("http", url="https://crm.example.test/{subject}", batch={"records": 5})
    channels = {vendor.records(an_event(subject=letter * 500), None)[0].channel for letter in "aab"}
    assert len(channels) == 2
    assert all(len(channel) < 50 for channel in channels)


def test_what_is_kept_of_a_request_holds_no_secret() -> None:
    vendor = a_vendor("http", url="https://crm.example.test/{subject}?key=hush", auth={"bearer": "hush"})
    (draft,) = vendor.records(an_event(), None)
    assert draft.data["places"] == {"subject": "C-1"}
    assert "hush" not in repr(draft)


def test_what_was_made_before_its_url_had_places_is_not_sent_to_another_one() -> None:
    batch = a_batch(a_vendor("http", **settings()), an_event(), None)
    with pytest.raises(Refusal):
        a_vendor("http", url="https://crm.example.test/{subject}").request(batch)


async def test_values_arrive_as_they_are_whatever_is_in_them() -> None:
    value = "a/../b?c=d&e#f%2F+ é;🌍\\"
    async with serving("127.0.0.1:0") as served, HttpOutbound() as outbound:
        vendor = a_vendor("http", url=f"{served.url}/sink/of/{{subject}}?q={{subject}}", headers={"X-Of": "{subject}"})
        batch = a_batch(vendor, an_event(subject=value), None)
        answer = await outbound.send(vendor.request(batch), 5.0)
        (verdict,) = vendor.judge(batch, answer).outcomes
        (taken,) = served.sandbox.sink.taken
    assert isinstance(verdict, Delivered)
    assert taken.path == f"/of/{value}"
    assert parse_qs(taken.query) == {"q": [value]}
    assert unquote(taken.headers["x-of"]) == unquote(value)


def test_what_is_secret_in_a_url_or_a_header_is_as_secret_as_under_auth() -> None:
    vendor = a_vendor(
        "http",
        **settings(
            url="https://crm.example.test/in?version=2024-04-01&key=k%2Fey-1&email={data.email}",
            headers={"X-Api-Token": "Bearer t0ken-1", "X-Team": "crm", "Cookie": "{subject}"},
        ),
    )
    assert set(vendor.secrets()) == {"k/ey-1", "Bearer t0ken-1", "t0ken-1"}


def test_a_vendor_that_repeats_a_key_of_the_url_does_not_make_it_known() -> None:
    vendor = a_vendor("http", **settings(url="https://crm.example.test/in?key=k%2Fey-1"))
    batch = a_batch(vendor, an_event(), None)
    (outcome,) = vendor.judge(batch, Response(400, {}, b'{"detail": "no k/ey-1, nor k%2Fey-1"}')).outcomes
    assert isinstance(outcome, Refused)
    assert outcome.detail == "400 no ***, nor ***"


@pytest.mark.parametrize("opted", [{"coalesce": True}, {"stale": ["order"]}, {"coalesce": ["order", "product"]}])
def test_an_entity_of_which_only_the_newest_state_is_wanted_is_a_state(opted: dict[str, Any]) -> None:
    (draft,) = a_vendor("http", **settings(**opted)).records(an_event("order.created"), None)
    assert draft.kind == "state"


@pytest.mark.parametrize("opted", [{}, {"coalesce": ["customer"]}, {"stale": ["product"]}])
def test_other_entities_are_facts(opted: dict[str, Any]) -> None:
    (draft,) = a_vendor("http", **settings(**opted)).records(an_event("order.created"), None)
    assert draft.kind == "fact"
