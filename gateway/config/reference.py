"""The reference page of the configuration, made from the models: every section, key, type, default and meaning.

`docs/configuration.md` is this page: `make schema` writes it anew, and a test holds them equal.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from gateway.config.registry import Registry
from gateway.config.schema import Config, DestinationSettings
from gateway.config.values import DURATION, PERCENT, SIZE, bytes_text, duration, percent

Schema = dict[str, Any]

_INTRODUCTION = """\
# Configuration

One YAML file, or a folder of `*.yaml` files that are merged by section: `--config PATH` or `GATEWAY_CONFIG`.
`gateway check` tells all faults at once, with file, line and what to do; `gateway schema` prints the JSON Schema by
which editors complete and check. Unknown keys are faults. `gateway init` writes a first one; how to prove a change
before it is live is told in [proving](proving.md).

- `${NAME}` anywhere in a value is an environment variable, `${file:/run/secrets/name}` the content of a file.
- A duration is a number with a unit: `250ms`, `5s`, `15m`, `2h`, `7d`. A size likewise: `500B`, `60KB`, `1MiB`.
- Where a list is wanted, a single value stands for a list of one.

This page is made from the models in `gateway/config/schema.py` and `gateway/vendors/`.
"""
_PLAIN = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "table",
    "null": "nothing",
}


def page(registry: Registry) -> str:
    """The whole page: the sections of the file, mappings and presets of one's own, then what each vendor's destinations
    take, and look-ups.
    """
    vendors: Mapping[str, type[DestinationSettings]] = registry.vendors
    lines = [_INTRODUCTION, *_section("Top level", Config)]
    for name, title in _SECTIONS.items():
        lines += _part(Config.model_json_schema(), name, title)
    lines += _mappings(registry.mapping)
    if registry.preset is not None:
        lines += _presets(registry.preset.model_json_schema())
    lines += ["## Destinations", "", "`destinations.NAME`: what every destination takes, whatever its vendor.", ""]
    lines += _table(DestinationSettings.model_json_schema(), DestinationSettings.model_json_schema())
    for title in ("BatchSetting", "RetrySetting", "BreakerSetting", "LimitSetting", "Burst"):
        lines += _part(DestinationSettings.model_json_schema(), title, _TITLES[title])
    for name in sorted(vendors):
        lines += _own_keys(f"`vendor: {name}`", name, vendors[name])
    lines += _own_keys("`lookups.NAME`", "lookups", registry.lookup)
    return "\n".join(lines).rstrip() + "\n"


_SECTIONS = {
    "Journal": "journal",
    "Receiver": "receiver",
    "Admin": "admin",
    "Log": "log",
    "Source": "sources.NAME",
    "Allow": "sources.NAME.allow",
    "HmacScheme": "sources.NAME.verify",
    "Basic": "sources.NAME.basic",
    "Route": "routes[]",
    "RouteTarget": "routes[].to[]",
}
_TITLES = {
    "BatchSetting": "destinations.NAME.batch",
    "RetrySetting": "destinations.NAME.retry",
    "BreakerSetting": "destinations.NAME.breaker",
    "LimitSetting": "destinations.NAME.limits[]",
    "Burst": "destinations.NAME.limits[].burst",
}


def _section(title: str, model: type[BaseModel]) -> list[str]:
    schema = model.model_json_schema()
    return [f"## {title}", "", *_table(schema, schema)]


def _part(root: Schema, name: str, title: str) -> list[str]:
    schema = root["$defs"][name]
    return [f"## `{title}`", "", _sentence(schema), "", *_table(schema, root)]


def _mappings(schema: Mapping[str, Any]) -> list[str]:
    """A mapping, and a field's block; what they mean together is on a page of its own."""
    if not schema:
        return []
    root = {"$defs": schema["$defs"]}
    lines = []
    for name, title in (("Mapping", "mappings.NAME"), ("MappingBlock", "mappings.NAME.fields.FIELD")):
        lines += _part(root, name, title)
    return [*lines, "A field is an expression or a block of these keys: see [mappings](mapping.md).", ""]


def _presets(root: Schema) -> list[str]:
    """A platform of one's own, and the sections that only it has."""
    lines = ["## `presets.NAME`", "", _sentence(root), "", *_table(root, root)]
    for name, schema in sorted(root["$defs"].items()):
        if schema.get("properties"):
            lines += [f"### {name} (`presets`)", "", *filter(None, [_sentence(schema)]), "", *_table(schema, root)]
    return lines


