"""Adobe Commerce through Adobe I/O Events: CloudEvents around the model's columns, all of them texts."""

from collections.abc import Callable
from typing import Any

from gateway.sandbox.samples.scene import (
    CURRENCY,
    DAY_MS,
    Build,
    Item,
    Platform,
    Scene,
    handle,
    naive,
    tax_of,
    zulu_ms,
)
from gateway.sandbox.shopify import money

_PREFIX = "com.adobe.commerce.observer."


def _event(name: str, make: Callable[[Scene], dict[str, Any]]) -> dict[str, Build]:
    topic = f"{_PREFIX}{name}"

    def build(number: int, at_ms: int) -> dict[str, Any]:
        scene = Scene(number, at_ms)
        return {
            "specversion": "1.0",
            "id": f"{scene.event()}-io",
            "source": "urn:uuid:northlight-commerce",
            "type": topic,
            "time": zulu_ms(at_ms),
            "datacontenttype": "application/json",
            "data": {"key": scene.event(), "value": make(scene)},
        }

    return {topic: build}


def _text(pence: int) -> str:
    return f"{money(pence)}0000"


def _times(scene: Scene, created_ms: int) -> dict[str, str]:
    return {"created_at": naive(created_ms, " "), "updated_at": naive(scene.at_ms, " ")}


def _address(scene: Scene, kind: str) -> dict[str, Any]:
    person = scene.person
    return {
        "address_type": kind,
        "firstname": person.first,
        "lastname": person.last,
        "street": person.street,
        "city": person.city,
        "region": None,
        "postcode": person.postcode,
        "country_id": person.country,
        "telephone": person.phone,
    }


def _line(place: int, one: Item) -> dict[str, Any]:
    return {
        "item_id": str(500 + place),
        "product_id": str(one.good),
        "sku": one.sku,
        "name": one.title,
        "qty_ordered": f"{one.quantity}.0000",
        "qty_refunded": "0.0000",
        "price": _text(one.pence),
        "row_total": _text(one.total_pence),
        "tax_amount": _text(tax_of(one.total_pence)),
        "discount_amount": "0.000000",
    }


def _order(scene: Scene) -> dict[str, Any]:
    person = scene.person
    return {
        "entity_id": str(scene.number),
        "increment_id": f"{scene.number:09}",
        "state": "processing",
        "status": "processing",
        "order_currency_code": CURRENCY,
        "grand_total": _text(scene.total_pence),
        "subtotal": _text(scene.items_pence),
        "discount_amount": "0.000000",
        "shipping_amount": _text(scene.shipping_pence),
        "tax_amount": _text(scene.tax_pence),
        **_times(scene, scene.placed_ms),
        "customer_id": str(200 + scene.number),
        "customer_email": person.email,
        "customer_firstname": person.first,
        "customer_lastname": person.last,
        "customer_is_guest": "0",
        "remote_ip": "203.0.113.24",
        "store_id": "1",
        "payment": {"method": "braintree"},
        "shipping_description": "Royal Mail",
        "addresses": [_address(scene, "billing"), _address(scene, "shipping")],
        "items": [_line(place, one) for place, one in enumerate(scene.items)],
    }


def _customer(scene: Scene) -> dict[str, Any]:
    person = scene.person
    return {
        "entity_id": str(200 + scene.number),
        "email": person.email,
        "firstname": person.first,
        "lastname": person.last,
        "group_id": "1",
        "store_id": "1",
        "website_id": "1",
        "extension_attributes": {"is_subscribed": True},
        **_times(scene, scene.at_ms - 30 * DAY_MS),
    }


def _product(scene: Scene) -> dict[str, Any]:
    one = scene.good
    return {
        "entity_id": str(one.good),
        "sku": one.sku,
        "name": one.title,
        "price": _text(one.pence),
        "special_price": None,
        "status": "1",
        "type_id": "simple",
        "visibility": "4",
        "url_key": handle(one.title),
        "stock_data": {"is_in_stock": "1", "qty": "40"},
        **_times(scene, scene.at_ms - 30 * DAY_MS),
    }


def _refund(scene: Scene) -> dict[str, Any]:
    one = scene.items[0]
    row = {"order_item_id": "500", "product_id": str(one.good), "sku": one.sku, "name": one.title, "qty": "1.0000"}
    return {
        "entity_id": str(4_000 + scene.number),
        "order_id": str(scene.number),
        "increment_id": f"{scene.number:09}",
        "order_currency_code": CURRENCY,
        "grand_total": _text(one.pence),
        "created_at": naive(scene.at_ms, " "),
        "items": [{**row, "price": _text(one.pence), "row_total": _text(one.pence)}],
    }


def _shipment(scene: Scene) -> dict[str, Any]:
    one = scene.items[0]
    return {
        "entity_id": str(6_000 + scene.number),
        "order_id": str(scene.number),
        "increment_id": f"{scene.number:09}",
        "created_at": naive(scene.at_ms, " "),
        "tracks": [{"title": "Royal Mail", "track_number": f"NL{scene.number:09}GB"}],
        "items": [{"order_item_id": "500", "sku": one.sku, "qty": f"{one.quantity}.0000"}],
    }


ADOBE_COMMERCE = Platform(
    {
        **_event("sales_order_place_after", _order),
        **_event("sales_order_save_commit_after", _order),
        **_event("customer_save_commit_after", _customer),
        **_event("catalog_product_save_commit_after", _product),
        **_event("sales_order_creditmemo_save_commit_after", _refund),
        **_event("sales_order_shipment_save_commit_after", _shipment),
    },
    {
        "order": f"{_PREFIX}sales_order_place_after",
        "customer": f"{_PREFIX}customer_save_commit_after",
        "product": f"{_PREFIX}catalog_product_save_commit_after",
        "refund": f"{_PREFIX}sales_order_creditmemo_save_commit_after",
        "fulfillment": f"{_PREFIX}sales_order_shipment_save_commit_after",
    },
)
