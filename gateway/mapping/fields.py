"""Fields: what a compiled mapping is made of, written out as Python source.

A field leaves its value in the variable `value`: None where there is nothing to send, `NULL` where a null is to be
sent. A comment before its lines is its path, for its faults.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gateway.errors import MappingError
from gateway.mapping import types
from gateway.mapping.blocks import Block, plain
from gateway.mapping.expressions import Meter
from gateway.mapping.source import constant
from gateway.mapping.table import bounded
from gateway.mapping.types import EvaluationError, Unfit
from gateway.mapping.writer import Code, Writer, path_label

Scope = dict[str, Any]
Field = Callable[[Scope], Any]
"""What is made of a scope: the document's names, inside `each` also `item` and `parent`."""

Lines = Callable[[Writer], list[str]]
"""Writes statements that leave what they find in `value`."""

NULL: Any = object()
"""What a field gives where a null is to be sent."""
INLINE_MAX = 4
"""Objects within objects that are written out: each is three blocks, and Python's compiler takes twenty. Below, an
object has a function of its own.
"""
_OTHERS_SEEN = 64  # texts that a table of values does not name
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
    lets everything else pass. `gives_null`: it may make null of a value. `known`: what it makes of texts.
    """

    convert: Callable[..., Any]
    place: Place | None = None
    containers: bool = False
    gives_null: bool = False
    known: Mapping[str, Any] | None = None


nothing: Code = constant(None)
"""What stands in for nothing, where nothing does."""


class Member(NamedTuple):
    """A field on its way into the object around it: what finds its value, its conversions, and what stands in:
    `absent` where there was nothing, `unfit` for what did not fit (None: it is a fault), `missing` where nothing is
    left. `sends_null`: it may be NULL.
    """

    source: Lines
    steps: tuple[Step, ...] = ()
    absent: Code = nothing
    missing: Code = nothing
    unfit: Code | None = None
    sends_null: bool = False


class Members(NamedTuple):
    """An object on its way: the mapping's name, and key, path and member of each field."""

    mapping: str
    fields: list[tuple[str, str, Member]]


# --- scopes ----------------------------------------------------------------------------------------------------------


def one_scope(document: Scope) -> Iterable[Scope]:
    """The document as it is, for a mapping without `root`."""
    return (document,)


def each_root(root: Field, meter: Meter, width: int) -> Callable[[Scope], Iterable[Scope]]:
    """One scope per element of a list, the element as `item` and the document as `parent`. Null makes none, anything
    else one. `width` is how many fields each is used for.
    """

    def scopes(document: Scope) -> Iterator[Scope]:
        found = root(document)
        elements = found if type(found) is list else [found]
        meter.spend_values(len(elements) * width)
        parent = document.get("item", document)
        return ({**document, "item": one, "parent": parent} for one in elements if one is not None)

    return scopes


# --- objects and lists -----------------------------------------------------------------------------------------------


def function_of(members: Members) -> Field:
    """An object of fields as a function of the scope."""
    trial = Writer(trial=True)
    _object(members, "made", trial)
    writer = Writer(trial.often())
    return writer.made([*_object(members, "made", writer), "return made"])


def from_code(code: Code) -> Lines:
    """What an expression finds."""
    return lambda writer: [f"value = {code(writer)}"]


def nested(members: Members) -> Lines:
    """An object of fields. One of which nothing is there is not there itself."""

    def write(writer: Writer) -> list[str]:
        if writer.objects == INLINE_MAX:
            inner = None if writer.trial else function_of(members)
            return [f"value = {writer.constant(inner)}({writer.scope()}) or None"]
        made = writer.temporary("o")
        writer.objects += 1
        lines = _object(members, made, writer)
        writer.objects -= 1
        return [*lines, f"value = {made} or None"]

    return write


def made_from(source: Code, inner: Lines) -> Lines:
    """What is made of another object, which is its `item`."""

    def write(writer: Writer) -> list[str]:
        text, item = source(writer), writer.temporary("i")
        with writer.inside(item, known=True) as frame:
            lines = inner(writer)
        return [
            f"value = {item} = {text}",
            "if value is not None:",
            "    if type(value) is not dict: raise Unfit('object', value)",
            *_indented([*frame.heads, *lines]),
        ]

    return write


