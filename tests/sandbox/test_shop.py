import base64
import hashlib
import hmac
import json
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.sandbox import samples, shopify
from gateway.sandbox.shop import Delivery, Sender, Shop, Told, paced, send
from tests.sandbox.clock import ManualClock

SECRET = "the-shop's-secret"


def by_event(deliveries: list[Delivery]) -> dict[int, list[Delivery]]:
    grouped: dict[int, list[Delivery]] = {}
    for one in deliveries:
        grouped.setdefault(one.number, []).append(one)
    return grouped


def of_topic(deliveries: list[Delivery], topic: str) -> list[dict[str, Any]]:
    return [json.loads(one.body) for one in deliveries if one.topic == topic and one.why in ("first", "late")]


@pytest.fixture(scope="module")
def traffic() -> list[Delivery]:
    return Shop(seed=7).plan(400)


def test_the_same_seed_makes_the_same_traffic() -> None:
    assert Shop(seed=3).plan(60) == Shop(seed=3).plan(60)
    assert Shop(seed=3).plan(60) != Shop(seed=4).plan(60)


def test_a_plan_goes_on_where_the_last_one_ended() -> None:
    shop = Shop()
    first, second = shop.plan(30), shop.plan(30)
    assert max(one.number for one in first) == 30
    assert {one.number for one in second} == set(range(31, 61))
    assert min(one.due_s for one in second) > 1.5


def test_some_go_twice_some_three_times_at_once_some_late(traffic: list[Delivery]) -> None:
    grouped = by_event(traffic)
    assert len(grouped) == 400
    assert Counter(len(copies) for copies in grouped.values()) == {1: 300, 2: 60, 3: 40}
    assert sum(one.why == "late" for one in traffic) == 40


def test_copies_are_the_same_event_byte_for_byte(traffic: list[Delivery]) -> None:
    for copies in by_event(traffic).values():
        assert len({(one.body, one.topic, one.names.event, one.names.shop) for one in copies}) == 1


def test_a_retry_keeps_its_delivery_id_and_a_twin_subscription_has_another(traffic: list[Delivery]) -> None:
    ids = {len(copies): len({one.names.delivery for one in copies}) for copies in by_event(traffic).values()}
    assert ids == {1: 1, 2: 1, 3: 2}


def test_one_merchant_action_sends_several_webhooks_under_one_event_id(traffic: list[Delivery]) -> None:
    topics: dict[str, set[str]] = {}
    for one in traffic:
        topics.setdefault(one.names.event, set()).add(one.topic)
    assert {"orders/create", "orders/paid", "customers/update", "products/update"} in topics.values()


def test_late_ones_arrive_after_younger_ones(traffic: list[Delivery]) -> None:
    numbers = [one.number for one in traffic if one.why in ("first", "late")]
    assert numbers != sorted(numbers)


def test_every_kind_of_webhook_happens(traffic: list[Delivery]) -> None:
    assert {one.topic for one in traffic} == {
        "products/create", "products/update", "customers/create", "customers/update", "orders/create", "orders/paid",
        "orders/fulfilled", "orders/cancelled", "orders/updated",
    }  # fmt: skip


def test_an_orders_totals_add_up(traffic: list[Delivery]) -> None:
    for order in of_topic(traffic, "orders/create"):
        items = sum(Decimal(line["price"]) * line["quantity"] for line in order["line_items"])
        shipping = Decimal(order["total_shipping_price_set"]["shop_money"]["amount"])
        assert Decimal(order["total_line_items_price"]) == items
        assert Decimal(order["subtotal_price"]) == items - Decimal(order["total_discounts"])
        assert Decimal(order["total_price"]) == Decimal(order["subtotal_price"]) + shipping


def test_ids_are_beyond_what_a_double_holds_and_agree_with_their_gids(traffic: list[Delivery]) -> None:
    for one in traffic:
        entity = json.loads(one.body)
        assert 2**53 < entity["id"] < 2**63
        assert int(float(entity["id"])) != entity["id"]
        assert entity["admin_graphql_api_id"].endswith(f"/{entity['id']}")


