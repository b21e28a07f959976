"""Wix: the event that stands in the token, an entity that was created or is now so."""

from collections.abc import Callable
from typing import Any

from gateway.sandbox.samples.scene import (
    CURRENCY,
    DAY_MS,
    HOST,
    Build,
    Item,
    Platform,
    Scene,
    handle,
    tax_of,
    zulu_ms,
)
from gateway.sandbox.shopify import money


def _event(fqdn: str, slug: str, make: Callable[[Scene], dict[str, Any]]) -> dict[str, Build]:
    def build(number: int, at_ms: int) -> dict[str, Any]:
        scene = Scene(number, at_ms)
        entity = make(scene)
        carried: dict[str, dict[str, Any]] = {
            "created": {"createdEvent": {"entity": entity}},
            "updated": {"updatedEvent": {"currentEntity": entity}},
            "deleted": {"deletedEvent": {}},
        }
        return {
            "id": f"{scene.event()}-wix",
            "entityFqdn": fqdn,
            "slug": slug,
            "entityId": entity["id"],
            "eventTime": zulu_ms(at_ms),
            "triggeredByAnonymizeRequest": False,
            "originatedFrom": "",
            "entityEventSequence": "1",
            **carried[slug],
        }

    return {f"{fqdn}_{slug}": build}


def _sum(pence: int) -> dict[str, str]:
    return {"amount": money(pence)}


def _address(scene: Scene) -> dict[str, Any]:
    person = scene.person
    return {
        "country": person.country,
        "city": person.city,
        "postalCode": person.postcode,
        "addressLine": person.street,
    }


def _line(scene: Scene, one: Item) -> dict[str, Any]:
    return {
        "id": scene.uuid(f"line-{one.sku}"),
        "productName": {"original": one.title},
        "catalogReference": {"catalogItemId": Scene(one.good, 0).uuid("product")},
        "quantity": one.quantity,
        "price": _sum(one.pence),
        "totalPriceAfterTax": _sum(one.total_pence),
        "taxDetails": {"totalTax": _sum(tax_of(one.total_pence))},
        "totalDiscount": _sum(0),
        "physicalProperties": {"sku": one.sku},
    }


def _order(scene: Scene) -> dict[str, Any]:
    person = scene.person
    contact = {"firstName": person.first, "lastName": person.last, "phone": person.phone}
    return {
        "id": scene.uuid("order"),
        "number": str(10_000 + scene.number),
        "createdDate": zulu_ms(scene.placed_ms),
        "updatedDate": zulu_ms(scene.at_ms),
        "currency": CURRENCY,
        "status": "APPROVED",
        "paymentStatus": "PAID",
        "fulfillmentStatus": "NOT_FULFILLED",
        "buyerLanguage": "en",
        "buyerInfo": {"contactId": scene.uuid("contact"), "email": person.email},
        "priceSummary": {
            "subtotal": _sum(scene.items_pence),
            "shipping": _sum(scene.shipping_pence),
            "tax": _sum(scene.tax_pence),
            "discount": _sum(0),
            "total": _sum(scene.total_pence),
        },
        "billingInfo": {"address": _address(scene), "contactDetails": contact},
        "lineItems": [_line(scene, one) for one in scene.items],
        "appliedDiscounts": [],
        "channelInfo": {"type": "WEB"},
    }


def _contact(scene: Scene) -> dict[str, Any]:
    person = scene.person
    return {
        "id": scene.uuid("contact"),
        "revision": 1,
        "createdDate": zulu_ms(scene.at_ms - 30 * DAY_MS),
        "updatedDate": zulu_ms(scene.at_ms),
        "primaryInfo": {"email": person.email},
        "primaryEmail": {"email": person.email, "subscriptionStatus": "SUBSCRIBED"},
        "info": {
            "name": {"first": person.first, "last": person.last},
            "locale": "en-GB",
            "addresses": {"items": [{"address": _address(scene)}]},
        },
    }


def _product(scene: Scene) -> dict[str, Any]:
    one = scene.good
    return {
        "id": Scene(one.good, 0).uuid("product"),
        "name": one.title,
        "slug": handle(one.title),
        "visible": True,
        "plainDescription": one.title,
        "currency": CURRENCY,
        "actualPriceRange": {"minValue": _sum(one.pence)},
        "inventory": {"availabilityStatus": "IN_STOCK"},
        "media": {"main": {"image": {"url": f"https://{HOST}/img/{handle(one.title)}.jpg"}}},
        "productType": "PHYSICAL",
        "createdDate": zulu_ms(scene.at_ms - 30 * DAY_MS),
        "updatedDate": zulu_ms(scene.at_ms),
    }


WIX = Platform(
    {
        **_event("wix.ecom.v1.order", "created", _order),
        **_event("wix.ecom.v1.order", "updated", _order),
        **_event("wix.contacts.v4.contact", "created", _contact),
        **_event("wix.contacts.v4.contact", "updated", _contact),
        **_event("wix.contacts.v4.contact", "deleted", _contact),
        **_event("wix.stores.catalog.v3.product", "created", _product),
        **_event("wix.stores.catalog.v3.product", "updated", _product),
    },
    {
        "order": "wix.ecom.v1.order_created",
        "customer": "wix.contacts.v4.contact_created",
        "product": "wix.stores.catalog.v3.product_created",
    },
)
