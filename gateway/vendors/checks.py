"""What a vendor requires of a record, checked before it is sent: a vendor that stores later cannot refuse in time.

A vendor's file holds tables of these and asks for the first fault, in words that name the field and never its value.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from msgspec import Struct

from gateway import document
from gateway.errors import Reason, Refusal

Required = tuple[tuple[str, ...], ...]
"""Groups of names: a record needs one of each group."""

_LISTS = (list, tuple)
MISSING = "is missing"
"""How a fault ends that no other value would mend: `gateway check` asks whether a mapping can ever fill the field."""


class Form(Struct, frozen=True):
    """What a value must look like: a test, and what it wants in words."""

    fits: Callable[[Any], bool]
    wanted: str


def text(pattern: str, wanted: str) -> Form:
    """A text that matches the whole pattern (ASCII)."""
    matched = re.compile(pattern, re.ASCII).fullmatch
    return Form(lambda value: isinstance(value, str) and matched(value) is not None, wanted)


def one_of(*words: str) -> Form:
    """One of these words."""
    return Form(lambda value: value in words, f"{', '.join(words[:-1])} or {words[-1]}")


def is_id(value: Any) -> bool:
    """A text or a whole number, as ids are."""
    return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))


ID = Form(is_id, "a text or a whole number")
TIME = text(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)", "an ISO 8601 time with its zone")
CURRENCY = text("[A-Z]{3}", "an ISO 4217 currency in capitals")


def missing(data: Mapping[str, Any], required: Required) -> str:
    """What is missing first: a group none of whose fields has a value. Empty: nothing is."""
    for names in required:
        for name in names:
            value = data.get(name)
            if value or (value is not None and value != ""):
                break
        else:
            return f"{' or '.join(names)} {MISSING}"
    return ""


def missing_in_items(data: Mapping[str, Any], name: str, required: Required) -> str:
    """What is missing first from the objects of a list. Empty: nothing is."""
    items = data.get(name)
    for index, item in enumerate(items if isinstance(items, _LISTS) else ()):
        if fault := missing(item if isinstance(item, dict) else {}, required):
            return f"{name}[{index}].{fault}"
    return ""


def unfit(data: Mapping[str, Any], forms: Mapping[str, Form]) -> str:
    """The first field that has a value of another form than the vendor takes. A null passes. Empty: none has."""
    for name, form in forms.items():
        if name in data and (value := data[name]) is not None and not form.fits(value):
            return f"{name} is not {form.wanted}"
    return ""


class Columns(Struct, frozen=True):
    """What the columns of a table hold: whole numbers up to ±`most` (which has more than `digits` digits), fractions of
    `digits` digits after the point, or of so many in all (`significant`).
    """

    most: int
    digits: int
    significant: bool

    def row(self, fields: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """The fields as cells (times as quoted UTC date-times, nested values as JSON text), and what is wrong with
        numbers among them. In one pass, short texts and numbers first: they are nearly all.
        """
        cells: dict[str, Any] = {}
        faults: list[str] = []
        short = self.digits + 1
        for name, value in fields.items():
            kind = type(value)
            if kind is str:
                cells[name] = value if len(value) < _UTC_FORM or value[10] != "T" else _date_time(value)
            elif kind is Decimal and len(text := str(value)) <= short and "E" not in text and value.is_finite():
                cells[name] = value
            elif isinstance(value, dict | list):
                cells[name] = document.dump(value).decode()
            else:
                cells[name] = value
                if kind is not bool and isinstance(value, int | float | Decimal):
                    faults += self._faults(name, value)
        return cells, faults

    def _faults(self, name: str, value: float | Decimal) -> Iterator[str]:
        """A number that a column cannot hold."""
        if isinstance(value, int) and -self.most <= value <= self.most:
            return
        number = value if isinstance(value, Decimal) else Decimal(str(value))
        if not number.is_finite() or abs(number) > self.most:
            yield f"{name} is beyond ±{self.most}: send it as a text"
        elif _digits(number, significant=self.significant) > self.digits:
            yield f"{name} has more than {self.digits} {'significant digits' if self.significant else 'decimals'}"


def _digits(number: Decimal, *, significant: bool) -> int:
    """The digits of a fraction; a whole number has none that count."""
    _, digits, exponent = number.normalize().as_tuple()
    if not isinstance(exponent, int) or exponent >= 0:
        return 0
    return len(digits) if significant else -exponent


def _date_time(text: str) -> str:
    """A time with its zone as a quoted UTC date-time; a text that is none stays as it is."""
    if not _TIME.fullmatch(text):
        return text
    try:
        moment = datetime.fromisoformat(text)
        if len(text) == _UTC_FORM:  # nearly all
            return text[:19].replace("T", " ")
        return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError):
        return text


def refuse_if_any(what: str, *faults: str) -> None:
    """Raise Refusal, INCOMPLETE, with the first fault of `what`; an empty text is none."""
    for fault in faults:
        if fault:
            raise Refusal(Reason.INCOMPLETE, f"{what}: {fault}")


def as_object(document: Any, vendor: str) -> dict[str, Any]:
    """A mapping's document as the object that a record is. Raises Refusal for anything else."""
    if not isinstance(document, dict):
        raise Refusal(
            Reason.PAYLOAD_REFUSED, f"{vendor} takes objects, and the mapping made a {type(document).__name__}"
        )
    return document


_UTC_FORM = 20
"""The length of `2026-01-02T03:04:05Z`."""
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)
