"""Expressions: JMESPath, parsed by its library and compiled once to closures, a fifth of its interpreter's time.

The meaning is JMESPath's to the letter, with four choices where it leaves one: numbers are exact (int of any size,
Decimal), what can be known wrong (an unknown function, a wrong count of arguments, a call that always fails) is known
when the expression is compiled, results are bounded, and comparing a text with a number by `<` is null.

An expression always ends and touches nothing. It has no way back to the root of the document, so its time grows with
document times expression; `_COPIES_MAX` bounds the second factor.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from gateway.config.wording import near
from gateway.mapping import closures, source
from gateway.mapping.closures import Run
from gateway.mapping.functions import FUNCTIONS
from gateway.mapping.syntax import ExpressionError, Node, call_columns, calls, exact, last_name, steps_of, syntax_tree
from gateway.mapping.table import ANY, TEXTS_MAX, VALUES_MAX, Function, bounded, truthy
from gateway.mapping.types import EvaluationError
from gateway.mapping.writer import Code

__all__ = ["EvaluationError", "Expression", "ExpressionError", "Meter", "Node", "compile_expression", "syntax_tree"]

_COPIES_MAX = 64  # how often a value may stand in the result: [@, @] holds it twice


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
    containers of its own, `code` is the same as source where that is more than a call of `run`.
    """

    run: Run
    copies: int = 1
    constant: bool = False
    builds: bool = False
    code: Code | None = None

    def written(self) -> Code:
        """The part as source, for where its input is the scope of a mapping."""
        return self.code or source.called(self.run)


class Expression:
    """A compiled expression. Call it with a document (and inside `each` with the element and what holds it)."""

    __slots__ = ("_meter", "builds", "code", "held_null", "last_name", "run", "text")

    def __init__(self, text: str, part: Part, held_null: Run, last_name: str, meter: Meter) -> None:
        self.text = text
        self.run = part.run
        """The bare closure, for callers that bound results and spend the meter themselves."""
        self.code = part.written()
        """The same as source, for a mapping's scope."""
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
    tree = syntax_tree(text)
    compiler = _Compiler(text, tree, meter)
    return Expression(text, compiler.part(tree), compiler.held_null(tree), last_name(tree), meter)


# --- compiling -------------------------------------------------------------------------------------------------------


