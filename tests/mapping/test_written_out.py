"""Objects and lists within a mapping's one function: what `item` and `parent` are there, whose fault is told, and that
nothing depends on how much of it is written out.
"""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.errors import MappingError
from gateway.mapping import types
from gateway.mapping.fields import INLINE_MAX
from gateway.mapping.rules import DEPTH_MAX, compile_mapping
from gateway.mapping.types import Unfit
from tests.mapping.making import exact, mapping, one

ORDERS = {"orders": [{"id": 1, "lines": [{"sku": "A"}, {"sku": "B"}]}, None, {"id": 2, "lines": []}], "shop": "north"}


def test_item_and_parent_are_those_of_the_list_around() -> None:
    lines = {"sku": "item.sku", "order": "parent.id", "shop": "shop"}
    made = one({"orders": {"each": "orders", "fields": {"lines": {"each": "item.lines", "fields": lines}}}}, ORDERS)
    found = [{"sku": "A", "order": 1, "shop": "north"}, {"sku": "B", "order": 1, "shop": "north"}]
    assert made == {"orders": [{"lines": found}, {"lines": []}]}


def test_the_parent_of_an_outermost_item_is_the_document() -> None:
    assert one({"it": {"each": "orders", "fields": {"shop": "parent.shop"}}}, ORDERS) == {"it": [{"shop": "north"}] * 2}
    assert one({"it": {"from": "orders[0]", "fields": {"shop": "parent.shop"}}}, ORDERS) == {"it": {"shop": "north"}}


def test_an_objects_fields_know_the_item_around_them_again_when_it_is_over() -> None:
    inner = {"from": "item.at", "fields": {"city": "item.city", "id": "parent.id"}}
    made = one(
        {"it": {"each": "all", "fields": {"at": inner, "id": "item.id"}}}, {"all": [{"id": 1, "at": {"city": "x"}}]}
    )
    assert made == {"it": [{"at": {"city": "x", "id": 1}, "id": 1}]}


def test_the_whole_scope_has_item_and_parent() -> None:
    made = one({"it": {"each": "a", "fields": {"all": "@", "keys": "keys(@)"}}}, {"a": [7]})
    assert made == {"it": [{"all": {"a": [7], "item": 7, "parent": {"a": [7]}}, "keys": ["a", "item", "parent"]}]}


def test_a_place_that_is_read_often_is_that_of_each_element() -> None:
    fields = {"a": "item.v || item.w", "b": "coalesce(item.v, item.w)", "c": "v || shop", "d": "v", "e": "parent.v"}
    inner = {"both": "[item.v, parent.v, item.v, parent.v]"}
    each = {**fields, "in": {"each": "item.l", "fields": inner}}
    document = {"l": [{"v": 1, "l": [{"v": 2}, 7]}, {"v": "", "w": 3}, 5], "v": 9, "shop": "north"}
    assert one({"it": {"each": "l", "fields": each}}, document)["it"] == [
        {"a": 1, "b": 1, "c": 9, "d": 9, "e": 9, "in": [{"both": [2, 1, 2, 1]}, {"both": [None, 1, None, 1]}]},
        {"a": 3, "b": "", "c": 9, "d": 9, "e": 9},
        {"c": 9, "d": 9, "e": 9},
    ]


def test_what_is_filtered_is_asked_of_each_element_whatever_it_is() -> None:
    document = {"l": [{"a": 1, "b": 2}, {"a": 1}, None, 4, {"a": 2, "b": 3}]}
    assert one({"it": "l[?a == `1` && b || !a]"}, document) == {"it": [{"a": 1, "b": 2}, 4]}
    assert one({"it": "l[?a && (b || a)].[a, b]"}, document) == {"it": [[1, 2], [1, None], [2, 3]]}


def test_a_document_may_itself_have_an_item() -> None:
    made = one({"item": "item", "it": {"from": "a", "fields": {"b": "parent"}}}, {"item": 1, "a": {"b": 2}})
    assert made == {"item": 1, "it": {"b": 1}}


