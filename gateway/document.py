"""JSON in and out: one parser for accept and delivery, one writer for everything that is sent.

Integers stay exact, fractions are `Decimal`, a UTF-8 byte-order mark is skipped. A fraction that no Decimal can hold
(its exponent has 18 digits and more) is its text. NaN, lone surrogates, nesting over 200 and integers of more than
4,300 digits are refused.
"""

import re
from decimal import Decimal
from typing import Any

import msgspec

MAX_DEPTH = 200
_BOM = b"\xef\xbb\xbf"
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

_DIGITS_READ = 4300
"""The longest whole number that is read (CPython's own limit)."""
_DIGITS_SEEN = 64


def _number(text: str) -> Decimal | str:
    """A fraction, or its text where no Decimal can hold it."""
    try:
        return Decimal(text)
    except ArithmeticError:
        return text


_decoder = msgspec.json.Decoder(float_hook=Decimal)
_lenient_decoder = msgspec.json.Decoder(float_hook=_number)
_scanner = msgspec.json.Decoder(msgspec.Raw)
_encoder = msgspec.json.Encoder(decimal_format="number")


class Unreadable(ValueError):  # noqa: N818  a fact about a text
    """The text is not JSON as the gateway reads it; says why, not what."""


def parse(text: bytes) -> Any:
    """The document in a JSON text: dict, list, str, int, Decimal, bool or None."""
    text = _plain(text)
    try:
        return _decoded(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreadable(str(error)) from None


def _decoded(text: bytes) -> Any:
    try:
        return _decoder.decode(text)
    except ArithmeticError:  # a fraction that no Decimal can hold
        return _lenient_decoder.decode(text)


def check(text: bytes) -> None:
    """Raise what `parse` would raise, at a third of its cost."""
    text = _plain(text)
    try:
        _scanner.decode(text)
        if not text.isascii():
            text.decode()  # the scanner looks at the structure of texts, not at their bytes
        if _may_overflow(text):
            parse(text)  # ... and not at how long numbers are
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreadable(str(error)) from None


def _may_overflow(text: bytes) -> bool:
    """Whether there may be a whole number of more digits than are read: it would lie across one of these places, and a
    good deal of it on one side.
    """
    places = range(_DIGITS_READ, len(text), _DIGITS_READ)
    return any(
        text[place : place + _DIGITS_SEEN].isdigit() or text[place - _DIGITS_SEEN : place].isdigit() for place in places
    )


def dump(document: Any) -> bytes:
    """Compact UTF-8 JSON. Decimals leave as numbers with the digits they have."""
    return _encoder.encode(document)


def _plain(text: bytes) -> bytes:
    text = text.removeprefix(_BOM)
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise Unreadable(f"nested deeper than {MAX_DEPTH}")
    return text


def _depth(text: bytes) -> int:
    """The deepest nesting, strings left out. Only for texts with many brackets."""
    deepest = depth = 0
    for bracket in _STRING.sub(b"", text).translate(None, delete=_NOT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest
