"""The functions of expressions: JMESPath's own and the gateway's, each one entry of one table.

Parameters are checked before a function runs, so its body is only about what it does. A docstring is a sentence, then
examples as `call -> JSON`; the page for users is made of them, and tests hold both to the truth.

Functions of the gateway give null for a null (`lower(null)` is null: a missing field stays missing), where their
sentence does not say otherwise. JMESPath's own refuse a null, as its specification says.
"""

import hashlib
import inspect
import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, DecimalException
from typing import Any, NamedTuple
from urllib.parse import quote

from gateway import document
from gateway.mapping import types
from gateway.mapping.types import ARITHMETIC, DIGITS_MAX, EvaluationError, Unfit, kind

TEXT_MAX = 1 << 18
"""Characters of a text that a function makes out of others. A vendor's record is a quarter of it."""
TEXTS_MAX = 1 << 24
"""Characters of all texts in one result."""
VALUES_MAX = 100_000
"""Values in one result, nested ones included; also elements of a list that a function makes."""
_BITS_MAX = 1340  # of an integer with DIGITS_MAX digits

Number = int | Decimal
Reference = Callable[[Any], Any]
"""A `&expression` as a function receives it."""


class Parameter(NamedTuple):
    """What one argument may be. `elements`: what a list's elements must all be, one of these."""

    name: str
    text: str
    kinds: frozenset[type]
    elements: tuple[frozenset[type], ...]
    reference: bool
    optional: bool

    def check(self, function: str, value: Any) -> None:
        if type(value) not in self.kinds:
            raise EvaluationError(f"{function}(): {self.name} must be {self.text}, not {kind(value)}")
        if self.elements and type(value) is list:
            self._check_elements(function, value)

    def _check_elements(self, function: str, value: list[Any]) -> None:
        found = {type(element) for element in value}
        if not any(found <= allowed for allowed in self.elements):
            kinds = ", ".join(sorted({kind(element) for element in value}))
            raise EvaluationError(f"{function}(): {self.name} must be {self.text}, not an array of {kinds}")


@dataclass(frozen=True, slots=True)
class Function:
    """One function: its parameters, and the Python that does it."""

    name: str
    group: str
    call: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    variadic: bool
    passes_null: bool
    lazy: bool
    grows: bool
    doc: str

    def accepts(self, count: int) -> bool:
        """Whether it may be called with this many arguments."""
        needed = sum(not parameter.optional for parameter in self.parameters)
        return needed <= count and (self.variadic or count <= len(self.parameters))

    def parameter(self, place: int) -> Parameter:
        """The parameter that the argument at this place is for; the last one repeats in a variadic function."""
        return self.parameters[min(place, len(self.parameters) - 1)]

    @property
    def signature(self) -> str:
        """The function as it is written: `round(value, digits?)`."""
        names = [parameter.name + "?" * parameter.optional for parameter in self.parameters]
        return f"{self.name}({', '.join(names)}{', ...' if self.variadic else ''})"

    @property
    def summary(self) -> str:
        """Its docstring's sentences, without the examples."""
        lines = [line.strip() for line in self.doc.splitlines()]
        return " ".join(line for line in lines if line and " -> " not in line)

    @property
    def examples(self) -> tuple[tuple[str, str], ...]:
        """Its docstring's examples: expression and JSON."""
        found = (line.strip().partition(" -> ") for line in self.doc.splitlines() if " -> " in line)
        return tuple((expression, result) for expression, _, result in found)


_KINDS: dict[str, frozenset[type]] = {
    "string": frozenset({str}),
    "number": frozenset({int, Decimal, float}),
    "boolean": frozenset({bool}),
    "array": frozenset({list}),
    "object": frozenset({dict}),
    "null": frozenset({type(None)}),
}

_ANY = frozenset().union(*_KINDS.values())

FUNCTIONS: dict[str, Function] = {}
"""Every function, by the name it has in an expression."""

_Body = Callable[..., Any]


