"""Webhooks of an invented Shopify shop, of many kinds, each with the Ometria record that it must become.

The bodies are in the shape of Shopify's Admin REST API; the expectations were written by hand from Ometria's
documentation (field names, required fields, ISO-8601, ISO-4217, JSON numbers, ids as text), not from what the gateway
makes. Every case has ids of its own, so that a record at Ometria tells which case it came from.
"""

from dataclasses import dataclass, field
from typing import Any

from gateway import document
from tests.whole.running import SHOP, Letter

Fields = dict[str, Any]

PLACED = "2026-03-14T09:26:53+00:00"
IDS = 6_013_344_551_018_000_000
"""Above 2^53: a double would spoil them."""


@dataclass(frozen=True)
class Case:
    """A webhook, and what Ometria holds after it: a record's name and fields (`has`), and fields that it must not have.

    Without a `record` it is filtered for Ometria; `dead` is the reason when it is refused before it is sent.
    """

    name: str
    topic: str
    body: Fields
    record: str = ""
    has: Fields = field(default_factory=dict)
    lacks: tuple[str, ...] = ()
    dead: str = ""

    def letter(self, delivery: str = "1") -> Letter:
        body = document.dump(self.body)
        return Letter(self.topic, body, f"action-{self.name}", f"{self.name}-{delivery}")


def _order(number: int, **changes: Any) -> Fields:
    """An order as `orders/*` sends it: two lines at 24.00 and 9.50 twice, 4.30 off, 3.95 for the post."""
    whole = {
        "id": IDS + number,
        "admin_graphql_api_id": f"gid://shopify/Order/{IDS + number}",
        "app_id": 580_111,
        "browser_ip": "198.51.100.23",
        "buyer_accepts_marketing": False,
        "cancel_reason": None,
        "cancelled_at": None,
        "cart_token": None,
        "checkout_id": IDS + 90_000 + number,
        "confirmation_number": f"TT{number:06}",
        "confirmed": True,
        "contact_email": "wren.halloran@example.com",
        "created_at": PLACED,
        "currency": "GBP",
        "current_subtotal_price": "38.70",
        "current_total_price": "42.65",
        "customer_locale": "en-GB",
        "discount_codes": [{"code": "SPRING10", "amount": "4.30", "type": "percentage"}],
        "email": "wren.halloran@example.com",
        "estimated_taxes": False,
        "financial_status": "paid",
        "fulfillment_status": None,
        "landing_site": "/collections/new?utm_source=letter",
        "name": f"#TT{number}",
        "note": None,
        "note_attributes": [],
        "number": number,
        "order_number": 1000 + number,
        "payment_gateway_names": ["shopify_payments"],
        "phone": None,
        "presentment_currency": "GBP",
        "processed_at": PLACED,
        "referring_site": "",
        "source_name": "web",
        "subtotal_price": "38.70",
        "tags": "",
        "tax_lines": [{"price": "7.11", "rate": 0.2, "title": "VAT"}],
        "taxes_included": True,
        "test": False,
        "token": f"{number:032x}",
        "total_discounts": "4.30",
        "total_line_items_price": "43.00",
        "total_outstanding": "0.00",
        "total_price": "42.65",
        "total_shipping_price_set": {
            "shop_money": {"amount": "3.95", "currency_code": "GBP"},
            "presentment_money": {"amount": "3.95", "currency_code": "GBP"},
        },
        "total_tax": "7.11",
        "total_tip_received": "0.00",
        "total_weight": 830,
        "updated_at": PLACED,
        "billing_address": _address("Wren", "Halloran"),
        "shipping_address": _address("Wren", "Halloran"),
        "customer": {
            "id": IDS + 50_000 + number,
            "email": "wren.halloran@example.com",
            "first_name": "Wren",
            "last_name": "Halloran",
            "phone": None,
            "tags": "",
            "email_marketing_consent": {
                "state": "not_subscribed",
                "opt_in_level": "single_opt_in",
                "consent_updated_at": None,
            },
            "sms_marketing_consent": None,
        },
        "fulfillments": [],
        "line_items": [_line(number, 1, "24.00", 1, "2.40"), _line(number, 2, "9.50", 2, "1.90")],
        "payment_terms": None,
        "refunds": [],
        "shipping_lines": [{"title": "Royal Mail 48", "code": "RM48", "price": "3.95", "discounted_price": "3.95"}],
    }
    return {**whole, **changes}


