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
_SPACE = b" \t\r\n"
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


class _Named(msgspec.Struct):
    """What is seen of an object in passing."""

    id: Any = None


_decoder = msgspec.json.Decoder(float_hook=Decimal)
_lenient_decoder = msgspec.json.Decoder(float_hook=_number)
_scanner = msgspec.json.Decoder(msgspec.Raw)
_named_scanner = msgspec.json.Decoder(_Named, float_hook=_number)


class Unreadable(ValueError):  # noqa: N818  a fact about a text
    """The text is not JSON as the gateway reads it; says why, not what."""


class Text:
    """JSON on one line, as it came: `parse` reads it, and `dump` writes it as it is. Its document is made when it is
    first asked for. `id` is that of the object that it holds, if any.
    """

    __slots__ = ("_document", "_is_read", "id", "json")

    def __init__(self, json: bytes, id_: Any) -> None:
        self.json = json
        self.id = id_
        self._document: Any = None
        self._is_read = False

    def document(self) -> Any:
        """The document, made once."""
        if not self._is_read:
            self._document, self._is_read = _decoded(self.json), True
        return self._document


def hold(text: bytes) -> Any:
    """A JSON text as a `Text`, at a third of the cost of parsing; its document where it has several lines: it is
    written anew on one. Raises what `parse` raises, for the same texts.
    """
    try:
        plain = _plain(text)
        id_ = _id(plain)
        _check_rest(plain)
    except (msgspec.DecodeError, ValueError):
        return parse(text)
    plain = plain.strip(_SPACE)
    return parse(plain) if b"\n" in plain or b"\r" in plain else Text(plain, id_)


def _id(text: bytes) -> Any:
    """The `id` of the object in a text; None where it holds none. Raises DecodeError as the scanner does."""
    try:
        return _named_scanner.decode(text).id
    except msgspec.ValidationError:  # no object
        _scanner.decode(text)
        return None


def read(held: Any) -> Any:
    """The document that is held, as itself or as its text."""
    return held.document() if type(held) is Text else held


def _as_it_came(held: Any) -> msgspec.Raw:
    """A text as the writer takes it. Raises TypeError for what is no document either."""
    if type(held) is not Text:
        raise TypeError(f"{type(held).__name__} is no JSON")
    return msgspec.Raw(held.json)


_encoder = msgspec.json.Encoder(decimal_format="number", enc_hook=_as_it_came)


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
        _check_rest(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreadable(str(error)) from None


def _check_rest(text: bytes) -> None:
    """Raise for what a scanner passes over: it looks at the structure of texts, neither at their bytes nor at how long
    numbers are.
    """
    if not text.isascii():
        text.decode()
    if len(text) > _DIGITS_READ and _may_overflow(text):
        parse(text)


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
    if _openings(text, b"[") + _openings(text, b"{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise Unreadable(f"nested deeper than {MAX_DEPTH}")
    return text


def _openings(text: bytes, bracket: bytes) -> int:
    """How many there are, as far as it matters. `replace` leaps from one to the next; `count` looks at every byte, at
    three times the price.
    """
    return len(text) - len(text.replace(bracket, b"", MAX_DEPTH + 1))


def _depth(text: bytes) -> int:
    """The deepest nesting, strings left out. Only for texts with many brackets."""
    deepest = depth = 0
    for bracket in _STRING.sub(b"", text).translate(None, delete=_NOT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest
