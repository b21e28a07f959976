"""Mapping rules: from what the YAML says to closures that make one document out of another.

`compile_mapping` checks a whole mapping and reports every fault by its key path; `Mapping.apply` then runs in
microseconds and raises nothing but `MappingError`. A compiled field is a closure from the scope (the document's names,
inside `each` also `item` and `parent`) to its value, None where there is nothing to send, `NULL` where a null is sent.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any

from gateway.config.registry import Problem
from gateway.config.wording import near
from gateway.errors import MappingError
from gateway.mapping import types
from gateway.mapping.expressions import EvaluationError, Expression, ExpressionError, Meter, compile_expression
from gateway.mapping.functions import VALUES_MAX, bounded, truthy
from gateway.mapping.types import Unfit, kind

FIELDS_MAX = 2000
"""Fields of one mapping, nested ones included."""
DEPTH_MAX = 16
"""Nesting of fields."""

_FEW_VALUES = 100  # copied from the document or made by `each`: with more, the whole result is looked at

Scope = dict[str, Any]
Field = Callable[[Scope], Any]
Convert = Callable[[Any, Scope], Any]
Path = tuple[str | int, ...]

NULL: Any = object()
"""What a field gives where a null is to be sent."""
_UNSET: Any = object()  # an option that is not there, where null would be one


class Mapping:
    """A compiled mapping. `unfit` counts values that were omitted or kept although they did not fit, by field path."""

    def __init__(self, name: str, entity: str | None, verb: str | None, made: "_Made") -> None:
        self.name = name
        self.entity = entity
        self.verb = verb
        self.unfit = made.unfit
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
                if made.when is None or truthy(made.when(scope)):
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
    when: Field | None
    build: Field
    meter: Meter
    unfit: Counter[str]


def compile_mapping(name: str, raw: MappingOf[str, Any]) -> tuple[Mapping | None, list[Problem]]:
    """A mapping from its YAML (with `extends` already resolved), and everything that is wrong with it. The mapping is
    None when anything is.
    """
    compiler = _Compiler(name)
    made = compiler.mapping(raw)
    if made is None or compiler.problems:
        return None, compiler.problems
    return Mapping(name, raw.get("entity"), raw.get("verb"), made), []


# --- what may stand in the YAML --------------------------------------------------------------------------------------

MAPPING_KEYS = ("entity", "verb", "when", "root", "extends", "drop", "fields", "doc")
_SOURCES = ("from", "value", "fields", "each")
_OPTIONS = ("type", "values", "else", "default", "required", "unfit", "nulls", "doc")
_TYPE_KEYS = {"country": "phone", "timezone": "datetime", "money": "number"}
FIELD_KEYS = (*_SOURCES, *_OPTIONS, *_TYPE_KEYS)
_POLICIES = ("dead", "omit", "keep")
_NULLS = ("omit", "send")
_CONTAINERS = ("object", "list")
_UTC_ENDINGS = ("_gmt", "_utc")  # a field that says its times are UTC, as WooCommerce's date_created_gmt


class _Compiler:
    """Checks one mapping and makes its closures. Goes on after a fault, so that all of them are reported."""

    def __init__(self, name: str) -> None:
        self.problems: list[Problem] = []
        self._name = name
        self._meter = Meter()
        self._unfit: Counter[str] = Counter()
        self._fields = 0

    # --- the mapping

    def mapping(self, raw: MappingOf[str, Any]) -> _Made | None:
        self._known((), raw, MAPPING_KEYS)
        for key in ("entity", "verb"):
            self._word((key,), raw.get(key))
        when = self._expression(("when",), raw["when"]) if "when" in raw else None
        root = self._expression(("root",), raw["root"]) if "root" in raw else None
        fields = raw.get("fields")
        if not isinstance(fields, dict):
            self._problem(
                ("fields",) if "fields" in raw else (), "a mapping has `fields`: a table of names and expressions"
            )
            return None
        build = self._object(("fields",), fields, "")
        scopes = _each_root(root.run, self._meter) if root else _one_scope
        return _Made(scopes, when.run if when else None, build, self._meter, self._unfit)

    def _word(self, path: Path, value: Any) -> None:
        plain = isinstance(value, str) and value.replace("_", "").isalnum() and value == value.lower()
        if value is not None and not plain:
            self._problem(path, "one word in lower case", "order, created, partially_fulfilled")

    # --- objects and fields

    def _object(self, path: Path, raw: MappingOf[Any, Any], label: str) -> Field:
        """A closure that builds an object from fields; `label` is the object's dotted path in the result."""
        self._fields += len(raw)
        if self._fields > FIELDS_MAX or len(path) > 2 * DEPTH_MAX:
            self._problem(path, f"more than {FIELDS_MAX} fields, or nested deeper than {DEPTH_MAX}")
            return _nothing
        members = []
        for name, field in raw.items():
            inner = f"{label}.{name}" if label else str(name)
            if not isinstance(name, str):
                self._problem((*path, str(name)), "a field's name is a text", "put it in quotes")
                continue
            members.append((name, inner, self._field((*path, name), field, inner)))
        return _object(self._name, members)

    def _field(self, path: Path, raw: Any, label: str) -> Field:
        if isinstance(raw, str):
            return self._expression_field(path, raw)
        if not isinstance(raw, dict):
            hint = "a constant is {value: ...}" if not isinstance(raw, list) else "a list is {each: ..., fields: ...}"
            self._problem(path, f"a field is an expression or a block, not {_named(raw)}", hint)
            return _nothing
        before = len(self.problems)
        self._check_block(path, raw)
        if len(self.problems) > before and not any(key in raw for key in _SOURCES):
            return _nothing
        return self._block(path, raw, label)

    def _expression_field(self, path: Path, text: str) -> Field:
        expression = self._expression(path, text)
        return self._whole(expression.run) if expression else _nothing

    def _whole(self, source: Field) -> Field:
        """A field whose value is passed on as it is: where that is a container, its size is counted."""
        spend = self._meter.spend_values

        def run(scope: Scope) -> Any:
            value = source(scope)
            if type(value) is dict or type(value) is list:
                spend(bounded(value))
            return value

        return run

    def _block(self, path: Path, raw: MappingOf[str, Any], label: str) -> Field:
        if "fields" in raw or "each" in raw:
            return self._container(path, raw, label)
        if "value" in raw:
            return self._settled(
                raw, label, self._constant((*path, "value"), raw["value"]), self._convert(path, raw, "")
            )
        expression = self._expression((*path, "from"), raw.get("from"))
        if expression is None:
            return _nothing
        convert = self._convert(path, raw, expression.last_name)
        source = self._whole(expression.run) if convert is None or raw.get("type") in _CONTAINERS else expression.run
        return self._settled(raw, label, source, convert, expression)

    def _settled(
        self,
        raw: MappingOf[str, Any],
        label: str,
        source: Field,
        convert: Convert | None,
        expression: Expression | None = None,
    ) -> Field:
        """A field whose faults go the way that `unfit` says, and whose absence the way of `default` and `required`."""
        missing = self._missing(raw, label)
        absent = _null_or(expression.held_null, missing) if expression and raw.get("nulls") == "send" else missing
        policy = raw.get("unfit", "dead")
        if policy != "dead":
            kept = self._whole(expression.run) if expression and policy == "keep" else _nothing
            source, convert = _lenient(source, convert, kept, partial(_count, self._unfit, label)), None
        return _field(source, convert, absent, missing)

    # --- containers

    def _container(self, path: Path, raw: MappingOf[str, Any], label: str) -> Field:
        key = "each" if "each" in raw else "from"
        if key not in raw:
            return self._settled(
                raw, label, _unless_empty(self._object((*path, "fields"), _table(raw["fields"]), label)), None
            )
        expression = self._expression((*path, key), raw[key])
        if expression is None:
            return _nothing
        if key == "each":
            source = _listed(expression.run, self._each(path, raw, f"{label}[]"), self._meter)
        else:
            source = _nested(expression.run, self._object((*path, "fields"), _table(raw["fields"]), label))
        return self._settled(raw, label, source, None, expression)

    def _each(self, path: Path, raw: MappingOf[str, Any], label: str) -> Field:
        """What each element of a list becomes: an object, or one value."""
        if "fields" in raw:
            return _unless_empty(self._object((*path, "fields"), _table(raw["fields"]), label))
        keys = ("from", "values", "else", "type", "unfit", *_TYPE_KEYS)
        block = {"from": "item"} | {key: raw[key] for key in keys if key in raw}
        return _labelled(self._name, label, self._block(path, block, label))

    # --- what becomes of a value

    def _missing(self, raw: MappingOf[str, Any], label: str) -> Field:
        if "default" in raw:
            default = _plain(raw["default"])
            return lambda _: default
        if raw.get("required"):
            return partial(_refuse, self._name, label)
        return _nothing

    def _constant(self, path: Path, value: Any) -> Field:
        try:
            constant = _plain(value)
        except ValueError as error:
            self._problem(path, str(error), "put it in quotes")
            return _nothing
        return lambda _: constant

    def _convert(self, path: Path, raw: MappingOf[str, Any], last_name: str) -> Convert | None:
        steps: list[Convert] = []
        if isinstance(raw.get("values"), dict):
            steps.append(_looked_up(raw))
        named = raw.get("type", "number" if "money" in raw else None)
        if "money" in raw:
            steps.append(self._placed(path, raw, "money", "currency", types.money, types.currency))
        elif named == "datetime" and "timezone" not in raw and last_name.endswith(_UTC_ENDINGS):
            steps.append(_unplaced(types.utc_datetime))
        elif named in types.PLACED:
            key, convert = types.PLACED[named]
            check = types.country if key == "country" else types.string
            steps.append(self._placed(path, raw, key, key, convert, check))
        elif named in types.PLAIN:
            steps.append(_unplaced(types.PLAIN[named]))
        return _one_step(steps)

    def _placed(
        self,
        path: Path,
        raw: MappingOf[str, Any],
        key: str,
        setting: str,
        convert: Callable[[Any, str | None], Any],
        check: Callable[[Any], str],
    ) -> Convert:
        """A conversion that needs a place: the block's own expression for it, else the source's setting."""
        expression = self._expression((*path, key), raw[key]) if key in raw else None
        own = expression.run if expression else None

        def run(value: Any, scope: Scope) -> Any:
            place = own(scope) if own else None
            if place is None:
                source = scope.get("source")
                place = source.get(setting) if type(source) is dict else None
            return convert(value, None if place is None or place == "" else check(place))

        return run

    def _expression(self, path: Path, text: Any) -> Expression | None:
        if not isinstance(text, str):
            self._problem(path, f"an expression is a text, not {_named(text)}", "a constant is {value: ...}")
            return None
        try:
            expression = compile_expression(text, self._meter)
        except ExpressionError as error:
            hint = f"{error.hint}\n{error.caret()}" if error.hint else error.caret()
            self._problem(path, f"column {error.column}: {error.cause}", hint)
            return None
        return expression

    # --- checking a block

    def _check_block(self, path: Path, raw: MappingOf[Any, Any]) -> None:
        self._known(path, raw, FIELD_KEYS)
        self._check_source(path, raw)
        self._one_of(path, raw, "type", types.NAMES)
        self._one_of(path, raw, "unfit", _POLICIES)
        self._one_of(path, raw, "nulls", _NULLS)
        self._check_absence(path, raw)
        self._check_table(path, raw)
        self._check_type_keys(path, raw)

    def _check_source(self, path: Path, raw: MappingOf[Any, Any]) -> None:
        found = [key for key in _SOURCES if key in raw]
        if not found:
            self._problem(path, "a block says where its value comes from: `from`, `value`, `fields` or `each`")
        elif "value" in raw and len(found) > 1:
            self._problem(path, f"`value` and `{next(key for key in found if key != 'value')}` exclude each other")
        elif found == ["each"] and "type" not in raw and "values" not in raw:
            self._problem(path, "`each` needs `fields` (a list of objects) or `type` (a list of values)")
        elif "each" in raw and "from" in raw and "fields" in raw:
            self._problem(path, "`from` and `fields` exclude each other inside `each`", "write `item.` in the fields")
        if "fields" in raw and not isinstance(raw["fields"], dict):
            self._problem((*path, "fields"), f"a table of names and expressions, not {_named(raw['fields'])}")

    def _check_absence(self, path: Path, raw: MappingOf[Any, Any]) -> None:
        if not isinstance(raw.get("required", False), bool):
            self._problem((*path, "required"), "true or false")
        if raw.get("required") is True and "default" in raw:
            self._problem((*path, "required"), "a field with a `default` is never missing")
        if raw.get("required") is True and raw.get("nulls") == "send":
            self._problem((*path, "nulls"), "a required field sends no nulls")
        if raw.get("nulls") == "send" and not {"from", "each"} & raw.keys():
            self._problem((*path, "nulls"), "only what an expression finds can be a null of the document")
        if "default" in raw:
            self._constant((*path, "default"), raw["default"])
            if raw["default"] is None:
                self._problem((*path, "default"), "a default is a value, not null", "to send nulls: `nulls: send`")

    def _check_table(self, path: Path, raw: MappingOf[Any, Any]) -> None:
        values = raw.get("values")
        if "else" in raw and "values" not in raw:
            self._problem((*path, "else"), "`else` belongs to `values`")
        if "values" in raw and not (isinstance(values, dict) and values):
            self._problem((*path, "values"), "a table: {paid: complete}")
        elif "values" in raw and "fields" in raw:
            self._problem((*path, "values"), "`values` and `fields` exclude each other")
        if "else" in raw:
            self._constant((*path, "else"), raw["else"])
        for key, value in _table(values).items():
            self._constant((*path, "values", str(key)), value)
            if not isinstance(key, str | int | float):
                self._problem((*path, "values", str(key)), "a key of `values` is a text, a number, true or false")

    def _check_type_keys(self, path: Path, raw: MappingOf[Any, Any]) -> None:
        named = raw.get("type")
        if "fields" in raw and "type" in raw:
            self._problem((*path, "type"), "`fields` make an object, so `type` has nothing to convert")
        for key, wanted in _TYPE_KEYS.items():
            if key in raw and named != wanted and not (key == "money" and named is None):
                self._problem((*path, key), f"`{key}` belongs to `type: {wanted}`")

    def _one_of(self, path: Path, raw: MappingOf[Any, Any], key: str, allowed: tuple[str, ...]) -> None:
        if key in raw and raw[key] not in allowed:
            self._problem((*path, key), f"one of {', '.join(allowed)}", near(str(raw[key]), allowed))

    def _known(self, path: Path, raw: MappingOf[Any, Any], allowed: tuple[str, ...]) -> None:
        for key in raw:
            if key not in allowed:
                self.problems.append(Problem((*path, str(key)), "unknown key", near(str(key), allowed), key=True))

    def _problem(self, path: Path, cause: str, hint: str = "") -> None:
        self.problems.append(Problem(path, cause, hint))


