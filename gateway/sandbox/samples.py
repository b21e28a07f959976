"""Bodies to send by hand, by platform and name: `gateway send SOURCE --sample order`."""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from gateway import document
from gateway.sandbox import shopify
from gateway.sandbox.shopify import Line, Order, Person

Build = Callable[[int, int], dict[str, Any]]
"""The payload of the n-th sample (from 1) at a time (ms since the epoch)."""


class Sample(Struct, frozen=True):
    """A body and the topic it goes under."""

    topic: str
    body: bytes


def _person(number: int, at_ms: int, **more: Any) -> Person:
    return Person(number=number - 1, created_at_ms=at_ms, consent_at_ms=at_ms, email_consent="subscribed", **more)


def _order(number: int, at_ms: int, **more: Any) -> dict[str, Any]:
    goods = len(shopify.GOODS)
    lines = (Line(number % goods, 0, 1), Line((number + 3) % goods, 0, 2))
    placed = Order(number, _person(number, at_ms, orders=1), lines, at_ms, **more)
    return shopify.order(placed, at_ms)


def _product(number: int, at_ms: int) -> dict[str, Any]:
    return shopify.product((number - 1) % len(shopify.GOODS), at_ms)


_SHOPIFY: dict[str, Build] = {
    "orders/create": lambda number, at_ms: _order(number, at_ms, paid=True),
    "orders/updated": lambda number, at_ms: _order(number, at_ms, paid=True, fulfilled=True),
    "orders/paid": lambda number, at_ms: _order(number, at_ms, paid=True),
    "orders/fulfilled": lambda number, at_ms: _order(number, at_ms, paid=True, fulfilled=True),
    "orders/cancelled": lambda number, at_ms: _order(number, at_ms, cancelled_at_ms=at_ms),
    "orders/delete": lambda number, _at_ms: {"id": shopify.identity("Order", number)},
    "customers/create": lambda number, at_ms: shopify.customer(_person(number, at_ms), at_ms),
    "customers/update": lambda number, at_ms: shopify.customer(_person(number, at_ms, tags=("vip",)), at_ms),
    "customers/delete": lambda number, _at_ms: {"id": shopify.identity("Customer", number - 1)},
    "products/create": _product,
    "products/update": _product,
    "products/delete": lambda number, _at_ms: {"id": shopify.identity("Product", number - 1)},
}

_GENERIC: dict[str, Build] = {
    "order.created": lambda number, at_ms: {
        "ref": f"A-{number:05}",
        "id": f"evt-{at_ms}-{number}",
        "amount": "49.90",
        "currency": "EUR",
        "email": shopify.email_of(number - 1),
        "lines": [{"sku": "NL-MUG-03", "quantity": 2, "price": "24.95"}],
    },
    "customer.created": lambda number, at_ms: {
        "id": f"cus-{at_ms}-{number}",
        "email": shopify.email_of(number - 1),
        "name": " ".join(shopify.PEOPLE[(number - 1) % len(shopify.PEOPLE)][:2]),
    },
}

SAMPLES: dict[str, dict[str, Build]] = {"shopify": _SHOPIFY, "generic": _GENERIC}
"""By platform, then by topic."""

SHORT: dict[str, dict[str, str]] = {
    "shopify": {"order": "orders/create", "customer": "customers/create", "product": "products/create"},
    "generic": {"order": "order.created", "customer": "customer.created"},
}
"""The names that people type, by platform."""


def names(preset: str) -> tuple[str, ...]:
    """What may be asked for of a platform: short names first, then topics. Empty for a platform without samples."""
    return (*SHORT.get(preset, {}), *SAMPLES.get(preset, {}))


def sample(preset: str, name: str, *, now_ms: int, number: int = 1) -> Sample:
    """The n-th sample of that name: another number is another order, customer or product.

    Raises KeyError for a platform or a name that there is not.
    """
    topic = SHORT[preset].get(name, name)
    return Sample(topic, document.dump(SAMPLES[preset][topic](number, now_ms)))
