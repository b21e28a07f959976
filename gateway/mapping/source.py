"""Python source: what runs for every field of every event is written out as one function for each mapping, so that a
simple field is a line of Python and not a chain of calls. What is not simple is called as the closure it is.

Nothing of a mapping's text becomes source but as a quoted literal; everything else is handed over as a constant.
"""

from ast import literal_eval
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, NamedTuple

from gateway.mapping import closures
from gateway.mapping.closures import Run, equal, merged
from gateway.mapping.types import EvaluationError, Unfit

Code = Callable[["Writer"], str]
"""Writes an expression: given the writer of the function in which it is to stand, Python for its value. The writer
knows what it is about: a mapping's scope, or an element of a list inside of a projection."""

NEST_MAX = 12
"""Parts within parts that are written out. Python's parser has its limits; below it closures are called."""
_EMPTY: dict[str, Any] = {}
_NUMBERS = frozenset({int, Decimal, float})
_CONTAINERS = frozenset({dict, list})
_UNSET: Any = object()
_INNER = ("item", "parent")
"""Names of a scope that a block has of its own."""


class Condition(str):
    """Source of an expression that gives true or false."""

    __slots__ = ()


class Frame:
    """Where one scope is in force: the whole function, whose argument `s` is the scope, or a block of it, where the
    scope has an `item` of its own, in a variable. `heads` are the lines that the block begins with.
    """

    def __init__(self, item: str = "") -> None:
        self.item = item
        self.heads: list[str] = []
        self.tables: dict[tuple[str, ...], str] = {}
        """The variables for objects of the scope, by their place in it."""
        self.shared: dict[tuple[str, ...], str] = {}
        """The variables for what several places want alike."""