class _Compiler:
    """Makes closures out of one expression's tree, bottom up."""

    def __init__(self, text: str, tree: Node, meter: Meter) -> None:
        self._text = text
        self._meter = meter
        calls_ = list(calls(tree))
        self._parts: dict[int, Part] = {}
        self._columns = dict(zip(map(id, calls_), call_columns(text) if calls_ else (), strict=False))

    def part(self, node: Node) -> Part:
        if id(node) not in self._parts:
            self._parts[id(node)] = self._part(node)
        return self._parts[id(node)]

    def _part(self, node: Node) -> Part:
        made: Part = getattr(self, f"_{node['type']}")(node)
        if made.copies > _COPIES_MAX:
            raise self._fault(node, f"a value may stand at most {_COPIES_MAX} times in a result", "too-large")
        return self._folded(node, made) if made.constant and node["type"] != "literal" else made

    def _folded(self, node: Node, made: Part) -> Part:
        try:
            value = made.run(None)
        except EvaluationError as error:
            raise self._fault(node, f"always fails: {error}", error.kind) from None
        return made._replace(run=closures.always(value), code=source.constant(value))

    def _fault(self, node: Node, cause: str, kind: str, hint: str = "") -> ExpressionError:
        return ExpressionError(self._text, self._columns.get(id(node), 1), cause, kind, hint)

    # --- leaves

    def _literal(self, node: Node) -> Part:
        value = exact(node["value"])
        return Part(closures.always(value), constant=True, code=source.constant(value))

    def _field(self, node: Node) -> Part:
        return Part(closures.chain([node["value"]]), code=source.chain([node["value"]]))

    def _current(self, _node: Node) -> Part:
        return Part(closures.itself, code=source.itself)

    _identity = _current

    def _index(self, node: Node) -> Part:
        return Part(closures.element(node["value"]), code=source.element(node["value"]))

    def _slice(self, node: Node) -> Part:
        start, stop, step = node["children"]
        if step == 0:
            raise self._fault(node, "a slice's step must not be 0", "invalid-value")
        return Part(closures.part_of(slice(start, stop, step)))

    def _expref(self, node: Node) -> Part:
        raise self._fault(node, "`&` stands only before an argument of map, sort_by, min_by or max_by", "invalid-type")

    # --- one after the other

    def _subexpression(self, node: Node) -> Part:
        nodes = steps_of(node)
        names = [step["value"] for step in nodes if step["type"] == "field"]
        if len(names) == len(nodes):
            return Part(closures.chain(names), code=source.chain(names))
        count = next(place for place, step in enumerate(nodes) if step["type"] != "field")
        head = [Part(closures.chain(names[:count]), code=source.chain(names[:count]))] if count else []
        return self._in_turn([*head, *map(self.part, nodes[count:])])

    _index_expression = _subexpression
    _pipe = _subexpression

    def _in_turn(self, parts: list[Part]) -> Part:
        copies = 1
        for part in parts:
            copies *= part.copies
        builds = any(part.builds for part in parts)
        steps = [part for part in parts if part.run is not closures.itself]
        run = closures.sequence([part.run for part in steps])
        code = source.in_turn([part.written() for part in steps], run) if steps else source.itself
        return Part(run, copies, parts[0].constant, builds, code)

    # --- lists

    def _flatten(self, node: Node) -> Part:
        base = self.part(node["children"][0])
        run = closures.flattened(base.run)
        return base._replace(run=run, code=source.flattened(base.written(), run))

    def _projection(self, node: Node) -> Part:
        base, each = map(self.part, node["children"])
        run = closures.projected(base.run, each.run)
        return Part(
            run,
            base.copies * each.copies,
            base.constant,
            base.builds or each.builds,
            source.projected(base.written(), each.written(), run),
        )

    def _value_projection(self, node: Node) -> Part:
        base, each = map(self.part, node["children"])
        run = closures.projected(closures.values_of(base.run), each.run)
        return Part(run, base.copies * each.copies, base.constant, base.builds or each.builds)

    def _filter_projection(self, node: Node) -> Part:
        base, each, condition = map(self.part, node["children"])
        run = closures.filtered(base.run, each.run, condition.run)
        code = source.projected(base.written(), each.written(), run, condition.written())
        return Part(run, base.copies * each.copies, base.constant, base.builds or each.builds, code)

    # --- building

    def _multi_select_list(self, node: Node) -> Part:
        parts = list(map(self.part, node["children"]))
        run = closures.listed([part.run for part in parts])
        code = source.listed([part.written() for part in parts], run)
        return Part(run, sum(part.copies for part in parts), builds=True, code=code)

    def _multi_select_dict(self, node: Node) -> Part:
        parts = {pair["value"]: self.part(pair["children"][0]) for pair in node["children"]}
        run = closures.named({name: part.run for name, part in parts.items()})
        code = source.named({name: part.written() for name, part in parts.items()}, run)
        return Part(run, sum(part.copies for part in parts.values()), builds=True, code=code)

    # --- logic

    def _or_expression(self, node: Node) -> Part:
        return self._either(node, closures.either, source.either)

    def _and_expression(self, node: Node) -> Part:
        return self._either(node, closures.both, source.both)

    def _either(self, node: Node, join: Callable[[Run, Run], Run], write: Callable[[Code, Code, Run], Code]) -> Part:
        left, right = map(self.part, node["children"])
        run = join(left.run, right.run)
        return Part(
            run,
            max(left.copies, right.copies),
            constant=left.constant and right.constant,
            builds=left.builds or right.builds,
            code=write(left.written(), right.written(), run),
        )

    def _not_expression(self, node: Node) -> Part:
        inner = self.part(node["children"][0])
        run = closures.negated(inner.run)
        return Part(run, constant=inner.constant, code=source.negated(inner.written(), run))

    def _comparator(self, node: Node) -> Part:
        left, right = map(self.part, node["children"])
        name, value = node["value"], right.run(None) if right.constant else None
        if type(value) is str:
            run = closures.compared_with_text(name, left.run, value)
        else:
            run = closures.compared(name, left.run, right.run)
        code = self._equality(node, left, right, run) if name in {"eq", "ne"} else None
        return Part(run, constant=left.constant and right.constant, code=code)

    def _equality(self, node: Node, left: Part, right: Part, run: Run) -> Code:
        wanted, asked = node["value"] == "eq", node["children"][0]
        value = right.run(None) if right.constant else None
        if right.constant and value is None:
            return source.is_null(left.written(), run, wanted=wanted)
        if type(value) is not str:
            return source.same(left.written(), right.written(), run, wanted=wanted)
        if value in _TYPES and asked["type"] == "function_expression" and asked["value"] == "type":
            inner = self.part(asked["children"][0]).written()
            return source.is_of_type(inner, _TYPES[value], run, wanted=wanted)
        return source.same_text(left.written(), value, run, wanted=wanted)

    # --- functions

    def _function_expression(self, node: Node) -> Part:
        function = self._function_of(node)
        places = range(len(node["children"]))
        arguments = [self._argument(node, function, place) for place in places]
        references = [function.parameter(place).reference for place in places]
        run, code = self._call(function, arguments, references)
        return Part(
            run,
            _copies_of_call(arguments, references) if function.shares else 1,
            constant=all(argument.constant for argument in arguments),
            builds=any(argument.builds for argument in arguments),
            code=code,
        )

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

    def _call(self, function: Function, arguments: list[Part], references: list[bool]) -> tuple[Run, Code | None]:
        runs = [argument.run for argument in arguments]
        if function.lazy:
            run: Run = function.call(*runs)
            return run, _code_of_choice(function.name, [argument.written() for argument in arguments], run)
        spend = self._meter.spend_characters
        if any(references):
            run = closures.referring(function, runs, references)
            return (closures.counted(run, spend) if function.grows else run), None
        of_values = closures.checked(function, len(runs))
        of_values = closures.counted(of_values, spend) if function.grows else of_values
        run = closures.applied(of_values, runs)
        body = closures.counted(function.call, spend) if function.grows else function.call
        fitting = [_fitting(function, place, argument) for place, argument in enumerate(arguments)]
        if None in fitting:
            return run, source.call(of_values, [argument.written() for argument in arguments], run)
        known = [one for one in fitting if one is not None]
        return run, source.call_where_fit(body, of_values, known, run, passes_null=function.passes_null)

    # --- nulls

    def held_null(self, node: Node) -> Run:
        """Whether a null result of this node is a null that the document holds. Asked only when the result is null."""
        made = getattr(self, f"_held_by_{node['type']}", None)
        run: Run = made(node) if made else closures.never
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
        steps = steps_of(node)
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
        return self._held_by_any(node) if passes else closures.never

    def _held_by_chosen(self, node: Node) -> Run:
        condition = self.part(node["children"][0]).run
        then, otherwise = [*map(self.held_null, node["children"][1:]), closures.never][:2]
        return lambda value: then(value) if truthy(condition(value)) else otherwise(value)