def _parameter(name: str, spec: str) -> Parameter:
    """A parameter from its spec: `string`, `number|string`, `array[number]|array[string]`, `any`, `&`, and `?`."""
    optional = spec.endswith("?")
    spec = spec.rstrip("?*")
    if spec in {"any", "&"}:
        return Parameter(name, "an &expression" if spec == "&" else "anything", _ANY, (), spec == "&", optional)
    kinds: set[type] = set()
    elements: list[frozenset[type]] = []
    for part in spec.split("|"):
        outer, _, inner = part.partition("[")
        kinds |= _KINDS[outer]
        if inner:
            elements.append(_KINDS[inner.rstrip("]")])
    return Parameter(name, spec.replace("|", " or "), frozenset(kinds), tuple(elements), False, optional)


def _function(
    name: str, *specs: str, group: str = "JMESPath", passes_null: bool = False, lazy: bool = False, grows: bool = False
) -> Callable[[_Body], _Body]:
    """Enter a function into the table. A last spec that ends in `*` repeats; one that `grows` makes texts longer than
    those it is given, so they are counted.
    """

    def enter(body: _Body) -> _Body:
        taken = inspect.signature(body).parameters.values()
        names = [parameter.name for parameter in taken if parameter.kind is not inspect.Parameter.VAR_POSITIONAL]
        parameters = tuple(_parameter(name, spec) for name, spec in zip(names, specs, strict=True))
        variadic = bool(specs) and specs[-1].endswith("*")
        doc = inspect.getdoc(body) or ""
        FUNCTIONS[name] = Function(name, group, body, parameters, variadic, passes_null, lazy, grows, doc)
        return body

    return enter


def _bounded_text(text: str) -> str:
    if len(text) > TEXT_MAX:
        raise EvaluationError(f"a text of more than {TEXT_MAX} characters", "too-large")
    return text


def _room_for(characters: int) -> None:
    if characters > TEXT_MAX:
        raise EvaluationError(f"a text of more than {TEXT_MAX} characters", "too-large")


def _exact(value: Any) -> Number:
    """A number that arithmetic may be done on."""
    found: Number = Decimal(repr(value)) if isinstance(value, float) else value
    large = found.bit_length() > _BITS_MAX if isinstance(found, int) else abs(found.adjusted()) > DIGITS_MAX
    if large:
        raise EvaluationError(f"a number of more than {DIGITS_MAX} digits", "too-large")
    return found


def _sum(values: Sequence[Any]) -> Number:
    total: Number = 0
    for value in values:
        total = _add_two(total, _exact(value))
    return total


def _add_two(left: Number, right: Number) -> Number:
    if isinstance(left, int) and isinstance(right, int):
        return _exact(left + right)
    return _decimal(ARITHMETIC.add, left, right)


# --- JMESPath's own --------------------------------------------------------------------------------------------------


@_function("abs", "number")
def _abs(value: Number) -> Number:
    """The number without its sign.

    abs(`-5`) -> 5
    """
    return -value if value < 0 else value


@_function("avg", "array[number]")
def _avg(numbers: list[Number]) -> Number | None:
    """The mean of numbers, null of none.

    avg(`[1, 2]`) -> 1.5
    """
    return _decimal(ARITHMETIC.divide, _sum(numbers), len(numbers)) if numbers else None


@_function("ceil", "number")
def _ceil(value: Number) -> int:
    """The next whole number, upwards.

    ceil(`1.1`) -> 2
    """
    return math.ceil(_exact(value))


@_function("contains", "array|string", "any")
def _contains(subject: Any, search: Any) -> bool:
    """Whether a list has an element, or a text a part.

    contains(`["a", "b"]`, 'b') -> true
    contains('abc', 'bc') -> true
    """
    if isinstance(subject, str):
        return isinstance(search, str) and search in subject
    return search in subject


@_function("ends_with", "string", "string")
def _ends_with(text: str, suffix: str) -> bool:
    """Whether a text ends so.

    ends_with('photo.jpg', '.jpg') -> true
    """
    return text.endswith(suffix)


@_function("floor", "number")
def _floor(value: Number) -> int:
    """The next whole number, downwards.

    floor(`1.9`) -> 1
    """
    return math.floor(_exact(value))


