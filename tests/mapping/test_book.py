"""Mappings by name: shipped, of one's own, and built on one another."""

from typing import Any

import pytest

from gateway.errors import MappingError
from gateway.mapping.book import Book, merged_fields, shipped_names


def base(**fields: Any) -> dict[str, Any]:
    return {"entity": "order", "fields": fields}


def problems(own: dict[str, Any]) -> list[str]:
    return [f"{'.'.join(map(str, one.path))}: {one.cause} | {one.hint}" for one in Book(own).problems()]


def result(own: dict[str, Any], name: str, source: dict[str, Any]) -> Any:
    book = Book(own)
    assert list(book.problems()) == []
    return book.get(name).apply(source)[0]


def test_the_shipped_mappings_are_named_after_their_files() -> None:
    assert {"shopify/order", "ometria/order"} <= set(shipped_names())
    assert {"shopify/order", "mine"} <= set(Book({"mine": base()}).names())


@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_mapping_is_without_fault(name: str) -> None:
    assert Book({}).get(name).entity


def test_a_mapping_is_compiled_once() -> None:
    book = Book({"mine": base(a="a")})
    assert book.get("mine") is book.get("mine")


def test_an_extending_mapping_adds_and_replaces_fields() -> None:
    own = {"base": base(a="a", b="b"), "mine": {"extends": "base", "fields": {"b": "c", "d": "d"}}}
    assert result(own, "mine", {"a": 1, "b": 2, "c": 3, "d": 4}) == {"a": 1, "b": 3, "d": 4}
    assert Book(own).get("mine").entity == "order"


def test_nested_fields_are_merged() -> None:
    own = {
        "base": base(customer={"fields": {"id": "id", "name": "n"}}),
        "mine": {"extends": "base", "fields": {"customer": {"fields": {"name": "m", "tier": {"value": "gold"}}}}},
    }
    assert result(own, "mine", {"id": 1, "n": 2, "m": 3}) == {"customer": {"id": 1, "name": 3, "tier": "gold"}}


def test_a_new_source_of_a_nested_object_replaces_the_old_one() -> None:
    old = {"it": {"from": "a", "unfit": "omit", "fields": {"x": "item.x"}}}
    new = {"it": {"each": "b", "fields": {"y": "item.y"}}}
    assert merged_fields(old, new) == {
        "it": {"unfit": "omit", "each": "b", "fields": {"x": "item.x", "y": "item.y"}},
    }
    assert merged_fields(old, {"it": "c"}) == {"it": "c"}


def test_inherited_fields_are_dropped_by_path() -> None:
    own = {
        "base": base(
            a="a", customer={"fields": {"id": "id", "phone": "p"}}, items={"each": "i", "fields": {"x": "item"}}
        ),
        "mine": {"extends": "base", "drop": ["a", "customer.phone", "items.x"], "fields": {"a": "b"}},
    }
    assert result(own, "mine", {"a": 1, "b": 2, "id": 3, "p": 4, "i": [5]}) == {
        "a": 2,
        "customer": {"id": 3},
        "items": [],
    }


def test_what_is_dropped_from_one_mapping_stays_in_its_base() -> None:
    own = {"base": base(c={"fields": {"id": "id", "p": "p"}}), "mine": {"extends": "base", "drop": ["c.p"]}}
    book = Book(own)
    assert book.get("mine").apply({"id": 1, "p": 2}) == [{"c": {"id": 1}}]
    assert book.get("base").apply({"id": 1, "p": 2}) == [{"c": {"id": 1, "p": 2}}]


def test_a_chain_of_extensions_is_followed_to_its_end() -> None:
    own = {
        "one": base(a="a", b="b"),
        "two": {"extends": "one", "drop": ["b"], "verb": "paid"},
        "three": {"extends": "two", "entity": "sale", "fields": {"c": "c"}},
    }
    assert result(own, "three", {"a": 1, "b": 2, "c": 3}) == {"a": 1, "c": 3}
    made = Book(own).get("three")
    assert (made.entity, made.verb) == ("sale", "paid")


def test_a_mapping_with_a_shipped_name_takes_its_place_and_may_extend_it() -> None:
    own = {"shopify/order": {"extends": "shopify/order", "fields": {"properties": {"fields": {"own": {"value": 1}}}}}}
    made = Book(own).get("shopify/order").apply({"body": {"id": 5}, "topic": "orders/create", "source": {}})
    assert made[0]["id"] == "5"
    assert made[0]["properties"]["own"] == 1


@pytest.mark.parametrize(
    ("mine", "expected"),
    [
        ({"extends": "bse"}, "mappings.mine.extends: there is no mapping `bse` | did you mean `base`?"),
        ({"extends": ["base"]}, "mappings.mine.extends: the name of one mapping"),
        ({"extends": "base", "drop": ["b"]}, "mappings.mine.drop.0: the extended mapping has no field b"),
        ({"extends": "base", "drop": ["custmer"]}, "did you mean `customer`?"),
        ({"extends": "base", "drop": ["a.b"]}, "mappings.mine.drop.0: the extended mapping has no field a.b"),
        ({"extends": "base", "drop": "a"}, "mappings.mine.drop: a list of field paths"),
        ({"extends": "base", "fields": ["a"]}, "mappings.mine.fields: a table of names and expressions"),
        ({"fields": {}, "drop": ["a"]}, "mappings.mine.drop: there is nothing to drop from"),
        ({"extends": "base", "fields": {"x": "a."}}, "mappings.mine.fields.x: column 3: ends too early"),
        ({"extends": "base", "felds": {}}, "mappings.mine.felds: unknown key | did you mean `fields`?"),
        (
            {"extends": "mine"},
            "mappings.mine.extends: no other mapping is called `mine` | extend a shipped one of that name, or another",
        ),
        ("text", "mappings.mine: a mapping is a table of keys"),
        (
            {"entity": "Order-Line", "fields": {}},
            "mappings.mine.entity: `Order-Line` is no name of an entity | one word in",
        ),
        (
            {"fields": {"x": {"from": "a", "type": "float"}}},
            "mappings.mine.fields.x.type: `float` is no type | did you mean `number`?",
        ),
        (
            {"fields": {"x": {"from": "a", "type": "nmber"}}},
            "mappings.mine.fields.x.type: `nmber` is no type | did you mean `number`?",
        ),
        (
            {"fields": {"x": {"from": "a", "unfit": "skip"}}},
            "mappings.mine.fields.x.unfit: `skip` is none of dead, omit, keep",
        ),
    ],
)
def test_a_fault_of_extending_is_told_at_its_key(mine: Any, expected: str) -> None:
    found = problems({"base": base(a="a", customer="c"), "mine": mine})
    assert any(expected in problem for problem in found), found


def test_mappings_that_extend_in_a_circle_are_a_fault() -> None:
    own = {"one": {"extends": "two"}, "two": {"extends": "one"}}
    assert problems(own)[0] == "mappings.one.extends: goes in a circle: one > two > one | "


def test_a_fault_that_was_inherited_is_told_at_extends() -> None:
    found = problems({"base": base(a="a."), "mine": {"extends": "base"}})
    assert found[0].startswith("mappings.base.fields.a: column 3")
    assert found[1].startswith("mappings.mine.extends: fields.a: column 3")


def test_a_faulty_or_unknown_mapping_fails_its_events_and_nothing_else() -> None:
    book = Book({"mine": base(a="a.")})
    with pytest.raises(MappingError, match=r"mine: fields\.a: column 3: ends too early"):
        book.get("mine")
    with pytest.raises(MappingError, match="nowhere: there is no mapping"):
        book.get("nowhere")