def _code_of_choice(name: str, arguments: list[Code], run: Run) -> Code | None:
    """The functions of which only the chosen argument is evaluated."""
    if name == "if":
        condition, then, *otherwise = arguments
        return source.chosen(condition, then, otherwise[0] if otherwise else source.constant(None), run)
    return source.first(arguments, run) if name == "coalesce" else None


_TYPES: dict[str, type] = {"array": list, "object": dict, "string": str, "boolean": bool}
"""What `type()` calls values of one type."""


def _fitting(function: Function, place: int, argument: Part) -> source.Argument | None:
    """An argument with what it may be; None where a look at its type does not tell whether it fits."""
    parameter = function.parameter(place)
    code = argument.written()
    if argument.constant:
        value = argument.run(None)
        fits = (
            type(value) in parameter.kinds and not parameter.elements and not (value is None and function.passes_null)
        )
        return source.Argument(code) if fits else None
    if not parameter.elements:
        return source.Argument(code, None if parameter.kinds == ANY else parameter.kinds)
    only_lists = parameter.kinds == {list} and len(parameter.elements) == 1
    return source.Argument(code, parameter.kinds, parameter.elements[0]) if only_lists else None


def _copies_of_call(arguments: list[Part], references: list[bool]) -> int:
    """A call holds each of its values once, with `&expressions` once for each copy that those make."""
    copies = sum(one.copies for one, reference in zip(arguments, references, strict=True) if not reference)
    for one, reference in zip(arguments, references, strict=True):
        copies *= one.copies if reference else 1
    return copies
