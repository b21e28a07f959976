"""A look-up: what it asks for, and what an answer makes of the events that asked."""

import re
from pathlib import Path
from typing import Any

import pytest

from gateway import app, document
from gateway.config.schema import DestinationSettings
from gateway.errors import Reason, Refusal
from gateway.vendors.base import (
    Answer,
    Batch,
    Delivered,
    Derived,
    Outcome,
    Refused,
    Response,
    Retry,
    Superseded,
    Throttled,
    Vendor,
)
from gateway.vendors.lookup import ANSWER_BYTES, LookupSettings
from tests.vendors.samples import SENT_AT_MS, a_batch, a_record, a_vendor, an_event

ORDER = "https://api.shop.test/v2/orders/{subject}?include=items"
JSON = {"content-type": "application/json"}
WHOLE = b'{"id":250,"total":"12.50"}'


def a_lookup(**settings: Any) -> Vendor:
    return a_vendor("lookup", **{"urls": {"order.*": ORDER}, **settings})


def an_order(subject: str | None = "250", **more: Any) -> Any:
    return an_event("order.changed", subject, **{"topic": "store/order/updated", **more})


def asked(vendor: Vendor, *subjects: str) -> Batch:
    events = [an_order(subject, id=f"evt_{place}", seq=place) for place, subject in enumerate(subjects, start=1)]
    records = [a_record(draft, event, event.seq) for event in events for draft in vendor.records(event, None)]
    return Batch("crm", records[0].draft.channel, tuple(records), SENT_AT_MS)


def came_of(answer: Answer, **settings: Any) -> Outcome:
    vendor = a_lookup(**settings)
    (outcome,) = vendor.judge(a_batch(vendor, an_order(), None), answer).outcomes
    return outcome


# --- what is asked for -----------------------------------------------------------------------------------------------


def test_it_asks_for_what_the_event_names() -> None:
    vendor = a_lookup(auth={"header": {"name": "X-Auth-Token", "value": "hush"}}, headers={"X-Team": "crm"})
    request = vendor.request(a_batch(vendor, an_order(), None))
    assert (request.method, request.body, request.intent) == ("GET", b"", "")
    assert request.url == "https://api.shop.test/v2/orders/250?include=items"
    assert dict(request.headers) == {"accept": "application/json", "x-auth-token": "hush", "x-team": "crm"}


def test_a_path_stands_below_the_base_url() -> None:
    vendor = a_lookup(base_url="https://api.shop.test/stores/abc/", urls={"order.*": "/v2/orders/{subject}"})
    assert vendor.request(a_batch(vendor, an_order(), None)).url == "https://api.shop.test/stores/abc/v2/orders/250"


def test_the_first_glob_that_matches_says_where_and_what_none_matches_is_filtered() -> None:
    vendor = a_lookup(urls={"order.changed": "https://a.test/{subject}", "*.changed": "https://b.test/{subject}"})
    urls = [vendor.request(a_batch(vendor, an_event(type_), None)).url for type_ in ("order.changed", "cart.changed")]
    assert urls == ["https://a.test/C-1", "https://b.test/C-1"]
    with pytest.raises(LookupError):
        vendor.mapping(an_event("order.deleted"))
    assert vendor.mapping(an_order()) is None


def test_an_event_without_an_id_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(Refusal) as refused:
        a_lookup().records(an_order(None), None)
    assert (refused.value.reason, "subject" in refused.value.detail) == (Reason.INCOMPLETE, True)


def test_an_id_cannot_lead_elsewhere() -> None:
    vendor = a_lookup()
    assert vendor.request(a_batch(vendor, an_order("../../admin?x="), None)).url.startswith(
        "https://api.shop.test/v2/orders/..%2F..%2Fadmin%3Fx%3D"
    )
    with pytest.raises(Refusal):
        vendor.records(an_order(".."), None)


def test_events_that_ask_for_the_same_share_a_channel_and_a_key_and_others_do_not() -> None:
    vendor = a_lookup()
    drafts = [vendor.records(an_order(subject), None)[0] for subject in ("250", "250", "251")]
    assert drafts[0].channel == drafts[1].channel != drafts[2].channel
    assert drafts[0].key_hash == drafts[1].key_hash != drafts[2].key_hash
    assert {draft.kind for draft in drafts} == {"fact"}


def test_one_id_at_two_places_is_not_one_request() -> None:
    vendor = a_lookup(urls={"order.*": "https://a.test/o/{subject}", "cart.*": "https://b.test/o/{subject}"})
    channels = {vendor.records(an_event(type_), None)[0].channel for type_ in ("order.changed", "cart.changed")}
    assert len(channels) == 2


def test_a_header_that_varies_is_part_of_what_is_asked() -> None:
    vendor = a_lookup(headers={"X-Shop": "{source}"})
    one, other = (vendor.records(an_order(source=shop), None)[0] for shop in ("uk-shop", "de-shop"))
    assert one.channel != other.channel
    assert dict(vendor.request(a_batch(vendor, an_order(), None)).headers)["x-shop"] == "uk-shop"


