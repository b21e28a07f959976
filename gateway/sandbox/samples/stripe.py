"""Stripe: events around an object; amounts in the currency's smallest unit, times in Unix seconds."""

from collections.abc import Callable
from typing import Any

from gateway.sandbox.samples.scene import DAY_MS, HOST, Build, Item, Platform, Scene, handle, tax_of

_LOCALE = "en"


def _event(kind: str, make: Callable[[Scene], dict[str, Any]]) -> Build:
    def build(number: int, at_ms: int) -> dict[str, Any]:
        scene = Scene(number, at_ms)
        return {
            "id": f"evt_{scene.event()}",
            "object": "event",
            "api_version": "2025-09-30.clover",
            "created": at_ms // 1000,
            "data": {"object": make(scene)},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": f"req_{scene.event()}", "idempotency_key": None},
            "type": kind,
        }

    return build


def _id(prefix: str, number: int) -> str:
    return f"{prefix}_northlight{number:06}"


def _address(scene: Scene) -> dict[str, Any]:
    person = scene.person
    return {
        "line1": person.street,
        "line2": None,
        "city": person.city,
        "state": None,
        "postal_code": person.postcode,
        "country": person.country,
    }


def _line(place: int, one: Item) -> dict[str, Any]:
    return {
        "id": _id("li", place),
        "object": "item",
        "description": one.title,
        "quantity": one.quantity,
        "currency": "gbp",
        "amount_subtotal": one.total_pence,
        "amount_total": one.total_pence,
        "amount_discount": 0,
        "amount_tax": tax_of(one.total_pence),
        "price": {"id": _id("price", one.good), "product": _id("prod", one.good), "unit_amount": one.pence},
    }


def _session(scene: Scene) -> dict[str, Any]:
    person = scene.person
    return {
        "id": f"cs_test_{scene.number:010}",
        "object": "checkout.session",
        "amount_subtotal": scene.items_pence,
        "amount_total": scene.total_pence,
        "client_reference_id": f"NL-{1000 + scene.number}",
        "created": scene.placed_ms // 1000,
        "currency": "gbp",
        "customer": _id("cus", scene.number),
        "customer_details": {
            "address": _address(scene),
            "email": person.email,
            "name": person.name,
            "phone": person.phone or None,
        },
        "consent": None,
        "invoice": None,
        "line_items": {"object": "list", "data": [_line(place, one) for place, one in enumerate(scene.items)]},
        "livemode": False,
        "locale": _LOCALE,
        "metadata": {},
        "mode": "payment",
        "payment_intent": _id("pi", scene.number),
        "payment_method_types": ["card"],
        "payment_status": "paid",
        "shipping_details": None,
        "status": "complete",
        "total_details": {
            "amount_discount": 0,
            "amount_shipping": scene.shipping_pence,
            "amount_tax": scene.tax_pence,
        },
    }


def _expired(scene: Scene) -> dict[str, Any]:
    url = f"https://buy.{HOST}/r/{scene.number}"
    return {
        **_session(scene),
        "payment_status": "unpaid",
        "status": "expired",
        "after_expiration": {"recovery": {"enabled": True, "url": url}},
    }


def _customer(scene: Scene) -> dict[str, Any]:
    person = scene.person
    return {
        "id": _id("cus", scene.number),
        "object": "customer",
        "address": _address(scene),
        "balance": 0,
        "created": (scene.at_ms - 30 * DAY_MS) // 1000,
        "currency": "gbp",
        "delinquent": False,
        "description": None,
        "email": person.email,
        "livemode": False,
        "metadata": {},
        "name": person.name,
        "phone": person.phone or None,
        "preferred_locales": ["en-GB"],
        "shipping": None,
    }


def _product(scene: Scene) -> dict[str, Any]:
    one = scene.good
    price = {"id": _id("price", one.good), "object": "price", "unit_amount": one.pence, "currency": "gbp"}
    return {
        "id": _id("prod", one.good),
        "object": "product",
        "active": True,
        "created": (scene.at_ms - 30 * DAY_MS) // 1000,
        "default_price": price,
        "description": one.title,
        "images": [f"https://{HOST}/img/{handle(one.title)}.jpg"],
        "livemode": False,
        "metadata": {"sku": one.sku},
        "name": one.title,
        "updated": scene.at_ms // 1000,
        "url": None,
    }


def _invoice(scene: Scene) -> dict[str, Any]:
    person = scene.person
    lines = [
        {
            "id": _id("il", place),
            "object": "line_item",
            "amount": one.total_pence,
            "currency": "gbp",
            "description": one.title,
            "quantity": one.quantity,
            "price": {"id": _id("price", one.good), "product": _id("prod", one.good), "unit_amount": one.pence},
            "discount_amounts": [],
        }
        for place, one in enumerate(scene.items)
    ]
    return {
        "id": _id("in", scene.number),
        "object": "invoice",
        "number": f"NL-{scene.number:04}",
        "status": "paid",
        "currency": "gbp",
        "created": scene.placed_ms // 1000,
        "subtotal": scene.items_pence,
        "total": scene.items_pence,
        "tax": tax_of(scene.items_pence),
        "total_discount_amounts": [],
        "customer": _id("cus", scene.number),
        "customer_email": person.email,
        "customer_name": person.name,
        "customer_address": _address(scene),
        "billing_reason": "manual",
        "metadata": {},
        "lines": {"object": "list", "data": lines},
    }


def _refund(scene: Scene) -> dict[str, Any]:
    return {
        "id": _id("re", scene.number),
        "object": "refund",
        "amount": scene.items[0].total_pence,
        "charge": _id("ch", scene.number),
        "created": scene.at_ms // 1000,
        "currency": "gbp",
        "metadata": {},
        "payment_intent": _id("pi", scene.number),
        "reason": "requested_by_customer",
        "status": "succeeded",
    }


def _charge(scene: Scene) -> dict[str, Any]:
    person = scene.person
    return {
        "id": _id("ch", scene.number),
        "object": "charge",
        "amount": scene.total_pence,
        "amount_captured": scene.total_pence,
        "amount_refunded": 0,
        "billing_details": {"address": _address(scene), "email": person.email, "name": person.name, "phone": None},
        "created": scene.at_ms // 1000,
        "currency": "gbp",
        "customer": _id("cus", scene.number),
        "invoice": None,
        "metadata": {},
        "paid": True,
        "payment_intent": _id("pi", scene.number),
        "payment_method_details": {"type": "card"},
        "status": "succeeded",
    }


_MADE = {
    "checkout.session.completed": _session,
    "checkout.session.expired": _expired,
    "customer.created": _customer,
    "customer.updated": _customer,
    "customer.deleted": _customer,
    "product.created": _product,
    "product.updated": _product,
    "invoice.paid": _invoice,
    "charge.succeeded": _charge,
    "refund.created": _refund,
}

STRIPE = Platform(
    {topic: _event(topic, make) for topic, make in _MADE.items()},
    {
        "order": "checkout.session.completed",
        "customer": "customer.created",
        "product": "product.created",
        "checkout": "checkout.session.expired",
        "refund": "refund.created",
        "invoice": "invoice.paid",
        "charge": "charge.succeeded",
    },
)
