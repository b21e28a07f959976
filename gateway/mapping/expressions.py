"""Expressions: JMESPath, parsed by its library and compiled once to closures, a fifth of its interpreter's time.

The meaning is JMESPath's to the letter, with four choices where it leaves one: numbers are exact (int of any size,
Decimal), what can be known wrong (an unknown function, a wrong count of arguments, a call that always fails) is known
when the expression is compiled, results are bounded, and comparing a text with a number by `<` is null.

An expression always ends and touches nothing. It has no way back to the root of the document, so its time grows with
document times expression; `_COPIES_MAX` bounds the second factor.
"""

import operator
import warnings
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from itertools import pairwise
from math import isfinite
from typing import Any, NamedTuple, cast

from jmespath import exceptions, lexer, parser

from gateway import document as documents
from gateway.config.wording import near
from gateway.mapping.functions import (
    FUNCTIONS,
    TEXTS_MAX,
    VALUES_MAX,
    Function,
    Parameter,
    bounded,
    truthy,
)
from gateway.mapping.types import EvaluationError

__all__ = ["EvaluationError", "Expression", "ExpressionError", "Meter", "compile_expression"]

LENGTH_MAX = 4096
"""Characters of an expression."""
DEPTH_MAX = 64
"""Nesting of an expression."""
_COPIES_MAX = 64  # how often a value may stand in the result: [@, @] holds it twice

Run = Callable[[Any], Any]
"""A compiled expression, or a part of one: value in, value out."""
Node = dict[str, Any]
"""A node of the library's syntax tree."""


class ExpressionError(ValueError):
    """A text is no expression. `column` counts from 1; `kind` is syntax, unknown-function, invalid-arity, invalid-type
    or invalid-value, as JMESPath names them.
    """

    def __init__(self, text: str, column: int, cause: str, kind: str = "syntax", hint: str = "") -> None:
        super().__init__(f"{cause} (column {column})")
        self.text = text
        self.column = column
        self.cause = cause
        self.kind = kind
        self.hint = hint

    def caret(self) -> str:
        """The expression with a caret under the place, two lines."""
        return f"{self.text}\n{' ' * (self.column - 1)}^"


class Meter:
    """What one evaluation may still make: values of containers, and characters of texts that functions make.

    An expression or mapping is used by one thread at a time; two at once would only share what is left.
    """

    __slots__ = ("characters", "values")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.values = VALUES_MAX
        self.characters = TEXTS_MAX

    def spend_values(self, count: int) -> None:
        self.values -= count
        if self.values < 0:
            raise EvaluationError(f"a result of more than {VALUES_MAX} values", "too-large")

    def spend_characters(self, count: int) -> None:
        self.characters -= count
        if self.characters < 0:
            raise EvaluationError(f"more than {TEXTS_MAX} characters made by functions", "too-large")


class Part(NamedTuple):
    """A compiled part: `copies` bounds how often its input can stand in its result, `builds` tells that it makes
    containers of its own.
    """

    run: Run
    copies: int = 1
    constant: bool = False
    builds: bool = False


class Expression:
    """A compiled expression. Call it with a document (and inside `each` with the element and what holds it)."""

    __slots__ = ("_meter", "builds", "held_null", "last_name", "run", "text")

    def __init__(self, text: str, part: Part, held_null: Run, last_name: str, meter: Meter) -> None:
        self.text = text
        self.run = part.run
        """The bare closure, for callers that bound results and spend the meter themselves."""
        self.builds = part.builds
        self.held_null = held_null
        """Whether a null result is a null that the document holds, and not something absent."""
        self.last_name = last_name
        """The name of the field that the expression ends in, else empty."""
        self._meter = meter

    def __call__(self, document: Any, item: Any = None, parent: Any = None) -> Any:
        """The result on a document, with which it shares parts: read, do not change. Raises `EvaluationError`."""
        if item is not None or parent is not None:
            document = {**document, "item": item, "parent": parent}
        self._meter.reset()
        result = self.run(document)
        if self.builds:
            bounded(result)
        return result

    def true(self, document: Any) -> bool:
        """Whether the result is true as JMESPath has it: not null, false or empty."""
        return truthy(self(document))


def compile_expression(text: str, meter: Meter | None = None) -> Expression:
    """An expression from its text. Raises `ExpressionError`."""
    meter = meter or Meter()
    tree = _parse(text)
    compiler = _Compiler(text, tree, meter)
    return Expression(text, compiler.part(tree), compiler.held_null(tree), _last_name(tree), meter)