def _address(first: str, last: str, **changes: Any) -> Fields:
    whole = {
        "first_name": first,
        "last_name": last,
        "name": f"{first} {last}",
        "company": None,
        "address1": "18 Ropewalk Yard",
        "address2": "",
        "city": "Whitby",
        "province": "England",
        "province_code": "ENG",
        "country": "United Kingdom",
        "country_code": "GB",
        "zip": "YO22 4AB",
        "phone": None,
        "latitude": None,
        "longitude": None,
    }
    return {**whole, **changes}


def _line(order: int, place: int, price: str, quantity: int, discount: str = "0.00", **changes: Any) -> Fields:
    product = IDS + 10_000 + place
    whole = {
        "id": IDS + 700_000 + order * 100 + place,
        "product_id": product,
        "variant_id": product + 500_000,
        "sku": f"TT-{place:03}",
        "title": f"Good {place}",
        "variant_title": "Blue",
        "name": f"Good {place} - Blue",
        "vendor": "Thistle",
        "quantity": quantity,
        "current_quantity": quantity,
        "fulfillable_quantity": quantity,
        "fulfillment_status": None,
        "gift_card": False,
        "grams": 200,
        "price": price,
        "total_discount": "0.00",
        "discount_allocations": [{"amount": discount, "discount_application_index": 0}] if discount != "0.00" else [],
        "tax_lines": [],
        "properties": [],
        "requires_shipping": True,
        "taxable": True,
    }
    return {**whole, **changes}


def _sold(place: int, price: float, quantity: int, **more: Any) -> Fields:
    """A line as Ometria must have it."""
    product = IDS + 10_000 + place
    return {
        "product_id": str(product),
        "variant_id": str(product + 500_000),
        "sku": f"TT-{place:03}",
        "quantity": quantity,
        "unit_price": price,
        **more,
    }


def _customer(number: int, **changes: Any) -> Fields:
    whole = {
        "id": IDS + 200_000 + number,
        "admin_graphql_api_id": f"gid://shopify/Customer/{IDS + 200_000 + number}",
        "email": f"person{number}@example.org",
        "first_name": "Corin",
        "last_name": "Vale",
        "phone": None,
        "created_at": "2025-11-02T18:00:00Z",
        "updated_at": PLACED,
        "orders_count": 3,
        "total_spent": "187.20",
        "state": "enabled",
        "note": None,
        "verified_email": True,
        "multipass_identifier": None,
        "tax_exempt": False,
        "tags": "",
        "last_order_id": None,
        "last_order_name": None,
        "currency": "GBP",
        "addresses": [],
        "tax_exemptions": [],
        "email_marketing_consent": {
            "state": "not_subscribed",
            "opt_in_level": "single_opt_in",
            "consent_updated_at": None,
        },
        "sms_marketing_consent": None,
    }
    return {**whole, **changes}


def _product(number: int, **changes: Any) -> Fields:
    whole = {
        "id": IDS + 300_000 + number,
        "admin_graphql_api_id": f"gid://shopify/Product/{IDS + 300_000 + number}",
        "title": f"Herringbone scarf {number}",
        "body_html": "<p>Woven, not printed.</p>",
        "vendor": "Thistle & Thread",
        "product_type": "Scarves",
        "created_at": "2026-01-05T10:00:00Z",
        "updated_at": PLACED,
        "published_at": "2026-01-06T10:00:00Z",
        "handle": f"herringbone-scarf-{number}",
        "template_suffix": None,
        "published_scope": "global",
        "tags": "wool, winter",
        "status": "active",
        "options": [{"id": 1, "name": "Colour", "position": 1, "values": ["Rust", "Moss"]}],
        "images": [{"id": 7, "position": 1, "src": f"https://cdn.example.net/scarf-{number}.jpg"}],
        "image": {"id": 7, "position": 1, "src": f"https://cdn.example.net/scarf-{number}.jpg"},
        "variants": [_variant(number, 1, "Rust"), _variant(number, 2, "Moss")],
    }
    return {**whole, **changes}


