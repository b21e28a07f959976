"""Payloads in Shopify's shape (Admin REST, 2025-10), of an invented shop: people, goods, orders. Money is text, ids are
64-bit and beyond what a double holds, times carry the shop's zone, much is null: as there.

Everything is a function of its arguments; amounts inside are whole pence.
"""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from msgspec import Struct

DOMAIN = "northlight-demo.myshopify.com"
CURRENCY = "GBP"
TAX_PER_CENT = 20
SHIPPING_PENCE = 495
FREE_SHIPPING_FROM_PENCE = 7_500

SUMMER = timezone(timedelta(hours=1))
SUMMER_MONTHS = range(4, 11)
"""British summer time, to the month."""

_FIRST_ID = {
    "Customer": 8_204_115_730_021_177_345,
    "MailingAddress": 7_716_402_118_554_230_081,
    "Product": 8_630_902_257_114_408_961,
    "ProductVariant": 8_711_554_030_927_716_353,
    "ProductImage": 8_019_226_441_870_315_521,
    "InventoryItem": 8_811_620_975_332_004_865,
    "Order": 8_409_873_366_150_221_825,
    "LineItem": 8_955_410_228_763_190_273,
    "Fulfillment": 8_150_667_904_418_827_265,
}

PEOPLE: tuple[tuple[str, str, str, str, str, str, str, str], ...] = (
    # first name, last name, e-mail, phone, street, city, postcode, country
    ("Maren", "Oakhill", "maren.oakhill@example.com", "+442079460101", "4 Tidewater Row", "London", "E1 6QL", "GB"),
    ("Idris", "Penhale", "idris.penhale@example.com", "+442079460112", "19 Copper Lane", "Truro", "TR1 2XN", "GB"),
    ("Soraya", "Whitlock", "soraya@example.org", "+442079460123", "Flat 2, 80 Mill St", "Leeds", "LS9 8AU", "GB"),
    ("Tomasz", "Zieliński", "tomasz.z@example.com", "+442079460134", "33 Foundry Court", "Cardiff", "CF10 5EP", "GB"),
    ("Aoife", "Ní Bhriain", "aoife@example.org", "", "7 Harbour View", "Belfast", "BT1 3LP", "GB"),
    ("Léonie", "Dufresne", "leonie.dufresne@example.com", "", "12 rue des Tanneurs", "Lille", "59800", "FR"),
    ("Jürgen", "Strößner", "j.stroessner@example.com", "+493023125107", "Lindenweg 8", "Berlin", "10969", "DE"),
    ("Hanako", "Rivers", "hanako.rivers@example.org", "+12025550118", "1420 Alder Ave", "Portland", "97205", "US"),
    ("Kwame", "Asante-Boyd", "kwame@example.com", "+442079460189", "61 Quarry Road", "Bristol", "BS16 1QY", "GB"),
    ("Ffion", "O'Hara", "ffion.ohara@example.com", "", "2 Chapel Terrace", "Bangor", "LL57 1DD", "GB"),
)

COUNTRIES = {"GB": "United Kingdom", "FR": "France", "DE": "Germany", "US": "United States"}

GOODS: tuple[tuple[str, str, str, int, int | None, tuple[str, ...]], ...] = (
    # title, type, SKU, pence, pence before (None: not on sale), sizes
    ("Harbour Wool Jumper", "Knitwear", "NL-JMP-01", 6_800, 8_500, ("S", "M", "L")),
    ("Tidal Linen Shirt", "Shirts", "NL-SHT-02", 4_950, None, ("S", "M", "L", "XL")),
    ("Beacon Enamel Mug – 350 ml", "Kitchen", "NL-MUG-03", 1_250, None, ()),
    ("Saltmarsh Candle “Heather & Peat”", "Home", "NL-CND-04", 2_200, 2_600, ()),
    ("Fogbound Waxed Jacket", "Outerwear", "NL-JKT-05", 18_900, None, ("M", "L")),
    ("Pebble Notebook, dotted", "Stationery", "NL-NTB-06", 999, None, ()),
    ("Selkie Swim Towel", "Home", "NL-TWL-07", 3_400, None, ("Regular", "Large")),
    ("Lantern Gift Box", "Gifts", "NL-GFT-08", 5_500, 6_000, ()),
)


