"""XML as APIs that also take JSON read it: an element for each field, repeated elements for a list."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape

from gateway.errors import Reason, Refusal

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*", re.ASCII)
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_WORDS = {None: "", True: "true", False: "false"}


def write(root: str, fields: Mapping[str, Any]) -> bytes:
    """A document with this root element. Raises Refusal for a field whose name no element can have."""
    return f"<{root}>{''.join(_elements(fields))}</{root}>".encode()


def _elements(fields: Mapping[str, Any]) -> Iterator[str]:
    for name, value in fields.items():
        if not _NAME.fullmatch(name):
            raise Refusal(Reason.PAYLOAD_REFUSED, f"{name!r} cannot be the name of an XML element")
        for one in value if isinstance(value, list) else (value,):
            yield f"<{name}>{_content(one)}</{name}>"


def _content(value: Any) -> str:
    """A value's text; signs that XML cannot hold at all (most control characters) are left out."""
    if isinstance(value, dict):
        return "".join(_elements(value))
    if isinstance(value, list):
        return "".join(f"<item>{_content(one)}</item>" for one in value)
    if value is None or isinstance(value, bool):
        return _WORDS[value]
    return escape(_UNWRITABLE.sub("", str(value)))
