"""What makes two requests the same event.

An identity is one key joined from parts, and a preset may name alternatives: the first whose parts are all there is
taken. Shopify: shop + topic + Event-Id + body, because one merchant action sends many deliveries under one Event-Id,
and because a retry carries the original payload; without an Event-Id the Webhook-Id.
"""

from collections.abc import Callable, Sequence
from hashlib import blake2b

from xxhash import xxh3_128_digest

from gateway.receive.parts import Part, compile_part
from gateway.receive.request import Request

Identity = Callable[[Request], bytes | None]
"""16 bytes by which a retry is recognised; None: nothing identifies the request, it is a new event."""


def compile_identity(source: str, alternatives: Sequence[Sequence[str]]) -> Identity | None:
    """The identity of a source's requests. None when there are no alternatives. Raises ValueError for a wrong part."""
    ways = tuple(_way(source, number, parts) for number, parts in enumerate(alternatives) if parts)
    if not ways:
        return None
    if len(ways) == 1:
        return ways[0]

    def identity(request: Request) -> bytes | None:
        for way in ways:
            if (key := way(request)) is not None:
                return key
        return None

    return identity


def _fingerprint(request: Request) -> bytes:
    return xxh3_128_digest(request.body)


def _way(source: str, number: int, specs: Sequence[str]) -> Identity:
    """One alternative.

    The lengths of the parts stand before them, so that no two lists of parts make one text; the source and the
    alternative's number stand in front, so that neither meets another's keys. A body beside other parts only tells
    apart what came under one id: there a fast hash will do.
    """
    fast = len(specs) > 1
    parts: tuple[Part, ...] = tuple(_fingerprint if fast and spec == "body" else compile_part(spec) for spec in specs)
    start = blake2b(f"{source}\n{number}\n".encode(), digest_size=16)
    lengths = b",".join([b"%d"] * len(parts)) + b"\n"

    def way(request: Request) -> bytes | None:
        values = []
        for part in parts:
            value = part(request)
            if value is None:
                return None
            values.append(value)
        key = start.copy()
        key.update(lengths % tuple(map(len, values)))
        key.update(b"".join(values))
        return key.digest()

    return way
