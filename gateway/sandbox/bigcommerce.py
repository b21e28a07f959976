"""BigCommerce's API as far as a look-up asks it: an order, a customer, a product by its id. Reading only.

Every id up to `last_id` is there, always with the same content but for the time of its last change, which is now.
https://developer.bigcommerce.com/docs/rest-management
"""

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.clock import Clock
from gateway.sandbox.api import Api, Refused, handled_of, turn_away
from gateway.sandbox.samples.scene import CURRENCY, Item, Person, Scene, amount, handle, item, listed_pence, zulu
from gateway.sandbox.simulator import Figure
from gateway.sandbox.witness import Witness

STORE = "/stores/{store}"
MADE_MS = 1_735_787_045_000  # 2025-01-02T03:04:05Z


class Rules(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is there: `tokens` that are taken (none named: any), and the highest id."""

    tokens: tuple[str, ...] = ()
    last_id: int = 1_000_000


class BigCommerce(Api):
    """One store, whatever its hash."""

    name = "bigcommerce"
    title = "BigCommerce"
    hint = "/bigcommerce/stores/STORE_HASH"
    plays: frozenset[str] = frozenset()

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.rules = Rules()
        self._clock = clock
        self.reset()

    def routes(self) -> list[Route]:
        return [
            Route(f"{STORE}/v2/orders/{{id:int}}", self._order),
            Route(f"{STORE}/v3/customers", self._customers),
            Route(f"{STORE}/v3/catalog/products/{{id:int}}", self._product),
        ]

    def witness_of(self, request: Request) -> Witness:  # noqa: ARG002  one for all
        return self.witness

    def refusal(self, request: Request, refused: Refused) -> Response:
        fault = {"status": refused.status, "title" if "/v3/" in request.url.path else "message": refused.message}
        return JSONResponse(fault if "/v3/" in request.url.path else [fault], refused.status)

    async def _order(self, request: Request) -> Response:
        number = self._let_in(request, request.path_params["id"])
        items = "consignments.line_items" in request.query_params.get("include", "")
        return JSONResponse(_order(Scene(number, self._clock.now_ms()), with_items=items))

    async def _customers(self, request: Request) -> Response:
        asked = [int(one) for one in request.query_params.get("id:in", "").split(",") if one.isdecimal()]
        there = [number for number in asked if number <= self.rules.last_id]
        self._let_in(request, there[0] if there else 0, empty_is_fine=True)
        found = [_customer(Scene(number, self._clock.now_ms())) for number in there]
        return JSONResponse({"data": found, "meta": {"pagination": {"total": len(found)}}})

    async def _product(self, request: Request) -> Response:
        number = self._let_in(request, request.path_params["id"])
        return JSONResponse({"data": _product(number, self._clock.now_ms()), "meta": {}})

    def _let_in(self, request: Request, number: int, *, empty_is_fine: bool = False) -> int:
        """Raises Refused without a token, and where there is no such thing."""
        token = request.headers.get("x-auth-token", "")
        if not token or (self.rules.tokens and token not in self.rules.tokens):
            raise Refused(401, "Unauthorized", "token")
        turn_away(request)
        if not empty_is_fine and not 0 < number <= self.rules.last_id:
            raise Refused(404, "The requested resource was not found.")
        handled_of(request).what = request.url.path
        self.witness.came(f"{request.url.path}?{request.url.query}", b"")
        return number

    def reset(self) -> None:
        self.witness = Witness(self._clock)

    def view(self) -> dict[str, Any]:
        rules = msgspec.to_builtins(self.rules) | {"tokens": len(self.rules.tokens)}
        return {"vendor": self.name, "rules": rules, **self.witness.view()}

    def figures(self) -> list[Figure]:
        return [
            Figure("requests", str(self.witness.statuses.total())),
            Figure("distinct things", str(len(self.witness.received))),
            Figure("most at once", str(self.witness.requests_at_once)),
        ]

    def adjust(self, change: dict[str, Any]) -> None:
        self.rules = msgspec.convert({**msgspec.to_builtins(self.rules), **change}, Rules)


# --- as the API writes it --------------------------------------------------------------------------------------------


def _money(pence: int) -> str:
    return f"{amount(pence):.4f}"


def _rfc(at_ms: int) -> str:
    return format_datetime(datetime.fromtimestamp(at_ms // 1000, UTC))


def _order(scene: Scene, *, with_items: bool) -> dict[str, Any]:
    person = scene.person
    order: dict[str, Any] = {
        "id": scene.number,
        "customer_id": scene.number,
        "date_created": _rfc(MADE_MS),
        "date_modified": _rfc(scene.at_ms),
        "status_id": 11,
        "status": "Awaiting Fulfillment",
        "subtotal_inc_tax": _money(scene.items_pence),
        "shipping_cost_inc_tax": _money(scene.shipping_pence),
        "total_inc_tax": _money(scene.total_pence),
        "total_tax": _money(scene.tax_pence),
        "discount_amount": "0.0000",
        "coupon_discount": "0.0000",
        "refunded_amount": "0.0000",
        "currency_code": CURRENCY,
        "payment_method": "Test Payment Gateway",
        "channel_id": 1,
        "billing_address": _address(person),
        "products": {"url": f"/v2/orders/{scene.number}/products", "resource": f"/orders/{scene.number}/products"},
    }
    if with_items:
        lines = [_line(scene.number * 10 + place, one) for place, one in enumerate(scene.items)]
        shipping = {**_address(person), "shipping_method": "Royal Mail", "line_items": lines}
        order["consignments"] = [{"shipping": [shipping], "pickups": [], "downloads": []}]
    return order


def _address(person: Person) -> dict[str, Any]:
    return {
        "first_name": person.first,
        "last_name": person.last,
        "company": "",
        "street_1": person.street,
        "street_2": "",
        "city": person.city,
        "state": "",
        "zip": person.postcode,
        "country_iso2": person.country,
        "phone": person.phone,
        "email": person.email,
    }


def _line(number: int, one: Item) -> dict[str, Any]:
    return {
        "id": number,
        "product_id": one.good,
        "variant_id": 0,
        "name": one.title,
        "sku": one.sku,
        "quantity": one.quantity,
        "price_inc_tax": _money(one.pence),
        "total_inc_tax": _money(one.total_pence),
        "total_tax": _money(one.total_pence // 6),
        "product_options": [],
    }


def _customer(scene: Scene) -> dict[str, Any]:
    person = scene.person
    address = {
        "first_name": person.first,
        "last_name": person.last,
        "address1": person.street,
        "city": person.city,
        "postal_code": person.postcode,
        "country_code": person.country,
    }
    return {
        "id": scene.number,
        "email": person.email,
        "first_name": person.first,
        "last_name": person.last,
        "phone": person.phone,
        "customer_group_id": 0,
        "accepts_product_review_abandoned_cart_emails": True,
        "date_created": zulu(MADE_MS),
        "date_modified": zulu(scene.at_ms),
        "addresses": [address],
    }


def _product(number: int, at_ms: int) -> dict[str, Any]:
    one = item(number, 1)
    return {
        "id": number,
        "type": "physical",
        "name": one.title,
        "sku": one.sku,
        "price": amount(listed_pence(one)),
        "sale_price": amount(one.pence) if listed_pence(one) != one.pence else 0,
        "inventory_level": 12,
        "inventory_tracking": "product",
        "is_visible": True,
        "custom_url": {"url": f"/{handle(one.title)}/"},
        "categories": [],
        "date_created": zulu(MADE_MS),
        "date_modified": zulu(at_ms),
    }
