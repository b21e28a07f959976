"""Mapping rules: from what the YAML says to a compiled mapping that makes one document out of another.

`compile_mapping` checks a whole mapping and reports every fault by its key path; `Mapping.apply` then runs in
microseconds and raises nothing but `MappingError`.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from typing import Any

from gateway.config.registry import Problem
from gateway.errors import MappingError
from gateway.mapping import blocks, fields, types
from gateway.mapping.blocks import Block, Path
from gateway.mapping.expressions import Expression, ExpressionError, Meter, compile_expression
from gateway.mapping.fields import Field, Lines, Member, Members, Scope, Step
from gateway.mapping.reads import reads_of
from gateway.mapping.source import constant, function
from gateway.mapping.table import VALUES_MAX, bounded, truthy
from gateway.mapping.types import EvaluationError
from gateway.mapping.writer import Code
from gateway.telemetry import metrics

FIELDS_MAX = 2000
"""Fields of one mapping, nested ones included."""
DEPTH_MAX = 16
"""Nesting of fields."""

_FEW_VALUES = 300  # in lists and copied containers: with more, the whole result is looked at
_CONTAINERS = ("object", "list")
_TYPES_MAX = 256  # of events, for which a condition's answer is remembered; some senders choose them freely
_FAULTY = Member(fields.from_code(constant(None)))  # of a mapping that is not made
_UTC_ENDINGS = ("_gmt", "_utc")  # a field that says its times are UTC, as WooCommerce's date_created_gmt


class Mapping:
    """A compiled mapping. `unfit` counts values that were left out or kept although they did not fit, by field path
    (the metric does too).
    """

    def __init__(self, name: str, entity: str | None, verb: str | None, made: "_Made") -> None:
        self.name = name
        self.entity = entity
        self.verb = verb
        self.unfit: MappingOf[str, int] = made.unfit
        self._made = made

    def apply(self, document: dict[str, Any]) -> list[dict[str, Any]]:
        """What the mapping makes of a document: one object, with `root` one for each element, none where `when` is
        false. Objects hold dict, list, str, int, Decimal, bool and None. They share parts with the document: read, do
        not change. Raises `MappingError` only.
        """
        made = self._made
        made.meter.reset()
        place = "root"
        results = []
        try:
            for scope in made.scopes(document):
                place = "when"
                if made.when is None or made.when(scope):
                    place = ""
                    results.append(made.build(scope))
            if VALUES_MAX - made.meter.values > _FEW_VALUES:
                bounded(results)
        except EvaluationError as error:
            raise MappingError(self.name, place, str(error)) from None
        except RecursionError:
            raise MappingError(self.name, place, "nested too deeply") from None
        return results


@dataclass(slots=True)
class _Made:
    """What the compiler made: how to get the scopes, whether to take one, how to build its object."""

    scopes: Callable[[Scope], Iterable[Scope]]
    when: Callable[[Scope], bool] | None
    build: Field
    meter: Meter
    unfit: Counter[str] = field(default_factory=Counter)


def compile_mapping(name: str, raw: MappingOf[str, Any]) -> tuple[Mapping | None, list[Problem]]:
    """A mapping from its YAML (with `extends` already resolved), and everything that is wrong with it. The mapping is
    None when anything is.
    """
    compiler = _Compiler(name)
    made = compiler.mapping(raw)
    if made is None or compiler.problems:
        return None, compiler.problems
    return Mapping(name, raw.get("entity"), raw.get("verb"), made), []


class _Compiler:
    """Checks one mapping and makes its closures. Goes on after a fault, so that all of them are reported."""

    def __init__(self, name: str) -> None:
        self.problems: list[Problem] = []
        self._name = name
        self._meter = Meter()
        self._sized = fields.sized(self._meter)
        self._unfit: Counter[str] = Counter()
        self._fields = 0

    # --- the mapping

    def mapping(self, raw: MappingOf[str, Any]) -> _Made | None:
        self.problems.extend(blocks.unknown_keys((), raw, blocks.MAPPING_KEYS))
        for key in ("entity", "verb"):
            self._word((key,), raw.get(key))
        when = self._expression(("when",), raw["when"]) if "when" in raw else None
        root = self._expression(("root",), raw["root"]) if "root" in raw else None
        members = raw.get("fields")
        if not isinstance(members, dict):
            path: Path = ("fields",) if "fields" in raw else ()
            self._problem(path, "a mapping has `fields`: a table of names and expressions")
            return None
        build = self._object(("fields",), members, "")
        if self.problems:
            return None
        scopes = fields.each_root(root.run, self._meter, self._fields) if root else fields.one_scope
        return _Made(scopes, _asked(when) if when else None, fields.function_of(build), self._meter, self._unfit)

    def _word(self, path: Path, value: Any) -> None:
        plain = isinstance(value, str) and value.replace("_", "").isalnum() and value == value.lower()
        if value is not None and not plain:
            cause = f"`{value}` is no name of {'an entity' if path == ('entity',) else 'a verb'}"
            self._problem(path, cause, "one word in lower case: order, created, partially_fulfilled")

    # --- objects and fields

    def _object(self, path: Path, raw: Block, label: str) -> Members:
        """An object made of fields; `label` is the object's dotted path in the result."""
        self._fields += len(raw)
        if self._fields > FIELDS_MAX or len(path) > 2 * DEPTH_MAX:
            self._problem(path, f"more than {FIELDS_MAX} fields, or nested deeper than {DEPTH_MAX}")
            return Members(self._name, [])
        members = []
        for name, member in raw.items():
            if not isinstance(name, str):
                self._problem((*path, str(name)), "a field's name is a text", "put it in quotes")
                continue
            inner = f"{label}.{name}" if label else name
            members.append((name, inner, self._field((*path, name), member, inner)))
        return Members(self._name, members)

    def _field(self, path: Path, raw: Any, label: str) -> Member:
        if isinstance(raw, str):
            expression = self._expression(path, raw)
            return Member(fields.from_code(expression.code), (self._sized,)) if expression else _FAULTY
        if not isinstance(raw, dict):
            hint = "a list is {each: ..., fields: ...}" if isinstance(raw, list) else "a constant is {value: ...}"
            self._problem(path, f"a field is an expression or a block, not {blocks.named(raw)}", hint)
            return _FAULTY
        found = list(blocks.faults(path, raw))
        self.problems.extend(found)
        if found:
            self._look_inside(path, raw, label)
            return _FAULTY
        return self._block(path, raw, label)

    def _look_inside(self, path: Path, raw: Block, label: str) -> None:
        """Report also what is wrong with the expressions and fields of a block that is faulty itself."""
        for key in ("from", "each", *blocks.TYPE_KEYS):
            if key in raw:
                self._expression((*path, key), raw[key])
        self._object((*path, "fields"), blocks.table(raw.get("fields")), label)

    def _block(self, path: Path, raw: Block, label: str) -> Member:
        if "fields" in raw or "each" in raw:
            return self._container(path, raw, label)
        if "value" in raw:
            source = fields.from_code(constant(blocks.plain(raw["value"])))
            return self._settled(raw, label, Member(source, self._steps(path, raw, "")))
        expression = self._expression((*path, "from"), raw["from"])
        if expression is None:
            return _FAULTY
        steps = self._steps(path, raw, expression.last_name)
        if not steps or raw.get("type") in _CONTAINERS:
            steps = (self._sized, *steps)
        return self._settled(raw, label, Member(fields.from_code(expression.code), steps), expression)

    def _container(self, path: Path, raw: Block, label: str) -> Member:
        key = "each" if "each" in raw else "from"
        if key not in raw:
            made = fields.nested(self._object((*path, "fields"), raw["fields"], label))
            return self._settled(raw, label, Member(made))
        expression = self._expression((*path, key), raw[key])
        before = self._fields
        if key == "each":
            element = self._each(path, raw, f"{label}[]")
            width = self._fields - before + 1
            source = fields.listed(_code(expression), element, self._meter, width)
        else:
            inner = fields.nested(self._object((*path, "fields"), raw["fields"], label))
            source = fields.made_from(_code(expression), inner)
        return self._settled(raw, label, Member(source), expression)

    def _each(self, path: Path, raw: Block, label: str) -> Lines:
        """What each element of a list becomes: an object, or one value."""
        if "fields" in raw:
            return fields.nested(self._object((*path, "fields"), raw["fields"], label))
        keys = ("from", "values", "else", "type", "unfit", *blocks.TYPE_KEYS)
        block = {"from": "item"} | {key: raw[key] for key in keys if key in raw}
        return fields.labelled(self._name, label, self._block(path, block, label))

    # --- what becomes of a value

    def _settled(self, raw: Block, label: str, member: Member, expression: Expression | None = None) -> Member:
        """A field whose absence goes the way of `default`, `required` and `nulls`, and its faults that of `unfit`."""
        missing = self._missing(raw, label)
        sends = expression is not None and raw.get("nulls") == "send"
        absent = fields.null_or(expression.held_null, missing) if expression and sends else missing
        unfit = self._unfit_way(raw, label, expression)
        return member._replace(absent=absent, missing=missing, unfit=unfit, sends_null=sends)

    def _missing(self, raw: Block, label: str) -> Code:
        if "default" in raw:
            return constant(blocks.plain(raw["default"]))
        return fields.refused(self._name, label) if raw.get("required") else fields.nothing

    def _unfit_way(self, raw: Block, label: str, expression: Expression | None) -> Code | None:
        policy = raw.get("unfit", "dead")
        if policy == "dead":
            return None

        def count() -> None:
            self._unfit[label] += 1
            metrics.mapping_unfit.labels(self._name, label).inc()

        if policy == "keep" and expression is not None:
            return fields.kept(fields.whole(expression.run, self._meter), count)
        return fields.left_out(count)

    def _steps(self, path: Path, raw: Block, last_name: str) -> tuple[Step, ...]:
        steps = [fields.looked_up(raw)] if "values" in raw else []
        wanted = raw.get("type")
        if "money" in raw:
            steps.append(self._placed(path, raw, "money", "currency", types.amount, types.amounts))
        elif wanted == "datetime" and "timezone" not in raw and last_name.endswith(_UTC_ENDINGS):
            steps.append(Step(types.utc_datetime))
        elif wanted == "datetime":
            steps.append(self._placed(path, raw, "timezone", "timezone", types.utc_datetime, types.string))
        elif wanted == "phone":
            steps.append(self._placed(path, raw, "country", "country", types.phone, types.country_if_known))
        elif wanted is not None:
            steps.append(Step(types.PLAIN[wanted], known=types.SEEN.get(wanted)))
        return tuple(steps)

    def _placed(
        self,
        path: Path,
        raw: Block,
        key: str,
        setting: str,
        convert: Callable[[Any, Any], Any],
        check: Callable[[Any], Any],
    ) -> Step:
        expression = self._expression((*path, key), raw[key]) if key in raw else None
        return Step(convert, fields.Place(expression.code if expression else None, setting, check))

    def _expression(self, path: Path, text: Any) -> Expression | None:
        if not isinstance(text, str):
            self._problem(path, f"an expression is a text, not {blocks.named(text)}", "a constant is {value: ...}")
            return None
        try:
            return compile_expression(text, self._meter)
        except ExpressionError as error:
            hint = f"{error.hint}\n{error.caret()}" if error.hint else error.caret()
            self._problem(path, f"column {error.column}: {error.cause}", hint)
            return None

    def _problem(self, path: Path, cause: str, hint: str = "") -> None:
        self.problems.append(Problem(path, cause, hint))


def _asked(condition: Expression) -> Callable[[Scope], bool]:
    """Whether a condition holds. One that asks for nothing but the event's type, as most do, is asked once a type."""
    run = function(condition.code)
    if reads_of(condition.text).paths().keys() != {("type",)}:
        return lambda scope: truthy(run(scope))
    answers: dict[str, bool] = {}

    def ask(scope: Scope) -> bool:
        kind = scope.get("type")
        answer = answers.get(kind) if type(kind) is str else None
        if answer is None:
            answer = truthy(run(scope))
            if type(kind) is str and len(answers) < _TYPES_MAX:
                answers[kind] = answer
        return answer

    return ask


def _code(expression: Expression | None) -> Code:
    """An expression as source; of one that has a fault, any."""
    return expression.code if expression else constant(None)
