"""The types a field may have: strict conversions from what shops send to what platforms take.

Each conversion takes a value that is not null and gives the converted one, or raises `Unfit`: never a silent null. A
fault names the type that was expected and the type that came, never the value.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import (
    ROUND_HALF_UP,
    Context,
    Decimal,
    DecimalException,
    DivisionByZero,
    InvalidOperation,
    Overflow,
)
from email.utils import parsedate_to_datetime
from functools import cache, lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import phonenumbers
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from gateway.mapping import iso

DIGITS_MAX = 400
"""Digits of a number in plain notation; more is no figure of a shop, and arithmetic on it would cost seconds."""
CACHED = 8192
"""Phones, e-mails, times and numbers in texts whose conversion is remembered: a phone costs 50 microseconds anew and
0.1 remembered; an event says most of its amounts and times more than once.
"""

ARITHMETIC = Context(
    prec=50,
    rounding=ROUND_HALF_UP,
    Emin=-DIGITS_MAX,
    Emax=DIGITS_MAX,
    traps=[InvalidOperation, DivisionByZero, Overflow],
)
"""Decimal arithmetic as the gateway does it: 50 digits, halves up; division by zero and overflow raise."""
QUANTIZE = ARITHMETIC.quantize
"""A number as a multiple of another. Raises `DecimalException` where that wants more than 50 digits."""
SHORT = frozenset(range(-40, 41))
"""Places of a number's first digit with which `QUANTIZE` to a currency's smallest amount never raises."""

_NUMBER = re.compile(r"\s*[+-]?(\d+)(\.\d*)?([eE][+-]?\d{1,4})?\s*", re.ASCII)
_DIGITS = re.compile(r"[+-]?\d+", re.ASCII)
_DAY = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?:[T ].*)?", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d|\d{8}(?:T\d{4}.*)?", re.ASCII)
_PLAIN_LOCAL = re.compile(r"(?=.{1,64}\Z)[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)
_EMAIL_MAX = 254
_SECONDS_BELOW = 10**11
_MILLISECONDS_BELOW = 10**14
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SIXTY = frozenset(f":{number:02}" for number in range(60))
_OFFSET_FORM = 25  # the length of 2026-01-02T03:04:05+01:00

_KINDS: dict[type, str] = {
    str: "string",
    bool: "boolean",
    int: "number",
    Decimal: "number",
    float: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}


class EvaluationError(Exception):
    """An expression met a document that it cannot be evaluated on. Names functions and types, never values.

    `kind` is one of JMESPath's: invalid-type, invalid-value; or too-large.
    """

    def __init__(self, cause: str, kind: str = "invalid-type") -> None:
        super().__init__(cause)
        self.kind = kind


class Unfit(EvaluationError):  # noqa: N818  a fact about a value, not a failure of the gateway
    """A value does not fit a type. Names types, never the value, so that it can stand in logs and dead letters."""

    def __init__(self, expected: str, value: Any, why: str = "") -> None:
        super().__init__(f"expected {expected}, got {kind(value)}{f': {why}' if why else ''}", "invalid-value")


def kind(value: Any) -> str:
    """The JSON type of a value: string number boolean array object null."""
    return _KINDS.get(type(value), "unknown")


class Seen(dict[str, Any]):
    """What texts are converted to: those seen lately, so many at most, are found without a call."""

    __slots__ = ("_convert", "_limit")

    def __init__(self, convert: Callable[[str], Any], limit: int = CACHED) -> None:
        super().__init__()
        self._convert = convert
        self._limit = limit

    def __missing__(self, text: str) -> Any:
        made = self._convert(text)
        if len(self) >= self._limit:
            self.clear()
        if len(text) < DIGITS_MAX:
            self[text] = made
        return made


# --- texts and numbers -----------------------------------------------------------------------------------------------


def string(value: Any) -> str:
    """A text. Of a number its exact digits (12.0 and 12 are `12`: ids stay ids), of a boolean `true` or `false`."""
    if type(value) is int:
        try:
            return str(value)
        except ValueError:
            raise Unfit("string", value, "more digits than can be written") from None
    if type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is Decimal:
        return _digits(value)
    raise Unfit("string", value)


def _digits(value: Decimal) -> str:
    if not value.is_finite() or abs(value.adjusted()) > DIGITS_MAX:
        raise Unfit("string", value, f"more than {DIGITS_MAX} digits")
    return str(int(value)) if value == value.to_integral_value() else format(value, "f")


def integer(value: Any) -> int:
    """A whole number, from a number or a text of one (`12`, `12.0`). 12.5 does not fit: nothing is rounded unseen."""
    if type(value) is int:
        return value
    found = to_number(value) if type(value) is str else value
    if type(found) is int:
        return found
    if type(found) is Decimal and abs(found.adjusted()) <= DIGITS_MAX and found == found.to_integral_value():
        return int(found)
    raise Unfit("integer", value)


def number(value: Any) -> int | Decimal:
    """A number, exact: whole ones as int, fractions as Decimal. Also from a text of one (`398.00`)."""
    if type(value) is str:
        return _number_in(value)
    if type(value) is Decimal and value.is_finite() and -DIGITS_MAX <= value.adjusted() <= DIGITS_MAX:
        return value
    if type(value) is int:
        return value
    if type(value) is float:
        return number(Decimal(repr(value)))
    raise Unfit("number", value)


def to_number(value: Any) -> int | Decimal | None:
    """The same, and None for what is no number."""
    try:
        return number(value)
    except Unfit:
        return None


@lru_cache(maxsize=CACHED)
def _number_in(text: str) -> int | Decimal:
    whole, _, fraction = text.partition(".")
    if whole.isdigit() and fraction.isdigit() and text.isascii() and len(text) <= DIGITS_MAX:  # nearly all
        return Decimal(text)
    found = _NUMBER.fullmatch(text)
    if found is None or len(text) > DIGITS_MAX:
        raise Unfit("number", text)
    if found[2] is None and found[3] is None:
        return int(text)
    value = Decimal(text)
    if abs(value.adjusted()) > DIGITS_MAX:
        raise Unfit("number", text)
    return value


_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def boolean(value: Any) -> bool:
    """True or false, also from the texts true false yes no 1 0 and the numbers 1 and 0."""
    if type(value) is bool:
        return value
    known = _TRUTHS.get(value.strip().lower()) if type(value) is str else None
    if known is None and type(value) is int and value in {0, 1}:
        known = bool(value)
    if known is None:
        raise Unfit("boolean", value)
    return known


def json_object(value: Any) -> dict[str, Any]:
    """An object, passed on as it is."""
    if type(value) is dict:
        return value
    raise Unfit("object", value)


def json_list(value: Any) -> list[Any]:
    """A list, passed on as it is."""
    if type(value) is list:
        return value
    raise Unfit("list", value)


# --- times -----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def zone(name: str) -> tzinfo:
    """The IANA time zone of this name. Raises `Unfit`."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; not a name; a folder of zones
        raise Unfit("time zone", name) from None