def _variant(number: int, place: int, colour: str, **changes: Any) -> Fields:
    whole = {
        "id": IDS + 400_000 + number * 10 + place,
        "product_id": IDS + 300_000 + number,
        "title": colour,
        "option1": colour,
        "option2": None,
        "option3": None,
        "sku": f"SC-{number}-{place}",
        "price": "45.00",
        "compare_at_price": None,
        "inventory_policy": "deny",
        "inventory_management": "shopify",
        "inventory_quantity": 4,
        "position": place,
    }
    return {**whole, **changes}


def _consent(state: str, at: str | None = "2026-02-01T12:00:00+01:00") -> Fields:
    return {"state": state, "opt_in_level": "single_opt_in", "consent_updated_at": at}


# --- the cases -------------------------------------------------------------------------------------------------------


def _of_order(name: str, number: int, has: Fields, topic: str = "orders/create", **changes: Any) -> Case:
    fields = {"@type": "order", "id": str(IDS + number), **has}
    return Case(name, topic, _order(number, **changes), f"order:{IDS + number}", fields)


def _of_customer(
    name: str, number: int, has: Fields, lacks: tuple[str, ...] = (), topic: str = "customers/create", **changes: Any
) -> Case:
    identity = str(IDS + 200_000 + number)
    fields = {"@type": "contact", "@collection": "uk-shop", "id": identity, "customer_id": identity, **has}
    return Case(name, topic, _customer(number, **changes), f"contact:uk-shop:{identity}", fields, lacks)


def _of_product(
    name: str, number: int, has: Fields, lacks: tuple[str, ...] = (), topic: str = "products/create", **changes: Any
) -> Case:
    identity = str(IDS + 300_000 + number)
    fields = {"@type": "product", "id": identity, **has}
    return Case(name, topic, _product(number, **changes), f"product:{identity}", fields, lacks)


_WHITBY = {"city": "Whitby", "state": "England", "postcode": "YO22 4AB", "country_code": "GB"}

