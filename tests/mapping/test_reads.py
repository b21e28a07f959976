"""What a mapping reads and makes is told from its rules, without running them."""

import pytest

from gateway.mapping import vocabulary
from gateway.mapping.book import Book, shipped_names
from gateway.mapping.reads import made, reads, reads_of


def names(paths: object) -> set[str]:
    return {".".join(path) for path in paths}  # type: ignore[attr-defined]  # any collection of paths


def read(expression: str) -> set[str]:
    return names(reads({"fields": {"it": expression}}).paths())


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("body.customer.email", {"body.customer.email"}),
        ("body.email || body.customer.email", {"body.email", "body.customer.email"}),
        ("body.lines[0].sku", {"body.lines.sku"}),
        ("body.lines[].sku | [0]", {"body.lines.sku"}),
        ("body.lines[?paid].tax[].rate", {"body.lines.paid", "body.lines.tax.rate"}),
        ("body.prices.*.amount", {"body.prices.*.amount"}),
        ("body.{a: one, b: two.three}", {"body.one", "body.two.three"}),
        ("[body.one, body.two][0].id", {"body.one.id", "body.two.id"}),
        ("body.total > `0` && body.id", {"body.total", "body.id"}),
        ("!(body.test)", {"body.test"}),
        ("if(body.paid, body.total, body.due)", {"body.paid", "body.total", "body.due"}),
        ("coalesce(body.a, body.b).c", {"body.a.c", "body.b.c"}),
        ("sort_by(body.lines, &price)[0].sku", {"body.lines.price", "body.lines.sku"}),
        ("map(&sku, body.lines)", {"body.lines.sku"}),
        ("values(body.prices)[0].amount", {"body.prices.*.amount"}),
        ("length(body.lines)", {"body.lines"}),
        ("concat('order-', body.id)", {"body.id"}),
        ("'a constant'", set()),
        ("`[1, 2]`", set()),
    ],
)
def test_an_expression_reads_the_fields_that_it_names(expression: str, found: set[str]) -> None:
    assert read(expression) == found


def test_item_and_parent_are_what_they_stand_for() -> None:
    found = reads(
        {
            "root": "body.orders",
            "when": "item.paid",
            "fields": {
                "id": "item.id",
                "shop": "parent.topic",
                "lines": {"each": "item.lines", "fields": {"sku": "item.sku", "order": "parent.id"}},
                "tags": {"each": "item.tags", "type": "string"},
                "total": {"from": "item.total", "money": "item.currency"},
                "address": {"from": "item.address", "fields": {"city": "item.city"}},
                "fixed": {"value": "item.nothing"},
            },
        }
    )
    lines = {"body.orders.lines", "body.orders.lines.sku"}
    order = {f"body.orders.{name}" for name in ("id", "paid", "tags", "total", "currency", "address", "address.city")}
    assert names(found.paths()) == {"body.orders", "topic", *lines, *order}


def test_a_read_knows_the_rule_that_it_stands_in() -> None:
    found = reads({"when": "body.a", "fields": {"x": {"fields": {"y": {"from": "body.b", "type": "string"}}}}})
    assert found.paths() == {("body", "a"): ("when",), ("body", "b"): ("fields", "x", "fields", "y", "from")}


def test_what_is_taken_whole_is_read_with_all_that_is_in_it() -> None:
    found = reads({"fields": {"a": "body.address", "b": "body.customer.name", "c": "body.prices.*.amount"}})
    assert found.covers(("body", "address", "city"))
    assert found.covers(("body", "prices", "eur", "amount"))
    assert not found.covers(("body", "customer", "email"))


def test_what_is_only_looked_at_is_not_read_with_what_is_in_it() -> None:
    found = reads_of("body.customer && body.total > `1`")
    assert found.covers(("body", "customer"))
    assert not found.covers(("body", "customer", "email"))


def test_the_whole_document_reads_everything() -> None:
    assert reads({"fields": {"raw": "@"}}).covers(("body", "anything"))


def test_what_is_no_expression_reads_nothing() -> None:
    assert reads({"fields": {"a": "split(", "b": 5, "c": {"from": None}}}).paths() == {}
    assert reads({}).paths() == {}


def test_the_fields_that_a_mapping_makes_have_paths() -> None:
    rules = {"fields": {"id": "body.id", "items": {"each": "body.lines", "fields": {"sku": "item.sku"}}}}
    assert [".".join(path) for path, _ in made(rules)] == ["id", "items", "items.sku"]


# --- the vocabulary --------------------------------------------------------------------------------------------------


def test_the_vocabulary_knows_every_field_of_an_entity() -> None:
    assert {"order", "customer", "product"} < set(vocabulary.entities())
    order = names(vocabulary.fields("order"))
    assert {"total", "customer.email", "items.sku", "billing_address.city", "customer.consent.email"} < order
    assert ("properties",) in vocabulary.open_fields("order")
    assert vocabulary.fields("horse") == vocabulary.open_fields("horse") == frozenset()


@pytest.mark.parametrize("entity", vocabulary.entities())
def test_shipped_mappings_of_a_platform_make_only_what_the_vocabulary_has(entity: str) -> None:
    """So a vendor's mapping that reads beside the vocabulary reads what nobody fills."""
    book = Book({})
    rules = [book.rules_of(name) for name in shipped_names() if name.split("/")[0] in ("shopify", "woocommerce")]
    found = {path for one in rules if one.get("entity") == entity for path, _ in made(one)}
    open_at = vocabulary.open_fields(entity)
    strange = {
        path for path in found - vocabulary.fields(entity) if not any(path[: len(one)] == one for one in open_at)
    }
    assert names(strange) == set()
