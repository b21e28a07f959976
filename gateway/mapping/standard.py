"""JMESPath's own functions, as its specification has them: they refuse a null where a value is expected."""

import math
from typing import Any

from gateway import document
from gateway.mapping import types
from gateway.mapping.table import (
    KINDS,
    Number,
    Reference,
    bounded,
    bounded_text,
    decimal,
    exact,
    function,
    room_for,
    total,
)
from gateway.mapping.types import ARITHMETIC, EvaluationError, Unfit, kind


@function("abs", "number")
def _abs(value: Number) -> Number:
    """The number without its sign.

    abs(`-5`) -> 5
    """
    return -value if value < 0 else value


@function("avg", "array[number]")
def _avg(numbers: list[Number]) -> Number | None:
    """The mean of numbers, null of none.

    avg(`[1, 2]`) -> 1.5
    """
    return decimal(ARITHMETIC.divide, total(numbers), len(numbers)) if numbers else None


@function("ceil", "number")
def _ceil(value: Number) -> int:
    """The next whole number, upwards.

    ceil(`1.1`) -> 2
    """
    return math.ceil(exact(value))


@function("contains", "array|string", "any")
def _contains(subject: Any, search: Any) -> bool:
    """Whether a list has an element, or a text a part.

    contains(`["a", "b"]`, 'b') -> true
    contains('abc', 'bc') -> true
    """
    if isinstance(subject, str):
        return isinstance(search, str) and search in subject
    return search in subject


@function("ends_with", "string", "string")
def _ends_with(text: str, suffix: str) -> bool:
    """Whether a text ends so.

    ends_with('photo.jpg', '.jpg') -> true
    """
    return text.endswith(suffix)


@function("floor", "number")
def _floor(value: Number) -> int:
    """The next whole number, downwards.

    floor(`1.9`) -> 1
    """
    return math.floor(exact(value))


@function("join", "string", "array[string]", grows=True)
def _join(glue: str, texts: list[str]) -> str:
    """Texts as one, with glue between them.

    join(', ', `["a", "b"]`) -> "a, b"
    """
    room_for(sum(map(len, texts)) + len(glue) * len(texts))
    return glue.join(texts)


@function("keys", "object")
def _keys(value: dict[str, Any]) -> list[str]:
    """An object's keys.

    keys(`{"a": 1}`) -> ["a"]
    """
    return list(value)


@function("length", "string|array|object")
def _length(value: Any) -> int:
    """Characters of a text, elements of a list, keys of an object.

    length('abc') -> 3
    """
    return len(value)


@function("map", "&", "array")
def _map(expression: Reference, elements: list[Any]) -> list[Any]:
    """An expression's result for each element, nulls included.

    map(&a, `[{"a": 1}, {}]`) -> [1, null]
    """
    return [expression(element) for element in elements]


@function("max", "array[number]|array[string]")
def _max(values: list[Any]) -> Any:
    """The greatest number or text, null of none.

    max(`[1, 3, 2]`) -> 3
    """
    return max(values) if values else None


@function("max_by", "array", "&")
def _max_by(elements: list[Any], expression: Reference) -> Any:
    """The element for which an expression is greatest.

    max_by(`[{"a": 1}, {"a": 2}]`, &a) -> {"a": 2}
    """
    return max(_keyed("max_by", elements, expression), key=lambda pair: pair[0])[1] if elements else None


@function("merge", "object*")
def _merge(value: dict[str, Any], *more: dict[str, Any]) -> dict[str, Any]:
    """Objects as one; later keys win.

    merge(`{"a": 1}`, `{"b": 2}`) -> {"a": 1, "b": 2}
    """
    merged = dict(value)
    for other in more:
        merged.update(other)
    return merged


@function("min", "array[number]|array[string]")
def _min(values: list[Any]) -> Any:
    """The least number or text, null of none.

    min(`[3, 1, 2]`) -> 1
    """
    return min(values) if values else None


@function("min_by", "array", "&")
def _min_by(elements: list[Any], expression: Reference) -> Any:
    """The element for which an expression is least.

    min_by(`[{"a": 1}, {"a": 2}]`, &a) -> {"a": 1}
    """
    return min(_keyed("min_by", elements, expression), key=lambda pair: pair[0])[1] if elements else None


@function("not_null", "any*")
def _not_null(value: Any, *more: Any) -> Any:
    """The first value that is not null.

    not_null(`null`, 'b') -> "b"
    """
    return next((found for found in (value, *more) if found is not None), None)


@function("reverse", "array|string")
def _reverse(value: Any) -> Any:
    """A list or a text, backwards.

    reverse(`[1, 2]`) -> [2, 1]
    """
    return value[::-1]


@function("sort", "array[string]|array[number]")
def _sort(values: list[Any]) -> list[Any]:
    """Numbers or texts in order.

    sort(`[3, 1, 2]`) -> [1, 2, 3]
    """
    return sorted(values)


@function("sort_by", "array", "&")
def _sort_by(elements: list[Any], expression: Reference) -> list[Any]:
    """Elements in the order of an expression's result.

    sort_by(`[{"a": 2}, {"a": 1}]`, &a)[0].a -> 1
    """
    return [element for _, element in sorted(_keyed("sort_by", elements, expression), key=lambda pair: pair[0])]


def _keyed(function: str, elements: list[Any], expression: Reference) -> list[tuple[Any, Any]]:
    """Each element with its key. Keys are numbers, or texts: all of one kind."""
    pairs = [(expression(element), element) for element in elements]
    found = {type(key) for key, _ in pairs}
    if found <= KINDS["number"] or found <= KINDS["string"]:
        return pairs
    kinds = ", ".join(sorted({kind(key) for key, _ in pairs}))
    raise EvaluationError(f"{function}(): the expression must give numbers or strings, not {kinds}")


@function("starts_with", "string", "string")
def _starts_with(text: str, prefix: str) -> bool:
    """Whether a text begins so.

    starts_with('SKU-1', 'SKU') -> true
    """
    return text.startswith(prefix)


@function("sum", "array[number]")
def _sum_of(numbers: list[Number]) -> Number:
    """The sum of numbers, exact.

    sum(`[0.1, 0.2]`) -> 0.3
    """
    return total(numbers)


@function("to_array", "any")
def _to_array(value: Any) -> list[Any]:
    """The value as a list: a list as it is, anything else as its only element.

    to_array('a') -> ["a"]
    """
    return value if isinstance(value, list) else [value]


@function("to_number", "any")
def _to_number(value: Any) -> Number | None:
    """A number, also from a text of one; null of anything else.

    to_number('1.50') -> 1.50
    to_number('abc') -> null
    """
    try:
        return types.number(value)
    except Unfit:
        return None


@function("to_string", "any", grows=True)
def _to_string(value: Any) -> str:
    """A text as it is, anything else as JSON.

    to_string(`[1, 2]`) -> "[1,2]"
    """
    if isinstance(value, str):
        return value
    bounded(value)
    try:
        return bounded_text(document.dump(value).decode())
    except (ValueError, OverflowError, RecursionError):
        raise EvaluationError("to_string(): value cannot be written as JSON", "too-large") from None


@function("type", "any")
def _type(value: Any) -> str:
    """The JSON type: string number boolean array object null.

    type(`[]`) -> "array"
    """
    return kind(value)


@function("values", "object")
def _values(value: dict[str, Any]) -> list[Any]:
    """An object's values.

    values(`{"a": 1}`) -> [1]
    """
    return list(value.values())
