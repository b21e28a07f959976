"""JSON in and out: one parser for accept and delivery, one writer for everything that is sent.

Integers of any size stay exact, fractions are `Decimal`, a UTF-8 byte-order mark is skipped. NaN, lone surrogates and
nesting over 200 are refused.
"""

from decimal import Decimal
from typing import Any

import msgspec

MAX_DEPTH = 200
_BOM = b"\xef\xbb\xbf"

_decoder = msgspec.json.Decoder(float_hook=Decimal)
_scanner = msgspec.json.Decoder(msgspec.Raw)
_encoder = msgspec.json.Encoder(decimal_format="number")


class Unreadable(ValueError):  # noqa: N818  a fact about a text
    """The text is not JSON as the gateway reads it; says why, not what."""


def parse(text: bytes) -> Any:
    """The document in a JSON text: dict, list, str, int, Decimal, bool or None."""
    text = _plain(text)
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, ArithmeticError) as error:
        raise Unreadable(str(error)) from None


def check(text: bytes) -> None:
    """Raise what `parse` would raise, at a third of its cost."""
    text = _plain(text)
    try:
        _scanner.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreadable(str(error)) from None


def dump(document: Any) -> bytes:
    """Compact UTF-8 JSON. Decimals leave as numbers with the digits they have."""
    return _encoder.encode(document)


def _plain(text: bytes) -> bytes:
    if text.startswith(_BOM):
        text = text[len(_BOM) :]
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise Unreadable(f"nested deeper than {MAX_DEPTH}")
    return text


def _depth(text: bytes) -> int:
    """The deepest nesting, strings left out. Only for texts with many brackets."""
    deepest = depth = 0
    in_string = escaped = False
    for byte in text:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:  # noqa: PLR2004  a backslash
                escaped = True
            elif byte == 0x22:  # noqa: PLR2004  a quote
                in_string = False
        elif byte == 0x22:  # noqa: PLR2004  a quote
            in_string = True
        elif byte in b"[{":
            depth += 1
            if depth > deepest:
                deepest = depth
                if deepest > MAX_DEPTH:
                    return deepest
        elif byte in b"]}":
            depth -= 1
    return deepest
