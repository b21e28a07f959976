"""What may stand in a field's block, and what is wrong with one that is not so."""

from collections.abc import Iterator, Mapping
from datetime import date
from math import isfinite
from typing import Any

from gateway import document
from gateway.config.registry import Problem
from gateway.config.wording import near
from gateway.mapping import types
from gateway.mapping.types import kind

Path = tuple[str | int, ...]
Block = Mapping[Any, Any]

MAPPING_KEYS = ("entity", "verb", "when", "root", "extends", "drop", "fields", "doc")
SOURCES = ("from", "value", "fields", "each")
"""The keys that say where a value comes from; `from` goes with `fields` and `each` too."""
TYPE_KEYS = {"country": "phone", "timezone": "datetime", "money": "number"}
"""Keys that tell a type where it is, and the type they belong to."""
KEYS = (*SOURCES, "type", "values", "else", "default", "required", "unfit", "nulls", "doc", *TYPE_KEYS)
_CALLED = {"float": "number", "decimal": "number", "int": "integer", "text": "string", "str": "string"}
_CALLED |= {"bool": "boolean", "array": "list", "time": "datetime", "timestamp": "datetime", "dict": "object"}
"""What other languages call our types."""
POLICIES = ("dead", "omit", "keep")
NULLS = ("omit", "send")


def faults(path: Path, block: Block) -> Iterator[Problem]:
    """Everything wrong with one block but its expressions and what is nested in it."""
    yield from unknown_keys(path, block, KEYS)
    yield from _source(path, block)
    if block.get("type", "string") not in types.NAMES:
        given = str(block["type"])
        yield Problem((*path, "type"), f"`{given}` is no type", near(_CALLED.get(given, given), types.NAMES))
    yield from _one_of(path, block, "unfit", POLICIES)
    yield from _one_of(path, block, "nulls", NULLS)
    yield from _absence(path, block)
    yield from _table(path, block)
    yield from _type_keys(path, block)
    yield from _constants(path, block)


def unknown_keys(path: Path, block: Block, known: tuple[str, ...]) -> Iterator[Problem]:
    for key in block:
        if key not in known:
            yield Problem((*path, str(key)), "unknown key", near(str(key), known), key=True)


def _source(path: Path, block: Block) -> Iterator[Problem]:
    found = [key for key in SOURCES if key in block]
    if not found:
        yield Problem(path, "a block says where its value comes from: `from`, `value`, `fields` or `each`")
    elif "value" in block and len(found) > 1:
        yield Problem(path, f"`value` and `{next(key for key in found if key != 'value')}` exclude each other")
    elif "each" in block and "from" in block and "fields" in block:
        yield Problem(path, "`from` and `fields` exclude each other inside `each`", "write `item.` in the fields")
    elif "each" in block and not {"fields", "from", "type", "values"} & block.keys():
        yield Problem(path, "`each` needs `fields` (a list of objects), or `from` or `type` (a list of values)")
    if "fields" in block and not isinstance(block["fields"], dict):
        yield Problem((*path, "fields"), f"a table of names and expressions, not {named(block['fields'])}")


def _absence(path: Path, block: Block) -> Iterator[Problem]:
    required = block.get("required", False)
    if not isinstance(required, bool):
        yield Problem((*path, "required"), "true or false")
    if required is True and "default" in block:
        yield Problem((*path, "required"), "a field with a `default` is never missing")
    if required is True and block.get("nulls") == "send":
        yield Problem((*path, "nulls"), "a required field sends no nulls")
    if block.get("nulls") == "send" and not {"from", "each"} & block.keys():
        yield Problem((*path, "nulls"), "only what an expression finds can be a null of the document")
    if "default" in block and block["default"] is None:
        yield Problem((*path, "default"), "a default is a value, not null", "to send nulls: `nulls: send`")


def _table(path: Path, block: Block) -> Iterator[Problem]:
    values = block.get("values")
    if "else" in block and "values" not in block:
        yield Problem((*path, "else"), "`else` belongs to `values`")
    if "values" in block and not (isinstance(values, dict) and values):
        yield Problem((*path, "values"), "a table: {paid: complete}")
    elif "values" in block and "fields" in block:
        yield Problem((*path, "values"), "`values` and `fields` exclude each other")
    for key in table(values):
        if not isinstance(key, str | int | float):
            yield Problem((*path, "values", str(key)), "a key of `values` is a text, a number, true or false")


def _type_keys(path: Path, block: Block) -> Iterator[Problem]:
    named_type = block.get("type")
    if "fields" in block and "type" in block:
        yield Problem((*path, "type"), "`fields` make an object, so `type` has nothing to convert")
    for key, wanted in TYPE_KEYS.items():
        if key in block and named_type != wanted and not (key == "money" and named_type is None):
            yield Problem((*path, key), f"`{key}` belongs to `type: {wanted}`")


def _constants(path: Path, block: Block) -> Iterator[Problem]:
    constants: dict[Path, Any] = {(key,): block[key] for key in ("value", "default", "else") if key in block}
    constants |= {("values", str(key)): value for key, value in table(block.get("values")).items()}
    for inner, constant in constants.items():
        try:
            plain(constant)
        except ValueError as error:
            yield Problem((*path, *inner), str(error), "put it in quotes")


def _one_of(path: Path, block: Block, key: str, allowed: tuple[str, ...]) -> Iterator[Problem]:
    if key in block and block[key] not in allowed:
        given = str(block[key])
        yield Problem((*path, key), f"`{given}` is none of {', '.join(allowed)}", near(given, allowed))


# --- values of the file ----------------------------------------------------------------------------------------------


def named(value: Any) -> str:
    """A value's type with its article."""
    found = kind(value)
    return found if found == "null" else f"{'an' if found[0] in 'aeiou' else 'a'} {found}"


def table(raw: Any) -> dict[Any, Any]:
    """What stands where a table should: a table, or nothing."""
    return raw if isinstance(raw, dict) else {}


def plain(value: Any) -> Any:
    """A constant of the file as a document holds it: fractions as Decimal, no dates. Raises ValueError."""
    made = _plain(value)
    try:
        document.dump(made)
    except (ValueError, OverflowError, RecursionError):
        raise ValueError("no JSON document can hold this") from None
    return made


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        if not isfinite(value):
            raise ValueError("JSON has neither infinity nor NaN")
        return types.number(float(value))
    if isinstance(value, list):
        return [_plain(element) for element in value]
    if isinstance(value, dict):
        return {str(key): _plain(element) for key, element in value.items()}
    if isinstance(value, date):
        raise ValueError("YAML reads this as a date, and JSON has none")  # noqa: TRY004  the operator's, not a bug
    if value is not None and not isinstance(value, str | int):
        raise ValueError(f"no JSON value ({type(value).__name__})")
    return value
