"""The configuration's JSON Schema, by which editors complete and check: the models, with each vendor's settings."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway.config.registry import Registry
from gateway.config.schema import Config
from gateway.config.values import DURATION, NAME, PERCENT, SIZE, bytes_text, duration, percent

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_FILLED_IN = r"\$\{[^}]+\}"
_PLAIN = ("integer", "number", "boolean")
_DISCRIMINATOR = "Which of the forms this is."

Schema = dict[str, Any]


def json_schema(registry: Registry) -> Schema:
    """The whole configuration as JSON Schema 2020-12. A destination's keys depend on its `vendor`."""
    models: list[type[BaseModel]] = [Config, *registry.vendors.values(), registry.lookup, *_preset(registry)]
    references, shared = models_json_schema([(model, "validation") for model in models], by_alias=True)
    definitions: Schema = shared["$defs"]
    root = definitions.pop(_name(references[Config, "validation"]))
    vendors = {name: references[model, "validation"] for name, model in registry.vendors.items()}
    for name, reference in vendors.items():
        definitions[_name(reference)]["properties"]["vendor"] = {"const": name, "description": "Whose API this is."}
    definitions["Destination"] = _destination(vendors)
    root["properties"]["destinations"]["patternProperties"] = {NAME: {"$ref": "#/$defs/Destination"}}
    lookup = references[registry.lookup, "validation"]
    root["properties"]["lookups"]["patternProperties"] = {NAME: lookup}
    _named(definitions["Source"]["properties"]["preset"], registry.presets)
    _own(root, definitions, registry, references)
    whole = {"$schema": DIALECT, "title": "Webhook gateway configuration", **root, "$defs": definitions}
    tidied = _tidied(whole)
    assert isinstance(tidied, dict)  # noqa: S101  a table stays a table
    return tidied


def _preset(registry: Registry) -> list[type[BaseModel]]:
    return [] if registry.preset is None else [registry.preset]


def _own(root: Schema, definitions: Schema, registry: Registry, references: Mapping[Any, Schema]) -> None:
    """Presets and mappings of one's own, whose form other rooms know."""
    if registry.preset is not None:
        root["properties"]["presets"]["patternProperties"] = {NAME: references[registry.preset, "validation"]}
    if registry.mapping:
        root["properties"]["mappings"]["additionalProperties"] = {"$ref": registry.mapping["$ref"]}
        definitions.update(registry.mapping["$defs"])


def _name(reference: Schema) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _destination(vendors: dict[str, Schema]) -> Schema:
    """A destination: its vendor first, then the keys of that vendor."""
    return {
        "type": "object",
        "description": "A vendor target. Its keys depend on `vendor`.",
        "required": ["vendor"],
        "properties": {"vendor": {"enum": sorted(vendors), "description": "Whose API this is."}},
        "allOf": [
            {"if": {"properties": {"vendor": {"const": name}}, "required": ["vendor"]}, "then": reference}
            for name, reference in sorted(vendors.items())
        ],
    }


def _named(schema: Schema, names: Any) -> None:
    """Complete the shipped names, and take one's own."""
    schema.pop("type", None)
    schema["anyOf"] = [{"enum": sorted(names)}, {"type": "string", "pattern": NAME}]


def _tidied(value: Any) -> Any:
    """Without pydantic's titles, with defaults as the file writes them, and `${NAME}` wherever a value may stand."""
    if isinstance(value, list):
        return [_tidied(one) for one in value]
    if not isinstance(value, dict):
        return value
    whole = {key: _tidied(below) for key, below in value.items() if key not in ("title", "default")}
    if isinstance(value.get("title"), dict):
        whole["title"] = _tidied(value["title"])
    elif "$schema" in value:
        whole["title"] = value["title"]
    if "patternProperties" in whole:
        whole["additionalProperties"] = False
    if "const" in value and "description" not in value and "default" in value:
        whole["description"] = _DISCRIMINATOR
    if isinstance(value.get("default"), str | int | float):
        whole["default"] = _default(value)
    for widen in _WIDENED:
        widen(whole)
    return whole


def _default(schema: Schema) -> Any:
    default = schema["default"]
    patterns = [schema.get("pattern"), *(one.get("pattern") for one in schema.get("anyOf", ()))]
    if isinstance(default, int | float) and DURATION in patterns:
        return duration(default)
    if isinstance(default, int) and SIZE in patterns:
        return bytes_text(default)
    if isinstance(default, float) and PERCENT in patterns:
        return percent(default)
    return default


def _plain(schema: Schema) -> None:
    """A number or a switch may be filled in as well."""
    if schema.get("type") in _PLAIN and "const" not in schema and "enum" not in schema:
        schema["type"] = [schema["type"], "string"]
        schema["pattern"] = _FILLED_IN


def _choice(schema: Schema) -> None:
    """So may one of a few words."""
    if schema.get("type") == "string" and "enum" in schema:
        schema["anyOf"] = [{"enum": schema.pop("enum")}, {"type": "string", "pattern": _FILLED_IN}]
        del schema["type"]


def _written(schema: Schema) -> None:
    """So may a text of a certain form."""
    pattern = schema.get("pattern")
    if pattern in (DURATION, SIZE, PERCENT) or (isinstance(pattern, str) and pattern.startswith(("^[A-Z]", r":\d"))):
        schema["pattern"] = f"{pattern}|{_FILLED_IN}"


_WIDENED: tuple[Callable[[Schema], None], ...] = (_plain, _choice, _written)
