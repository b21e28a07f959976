"""WooCommerce, REST API v3: totals are texts, times local and in `_gmt` twins without a zone, 0 means none."""

from typing import Any

from gateway.sandbox.samples.scene import (
    CURRENCY,
    DAY_MS,
    HOST,
    Item,
    Platform,
    Scene,
    amount,
    handle,
    item,
    listed_pence,
    naive,
    tax_of,
)
from gateway.sandbox.shopify import money

_ORDER, _CUSTOMER, _PRODUCT = 7_000, 200, 900
"""Where ids begin."""


def _stamps(name: str, at_ms: int) -> dict[str, str]:
    return {f"date_{name}": naive(at_ms), f"date_{name}_gmt": naive(at_ms)}


def _address(scene: Scene, *, billing: bool) -> dict[str, str]:
    person = scene.person
    plain = {
        "first_name": person.first,
        "last_name": person.last,
        "company": "",
        "address_1": person.street,
        "address_2": "",
        "city": person.city,
        "state": "",
        "postcode": person.postcode,
        "country": person.country,
        "phone": person.phone,
    }
    return {**plain, "email": person.email} if billing else plain


def _line(place: int, one: Item) -> dict[str, Any]:
    net = one.total_pence - tax_of(one.total_pence)
    return {
        "id": 3_100 + place,
        "name": one.title,
        "product_id": _PRODUCT + one.good,
        "variation_id": 0,
        "quantity": one.quantity,
        "tax_class": "",
        "subtotal": money(net),
        "subtotal_tax": money(tax_of(one.total_pence)),
        "total": money(net),
        "total_tax": money(tax_of(one.total_pence)),
        "taxes": [],
        "meta_data": [],
        "sku": one.sku,
        "price": amount(net) / one.quantity,
    }


def _order(scene: Scene, status: str) -> dict[str, Any]:
    return {
        "id": _ORDER + scene.number,
        "parent_id": 0,
        "number": str(_ORDER + scene.number),
        "order_key": f"wc_order_nl{scene.number:08}",
        "created_via": "checkout",
        "version": "10.3.5",
        "status": status,
        "currency": CURRENCY,
        **_stamps("created", scene.placed_ms),
        **_stamps("modified", scene.at_ms),
        **_stamps("paid", scene.placed_ms),
        "date_completed": None,
        "date_completed_gmt": None,
        "discount_total": "0.00",
        "discount_tax": "0.00",
        "shipping_total": money(scene.shipping_pence),
        "shipping_tax": "0.00",
        "total": money(scene.total_pence),
        "total_tax": money(sum(tax_of(one.total_pence) for one in scene.items)),
        "prices_include_tax": True,
        "customer_id": _CUSTOMER + scene.number,
        "customer_ip_address": "203.0.113.24",
        "customer_note": "",
        "billing": _address(scene, billing=True),
        "shipping": _address(scene, billing=False),
        "payment_method": "stripe",
        "payment_method_title": "Card",
        "transaction_id": f"ch_{scene.event()}",
        "meta_data": [],
        "line_items": [_line(place, one) for place, one in enumerate(scene.items)],
        "tax_lines": [],
        "shipping_lines": [
            {"id": 3_190, "method_title": "Royal Mail", "method_id": "flat_rate", "total": money(scene.shipping_pence)}
        ],
        "fee_lines": [],
        "coupon_lines": [],
        "refunds": [],
    }


def _customer(scene: Scene) -> dict[str, Any]:
    person = scene.person
    return {
        "id": _CUSTOMER + scene.number,
        **_stamps("created", scene.at_ms - 30 * DAY_MS),
        **_stamps("modified", scene.at_ms),
        "email": person.email,
        "first_name": person.first,
        "last_name": person.last,
        "role": "customer",
        "username": person.email.partition("@")[0],
        "billing": _address(scene, billing=True),
        "shipping": _address(scene, billing=False),
        "is_paying_customer": True,
        "avatar_url": "",
        "meta_data": [],
    }


def _product(scene: Scene) -> dict[str, Any]:
    one = item(scene.number, 1)
    link = handle(one.title)
    return {
        "id": _PRODUCT + one.good,
        "name": one.title,
        "slug": link,
        "permalink": f"https://{HOST}/product/{link}/",
        **_stamps("created", scene.at_ms - 30 * DAY_MS),
        **_stamps("modified", scene.at_ms),
        "type": "simple",
        "status": "publish",
        "featured": False,
        "description": f"<p>{one.title}</p>",
        "sku": one.sku,
        "price": money(one.pence),
        "regular_price": money(listed_pence(one)),
        "sale_price": money(one.pence) if one.pence < listed_pence(one) else "",
        "manage_stock": True,
        "stock_quantity": 40,
        "stock_status": "instock",
        "categories": [{"id": 16, "name": "Home", "slug": "home"}],
        "tags": [],
        "images": [{"id": 51, "src": f"https://{HOST}/img/{link}.jpg", "alt": ""}],
        "attributes": [],
        "variations": [],
        "parent_id": 0,
        "meta_data": [],
    }


WOOCOMMERCE = Platform(
    {
        "order.created": lambda number, at_ms: _order(Scene(number, at_ms), "processing"),
        "order.updated": lambda number, at_ms: _order(Scene(number, at_ms), "completed"),
        "order.deleted": lambda number, _at_ms: {"id": _ORDER + number},
        "customer.created": lambda number, at_ms: _customer(Scene(number, at_ms)),
        "customer.updated": lambda number, at_ms: _customer(Scene(number, at_ms)),
        "customer.deleted": lambda number, _at_ms: {"id": _CUSTOMER + number},
        "product.created": lambda number, at_ms: _product(Scene(number, at_ms)),
        "product.updated": lambda number, at_ms: _product(Scene(number, at_ms)),
        "product.deleted": lambda number, _at_ms: {"id": _PRODUCT + item(number, 1).good},
    },
    {"order": "order.created", "customer": "customer.created", "product": "product.created"},
)
