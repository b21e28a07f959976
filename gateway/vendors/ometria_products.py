"""Ometria's products beside their mapping: one that is off sale, and variants as products of their own."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from gateway.model import NormalEvent
from gateway.vendors import answers, base, checks


def off_sale(event: NormalEvent) -> base.Draft:
    """The draft of a product that the shop has deleted."""
    checks.refuse_if_any("product", checks.missing({"id": event.subject}, (("id",),)))
    data = {"@type": "product", "@merge": True, "id": event.subject, "is_active": False}
    return base.Draft("product", str(event.subject), data)


def variants(product: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The variants of a normal product as Ometria products: children without a page of their own. One without a price
    has the product's. A reduction that is over goes with a null, which deletes.
    """
    variants = product.get("variants")
    for variant in map(answers.object_of, variants if isinstance(variants, list) else ()):
        priced = product if variant.get("price") is None else variant
        now, before = _number(priced.get("price")), _number(priced.get("list_price"))
        reduced = now is not None and before is not None and float(before) > float(now)
        stock = _number(variant.get("stock"))
        options = answers.object_of(variant.get("options")).items()
        fields = {
            "id": variant.get("id"),
            "is_variant": True,
            "title": variant.get("title") or product.get("title"),
            "sku": variant.get("sku"),
            "price": before if reduced else now,
            "is_active": product.get("active"),
            "is_in_stock": None if stock is None else stock > 0,
            "url": product.get("url"),
            "image_url": product.get("image_url"),
            "attributes": [{"type": name, "id": str(value), "label": str(value)} for name, value in options if value],
        }
        known = {name: value for name, value in fields.items() if value is not None}
        yield known if now is None else {**known, "special_price": now if reduced else None}


def _number(value: Any) -> int | float | Decimal | None:
    return value if isinstance(value, int | float | Decimal) else None
