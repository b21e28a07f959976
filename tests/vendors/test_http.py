"""What is particular to an HTTP destination's settings and events."""

from typing import Any

import pytest

from gateway.vendors.base import Delivered, Response
from tests.vendors.samples import a_vendor, an_event, the_batch, the_vendor


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
