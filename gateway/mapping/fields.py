"""Closures: what a compiled mapping is made of.

A field is a closure from the scope (the document's names, inside `each` also `item` and `parent`) to its value, None
where there is nothing to send, `NULL` where a null is to be sent.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from gateway.errors import MappingError
from gateway.mapping import types
from gateway.mapping.blocks import Block, plain
from gateway.mapping.expressions import Meter
from gateway.mapping.source import Code, Writer
from gateway.mapping.table import bounded
from gateway.mapping.types import EvaluationError, Unfit

Scope = dict[str, Any]
Field = Callable[[Scope], Any]

NULL: Any = object()
"""What a field gives where a null is to be sent."""
_UNSET: Any = object()  # an option that is not there, where null would be one


class Place(NamedTuple):
    """Where a value is from, for conversions that need to know: by an expression of its own, else by the source's
    setting. `check` makes it fit or raises.
    """

    own: Code | None
    setting: str
    check: Callable[[Any], Any]


class Step(NamedTuple):
    """One conversion of a value that is not null: of the value alone, or of the value and its place. `containers`: it
    lets everything else pass.
    """

    convert: Callable[..., Any]
    place: Place | None = None
    containers: bool = False


def nothing(_scope: Scope) -> None:
    """A field that is not there."""


class Member(NamedTuple):
    """A field on its way into the object around it: where its value comes from, its conversions, and what stands in:
    `absent` where there was nothing, `unfit` for what did not fit (None: it is a fault), `missing` where nothing is
    left. `sends_null`: it may be NULL.
    """

    code: Code
    steps: tuple[Step, ...] = ()
    absent: Field = nothing
    missing: Field = nothing
    unfit: Field | None = None
    sends_null: bool = False


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


def object_of(name: str, members: list[tuple[str, str, Member]]) -> Field:
    """An object of fields, key, path and member of each, as one function that is written out."""
    writer = Writer()
    body = ["made = {}", "path = ''", "try:"]
    for key, path, member in members:
        body.append(f"    path = {path!r}")
        body += [f"    {line}" for line in _lines(member, writer)]
        value = f"value if value is not {writer.constant(NULL)} else None" if member.sends_null else "value"
        body += [f"    if value is not None: made[{key!r}] = {value}"]
    body += ["    pass", *_told(name, writer), "return made"]
    return writer.made(body)


def labelled(name: str, path: str, member: Member) -> Field:
    """A field outside of an object, with a path for its faults."""
    writer = Writer()
    lines = [f"    {line}" for line in _lines(member, writer)]
    return writer.made([f"path = {path!r}", "try:", *lines, *_told(name, writer), "return value"])


def _told(name: str, writer: Writer) -> list[str]:
    raised = f"raise MappingError({writer.constant(name)}, path, str(error)) from None"
    return ["except EvaluationError as error:", f"    {raised}"]


def _lines(member: Member, writer: Writer) -> list[str]:
    """The source of a member, which leaves its value in `value`."""
    lines = [f"value = {member.code(writer)}"]
    missing = [] if member.missing is nothing else [f"if value is None: value = {writer.constant(member.missing)}(s)"]
    if member.steps:
        then = [line for number, step in enumerate(member.steps) for line in _step(step, number, writer)]
        lines += ["if value is not None:", *(f"    {line}" for line in (*then, *missing))]
        if member.absent is not nothing:
            lines += ["else:", f"    value = {writer.constant(member.absent)}(s)"]
    elif member.absent is not nothing:
        lines.append(f"if value is None: value = {writer.constant(member.absent)}(s)")
    if member.unfit is None:
        return lines
    instead = [f"value = {writer.constant(member.unfit)}(s)", *missing]
    return ["try:", *(f"    {line}" for line in lines), "except EvaluationError:", *(f"    {line}" for line in instead)]


_UNCHANGED: dict[Callable[..., Any], type] = {
    types.string: str,
    types.number: int,
    types.integer: int,
    types.boolean: bool,
    types.json_object: dict,
    types.json_list: list,
}
"""Conversions that pass values of one type on as they are."""


def _step(step: Step, number: int, writer: Writer) -> list[str]:
    convert = writer.constant(step.convert)
    if step.containers:
        return [f"if type(value) is dict or type(value) is list: {convert}(value)"]
    if step.convert in _UNCHANGED:
        lines = [f"if type(value) is not {_UNCHANGED[step.convert].__name__}: value = {convert}(value)"]
    elif step.place is not None:
        name, found = _place(step.place, writer)
        lines = [*found, f"value = {convert}(value, {name})"]
    else:
        lines = [f"value = {convert}(value)"]
    return ["if value is not None:", *(f"    {line}" for line in lines)] if number else lines


def _place(place: Place, writer: Writer) -> tuple[str, list[str]]:
    """The variable that holds a place, and the source that finds it. What several fields of an object name alike is
    found once, by the first of them that has a value.
    """
    setting = f"{writer.table(('source',))}.get({place.setting!r})"
    own = place.own(writer) if place.own else ""
    name = writer.known((own, place.setting, place.check.__name__))
    found = [f"place = {own or setting}"]
    if own:
        found.append(f"if place is None or place == '': place = {setting}")
    found.append(f"{name} = {writer.constant(place.check)}(place) if place is not None else None")
    return name, [f"if {name} is UNSET:", *(f"    {line}" for line in found)]


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


def listed(source: Field, element: Callable[[Any], Any], meter: Meter, width: int, *, bare: bool = False) -> Field:
    """A list with one element for each of another list that is not null and comes to something. `bare`: what it becomes
    is told by the element alone, which is handed over without a scope around it.
    """

    def run(scope: Scope) -> Any:
        found = source(scope)
        if found is None:
            return None
        if type(found) is not list:
            raise Unfit("list", found)
        meter.spend_values(len(found) * width)
        inner = found if bare else _inner_scopes(scope, found)
        return [made for one in inner if one is not None and (made := element(one)) is not None]

    return run


def whole(source: Field, meter: Meter) -> Field:
    """A value that is passed on as it is, its size counted where it is a container."""

    def run(scope: Scope) -> Any:
        value = source(scope)
        if type(value) is dict or type(value) is list:
            meter.spend_values(bounded(value))
        return value

    return run


def sized(meter: Meter) -> Step:
    """A value that is passed on as it is: where it is a container, its size is counted."""

    def count(value: Any) -> None:
        meter.spend_values(bounded(value))

    return Step(count, containers=True)


# --- values ----------------------------------------------------------------------------------------------------------


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


# --- conversions -----------------------------------------------------------------------------------------------------


def looked_up(block: Block) -> Step:
    """A look-up in `values` by the value's text: `true`, `1` and `1.0` find the keys `true` and `1`."""
    known = {_key(key): plain(value) for key, value in block["values"].items()}
    otherwise = plain(block["else"]) if "else" in block else _UNSET

    def run(value: Any) -> Any:
        found = known.get(value if type(value) is str else types.string(value), otherwise)
        if found is _UNSET:
            raise Unfit("one of `values`", value)
        return found

    return Step(run)


def _key(key: Any) -> str:
    """A table's key as text: YAML reads `true:` and `1.0:` as more than text."""
    return str(key) if isinstance(key, str) else types.string(types.number(key) if isinstance(key, float) else key)
