"""From a raw event to normal events."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.schema import Source
from gateway.errors import MappingError
from gateway.mapping.book import Book
from gateway.mapping.normalise import Normaliser, dotted, read_body, verb
from gateway.model import NormalEvent
from tests.mapping.making import JSON, event

ORDER = {"entity": "order", "fields": {"id": {"from": "body.id", "type": "string"}, "updated_at": "body.updated_at"}}
FORM = (("content-type", "application/x-www-form-urlencoded; charset=utf-8"),)
XML = (("content-type", "application/xml"),)


def normaliser(
    *,
    own: dict[str, Any] | None = None,
    rules: dict[str, str] | None = None,
    preset: dict[str, str] | None = None,
    **more: Any,
) -> Normaliser:
    book = Book({"order": ORDER, **(own or {})})
    return Normaliser("uk-shop", Source(normalise=rules or {}, **more), preset or {}, book)


def normal(body: Any, topic: str = "orders/create", **more: Any) -> NormalEvent:
    (found,) = normaliser(preset={"orders/*": "order"}, **more).normal(event(body, topic))
    return found


# --- with a mapping --------------------------------------------------------------------------------------------------


def test_an_event_becomes_a_normal_event() -> None:
    assert normal({"id": 820982911946154508, "updated_at": "2026-01-01T10:00:00+01:00"}) == NormalEvent(
        id="evt_7",
        seq=7,
        source="uk-shop",
        type="order.created",
        subject="820982911946154508",
        time="2026-01-01T09:00:00Z",
        topic="orders/create",
        entity="order",
        held={"id": "820982911946154508", "updated_at": "2026-01-01T10:00:00+01:00"},
        received_at_ms=1767323045000,
    )


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("orders/create", "created"),
        ("orders/updated", "updated"),
        ("orders/delete", "deleted"),
        ("orders/paid", "paid"),
        ("orders/cancelled", "cancelled"),
        ("orders/canceled", "cancelled"),
        ("orders/fulfilled", "fulfilled"),
        ("orders/partially_fulfilled", "partially_fulfilled"),
        ("order.created", "created"),
        ("order.restored", "restored"),
        ("store/cart/abandoned", "abandoned"),
        ("customers/redact", "redacted"),
    ],
)
def test_the_verb_is_the_topics_last_part_in_the_past_tense(topic: str, expected: str) -> None:
    assert verb(topic) == expected


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("order_created", "created"),
        ("order_fully_paid", "paid"),
        ("OrderCreated", "created"),
        ("wix.ecom.v1.order_canceled", "cancelled"),
        ("order", "order"),
        ("orderly", "orderly"),
    ],
)
def test_the_entitys_name_before_the_verb_is_left_out(topic: str, expected: str) -> None:
    assert verb(topic, "order") == expected


def test_a_mapping_may_name_the_verb_itself() -> None:
    own = {"paid": {**ORDER, "verb": "paid"}}
    (found,) = normaliser(own=own, rules={"*": "paid"}).normal(event({"id": 1}, "transaction"))
    assert found.type == "order.paid"


def test_the_sources_own_globs_come_before_the_presets_and_the_first_match_counts() -> None:
    own = {"mine": {"entity": "sale", "fields": {"id": "body.id"}}}
    made = normaliser(own=own, rules={"orders/c*": "mine"}, preset={"orders/*": "order"})
    assert [made.normal(event({"id": "1"}, topic))[0].entity for topic in ("orders/create", "orders/paid")] == [
        "sale",
        "order",
    ]


def test_globs_respect_case_and_cross_separators() -> None:
    made = normaliser(preset={"store/order/*": "order"})
    assert made.mapping("store/order/status/updated") is not None
    assert made.mapping("Store/order/updated") is None


def test_several_results_are_several_events_with_ids_of_their_own() -> None:
    own = {
        "stock": {"entity": "product", "root": "body.levels", "fields": {"id": {"from": "item.id", "type": "string"}}}
    }
    found = normaliser(own=own, rules={"*": "stock"}).normal(event({"levels": [{"id": 1}, {"id": 2}, {"id": 3}]}))
    assert [one.id for one in found] == ["evt_7", "evt_7.2", "evt_7.3"]
    assert [one.subject for one in found] == ["1", "2", "3"]


def test_a_mapping_that_wants_nothing_of_an_event_makes_no_event() -> None:
    own = {"none": {**ORDER, "when": "body.test == `false`"}}
    assert normaliser(own=own, rules={"*": "none"}).normal(event({"id": 1, "test": True})) == ()


@pytest.mark.parametrize(
    ("data", "topic", "expected"),
    [
        ({"updated_at": "2026-01-01T00:00:00Z"}, "orders/updated", "2026-01-01T00:00:00Z"),
        ({"created_at": "2025-01-01T00:00:00Z"}, "orders/create", "2025-01-01T00:00:00Z"),
        ({"created_at": "2025-01-01T00:00:00Z"}, "orders/updated", "2026-01-02T03:04:05Z"),
        ({"updated_at": "soon"}, "orders/updated", "2026-01-02T03:04:05Z"),
        ({}, "orders/updated", "2026-01-02T03:04:05Z"),
    ],
)
def test_the_time_is_the_entitys_own_else_that_of_receipt(data: Any, topic: str, expected: str) -> None:
    own = {"whole": {"entity": "order", "fields": {"updated_at": "body.updated_at", "created_at": "body.created_at"}}}
    assert normaliser(own=own, rules={"*": "whole"}).normal(event(data, topic))[0].time == expected


def test_a_mapping_reads_body_headers_query_topic_source_and_time() -> None:
    fields = {
        "a": "body.a",
        "b": 'headers."x-shop"',
        "c": "query.c",
        "d": "topic",
        "e": "source",
        "f": "received_at",
    }
    headers = (*JSON, ("x-shop", "one"), ("x-shop", "two"))
    made = normaliser(own={"all": {"entity": "x", "fields": fields}}, rules={"*": "all"}, country="GB", currency="GBP")
    (found,) = made.normal(event({"a": 1}, headers=headers, query="c=1&c=2&d="))
    assert found.data == {
        "a": 1,
        "b": "one, two",
        "c": ["1", "2"],
        "d": "orders/create",
        "e": {"name": "uk-shop", "country": "GB", "currency": "GBP"},
        "f": "2026-01-02T03:04:05Z",
    }


def test_what_a_payload_leaves_unsaid_is_the_sources() -> None:
    fields = {
        "phone": {"from": "body.phone", "type": "phone"},
        "at": {"from": "body.at", "type": "datetime"},
        "total": {"from": "body.total", "money": "body.currency"},
    }
    made = normaliser(
        own={"all": {"entity": "x", "fields": fields}},
        rules={"*": "all"},
        country="GB",
        timezone="Europe/Berlin",
        currency="JPY",
    )
    body = {"phone": "020 7946 0018", "at": "2026-01-02 04:04:05", "total": "1990.4"}
    assert made.normal(event(body))[0].data == {"phone": "+442079460018", "at": "2026-01-02T03:04:05Z", "total": 1990}


def test_a_mapping_that_cannot_take_an_event_says_which_and_where() -> None:
    own = {"strict": {"entity": "x", "fields": {"id": {"from": "body.id", "required": True}}}}
    with pytest.raises(MappingError, match=r"^strict: id: required"):
        normaliser(own=own, rules={"*": "strict"}).normal(event({}))


# --- without one -----------------------------------------------------------------------------------------------------


def test_without_a_mapping_the_topic_is_the_type_and_the_body_the_data() -> None:
    (found,) = normaliser().normal(event({"id": 5, "updated_at": "2020-01-01T00:00:00Z"}, "app/Uninstalled"))
    assert (found.type, found.entity, found.subject) == ("app.uninstalled", None, "5")
    assert found.data == {"id": 5, "updated_at": "2020-01-01T00:00:00Z"}
    assert found.time == "2026-01-02T03:04:05Z"


@given(st.text(max_size=30))
def test_any_topic_makes_a_type(topic: str) -> None:
    found = dotted(topic)
    assert found
    assert found == found.lower()
    assert not found.startswith(".")


# --- bodies ----------------------------------------------------------------------------------------------------------


def test_a_form_is_an_object_of_texts_and_lists() -> None:
    assert read_body(FORM, b"id=5&tag=a&tag=b&note=&name=%C3%89a") == {
        "id": "5",
        "tag": ["a", "b"],
        "note": "",
        "name": "Éa",
    }


def test_xml_is_an_object_too() -> None:
    assert read_body(XML, b'<order id="5"><line>1</line><line>2</line></order>') == {
        "order": {"@id": "5", "line": ["1", "2"]}
    }
    assert read_body((("content-type", "application/vnd.shop+xml"),), b"<a/>") == {"a": None}


def test_an_empty_body_is_null() -> None:
    assert read_body(JSON, b" \n") is None


BOMB = b'<!DOCTYPE b [<!ENTITY a "aaaa"><!ENTITY c "&a;&a;">]><b>&c;</b>'
OUTSIDE = b'<!DOCTYPE b [<!ENTITY a SYSTEM "file:///etc/passwd">]><b>&a;</b>'


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (JSON, b"{"),
        (JSON, b"[" * 300 + b"]" * 300),
        (FORM, b"a=%ff"),
        (FORM, b"a=\xff"),
        (FORM, b"&".join([b"a=1"] * 10_001)),
        (XML, b"<a>"),
        (XML, b"<a>" * 300 + b"</a>" * 300),
        (XML, BOMB),
        (XML, OUTSIDE),
    ],
)
def test_a_body_that_cannot_be_read_fails_its_event(headers: Any, body: bytes) -> None:
    with pytest.raises(MappingError, match="body: cannot be read"):
        normaliser().normal(event(body, headers=headers))
