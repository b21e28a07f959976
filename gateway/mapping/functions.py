"""The functions of expressions: the gateway's own here, JMESPath's own in `standard`, all in one table.

Those here give null for a null (`lower(null)` is null: a missing field stays missing), where their sentence does not
say otherwise. To add one: write it here with its sentence and an example; the docs page and the tests find it.
"""

import hashlib
import html
import math
import re
import unicodedata
from decimal import ROUND_HALF_UP, Decimal, DecimalException
from typing import Any
from urllib.parse import quote

from gateway.mapping import standard, types
from gateway.mapping.table import (
    BITS_MAX,
    FUNCTIONS,
    VALUES_MAX,
    Function,
    Number,
    Reference,
    bounded_text,
    decimal,
    exact,
    failed,
    function,
    room_for,
    total,
    truthy,
)
from gateway.mapping.types import ARITHMETIC, EvaluationError, number

__all__ = ["FUNCTIONS", "reference", "standard"]


def reference() -> str:
    """The tables of functions for the docs page, in Markdown: the gateway's own by group, then JMESPath's."""
    groups = sorted({function.group for function in FUNCTIONS.values()}, key=lambda group: (group == "JMESPath", group))
    return "\n".join(_table_of(group) for group in groups)


def _table_of(group: str) -> str:
    title = "JMESPath's own" if group == "JMESPath" else group.capitalize()
    rows = [_row(function) for function in FUNCTIONS.values() if function.group == group]
    return "\n".join([f"### {title}", "", "| function | what it gives | example |", "|---|---|---|", *rows, ""])


def _row(function: Function) -> str:
    """One line; examples are code, in which a bar would end the cell and a backtick the code."""
    examples = "<br>".join(f"`` {expression} `` → `{result}`" for expression, result in function.examples)
    return f"| `{function.signature}` | {function.summary} | {examples} |".replace("||", "\\|\\|")


# --- texts ----------------------------------------------------------------------------------------------------------


@function("lower", "string", group="text", passes_null=True)
def _lower(text: str) -> str:
    """A text in lower case.

    lower('Ada') -> "ada"
    """
    return text.lower()


@function("upper", "string", group="text", passes_null=True)
def _upper(text: str) -> str:
    """A text in upper case.

    upper('eur') -> "EUR"
    """
    return text.upper()


@function("trim", "string", group="text", passes_null=True)
def _trim(text: str) -> str:
    """A text without the white space around it.

    trim('  Ada ') -> "Ada"
    """
    return text.strip()


@function("concat", "string|number|null*", group="text", grows=True)
def _concat(part: str | Number | None, *more: str | Number | None) -> str | None:
    """Texts and numbers one after the other. Nulls are left out; null when all are.

    concat('Ada', ' ', 'Byron') -> "Ada Byron"
    concat('order-', `12`) -> "order-12"
    concat('Ada', `null`) -> "Ada"
    """
    texts = [types.string(part) for part in (part, *more) if part is not None]
    room_for(sum(map(len, texts)))
    return "".join(texts) if texts else None


@function("split", "string", "string", group="text", passes_null=True)
def _split(text: str, separator: str) -> list[str]:
    """The parts of a text between separators, without the white space around them; empty parts are left out.

    split('new, sale,,vip', ',') -> ["new", "sale", "vip"]
    """
    if not separator:
        raise EvaluationError("split(): separator must not be empty", "invalid-value")
    parts = text.split(separator, VALUES_MAX)
    if len(parts) > VALUES_MAX:
        raise EvaluationError(f"a list of more than {VALUES_MAX} elements", "too-large")
    kept = []
    for part in parts:
        plain = part.strip()
        if plain:
            kept.append(plain)
    return kept


@function("replace", "string", "string", "string", group="text", passes_null=True, grows=True)
def _replace(text: str, old: str, new: str) -> str:
    """A text with every `old` replaced by `new`.

    replace('a-b-c', '-', ' ') -> "a b c"
    """
    if not old:
        raise EvaluationError("replace(): old must not be empty", "invalid-value")
    if len(new) > len(old):
        room_for(len(text) + text.count(old) * (len(new) - len(old)))
    return text.replace(old, new)


_APART = re.compile(r"[^a-z0-9]+")


