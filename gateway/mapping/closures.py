"""Closures: what a compiled expression is made of, one per kind of node, specialised where a node is met in every field
of every event. All are pure: value in, value out.
"""

import operator
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from gateway.mapping.table import Function, Parameter, truthy

Run = Callable[[Any], Any]
"""A compiled expression, or a part of one: value in, value out."""


def itself(value: Any) -> Any:
    return value


def never(_value: Any) -> bool:
    return False


def always(constant: Any) -> Run:
    return lambda _: constant


def chain(names: list[str]) -> Run:
    """`a`, `a.b`, `a.b.c`: most fields of most mappings."""
    makers: dict[int, Callable[..., Run]] = {1: _chain_of_one, 2: _chain_of_two, 3: _chain_of_three}
    maker = makers.get(len(names))
    return maker(*names) if maker else _chain_of_many(names)


def _chain_of_one(name: str) -> Run:
    def run(value: Any) -> Any:
        return value.get(name) if type(value) is dict else None

    return run


def _chain_of_two(first: str, second: str) -> Run:
    def run(value: Any) -> Any:
        if type(value) is dict:
            value = value.get(first)
            if type(value) is dict:
                return value.get(second)
        return None

    return run


def _chain_of_three(first: str, second: str, third: str) -> Run:
    def run(value: Any) -> Any:
        if type(value) is dict:
            value = value.get(first)
            if type(value) is dict:
                value = value.get(second)
                if type(value) is dict:
                    return value.get(third)
        return None

    return run


def _chain_of_many(names: list[str]) -> Run:
    def run(value: Any) -> Any:
        for name in names:
            if type(value) is not dict:
                return None
            value = value.get(name)
        return value

    return run


def element(place: int) -> Run:
    def run(value: Any) -> Any:
        if type(value) is list and -len(value) <= place < len(value):
            return value[place]
        return None

    return run


def part_of(places: slice) -> Run:
    return lambda value: value[places] if type(value) is list else None


def sequence(runs: list[Run]) -> Run:
    if not runs:
        return itself
    if len(runs) == 1:
        return runs[0]
    if len(runs) == 2:  # noqa: PLR2004  the usual case without a loop
        first, second = runs
        return lambda value: second(first(value))

    def run(value: Any) -> Any:
        for step in runs:
            value = step(value)
        return value

    return run


def flattened(base: Run) -> Run:
    def run(value: Any) -> Any:
        found = base(value)
        return merged(found) if type(found) is list else None

    return run


def merged(elements: list[Any]) -> list[Any]:
    """The elements, with those of elements that are lists in their place."""
    made: list[Any] = []
    for one in elements:
        if type(one) is list:
            made.extend(one)
        else:
            made.append(one)
    return made


def values_of(base: Run) -> Run:
    def run(value: Any) -> Any:
        found = base(value)
        return list(found.values()) if type(found) is dict else None

    return run


def projected(base: Run, each: Run) -> Run:
    def run(value: Any) -> Any:
        found = base(value)
        if type(found) is not list:
            return None
        return [result for element in found if (result := each(element)) is not None]

    return run


def filtered(base: Run, each: Run, condition: Run) -> Run:
    def run(value: Any) -> Any:
        found = base(value)
        if type(found) is not list:
            return None
        kept = [element for element in found if truthy(condition(element))]
        return [result for element in kept if (result := each(element)) is not None]

    return run


def listed(runs: list[Run]) -> Run:
    return lambda value: None if value is None else [run(value) for run in runs]


def named(runs: Mapping[str, Run]) -> Run:
    pairs = list(runs.items())
    return lambda value: None if value is None else {name: run(value) for name, run in pairs}


def either(left: Run, right: Run) -> Run:
    def run(value: Any) -> Any:
        found = left(value)
        return found if truthy(found) else right(value)

    return run


def negated(inner: Run) -> Run:
    return lambda value: not truthy(inner(value))


def both(left: Run, right: Run) -> Run:
    def run(value: Any) -> Any:
        found = left(value)
        return right(value) if truthy(found) else found

    return run


# --- comparing -------------------------------------------------------------------------------------------------------