def listed(source: Code, element: Lines, meter: Meter, width: int) -> Lines:
    """A list of what each element of another list comes to, unless it is null or comes to nothing. `width` is how many
    fields each is used for.
    """

    def write(writer: Writer) -> list[str]:
        text, item, made = source(writer), writer.temporary("i"), writer.temporary("l")
        with writer.inside(item, known=False) as frame:
            lines = element(writer)
        return [
            f"value = {text}",
            "if value is not None:",
            "    if type(value) is not list: raise Unfit('list', value)",
            f"    {writer.constant(meter.spend_values)}(len(value) * {width})",
            f"    {made} = []",
            f"    for {item} in value:",
            f"        if {item} is None: continue",
            *_indented(_indented([*frame.heads, *lines])),
            f"        if value is not None: {made}.append(value)",
            f"    value = {made}",
        ]

    return write


def labelled(mapping: str, path: str, member: Member) -> Lines:
    """A field outside of an object, with a path for its faults."""
    return lambda writer: _guarded(mapping, _lines(member, path, "pass", writer), writer)


def _object(members: Members, made: str, writer: Writer) -> list[str]:
    """The source of an object, which it leaves in the variable `made`."""
    lines = []
    for key, path, member in members.fields:
        value = f"value if value is not {writer.constant(NULL)} else None" if member.sends_null else "value"
        lines += _lines(member, path, f"{made}[{key!r}] = {value}", writer)
    return [f"{made} = {{}}", *_guarded(members.mapping, lines or ["pass"], writer)]


def _guarded(mapping: str, lines: list[str], writer: Writer) -> list[str]:
    """Lines whose faults are told with their path. What is around them does not take them for its own."""
    faulty = writer.constant(_faulty(mapping, writer.paths))
    return ["try:", *_indented(lines), "except EvaluationError as error:", f"    raise {faulty}(error) from None"]


def _faulty(mapping: str, paths: list[str]) -> Callable[[EvaluationError], MappingError]:
    """What is raised for a fault in one of the lines that have these paths."""

    def fault(error: EvaluationError) -> MappingError:
        line = error.__traceback__.tb_lineno if error.__traceback__ else 1
        return MappingError(mapping, paths[line - 1], str(error))

    return fault


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _lines(member: Member, path: str, keep: str, writer: Writer) -> list[str]:
    """The source of a member, which leaves its value in `value`, and runs `keep` where that is not null."""
    label, kept = path_label(path), f"if value is not None: {keep}"
    lines = [label, *member.source(writer)]
    missing = [] if member.missing is nothing else [f"if value is None: value = {member.missing(writer)}"]
    absent = [] if member.absent is nothing else [label, f"value = {member.absent(writer)}", kept]
    if member.steps:
        lines += ["if value is not None:", *_indented(_converted(member.steps, missing, keep, writer))]
        if absent:
            lines += ["else:", *_indented(absent)]
    elif absent:
        lines += ["if value is None:", *_indented(absent), f"else: {keep}"]
    else:
        lines.append(kept)
    if member.unfit is None:
        return lines
    instead = [f"value = {member.unfit(writer)}", *missing, kept]
    return ["try:", *_indented(lines), "except EvaluationError:", *_indented(instead)]


def _converted(steps: Sequence[Step], missing: list[str], keep: str, writer: Writer) -> list[str]:
    """A value that is not null through its conversions."""
    lines: list[str] = []
    for place, step in enumerate(steps, start=1):
        lines += _step(step, writer)
        if step.gives_null:
            rest = _converted(steps[place:], [], "pass", writer) if steps[place:] else []
            lines += ["if value is not None:", *_indented(rest)] if rest else []
            return [*lines, *missing, f"if value is not None: {keep}"]
    return [*lines, keep]


_UNCHANGED: dict[Callable[..., Any], type] = {
    types.string: str,
    types.number: int,
    types.integer: int,
    types.boolean: bool,
    types.json_object: dict,
    types.json_list: list,
}
"""Conversions that pass values of one type on as they are."""