def _own_keys(title: str, name: str, settings: type[DestinationSettings]) -> list[str]:
    """What a vendor's destinations take beside what all take, or look-ups, and the sections that only they have."""
    root = settings.model_json_schema()
    common = DestinationSettings.model_json_schema()
    own = {key: value for key, value in root["properties"].items() if key not in common["properties"]}
    lines = [f"## {title}", "", _sentence(root), ""]
    lines += _table(root | {"properties": own}, root)
    for below in sorted(set(root.get("$defs", {})) - set(common["$defs"])):
        schema = root["$defs"][below]
        if schema.get("properties"):
            lines += [f"### {below} (`{name}`)", "", _sentence(schema), "", *_table(schema, root)]
    return lines


def _sentence(schema: Schema) -> str:
    return " ".join(str(schema.get("description", "")).split())


def _table(schema: Schema, root: Schema) -> list[str]:
    rows = [_row(key, value, schema, root) for key, value in schema.get("properties", {}).items()]
    if not rows:
        return ["Nothing more.", ""]
    return ["| key | type | default | meaning |", "|---|---|---|---|", *rows, ""]


def _row(key: str, value: Schema, schema: Schema, root: Schema) -> str:
    default = "*needed*" if key in schema.get("required", []) else _default(value)
    cells = (f"`{key}`", _type(value, root), default, _meaning(value, root))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _meaning(value: Schema, root: Schema) -> str:
    """A key's own sentence, or that of the section it leads to; and an example where it says more than the type."""
    meaning = _sentence(value) or _sentence(root.get("$defs", {}).get(_referred(value), {}))
    if value.get("examples") and _kind(value) is None:
        meaning += f" For example {_code(_written(value['examples'][0]))}."
    return meaning


def _code(text: str) -> str:
    """A text as code, whatever signs are in it."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _type(value: Schema, root: Schema) -> str:
    kinds = list(dict.fromkeys(kind for kind in _types(value, root) if kind != "nothing"))
    return " or ".join(kinds) or "anything"


def _types(value: Schema, root: Schema) -> Iterator[str]:
    kind = _kind(value)
    if kind is not None:
        yield kind
    elif "anyOf" in value or "oneOf" in value:
        for one in value.get("anyOf") or value["oneOf"]:
            yield from _types(one, root)
    elif "enum" in value or "const" in value:
        yield from (f"`{one}`" for one in value.get("enum", [value.get("const")]))
    elif "$ref" in value:
        yield _linked(_referred(value), root)
    elif value.get("type") == "array":
        yield f"list of {_type(value.get('items', {}), root)}"
    elif "type" in value:
        yield _PLAIN[value["type"]]


def _kind(value: Schema) -> str | None:
    """The small types of the configuration, which bring patterns and examples of their own."""
    choices = [value, *value.get("anyOf", ())]
    if any(one.get("pattern") == DURATION for one in choices):
        return "duration"
    if any(one.get("pattern") == SIZE for one in choices):
        return "size"
    if any(one.get("pattern") == PERCENT for one in choices):
        return "percentage"
    if value.get("type") == "string" and any(str(one).startswith("${file:") for one in value.get("examples", ())):
        return "secret"
    return None


def _referred(value: Schema) -> str:
    return str(value.get("$ref", "")).rpartition("/")[2]


def _linked(name: str, root: Schema) -> str:
    """What a reference leads to: a section that has a heading here, or the type that it stands for."""
    schema = root["$defs"][name]
    if "properties" not in schema:
        return _type(schema, root)
    titles = _SECTIONS | _TITLES if root.get("title") == "Config" else _TITLES
    return f"[`{titles[name]}`](#{_anchor(titles[name])})" if name in titles else f"{name}, below"


def _anchor(title: str) -> str:
    return "".join(letter for letter in title.lower() if letter.isalnum() or letter in "-_")


def _default(value: Schema) -> str:
    given = value.get("default")
    if given is None or given in ("", []) or isinstance(given, dict):
        return ""  # nothing, or a section: its own table tells
    kind = _kind(value)
    if kind == "duration":
        return f"`{duration(given)}`"
    if kind == "percentage":
        return f"`{percent(given)}`"
    return f"`{bytes_text(given) if kind == 'size' else _written(given)}`"


def _written(value: Any) -> str:
    """A value as the file writes it, on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(_written(one) for one in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_written(one)}" for key, one in value.items()) + "}"
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    return f'"{text}"' if text and text[0] in "*&{[!%@`\"'" else text
