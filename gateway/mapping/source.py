"""Python source: what runs for every field of every event is written out as one function for each object, so that a
simple field is a line of Python and not a chain of calls. What is not simple is called as the closure it is.

Nothing of a mapping's text becomes source but as a quoted literal; everything else is handed over as a constant.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from gateway.errors import MappingError
from gateway.mapping.closures import Run
from gateway.mapping.types import EvaluationError

Code = Callable[["Writer"], str]
"""Writes an expression: given the writer of the function in which it is to stand, Python for its value. The function's
argument `s` is the scope, a dict."""

NEST_MAX = 12
"""Conditions within conditions that are written out. Python's parser has its limits; below it closures are called."""
_EMPTY: dict[str, Any] = {}
_NUMBERS = frozenset({int, Decimal, float})


class Writer:
    """One function on its way: its lines, and the constants that it names."""

    def __init__(self) -> None:
        self.constants: dict[str, Any] = {
            "EMPTY": _EMPTY,
            "NUMBERS": _NUMBERS,
            "EvaluationError": EvaluationError,
            "MappingError": MappingError,
        }
        self.depth = 0
        self._heads: list[str] = []
        self._tables: dict[tuple[str, ...], str] = {(): "s"}
        self._temporaries = 0

    def constant(self, value: Any) -> str:
        """A name for a value, or the value itself where Python can write it."""
        if value is None or type(value) is bool or (type(value) is str and len(value) < 100):  # noqa: PLR2004  a short one
            return repr(value)
        name = f"k{len(self.constants)}"
        self.constants[name] = value
        return name

    def temporary(self) -> str:
        """A variable that nothing else uses."""
        self._temporaries += 1
        return f"t{self._temporaries}"

    def table(self, names: tuple[str, ...]) -> str:
        """A variable that holds the object at this place of the scope, or an empty one where there is none. It is
        looked up once, before everything else.
        """
        if names not in self._tables:
            around = self.table(names[:-1])
            name = f"d{len(self._tables)}"
            self._heads += [f"{name} = {around}.get({names[-1]!r})", f"if type({name}) is not dict: {name} = EMPTY"]
            self._tables[names] = name
        return self._tables[names]

    def made(self, body: Sequence[str]) -> Callable[[Any], Any]:
        """The function of the scope with this body."""
        lines = ["def run(s):", *(f"    {line}" for line in (*self._heads, *body))]
        space = dict(self.constants)
        exec(compile("\n".join(lines), "<mapping>", "exec"), space)  # noqa: S102  written here, of quoted literals alone
        made: Callable[[Any], Any] = space["run"]
        return made


def called(run: Run) -> Code:
    """A closure, called with the scope."""
    return lambda writer: f"{writer.constant(run)}(s)"


def constant(value: Any) -> Code:
    return lambda writer: writer.constant(value)


def chain(names: Sequence[str]) -> Code:
    """`a.b.c`."""
    return lambda writer: f"{writer.table(tuple(names[:-1]))}.get({names[-1]!r})"


def either(left: Code, right: Code, run: Run) -> Code:
    """`a || b`; `run` is the same as a closure."""

    def write(writer: Writer) -> str:
        found = writer.temporary()
        return f"({found} if {_true(found, left(writer))} else {right(writer)})"

    return _nested(write, run)


def both(left: Code, right: Code, run: Run) -> Code:
    """`a && b`."""

    def write(writer: Writer) -> str:
        found = writer.temporary()
        return f"({right(writer)} if {_true(found, left(writer))} else {found})"

    return _nested(write, run)


def negated(inner: Code, run: Run) -> Code:
    """`!a`."""
    return _nested(lambda writer: f"(not {_true(writer.temporary(), inner(writer))})", run)


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

    return _nested(write, run)


def same_text(left: Code, text: str, run: Run, *, wanted: bool) -> Code:
    """`a == 'text'`, `a != 'text'`."""
    return _nested(lambda writer: f"({left(writer)} {'==' if wanted else '!='} {writer.constant(text)})", run)


def call(of_values: Callable[..., Any], arguments: Sequence[Code], run: Run) -> Code:
    """A function of values."""
    return _nested(
        lambda writer: f"{writer.constant(of_values)}({', '.join(argument(writer) for argument in arguments)})", run
    )


def _true(name: str, value: str) -> str:
    """JMESPath's truth of a value, which has the name from then on."""
    return f"(({name} := {value}) or type({name}) in NUMBERS)"


def _nested(write: Code, run: Run) -> Code:
    def limited(writer: Writer) -> str:
        if writer.depth >= NEST_MAX:
            return called(run)(writer)
        writer.depth += 1
        try:
            return write(writer)
        finally:
            writer.depth -= 1

    return limited