ORDERS = (
    _of_order(
        "paid",
        1,
        {
            "web_id": "#TT1",
            "timestamp": "2026-03-14T09:26:53Z",
            "currency": "GBP",
            "grand_total": 42.65,
            "subtotal": 38.7,
            "discount": 4.3,
            "shipping": 3.95,
            "tax": 7.11,
            "status": "complete",
            "is_valid": True,
            "customer": {
                "id": str(IDS + 50_001),
                "email": "wren.halloran@example.com",
                "firstname": "Wren",
                "lastname": "Halloran",
            },
            "billing_address": _WHITBY,
            "shipping_address": _WHITBY,
            "lineitems": [
                _sold(1, 24, 1, discount=2.4, subtotal=24, total=21.6),
                _sold(2, 9.5, 2, discount=1.9, subtotal=19, total=17.1),
            ],
            "coupon_code": "SPRING10",
            "payment_method": "shopify_payments",
            "shipping_method": "Royal Mail 48",
            "channel": "online",
            "store": SHOP,
            "ip_address": "198.51.100.23",
        },
    ),
    _of_order(
        "guest",
        2,
        {
            "customer": {"email": "guest.only@example.net", "firstname": "Bryony", "lastname": "Marsh"},
            "grand_total": 42.65,
        },
        customer=None,
        email="guest.only@example.net",
        contact_email=None,
        billing_address=_address("Bryony", "Marsh"),
    ),
    _of_order(
        "digital-with-a-tip",
        3,
        {
            "grand_total": 14,
            "lineitems": [
                _sold(7, 12, 1),
                {"product_id": str(IDS + 700_302), "quantity": 1, "unit_price": 2},
            ],
        },
        shipping_address=None,
        shipping_lines=[],
        total_shipping_price_set={"shop_money": {"amount": "0.00", "currency_code": "GBP"}},
        total_price="14.00",
        line_items=[
            _line(3, 7, "12.00", 1, requires_shipping=False),
            _line(3, 2, "2.00", 1, product_id=None, variant_id=None, sku=None, title="Tip", name="Tip"),
        ],
    ),
    _of_order(
        "yen",
        4,
        {"currency": "JPY", "grand_total": 12800, "tax": 1163, "lineitems": [_sold(4, 12800, 1)]},
        currency="JPY",
        presentment_currency="JPY",
        total_price="12800",
        total_tax="1163",
        line_items=[_line(4, 4, "12800", 1)],
    ),
    _of_order(
        "dinars",
        5,
        {"currency": "KWD", "grand_total": 19.255, "lineitems": [_sold(5, 19.255, 1)]},
        currency="KWD",
        presentment_currency="KWD",
        total_price="19.255",
        line_items=[_line(5, 5, "19.255", 1)],
    ),
    _of_order(
        "paid-in-another-currency",
        6,
        {"currency": "GBP", "grand_total": 42.65},
        presentment_currency="EUR",
        total_price_set={
            "shop_money": {"amount": "42.65", "currency_code": "GBP"},
            "presentment_money": {"amount": "50.18", "currency_code": "EUR"},
        },
    ),
    _of_order(
        "partly-paid-back",
        7,
        {
            "status": "complete",
            "is_valid": True,
            "lineitems": [_sold(1, 24, 1, quantity_refunded=0), _sold(2, 9.5, 2, quantity_refunded=1)],
        },
        topic="orders/updated",
        financial_status="partially_refunded",
        line_items=[_line(7, 1, "24.00", 1), _line(7, 2, "9.50", 2, current_quantity=1)],
        refunds=[
            {
                "id": 1,
                "refund_line_items": [{"line_item_id": IDS + 700_702, "quantity": 1, "subtotal": 9.5, "total_tax": 0}],
                "transactions": [{"kind": "refund", "status": "success", "amount": "9.50", "currency": "GBP"}],
                "order_adjustments": [],
            }
        ],
    ),
    _of_order("sent", 8, {"status": "shipped", "is_valid": True}, "orders/fulfilled", fulfillment_status="fulfilled"),
    _of_order(
        "cancelled",
        9,
        {"status": "cancelled", "is_valid": False},
        "orders/cancelled",
        cancelled_at="2026-03-15T08:00:00Z",
        cancel_reason="customer",
        financial_status="voided",
    ),
    _of_order("not-paid-yet", 10, {"status": "pending", "is_valid": True}, financial_status="pending"),
    _of_order(
        "names-of-the-world",
        11,
        {
            "customer": {
                "id": str(IDS + 50_011),
                "email": "sigridur@example.is",
                "firstname": "Sigríður 🧶",
                "lastname": "Ðórðardóttir-O'Néill",
            },
            "shipping_address": {"city": "عَمّان", "postcode": "11118", "country_code": "JO"},
            "lineitems": [{"product_id": str(IDS + 10_001), "quantity": 1, "unit_price": 24}],
        },
        email="sigridur@example.is",
        customer={
            "id": IDS + 50_011,
            "email": "sigridur@example.is",
            "first_name": "Sigríður 🧶",
            "last_name": "Ðórðardóttir-O'Néill",
        },
        shipping_address=_address(
            "Sigríður",
            "Ðórðardóttir",
            city="عَمّان",
            province=None,
            province_code=None,
            zip="11118",
            country="Jordan",
            country_code="JO",
        ),
        line_items=[_line(11, 1, "24.00", 1, name="“Ægir” – handwoven 漢字 \u202etsrif")],
    ),
    _of_order(
        "several-coupons",
        12,
        {"coupon_code": "LOYAL, FREEPOST", "discount": 8.25},
        discount_codes=[
            {"code": "LOYAL", "amount": "4.30", "type": "fixed_amount"},
            {"code": "FREEPOST", "amount": "3.95", "type": "shipping"},
        ],
        total_discounts="8.25",
    ),
    _of_order(
        "written-by-hand",
        13,
        {"channel": "shopify_draft_order", "web_id": "#TT13"},
        source_name="shopify_draft_order",
        tags="b2b, net-30",
        note="Leave with the porter",
        note_attributes=[{"name": "po", "value": "A-77"}],
        payment_gateway_names=[],
    ),
    Case(
        "stripped-to-what-is-needed",
        "orders/create",
        {"id": IDS + 14, "created_at": PLACED, "currency": "GBP", "total_price": "5.00", "email": "a@example.com"},
        f"order:{IDS + 14}",
        {
            "id": str(IDS + 14),
            "timestamp": "2026-03-14T09:26:53Z",
            "grand_total": 5,
            "currency": "GBP",
            "customer": {"email": "a@example.com"},
        },
    ),
    _of_order(
        "at-the-till",
        15,
        {"channel": "pos", "lineitems": [_sold(1, 24, 1)]},
        source_name="pos",
        email="",
        contact_email=None,
        location_id=99,
        customer=None,
        browser_ip=None,
        billing_address=None,
        shipping_address=None,
        shipping_lines=[],
        line_items=[_line(15, 1, "24.00", 1)],
    ),
    _of_order(
        "ninety-lines",
        16,
        {"lineitems": [_sold(place, 1.01, 3) for place in range(1, 91)]},
        line_items=[_line(16, place, "1.01", 3) for place in range(1, 91)],
    ),
    _of_order(
        "for-nothing",
        17,
        {"grand_total": 0, "discount": 43, "subtotal": 0, "tax": 0, "status": "complete"},
        total_price="0.00",
        subtotal_price="0.00",
        total_tax="0.00",
        total_discounts="43.00",
    ),
    _of_order(
        "placed-in-new-york",
        18,
        {"timestamp": "2026-03-14T13:26:53Z"},
        created_at="2026-03-14T09:26:53-04:00",
        processed_at="2026-03-14T09:26:53-04:00",
    ),
)

