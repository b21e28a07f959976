"""One request as the checks read it: built once, read by guards, schemes, topic and identity alike."""

from collections.abc import Iterable, Sequence
from copy import copy
from typing import Any
from urllib.parse import unquote_to_bytes

from gateway.receive import content

RawHeaders = Sequence[tuple[bytes, bytes]]


class Request:
    """What a sender sent.

    `fields`: header values by lower-case name; a header that came twice is joined with a comma (RFC 9110, 5.3), so that
    a second one is never silently passed over. `wire` is the body as it came, `body` as it is understood (unpacked).
    Both are empty until the body has been read. `arrived_ms` is when the request began.
    """

    __slots__ = ("_document", "arrived_ms", "body", "fields", "headers", "kind", "method", "peer", "query", "wire")

    def __init__(self, method: str, headers: RawHeaders, query: bytes, peer: str, arrived_ms: int) -> None:
        self.method = method
        self.headers = headers
        self.fields = fields_of(headers)
        self.query = query
        self.peer = peer
        self.arrived_ms = arrived_ms
        self.wire = b""
        self.body = b""
        self.kind = "json"
        self._document: Any = None

    def with_body(self, body: bytes) -> "Request":
        """The same request around another body: one item of several, or what an envelope held."""
        other = copy(self)
        other.understood("json", body)
        return other

    def understood(self, kind: str, body: bytes) -> None:
        """The body is of this kind (`content`), and this is it."""
        self.kind = kind
        self.body = body
        self._document = None

    def document(self) -> Any:
        """What the body says, parsed once. Raises Rejected."""
        if self._document is None:
            self._document = content.read(self.kind, self.body)
        return self._document


def fields_of(headers: RawHeaders) -> dict[bytes, bytes]:
    """Header values by name, those of one name joined with a comma."""
    fields = dict(headers)
    if len(fields) == len(headers):
        return fields
    joined: dict[bytes, bytes] = {}
    for name, value in headers:
        joined[name] = joined[name] + b", " + value if name in joined else value
    return joined


def query_pairs(query: bytes) -> Iterable[tuple[bytes, bytes]]:
    """Names and values of a query string, percent-decoded; what is malformed stays as it is."""
    for pair in query.split(b"&"):
        if pair:
            name, _, value = pair.replace(b"+", b" ").partition(b"=")
            yield unquote_to_bytes(name), unquote_to_bytes(value)


def query_value(query: bytes, name: bytes) -> bytes | None:
    """The first value of this name in a query string."""
    if not query:
        return None
    return next((value for found, value in query_pairs(query) if found == name), None)