@_function("join", "string", "array[string]", grows=True)
def _join(glue: str, texts: list[str]) -> str:
    """Texts as one, with glue between them.

    join(', ', `["a", "b"]`) -> "a, b"
    """
    _room_for(sum(map(len, texts)) + len(glue) * len(texts))
    return glue.join(texts)


@_function("keys", "object")
def _keys(value: dict[str, Any]) -> list[str]:
    """An object's keys.

    keys(`{"a": 1}`) -> ["a"]
    """
    return list(value)


@_function("length", "string|array|object")
def _length(value: Any) -> int:
    """Characters of a text, elements of a list, keys of an object.

    length('abc') -> 3
    """
    return len(value)


@_function("map", "&", "array")
def _map(expression: Reference, elements: list[Any]) -> list[Any]:
    """An expression's result for each element, nulls included.

    map(&a, `[{"a": 1}, {}]`) -> [1, null]
    """
    return [expression(element) for element in elements]


@_function("max", "array[number]|array[string]")
def _max(values: list[Any]) -> Any:
    """The greatest number or text, null of none.

    max(`[1, 3, 2]`) -> 3
    """
    return max(values) if values else None


@_function("max_by", "array", "&")
def _max_by(elements: list[Any], expression: Reference) -> Any:
    """The element for which an expression is greatest.

    max_by(`[{"a": 1}, {"a": 2}]`, &a) -> {"a": 2}
    """
    return max(_keyed("max_by", elements, expression), key=lambda pair: pair[0])[1] if elements else None


@_function("merge", "object*")
def _merge(value: dict[str, Any], *more: dict[str, Any]) -> dict[str, Any]:
    """Objects as one; later keys win.

    merge(`{"a": 1}`, `{"b": 2}`) -> {"a": 1, "b": 2}
    """
    merged = dict(value)
    for other in more:
        merged.update(other)
    return merged


@_function("min", "array[number]|array[string]")
def _min(values: list[Any]) -> Any:
    """The least number or text, null of none.

    min(`[3, 1, 2]`) -> 1
    """
    return min(values) if values else None


@_function("min_by", "array", "&")
def _min_by(elements: list[Any], expression: Reference) -> Any:
    """The element for which an expression is least.

    min_by(`[{"a": 1}, {"a": 2}]`, &a) -> {"a": 1}
    """
    return min(_keyed("min_by", elements, expression), key=lambda pair: pair[0])[1] if elements else None


@_function("not_null", "any*")
def _not_null(value: Any, *more: Any) -> Any:
    """The first value that is not null.

    not_null(`null`, 'b') -> "b"
    """
    return next((found for found in (value, *more) if found is not None), None)


@_function("reverse", "array|string")
def _reverse(value: Any) -> Any:
    """A list or a text, backwards.

    reverse(`[1, 2]`) -> [2, 1]
    """
    return value[::-1]


@_function("sort", "array[string]|array[number]")
def _sort(values: list[Any]) -> list[Any]:
    """Numbers or texts in order.

    sort(`[3, 1, 2]`) -> [1, 2, 3]
    """
    return sorted(values)


@_function("sort_by", "array", "&")
def _sort_by(elements: list[Any], expression: Reference) -> list[Any]:
    """Elements in the order of an expression's result.

    sort_by(`[{"a": 2}, {"a": 1}]`, &a)[0].a -> 1
    """
    return [element for _, element in sorted(_keyed("sort_by", elements, expression), key=lambda pair: pair[0])]


def _keyed(function: str, elements: list[Any], expression: Reference) -> list[tuple[Any, Any]]:
    """Each element with its key. Keys are numbers, or texts: all of one kind."""
    pairs = [(expression(element), element) for element in elements]
    found = {type(key) for key, _ in pairs}
    if found <= _KINDS["number"] or found <= _KINDS["string"]:
        return pairs
    kinds = ", ".join(sorted({kind(key) for key, _ in pairs}))
    raise EvaluationError(f"{function}(): the expression must give numbers or strings, not {kinds}")


