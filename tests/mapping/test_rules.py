"""What a mapping makes of a document."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings

from gateway import document
from gateway.errors import MappingError
from gateway.mapping.types import NAMES
from gateway.telemetry.metrics import REGISTRY
from tests.mapping.making import documents, exact, field, mapping, one


def failure(block: Any, source: Any) -> MappingError:
    with pytest.raises(MappingError) as caught:
        field(block, source)
    return caught.value


# --- where values come from ------------------------------------------------------------------------------------------


def test_a_field_is_an_expression_or_a_constant() -> None:
    assert one({"a": "b.c", "d": {"value": "EUR"}, "e": {"value": 0.1}}, {"b": {"c": 1}}) == {
        "a": 1,
        "d": "EUR",
        "e": Decimal("0.1"),
    }


def test_fields_nest() -> None:
    assert one({"customer": {"fields": {"name": {"fields": {"first": "f"}}}}}, {"f": "Ada"}) == {
        "customer": {"name": {"first": "Ada"}}
    }


def test_an_object_of_which_nothing_is_there_is_not_there_itself() -> None:
    assert one({"address": {"fields": {"city": "city"}}}, {}) == {}
    assert one({"address": {"from": "address", "fields": {"city": "item.city"}}}, {"address": {}}) == {}


def test_an_object_is_made_from_another_one_that_its_fields_see_as_item() -> None:
    address = {"from": "billing", "fields": {"city": "item.city", "shop": "shop", "id": "parent.id"}}
    source = {"billing": {"city": "Rom"}, "shop": "uk", "id": 1}
    assert one({"address": address}, source) == {"address": {"city": "Rom", "shop": "uk", "id": 1}}
    assert one({"address": address}, {"shop": "uk", "billing": None}) == {}


def test_each_makes_one_object_per_element() -> None:
    items = {"each": "lines", "fields": {"sku": "item.sku", "order": "parent.id", "currency": "currency"}}
    source = {"id": 1, "currency": "EUR", "lines": [{"sku": "A"}, {"sku": "B"}]}
    assert one({"items": items}, source)["items"] == [
        {"sku": "A", "order": 1, "currency": "EUR"},
        {"sku": "B", "order": 1, "currency": "EUR"},
    ]


def test_inside_an_inner_each_the_parent_is_the_outer_item() -> None:
    inner = {"each": "item.options", "fields": {"name": "item.n", "sku": "parent.sku"}}
    outer = {"each": "lines", "fields": {"options": inner}}
    source = {"lines": [{"sku": "A", "options": [{"n": 1}]}]}
    assert one({"items": outer}, source) == {"items": [{"options": [{"name": 1, "sku": "A"}]}]}


def test_each_makes_a_list_of_values_where_it_has_a_type_and_no_fields() -> None:
    assert field({"each": "ids", "type": "string"}, {"ids": [1, None, 2**64]}) == ["1", str(2**64)]
    assert field({"each": "codes", "from": "item.code"}, {"codes": [{"code": "A"}, {}]}) == ["A"]
    assert field({"each": "ids", "type": "integer", "unfit": "omit"}, {"ids": ["1", "x"]}) == [1]


def test_an_empty_list_stays_and_a_missing_one_stays_missing() -> None:
    items = {"each": "lines", "fields": {"sku": "item.sku"}}
    assert field(items, {"lines": []}) == []
    assert field(items, {"lines": None}) == "absent"
    assert failure(items, {"lines": {"sku": "A"}}).cause == "expected list, got object"


# --- null, absent, empty ---------------------------------------------------------------------------------------------


def test_null_and_absent_are_left_out_and_empty_is_a_value() -> None:
    assert one({"a": "a", "b": "b", "c": "c", "d": "d"}, {"a": None, "c": "", "d": []}) == {"c": "", "d": []}


def test_a_null_is_sent_where_the_document_holds_one_and_never_for_something_absent() -> None:
    block = {"from": "cancelled_at", "type": "datetime", "nulls": "send"}
    assert field(block, {"cancelled_at": None}) is None
    assert field(block, {}) == "absent"
    assert field(block, {"cancelled_at": "2026-01-02T03:04:05Z"}) == "2026-01-02T03:04:05Z"


def test_a_null_list_or_object_is_sent_as_well() -> None:
    assert field({"each": "tags", "type": "string", "nulls": "send"}, {"tags": None}) is None
    assert field({"from": "a", "fields": {"b": "item.b"}, "nulls": "send"}, {"a": None}) is None
    assert field({"from": "a", "fields": {"b": "item.b"}, "nulls": "send"}, {}) == "absent"


def test_a_value_that_did_not_fit_is_never_sent_as_a_null() -> None:
    block = {"from": "a || b", "type": "integer", "unfit": "omit", "nulls": "send"}
    assert field(block, {"a": None, "b": "x"}) == "absent"
    assert field(block, {"a": None}) is None


def test_a_null_of_the_document_goes_before_a_default() -> None:
    block = {"from": "a", "default": 0, "nulls": "send"}
    assert field(block, {"a": None}) is None
    assert field(block, {}) == 0


def test_a_default_stands_in_for_null_and_absent_and_not_for_empty() -> None:
    block = {"from": "a", "default": "none"}
    assert [field(block, source) for source in ({"a": None}, {}, {"a": ""}, {"a": 0})] == ["none", "none", "", 0]


def test_a_required_field_refuses_null_and_absent_and_takes_empty() -> None:
    block = {"from": "a.b", "required": True}
    for source in ({}, {"a": {"b": None}}):
        error = failure(block, source)
        assert (error.mapping, error.path, error.cause) == ("test", "it", "required, and there is no value")
    assert field(block, {"a": {"b": ""}}) == ""


# --- tables and types ------------------------------------------------------------------------------------------------


def test_a_table_translates_by_the_values_text() -> None:
    block = {"from": "a", "values": {"paid": "complete", False: "no", 1: "one", "1.5": "more"}}
    found = [field(block, {"a": value}) for value in ("paid", False, 1, "1", Decimal("1.0"), Decimal("1.5"))]
    assert found == ["complete", "no", "one", "one", "one", "more"]


def test_a_value_that_is_not_in_the_table_is_a_fault_unless_there_is_an_else() -> None:
    block = {"from": "a", "values": {"paid": "complete"}}
    assert failure(block, {"a": "odd"}).cause == "expected one of `values`, got string"
    assert field({**block, "else": "other"}, {"a": "odd"}) == "other"
    assert field({**block, "unfit": "keep"}, {"a": "odd"}) == "odd"


def test_a_table_may_translate_to_nothing() -> None:
    block = {"from": "a", "values": {"unknown": None}, "else": "x"}
    assert field(block, {"a": "unknown"}) == "absent"
    assert field({**block, "default": "d"}, {"a": "unknown"}) == "d"
    assert field({**block, "nulls": "send"}, {"a": "unknown"}) == "absent"


def test_a_table_comes_before_the_type() -> None:
    assert field({"from": "a", "values": {"x": "12"}, "type": "integer"}, {"a": "x"}) == 12


@pytest.mark.parametrize("name", NAMES)
def test_every_type_is_known_to_the_rules(name: str) -> None:
    assert field({"from": "a", "type": name}, {"a": None}) == "absent"


def test_money_leaves_with_its_currencys_digits() -> None:
    total = {"from": "add(a, b)", "money": "currency"}
    assert exact(field(total, {"a": Decimal("0.1"), "b": Decimal("0.2"), "currency": "EUR"})) == "0.30"
    assert exact(field(total, {"a": "100", "b": "0.4", "currency": "JPY"})) == "100"
    assert exact(field(total, {"a": "1", "b": 1, "currency": None, "source": {"currency": "KWD"}})) == "2.000"
    assert document.dump({"total": Decimal("0.30")}) == b'{"total":0.30}'


def test_a_currency_that_several_fields_share_is_found_by_the_first_that_has_a_value_and_refused_by_each() -> None:
    amount = {"money": "currency", "unfit": "omit"}
    fields = {name: {"from": name, **amount} for name in "abc"} | {"d": {"from": "a", "money": "other"}}
    made = mapping(fields)
    document_ = {"b": "1", "c": 2, "currency": "JPY", "other": "POINTS"}
    assert made.apply(document_) == [{"b": Decimal(1), "c": Decimal(2)}]
    assert made.apply({**document_, "currency": "POINTS"}) == [{}]
    assert made.unfit == {"b": 1, "c": 1}
    with pytest.raises(MappingError, match="expected currency"):
        made.apply({**document_, "a": "1"})


def test_a_phone_is_read_in_the_records_country_else_in_the_sources() -> None:
    block = {"from": "phone", "type": "phone", "country": "address.country"}
    source = {"phone": "020 7946 0018", "source": {"country": "GB"}}
    assert field(block, source) == "+442079460018"
    assert field(block, {**source, "address": {"country": "Germany"}}) == "+492079460018"
    assert field({"from": "phone", "type": "phone"}, source) == "+442079460018"


def test_a_country_that_is_none_does_not_spoil_a_phone_in_international_form() -> None:
    block = {"from": "phone", "type": "phone", "country": "country"}
    assert field(block, {"phone": "+44 20 7946 0018", "country": "Narnia"}) == "+442079460018"


def test_a_time_is_read_in_the_zone_named_else_in_the_sources_else_in_utc() -> None:
    source = {"at": "2026-01-02 04:04:05", "source": {"timezone": "Europe/Berlin"}}
    assert field({"from": "at", "type": "datetime"}, source) == "2026-01-02T03:04:05Z"
    assert field({"from": "at", "type": "datetime", "timezone": "'UTC'"}, source) == "2026-01-02T04:04:05Z"
    assert field({"from": "at", "type": "datetime"}, {"at": source["at"]}) == "2026-01-02T04:04:05Z"


def test_a_time_whose_name_ends_in_gmt_is_in_utc() -> None:
    source = {"body": {"date_created_gmt": "2026-01-02T03:04:05"}, "source": {"timezone": "Europe/Berlin"}}
    assert field({"from": "body.date_created_gmt", "type": "datetime"}, source) == "2026-01-02T03:04:05Z"


# --- what does not fit -----------------------------------------------------------------------------------------------


def test_a_fault_names_mapping_path_and_type_and_never_the_value() -> None:
    block = {"each": "lines", "fields": {"price": {"from": "item.price", "type": "number"}}}
    error = failure(block, {"lines": [{"price": "hunter2"}]})
    assert (error.mapping, error.path, error.cause) == ("test", "it[].price", "expected number, got string")
    assert failure("starts_with(a, 'x')", {"a": 5}).cause == "starts_with(): text must be string, not number"


def test_a_value_that_does_not_fit_is_omitted_or_kept_and_counted() -> None:
    phone = {"from": "a", "type": "phone", "unfit": "omit"}
    made = mapping({"phone": phone, "zip": {"from": "a", "type": "integer", "unfit": "keep"}})
    labels = {"mapping": "test", "field": "phone"}
    before = REGISTRY.get_sample_value("gateway_mapping_unfit_total", labels) or 0
    assert made.apply({"a": "n/a"}) == [{"zip": "n/a"}]
    assert made.apply({"a": 5}) == [{"zip": 5}]
    assert made.unfit == {"phone": 2, "zip": 1}
    assert REGISTRY.get_sample_value("gateway_mapping_unfit_total", labels) == before + 2


def test_what_is_omitted_counts_as_missing() -> None:
    assert field({"from": "a", "type": "integer", "unfit": "omit", "default": 0}, {"a": "x"}) == 0
    assert failure({"from": "a", "type": "integer", "unfit": "omit", "required": True}, {"a": "x"}).path == "it"


def test_an_expression_that_fails_does_not_fit_either() -> None:
    assert field({"from": "lower(a)", "unfit": "omit"}, {"a": 5}) == "absent"
    assert field({"from": "lower(a)", "unfit": "keep", "default": "x"}, {"a": 5}) == "x"


# --- the mapping as a whole ------------------------------------------------------------------------------------------


def test_a_mapping_makes_nothing_where_its_condition_is_false() -> None:
    made = mapping({"id": "id"}, when="id > `1`")
    assert made.apply({"id": 1}) == []
    assert made.apply({"id": 2}) == [{"id": 2}]


def test_a_root_makes_one_result_per_element() -> None:
    made = mapping({"sku": "item.sku", "shop": "shop", "id": "parent.id"}, root="lines", when="item.sku")
    source = {"shop": "uk", "id": 1, "lines": [{"sku": "A"}, None, {"sku": ""}, {"sku": "B"}]}
    assert made.apply(source) == [{"sku": "A", "shop": "uk", "id": 1}, {"sku": "B", "shop": "uk", "id": 1}]
    assert made.apply({"lines": None}) == []
    assert made.apply({"lines": {"sku": "A"}}) == [{"sku": "A"}]


def test_a_failing_root_or_condition_is_named() -> None:
    for key in ("root", "when"):
        with pytest.raises(MappingError) as caught:
            mapping({"a": "a"}, **{key: "length(b)"}).apply({})
        assert caught.value.path == key


def test_the_document_is_left_as_it_was() -> None:
    source = {"a": [{"b": {"c": 1}}], "d": {"e": None}}
    before = document.dump(source)
    mapping({"x": {"each": "a", "fields": {"b": "item.b"}}, "y": "d", "z": {"from": "d", "type": "object"}}).apply(
        source
    )
    assert document.dump(source) == before


def test_entity_and_verb_are_told() -> None:
    made = mapping({}, entity="order", verb="partially_fulfilled")
    assert (made.name, made.entity, made.verb) == ("test", "order", "partially_fulfilled")


# --- limits ----------------------------------------------------------------------------------------------------------


def test_each_within_each_cannot_run_for_ever() -> None:
    inner = {"each": "body", "fields": {"x": "item"}}
    made = mapping({"a": {"each": "body", "fields": {"b": {"each": "body", "fields": {"c": inner}}}}})
    with pytest.raises(MappingError, match="more than 250000 values"):
        made.apply({"body": list(range(1000))})


def test_a_long_text_copied_into_every_line_is_too_much() -> None:
    made = mapping({"lines": {"each": "lines", "fields": {"note": "note"}}})
    with pytest.raises(MappingError, match="characters"):
        made.apply({"lines": list(range(1000)), "note": "x" * 100_000})


def test_a_limit_counts_one_document_and_not_the_life_of_the_mapping() -> None:
    made = mapping({"lines": {"each": "lines", "fields": {"x": "item"}}})
    for _ in range(5):
        assert len(made.apply({"lines": list(range(40_000))})[0]["lines"]) == 40_000


# --- whatever comes --------------------------------------------------------------------------------------------------

EVERYTHING = mapping(
    {
        **{f"type_{name}": {"from": "a", "type": name, "unfit": "omit"} for name in NAMES},
        **{f"strict_{name}": {"from": "b", "type": name} for name in NAMES},
        "money": {"from": "a", "money": "b", "unfit": "keep"},
        "call": {"from": "concat(a, b)", "unfit": "omit"},
        "sum": {"from": "add(a, b)", "unfit": "omit"},
        "text": "to_string(c)",
        "list": {"each": "c", "fields": {"a": "item", "b": {"from": "item.a", "nulls": "send"}}},
        "values": {"each": "c", "type": "string", "unfit": "keep"},
        "object": {"from": "d", "fields": {"a": "item.a"}},
        "whole": "@",
        "table": {"from": "a", "values": {"x": 1}, "else": None},
    }
)


@settings(max_examples=300, deadline=None)
@given(documents, documents, documents)
def test_a_mapping_fails_with_a_mapping_error_or_not_at_all(a: Any, b: Any, c: Any) -> None:
    source = {"a": a, "b": b, "c": c, "d": {"a": a}}
    try:
        results = EVERYTHING.apply(source)
    except MappingError:
        return
    document.dump(results)