@function("slug", "string", group="text", passes_null=True)
def _slug(text: str) -> str:
    """A text as it may stand in a URL: lower case, no accents, hyphens between words.

    slug('Crème Brûlée, 2 pcs') -> "creme-brulee-2-pcs"
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return _APART.sub("-", plain).strip("-")


@function("unescape", "string", group="text", passes_null=True)
def _unescape(text: str) -> str:
    """A text with HTML's character references as characters: WordPress writes names so.

    unescape('Tea &amp; Caf&eacute;') -> "Tea & Café"
    """
    return html.unescape(text)


# --- lists and objects ----------------------------------------------------------------------------------------------


@function("from_items", "array", group="objects", passes_null=True)
def _from_items(pairs: list[Any]) -> dict[str, Any]:
    """An object from a list of names and values; a later pair wins, one without a name is left out.

    from_items(`[["engraving", "Ada"], ["colour", "red"]]`) -> {"engraving": "Ada", "colour": "red"}
    from_items(`[{"name": "a", "value": 1}]`[].[name, value]) -> {"a": 1}
    """
    made: dict[str, Any] = {}
    for pair in pairs:
        if type(pair) is not list or len(pair) != 2:  # noqa: PLR2004  a name and a value
            raise EvaluationError("from_items(): pairs must be arrays of two: a name and a value")
        if pair[0] is not None and pair[0] != "":
            made[types.string(pair[0])] = pair[1]
    return made


@function("compact", "object|array", group="objects", passes_null=True)
def _compact(value: Any) -> Any:
    """An object or a list without its nulls; null when nothing is left.

    compact(`{"a": 1, "b": null}`) -> {"a": 1}
    compact(`[null]`) -> null
    """
    if type(value) is dict:
        return {key: element for key, element in value.items() if element is not None} or None
    return [element for element in value if element is not None] or None


# --- numbers --------------------------------------------------------------------------------------------------------

_ADDED, _MULTIPLIED = ARITHMETIC.add, ARITHMETIC.multiply


def _operand(value: Any) -> Number:
    """A number, or a text of one: shops write money as text."""
    found = value if type(value) is int else number(value)
    return exact(found) if type(found) is int and found.bit_length() > BITS_MAX else found


@function("add", "number|string*", group="numbers", passes_null=True)
def _add(number: Any, *more: Any) -> Number:
    """The sum of numbers, or texts of numbers, exact in decimal.

    add(`0.1`, `0.2`) -> 0.3
    add('19.90', '5.00') -> 24.90
    """
    return total([_operand(each) for each in (number, *more)])


@function("sub", "number|string", "number|string", group="numbers", passes_null=True)
def _sub(left: Any, right: Any) -> Number:
    """The left number less the right one.

    sub(`10`, '2.50') -> 7.50
    """
    one, other = _operand(left), -_operand(right)
    if type(one) is int and type(other) is int:
        return exact(one + other)
    try:
        return _ADDED(one if type(one) is int else _ADDED(0, one), other)
    except DecimalException as error:
        raise failed(error) from None


@function("mul", "number|string*", group="numbers", passes_null=True)
def _mul(number: Any, *more: Any) -> Number:
    """The product of numbers.

    mul('2.50', `3`) -> 7.50
    """
    product: Number = _operand(number)
    for each in more:
        factor = _operand(each)
        whole = type(product) is int and type(factor) is int
        product = exact(product * factor) if whole else decimal(_MULTIPLIED, product, factor)
    return product


@function("div", "number|string", "number|string", group="numbers", passes_null=True)
def _div(left: Any, right: Any) -> Number:
    """The left number divided by the right one, to 50 digits. Division by zero is a fault.

    div(`1990`, `100`) -> 19.9
    """
    return decimal(ARITHMETIC.divide, _operand(left), _operand(right))


@function("round", "number|string", "number?", group="numbers", passes_null=True)
def _round(value: Any, digits: Number = 0) -> Number:
    """A number with at most so many decimals (none unless told), halves away from zero.

    round(`2.345`, `2`) -> 2.35
    round('2.5') -> 3
    """
    places = int(exact(digits))
    if not 0 <= places <= 12:  # noqa: PLR2004  more digits than any currency or measure has
        raise EvaluationError("round(): digits must be from 0 to 12", "invalid-value")
    amount = _operand(value)
    if isinstance(amount, int):
        return amount
    try:
        rounded = amount.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP, ARITHMETIC)
    except DecimalException:
        raise EvaluationError("round(): too many digits", "too-large") from None
    return rounded if places else int(rounded)


@function("minor", "number|string|null", "string|null", "object?", group="numbers")
def _minor(amount: Any, currency: str | None, digits: dict[str, Any] | None = None) -> Number | None:
    """An amount in a currency's smallest unit as an amount: its digits are ISO 4217's, but for those the table names.
    Null without an amount, or without a currency to tell what it is worth.

    minor(`1990`, 'eur') -> 19.90
    minor(`1990`, 'JPY') -> 1990
    minor(`1990`, 'ISK', `{"ISK": 2}`) -> 19.90
    """
    if amount is None or currency is None:
        return None
    places = (digits or {}).get(currency.upper())
    places = types.digits(currency) if places is None else types.integer(places)
    return decimal(ARITHMETIC.scaleb, Decimal(_operand(amount)), -places) if places else _operand(amount)


# --- choice ---------------------------------------------------------------------------------------------------------


@function("if", "any", "any", "any?", group="choice", lazy=True)
def _if(condition: Reference, then: Reference, otherwise: Reference = lambda _: None) -> Reference:
    """The second argument when the first is true (JMESPath's truth: not null, false or empty), else the third, or null.
    Only the chosen one is evaluated.

    if(`true`, 'yes', 'no') -> "yes"
    if('', 'yes') -> null
    """
    return lambda value: then(value) if truthy(condition(value)) else otherwise(value)


@function("coalesce", "any*", group="choice", lazy=True)
def _coalesce(value: Reference, *more: Reference) -> Reference:
    """The first value that is not null; those behind it are not evaluated. An empty text is a value: `a || b` passes
    over it, `coalesce(a, b)` does not.

    coalesce(`null`, 'b') -> "b"
    coalesce('', 'b') -> ""
    """
    choices = (value, *more)

    def run(scope: Any) -> Any:
        for choice in choices:
            found = choice(scope)
            if found is not None:
                return found
        return None

    return run


@function("lookup", "string|number|boolean|null", "object", "any?", group="choice")
def _lookup(key: Any, table: dict[str, Any], otherwise: Any = None) -> Any:
    """What a table holds under a key, else the third argument, or null.

    lookup('paid', `{"paid": "complete"}`) -> "complete"
    lookup('odd', `{"paid": "complete"}`, 'other') -> "other"
    """
    return otherwise if key is None else table.get(types.string(key), otherwise)


# --- times ----------------------------------------------------------------------------------------------------------


@function("datetime", "string|number", "string?", group="time", passes_null=True)
def _datetime(value: Any, timezone: str | None = None) -> str:
    """A time as RFC 3339 in UTC, from ISO 8601, RFC 5322, Unix seconds or milliseconds. One without an offset is in the
    time zone named, else in UTC.

    datetime('2026-01-02 04:04:05', 'Europe/Berlin') -> "2026-01-02T03:04:05Z"
    datetime(`1767323045`) -> "2026-01-02T03:04:05Z"
    """
    return types.utc_datetime(value, timezone)


@function("date", "string|number", group="time", passes_null=True)
def _date(value: Any) -> str:
    """The day of a date or time, as it is written there.

    date('2026-01-02T03:04:05Z') -> "2026-01-02"
    """
    return types.date(value)


@function("unix", "string|number", "string?", group="time", passes_null=True)
def _unix(value: Any, timezone: str | None = None) -> int:
    """A time in whole seconds since 1970-01-01 UTC.

    unix('2026-01-02T03:04:05Z') -> 1767323045
    """
    return math.floor(types.moment(value, timezone).timestamp())


# --- phones, hashes, URLs -------------------------------------------------------------------------------------------


@function("phone", "string|number|null", "string|null?", group="phone")
def _phone(value: Any, country: str | None = None) -> str | None:
    """A phone number in E.164. One in national form needs its country.

    phone('020 7946 0018', 'GB') -> "+442079460018"
    """
    return None if value is None else types.phone(value, types.country(country) if country else None)


@function("sha256", "string", group="hash", passes_null=True)
def _sha256(text: str) -> str:
    """The SHA-256 of a text in UTF-8, in hexadecimal.

    sha256('a') -> "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    """
    return hashlib.sha256(text.encode()).hexdigest()


@function("md5", "string", group="hash", passes_null=True)
def _md5(text: str) -> str:
    """The MD5 of a text in UTF-8, in hexadecimal: for vendors who identify by it, not for secrets.

    md5('a') -> "0cc175b9c0f1b6a831c399e269772661"
    """
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


@function("url", "string", "string|number*", group="url", passes_null=True, grows=True)
def _url(base: str, part: Any, *more: Any) -> str:
    """A URL and path segments behind it, each percent-encoded. A base without a scheme gets https.

    url('shop.example.com', 'products', 'red shoe') -> "https://shop.example.com/products/red%20shoe"
    """
    root = base if "://" in base else f"https://{base}"
    segments = [quote(types.string(part), safe="") for part in (part, *more)]
    return bounded_text("/".join([root.rstrip("/"), *segments]))