@_function("starts_with", "string", "string")
def _starts_with(text: str, prefix: str) -> bool:
    """Whether a text begins so.

    starts_with('SKU-1', 'SKU') -> true
    """
    return text.startswith(prefix)


@_function("sum", "array[number]")
def _sum_of(numbers: list[Number]) -> Number:
    """The sum of numbers, exact.

    sum(`[0.1, 0.2]`) -> 0.3
    """
    return _sum(numbers)


@_function("to_array", "any")
def _to_array(value: Any) -> list[Any]:
    """The value as a list: a list as it is, anything else as its only element.

    to_array('a') -> ["a"]
    """
    return value if isinstance(value, list) else [value]


@_function("to_number", "any")
def _to_number(value: Any) -> Number | None:
    """A number, also from a text of one; null of anything else.

    to_number('1.50') -> 1.50
    to_number('abc') -> null
    """
    try:
        return types.number(value)
    except Unfit:
        return None


@_function("to_string", "any", grows=True)
def _to_string(value: Any) -> str:
    """A text as it is, anything else as JSON.

    to_string(`[1, 2]`) -> "[1,2]"
    """
    if isinstance(value, str):
        return value
    bounded(value)
    try:
        return _bounded_text(document.dump(value).decode())
    except (ValueError, OverflowError, RecursionError):
        raise EvaluationError("to_string(): value cannot be written as JSON", "too-large") from None


@_function("type", "any")
def _type(value: Any) -> str:
    """The JSON type: string number boolean array object null.

    type(`[]`) -> "array"
    """
    return kind(value)


@_function("values", "object")
def _values(value: dict[str, Any]) -> list[Any]:
    """An object's values.

    values(`{"a": 1}`) -> [1]
    """
    return list(value.values())


# --- texts -----------------------------------------------------------------------------------------------------------


@_function("lower", "string", group="text", passes_null=True)
def _lower(text: str) -> str:
    """A text in lower case.

    lower('Ada') -> "ada"
    """
    return text.lower()


@_function("upper", "string", group="text", passes_null=True)
def _upper(text: str) -> str:
    """A text in upper case.

    upper('eur') -> "EUR"
    """
    return text.upper()


@_function("trim", "string", group="text", passes_null=True)
def _trim(text: str) -> str:
    """A text without the white space around it.

    trim('  Ada ') -> "Ada"
    """
    return text.strip()


@_function("concat", "string|number|null*", group="text", grows=True)
def _concat(part: str | Number | None, *more: str | Number | None) -> str | None:
    """Texts and numbers one after the other. Nulls are left out; null when all are.

    concat('Ada', ' ', 'Byron') -> "Ada Byron"
    concat('order-', `12`) -> "order-12"
    concat('Ada', `null`) -> "Ada"
    """
    texts = [types.string(part) for part in (part, *more) if part is not None]
    _room_for(sum(map(len, texts)))
    return "".join(texts) if texts else None


@_function("split", "string", "string", group="text", passes_null=True)
def _split(text: str, separator: str) -> list[str]:
    """The parts of a text between separators, without the white space around them; empty parts are left out.

    split('new, sale,,vip', ',') -> ["new", "sale", "vip"]
    """
    if not separator:
        raise EvaluationError("split(): separator must not be empty", "invalid-value")
    parts = text.split(separator, VALUES_MAX)
    if len(parts) > VALUES_MAX:
        raise EvaluationError(f"a list of more than {VALUES_MAX} elements", "too-large")
    return [part.strip() for part in parts if part.strip()]


@_function("replace", "string", "string", "string", group="text", passes_null=True, grows=True)
def _replace(text: str, old: str, new: str) -> str:
    """A text with every `old` replaced by `new`.

    replace('a-b-c', '-', ' ') -> "a b c"
    """
    if not old:
        raise EvaluationError("replace(): old must not be empty", "invalid-value")
    if len(new) > len(old):
        _room_for(len(text) + text.count(old) * (len(new) - len(old)))
    return text.replace(old, new)


_APART = re.compile(r"[^a-z0-9]+")