def moment(value: Any, timezone: str | None = None) -> datetime:
    """An instant in UTC: ISO 8601 or RFC 3339 (a time without offset is in `timezone`, else UTC), an e-mail date
    (RFC 5322), Unix seconds, or Unix milliseconds (11 digits are the last seconds, 12 the first milliseconds).
    """
    if type(value) is str:
        return _naive_utc(value, timezone).replace(tzinfo=UTC)
    if type(value) is int or type(value) is Decimal:
        return _unix_moment(value)
    raise Unfit("datetime", value)


def _naive_utc(text: str, timezone: str | None) -> datetime:
    """The instant in UTC, without a zone: half the price of one with."""
    found = _moment_in(text.strip())
    try:
        offset = found.utcoffset()
        if offset is None and timezone:
            offset = found.replace(tzinfo=zone(timezone)).utcoffset()
        return found.replace(tzinfo=None) - offset if offset else found.replace(tzinfo=None)
    except OverflowError:
        raise Unfit("datetime", text) from None


def _moment_in(text: str) -> datetime:
    try:
        if text[10:11] in {"T", " "} and text[13:14] == ":" and text[4] == "-":  # nearly all, without the pattern
            return datetime.fromisoformat(text)
        if _MOMENT.fullmatch(text):
            return datetime.fromisoformat(text)
        if _DIGITS.fullmatch(text) and len(text) <= DIGITS_MAX:
            return _unix_moment(int(text))
        return parsedate_to_datetime(text)
    except Unfit:
        raise
    except (ValueError, TypeError, IndexError, OverflowError):
        raise Unfit("datetime", text) from None


