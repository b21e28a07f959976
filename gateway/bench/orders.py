"""Shopify orders of the size that is talked about (3.1 KB), signed as Shopify signs, no two of them the same event."""

import base64
import hmac
import random
import re
from collections.abc import Callable
from typing import Any

from gateway import document
from gateway.bench.report import Sample

SECRET = "bench-secret"  # noqa: S105  of a shop that there is not
SHOP = "bench.myshopify.com"
TOPIC = "orders/create"
VARIETY = 200
"""Different bodies; each goes out again and again, under an Event-Id of its own."""

LEFT_OUT = ("shipping_lines", "shipping_address", "discount_codes", "client_details")
_CUSTOMER = ("id", "email", "first_name", "last_name")
_RUN = re.compile(r"[0-9a-f]{8,}|\d{6,}")
_NOTE_BYTES = 440


def slim(body: bytes, number: int) -> bytes:
    """A sample order without what repeats itself: 3.1 KB of the 7.6 that Shopify sends. Its ids, tokens and note are
    its own, so that orders of one group compress as real ones do (four to one).
    """
    draw = random.Random(number)
    order: dict[str, Any] = _own(_without_sets(document.parse(body)), draw)
    for name in LEFT_OUT:
        order.pop(name, None)
    order["line_items"] = order["line_items"][:1]
    order["customer"] = {name: order["customer"][name] for name in _CUSTOMER if name in order["customer"]}
    order["note"] = base64.b64encode(draw.randbytes(_NOTE_BYTES)).decode()
    return document.dump(order)


class Orders:
    """Endless requests to one source, written beforehand as far as they go: `next()` is a join of bytes."""

    def __init__(self, samples: Callable[[str, str, int], Sample], source: str) -> None:
        self.bodies = tuple(slim(samples("shopify", "order", number).body, number) for number in range(1, VARIETY + 1))
        self._parts = tuple(_parts(source, body) for body in self.bodies)
        self._number = 0

    def next(self) -> bytes:
        """One more request, head and body."""
        self._number += 1
        number = self._number
        head, tail = self._parts[number % VARIETY]
        return head % (number, number) + tail


def _parts(source: str, body: bytes) -> tuple[bytes, bytes]:
    """The head with two places for the number, and the rest."""
    signature = base64.b64encode(hmac.digest(SECRET.encode(), body, "sha256")).decode()
    head = (
        f"POST /webhooks/{source} HTTP/1.1\r\n"
        "Host: 127.0.0.1\r\n"
        "User-Agent: Shopify-Captain-Hook\r\n"
        "Accept: */*\r\n"
        "Accept-Encoding: gzip;q=1.0,deflate;q=0.6,identity;q=0.3\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"X-Shopify-Topic: {TOPIC}\r\n"
        f"X-Shopify-Shop-Domain: {SHOP}\r\n"
        "X-Shopify-API-Version: 2026-01\r\n"
        f"X-Shopify-Hmac-Sha256: {signature}\r\n"
        "X-Shopify-Triggered-At: 2026-01-31T09:00:00.123456789Z\r\n"
        "X-Shopify-Webhook-Id: 00000000-0000-4000-8000-%012x\r\n"
        "X-Shopify-Event-Id: 00000000-0000-4000-9000-%012x\r\n"
        "\r\n"
    )
    return head.encode(), body


def _own(value: Any, draw: random.Random) -> Any:
    """With other ids and tokens, of the same length."""
    if isinstance(value, dict):
        return {name: _own(part, draw) for name, part in value.items()}
    if isinstance(value, list):
        return [_own(part, draw) for part in value]
    if isinstance(value, str):
        return _RUN.sub(lambda found: _drawn(found[0], draw), value)
    if isinstance(value, int) and not isinstance(value, bool) and value > 1_000_000:  # noqa: PLR2004  an id, no count
        return int(_drawn(str(value), draw))
    return value


def _drawn(text: str, draw: random.Random) -> str:
    if text.isdigit():
        return str(draw.randrange(10 ** (len(text) - 1), 10 ** len(text)))
    return f"{draw.getrandbits(4 * len(text)):0{len(text)}x}"


def _without_sets(value: Any) -> Any:
    """Without the amounts in the shopper's currency, which stand beside those in the shop's."""
    if isinstance(value, dict):
        return {name: _without_sets(part) for name, part in value.items() if not name.endswith("_set")}
    if isinstance(value, list):
        return [_without_sets(part) for part in value]
    return value
