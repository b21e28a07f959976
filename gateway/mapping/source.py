"""Expressions as Python source: a simple one is a line of Python and not a chain of calls. What is not simple is called
as the closure it is.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from gateway.mapping import closures
from gateway.mapping.closures import Run, equal, merged
from gateway.mapping.writer import Code, Writer

NEST_MAX = 12
"""Parts within parts that are written out. Python's parser has its limits; below it closures are called."""
_VARIABLE = re.compile(r"[a-z]\d+")


class Condition(str):
    """Source of an expression that gives true or false."""

    __slots__ = ()


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
        table, first_name = writer.subject_table(), f".get({names[0]!r})"
        text = (
            table + first_name
            if table
            else f"({writer.subject}{first_name} if type({writer.subject}) is dict else None)"
        )
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
            name, found = _named(text, writer)
            with writer.about(name):
                text = step(writer) if name == found else f"({found}, {step(writer)})[1]"
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
        name, found = _named(base(writer), writer)
        return f"(({name} and {writer.constant(merged)}({name})) if type({found}) is list else None)"

    return _nested(write, run)


def projected(base: Code, each: Code, run: Run, condition: Code | None = None) -> Code:
    """`a[*].b`, `a[].b`, `a[?condition].b`: what is made of the elements of a list, without nulls."""

    def write(writer: Writer) -> str:
        name, found = _named(base(writer), writer)
        one, table = writer.temporary(), writer.temporary("d")
        with writer.about(one, table) as tables:
            kept = "" if condition is None else _holds(condition, writer)
            keeping = _loop(one, table if table in tables else "")
            tables.clear()
            value = each(writer)
            making = _loop(one, table if table in tables else "")
        if kept and value == one:
            lines = [*keeping, f"    if {kept} and {one} is not None: made.append({one})"]
        else:
            lines = [*making, f"    value = {value}", "    if value is not None: made.append(value)"]
            if kept:
                first_lines = [*keeping, f"    if {kept}: made.append({one})"]
                lines = [*first_lines, "found, made = made, []", *lines]
        function_name = writer.function("found", ["made = []", *lines, "return made"])
        return f"(({name} and {function_name}({name})) if type({found}) is list else None)"

    return _nested(write, run)


def _loop(one: str, table: str) -> list[str]:
    """The beginning of a loop over what was found. `table`: the variable for the element as an object."""
    as_table = f"    {table} = {one} if type({one}) is dict else EMPTY"
    return [f"for {one} in found:", *([as_table] if table else [])]


def listed(parts: Sequence[Code], run: Run) -> Code:
    """`[a, b]`."""

    def write(writer: Writer) -> str:
        values = f"[{', '.join(part(writer) for part in parts)}]"
        return values if writer.subject is None else f"({values} if {writer.subject} is not None else None)"

    return _nested(write, run)


def either(left: Code, right: Code, run: Run) -> Code:
    """`a || b`; `run` is the same as a closure."""

    def write(writer: Writer) -> str:
        one, other = left(writer), right(writer)
        if type(one) is Condition:
            return type(other)(f"({one} or {other})")
        name, found = _named(one, writer)
        return f"({name} if {_true(name, found)} else {other})"

    return _nested(write, run)


def both(left: Code, right: Code, run: Run) -> Code:
    """`a && b`."""

    def write(writer: Writer) -> str:
        one, other = left(writer), right(writer)
        if type(one) is Condition:
            return type(other)(f"({one} and {other})")
        name, found = _named(one, writer)
        return f"({other} if {_true(name, found)} else {name})"

    return _nested(write, run)


def negated(inner: Code, run: Run) -> Code:
    """`!a`."""
    return _nested(lambda writer: Condition(f"(not {_holds(inner, writer)})"), run)


def chosen(condition: Code, then: Code, otherwise: Code, run: Run) -> Code:
    """`if(a, b, c)`."""

    def write(writer: Writer) -> str:
        test = _holds(condition, writer)
        return f"({then(writer)} if {test} else {otherwise(writer)})"

    return _nested(write, run)


def first(choices: Sequence[Code], run: Run) -> Code:
    """`coalesce(a, b, ...)`."""

    def write(writer: Writer) -> str:
        text = choices[-1](writer)
        for choice in reversed(choices[:-1]):
            name, found = _named(choice(writer), writer)
            text = f"({name} if ({found}) is not None else {text})"
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

    def write(writer: Writer) -> str:
        one, other = left(writer), right(writer)
        text = f"{writer.constant(equal)}({one}, {other})"
        if _VARIABLE.fullmatch(one) and _VARIABLE.fullmatch(other):
            text = f"({one} == {other} and (type({one}) is bool) is (type({other}) is bool))"
        return Condition(text if wanted else f"(not {text})")

    return _nested(write, run)


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
        values, found, tests, nulls = [], [], [], []
        for one in arguments:
            value = one.code(writer)
            if one.kinds != frozenset():
                name, named_value = _named(value, writer)
                if name != named_value:
                    found.append(named_value)
                tests += _tests(one, name, writer)
                nulls.append(f"{name} is None")
                value = name
            values.append(value)
        listed_values = ", ".join(values)
        text = f"{writer.constant(body)}({listed_values})"
        if tests:
            text = f"({text} if {' and '.join(tests)} else {writer.constant(checked)}({listed_values}))"
        if len(found) == len(nulls) == 1 and passes_null:
            return f"({text} if ({found[0]}) is not None else None)"
        if passes_null and nulls:
            text = f"(None if {' or '.join(nulls)} else {text})"
        return f"({', '.join(found)}, {text})[{len(found)}]" if found else text

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
    text = condition(writer)
    return text if type(text) is Condition else _true(*_named(text, writer))


def _named(text: str, writer: Writer) -> tuple[str, str]:
    """A variable for a value, and the source that gives it the value: the variable alone where it has it already."""
    if _VARIABLE.fullmatch(text):
        return text, text
    name = writer.temporary()
    return name, f"{name} := {text}"


def _true(name: str, found: str) -> str:
    """JMESPath's truth of a value that was named."""
    return f"(({found}) or {name} is not None and type({name}) in NUMBERS)"


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