class Writer:
    """One function on its way: its lines, and the constants that it names."""

    def __init__(self) -> None:
        self.constants: dict[str, Any] = {
            "EMPTY": _EMPTY,
            "NUMBERS": _NUMBERS,
            "CONTAINERS": _CONTAINERS,
            "EvaluationError": EvaluationError,
            "Unfit": Unfit,
            "UNSET": _UNSET,
            "Decimal": Decimal,
        }
        self.paths: list[str] = []
        """Of each line of the function that was made: the field that it is about."""
        self.depth = 0
        """Parts of an expression around the one that is written."""
        self.objects = 0
        """Objects of fields around the one that is written."""
        self.subject: str | None = None
        """The variable that holds what an expression is about, inside of a projection; else it is the scope."""
        self.frames = [Frame()]
        self._reach = 0
        self._temporaries = 0

    def constant(self, value: Any) -> str:
        """A name for a value, or the value itself where Python can write it."""
        if value is None or type(value) is bool or (type(value) is str and len(value) < 100):  # noqa: PLR2004  a short one
            return repr(value)
        name = f"k{len(self.constants)}"
        self.constants[name] = value
        return name

    def temporary(self, letter: str = "t") -> str:
        """A variable that nothing else uses."""
        self._temporaries += 1
        return f"{letter}{self._temporaries}"

    # --- the scope

    def found(self, names: tuple[str, ...]) -> str:
        """The value at this place of the scope."""
        if len(names) > 1:
            return f"{self.table(names[:-1])}.get({names[-1]!r})"
        if len(self.frames) == 1 or names[0] not in _INNER:
            return f"s.get({names[0]!r})"
        self._reach = len(self.frames) - 1
        return self.frames[-1].item if names == ("item",) else self._parent()

    def table(self, names: tuple[str, ...]) -> str:
        """A variable that holds the object at this place of the scope, or an empty one where there is none. It is
        looked up once, where the frame begins that it belongs to.
        """
        reach = len(self.frames) - 1 if names[0] in _INNER else 0
        self._reach = max(self._reach, reach)
        known = self.frames[reach].tables
        if names not in known:
            value, name = self.found(names), self.temporary("d")
            self.frames[reach].heads += [f"{name} = {value}", f"if type({name}) is not dict: {name} = EMPTY"]
            known[names] = name
        return known[names]

    def scope(self) -> str:
        """The whole scope, for closures and for `@`: that of a block is made by the first who wants it."""
        if len(self.frames) == 1:
            return "s"
        self._reach = len(self.frames) - 1
        name = self._variable(("@",), "s", "UNSET")
        inner = f"{{**s, 'item': {self.frames[-1].item}, 'parent': {self._parent()}}}"
        return f"({name} if {name} is not UNSET else ({name} := {inner}))"

    def _parent(self) -> str:
        """The item around that of a block; outermost, the whole document."""
        if len(self.frames) > 2:  # noqa: PLR2004  the function, the block around, the block
            return self.frames[-2].item
        return self._variable(("parent",), "o", "s.get('item', s)")

    def _variable(self, what: tuple[str, ...], letter: str, value: str, reach: int = -1) -> str:
        frame = self.frames[reach]
        if what not in frame.shared:
            frame.shared[what] = self.temporary(letter)
            frame.heads.append(f"{frame.shared[what]} = {value}")
        return frame.shared[what]

    def shared(self, code: Code | None, *what: str) -> tuple[str, str]:
        """An expression that several places want alike, with a variable for what they make of it (`what` tells it from
        others): null until the first has made it. It is made once in the outermost frame that the expression knows.
        """
        before, self._reach = self._reach, 0
        text = code(self) if code else ""
        reach, self._reach = self._reach, max(before, self._reach)
        return text, self._variable((text, *what), "p", "None", reach)

    @contextmanager
    def inside(self, item: str, *, known: bool) -> Iterator[Frame]:
        """What is written inside has this variable as its `item`. `known`: it holds an object."""
        frame = Frame(item)
        if known:
            frame.tables["item",] = item
        self.frames.append(frame)
        yield frame
        self.frames.pop()

    @contextmanager
    def about(self, subject: str) -> Iterator[None]:
        """What is written inside is about the value in this variable."""
        before, self.subject = self.subject, subject
        yield
        self.subject = before

    def made(self, body: Sequence[str]) -> Callable[[Any], Any]:
        """The function of the scope with this body."""
        lines = ["def run(s):", *(f"    {line}" for line in (*self.frames[0].heads, *body))]
        self.paths.extend(_paths(lines))
        space = dict(self.constants)
        exec(compile("\n".join(lines), "<mapping>", "exec"), space)  # noqa: S102  written here, of quoted literals alone
        made: Callable[[Any], Any] = space["run"]
        return made


def path_label(path: str) -> str:
    """A comment: the lines behind it are about this field. A line that fails is known by its number, so that nothing is
    noted while all goes well.
    """
    return f"# {path!r}"


def _paths(lines: Iterable[str]) -> Iterator[str]:
    """The field that each line is about."""
    path = ""
    for line in lines:
        label = line.lstrip()
        if label.startswith("# "):
            path = literal_eval(label[2:])
        yield path


def function(code: Code) -> Run:
    """An expression as a function of a mapping's scope."""
    writer = Writer()
    return writer.made([f"return {code(writer)}"])


def called(run: Run) -> Code:
    """A closure, called with what the expression is about."""
    return lambda writer: f"{writer.constant(run)}({itself(writer)})"


def constant(value: Any) -> Code:
    return lambda writer: writer.constant(value)


def chain(names: Sequence[str]) -> Code:
    """`a.b.c`."""

    def write(writer: Writer) -> str:
        if writer.subject is None:
            return writer.found(tuple(names))
        if len(names) > NEST_MAX:
            return called(closures.chain(list(names)))(writer)
        text = f"({writer.subject}.get({names[0]!r}) if type({writer.subject}) is dict else None)"
        for name in names[1:]:
            found = writer.temporary()
            text = f"({found}.get({name!r}) if type({found} := {text}) is dict else None)"
        return text

    return write


def itself(writer: Writer) -> str:
    """`@`."""
    return writer.subject or writer.scope()