CUSTOMERS = (
    _of_customer(
        "subscribed",
        1,
        {
            "email": "person1@example.org",
            "firstname": "Corin",
            "lastname": "Vale",
            "phone_number": "+447700900461",
            "country_id": "GB",
            "marketing_optin": "EXPLICITLY_OPTEDIN",
            "timestamp_acquired": "2025-11-02T18:00:00Z",
            "timestamp_subscribed": "2026-02-01T11:00:00Z",
            "channels": {"sms": {"allow_marketing": True, "dt_updated_marketing": "2026-02-01T11:00:00Z"}},
        },
        ("timestamp_unsubscribed",),
        phone="+447700900461",
        email_marketing_consent=_consent("subscribed"),
        sms_marketing_consent=_consent("subscribed"),
        default_address=_address("Corin", "Vale"),
    ),
    _of_customer(
        "unsubscribed",
        2,
        {"marketing_optin": "EXPLICITLY_OPTEDOUT", "timestamp_unsubscribed": "2026-02-01T11:00:00Z"},
        ("timestamp_subscribed",),
        "customers/update",
        email_marketing_consent=_consent("unsubscribed"),
    ),
    _of_customer("never-asked", 3, {"marketing_optin": "NOT_SPECIFIED"}, ("timestamp_subscribed", "phone_number")),
    _of_customer(
        "by-phone-alone",
        4,
        {"phone_number": "+4915112345678"},
        ("email",),
        email=None,
        phone="0151 12345678",
        default_address=_address("Corin", "Vale", country_code="DE", country="Germany"),
    ),
    _of_customer(
        "an-e-mail-and-nothing-else",
        5,
        {"email": "person5@example.org"},
        ("firstname", "lastname", "phone_number", "country_id"),
        first_name=None,
        last_name=None,
        tags=None,
        note=None,
        total_spent=None,
        orders_count=None,
        addresses=None,
        default_address=None,
    ),
    _of_customer(
        "a-mistyped-e-mail-but-a-phone",
        6,
        {"phone_number": "+442079460958"},
        ("email",),
        email="person6@@example",
        phone="+44 20 7946 0958",
    ),
    _of_customer(
        "a-double-opt-in-not-answered",
        7,
        {"marketing_optin": "NOT_SPECIFIED"},
        email_marketing_consent=_consent("pending"),
    ),
    _of_customer(
        "of-an-older-api",
        8,
        {"marketing_optin": "EXPLICITLY_OPTEDIN", "timestamp_subscribed": "2024-05-05T05:05:05Z"},
        accepts_marketing=True,
        accepts_marketing_updated_at="2024-05-05T05:05:05Z",
        marketing_opt_in_level="confirmed_opt_in",
        email_marketing_consent=None,
    ),
)