def test_a_fault_inside_is_not_that_of_what_is_around() -> None:
    inner = {"n": {"from": "item.n", "type": "integer"}}
    for block in ({"from": "a[0]", "fields": inner}, {"each": "a", "fields": inner}):
        with pytest.raises(MappingError, match=r"it(\[\])?\.n: expected integer, got string"):
            one({"it": {**block, "unfit": "omit"}}, {"a": [{"n": "x"}]})
    for block in ({"from": "a", "fields": inner}, {"each": "a[0]", "fields": inner}):
        assert one({"it": {**block, "unfit": "omit"}}, {"a": [{"n": "x"}]}) == {}


def test_a_fault_behind_an_object_is_told_at_its_own_path() -> None:
    made = mapping({"o": {"fields": {"x": "a"}, "required": True}, "p": {"from": "a", "type": "integer"}})
    with pytest.raises(MappingError, match="o: required"):
        made.apply({})
    with pytest.raises(MappingError, match="p: expected integer"):
        made.apply({"a": "x"})


def test_the_currency_of_all_elements_is_found_once_and_that_of_each_for_each() -> None:
    source = {
        "cur": "JPY",
        "a": [{"c": "EUR", "v": "1.5"}, {"c": "KWD", "v": "1.5"}, {"v": "1.5"}],
        "source": {"currency": "JPY"},
    }
    made = one({"it": {"each": "a", "fields": {"own": {"from": "item.v", "money": "item.c"}}}}, source)
    assert exact(made) == {"it": [{"own": "1.50"}, {"own": "1.500"}, {"own": "2"}]}
    made = one({"it": {"each": "a", "fields": {"all": {"from": "item.v", "money": "cur"}}}}, source)
    assert exact(made) == {"it": [{"all": "2"}] * 3}


@pytest.mark.parametrize("around", [{}, {"from": "item"}, {"each": "item"}], ids=["fields", "from", "each"])
def test_objects_are_made_in_any_depth_that_a_mapping_may_have(around: dict[str, Any]) -> None:
    block: dict[str, Any] = {"n": {"from": "data", "type": "integer", "unfit": "omit"}}
    source: Any = {}
    for _ in range(DEPTH_MAX - 1):
        block = {"n": {**around, "fields": block, "unfit": "omit"}}
        source = [source] if "each" in around else {}
    found = one(block, {"item": source, "data": 5} if around.get("each") else {"item": {}, "data": 5})
    for _ in range(DEPTH_MAX - 1):
        found = found["n"][0] if "each" in around else found["n"]
    assert found == {"n": 5}


@pytest.mark.parametrize("code", ["EUR", "JPY", "KWD", None])
@pytest.mark.parametrize(
    "text", ["22.00", "22.005", "-0.00", "1E+3", "1E+41", "1E+60", "1E-60", "1E-500", "1E+500", "NaN"]
)
def test_an_amount_is_what_its_conversion_gives(text: str, code: str | None) -> None:
    source, block = {"v": Decimal(text), "c": code}, {"from": "v", "money": "c"}
    try:
        expected = str(types.amount(source["v"], types.amounts(code) if code else None))
    except Unfit as error:
        with pytest.raises(MappingError, match=str(error)):
            one({"it": block}, source)
    else:
        assert exact(one({"it": block}, source)) == {"it": expected}


def test_a_condition_on_the_type_is_answered_for_each_type_also_when_they_are_many() -> None:
    made = mapping({"id": "id"}, when="!contains(`[\"changed\"]`, split(type, '.')[-1])")
    for _ in range(2):
        for number in range(300):
            assert made.apply({"id": 1, "type": f"{number}.changed"}) == []
            assert made.apply({"id": 1, "type": f"{number}.created"}) == [{"id": 1}]


@pytest.mark.parametrize("when", ["type == 'a' && id", "type && @.id", "keys(@)[1] && type.a || id"])
def test_a_condition_on_more_than_the_type_is_asked_each_time(when: str) -> None:
    made = mapping({"id": "id"}, when=when)
    assert made.apply({"id": 1, "type": "a"}) == [{"id": 1}]
    assert made.apply({"id": None, "type": "a"}) == []