def in_turn(steps: Sequence[Code], run: Run) -> Code:
    """`a | b`: each about what the one before gave."""

    def write(writer: Writer) -> str:
        text = steps[0](writer)
        for step in steps[1:]:
            found = writer.temporary()
            with writer.about(found):
                text = f"({found} := {text}, {step(writer)})[1]"
        return text

    return _nested(write, run, len(steps))


def element(place: int) -> Code:
    """`[0]`."""

    def write(writer: Writer) -> str:
        found = writer.subject
        if found is None:
            return "None"
        there = f"len({found}) > {place}" if place >= 0 else f"len({found}) >= {-place}"
        return f"({found}[{place}] if type({found}) is list and {there} else None)"

    return write


# --- lists -----------------------------------------------------------------------------------------------------------


def flattened(base: Code, run: Run) -> Code:
    """`a[]`, before anything is made of its elements."""

    def write(writer: Writer) -> str:
        found, merge = writer.temporary(), writer.constant(merged)
        return f"(({found} and {merge}({found})) if type({found} := {base(writer)}) is list else None)"

    return _nested(write, run)


def projected(base: Code, each: Code, run: Run, condition: Code | None = None) -> Code:
    """`a[*].b`, `a[].b`, `a[?condition].b`: what is made of the elements of a list, without nulls."""

    def write(writer: Writer) -> str:
        found, one, made = writer.temporary(), writer.temporary(), writer.temporary()
        text = base(writer)
        with writer.about(one):
            kept = (
                "" if condition is None else f"{found} := [{one} for {one} in {found} if {_holds(condition, writer)}], "
            )
            value = each(writer)
        results = f"[{made} for {one} in {found} if ({made} := {value}) is not None]"
        results = f"({kept}{results})[1]" if kept else results
        return f"(({found} and {results}) if type({found} := {text}) is list else None)"

    return _nested(write, run)


def listed(parts: Sequence[Code], run: Run) -> Code:
    """`[a, b]`."""

    def write(writer: Writer) -> str:
        values = f"[{', '.join(part(writer) for part in parts)}]"
        return values if writer.subject is None else f"({values} if {writer.subject} is not None else None)"

    return _nested(write, run)


def either(left: Code, right: Code, run: Run) -> Code:
    """`a || b`; `run` is the same as a closure."""

    def write(writer: Writer) -> str:
        found, one, other = writer.temporary(), left(writer), right(writer)
        if type(one) is Condition:
            return type(other)(f"({one} or {other})")
        return f"({found} if {_true(found, one)} else {other})"

    return _nested(write, run)


def both(left: Code, right: Code, run: Run) -> Code:
    """`a && b`."""

    def write(writer: Writer) -> str:
        found, one, other = writer.temporary(), left(writer), right(writer)
        if type(one) is Condition:
            return type(other)(f"({one} and {other})")
        return f"({other} if {_true(found, one)} else {found})"

    return _nested(write, run)


def negated(inner: Code, run: Run) -> Code:
    """`!a`."""
    return _nested(lambda writer: Condition(f"(not {_true(writer.temporary(), inner(writer))})"), run)


def chosen(condition: Code, then: Code, otherwise: Code, run: Run) -> Code:
    """`if(a, b, c)`."""

    def write(writer: Writer) -> str:
        test = _true(writer.temporary(), condition(writer))
        return f"({then(writer)} if {test} else {otherwise(writer)})"

    return _nested(write, run)


def first(choices: Sequence[Code], run: Run) -> Code:
    """`coalesce(a, b, ...)`."""

    def write(writer: Writer) -> str:
        text = choices[-1](writer)
        for choice in reversed(choices[:-1]):
            found = writer.temporary()
            text = f"({found} if ({found} := {choice(writer)}) is not None else {text})"
        return text

    return _nested(write, run, len(choices))


def named(parts: Mapping[str, Code], run: Run) -> Code:
    """`{x: a, y: b}`."""

    def write(writer: Writer) -> str:
        values = f"{{{', '.join(f'{name!r}: {part(writer)}' for name, part in parts.items())}}}"
        return values if writer.subject is None else f"({values} if {writer.subject} is not None else None)"

    return _nested(write, run)


