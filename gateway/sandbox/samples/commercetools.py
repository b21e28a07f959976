"""commercetools: Messages with the whole resource in them, and changes that only name it. Amounts in cents."""

from collections.abc import Callable
from typing import Any

from gateway.sandbox.samples.scene import CURRENCY, DAY_MS, HOST, Build, Item, Platform, Scene, handle, tax_of, zulu_ms

_PROJECT = "northlight-demo"


def _cents(pence: int) -> dict[str, Any]:
    return {"type": "centPrecision", "currencyCode": CURRENCY, "centAmount": pence, "fractionDigits": 2}


def _message(kind: str, resource: str, name: str | None, make: Callable[[Scene], dict[str, Any]]) -> Build:
    def build(number: int, at_ms: int) -> dict[str, Any]:
        scene = Scene(number, at_ms)
        whole = make(scene)
        carried = whole if name is None else {name: whole}
        return {
            "notificationType": "Message",
            "projectKey": _PROJECT,
            "id": f"{scene.event()}-ct",
            "version": 1,
            "sequenceNumber": 1,
            "resource": {"typeId": resource, "id": whole.get("id") or scene.uuid(resource)},
            "resourceVersion": 1,
            "type": kind,
            "createdAt": zulu_ms(at_ms),
            "lastModifiedAt": zulu_ms(at_ms),
            **carried,
        }

    return build


def _change(kind: str, resource: str) -> Build:
    def build(number: int, at_ms: int) -> dict[str, Any]:
        scene = Scene(number, at_ms)
        return {
            "notificationType": kind,
            "projectKey": _PROJECT,
            "resource": {"typeId": resource, "id": scene.uuid(resource)},
            "version": at_ms // 1000,
            "oldVersion": at_ms // 1000 - 1,
            "modifiedAt": zulu_ms(at_ms),
        }

    return build


def _address(scene: Scene) -> dict[str, Any]:
    person = scene.person
    return {
        "firstName": person.first,
        "lastName": person.last,
        "streetName": person.street,
        "city": person.city,
        "postalCode": person.postcode,
        "country": person.country,
        "email": person.email,
        "phone": person.phone,
    }


def _line(scene: Scene, one: Item) -> dict[str, Any]:
    return {
        "id": scene.uuid(f"line-{one.sku}"),
        "productId": Scene(one.good, 0).uuid("product"),
        "name": {"en-GB": one.title},
        "variant": {"id": 1, "sku": one.sku},
        "quantity": one.quantity,
        "price": {"value": _cents(one.pence)},
        "totalPrice": _cents(one.total_pence),
        "taxedPrice": {"totalTax": _cents(tax_of(one.total_pence))},
    }


def _order(scene: Scene) -> dict[str, Any]:
    total, tax = scene.total_pence, scene.tax_pence
    return {
        "type": "Order",
        "id": scene.uuid("order"),
        "version": 1,
        "orderNumber": f"NL-{1000 + scene.number}",
        "orderState": "Open",
        "paymentState": "Paid",
        "customerId": scene.uuid("customer"),
        "customerEmail": scene.person.email,
        "locale": "en-GB",
        "origin": "Customer",
        "createdAt": zulu_ms(scene.placed_ms),
        "lastModifiedAt": zulu_ms(scene.at_ms),
        "totalPrice": _cents(total),
        "taxedPrice": {"totalNet": _cents(total - tax), "totalGross": _cents(total), "totalTax": _cents(tax)},
        "shippingInfo": {"shippingMethodName": "Royal Mail", "price": _cents(scene.shipping_pence)},
        "billingAddress": _address(scene),
        "shippingAddress": _address(scene),
        "lineItems": [_line(scene, one) for one in scene.items],
        "customLineItems": [],
    }


def _customer(scene: Scene) -> dict[str, Any]:
    person = scene.person
    return {
        "id": scene.uuid("customer"),
        "version": 1,
        "customerNumber": f"NLC-{scene.number}",
        "email": person.email,
        "firstName": person.first,
        "lastName": person.last,
        "locale": "en-GB",
        "isEmailVerified": True,
        "addresses": [_address(scene)],
        "createdAt": zulu_ms(scene.at_ms - 30 * DAY_MS),
        "lastModifiedAt": zulu_ms(scene.at_ms),
    }


def _product(scene: Scene) -> dict[str, Any]:
    one = scene.good
    variant = {
        "id": 1,
        "sku": one.sku,
        "prices": [{"id": Scene(one.good, 0).uuid("price"), "value": _cents(one.pence)}],
        "images": [{"url": f"https://{HOST}/img/{handle(one.title)}.jpg"}],
        "attributes": [],
        "availability": {"isOnStock": True, "availableQuantity": 40},
    }
    return {
        "id": Scene(one.good, 0).uuid("product"),
        "version": 1,
        "key": one.sku.lower(),
        "name": {"en-GB": one.title},
        "slug": {"en-GB": handle(one.title)},
        "published": True,
        "categories": [],
        "masterVariant": variant,
        "variants": [],
        "createdAt": zulu_ms(scene.at_ms - 30 * DAY_MS),
        "lastModifiedAt": zulu_ms(scene.at_ms),
    }


def _payment(scene: Scene) -> dict[str, Any]:
    return {
        "id": scene.uuid("payment"),
        "version": 1,
        "amountPlanned": _cents(scene.total_pence),
        "paymentMethodInfo": {"method": "CARD"},
        "paymentStatus": {},
        "transactions": [],
        "createdAt": zulu_ms(scene.at_ms),
        "lastModifiedAt": zulu_ms(scene.at_ms),
    }


COMMERCETOOLS = Platform(
    {
        "OrderCreated": _message("OrderCreated", "order", "order", _order),
        "OrderStateChanged": _message(
            "OrderStateChanged", "order", None, lambda _scene: {"orderState": "Complete", "oldOrderState": "Open"}
        ),
        "CustomerCreated": _message("CustomerCreated", "customer", "customer", _customer),
        "CustomerDeleted": _message("CustomerDeleted", "customer", None, lambda _scene: {}),
        "ProductPublished": _message("ProductPublished", "product", "productProjection", _product),
        "ProductCreated": _message("ProductCreated", "product", "productProjection", _product),
        "PaymentCreated": _message("PaymentCreated", "payment", "payment", _payment),
        "customer.ResourceUpdated": _change("ResourceUpdated", "customer"),
        "product.ResourceDeleted": _change("ResourceDeleted", "product"),
    },
    {
        "order": "OrderCreated",
        "customer": "CustomerCreated",
        "product": "ProductCreated",
        "payment": "PaymentCreated",
    },
)
