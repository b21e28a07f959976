"""Personal data in a recorded payload is replaced: by field names, by form, everywhere the same."""

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.anonymous import Anonymous
from tests.mapping.making import documents

ORDER = {
    "id": 820982911946154508,
    "email": "wilma@harbour.example",
    "total_price": "19.90",
    "created_at": "2026-01-02T03:04:05Z",
    "note": "please ring Wilma Flint twice",
    "browser_ip": "203.0.113.77",
    "order_status_url": "https://shop.example.com/orders/5/authenticate?key=abcdef",
    "customer": {
        "id": 5,
        "email": "Wilma@harbour.example",
        "first_name": "Wilma",
        "last_name": "Flint",
        "phone": "+442079460018",
        "tags": "vip",
    },
    "billing_address": {
        "name": "Wilma Flint",
        "company": "Flint & Sons",
        "address1": "5 Real Street",
        "city": "Leeds",
        "zip": "LS1 4AP",
        "province": "West Yorkshire",
        "country_code": "GB",
        "phone": "0113 496 0000",
        "latitude": 53.79,
    },
    "line_items": [{"id": 9, "name": "Flint lighter", "title": "Flint lighter", "sku": "FL-1", "price": "9.95"}],
    "note_attributes": [{"name": "Recipient phone", "value": "07700900123"}, {"name": "colour", "value": "red"}],
}
PERSONAL = ("wilma", "flint &", "real street", "leeds", "ls1", "2079460018", "496 0000", "203.0.113", "53.79")


def test_nothing_personal_is_left() -> None:
    text = str(Anonymous().document(ORDER)).lower()
    assert [word for word in (*PERSONAL, "07700900123", "abcdef") if word in text] == []


def test_ids_amounts_times_places_and_products_stay() -> None:
    hidden = Anonymous().document(ORDER)
    for key in ("id", "total_price", "created_at"):
        assert hidden[key] == ORDER[key]
    assert (hidden["customer"]["id"], hidden["customer"]["tags"]) == (5, "vip")
    assert hidden["billing_address"]["country_code"] == "GB"
    assert hidden["billing_address"]["province"] == "West Yorkshire"
    assert hidden["line_items"][0]["sku"] == "FL-1"
    assert hidden["note_attributes"][1] == {"name": "colour", "value": "red"}


def test_the_same_person_is_the_same_in_all_of_it() -> None:
    hidden = Anonymous().document(ORDER)
    assert hidden["email"] == hidden["customer"]["email"] == "person1@example.com"
    others = Anonymous().document({"a": {"email": "a@b.example"}, "b": {"email": "c@d.example"}})
    assert others["a"]["email"] != others["b"]["email"]


def test_what_was_replaced_is_replaced_in_other_texts_too() -> None:
    hidden = Anonymous().document({"customer": {"last_name": "Quimby"}, "title": "Order of Quimby", "sku": "Quimbyx"})
    assert (hidden["title"], hidden["sku"]) == ("Order of Ashby", "Quimbyx")


def test_an_e_mail_address_is_one_wherever_it_stands() -> None:
    hidden = Anonymous().document({"tags": ["from wilma@harbour.example by chat"]})
    assert hidden == {"tags": ["from person1@example.com by chat"]}


@pytest.mark.parametrize("number", ["+442079460018", "+4930901820", "+12125550123"])
def test_a_phone_number_stays_one_of_its_country(number: str) -> None:
    hidden = Anonymous().document({"phone": number})["phone"]
    assert hidden != number
    assert phonenumbers.is_possible_number(phonenumbers.parse(hidden))
    regions = {phonenumbers.region_code_for_number(phonenumbers.parse(one)) for one in (number, hidden)}
    assert len(regions) == 1


def test_a_national_phone_number_keeps_its_form() -> None:
    assert Anonymous().document({"phone": "0113 496 0000"}) == {"phone": "0100 000 0000"}


def test_what_is_empty_stays_empty() -> None:
    empty = {"first_name": "", "last_name": None, "phone": " ", "email": None, "accepts_email": True}
    assert Anonymous().document(empty) == empty


@given(documents)
def test_a_document_keeps_its_form(value: object) -> None:
    def form(one: object) -> object:
        if isinstance(one, dict):
            return {key: form(below) for key, below in one.items()}
        return [form(below) for below in one] if isinstance(one, list) else one is None

    assert form(Anonymous().document(value)) == form(value)


@given(st.text())
def test_any_text_can_be_looked_through(text: str) -> None:
    assert isinstance(Anonymous().text(text), str)