def is_null(left: Code, run: Run, *, wanted: bool) -> Code:
    """`a == null`, `a != null`."""
    return _nested(lambda writer: Condition(f"({left(writer)} {'is' if wanted else 'is not'} None)"), run)


def is_of_type(value: Code, kind: type, run: Run, *, wanted: bool) -> Code:
    """`type(a) == 'array'` and the like."""
    sign = "is" if wanted else "is not"
    return _nested(lambda writer: Condition(f"(type({value(writer)}) {sign} {kind.__name__})"), run)


def same(left: Code, right: Code, run: Run, *, wanted: bool) -> Code:
    """`a == b`, `a != b`."""
    return _nested(
        lambda writer: Condition(f"({writer.constant(equal)}({left(writer)}, {right(writer)}) is {wanted})"), run
    )


def same_text(left: Code, text: str, run: Run, *, wanted: bool) -> Code:
    """`a == 'text'`, `a != 'text'`."""
    sign = "==" if wanted else "!="
    return _nested(lambda writer: Condition(f"({left(writer)} {sign} {writer.constant(text)})"), run)


def call(of_values: Callable[..., Any], arguments: Sequence[Code], run: Run) -> Code:
    """A function of values."""
    return _nested(
        lambda writer: f"{writer.constant(of_values)}({', '.join(argument(writer) for argument in arguments)})", run
    )


class Argument(NamedTuple):
    """An argument of a function of values, and what it may be: one of these types (None: anything; empty: it is a
    constant that fits), a list's elements all of these (empty: anything).
    """

    code: Code
    kinds: frozenset[type] | None = frozenset()
    elements: frozenset[type] = frozenset()


def call_where_fit(
    body: Callable[..., Any], checked: Callable[..., Any], arguments: Sequence[Argument], run: Run, *, passes_null: bool
) -> Code:
    """A function of values: `body` is called where the arguments are what it takes, else `checked`, which says why."""

    def write(writer: Writer) -> str:
        names, found, tests = [], [], []
        for one in arguments:
            value = one.code(writer)
            if one.kinds != frozenset():
                name = writer.temporary()
                found.append(f"{name} := {value}")
                tests += _tests(one, name, writer)
                value = name
            names.append(value)
        values = ", ".join(names)
        text = f"{writer.constant(body)}({values})"
        if tests:
            text = f"({text} if {' and '.join(tests)} else {writer.constant(checked)}({values}))"
        if len(found) == 1 and passes_null:
            return f"({text} if ({found[0]}) is not None else None)"
        if passes_null:
            nulls = " or ".join(
                f"{name} is None" for name, one in zip(names, arguments, strict=True) if one.kinds != frozenset()
            )
            text = f"(None if {nulls} else {text})"
        return f"({', '.join(found)}, {text})[{len(found)}]"

    return _nested(write, run)


def _tests(argument: Argument, name: str, writer: Writer) -> list[str]:
    tests = []
    if argument.kinds is not None:
        alone = len(argument.kinds) == 1
        kinds = next(iter(argument.kinds)).__name__ if alone else writer.constant(argument.kinds)
        tests.append(f"type({name}) {'is' if alone else 'in'} {kinds}")
    if argument.elements:
        tests.append(f"{writer.constant(argument.elements)}.issuperset(map(type, {name}))")
    return tests


def _holds(condition: Code, writer: Writer) -> str:
    return _true(writer.temporary(), condition(writer))


def _true(name: str, value: str) -> str:
    """JMESPath's truth of a value, which has the name from then on where it is no condition."""
    if type(value) is Condition:
        return value
    return f"(({name} := {value}) or {name} is not None and type({name}) in NUMBERS)"


def _nested(write: Code, run: Run, levels: int = 1) -> Code:
    def limited(writer: Writer) -> str:
        if writer.depth + levels > NEST_MAX:
            return called(run)(writer)
        writer.depth += levels
        try:
            return write(writer)
        finally:
            writer.depth -= levels

    return limited