def _named(value: Any) -> str:
    found = kind(value)
    return found if found == "null" else f"{'an' if found[0] in 'aeiou' else 'a'} {found}"


def _table(raw: Any) -> dict[Any, Any]:
    """What stands where a table should: a table, or (reported elsewhere) nothing."""
    return raw if isinstance(raw, dict) else {}


def _plain(value: Any) -> Any:
    """A constant of the YAML as a document holds it: no floats, no dates, no subclasses. Raises ValueError."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return types.number(float(value))
    for plain in (str, int):
        if isinstance(value, plain):
            return plain(value)
    if isinstance(value, list):
        return [_plain(element) for element in value]
    if isinstance(value, dict):
        return {str(key): _plain(element) for key, element in value.items()}
    if isinstance(value, date | datetime):
        raise ValueError("YAML reads this as a date, JSON has none")  # noqa: TRY004  the operator's text, not our type
    raise ValueError(f"no JSON value ({type(value).__name__})")


# --- closures --------------------------------------------------------------------------------------------------------


def _nothing(_scope: Scope) -> None:
    return None


def _one_scope(document: Scope) -> Iterable[Scope]:
    return (document,)


def _each_root(root: Field, meter: Meter) -> Callable[[Scope], Iterable[Scope]]:
    """One scope per element of a list, the element as `item` and the document as `parent`. Null makes none, anything
    else one.
    """

    def scopes(document: Scope) -> Iterable[Scope]:
        found = root(document)
        elements = found if type(found) is list else [found]
        meter.spend_values(len(elements))
        return [{**document, "item": one, "parent": document} for one in elements if one is not None]

    return scopes


def _object(name: str, members: list[tuple[str, str, Field]]) -> Field:
    """The one loop that runs for every field of every event."""

    def build(scope: Scope) -> dict[str, Any]:
        made = {}
        label = ""
        try:
            for key, label, field in members:  # noqa: B007  the label is for the fault, where one breaks the loop
                value = field(scope)
                if value is not None:
                    made[key] = value if value is not NULL else None
        except EvaluationError as error:
            raise MappingError(name, label, str(error)) from None
        return made

    return build


def _unless_empty(build: Field) -> Field:
    """An object of which nothing is there is not there itself."""
    return lambda scope: build(scope) or None


def _nested(source: Field, build: Field) -> Field:
    def run(scope: Scope) -> Any:
        found = source(scope)
        if found is None:
            return None
        if type(found) is not dict:
            raise Unfit("object", found)
        return build({**scope, "item": found, "parent": scope.get("item", scope)}) or None

    return run


def _listed(source: Field, element: Field, meter: Meter) -> Field:
    def run(scope: Scope) -> Any:
        found = source(scope)
        if found is None:
            return None
        if type(found) is not list:
            raise Unfit("list", found)
        meter.spend_values(len(found))
        parent = scope.get("item", scope)
        scopes = ({**scope, "item": one, "parent": parent} for one in found if one is not None)
        return [made for inner in scopes if (made := element(inner)) is not None]

    return run


def _unplaced(convert: Callable[[Any], Any]) -> Convert:
    return lambda value, _: convert(value)


def _one_step(steps: list[Convert]) -> Convert | None:
    if len(steps) <= 1:
        return steps[0] if steps else None
    first, second = steps

    def run(value: Any, scope: Scope) -> Any:
        found = first(value, scope)
        return None if found is None else second(found, scope)

    return run


def _looked_up(raw: MappingOf[str, Any]) -> Convert:
    """A table look-up by the value's text: `true`, `1` and `1.0` find the keys `true` and `1`."""
    keyed = ((key, value) for key, value in raw["values"].items() if isinstance(key, str | int | float))
    table = {_key(key): _quiet(value) for key, value in keyed}
    otherwise = _quiet(raw["else"]) if "else" in raw else _UNSET

    def run(value: Any, _scope: Scope) -> Any:
        found = table.get(value if type(value) is str else types.string(value), otherwise)
        if found is _UNSET:
            raise Unfit("one of `values`", value)
        return found

    return run


