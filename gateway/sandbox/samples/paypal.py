"""PayPal: events around a resource; amounts are texts."""

from collections.abc import Callable
from typing import Any

from gateway.sandbox.samples.scene import CURRENCY, Build, Platform, Scene, zulu, zulu_ms
from gateway.sandbox.shopify import money


def _event(kind: str, resource_type: str, make: Callable[[Scene], dict[str, Any]]) -> Build:
    def build(number: int, at_ms: int) -> dict[str, Any]:
        scene = Scene(number, at_ms)
        return {
            "id": f"WH-{scene.event().upper()}",
            "event_version": "1.0",
            "create_time": zulu_ms(at_ms),
            "resource_type": resource_type,
            "resource_version": "2.0",
            "event_type": kind,
            "summary": kind.replace(".", " ").capitalize(),
            "resource": make(scene),
            "links": [],
        }

    return build


def _money(pence: int) -> dict[str, str]:
    return {"currency_code": CURRENCY, "value": money(pence)}


def _order_id(scene: Scene) -> str:
    return f"5NL{scene.number:014}"


def _order(scene: Scene) -> dict[str, Any]:
    person = scene.person
    parts = {"item_total": _money(scene.items_pence), "shipping": _money(scene.shipping_pence)}
    items = [
        {"name": one.title, "sku": one.sku, "quantity": str(one.quantity), "unit_amount": _money(one.pence)}
        for one in scene.items
    ]
    address = {
        "address_line_1": person.street,
        "admin_area_2": person.city,
        "postal_code": person.postcode,
        "country_code": person.country,
    }
    unit = {
        "reference_id": "default",
        "invoice_id": f"NL-{1000 + scene.number}",
        "amount": {**_money(scene.total_pence), "breakdown": parts},
        "shipping": {"name": {"full_name": person.name}, "address": address},
        "items": items,
    }
    return {
        "id": _order_id(scene),
        "intent": "CAPTURE",
        "status": "COMPLETED",
        "create_time": zulu(scene.placed_ms),
        "update_time": zulu(scene.at_ms),
        "payer": {
            "payer_id": f"PNL{scene.number:010}",
            "email_address": person.email,
            "name": {"given_name": person.first, "surname": person.last},
            "address": {"country_code": person.country},
        },
        "purchase_units": [unit],
    }


def _capture(scene: Scene) -> dict[str, Any]:
    return {
        "id": f"8NL{scene.number:014}",
        "status": "COMPLETED",
        "final_capture": True,
        "amount": _money(scene.total_pence),
        "invoice_id": f"NL-{1000 + scene.number}",
        "supplementary_data": {"related_ids": {"order_id": _order_id(scene)}},
        "create_time": zulu(scene.at_ms),
        "update_time": zulu(scene.at_ms),
    }


def _refund(scene: Scene) -> dict[str, Any]:
    return {
        "id": f"1NL{scene.number:014}",
        "status": "COMPLETED",
        "amount": _money(scene.items[0].total_pence),
        "note_to_payer": "Too small",
        "create_time": zulu(scene.at_ms),
        "update_time": zulu(scene.at_ms),
    }


PAYPAL = Platform(
    {
        "CHECKOUT.ORDER.COMPLETED": _event("CHECKOUT.ORDER.COMPLETED", "checkout-order", _order),
        "PAYMENT.CAPTURE.COMPLETED": _event("PAYMENT.CAPTURE.COMPLETED", "capture", _capture),
        "PAYMENT.CAPTURE.REFUNDED": _event("PAYMENT.CAPTURE.REFUNDED", "refund", _refund),
    },
    {
        "order": "CHECKOUT.ORDER.COMPLETED",
        "payment": "PAYMENT.CAPTURE.COMPLETED",
        "refund": "PAYMENT.CAPTURE.REFUNDED",
    },
)
