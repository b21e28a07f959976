import base64
import hmac

import zstandard

from gateway import document
from gateway.bench.orders import SECRET, VARIETY, Orders, slim
from gateway.cli.bench import sample
from gateway.config.schema import Source
from gateway.mapping.book import Book
from gateway.mapping.normalise import Normaliser
from gateway.model import Event


def headers_and_body(request: bytes) -> tuple[dict[str, str], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /webhooks/shop HTTP/1.1"
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}, body


def test_an_order_has_the_size_that_is_talked_about() -> None:
    sizes = [len(body) for body in Orders(sample, "shop").bodies]

    assert min(sizes) > 3100
    assert max(sizes) < 3300


def test_orders_of_one_group_compress_as_real_ones_do() -> None:
    bodies = Orders(sample, "shop").bodies[:64]

    assert 3 < sum(map(len, bodies)) / len(zstandard.compress(b"".join(bodies), level=1)) < 6


def test_a_request_is_signed_as_shopify_signs() -> None:
    headers, body = headers_and_body(Orders(sample, "shop").next())

    assert int(headers["content-length"]) == len(body)
    signature = base64.b64encode(hmac.digest(SECRET.encode(), body, "sha256")).decode()
    assert headers["x-shopify-hmac-sha256"] == signature


def test_no_two_requests_are_the_same_event() -> None:
    orders = Orders(sample, "shop")
    requests = [headers_and_body(orders.next()) for _ in range(2 * VARIETY)]

    assert len({headers["x-shopify-event-id"] for headers, _ in requests}) == 2 * VARIETY
    assert len({body for _, body in requests}) == VARIETY


def test_what_is_left_of_an_order_is_still_an_order() -> None:
    body = slim(sample("shopify", "order", 1).body, 1)
    normaliser = Normaliser("shop", Source(preset="shopify"), {"*": "shopify/order"}, Book({}))

    (normal,) = normaliser.normal(Event(1, "evt_1", "shop", "orders/create", 0, 0, "POST", "", (), body))

    assert normal.type == "order.created"
    assert normal.data["id"] == str(document.parse(body)["id"])
    assert len(normal.data["items"]) == 1
    assert normal.data["customer"]["email"]
