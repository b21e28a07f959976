"""Where a value stands in a request: `header:NAME`, `json:PATH`, `query:NAME`, `const:TEXT`, `body`, `method`.

Topics, identities, answers and conditions are written in these, so that a platform is data. `header:A|B` is the first
of the two that is there. `json:` paths are dotted (`data.items.0.id`) or JSON pointers (`/data/items/0/id`). A text
with braces is a template: `{json:resource.typeId}.{json:type}`; it is absent when one of its parts is.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from gateway import document
from gateway.receive.request import Request, query_value

Part = Callable[[Request], bytes | None]
"""Reads one value; None where it is absent or empty."""

_PLACEHOLDER = re.compile(r"\{((?:header|json|query):[^{}]+|body|method)\}")


def compile_part(spec: str) -> Part:
    """The reader of one part or template. Raises ValueError for one that is neither."""
    if "{" in spec:
        return compile_template(spec)
    kind, _, name = spec.partition(":")
    maker = _MAKERS.get(kind)
    if maker is None or (not name and kind not in _BARE) or (name and kind in _BARE):
        raise ValueError("a part is header:NAME, json:PATH, query:NAME, const:TEXT or body")
    return maker(name)


def compile_first(specs: Sequence[str]) -> Part:
    """The first of several parts that is there."""
    parts = tuple(compile_part(spec) for spec in specs)
    if len(parts) == 1:
        return parts[0]

    def first(request: Request) -> bytes | None:
        for part in parts:
            if value := part(request):
                return value
        return None

    return first


def header_names(text: str) -> tuple[bytes, ...]:
    """The lower-case names in `A|B`."""
    return tuple(name.strip().lower().encode("latin-1") for name in text.split("|"))


def compile_header(text: str) -> Callable[[Mapping[bytes, bytes]], bytes | None]:
    """The value of the first of the headers `A|B` that is there."""
    names = header_names(text)
    if len(names) == 1:
        (name,) = names
        return lambda fields: fields.get(name)

    def first(fields: Mapping[bytes, bytes]) -> bytes | None:
        for name in names:
            if (value := fields.get(name)) is not None:
                return value
        return None

    return first


def walk(value: Any, path: Sequence[str]) -> Any:
    """What stands at a path of keys and places, or None."""
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and len(step) < 10:  # noqa: PLR2004  no list is that long
            place = int(step)
            value = value[place] if place < len(value) else None
        else:
            return None
    return value


def compile_path(path: str) -> tuple[str, ...]:
    """The steps of a dotted path or a JSON pointer (RFC 6901)."""
    if path.startswith("/"):
        return tuple(step.replace("~1", "/").replace("~0", "~") for step in path[1:].split("/"))
    return tuple(path.split(".")) if path else ()


def text_of(value: Any) -> bytes | None:
    """A JSON value as text: strings as they are, the rest as JSON writes it; None for null and the empty string."""
    if isinstance(value, str):
        return value.encode() or None
    if value is None:
        return None
    if isinstance(value, bool | int | Decimal | list | dict):
        return document.dump(value)
    return None


def _header(name: str) -> Part:
    read = compile_header(name)
    return lambda request: read(request.fields) or None


def _json(path: str) -> Part:
    steps = compile_path(path)
    return lambda request: text_of(walk(request.document(), steps))


def _query(name: str) -> Part:
    wanted = name.encode()
    return lambda request: query_value(request.query, wanted) or None


def _const(text: str) -> Part:
    value = text.encode()
    return lambda _request: value


def _body(_name: str) -> Part:
    return lambda request: request.body


def _method(_name: str) -> Part:
    return lambda request: request.method.encode()


_MAKERS: dict[str, Callable[[str], Part]] = {
    "header": _header,
    "json": _json,
    "query": _query,
    "const": _const,
    "body": _body,
    "method": _method,
}
_BARE = frozenset({"body", "method"})


def compile_template(text: str) -> Part:
    """Literal text with parts in braces. What is no part (a brace of JSON) is literal. Absent when one part is."""
    pieces = _PLACEHOLDER.split(text)
    parts = tuple(compile_part(piece) if place % 2 else _const(piece) for place, piece in enumerate(pieces))

    def joined(request: Request) -> bytes | None:
        values = [part(request) for part in parts]
        return None if None in values else b"".join(value for value in values if value is not None)

    return joined
