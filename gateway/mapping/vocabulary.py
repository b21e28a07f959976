"""The gateway's own vocabulary: which fields the normal form of each entity has, from the schemas in `normal/`."""

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

Path = tuple[str, ...]
Schema = dict[str, Any]

_SCHEMAS = files("gateway.mapping") / "normal"
_PARTS = frozenset({"address", "item", "person"})  # of entities, and none themselves


@cache
def entities() -> tuple[str, ...]:
    """The entities that have a schema, sorted: cart, checkout, customer ..."""
    names = (entry.name for entry in _SCHEMAS.iterdir())
    return tuple(sorted({name[:-5] for name in names if name.endswith(".json")} - _PARTS))


@cache
def fields(entity: str) -> frozenset[Path]:
    """Every field of an entity by its path, lists passed through: `("items", "sku")`. Empty where it has no schema."""
    return frozenset(path for path, _ in _every(entity))


@cache
def open_fields(entity: str) -> frozenset[Path]:
    """The fields that hold whatever a platform says: `("properties",)`."""
    return frozenset(path for path, schema in _every(entity) if _is_open(schema))


def _is_open(schema: Schema) -> bool:
    return schema.get("type") == "object" and not schema.get("properties")


def _every(entity: str) -> Iterator[tuple[Path, Schema]]:
    return _walk(_schema(entity), ()) if entity in entities() else iter(())


def _walk(schema: Schema, path: Path) -> Iterator[tuple[Path, Schema]]:
    for name, below in schema.get("properties", {}).items():
        whole = _resolved(below)
        yield (*path, name), whole
        yield from _walk(whole, (*path, name))


def _resolved(schema: Schema) -> Schema:
    """A field's schema without references; of a list, that of its elements."""
    if "$ref" in schema:
        schema = _schema(str(schema["$ref"]).removesuffix(".json"))
    return _resolved(schema["items"]) if "items" in schema else schema


@cache
def _schema(name: str) -> Schema:
    schema: Schema = json.loads((_SCHEMAS / f"{name}.json").read_text("utf-8"))
    return schema