@_function("slug", "string", group="text", passes_null=True)
def _slug(text: str) -> str:
    """A text as it may stand in a URL: lower case, no accents, hyphens between words.

    slug('Crème Brûlée, 2 pcs') -> "creme-brulee-2-pcs"
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return _APART.sub("-", plain).strip("-")


# --- lists and objects -----------------------------------------------------------------------------------------------


@_function("from_items", "array", group="objects", passes_null=True)
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


@_function("compact", "object|array", group="objects", passes_null=True)
def _compact(value: Any) -> Any:
    """An object or a list without its nulls; null when nothing is left.

    compact(`{"a": 1, "b": null}`) -> {"a": 1}
    compact(`[null]`) -> null
    """
    if type(value) is dict:
        return {key: element for key, element in value.items() if element is not None} or None
    return [element for element in value if element is not None] or None


# --- numbers ---------------------------------------------------------------------------------------------------------


def _operand(value: Any) -> Number:
    """A number, or a text of one: shops write money as text."""
    found = types.number(value)
    return _exact(found) if type(found) is int else found


def _decimal(compute: Callable[[Any, Any], Decimal], left: Number, right: Number) -> Decimal:
    try:
        return compute(left, right)
    except DecimalException as error:
        raise EvaluationError(f"arithmetic: {type(error).__name__}", "invalid-value") from None


@_function("add", "number|string*", group="numbers", passes_null=True)
def _add(number: Any, *more: Any) -> Number:
    """The sum of numbers, or texts of numbers, exact in decimal.

    add(`0.1`, `0.2`) -> 0.3
    add('19.90', '5.00') -> 24.90
    """
    return _sum([_operand(each) for each in (number, *more)])


@_function("sub", "number|string", "number|string", group="numbers", passes_null=True)
def _sub(left: Any, right: Any) -> Number:
    """The left number less the right one.

    sub(`10`, '2.50') -> 7.50
    """
    return _sum([_operand(left), -_operand(right)])


@_function("mul", "number|string*", group="numbers", passes_null=True)
def _mul(number: Any, *more: Any) -> Number:
    """The product of numbers.

    mul('2.50', `3`) -> 7.50
    """
    product: Number = _operand(number)
    for factor in map(_operand, more):
        product = _product(product, factor)
    return product


def _product(left: Number, right: Number) -> Number:
    if isinstance(left, int) and isinstance(right, int):
        return _exact(left * right)
    return _decimal(ARITHMETIC.multiply, left, right)


@_function("div", "number|string", "number|string", group="numbers", passes_null=True)
def _div(left: Any, right: Any) -> Number:
    """The left number divided by the right one, to 50 digits. Division by zero is a fault.

    div(`1990`, `100`) -> 19.9
    """
    return _decimal(ARITHMETIC.divide, _operand(left), _operand(right))


@_function("round", "number|string", "number?", group="numbers", passes_null=True)
def _round(value: Any, digits: Number = 0) -> Number:
    """A number with at most so many decimals (none unless told), halves away from zero.

    round(`2.345`, `2`) -> 2.35
    round('2.5') -> 3
    """
    places = int(_exact(digits))
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


@_function("minor", "number|string|null", "string|null", "object?", group="numbers")
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
    return _decimal(ARITHMETIC.scaleb, Decimal(_operand(amount)), -places) if places else _operand(amount)


# --- choice ----------------------------------------------------------------------------------------------------------


def truthy(value: Any) -> bool:
    """JMESPath's truth: false are null, false, and empty texts, lists and objects. Zero is true."""
    if value:
        return True
    return type(value) is int or type(value) is Decimal or type(value) is float


@_function("if", "any", "any", "any?", group="choice", lazy=True)
def _if(condition: Reference, then: Reference, otherwise: Reference = lambda _: None) -> Reference:
    """The second argument when the first is true (JMESPath's truth: not null, false or empty), else the third, or null.
    Only the chosen one is evaluated.

    if(`true`, 'yes', 'no') -> "yes"
    if('', 'yes') -> null
    """
    return lambda value: then(value) if truthy(condition(value)) else otherwise(value)


@_function("coalesce", "any*", group="choice", lazy=True)
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