PRODUCTS = (
    _of_product(
        "a-scarf",
        1,
        {
            "title": "Herringbone scarf 1",
            "sku": "SC-1-1",
            "price": 45,
            "is_active": True,
            "is_in_stock": True,
            "is_variant": False,
            "url": f"https://{SHOP}/products/herringbone-scarf-1",
            "image_url": "https://cdn.example.net/scarf-1.jpg",
        },
        ("special_price",),
    ),
    _of_product(
        "on-sale",
        2,
        {"price": 60, "special_price": 45},
        variants=[_variant(2, 1, "Rust", compare_at_price="60.00")],
    ),
    _of_product("a-draft", 3, {"is_active": False}, status="draft", published_at=None),
    _of_product(
        "sold-out",
        4,
        {"is_in_stock": False},
        (),
        "products/update",
        variants=[_variant(4, 1, "Rust", inventory_quantity=0), _variant(4, 2, "Moss", inventory_quantity=-1)],
    ),
    _of_product(
        "sold-beyond-its-stock",
        5,
        {"is_in_stock": True},
        variants=[_variant(5, 1, "Rust", inventory_quantity=0, inventory_policy="continue")],
    ),
    _of_product("without-a-picture", 6, {"title": "Herringbone scarf 6"}, ("image_url",), images=[], image=None),
    Case(
        "deleted",
        "products/delete",
        {"id": IDS + 300_007},
        f"product:{IDS + 300_007}",
        {"id": str(IDS + 300_007), "is_active": False},
    ),
)

BEFORE = _of_product("to-be-deleted", 7, {})
"""What must be at Ometria before it can be taken off sale."""

NOT_FOR_OMETRIA = (
    Case("a-customer-who-left", "customers/delete", {"id": IDS + 200_090}),
    Case("an-order-deleted", "orders/delete", {"id": IDS + 90}),
    Case("stock", "inventory_levels/update", {"inventory_item_id": IDS + 1, "location_id": 2, "available": None}),
    Case("gone-for-good", "shop/redact", {"shop_id": 954_889, "shop_domain": SHOP}),
    Case("an-edit", "orders/edited", {"order_edit": {"id": 1, "order_id": IDS + 91, "committed_at": PLACED}}),
    Case("uninstalled", "app/uninstalled", {"id": 954_889, "name": "Thistle and Thread", "domain": SHOP}),
)

DEAD_AT_OMETRIA = (
    Case("nobody", "customers/create", _customer(80, email=None, phone=None), dead="incomplete"),
    Case("no-total", "orders/create", _order(80, total_price=None), dead="incomplete"),
    Case(
        "too-much",
        "orders/create",
        _order(81, line_items=[_line(81, place, "1.00", 1, name="x" * 200) for place in range(1, 400)]),
        dead="too_large",
    ),
)

SENT = ORDERS + CUSTOMERS + PRODUCTS
EVERY = SENT + NOT_FOR_OMETRIA + DEAD_AT_OMETRIA


# --- many alike ------------------------------------------------------------------------------------------------------


def person(number: int) -> Letter:
    """One of any number of different customers."""
    body = _customer(1_000_000 + number, email=f"visitor{number}@example.org")
    return Letter("customers/create", document.dump(body), f"signed-up-{number}", f"signed-up-{number}-1")


def name_of_person(number: int) -> str:
    """What the customer is at Ometria."""
    return f"contact:uk-shop:{IDS + 1_200_000 + number}"


def order(number: int, state: str, event: str) -> Letter:
    """An order in one of its states: pending, paid, fulfilled, cancelled. Each is a webhook of its own."""
    changes = {
        "pending": {"financial_status": "pending"},
        "paid": {"financial_status": "paid"},
        "fulfilled": {"financial_status": "paid", "fulfillment_status": "fulfilled"},
        "cancelled": {"cancelled_at": PLACED, "financial_status": "voided"},
    }[state]
    topic = {"pending": "orders/create", "cancelled": "orders/cancelled"}.get(state, f"orders/{state}")
    return Letter(topic, document.dump(_order(2_000 + number, **changes)), event, f"{event}-{topic}")


def name_of_order(number: int) -> str:
    return f"order:{IDS + 2_000 + number}"