class Line(Struct, frozen=True):
    """A line of an order: which good, which of its sizes, how many."""

    good: int
    size: int
    quantity: int


class Person(Struct):
    """A customer as the shop knows them now."""

    number: int
    email_consent: str = "not_subscribed"
    sms_consent: str = "not_subscribed"
    consent_at_ms: int = 0
    created_at_ms: int = 0
    orders: int = 0
    spent_pence: int = 0
    tags: tuple[str, ...] = ()


class Order(Struct):
    """An order as the shop knows it now."""

    number: int
    person: Person
    lines: tuple[Line, ...]
    placed_at_ms: int
    discount_pence: int = 0
    paid: bool = False
    fulfilled: bool = False
    cancelled_at_ms: int = 0

    def items_pence(self) -> int:
        """The goods at their price, before discount and shipping."""
        return sum(GOODS[line.good][3] * line.quantity for line in self.lines)

    def shipping_pence(self) -> int:
        return 0 if self.items_pence() >= FREE_SHIPPING_FROM_PENCE else SHIPPING_PENCE

    def total_pence(self) -> int:
        return self.items_pence() - self.discount_pence + self.shipping_pence()


def identity(kind: str, number: int) -> int:
    """The id of the shop's n-th object of a kind: over 2^53, so that a double would spoil it."""
    return _FIRST_ID[kind] + 4_099 * number


def gid(kind: str, number: int) -> str:
    return f"gid://shopify/{kind}/{identity(kind, number)}"


def money(pence: int) -> str:
    """`4950` as `49.50`."""
    return f"{pence // 100}.{pence % 100:02}"


def money_set(pence: int) -> dict[str, Any]:
    one = {"amount": money(pence), "currency_code": CURRENCY}
    return {"shop_money": one, "presentment_money": dict(one)}