# --- parsing ---------------------------------------------------------------------------------------------------------


def _parse(text: str) -> Node:
    """The library's syntax tree. Its nodes are shared by its cache: read only."""
    if len(text) > LENGTH_MAX:
        raise ExpressionError(text[:80], 1, f"an expression has at most {LENGTH_MAX} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PendingDeprecationWarning)  # `foo` for `"foo"`: old, and still JMESPath
            tree = cast("Node", parser.Parser().parse(text).parsed)
    except exceptions.EmptyExpressionError:
        raise ExpressionError(text, 1, "an expression must not be empty") from None
    except exceptions.ParseError as error:
        raise _syntax_error(text, error) from None
    except (RecursionError, IndexError, KeyError, ValueError) as error:
        raise ExpressionError(text, 1, f"cannot be read ({type(error).__name__})") from None
    if _depth(tree) > DEPTH_MAX:
        raise ExpressionError(text, 1, f"nested deeper than {DEPTH_MAX}")
    return tree


_TOKENS = {
    "unquoted_identifier": "a name",
    "quoted_identifier": "a quoted name",
    "rbracket": "`]`",
    "rparen": "`)`",
    "rbrace": "`}`",
    "lbracket": "`[`",
    "lbrace": "`{`",
    "lparen": "`(`",
    "eof": "the end",
}


def _syntax_error(text: str, error: exceptions.ParseError) -> ExpressionError:
    if isinstance(error, exceptions.IncompleteExpressionError):
        return ExpressionError(text, len(text) + 1, "ends too early")
    column = min(int(error.lex_position), len(text)) + 1
    if isinstance(error, exceptions.LexerError):
        hint = "text stands in single quotes, JSON in backticks" if error.lexer_value in {"`", "'", '"'} else ""
        return ExpressionError(text, column, str(error.message).lower(), hint=hint)
    found = _TOKENS.get(error.token_type.lower(), f"`{error.token_value}`")
    return ExpressionError(text, column, f"does not expect {found} here")


def _depth(tree: Node) -> int:
    depth = 0
    level = [tree]
    while level:
        depth += 1
        level = [child for node in level for child in _children(node)]
    return depth


def _children(node: Node) -> list[Node]:
    """A node's children in the order of the text."""
    children: list[Node] = [child for child in node.get("children", ()) if isinstance(child, dict)]
    if node["type"] == "filter_projection":
        left, right, condition = children
        return [left, condition, right]
    return children


def _calls(tree: Node) -> Iterator[Node]:
    """The function calls of an expression, in the order of the text."""
    if tree["type"] == "function_expression":
        yield tree
    for child in _children(tree):
        yield from _calls(child)


def _call_columns(text: str) -> list[int]:
    """Where function calls stand, in the order of the text, from 1. The tree does not keep it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        tokens = list(lexer.Lexer().tokenize(text))
    names = (left for left, right in pairwise(tokens) if right["type"] == "lparen")
    return [name["start"] + 1 for name in names if name["type"] == "unquoted_identifier"]


def _last_name(tree: Node) -> str:
    while tree["type"] in {"subexpression", "pipe"}:
        tree = tree["children"][-1]
    return str(tree["value"]) if tree["type"] == "field" else ""


# --- compiling -------------------------------------------------------------------------------------------------------


class _Compiler:
    """Makes closures out of one expression's tree, bottom up."""

    def __init__(self, text: str, tree: Node, meter: Meter) -> None:
        self._text = text
        self._meter = meter
        calls = list(_calls(tree))
        self._columns = dict(zip(map(id, calls), _call_columns(text) if calls else (), strict=False))

    def part(self, node: Node) -> Part:
        made: Part = getattr(self, f"_{node['type']}")(node)
        if made.copies > _COPIES_MAX:
            raise self._fault(node, f"a value may stand at most {_COPIES_MAX} times in a result", "too-large")
        return self._folded(node, made) if made.constant and node["type"] != "literal" else made

    def _folded(self, node: Node, made: Part) -> Part:
        try:
            value = made.run(None)
        except EvaluationError as error:
            raise self._fault(node, f"always fails: {error}", error.kind) from None
        return made._replace(run=_always(value))

    def _fault(self, node: Node, cause: str, kind: str, hint: str = "") -> ExpressionError:
        return ExpressionError(self._text, self._columns.get(id(node), 1), cause, kind, hint)

    # --- leaves

    def _literal(self, node: Node) -> Part:
        try:
            value = _exact(node["value"])
            documents.dump(value)
        except (ValueError, OverflowError, RecursionError):
            raise self._fault(node, "a literal that no JSON document can hold", "syntax") from None
        return Part(_always(value), constant=True)

    def _field(self, node: Node) -> Part:
        return Part(_chain([node["value"]]))

    def _current(self, _node: Node) -> Part:
        return Part(_itself)

    _identity = _current

    def _index(self, node: Node) -> Part:
        return Part(_element(node["value"]))

    def _slice(self, node: Node) -> Part:
        start, stop, step = node["children"]
        if step == 0:
            raise self._fault(node, "a slice's step must not be 0", "invalid-value")
        return Part(_slice(slice(start, stop, step)))

    def _expref(self, node: Node) -> Part:
        raise self._fault(node, "`&` stands only before an argument of map, sort_by, min_by or max_by", "invalid-type")

    # --- one after the other

    def _subexpression(self, node: Node) -> Part:
        nodes = _steps(node)
        names = [step["value"] for step in nodes if step["type"] == "field"]
        if len(names) == len(nodes):
            return Part(_chain(names))
        count = next(place for place, step in enumerate(nodes) if step["type"] != "field")
        head = [Part(_chain(names[:count]))] if count else []
        return self._in_turn([*head, *map(self.part, nodes[count:])])

    _index_expression = _subexpression
    _pipe = _subexpression

    def _in_turn(self, parts: list[Part]) -> Part:
        copies = 1
        for part in parts:
            copies *= part.copies
        builds = any(part.builds for part in parts)
        runs = [part.run for part in parts if part.run is not _itself]
        return Part(_sequence(runs), copies, parts[0].constant, builds)

    # --- lists

    def _flatten(self, node: Node) -> Part:
        base = self.part(node["children"][0])
        return base._replace(run=_flattened(base.run))

    def _projection(self, node: Node) -> Part:
        base, each = map(self.part, node["children"])
        return Part(
            _projected(base.run, each.run), base.copies * each.copies, base.constant, base.builds or each.builds
        )

    def _value_projection(self, node: Node) -> Part:
        base, each = map(self.part, node["children"])
        run = _projected(_values(base.run), each.run)
        return Part(run, base.copies * each.copies, base.constant, base.builds or each.builds)

    def _filter_projection(self, node: Node) -> Part:
        base, each, condition = map(self.part, node["children"])
        run = _filtered(base.run, each.run, condition.run)
        return Part(run, base.copies * each.copies, base.constant, base.builds or each.builds)

    # --- building

    def _multi_select_list(self, node: Node) -> Part:
        parts = list(map(self.part, node["children"]))
        return Part(_listed([part.run for part in parts]), sum(part.copies for part in parts), builds=True)

    def _multi_select_dict(self, node: Node) -> Part:
        parts = {pair["value"]: self.part(pair["children"][0]) for pair in node["children"]}
        runs = {name: part.run for name, part in parts.items()}
        return Part(_named(runs), sum(part.copies for part in parts.values()), builds=True)

    # --- logic

    def _or_expression(self, node: Node) -> Part:
        return self._either(node, _or)

    def _and_expression(self, node: Node) -> Part:
        return self._either(node, _and)

    def _either(self, node: Node, join: Callable[[Run, Run], Run]) -> Part:
        left, right = map(self.part, node["children"])
        constant = left.constant and right.constant
        return Part(join(left.run, right.run), max(left.copies, right.copies), constant, left.builds or right.builds)

    def _not_expression(self, node: Node) -> Part:
        inner = self.part(node["children"][0])
        run = inner.run
        return Part(lambda value: not truthy(run(value)), constant=inner.constant)

    def _comparator(self, node: Node) -> Part:
        left, right = map(self.part, node["children"])
        return Part(_compared(node["value"], left, right), constant=left.constant and right.constant)

    # --- functions

    def _function_expression(self, node: Node) -> Part:
        function = self._function_of(node)
        arguments = [self._argument(node, function, place) for place in range(len(node["children"]))]
        runs = [argument.run for argument in arguments]
        run = function.call(*runs) if function.lazy else self._call(function, runs, _references(function, len(runs)))
        copies = 1
        for place, argument in enumerate(arguments):
            copies *= argument.copies if function.parameter(place).reference else 1
        copies *= sum(arg.copies for place, arg in enumerate(arguments) if not function.parameter(place).reference)
        constant = all(argument.constant for argument in arguments)
        return Part(run, copies, constant, builds=any(argument.builds for argument in arguments))

    def _function_of(self, node: Node) -> Function:
        name, count = node["value"], len(node["children"])
        function = FUNCTIONS.get(name)
        if function is None:
            raise self._fault(node, f"there is no function `{name}`", "unknown-function", near(name, FUNCTIONS))
        if not function.accepts(count):
            raise self._fault(node, f"{function.signature} does not take {count} arguments", "invalid-arity")
        return function

    def _argument(self, node: Node, function: Function, place: int) -> Part:
        child = node["children"][place]
        parameter = function.parameter(place)
        if parameter.reference != (child["type"] == "expref"):
            wanted = "an &expression" if parameter.reference else f"{parameter.text}, not an &expression"
            raise self._fault(node, f"{function.name}(): {parameter.name} must be {wanted}", "invalid-type")
        return self.part(child["children"][0] if parameter.reference else child)

    def _call(self, function: Function, runs: list[Run], references: list[bool]) -> Run:
        inner = _reference_call(function, runs, references) if any(references) else _plain_call(function, runs)
        if not function.grows:
            return inner
        spend = self._meter.spend_characters

        def run(value: Any) -> Any:
            result = inner(value)
            if type(result) is str:
                spend(len(result))
            return result

        return run

    # --- nulls

    def held_null(self, node: Node) -> Run:
        """Whether a null result of this node is a null that the document holds. Asked only when the result is null."""
        made = getattr(self, f"_held_by_{node['type']}", None)
        run: Run = made(node) if made else _never
        return run

    def _held_by_field(self, node: Node) -> Run:
        name = node["value"]
        return lambda value: type(value) is dict and name in value and value[name] is None

    def _held_by_index(self, node: Node) -> Run:
        place = node["value"]
        return lambda value: type(value) is list and -len(value) <= place < len(value) and value[place] is None

    def _held_by_current(self, _node: Node) -> Run:
        return lambda value: value is None

    def _held_by_subexpression(self, node: Node) -> Run:
        steps = _steps(node)
        before = self._in_turn(list(map(self.part, steps[:-1]))).run
        held = self.held_null(steps[-1])
        return lambda value: held(before(value))

    _held_by_index_expression = _held_by_subexpression
    _held_by_pipe = _held_by_subexpression

    def _held_by_any(self, node: Node) -> Run:
        held = list(map(self.held_null, node["children"]))
        return lambda value: any(one(value) for one in held)

    _held_by_or_expression = _held_by_any

    def _held_by_function_expression(self, node: Node) -> Run:
        name = node["value"]
        if name == "if":
            return self._held_by_chosen(node)
        passes = FUNCTIONS[name].passes_null or name in {"coalesce", "not_null", "concat", "phone"}
        return self._held_by_any(node) if passes else _never

    def _held_by_chosen(self, node: Node) -> Run:
        condition = self.part(node["children"][0]).run
        then, otherwise = [*map(self.held_null, node["children"][1:]), _never][:2]
        return lambda value: then(value) if truthy(condition(value)) else otherwise(value)


def _steps(node: Node) -> list[Node]:
    """The steps of a sub-expression, index expression or pipe, nested ones laid flat: each works on the one before."""
    flat: list[Node] = []
    for child in node["children"]:
        flat.extend(_steps(child) if child["type"] in {"subexpression", "index_expression", "pipe"} else [child])
    return flat


def _exact(value: Any) -> Any:
    """A literal with its fractions as Decimal. Raises ValueError for NaN, infinity and lone surrogates."""
    if isinstance(value, float):
        if not isfinite(value):
            raise ValueError("not a number")
        return Decimal(repr(value))
    if isinstance(value, list):
        return [_exact(element) for element in value]
    if isinstance(value, dict):
        return {key: _exact(element) for key, element in value.items()}
    return value


# --- closures: one per kind of node, specialised where it is met in every field of every event -----------------------


def _itself(value: Any) -> Any:
    return value


def _never(_value: Any) -> bool:
    return False


def _always(constant: Any) -> Run:
    return lambda _: constant


def _chain(names: list[str]) -> Run:
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


def _element(place: int) -> Run:
    def run(value: Any) -> Any:
        if type(value) is list and -len(value) <= place < len(value):
            return value[place]
        return None

    return run


def _slice(places: slice) -> Run:
    return lambda value: value[places] if type(value) is list else None


def _sequence(runs: list[Run]) -> Run:
    if not runs:
        return _itself
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


def _flattened(base: Run) -> Run:
    def run(value: Any) -> Any:
        found = base(value)
        if type(found) is not list:
            return None
        merged: list[Any] = []
        for element in found:
            if type(element) is list:
                merged.extend(element)
            else:
                merged.append(element)
        return merged

    return run


def _values(base: Run) -> Run:
    def run(value: Any) -> Any:
        found = base(value)
        return list(found.values()) if type(found) is dict else None

    return run


def _projected(base: Run, each: Run) -> Run:
    def run(value: Any) -> Any:
        found = base(value)
        if type(found) is not list:
            return None
        return [result for element in found if (result := each(element)) is not None]

    return run


def _filtered(base: Run, each: Run, condition: Run) -> Run:
    def run(value: Any) -> Any:
        found = base(value)
        if type(found) is not list:
            return None
        kept = [element for element in found if truthy(condition(element))]
        return [result for element in kept if (result := each(element)) is not None]

    return run


def _listed(runs: list[Run]) -> Run:
    return lambda value: None if value is None else [run(value) for run in runs]


def _named(runs: Mapping[str, Run]) -> Run:
    pairs = list(runs.items())
    return lambda value: None if value is None else {name: run(value) for name, run in pairs}


def _or(left: Run, right: Run) -> Run:
    def run(value: Any) -> Any:
        found = left(value)
        return found if truthy(found) else right(value)

    return run


def _and(left: Run, right: Run) -> Run:
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


def _compared(comparator: str, left: Part, right: Part) -> Run:
    if comparator in _ORDERINGS:
        return _ordered(_ORDERINGS[comparator], left.run, right.run)
    return _equalled(left.run, right, wanted=comparator == "eq")


def _equalled(left: Run, right: Part, *, wanted: bool) -> Run:
    other = right.run
    if right.constant and type(other(None)) is str:
        text = other(None)
        return (lambda value: left(value) == text) if wanted else (lambda value: left(value) != text)
    return lambda value: equal(left(value), other(value)) is wanted


def _ordered(compare: Callable[[Any, Any], bool], left: Run, right: Run) -> Run:
    def run(value: Any) -> Any:
        one, other = left(value), right(value)
        if type(one) in _NUMBERS:
            return compare(one, other) if type(other) in _NUMBERS else None
        return compare(one, other) if type(one) is str and type(other) is str else None

    return run


# --- calling ---------------------------------------------------------------------------------------------------------


def _references(function: Function, count: int) -> list[bool]:
    return [function.parameter(place).reference for place in range(count)]


def _plain_call(function: Function, runs: list[Run]) -> Run:
    """A call whose arguments are all values, checked as the table says. One and two arguments go without a loop."""
    parameters = [function.parameter(place) for place in range(len(runs))]
    pairs = list(zip(runs, parameters, strict=True))
    if len(pairs) == 1:
        return _call_of_one(function, *pairs[0])
    if len(pairs) == 2:  # noqa: PLR2004
        return _call_of_two(function, *pairs[0], *pairs[1])
    body, name, passes_null = function.call, function.name, function.passes_null

    def run(value: Any) -> Any:
        values = [argument(value) for argument in runs]
        if passes_null and any(found is None for found in values):
            return None
        for found, parameter in zip(values, parameters, strict=True):
            parameter.check(name, found)
        return body(*values)

    return run


def _call_of_one(function: Function, argument: Run, parameter: Parameter) -> Run:
    body, name, passes_null = function.call, function.name, function.passes_null
    kinds, elements = parameter.kinds, parameter.elements

    def run(value: Any) -> Any:
        found = argument(value)
        if found is None and passes_null:
            return None
        if elements or type(found) not in kinds:
            parameter.check(name, found)
        return body(found)

    return run


def _call_of_two(function: Function, first: Run, one: Parameter, second: Run, two: Parameter) -> Run:
    body, name, passes_null = function.call, function.name, function.passes_null
    one_kinds, two_kinds, elements = one.kinds, two.kinds, one.elements or two.elements

    def run(value: Any) -> Any:
        left, right = first(value), second(value)
        if passes_null and (left is None or right is None):
            return None
        if elements or type(left) not in one_kinds or type(right) not in two_kinds:
            one.check(name, left)
            two.check(name, right)
        return body(left, right)

    return run


def _reference_call(function: Function, runs: list[Run], references: list[bool]) -> Run:
    """A call with `&expressions` among its arguments: they are handed over as they are."""
    places = list(enumerate(zip(runs, references, strict=True)))

    def run(value: Any) -> Any:
        values = [argument if reference else argument(value) for _, (argument, reference) in places]
        for place, (_, reference) in places:
            if not reference:
                function.parameter(place).check(function.name, values[place])
        return function.call(*values)

    return run