def _unix_moment(value: int | Decimal) -> datetime:
    size = -value if value < 0 else value
    if size < _SECONDS_BELOW:
        milliseconds = int(value * 1000)
    elif size < _MILLISECONDS_BELOW:
        milliseconds = int(value)
    else:
        raise Unfit("datetime", value)
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        raise Unfit("datetime", value) from None


def utc_datetime(value: Any, timezone: str | None = None) -> str:
    """RFC 3339 in UTC to the second, `2026-01-02T03:04:05Z`; fractions are cut. Takes what `moment` takes."""
    if type(value) is not str:
        return moment(value).isoformat()[:19] + "Z"
    known = TIMES.get(value)
    if known is not None:
        return known
    if value[13:16] in _SIXTY and value[16:19] in _SIXTY and len(value) <= _OFFSET_FORM:
        hour = _hour(value[:13] + value[19:])
        if hour is not None:
            return _remembered(value, f"{hour}{value[13:19]}Z")
    return _naive_utc(value, timezone).isoformat()[:19] + "Z"


TIMES: dict[str, str] = {}
"""What times that know their offset are in UTC: those of one event are mostly alike, and are asked for again when the
normal event is mapped.
"""


def _remembered(text: str, time: str) -> str:
    if len(TIMES) > CACHED:
        TIMES.clear()
    TIMES[text] = TIMES[time] = time
    return time


@lru_cache(maxsize=1024)
def _hour(text: str) -> str | None:
    """The hour in UTC, `2026-01-02T02`, of `2026-01-02T03+01:00`; None for one that is not written so, or that begins
    elsewhere in UTC. Times that are mapped together lie in few hours.
    """
    offset = text[13:]
    if text[4:5] != "-" or text[10:11] not in {"T", " "} or (offset != "Z" and offset[3:4] != ":"):
        return None
    try:
        begins = datetime.fromisoformat(f"{text[:13]}:00:00{offset}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return begins.isoformat()[:13] if begins.minute == begins.second == begins.microsecond == 0 else None


def date(value: Any) -> str:
    """A day, `2026-01-02`: from a date, from the date in a time (as written: a birthday knows no zone), or from Unix
    seconds or milliseconds in UTC. `02/01/2026` does not fit: nobody can tell which month it means.
    """
    if type(value) is int or type(value) is Decimal:
        return _unix_moment(value).date().isoformat()
    found = _DAY.fullmatch(value.strip()) if type(value) is str else None
    if found is None:
        raise Unfit("date", value)
    try:
        return datetime(int(found[1]), int(found[2]), int(found[3]), tzinfo=UTC).date().isoformat()
    except ValueError:
        raise Unfit("date", value) from None


# --- people ----------------------------------------------------------------------------------------------------------

SPECIAL_USE_DOMAIN_NAMES.clear()  # the library's own way to take `.test` and `.local`: what they are is not syntax


def email(value: Any) -> str:
    """An e-mail address by its syntax (no look-up, reserved domains such as `.test` are fine), its domain in lower
    case.
    """
    found = _email(value.strip()) if type(value) is str and len(value) < DIGITS_MAX else None
    if found is None:
        raise Unfit("email", value)
    return found


@lru_cache(maxsize=CACHED)
def _email(text: str) -> str | None:
    """What the library says of it. Most addresses are plain, and their domain is known: then it is not asked."""
    local, _, domain = text.rpartition("@")
    if _PLAIN_LOCAL.fullmatch(local) and domain.isascii():
        known = _mail_domain(domain)
        if known is None:
            return None
        if known.isascii() and len(local) + 1 + len(known) <= _EMAIL_MAX:
            return f"{local}@{known}"
    return _validated(text)


@lru_cache(maxsize=CACHED)
def _mail_domain(domain: str) -> str | None:
    """A domain as it is written; None for what is none in any address."""
    found = _validated(f"a@{domain}")
    return found and found.partition("@")[2]


def _validated(text: str) -> str | None:
    try:
        return validate_email(text, check_deliverability=False).normalized
    except EmailNotValidError:
        return None


def phone(value: Any, country_code: str | None = None) -> str:
    """A phone number in E.164, `+442079460018`. One in national form needs a country (alpha-2). Its length is checked
    against the country's plan, not whether the range is in use: new ranges are opened every month.
    """
    text = value if type(value) is str else string(value) if type(value) is int else ""
    found = _phone(text, country_code) if 0 < len(text) < DIGITS_MAX else None
    if found is None:
        why = "" if country_code or text.lstrip().startswith("+") else "in national form, and no country is known"
        raise Unfit("phone", value, why)
    return found


@lru_cache(maxsize=CACHED)
def _phone(text: str, country_code: str | None) -> str | None:
    try:
        found = phonenumbers.parse(text, country_code)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(found):
        return None
    return phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.E164)


