"""A signature that is a keyed hash over the request: Shopify, WooCommerce, Square, Shopware, GitHub, Adyen's platform,
and most of the others.

What is signed is a template: `{body}`, `{timestamp}.{body}`, `{url}{body}`, `v0:{timestamp}:{body}`.
"""

import binascii
import hmac
import html
import re
from collections.abc import Callable, Iterator
from typing import Literal

from pydantic import Field

from gateway.config.schema import HmacScheme, Source
from gateway.errors import Cause, Rejected
from gateway.receive.guards import one_of
from gateway.receive.keys import Keys
from gateway.receive.parts import compile_header
from gateway.receive.verify.base import Fields, Scheme, Verify, unix_ms, within

Piece = Callable[[bytes, Fields], bytes]

_PLACEHOLDER = re.compile(r"(\{(?:body|timestamp|url|header:[^{}]+)\})")
_DIGEST_BYTES = {"sha1": 20, "sha256": 32, "sha512": 64}


class Hmac(HmacScheme, Scheme):
    """As `verify` of a generic source, and how a secret becomes a key.

    `key`: its text as it is, hex digits (Adyen), base64, or text that may hold HTML entities (WooCommerce decodes them
    before it signs: both forms are tried).
    """

    scheme: Literal["hmac"] = "hmac"
    key: Literal["text", "hex", "base64", "html"] = Field("text", description="How a secret becomes a key.")

    def faults(self, source: Source) -> Iterator[str]:
        yield from super().faults(source)
        if "{url}" in self.signed and source.notification_url is None:
            yield "notification_url is needed: the URL as it is registered with the platform, to the letter"
        if self.timestamp is not None and not self.timestamp.startswith("header:"):
            yield "timestamp is header:NAME"
        if "{timestamp}" in self.signed and self.timestamp is None:
            yield "timestamp is needed: where the signed time stands (header:NAME)"
        if "{body}" not in self.signed:
            yield "signed must hold {body}, or anybody could put another body under the signature"

    def verifier(self, source: Source, keys: Keys) -> Verify:  # noqa: ARG002  its keys are the secrets
        algorithm = self.algorithm
        keys_ = [key for text in source.secrets for key in self.keys(text.reveal())]
        read = compile_header(self.header)
        prefix = self.prefix.encode()
        length = _encoded_length(_DIGEST_BYTES[self.algorithm], self.encoding)
        encode = _ENCODERS[self.encoding]
        message = self._message(source.notification_url or "")
        in_time = self._in_time()

        def verify(body: bytes, fields: Fields, arrived_ms: int) -> None:
            given = read(fields)
            if not given:
                raise Rejected(Cause.SIGNATURE_MISSING)
            if not given.startswith(prefix) or len(given) != length + len(prefix):
                raise Rejected(Cause.SIGNATURE_MALFORMED)
            signed = message(body, fields)
            expected: list[bytes] = []
            for key in keys_:
                expected += encode(hmac.digest(key, signed, algorithm))
            if not one_of(given[len(prefix) :], expected):
                raise Rejected(Cause.SIGNATURE_WRONG)
            if in_time is not None:
                in_time(fields, arrived_ms)

        return verify

    def keys(self, secret: str) -> list[bytes]:
        """The keys that a secret stands for."""
        if self.key == "html":
            return [text.encode() for text in dict.fromkeys((html.unescape(secret), secret))]
        if self.key == "text":
            return [secret.encode()]
        try:
            return [bytes.fromhex(secret) if self.key == "hex" else binascii.a2b_base64(secret, strict_mode=True)]
        except ValueError:
            raise ValueError(f"a secret is not {self.key}") from None

    def _message(self, url: str) -> Callable[[bytes, Fields], bytes]:
        """What is signed, of a body and its headers."""
        if self.signed == "{body}":
            return lambda body, _fields: body
        pieces = tuple(self._piece(text, url) for text in _PLACEHOLDER.split(self.signed) if text)
        return lambda body, fields: b"".join([piece(body, fields) for piece in pieces])

    def _piece(self, text: str, url: str) -> Piece:
        if text == "{body}":
            return lambda body, _fields: body
        name = self.timestamp if text == "{timestamp}" else text[1:-1]
        if name is None or not name.startswith("header:"):
            literal = (url if text == "{url}" else text).encode()
            return lambda _body, _fields: literal
        return _header_piece(name)

    def _in_time(self) -> Callable[[Fields, int], None] | None:
        """The check of the signature's time, where it has one."""
        if self.timestamp is None:
            return None
        piece = _header_piece(self.timestamp)
        tolerance_s = self.tolerance
        return lambda fields, arrived_ms: within(unix_ms(piece(b"", fields)), arrived_ms, tolerance_s)


def _header_piece(name: str) -> Piece:
    read = compile_header(name.removeprefix("header:"))

    def piece(_body: bytes, fields: Fields) -> bytes:
        value = read(fields)
        if value is None:
            raise Rejected(Cause.SIGNATURE_MALFORMED, f"the {name} that the signature needs is missing")
        return value

    return piece


def _hex(digest: bytes) -> tuple[bytes, ...]:
    """Both ways to write it, each as a whole: one letter in the other case is a changed signature."""
    text = binascii.hexlify(digest)
    return text, text.upper()


def _base64(digest: bytes) -> tuple[bytes, ...]:
    """Compared as text: base64 that decodes to the same bytes need not be the same signature."""
    return (binascii.b2a_base64(digest, newline=False),)


_ENCODERS: dict[str, Callable[[bytes], tuple[bytes, ...]]] = {"hex": _hex, "base64": _base64}


def _encoded_length(size_bytes: int, encoding: str) -> int:
    return size_bytes * 2 if encoding == "hex" else (size_bytes + 2) // 3 * 4