def test_orders_refer_to_customers_products_and_variants_that_the_shop_told_of(traffic: list[Delivery]) -> None:
    customers = {one["id"] for one in of_topic(traffic, "customers/create")}
    products = of_topic(traffic, "products/create")
    variants = {variant["id"] for one in products for variant in one["variants"]}
    for order in of_topic(traffic, "orders/create"):
        assert order["customer"]["id"] in customers
        assert {line["variant_id"] for line in order["line_items"]} <= variants
        assert {line["product_id"] for line in order["line_items"]} <= {one["id"] for one in products}


def test_some_orders_have_several_lines_and_some_customers_withdraw_consent(traffic: list[Delivery]) -> None:
    assert max(len(order["line_items"]) for order in of_topic(traffic, "orders/create")) > 2
    states = {one["email_marketing_consent"]["state"] for one in of_topic(traffic, "customers/update")}
    assert {"subscribed", "unsubscribed"} <= states


def test_a_cancelled_order_says_so(traffic: list[Delivery]) -> None:
    for order in of_topic(traffic, "orders/cancelled"):
        assert order["cancelled_at"]
        assert order["financial_status"] in ("refunded", "voided")


async def test_deliveries_leave_when_they_are_due() -> None:
    clock = ManualClock()
    left = [(one.due_s, clock.monotonic_s()) async for one in paced(Shop().plan(20, rate_per_s=4), clock)]
    assert [due for due, _ in left] == pytest.approx([at for _, at in left])


class Receiver:
    """Somebody who checks signatures, remembers identities, and fails when told to."""

    def __init__(self) -> None:
        self.seen: Counter[tuple[str, ...]] = Counter()
        self.failing = 0

    async def take(self, request: web.Request) -> web.Response:
        if self.failing:
            self.failing -= 1
            return web.Response(status=503)
        body = await request.read()
        expected = base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest()).decode()
        if request.headers["X-Shopify-Hmac-Sha256"] != expected:
            return web.Response(status=401)
        names = ("X-Shopify-Shop-Domain", "X-Shopify-Topic", "X-Shopify-Event-Id")
        key = (*(request.headers[name] for name in names), hashlib.sha256(body).hexdigest())
        self.seen[key] += 1
        return web.json_response({"id": "evt_x", "duplicate": self.seen[key] > 1})


async def test_traffic_arrives_signed_and_what_came_twice_is_told() -> None:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/webhooks/shop", receiver.take)
    told: list[Told] = []
    async with TestServer(app) as server:
        url = str(server.make_url("/webhooks/shop"))
        tally = await send(url, SECRET, events=60, clock=ManualClock(), tell=told.append)
    assert (tally.events, tally.taken, tally.failed) == (60, 60, 0)
    assert tally.requests == len(told) == receiver.seen.total() == 81
    assert (len(receiver.seen), tally.recognised) == (60, 21)
    assert tally.statuses == {200: 81}


async def test_a_refused_delivery_is_sent_again_with_the_same_bytes() -> None:
    receiver = Receiver()
    receiver.failing = 3
    app = web.Application()
    app.router.add_post("/", receiver.take)
    async with TestServer(app) as server:
        tally = await send(str(server.make_url("/")), SECRET, events=5, clock=ManualClock())
    assert (tally.taken, tally.failed, tally.statuses[503]) == (5, 0, 3)


async def test_what_nobody_answers_is_given_up_after_eight_tries() -> None:
    told: list[Told] = []
    sender = Sender("http://127.0.0.1:9/", SECRET, ManualClock(), told.append)
    tally = await sender.send(paced(Shop().plan(1)[:1], ManualClock()))
    assert (tally.failed, tally.taken, len(told), told[0].status) == (1, 0, 8, 0)


def test_each_number_is_another_sample() -> None:
    bodies = {samples.sample("shopify", "order", now_ms=0, number=number).body for number in range(1, 50)}
    assert len(bodies) == 49


def test_a_sample_that_there_is_not_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        samples.sample("shopify", "weather", now_ms=0)
    assert samples.names("prestashop") == ()


def test_times_are_the_shops_own_with_their_zone() -> None:
    assert shopify.moment(1_760_000_000_000) == "2025-10-09T09:53:20+01:00"
    assert shopify.moment(1_767_225_600_000) == "2026-01-01T00:00:00+00:00"