def test_a_long_url_has_a_short_channel() -> None:
    (draft,) = a_lookup().records(an_order("9" * 2_000), None)
    assert len(draft.channel) <= 120


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"urls": {}}, "at least one"),
        ({"urls": {"order.*": "/v2/orders/{subject}"}}, "below `base_url`"),
        ({"urls": {"order.*": "ftp://shop.test/{subject}"}}, "a URL is wanted"),
        ({"urls": {"order.*": "https://shop.test/{subject"}}, "without its"),
        ({"urls": {"order.*": "https://{subject}.shop.test/"}}, "behind the host"),
        ({"topic": "{nonsense(}"}, "no expression"),
        ({"found_when": "body."}, "no expression"),
        ({"success": ["2xx"]}, "ranges"),
        ({"missing": "ignored"}, "superseded"),
        ({"batch": {"records": 5}}, "batch"),
        ({"dry_run": True}, "dry_run"),
        ({"vendor": "http"}, "vendor"),
    ],
)
def test_settings_that_cannot_work_are_refused(changed: dict[str, Any], cause: str) -> None:
    with pytest.raises(ValueError, match=cause):
        a_lookup(**changed)


# --- what an answer makes --------------------------------------------------------------------------------------------


def test_what_is_found_is_an_event_of_its_own() -> None:
    outcome = came_of(Response(200, {**JSON, "x-request-id": "r1"}, WHOLE))
    derived = Derived("lookup/store/order/updated", (("content-type", "application/json"),), WHOLE)
    assert outcome == Delivered("r1", derived=derived)


def test_every_event_that_asked_gets_one_under_its_own_topic() -> None:
    vendor = a_lookup(topic="{id}.complete")
    outcomes = vendor.judge(asked(vendor, "250", "250"), Response(200, JSON, WHOLE)).outcomes
    found = [outcome.derived for outcome in outcomes if isinstance(outcome, Delivered)]
    assert [one.topic for one in found if one] == ["evt_1.complete", "evt_2.complete"]


@pytest.mark.parametrize(
    "answer", [Response(404, {}, b""), Response(410, {}, b""), Response(204, {}, b""), Response(200, JSON, b" ")]
)
def test_what_is_not_found_is_dead_or_superseded(answer: Response) -> None:
    dead, superseded = came_of(answer), came_of(answer, missing="superseded")
    assert isinstance(dead, Refused)
    assert isinstance(superseded, Superseded)
    assert (dead.reason, superseded.reason) == (Reason.NOT_FOUND, Reason.NOT_FOUND)


def test_an_empty_list_can_mean_that_nothing_was_found() -> None:
    condition = "length(body.data) > `0`"
    assert isinstance(came_of(Response(200, JSON, b'{"data":[]}'), found_when=condition), Refused)
    assert isinstance(came_of(Response(200, JSON, b'{"data":[{"id":1}]}'), found_when=condition), Delivered)


def test_a_page_in_place_of_a_document_is_asked_for_again() -> None:
    outcome = came_of(Response(200, {}, b"<html>maintenance</html>"))
    assert isinstance(outcome, Retry)
    assert outcome.reason is Reason.UNEXPECTED_ANSWER


def test_an_answer_in_xml_is_read_as_it_says() -> None:
    xml = Response(200, {"content-type": "application/xml; charset=utf-8"}, b"<order><id>250</id></order>")
    outcome = came_of(xml)
    assert isinstance(outcome, Delivered)
    assert outcome.derived is not None
    assert outcome.derived.headers == (("content-type", "application/xml; charset=utf-8"),)


def test_a_header_that_is_no_text_stops_no_journal() -> None:
    outcome = came_of(Response(200, {"content-type": "application/json;\udcff" + "x" * 5_000}, WHOLE))
    assert isinstance(outcome, Delivered)
    assert outcome.derived is not None
    ((_, media),) = outcome.derived.headers
    assert (media[:18], len(media.encode()) <= 200) == ("application/json;?", True)


def test_an_answer_that_is_cut_off_is_no_event() -> None:
    body = document.dump({"pad": "x" * ANSWER_BYTES})
    vendor = a_lookup()
    batch = a_batch(vendor, an_order(), None)
    (outcome,) = vendor.judge(batch, Response(200, JSON, body[: vendor.request(batch).answer_bytes])).outcomes
    assert outcome == Refused(Reason.TOO_LARGE, f"the answer is larger than {ANSWER_BYTES} bytes")


def test_it_leaves_the_api_alone_when_told_so() -> None:
    assert came_of(Response(429, {"retry-after": "7"}, b"")) == Throttled(Reason.RATE_LIMITED, 7.0, "account", "429")


def test_only_the_statuses_that_mean_found_do() -> None:
    assert isinstance(came_of(Response(203, JSON, WHOLE), success=[200]), Retry)


# --- its page --------------------------------------------------------------------------------------------------------


def test_the_page_names_every_setting_and_its_configuration_is_taken(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "lookups.md").read_text("utf-8")
    own = LookupSettings.model_fields.keys() - DestinationSettings.model_fields.keys()
    assert [name for name in sorted(own) if f"`{name}" not in page] == []
    (yaml,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml)
    loaded = app.load_config(file, dict.fromkeys(re.findall(r"\$\{([A-Z_]+)\}", yaml), "x"))
    assert set(loaded.lookups) == {"shop-api"}