_NUMBERS = frozenset({int, Decimal, float})
_ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}


def equal(left: Any, right: Any) -> bool:
    """JMESPath's equality: Python's, but true is not 1 and false is not 0."""
    return bool(left == right) and (type(left) is bool) == (type(right) is bool)


def compared(comparator: str, left: Run, right: Run) -> Run:
    """A comparison by its name in the syntax tree: eq ne lt lte gt gte."""
    if comparator in _ORDERINGS:
        return _ordered(_ORDERINGS[comparator], left, right)
    wanted = comparator == "eq"
    return lambda value: equal(left(value), right(value)) is wanted


def compared_with_text(comparator: str, left: Run, text: str) -> Run:
    """A comparison with a literal text, `status == 'paid'`: most conditions of most mappings."""
    if comparator in _ORDERINGS:
        return _ordered(_ORDERINGS[comparator], left, always(text))
    return (lambda value: left(value) == text) if comparator == "eq" else (lambda value: left(value) != text)


def _ordered(compare: Callable[[Any, Any], bool], left: Run, right: Run) -> Run:
    def run(value: Any) -> Any:
        one, other = left(value), right(value)
        if type(one) in _NUMBERS:
            return compare(one, other) if type(other) in _NUMBERS else None
        return compare(one, other) if type(one) is str and type(other) is str else None

    return run


# --- calling ---------------------------------------------------------------------------------------------------------


def counted(call: Callable[..., Any], spend: Callable[[int], None]) -> Callable[..., Any]:
    """A call whose texts count against what one evaluation may make."""

    def counting(*values: Any) -> Any:
        result = call(*values)
        if type(result) is str:
            spend(len(result))
        return result

    return counting


def checked(function: Function, count: int) -> Callable[..., Any]:
    """A function of so many values, which are checked as the table says. One and two go without a loop."""
    parameters = [function.parameter(place) for place in range(count)]
    if count == 1:
        return _checked_one(function, parameters[0])
    if count == 2:  # noqa: PLR2004  two arguments
        return _checked_two(function, parameters[0], parameters[1])
    body, name, passes_null = function.call, function.name, function.passes_null

    def run(*values: Any) -> Any:
        if passes_null and any(found is None for found in values):
            return None
        for found, parameter in zip(values, parameters, strict=True):
            parameter.check(name, found)
        return body(*values)

    return run


def _checked_one(function: Function, parameter: Parameter) -> Callable[[Any], Any]:
    body, name, passes_null = function.call, function.name, function.passes_null
    kinds, elements = parameter.kinds, parameter.elements

    def run(found: Any) -> Any:
        if found is None and passes_null:
            return None
        if elements or type(found) not in kinds:
            parameter.check(name, found)
        return body(found)

    return run


def _checked_two(function: Function, one: Parameter, two: Parameter) -> Callable[[Any, Any], Any]:
    body, name, passes_null = function.call, function.name, function.passes_null
    one_kinds, two_kinds, elements = one.kinds, two.kinds, one.elements or two.elements

    def run(left: Any, right: Any) -> Any:
        if passes_null and (left is None or right is None):
            return None
        if elements or type(left) not in one_kinds or type(right) not in two_kinds:
            one.check(name, left)
            two.check(name, right)
        return body(left, right)

    return run


def applied(of_values: Callable[..., Any], runs: list[Run]) -> Run:
    """A function of values as one of what the values are made from."""
    if len(runs) == 1:
        only = runs[0]
        return lambda value: of_values(only(value))
    if len(runs) == 2:  # noqa: PLR2004  two arguments
        first, second = runs
        return lambda value: of_values(first(value), second(value))
    return lambda value: of_values(*[run(value) for run in runs])


def referring(function: Function, runs: list[Run], references: list[bool]) -> Run:
    """A call with `&expressions` among its arguments: they are handed over as they are."""
    places = list(enumerate(zip(runs, references, strict=True)))

    def run(value: Any) -> Any:
        values = [argument if reference else argument(value) for _, (argument, reference) in places]
        for place, (_, reference) in places:
            if not reference:
                function.parameter(place).check(function.name, values[place])
        return function.call(*values)

    return run