@_function("lookup", "string|number|boolean|null", "object", "any?", group="choice")
def _lookup(key: Any, table: dict[str, Any], otherwise: Any = None) -> Any:
    """What a table holds under a key, else the third argument, or null.

    lookup('paid', `{"paid": "complete"}`) -> "complete"
    lookup('odd', `{"paid": "complete"}`, 'other') -> "other"
    """
    return otherwise if key is None else table.get(types.string(key), otherwise)


# --- times -----------------------------------------------------------------------------------------------------------


@_function("datetime", "string|number", "string?", group="time", passes_null=True)
def _datetime(value: Any, timezone: str | None = None) -> str:
    """A time as RFC 3339 in UTC, from ISO 8601, RFC 5322, Unix seconds or milliseconds. One without an offset is in the
    time zone named, else in UTC.

    datetime('2026-01-02 04:04:05', 'Europe/Berlin') -> "2026-01-02T03:04:05Z"
    datetime(`1767323045`) -> "2026-01-02T03:04:05Z"
    """
    return types.utc_datetime(value, timezone)


@_function("date", "string|number", group="time", passes_null=True)
def _date(value: Any) -> str:
    """The day of a date or time, as it is written there.

    date('2026-01-02T03:04:05Z') -> "2026-01-02"
    """
    return types.date(value)


@_function("unix", "string|number", "string?", group="time", passes_null=True)
def _unix(value: Any, timezone: str | None = None) -> int:
    """A time in whole seconds since 1970-01-01 UTC.

    unix('2026-01-02T03:04:05Z') -> 1767323045
    """
    return math.floor(types.moment(value, timezone).timestamp())


# --- phones, hashes, URLs --------------------------------------------------------------------------------------------


@_function("phone", "string|number|null", "string|null?", group="phone")
def _phone(value: Any, country: str | None = None) -> str | None:
    """A phone number in E.164. One in national form needs its country.

    phone('020 7946 0018', 'GB') -> "+442079460018"
    """
    return None if value is None else types.phone(value, types.country(country) if country else None)


@_function("sha256", "string", group="hash", passes_null=True)
def _sha256(text: str) -> str:
    """The SHA-256 of a text in UTF-8, in hexadecimal.

    sha256('a') -> "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    """
    return hashlib.sha256(text.encode()).hexdigest()


@_function("md5", "string", group="hash", passes_null=True)
def _md5(text: str) -> str:
    """The MD5 of a text in UTF-8, in hexadecimal: for vendors who identify by it, not for secrets.

    md5('a') -> "0cc175b9c0f1b6a831c399e269772661"
    """
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


@_function("url", "string", "string|number*", group="url", passes_null=True, grows=True)
def _url(base: str, part: Any, *more: Any) -> str:
    """A URL and path segments behind it, each percent-encoded. A base without a scheme gets https.

    url('shop.example.com', 'products', 'red shoe') -> "https://shop.example.com/products/red%20shoe"
    """
    root = base if "://" in base else f"https://{base}"
    segments = [quote(types.string(part), safe="") for part in (part, *more)]
    return _bounded_text("/".join([root.rstrip("/"), *segments]))


# --- what an expression made -----------------------------------------------------------------------------------------


def bounded(value: Any) -> int:
    """How many values a document holds. Raises where they are more than VALUES_MAX, their texts longer than TEXTS_MAX
    together, or nested deeper than a document may be. What is shared counts as often as it would be written.
    """
    values = characters = 0
    level = [value]
    for _ in range(document.MAX_DEPTH + 1):
        below: list[Any] = []
        for node in level:
            if type(node) is dict or type(node) is list:
                values += len(node)
                if values > VALUES_MAX:
                    raise EvaluationError(f"a result of more than {VALUES_MAX} values", "too-large")
                below.extend(node.values() if type(node) is dict else node)
            elif type(node) is str:
                characters += len(node)
        if characters > TEXTS_MAX:
            raise EvaluationError(f"a result of more than {TEXTS_MAX} characters", "too-large")
        if not below:
            return values
        level = below
    raise EvaluationError(f"a result nested deeper than {document.MAX_DEPTH}", "too-large")