def _step(step: Step, writer: Writer) -> list[str]:
    convert = writer.constant(step.convert)
    if step.containers:
        return [f"if type(value) in CONTAINERS: {convert}(value)"]
    if step.convert in _UNCHANGED:
        return [f"if type(value) is not {_UNCHANGED[step.convert].__name__}: value = {convert}(value)"]
    if step.place is not None:
        name, found = _place(step.place, writer)
        return [*found, *_PLACED.get(step.convert, _by_place)(convert, name, writer)]
    if step.known is not None:
        return [f"value = {writer.constant(step.known)}[value] if type(value) is str else {convert}(value)"]
    return [f"value = {convert}(value)"]


def _by_place(convert: str, place: str, _writer: Writer) -> list[str]:
    return [f"value = {convert}(value, {place})"]


def _time(convert: str, place: str, writer: Writer) -> list[str]:
    """Times that were seen lately, and know their offset, are found without a call."""
    times = writer.constant(types.TIMES)
    return [f"value = type(value) is str and {times}.get(value) or {convert}(value, {place})"]


def _amount(convert: str, place: str, writer: Writer) -> list[str]:
    """Amounts in texts are found among those seen lately, short numbers (nearly all of a normal event) made to fit."""
    quantize, short = writer.constant(types.QUANTIZE), writer.constant(types.SHORT)
    return [
        "kind = type(value)",
        f"if kind is Decimal and {place} is not None and value.adjusted() in {short} and value.is_finite():",
        f"    value = {quantize}(value, {place}.smallest)",
        f"elif kind is str and {place} is not None: value = {place}[value]",
        f"else: value = {convert}(value, {place})",
    ]


_PLACED: dict[Callable[..., Any], Callable[[str, str, Writer], list[str]]] = {
    types.utc_datetime: _time,
    types.amount: _amount,
}
"""How the usual values of conversions that know a place are written out."""


def _place(place: Place, writer: Writer) -> tuple[str, list[str]]:
    """The variable that holds a place, and the source that finds it. What several fields name alike is found once, by
    the first of them that has a value.
    """
    setting = f"{writer.table(('source',))}.get({place.setting!r})"
    own, name = writer.shared(place.own, place.setting, place.check.__name__)
    found = [f"place = {own or setting}"]
    if own:
        found.append(f"if place is None or place == '': place = {setting}")
    found.append(f"if place is not None: {name} = {writer.constant(place.check)}(place)")
    return name, [f"if {name} is None:", *_indented(found)]


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


# --- what stands in --------------------------------------------------------------------------------------------------


def refused(mapping: str, path: str) -> Code:
    """A field that must be there."""

    def run() -> Any:
        raise MappingError(mapping, path, "required, and there is no value")

    return lambda writer: f"{writer.constant(run)}()"


def null_or(held: Field, missing: Code) -> Code:
    """A null where the document holds one, else what stands in for something missing."""
    return lambda writer: (
        f"({writer.constant(NULL)} if {writer.constant(held)}({writer.scope()}) else {missing(writer)})"
    )


def left_out(count: Callable[[], None]) -> Code:
    """What becomes of a value that does not fit under `unfit: omit`."""
    return lambda writer: f"{writer.constant(count)}()"


def kept(source: Field, count: Callable[[], None]) -> Code:
    """What becomes of it under `unfit: keep`: it stays as it is, unless the expression itself failed."""

    def run(scope: Scope) -> Any:
        count()
        try:
            return source(scope)
        except EvaluationError:
            return None

    return lambda writer: f"{writer.constant(run)}({writer.scope()})"


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

    gives_null = None in known.values() or otherwise is None
    return Step(run, gives_null=gives_null, known=types.Seen(run, _OTHERS_SEEN + len(known)))


def _key(key: Any) -> str:
    """A table's key as text: YAML reads `true:` and `1.0:` as more than text."""
    return str(key) if isinstance(key, str) else types.string(types.number(key) if isinstance(key, float) else key)
