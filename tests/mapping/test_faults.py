"""Every fault of a mapping is found, at its key, with a hint."""

from datetime import date
from typing import Any

import pytest

from gateway.mapping.rules import compile_mapping
from tests.mapping.making import faults


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"form": "a"}, "fields.x.form: unknown key | did you mean `from`?"),
        ({"type": "string"}, "fields.x: a block says where its value comes from"),
        ({"from": "a", "value": 1}, "fields.x: `value` and `from` exclude each other"),
        ({"from": "a", "type": "strng"}, "fields.x.type: `strng` is no type | did you mean `string`?"),
        ({"from": "a", "type": "strng"}, "did you mean `string`?"),
        ({"from": "a", "unfit": "drop"}, "fields.x.unfit: `drop` is none of dead, omit, keep"),
        ({"from": "a", "nulls": "keep"}, "fields.x.nulls: `keep` is none of omit, send"),
        ({"from": "a", "required": "yes"}, "fields.x.required: true or false"),
        ({"from": "a", "required": True, "default": 1}, "a field with a `default` is never missing"),
        ({"from": "a", "required": True, "nulls": "send"}, "a required field sends no nulls"),
        ({"value": 1, "nulls": "send"}, "only what an expression finds can be a null"),
        ({"from": "a", "default": None}, "a default is a value, not null"),
        ({"from": "a", "else": 1}, "fields.x.else: `else` belongs to `values`"),
        ({"from": "a", "values": {}}, "fields.x.values: a table: {paid: complete}"),
        ({"from": "a", "values": ["b"]}, "fields.x.values: a table: {paid: complete}"),
        ({"from": "a", "values": {"b": date(2026, 1, 2)}}, "fields.x.values.b: YAML reads this as a date"),
        ({"from": "a", "values": {None: 1}}, "fields.x.values.None: a key of `values` is a text"),
        (
            {"value": date(2026, 1, 2)},
            "fields.x.value: YAML reads this as a date, and JSON has none | put it in quotes",
        ),
        ({"value": float("nan")}, "fields.x.value: JSON has neither infinity nor NaN"),
        ({"value": "\ud800"}, "fields.x.value: no JSON document can hold this"),
        ({"value": {"a": {1, 2}}}, "fields.x.value: no JSON value (set)"),
        ({"each": "a"}, "`each` needs `fields` (a list of objects), or `from` or `type`"),
        ({"each": "a", "from": "item.b", "fields": {}}, "`from` and `fields` exclude each other inside `each`"),
        ({"fields": "a"}, "fields.x.fields: a table of names and expressions, not a string"),
        ({"fields": {}, "type": "object"}, "`fields` make an object"),
        ({"from": "a", "fields": {}, "values": {"a": 1}}, "`values` and `fields` exclude each other"),
        ({"from": "a", "country": "b"}, "fields.x.country: `country` belongs to `type: phone`"),
        ({"from": "a", "type": "string", "money": "b"}, "`money` belongs to `type: number`"),
        ({"from": 5}, "fields.x.from: an expression is a text, not a number | a constant is {value: ...}"),
        ({"from": "a", "type": "phone", "country": "b."}, "fields.x.country: column 3: ends too early"),
        (5, "fields.x: a field is an expression or a block, not a number | a constant is {value: ...}"),
        (None, "fields.x: a field is an expression or a block, not null"),
        (["a"], "a list is {each: ..., fields: ...}"),
        ("lowr(a)", "fields.x: column 1: there is no function `lowr` | did you mean `lower`?\nlowr(a)\n^"),
    ],
)
def test_a_fault_in_a_block_is_told(block: Any, expected: str) -> None:
    assert any(expected in fault for fault in faults({"x": block})), faults({"x": block})


def test_all_faults_are_told_at_once() -> None:
    inner = {"fields": {"ok": "a", "bad": "a.", "worse": {"from": "b", "type": "int"}}, "each": "lowr(c)", "oops": 1}
    found = faults({"x": inner, "y": "b("}, entity="Order", whn="a")
    starts = [
        "fields.x.each",
        "fields.x.fields.bad",
        "fields.x.fields.worse.type",
        "fields.x.oops",
        "fields.y",
        "entity",
        "whn",
    ]
    assert all(any(fault.startswith(f"{start}: ") for fault in found) for start in starts)
    assert len(found) == len(starts)


def test_an_unknown_key_is_placed_at_the_key_itself() -> None:
    _, problems = compile_mapping("test", {"feilds": {}})
    assert (problems[0].path, problems[0].key, problems[0].hint) == (("feilds",), True, "did you mean `fields`?")


@pytest.mark.parametrize("raw", [{}, {"fields": None}, {"fields": ["a"]}, {"fields": "a"}])
def test_a_mapping_without_fields_is_a_fault(raw: dict[str, Any]) -> None:
    made, problems = compile_mapping("test", raw)
    assert made is None
    assert problems[-1].cause.startswith("a mapping has `fields`")


@pytest.mark.parametrize("word", ["Order", "order created", "", 5, True])
def test_entity_and_verb_are_words(word: Any) -> None:
    assert faults({}, entity=word)[0].startswith(f"entity: `{word}` is no name of an entity | one word in lower case")


def test_condition_and_root_are_expressions() -> None:
    assert faults({}, when="a ==", root=5) == [
        "when: column 5: ends too early | a ==\n    ^",
        "root: an expression is a text, not a number | a constant is {value: ...}",
    ]


def test_field_names_are_texts() -> None:
    assert faults({5: "a"}) == ["fields.5: a field's name is a text | put it in quotes"]


def test_a_mapping_has_limits() -> None:
    assert "more than 2000 fields" in faults({f"f{n}": "a" for n in range(2001)})[0]
    deep: Any = "a"
    for _ in range(20):
        deep = {"fields": {"x": deep}}
    assert "nested deeper than 16" in faults({"x": deep})[0]
