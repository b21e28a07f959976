"""What the vendors' packs make of normal events, looked at without a platform before them."""

from typing import Any

import pytest

from gateway.mapping.book import Book, shipped_names
from tests.packs.case import BOOK

WITHOUT_RECORDS = {
    "ometria": ("changed", "deleted", "redacted", "data_requested"),
    "altcraft": ("changed", "deleted", "redacted", "data_requested"),
    "octolis": ("changed", "deleted", "redacted", "data_requested"),
    "amperity": ("changed", "redacted", "data_requested"),
}
ADA = {"id": "7", "email": "ada@example.test", "phone": "+447700900123", "first_name": "Ada", "last_name": "Byron"}


def document(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"id": "evt_1", "type": kind, "source": "north-quay", "time": "2026-03-28T09:00:00Z", "data": data}


def record(mapping: str, kind: str, data: dict[str, Any], book: Book = BOOK) -> Any:
    (only,) = book.get(mapping).apply(document(kind, data))
    return only


def pairs() -> list[tuple[str, str]]:
    """Every vendor's pack with each verb that it must make nothing of; but a deleted product is taken off sale."""
    found = [name for name in shipped_names() if name.partition("/")[0] in WITHOUT_RECORDS]
    every = [(name, verb) for name in found for verb in WITHOUT_RECORDS[name.partition("/")[0]]]
    return [pair for pair in every if pair != ("ometria/product", "deleted")]


@pytest.mark.parametrize(("name", "verb"), pairs())
def test_what_is_not_the_whole_of_something_makes_no_record(name: str, verb: str) -> None:
    entity = name.partition("/")[2]

    assert BOOK.get(name).apply(document(f"{entity}.{verb}", {"id": "1"})) == []


def test_a_cart_tells_altcraft_of_whoever_it_belongs_to() -> None:
    made = record("altcraft/cart", "cart.updated", {"id": "c1", "total": 12, "currency": "GBP", "customer": ADA})

    assert made["email"] == "ada@example.test"
    assert made["last_cart_id"] == "c1"
    assert made["last_cart_total"] == 12


def test_a_refund_whose_buyer_is_known_tells_altcraft_of_them() -> None:
    made = record("altcraft/refund", "refund.created", {"id": "r1", "order_id": "o1", "amount": 5, "customer": ADA})

    assert made["phones"] == ["+447700900123"]
    assert made["last_refund_order_id"] == "o1"


@pytest.mark.parametrize(("said", "sent"), [("subscribed", True), ("unsubscribed", False), ("unknown", None)])
@pytest.mark.parametrize("vendor", ["altcraft", "octolis", "amperity"])
def test_consent_that_is_neither_yes_nor_no_is_left_out(vendor: str, said: str, sent: object) -> None:
    made = record(f"{vendor}/customer", "customer.updated", {**ADA, "consent": {"email": said}})

    assert made.get("consent_email") == sent
    assert ("consent_email" in made) == (sent is not None)


@pytest.mark.parametrize("name", [name for name in shipped_names() if name.partition("/")[0] in WITHOUT_RECORDS])
def test_an_entity_of_its_id_alone_makes_a_record_without_nulls(name: str) -> None:
    data = {"id": "1", "customer": {"email": "ada@example.test"}}

    (made,) = BOOK.get(name).apply(document(f"{name.partition('/')[2]}.created", data))

    assert None not in made.values()


@pytest.mark.parametrize("entity", ["cart", "checkout", "fulfillment", "refund"])
def test_what_ometria_has_no_record_for_is_an_event_of_somebody_known(entity: str) -> None:
    data = {"id": "1", "currency": "GBP", "total": 12, "items": [{"product_id": "p", "quantity": 2}], "customer": ADA}

    made = record(f"ometria/{entity}", f"{entity}.created", data)

    assert made["id"] == "evt_1"
    assert made["event_type"] == f"{entity}_created"
    assert made["timestamp"] == "2026-03-28T09:00:00Z"
    assert (made["identity_email"], made["identity_account_id"]) == ("ada@example.test", "7")
    assert not any(isinstance(value, dict | list) for value in made["properties"].values())


@pytest.mark.parametrize("entity", ["cart", "checkout", "fulfillment", "refund"])
def test_an_event_of_nobody_known_is_not_sent_to_ometria(entity: str) -> None:
    assert BOOK.get(f"ometria/{entity}").apply(document(f"{entity}.created", {"id": "1"})) == []


def test_what_a_source_of_ones_own_calls_a_status_reaches_ometria_as_it_is() -> None:
    data = {"id": "1", "total": 3, "currency": "EUR", "status": "packed"}

    assert record("ometria/order", "order.updated", data)["status"] == "packed"


def test_a_line_that_ometria_could_not_take_is_left_out() -> None:
    whole = {"product_id": "p", "quantity": 1, "unit_price": 2}
    lines = [whole, {"product_id": "q"}, {"quantity": 1, "unit_price": 2}, {"name": "Tip", "quantity": 1, "total": 2}]

    made = record("ometria/order", "order.created", {"id": "1", "currency": "GBP", "items": lines})

    assert [line["product_id"] for line in made["lineitems"]] == ["p", "Tip"]
    assert [line["subtotal"] for line in made["lineitems"]] == [2, 2]


def test_one_field_of_a_pack_is_replaced_and_another_dropped_by_yaml() -> None:
    own = {"extends": "ometria/customer", "drop": ["country_id"], "fields": {"lastname": "upper(data.last_name)"}}

    made = record("vip", "customer.updated", {**ADA, "country": "GB"}, Book({"vip": own}))

    assert made["lastname"] == "BYRON"
    assert "country_id" not in made


def test_where_a_null_should_delete_it_is_said_for_that_field() -> None:
    own = {"extends": "ometria/customer", "fields": {"lastname": {"from": "data.last_name", "nulls": "send"}}}

    made = record("vip", "customer.updated", {**ADA, "last_name": None, "first_name": None}, Book({"vip": own}))

    assert made["lastname"] is None
    assert "firstname" not in made
