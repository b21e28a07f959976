"""Shopify: payloads of the invented shop that `gateway demo` simulates."""

from typing import Any

from gateway.sandbox import shopify
from gateway.sandbox.samples.scene import Build, Platform
from gateway.sandbox.shopify import Line, Order, Person


def _person(number: int, at_ms: int, **more: Any) -> Person:
    return Person(number=number - 1, created_at_ms=at_ms, consent_at_ms=at_ms, email_consent="subscribed", **more)


def _order(number: int, at_ms: int, **more: Any) -> dict[str, Any]:
    goods = len(shopify.GOODS)
    lines = (Line(number % goods, 0, 1), Line((number + 3) % goods, 0, 2))
    placed = Order(number, _person(number, at_ms, orders=1), lines, at_ms, **more)
    return shopify.order(placed, at_ms)


def _product(number: int, at_ms: int) -> dict[str, Any]:
    return shopify.product((number - 1) % len(shopify.GOODS), at_ms)


def _lines(number: int) -> list[dict[str, Any]]:
    whole = _order(number, 0)["line_items"]
    return [{**line, "line_price": line["price"], "destination_location_id": None} for line in whole]


def _checkout(number: int, at_ms: int) -> dict[str, Any]:
    """An abandoned one has the address to come back at."""
    order = _order(number, at_ms)
    kept = ("currency", "email", "customer", "total_price", "subtotal_price", "total_tax", "customer_locale")
    identity = shopify.identity("Order", 100_000 + number)
    return {
        "id": identity,
        "token": f"k{number:07}-northlight",
        "cart_token": order["cart_token"],
        "created_at": order["created_at"],
        "updated_at": shopify.moment(at_ms),
        "completed_at": None,
        "abandoned_checkout_url": f"https://{shopify.DOMAIN}/checkouts/{identity}/recover",
        "line_items": _lines(number),
        **{name: order[name] for name in kept},
    }


def _cart(number: int, at_ms: int) -> dict[str, Any]:
    at = shopify.moment(at_ms)
    token = f"c{number:07}-northlight"
    return {"id": token, "token": token, "line_items": _lines(number), "note": "", "created_at": at, "updated_at": at}


def _refund(number: int, at_ms: int) -> dict[str, Any]:
    line = _order(number, at_ms)["line_items"][0]
    amount, currency = line["price"], shopify.CURRENCY
    paid = {"id": shopify.identity("LineItem", 40_000 + number), "kind": "refund", "status": "success"}
    row = {"id": 1, "quantity": 1, "line_item_id": line["id"], "subtotal": float(amount), "total_tax": 0.0}
    return {
        "id": shopify.identity("Fulfillment", 50_000 + number),
        "order_id": shopify.identity("Order", number),
        "created_at": shopify.moment(at_ms),
        "processed_at": shopify.moment(at_ms),
        "note": "Too small",
        "restock": True,
        "refund_line_items": [{**row, "line_item": line}],
        "transactions": [{**paid, "amount": amount, "currency": currency}],
        "order_adjustments": [],
    }


def _fulfillment(number: int, at_ms: int) -> dict[str, Any]:
    order = _order(number, at_ms, paid=True, fulfilled=True)
    return {
        "id": shopify.identity("Fulfillment", number),
        "order_id": order["id"],
        "status": "success",
        "created_at": shopify.moment(at_ms),
        "updated_at": shopify.moment(at_ms),
        "service": "manual",
        "tracking_company": "Royal Mail",
        "tracking_number": f"NL{number:09}GB",
        "tracking_url": f"https://track.example.com/NL{number:09}GB",
        "email": order["email"],
        "line_items": order["line_items"],
    }


def _redact(number: int, _at_ms: int) -> dict[str, Any]:
    person = {"id": shopify.identity("Customer", number - 1), "email": shopify.email_of(number - 1), "phone": None}
    return {"shop_id": 954889, "shop_domain": shopify.DOMAIN, "customer": person, "orders_to_redact": []}


_TOPICS: dict[str, Build] = {
    "orders/create": lambda number, at_ms: _order(number, at_ms, paid=True),
    "orders/updated": lambda number, at_ms: _order(number, at_ms, paid=True, fulfilled=True),
    "orders/paid": lambda number, at_ms: _order(number, at_ms, paid=True),
    "orders/fulfilled": lambda number, at_ms: _order(number, at_ms, paid=True, fulfilled=True),
    "orders/cancelled": lambda number, at_ms: _order(number, at_ms, cancelled_at_ms=at_ms),
    "orders/delete": lambda number, _at_ms: {"id": shopify.identity("Order", number)},
    "customers/create": lambda number, at_ms: shopify.customer(_person(number, at_ms), at_ms),
    "customers/update": lambda number, at_ms: shopify.customer(_person(number, at_ms, tags=("vip",)), at_ms),
    "customers/delete": lambda number, _at_ms: {"id": shopify.identity("Customer", number - 1)},
    "customers/redact": _redact,
    "products/create": _product,
    "products/update": _product,
    "products/delete": lambda number, _at_ms: {"id": shopify.identity("Product", number - 1)},
    "carts/update": _cart,
    "checkouts/create": _checkout,
    "refunds/create": _refund,
    "fulfillments/create": _fulfillment,
}

SHOPIFY = Platform(
    _TOPICS,
    {
        "order": "orders/create",
        "customer": "customers/create",
        "product": "products/create",
        "cart": "carts/update",
        "checkout": "checkouts/create",
        "refund": "refunds/create",
        "fulfillment": "fulfillments/create",
    },
)
