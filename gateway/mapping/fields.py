"""Closures: what a compiled mapping is made of.

A field is a closure from the scope (the document's names, inside `each` also `item` and `parent`) to its value, None
where there is nothing to send, `NULL` where a null is to be sent.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gateway.errors import MappingError
from gateway.mapping import types
from gateway.mapping.blocks import Block, plain
from gateway.mapping.expressions import Meter
from gateway.mapping.table import bounded
from gateway.mapping.types import EvaluationError, Unfit

Scope = dict[str, Any]
Field = Callable[[Scope], Any]
Convert = Callable[[Any, Scope], Any]

NULL: Any = object()
"""What a field gives where a null is to be sent."""
_UNSET: Any = object()  # an option that is not there, where null would be one


# --- scopes ----------------------------------------------------------------------------------------------------------


def one_scope(document: Scope) -> Iterable[Scope]:
    """The document as it is, for a mapping without `root`."""
    return (document,)


def each_root(root: Field, meter: Meter, width: int) -> Callable[[Scope], Iterable[Scope]]:
    """One scope per element of a list, the element as `item` and the document as `parent`. Null makes none, anything
    else one. `width` is how many fields each is used for.
    """

    def scopes(document: Scope) -> Iterable[Scope]:
        found = root(document)
        elements = found if type(found) is list else [found]
        meter.spend_values(len(elements) * width)
        return _inner_scopes(document, elements)

    return scopes


def _inner_scopes(scope: Scope, elements: Iterable[Any]) -> Iterator[Scope]:
    parent = scope.get("item", scope)
    return ({**scope, "item": one, "parent": parent} for one in elements if one is not None)


# --- objects and lists -----------------------------------------------------------------------------------------------


def object_of(name: str, members: list[tuple[str, str, Field]]) -> Field:
    """An object of fields: key, path and closure of each. The one loop that runs for every field of every event."""

    def build(scope: Scope) -> dict[str, Any]:
        made = {}
        path = ""
        try:
            for key, path, field in members:  # noqa: B007  the path is for the fault, where one breaks the loop
                value = field(scope)
                if value is not None:
                    made[key] = value if value is not NULL else None
        except EvaluationError as error:
            raise MappingError(name, path, str(error)) from None
        return made

    return build


def unless_empty(build: Field) -> Field:
    """An object of which nothing is there is not there itself."""
    return lambda scope: build(scope) or None


def nested(source: Field, build: Field) -> Field:
    """An object made from another one, which its fields see as `item`."""

    def run(scope: Scope) -> Any:
        found = source(scope)
        if found is None:
            return None
        if type(found) is not dict:
            raise Unfit("object", found)
        return build({**scope, "item": found, "parent": scope.get("item", scope)}) or None

    return run


def listed(source: Field, element: Field, meter: Meter, width: int) -> Field:
    """A list with one element for each of another list that is not null and comes to something."""

    def run(scope: Scope) -> Any:
        found = source(scope)
        if found is None:
            return None
        if type(found) is not list:
            raise Unfit("list", found)
        meter.spend_values(len(found) * width)
        return [made for inner in _inner_scopes(scope, found) if (made := element(inner)) is not None]

    return run


def whole(source: Field, meter: Meter) -> Field:
    """A value that is passed on as it is: where it is a container, its size is counted."""
    spend = meter.spend_values

    def run(scope: Scope) -> Any:
        value = source(scope)
        if type(value) is dict or type(value) is list:
            spend(bounded(value))
        return value

    return run


def labelled(name: str, path: str, field: Field) -> Field:
    """A field outside of an object, so that its faults have a path."""

    def run(scope: Scope) -> Any:
        try:
            return field(scope)
        except EvaluationError as error:
            raise MappingError(name, path, str(error)) from None

    return run


# --- values ----------------------------------------------------------------------------------------------------------


def nothing(_scope: Scope) -> None:
    """A field that is not there."""


def always(constant: Any) -> Field:
    return lambda _: constant


def refused(name: str, path: str) -> Field:
    """A field that must be there."""

    def run(_scope: Scope) -> Any:
        raise MappingError(name, path, "required, and there is no value")

    return run


def null_or(held: Field, missing: Field) -> Field:
    """A null where the document holds one, else what stands in for something missing."""
    return lambda scope: NULL if held(scope) else missing(scope)


def left_out(count: Callable[[], None]) -> Field:
    """What becomes of a value that does not fit under `unfit: omit`."""
    return lambda _: count()


def kept(source: Field, count: Callable[[], None]) -> Field:
    """What becomes of it under `unfit: keep`: it stays as it is, unless the expression itself failed."""

    def run(scope: Scope) -> Any:
        count()
        try:
            return source(scope)
        except EvaluationError:
            return None

    return run


def settled(source: Field, convert: Convert | None, absent: Field, missing: Field, unfit: Field | None) -> Field:
    """A source, its conversion, and what stands in: `absent` where the source gave nothing, `unfit` for what did not
    fit (None: it is a fault), `missing` where nothing is left.
    """
    if convert is None and unfit is None:
        return source if absent is nothing else _standing_in(source, absent)

    def run(scope: Scope) -> Any:
        try:
            value = source(scope)
            if value is None:
                return absent(scope)
            if convert is not None:
                value = convert(value, scope)
        except EvaluationError:
            if unfit is None:
                raise
            value = unfit(scope)
        return value if value is not None else missing(scope)

    return run


def _standing_in(source: Field, absent: Field) -> Field:
    def run(scope: Scope) -> Any:
        value = source(scope)
        return value if value is not None else absent(scope)

    return run


# --- conversions -----------------------------------------------------------------------------------------------------


def unplaced(convert: Callable[[Any], Any]) -> Convert:
    """A conversion that needs nothing but the value."""
    return lambda value, _: convert(value)


def placed(convert: Callable[[Any, str | None], Any], own: Field | None, setting: str, check: Field) -> Convert:
    """A conversion that needs to know where: from an expression of its own, else from the source's setting."""

    def run(value: Any, scope: Scope) -> Any:
        place = own(scope) if own else None
        if place is None or place == "":
            source = scope.get("source")
            place = source.get(setting) if type(source) is dict else None
        return convert(value, None if place is None else check(place))

    return run


def in_turn(steps: list[Convert]) -> Convert | None:
    """No conversion, one, or two one after the other."""
    if len(steps) <= 1:
        return steps[0] if steps else None
    first, second = steps

    def run(value: Any, scope: Scope) -> Any:
        found = first(value, scope)
        return None if found is None else second(found, scope)

    return run


def looked_up(block: Block) -> Convert:
    """A look-up in `values` by the value's text: `true`, `1` and `1.0` find the keys `true` and `1`."""
    known = {_key(key): plain(value) for key, value in block["values"].items()}
    otherwise = plain(block["else"]) if "else" in block else _UNSET

    def run(value: Any, _scope: Scope) -> Any:
        found = known.get(value if type(value) is str else types.string(value), otherwise)
        if found is _UNSET:
            raise Unfit("one of `values`", value)
        return found

    return run


def _key(key: Any) -> str:
    """A table's key as text: YAML reads `true:` and `1.0:` as more than text."""
    return str(key) if isinstance(key, str) else types.string(types.number(key) if isinstance(key, float) else key)