# --- countries and money ---------------------------------------------------------------------------------------------


def country(value: Any) -> str:
    """ISO 3166-1 alpha-2, from alpha-2, alpha-3 or the English name."""
    known = iso.countries()
    found = (known.get(value) or known.get(value.strip().lower())) if type(value) is str else None
    if found is None:
        raise Unfit("country", value)
    return found


def is_currency(code: str) -> bool:
    """Whether ISO 4217 has it."""
    return code in iso.currencies()


def country_if_known(value: Any) -> str | None:
    """The same, and None for what is no country: a phone number in international form does not need it."""
    try:
        return country(value)
    except Unfit:
        return None


def currency(value: Any) -> str:
    """ISO 4217, three capital letters."""
    if type(value) is str and value in iso.currencies():
        return value
    found = value.strip().upper() if type(value) is str else ""
    if found not in iso.currencies():
        raise Unfit("currency", value)
    return found


def digits(code: str) -> int:
    """How many decimals a currency has (ISO 4217)."""
    return -int(iso.quanta()[currency(code)].as_tuple().exponent)


class Amounts(Seen):
    """What texts are as amounts of a currency. `smallest`: its smallest amount, 0.01 for most."""

    __slots__ = ("smallest",)

    def __init__(self, smallest: Decimal) -> None:
        super().__init__(lambda text: amount(text, self))
        self.smallest = smallest


@cache
def _amounts() -> dict[str, Amounts]:
    """Those of every currency."""
    alike = {smallest: Amounts(smallest) for smallest in set(iso.quanta().values())}
    return {code: alike[smallest] for code, smallest in iso.quanta().items()}


def amounts(code: Any) -> Amounts:
    """A currency's amounts (ISO 4217: JPY has no decimals, KWD three, most two)."""
    found = _amounts().get(code) if type(code) is str else None
    return _amounts()[currency(code)] if found is None else found


def amount(value: Any, known: Amounts | None) -> int | Decimal:
    """An amount as a multiple of its currency's smallest, halves up. Without one it keeps the digits it has."""
    found = _number_in(value) if type(value) is str else number(value)
    if known is None:
        return found
    try:
        return QUANTIZE(found, known.smallest)
    except DecimalException:
        raise Unfit("money", value, "too many digits") from None


# --- the table -------------------------------------------------------------------------------------------------------

PLAIN: Mapping[str, Callable[[Any], Any]] = {
    "string": string,
    "integer": integer,
    "number": number,
    "boolean": boolean,
    "date": date,
    "email": email,
    "country": country,
    "currency": currency,
    "object": json_object,
    "list": json_list,
}
"""Types that need nothing but the value."""

SEEN: Mapping[str, Seen] = {name: Seen(PLAIN[name]) for name in ("date", "email", "country", "currency")}
"""Those whose values are texts that are worth remembering."""

NAMES: tuple[str, ...] = (*PLAIN, "datetime", "phone")
"""All types. A time also wants to know its zone, a phone its country."""
