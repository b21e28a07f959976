"""Shopware 6: an event with its payload, the shop it comes from, and the time of sending."""

from typing import Any

from gateway.sandbox.samples.scene import DAY_MS, HOST, Build, Item, Platform, Scene, amount, offset, tax_of

_TAX_RATE = 20


def _hex(kind: str, number: int) -> str:
    return Scene(number, 0).uuid(kind).replace("-", "")


def _sent(event: str, scene: Scene, payload: Any) -> dict[str, Any]:
    source = {"url": f"https://{HOST}", "appVersion": "1.0.0", "shopId": "nlShop01", "eventId": scene.event()}
    return {"data": {"payload": payload, "event": event}, "source": source, "timestamp": scene.at_ms // 1000}


def _taxes(pence: int) -> list[dict[str, Any]]:
    return [{"tax": amount(tax_of(pence)), "taxRate": _TAX_RATE, "price": amount(pence)}]


def _address(scene: Scene) -> dict[str, Any]:
    person = scene.person
    return {
        "firstName": person.first,
        "lastName": person.last,
        "street": person.street,
        "zipcode": person.postcode,
        "city": person.city,
        "phoneNumber": person.phone or None,
        "country": {"iso": person.country},
    }


def _line(one: Item) -> dict[str, Any]:
    product = _hex("product", one.good)
    return {
        "id": _hex("line", one.good),
        "productId": product,
        "referencedId": product,
        "label": one.title,
        "quantity": one.quantity,
        "unitPrice": amount(one.pence),
        "totalPrice": amount(one.total_pence),
        "payload": {"productNumber": one.sku},
        "price": {"calculatedTaxes": _taxes(one.total_pence)},
        "type": "product",
    }


def _order(scene: Scene, paid: str) -> dict[str, Any]:
    total = scene.total_pence
    person = scene.person
    return {
        "id": _hex("order", scene.number),
        "orderNumber": str(10_000 + scene.number),
        "amountTotal": amount(total),
        "amountNet": amount(total - scene.tax_pence),
        "positionPrice": amount(scene.items_pence),
        "shippingTotal": amount(scene.shipping_pence),
        "taxStatus": "gross",
        "price": {
            "totalPrice": amount(total),
            "positionPrice": amount(scene.items_pence),
            "calculatedTaxes": _taxes(total),
        },
        "currency": {"isoCode": "GBP"},
        "orderDateTime": offset(scene.placed_ms),
        "createdAt": offset(scene.placed_ms),
        "updatedAt": offset(scene.at_ms),
        "customerComment": None,
        "stateMachineState": {"technicalName": "open"},
        "transactions": [{"stateMachineState": {"technicalName": paid}, "paymentMethod": {"name": "Card"}}],
        "orderCustomer": {
            "customerId": _hex("customer", scene.number),
            "email": person.email,
            "firstName": person.first,
            "lastName": person.last,
            "customerNumber": str(scene.number),
        },
        "billingAddress": _address(scene),
        "deliveries": [
            {
                "stateMachineState": {"technicalName": "open"},
                "shippingMethod": {"name": "Royal Mail"},
                "shippingOrderAddress": _address(scene),
            }
        ],
        "lineItems": [_line(one) for one in scene.items],
        "customFields": None,
    }


def _of_order(event: str, paid: str) -> Build:
    def build(number: int, at_ms: int) -> dict[str, Any]:
        scene = Scene(number, at_ms)
        return _sent(event, scene, {"order": _order(scene, paid)})

    return build


def _customer(number: int, at_ms: int) -> dict[str, Any]:
    scene = Scene(number, at_ms)
    person = scene.person
    customer = {
        "id": _hex("customer", number),
        "email": person.email,
        "firstName": person.first,
        "lastName": person.last,
        "customerNumber": str(number),
        "guest": False,
        "orderCount": 0,
        "orderTotalAmount": 0.0,
        "createdAt": offset(at_ms - 30 * DAY_MS),
        "updatedAt": offset(at_ms),
        "defaultBillingAddress": _address(scene),
    }
    return _sent("checkout.customer.register", scene, {"customer": customer})


def _written(entity: str, operation: str) -> Build:
    event = f"{entity}.{'deleted' if operation == 'delete' else 'written'}"

    def build(number: int, at_ms: int) -> dict[str, Any]:
        good = Scene(number, at_ms).good.good if entity == "product" else number
        change = {
            "entity": entity,
            "operation": operation,
            "primaryKey": _hex(entity, good),
            "updatedFields": [] if operation == "delete" else ["name"],
        }
        return _sent(event, Scene(number, at_ms), [change])

    return build


SHOPWARE = Platform(
    {
        "checkout.order.placed": _of_order("checkout.order.placed", "open"),
        "state_enter.order_transaction.state.paid": _of_order("state_enter.order_transaction.state.paid", "paid"),
        "checkout.customer.register": _customer,
        "product.written": _written("product", "update"),
        "product.deleted": _written("product", "delete"),
        "customer.written": _written("customer", "update"),
        "order.written": _written("order", "update"),
    },
    {"order": "checkout.order.placed", "customer": "checkout.customer.register", "product": "product.written"},
)