def moment(at_ms: int) -> str:
    """A time as the shop writes it: in its own zone, whole seconds."""
    at = datetime.fromtimestamp(at_ms // 1000, UTC)
    return at.astimezone(SUMMER if at.month in SUMMER_MONTHS else UTC).isoformat()


# --- customers -------------------------------------------------------------------------------------------------------


def _local(phone: str) -> str:
    """A number as people type it into an address."""
    return f"0{phone[3:6]} {phone[6:]}" if phone.startswith("+44") else phone


def address(number: int, *, of_customer: bool) -> dict[str, Any]:
    first, last, _, phone, street, city, postcode, country = PEOPLE[number % len(PEOPLE)]
    plain = {
        "first_name": first,
        "last_name": last,
        "company": None,
        "address1": street,
        "address2": None,
        "city": city,
        "province": None,
        "country": COUNTRIES[country],
        "zip": postcode,
        "phone": _local(phone) or None,
        "name": f"{first} {last}",
        "province_code": None,
        "country_code": country,
    }
    if not of_customer:
        return {**plain, "latitude": None, "longitude": None}
    ids = {"id": identity("MailingAddress", number), "customer_id": identity("Customer", number)}
    return {**ids, **plain, "country_name": COUNTRIES[country], "default": True}


def email_of(number: int) -> str:
    """The n-th customer's e-mail address; those after the first round of people get a plus-address."""
    name, _, host = PEOPLE[number % len(PEOPLE)][2].partition("@")
    return f"{name}@{host}" if number < len(PEOPLE) else f"{name}+{number}@{host}"


def customer(person: Person, at_ms: int) -> dict[str, Any]:
    """A `customers/*` body: the customer as they are now."""
    first, last, _, phone, *_ = PEOPLE[person.number % len(PEOPLE)]
    home = address(person.number, of_customer=True)
    return {
        "id": identity("Customer", person.number),
        "created_at": moment(person.created_at_ms),
        "updated_at": moment(at_ms),
        "first_name": first,
        "last_name": last,
        "orders_count": person.orders,
        "state": "enabled" if person.orders else "disabled",
        "total_spent": money(person.spent_pence),
        "last_order_id": None,
        "note": None,
        "verified_email": True,
        "multipass_identifier": None,
        "tax_exempt": False,
        "tags": ", ".join(person.tags),
        "last_order_name": None,
        "email": email_of(person.number),
        "phone": (phone or None) if person.number < len(PEOPLE) else None,
        "currency": CURRENCY,
        "addresses": [home],
        "tax_exemptions": [],
        "email_marketing_consent": _consent(person.email_consent, person),
        "sms_marketing_consent": _consent(person.sms_consent, person, collected_from="SHOPIFY") if phone else None,
        "admin_graphql_api_id": gid("Customer", person.number),
        "default_address": home,
    }


def _consent(state: str, person: Person, **more: str) -> dict[str, Any]:
    at = moment(person.consent_at_ms) if person.consent_at_ms else None
    renamed = {f"consent_{name}": value for name, value in more.items()}
    return {"state": state, "opt_in_level": "single_opt_in", "consent_updated_at": at, **renamed}


# --- products --------------------------------------------------------------------------------------------------------


def sizes_of(good: int) -> tuple[str, ...]:
    return GOODS[good][5] or ("Default Title",)


def variant_number(good: int, size: int) -> int:
    return good * 10 + size


def product(good: int, at_ms: int, *, pence: int | None = None, stock: int = 40, active: bool = True) -> dict[str, Any]:
    """A `products/*` body. `pence`: a price other than the catalogue's; `stock`: pieces of each variant."""
    title, kind, sku, listed, _, sizes = GOODS[good]
    price = listed if pence is None else pence
    handle = "-".join(word for word in "".join(c if c.isalnum() else " " for c in title.lower()).split())
    image = _image(good, handle)
    variants = [_variant(good, place, price, stock, at_ms) for place in range(len(sizes_of(good)))]
    option = {"name": "Size" if sizes else "Title", "position": 1, "values": list(sizes_of(good))}
    return {
        "id": identity("Product", good),
        "title": title,
        "body_html": f"<p>{title}. <strong>Made by the sea</strong>, sent in paper.</p>",
        "vendor": "Northlight",
        "product_type": kind,
        "created_at": moment(at_ms - 86_400_000 * 30),
        "handle": handle,
        "updated_at": moment(at_ms),
        "published_at": moment(at_ms - 86_400_000 * 29) if active else None,
        "template_suffix": None,
        "published_scope": "web",
        "tags": f"{kind.lower()}, {sku[3:6].lower()}",
        "status": "active" if active else "draft",
        "admin_graphql_api_id": gid("Product", good),
        "variants": variants,
        "options": [{"id": identity("Product", 500 + good), "product_id": identity("Product", good), **option}],
        "images": [image],
        "image": image,
        "media": [],
        "variant_gids": [
            {"admin_graphql_api_id": one["admin_graphql_api_id"], "updated_at": one["updated_at"]} for one in variants
        ],
        "has_variants_that_requires_components": False,
        "category": None,
    }


def _image(good: int, handle: str) -> dict[str, Any]:
    return {
        "id": identity("ProductImage", good),
        "product_id": identity("Product", good),
        "position": 1,
        "alt": None,
        "width": 1600,
        "height": 1600,
        "src": f"https://cdn.shopify.com/s/files/1/0001/northlight/{handle}.jpg?v=1760000000",
        "variant_ids": [],
        "admin_graphql_api_id": gid("ProductImage", good),
    }


def _variant(good: int, place: int, pence: int, stock: int, at_ms: int) -> dict[str, Any]:
    _, _, sku, _, before, sizes = GOODS[good]
    number = variant_number(good, place)
    return {
        "id": identity("ProductVariant", number),
        "product_id": identity("Product", good),
        "title": sizes_of(good)[place],
        "price": money(pence),
        "position": place + 1,
        "inventory_policy": "deny",
        "compare_at_price": money(before) if before is not None else None,
        "option1": sizes_of(good)[place],
        "option2": None,
        "option3": None,
        "created_at": moment(at_ms - 86_400_000 * 30),
        "updated_at": moment(at_ms),
        "taxable": True,
        "barcode": None,
        "sku": f"{sku}-{sizes[place].upper()[:3]}" if sizes else sku,
        "inventory_item_id": identity("InventoryItem", number),
        "inventory_quantity": max(0, stock - 7 * place),
        "old_inventory_quantity": max(0, stock - 7 * place),
        "image_id": None,
        "admin_graphql_api_id": gid("ProductVariant", number),
    }


# --- orders ----------------------------------------------------------------------------------------------------------


def order(placed: Order, at_ms: int) -> dict[str, Any]:
    """An `orders/*` body: the order as it is now."""
    number = placed.number
    home = address(placed.person.number, of_customer=False)
    return {
        "id": identity("Order", number),
        "admin_graphql_api_id": gid("Order", number),
        "app_id": 580111,
        "browser_ip": "203.0.113.24",
        "buyer_accepts_marketing": placed.person.email_consent == "subscribed",
        "cancel_reason": "customer" if placed.cancelled_at_ms else None,
        "cancelled_at": moment(placed.cancelled_at_ms) if placed.cancelled_at_ms else None,
        "cart_token": f"c{number:07}-northlight",
        "checkout_id": identity("Order", 100_000 + number),
        "client_details": None,
        "closed_at": None,
        "confirmed": True,
        "contact_email": email_of(placed.person.number),
        "created_at": moment(placed.placed_at_ms),
        "currency": CURRENCY,
        **_totals(placed),
        "customer_locale": "en-GB",
        "discount_codes": _discounts(placed),
        "email": email_of(placed.person.number),
        "estimated_taxes": False,
        "financial_status": _financial(placed),
        "fulfillment_status": "fulfilled" if placed.fulfilled else None,
        "landing_site": "/",
        "name": f"#{1000 + number}",
        "note": None,
        "note_attributes": [{"name": "gift_note", "value": "Happy birthday! 🎉"}] if number % 5 == 0 else [],
        "number": number,
        "order_number": 1000 + number,
        "payment_gateway_names": ["shopify_payments"],
        "phone": None,
        "presentment_currency": CURRENCY,
        "processed_at": moment(placed.placed_at_ms),
        "referring_site": None,
        "source_name": "web",
        "tags": "gift" if number % 5 == 0 else "",
        "tax_lines": [_tax(placed.total_pence())],
        "taxes_included": True,
        "test": False,
        "token": f"{number:032x}",
        "updated_at": moment(at_ms),
        "billing_address": home,
        "customer": _buyer(placed, at_ms),
        "discount_applications": [],
        "fulfillments": _fulfilments(placed, at_ms),
        "line_items": [_line(placed, place) for place in range(len(placed.lines))],
        "refunds": [],
        "shipping_address": dict(home),
        "shipping_lines": [_shipping(placed)],
    }


def _financial(placed: Order) -> str:
    if placed.cancelled_at_ms:
        return "refunded" if placed.paid else "voided"
    return "paid" if placed.paid else "pending"


def _totals(placed: Order) -> dict[str, Any]:
    """Every total in its forms: text, money set, and as it stands after edits."""
    pence = {
        "subtotal_price": placed.items_pence() - placed.discount_pence,
        "total_discounts": placed.discount_pence,
        "total_price": placed.total_pence(),
        "total_tax": _tax_in(placed.total_pence()),
    }
    totals: dict[str, Any] = {}
    for name, amount in pence.items():
        totals |= {name: money(amount), f"{name}_set": money_set(amount)}
        totals |= {f"current_{name}": money(amount), f"current_{name}_set": money_set(amount)}
    totals |= {
        "total_line_items_price": money(placed.items_pence()),
        "total_line_items_price_set": money_set(placed.items_pence()),
        "total_shipping_price_set": money_set(placed.shipping_pence()),
        "total_outstanding": "0.00" if placed.paid else money(placed.total_pence()),
        "total_tip_received": "0.00",
        "total_weight": 0,
        "current_total_duties_set": None,
        "original_total_duties_set": None,
    }
    return totals


def _tax_in(pence: int) -> int:
    """The tax that a price with tax contains."""
    return round(pence * TAX_PER_CENT / (100 + TAX_PER_CENT))


def _tax(pence: int) -> dict[str, Any]:
    amount = _tax_in(pence)
    return {
        "price": money(amount),
        "rate": 0.2,
        "title": "GB VAT",
        "price_set": money_set(amount),
        "channel_liable": False,
    }


def _discounts(placed: Order) -> list[dict[str, str]]:
    if not placed.discount_pence:
        return []
    return [{"code": "LIGHT10", "amount": money(placed.discount_pence), "type": "percentage"}]


def _buyer(placed: Order, at_ms: int) -> dict[str, Any]:
    """The customer inside an order: without counts."""
    whole = customer(placed.person, at_ms)
    left_out = ("addresses", "orders_count", "total_spent", "last_order_id", "last_order_name")
    return {name: value for name, value in whole.items() if name not in left_out}


def _fulfilments(placed: Order, at_ms: int) -> list[dict[str, Any]]:
    if not placed.fulfilled:
        return []
    return [
        {
            "id": identity("Fulfillment", placed.number),
            "order_id": identity("Order", placed.number),
            "status": "success",
            "created_at": moment(at_ms),
            "tracking_company": "Royal Mail",
            "tracking_number": f"NL{placed.number:09}GB",
            "tracking_url": f"https://www.royalmail.com/track-your-item?trackNumber=NL{placed.number:09}GB",
            "name": f"#{1000 + placed.number}.1",
        }
    ]


def _line(placed: Order, place: int) -> dict[str, Any]:
    line = placed.lines[place]
    title, _, sku, pence, _, sizes = GOODS[line.good]
    size = sizes[line.size] if sizes else None
    number = placed.number * 20 + place
    return {
        "id": identity("LineItem", number),
        "admin_graphql_api_id": gid("LineItem", number),
        "current_quantity": 0 if placed.cancelled_at_ms else line.quantity,
        "fulfillable_quantity": 0 if placed.fulfilled or placed.cancelled_at_ms else line.quantity,
        "fulfillment_service": "manual",
        "fulfillment_status": "fulfilled" if placed.fulfilled else None,
        "gift_card": False,
        "grams": 0,
        "name": f"{title} - {size}" if size else title,
        "price": money(pence),
        "price_set": money_set(pence),
        "product_exists": True,
        "product_id": identity("Product", line.good),
        "properties": [{"name": "Engraving", "value": "M & I"}] if number % 7 == 0 else [],
        "quantity": line.quantity,
        "requires_shipping": True,
        "sku": f"{sku}-{size.upper()[:3]}" if size else sku,
        "taxable": True,
        "title": title,
        "total_discount": "0.00",
        "total_discount_set": money_set(0),
        "variant_id": identity("ProductVariant", variant_number(line.good, line.size)),
        "variant_inventory_management": "shopify",
        "variant_title": size,
        "vendor": "Northlight",
        "tax_lines": [_tax(pence * line.quantity)],
        "duties": [],
        "discount_allocations": _allocated(placed, line, pence),
    }


def _allocated(placed: Order, line: Line, pence: int) -> list[dict[str, Any]]:
    """The line's part of the order's discount."""
    if not placed.discount_pence:
        return []
    part = round(placed.discount_pence * pence * line.quantity / placed.items_pence())
    return [{"amount": money(part), "amount_set": money_set(part), "discount_application_index": 0}]


def _shipping(placed: Order) -> dict[str, Any]:
    pence = placed.shipping_pence()
    return {
        "id": identity("LineItem", 900_000 + placed.number),
        "carrier_identifier": None,
        "code": "Tracked 48",
        "discounted_price": money(pence),
        "discounted_price_set": money_set(pence),
        "phone": None,
        "price": money(pence),
        "price_set": money_set(pence),
        "source": "shopify",
        "title": "Royal Mail Tracked 48",
        "tax_lines": [],
        "discount_allocations": [],
    }
