"""What is particular to Octolis: points, settings that fit together, answers too long to read, reading back."""

from typing import Any

import pytest

from gateway.document import dump
from gateway.vendors.base import Delivered, Response, Retry, Split
from gateway.vendors.octolis import Octolis
from tests.vendors.samples import a_vendor, an_event, the_batch, the_vendor

CUSTOMERS = {"id": "ds-customers", "keys": ["email"]}


def octolis(**settings: Any) -> Octolis:
    vendor = a_vendor("octolis", api_key="k", **settings)
    assert isinstance(vendor, Octolis)
    return vendor


def test_points_are_counted_over_key_and_account_in_fixed_windows() -> None:
    key, account = the_vendor("octolis").limits()
    assert (key.allow, key.per_s, key.kind, key.scope, account.allow, account.scope) == (
        25,
        1,
        "fixed",
        "key",
        2000,
        "account",
    )
    assert key.burst is not None
    assert (key.burst.allow, key.burst.per_s) == (150, 60)
    assert (key.cost or {})["write"] == 10
    assert the_batch("octolis").records[0].draft.cost in (key.classes or ())


def test_a_batch_holds_one_row_of_a_key() -> None:
    rules = the_vendor("octolis").rules()
    assert (rules.records, rules.one_per_key) == (500, True)


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({}, "names no dataset"),
        ({"datasets": {"customer": {"id": "ds"}}}, "names no column"),
        ({"datasets": {"customer": CUSTOMERS}, "webhooks": {"customer": "wh"}}, "a dataset and a webhook"),
        ({"datasets": {"customer": CUSTOMERS, "order": {**CUSTOMERS, "keys": ["id"]}}}, "two sets of keys"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(settings: dict[str, Any], cause: str) -> None:
    with pytest.raises(ValueError, match=cause):
        octolis(**settings)


@pytest.mark.parametrize("type_", ["order.created", "customer.deleted", "unheard.of"])
def test_what_has_no_dataset_is_filtered(type_: str) -> None:
    with pytest.raises(LookupError):
        octolis(datasets={"customer": CUSTOMERS}).mapping(an_event(type_))


def test_shipped_mappings_are_named_by_entity_and_webhooks_take_events_as_they_are() -> None:
    vendor = octolis(datasets={"customer": CUSTOMERS}, webhooks={"cart": "wh"})
    assert vendor.mapping(an_event("customer.updated")) == "octolis/customer"
    assert vendor.mapping(an_event("cart.created")) is None


def test_what_goes_to_a_webhook_goes_alone_and_costs_no_points() -> None:
    (draft,) = octolis(webhooks={"cart": "wh"}).records(an_event("cart.created"), None)
    assert draft.alone
    assert draft.cost not in (the_vendor("octolis").limits()[0].classes or ())


def test_an_answer_that_was_cut_for_its_length_halves_the_batch() -> None:
    cut = Response(200, {}, b'{"results":[{"written":true,"record":{"note":"' + b"x" * (1 << 20))
    assert {type(one) for one in the_vendor("octolis").judge(the_batch("octolis", 3), cut).outcomes} == {Split}
    assert {type(one) for one in the_vendor("octolis").judge(the_batch("octolis"), cut).outcomes} == {Retry}


MIXED: list[dict[str, Any]] = [
    {"written": True, "record": {"__masterid__": "m-1", "email": "a@example.test", "total": 1.5}},
    {"written": True, "record": {"__masterid__": "m-2"}, "warnings": {"protected_columns": ["vip"]}},
    {"written": True, "record": {}, "warnings": None},
    {"written": False, "error": {"title": "Busy", "status": 423, "missing": ["a", 1.25]}},
    {"written": False, "error": None},
]


@pytest.mark.parametrize(
    "odd", [{}, {"record": {"__masterid__": 7}}, {"record": []}, {"warnings": "none"}, {"error": 3}, {"written": 1}]
)
def test_a_result_means_the_same_whatever_stands_beside_it(odd: dict[str, Any]) -> None:
    """Results that look as Octolis writes them are read quickly; an odd one among them has them all read with care."""
    vendor = the_vendor("octolis")
    for first in MIXED:
        plain = vendor.judge(the_batch("octolis", 2), Response(200, {}, dump({"results": [first, MIXED[0]]})))
        beside = vendor.judge(the_batch("octolis", 2), Response(200, {}, dump({"results": [first, MIXED[0] | odd]})))
        assert plain.outcomes[0] == beside.outcomes[0]
        assert plain.outcomes[1] == Delivered("m-1")


@pytest.mark.parametrize(
    ("master", "receipt"),
    [("m-1", "m-1"), ("its k is k", "its *** is ***"), ("a\n b ", "a b"), ("x" * 300, "x" * 200), ("", "")],
)
def test_a_receipt_is_short_on_one_line_and_holds_no_secret(master: str, receipt: str) -> None:
    results = [{"written": True, "record": {"__masterid__": one}} for one in (master, "m-2")]
    told = octolis(datasets={"customer": CUSTOMERS}).judge(
        the_batch("octolis", 2), Response(200, {}, dump({"results": results}))
    )
    assert told.outcomes == (Delivered(receipt), Delivered("m-2"))


def test_of_a_row_that_was_written_nothing_else_is_read() -> None:
    body = b'{"results":[{"written":true,"record":{"__masterid__":"m-1","name":"\xff","n":%s}}]}' % (b"9" * 5000)
    assert the_vendor("octolis").judge(the_batch("octolis"), Response(200, {}, body)).outcomes == (Delivered("m-1"),)


def test_rows_can_be_read_back_and_counted() -> None:
    vendor = octolis(datasets={"customer": CUSTOMERS})
    rows = vendor.read("customer", filter="email:a@example.test", pageSize=10)
    assert rows.url == (
        "https://api.octolis.cloud/v1/data/datasets/ds-customers/records"
        "?filter=email%3Aa%40example.test&pageSize=10&api-key=k"
    )
    assert (rows.method, rows.cost) == ("GET", "read")
    assert "/records/count?api-key=k" in vendor.read("customer", "/count").url


@pytest.mark.parametrize("value", ["2026-13-45T99:00:00Z", "2026-01-02", "yesterday", True, None])
def test_what_is_no_time_stays_as_it_is(value: Any) -> None:
    (draft,) = octolis(datasets={"customer": CUSTOMERS}).records(an_event(), [{"email": "a", "x": value}])
    assert draft.data["x"] == value
