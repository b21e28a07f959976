"""Saleor: what a subscription asks for, here the fields that the shipped mappings read."""

import base64
from typing import Any

from gateway.sandbox.samples.scene import CURRENCY, DAY_MS, HOST, Item, Platform, Scene, amount, handle, offset, tax_of


def _id(kind: str, number: int) -> str:
    return base64.b64encode(f"{kind}:{number}".encode()).decode()


def _price(pence: int) -> dict[str, Any]:
    return {
        "gross": {"amount": amount(pence), "currency": CURRENCY},
        "net": {"amount": amount(pence - tax_of(pence)), "currency": CURRENCY},
        "tax": {"amount": amount(tax_of(pence)), "currency": CURRENCY},
    }


def _address(scene: Scene) -> dict[str, Any]:
    person = scene.person
    return {
        "firstName": person.first,
        "lastName": person.last,
        "companyName": "",
        "streetAddress1": person.street,
        "streetAddress2": "",
        "city": person.city,
        "postalCode": person.postcode,
        "country": {"code": person.country},
        "phone": person.phone,
    }


def _variant(one: Item) -> dict[str, Any]:
    return {
        "id": _id("ProductVariant", one.good),
        "sku": one.sku,
        "product": {"id": _id("Product", one.good), "name": one.title},
    }


def _line(place: int, one: Item) -> dict[str, Any]:
    return {
        "id": _id("OrderLine", place),
        "productName": one.title,
        "productSku": one.sku,
        "quantity": one.quantity,
        "variant": _variant(one),
        "unitPrice": _price(one.pence),
        "totalPrice": _price(one.total_pence),
    }


def _order(number: int, at_ms: int) -> dict[str, Any]:
    scene = Scene(number, at_ms)
    person = scene.person
    order = {
        "id": _id("Order", number),
        "number": str(1000 + number),
        "status": "UNFULFILLED",
        "paymentStatus": "FULLY_CHARGED",
        "created": offset(scene.placed_ms),
        "updatedAt": offset(at_ms),
        "userEmail": person.email,
        "languageCodeEnum": "EN_GB",
        "channel": {"slug": "uk"},
        "user": {"id": _id("User", number), "firstName": person.first, "lastName": person.last},
        "total": _price(scene.total_pence),
        "undiscountedTotal": _price(scene.total_pence),
        "subtotal": _price(scene.items_pence),
        "shippingPrice": _price(scene.shipping_pence),
        "shippingMethodName": "Royal Mail",
        "billingAddress": _address(scene),
        "shippingAddress": _address(scene),
        "lines": [_line(place, one) for place, one in enumerate(scene.items)],
        "voucherCode": None,
        "metadata": [],
    }
    return {"order": order}


def _customer(number: int, at_ms: int) -> dict[str, Any]:
    scene = Scene(number, at_ms)
    person = scene.person
    user = {
        "id": _id("User", number),
        "email": person.email,
        "firstName": person.first,
        "lastName": person.last,
        "isActive": True,
        "languageCode": "EN_GB",
        "dateJoined": offset(at_ms - 30 * DAY_MS),
        "updatedAt": offset(at_ms),
        "defaultBillingAddress": _address(scene),
    }
    return {"user": user}


def _product(number: int, at_ms: int) -> dict[str, Any]:
    one = Scene(number, at_ms).good
    start = {"start": _price(one.pence)}
    product = {
        "id": _id("Product", one.good),
        "name": one.title,
        "slug": handle(one.title),
        "category": {"name": "Home"},
        "pricing": {"priceRange": start, "priceRangeUndiscounted": start},
        "isAvailable": True,
        "media": [{"url": f"https://{HOST}/img/{handle(one.title)}.jpg"}],
        "variants": [{"id": _id("ProductVariant", one.good), "sku": one.sku, "name": "One", "quantityAvailable": 40}],
        "updatedAt": offset(at_ms),
    }
    return {"product": product}


def _checkout(number: int, at_ms: int) -> dict[str, Any]:
    scene = Scene(number, at_ms)
    lines = [
        {
            "id": _id("CheckoutLine", place),
            "quantity": one.quantity,
            "variant": _variant(one),
            "unitPrice": _price(one.pence),
            "totalPrice": _price(one.total_pence),
        }
        for place, one in enumerate(scene.items)
    ]
    checkout = {
        "id": _id("Checkout", number),
        "email": scene.person.email,
        "totalPrice": _price(scene.total_pence),
        "created": offset(scene.placed_ms),
        "updatedAt": offset(at_ms),
        "lines": lines,
    }
    return {"checkout": checkout}


def _fulfillment(number: int, at_ms: int) -> dict[str, Any]:
    scene = Scene(number, at_ms)
    lines = [
        {
            "id": _id("FulfillmentLine", place),
            "quantity": one.quantity,
            "orderLine": {"id": _id("OrderLine", place), "productSku": one.sku, "productName": one.title},
        }
        for place, one in enumerate(scene.items)
    ]
    parcel = {
        "id": _id("Fulfillment", number),
        "status": "FULFILLED",
        "trackingNumber": f"NL{number:09}GB",
        "created": offset(at_ms),
        "lines": lines,
    }
    return {"fulfillment": parcel, "order": {"id": _id("Order", number), "userEmail": scene.person.email}}


SALEOR = Platform(
    {
        "order_created": _order,
        "order_updated": _order,
        "order_fully_paid": _order,
        "customer_created": _customer,
        "customer_updated": _customer,
        "product_created": _product,
        "product_updated": _product,
        "checkout_updated": _checkout,
        "fulfillment_created": _fulfillment,
    },
    {
        "order": "order_created",
        "customer": "customer_created",
        "product": "product_created",
        "checkout": "checkout_updated",
        "fulfillment": "fulfillment_created",
    },
)