def _key(key: Any) -> str:
    """A table's key as text: YAML reads `true:` and `1.0:` as more than text."""
    return types.string(types.number(key) if isinstance(key, float) else key) if not isinstance(key, str) else str(key)


def _quiet(value: Any) -> Any:
    """A constant whose faults have been reported already."""
    try:
        return _plain(value)
    except ValueError:
        return None


def _null_or(held: Field, missing: Field) -> Field:
    return lambda scope: NULL if held(scope) else missing(scope)


def _refuse(name: str, label: str, _scope: Scope) -> Any:
    raise MappingError(name, label, "required, and there is no value")


def _count(counter: Counter[str], label: str) -> None:
    counter[label] += 1


def _field(source: Field, convert: Convert | None, absent: Field, missing: Field) -> Field:
    """Source, conversion, and what stands in: `absent` where the source gave nothing, `missing` where the conversion
    did. Without any of them a field is its source.
    """
    if convert is None:
        return source if absent is _nothing else _standing_in(source, absent)

    def run(scope: Scope) -> Any:
        value = source(scope)
        if value is None:
            return absent(scope)
        value = convert(value, scope)
        return value if value is not None else missing(scope)

    return run


def _standing_in(source: Field, absent: Field) -> Field:
    def run(scope: Scope) -> Any:
        value = source(scope)
        return value if value is not None else absent(scope)

    return run


def _lenient(source: Field, convert: Convert | None, kept: Field, count: Callable[[], None]) -> Field:
    """A source and its conversion where a value that does not fit is counted, and kept or left out."""

    def run(scope: Scope) -> Any:
        try:
            value = source(scope)
            return value if value is None or convert is None else convert(value, scope)
        except EvaluationError:
            count()
        try:
            return kept(scope)
        except EvaluationError:
            return None

    return run


def _labelled(name: str, label: str, field: Field) -> Field:
    """A field outside of an object, so that its faults have a path."""

    def run(scope: Scope) -> Any:
        try:
            return field(scope)
        except EvaluationError as error:
            raise MappingError(name, label, str(error)) from None

    return run
