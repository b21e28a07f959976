"""Square: events around an object; amounts in the smallest unit, times with nanoseconds."""

from collections.abc import Callable
from typing import Any

from gateway.sandbox.samples.scene import CURRENCY, DAY_MS, Build, Platform, Scene, zulu, zulu_ms

_LOCATION = "LNORTHLIGHT01"


def _event(kind: str, name: str, make: Callable[[Scene], dict[str, Any]]) -> Build:
    def build(number: int, at_ms: int) -> dict[str, Any]:
        scene = Scene(number, at_ms)
        thing = make(scene)
        return {
            "merchant_id": "MNORTHLIGHT01",
            "location_id": _LOCATION,
            "type": kind,
            "event_id": f"{scene.event()}-0000-4000-8000-000000000000",
            "created_at": f"{zulu(at_ms)[:-1]}.{at_ms % 1000:03}339943Z",
            "data": {"type": name, "id": thing.get("id") or thing.get("order_id"), "object": {name: thing}},
        }

    return build


def _amount(pence: int) -> dict[str, Any]:
    return {"amount": pence, "currency": CURRENCY}


def _id(kind: str, number: int) -> str:
    return f"{kind}NORTHLIGHT{number:06}"


def _order(scene: Scene) -> dict[str, Any]:
    return {
        "order_id": _id("O", scene.number),
        "version": 1,
        "location_id": _LOCATION,
        "state": "OPEN",
        "created_at": zulu_ms(scene.placed_ms),
        "updated_at": zulu_ms(scene.at_ms),
    }


def _customer(scene: Scene) -> dict[str, Any]:
    person = scene.person
    return {
        "id": _id("C", scene.number),
        "given_name": person.first,
        "family_name": person.last,
        "email_address": person.email,
        "phone_number": person.phone,
        "address": {
            "address_line_1": person.street,
            "locality": person.city,
            "postal_code": person.postcode,
            "country": person.country,
        },
        "preferences": {"email_unsubscribed": False},
        "creation_source": "ECOMMERCE",
        "created_at": zulu_ms(scene.at_ms - 30 * DAY_MS),
        "updated_at": zulu_ms(scene.at_ms),
        "version": 0,
    }


def _payment(scene: Scene) -> dict[str, Any]:
    return {
        "id": _id("P", scene.number),
        "order_id": _id("O", scene.number),
        "customer_id": _id("C", scene.number),
        "location_id": _LOCATION,
        "status": "COMPLETED",
        "source_type": "CARD",
        "amount_money": _amount(scene.total_pence),
        "total_money": _amount(scene.total_pence),
        "buyer_email_address": scene.person.email,
        "created_at": zulu_ms(scene.placed_ms),
        "updated_at": zulu_ms(scene.at_ms),
    }


def _refund(scene: Scene) -> dict[str, Any]:
    return {
        "id": _id("R", scene.number),
        "order_id": _id("O", scene.number),
        "payment_id": _id("P", scene.number),
        "location_id": _LOCATION,
        "status": "COMPLETED",
        "reason": "Too small",
        "amount_money": _amount(scene.items[0].total_pence),
        "created_at": zulu_ms(scene.at_ms),
        "updated_at": zulu_ms(scene.at_ms),
    }


SQUARE = Platform(
    {
        "order.created": _event("order.created", "order_created", _order),
        "order.updated": _event("order.updated", "order_updated", _order),
        "customer.created": _event("customer.created", "customer", _customer),
        "customer.updated": _event("customer.updated", "customer", _customer),
        "payment.created": _event("payment.created", "payment", _payment),
        "payment.updated": _event("payment.updated", "payment", _payment),
        "refund.created": _event("refund.created", "refund", _refund),
    },
    {
        "order": "order.created",
        "customer": "customer.created",
        "payment": "payment.created",
        "refund": "refund.created",
    },
)