def test_a_condition_that_fails_fails_each_time() -> None:
    made = mapping({"id": "id"}, when="contains(type, 'a')")
    for _ in range(2):
        assert made.apply({"id": 1, "type": "a"}) == [{"id": 1}]
        for wrong in (None, 5, {"a": 1}):
            with pytest.raises(MappingError, match="when: contains"):
                made.apply({"id": 1, "type": wrong})
        assert made.apply({"id": 1, "type": ["a"]}) == [{"id": 1}]


# --- written out or called, the same ---------------------------------------------------------------------------------

names = st.sampled_from(["item", "parent", "a", "b", "c"])
paths = st.lists(names, min_size=1, max_size=3).map(".".join)
expressions = paths | st.sampled_from(
    ["@", "a[0]", "item.a || b", "item.a[].b", "[a, item]", "add(item.a, b)", "a && parent.b"]
)
kinds = st.sampled_from(["string", "integer", "number", "boolean", "currency", "object", "list", "datetime"])
unfit = st.sampled_from([{}, {"unfit": "omit"}, {"unfit": "keep"}])
missing: st.SearchStrategy[dict[str, Any]] = st.sampled_from([{}, {}, {"default": "none"}, {"required": True}])
nulls = st.sampled_from([{}, {}, {"nulls": "send"}])


def blocks(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[Any]:
    sources = st.fixed_dictionaries({"from": expressions, "fields": inner}) | st.fixed_dictionaries(
        {"each": expressions, "fields": inner}
    )
    typed = st.fixed_dictionaries({"from": expressions, "type": kinds}) | st.fixed_dictionaries(
        {"from": expressions, "money": paths}
    )
    listed = st.fixed_dictionaries({"each": expressions, "type": kinds})
    alone = st.tuples(st.fixed_dictionaries({"fields": inner}), unfit, missing).map(_joined)
    found = st.tuples(sources | typed | listed, unfit, missing | nulls).map(_joined)
    return expressions | alone | found


def _joined(parts: Any) -> dict[str, Any]:
    return {key: value for part in parts for key, value in part.items()}


objects = st.recursive(
    st.dictionaries(st.sampled_from("uvw"), expressions, min_size=1, max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("xyz"), blocks(inner), min_size=1, max_size=3),
    max_leaves=6,
)
values = st.recursive(
    st.sampled_from([None, True, 0, 12, "", "x", "12.5", "EUR", "2026-01-02T03:04:05+01:00"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


@given(objects, st.dictionaries(names, values, max_size=5))
@settings(max_examples=150)
def test_what_is_written_out_is_what_functions_of_their_own_make(raw: dict[str, Any], source: dict[str, Any]) -> None:
    called, problems = compile_mapping("test", {"fields": _deeper(raw)})
    assume(called is not None)
    assert all("nested deeper" in problem.cause for problem in problems)
    assert _outcome(mapping(raw), source) == _outcome(called, source)


def _deeper(raw: dict[str, Any]) -> dict[str, Any]:
    """The same fields, every object in so many others that it is not written out."""
    made = {}
    for name, block in raw.items():
        made[name] = block
        if isinstance(block, dict) and "fields" in block:
            inner = _deeper(block["fields"])
            for _ in range(INLINE_MAX):
                inner = {"o": {"fields": inner}}
            made[name] = {**block, "fields": inner}
    return made


def _outcome(made: Any, source: dict[str, Any]) -> Any:
    """What a mapping makes, or why it makes nothing, and what it counted: without the objects around."""
    try:
        found: Any = _without(exact(made.apply(source)))
    except MappingError as error:
        found = str(error).replace(".o", "")
    return found, {path.replace(".o", ""): count for path, count in made.unfit.items()}


def _without(value: Any) -> Any:
    if isinstance(value, list):
        return [_without(element) for element in value]
    while isinstance(value, dict) and value.keys() == {"o"}:
        value = value["o"]
    return {key: _without(element) for key, element in value.items()} if isinstance(value, dict) else value
