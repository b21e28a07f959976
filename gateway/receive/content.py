"""What a body says, as JSON text: JSON as it came, byte for byte; forms and XML turned into it.

A form is an object of texts (a list of texts where a name comes twice). An XML element is an object of its attributes
(`@name`) and its children by name (a list where a name comes twice), with text beside them as `#text`; one with text
alone is that text. Document types are refused: nothing can be declared, included or expanded.
"""

from typing import Any
from urllib.parse import parse_qsl
from xml.parsers import expat

from gateway import document
from gateway.errors import Cause, Rejected

FORM_FIELDS = 1000
"""A form may have so many fields."""

_FORM = "application/x-www-form-urlencoded"


def understand(body: bytes, content_type: bytes | None, kinds: tuple[str, ...]) -> bytes:
    """The body as JSON text. `kinds`: what the source takes (json, form, xml). Raises Rejected."""
    if kinds == ("json",):
        return checked(body)
    named = "" if content_type is None else content_type.decode("latin-1").partition(";")[0].strip().lower()
    if "form" in kinds and named == _FORM and not ("json" in kinds and _looks_like_json(body)):
        return from_form(body)
    if "xml" in kinds and (named.endswith(("/xml", "+xml")) or "json" not in kinds):
        return from_xml(body)
    if "json" not in kinds:
        raise Rejected(Cause.CONTENT_TYPE_UNSUPPORTED)
    return checked(body)


def checked(body: bytes) -> bytes:
    """The same body, if it is JSON."""
    try:
        document.check(body)
    except document.Unreadable as error:
        raise Rejected(Cause.BODY_UNREADABLE, f"the body is not JSON: {error}") from None
    return body


def _looks_like_json(body: bytes) -> bool:
    """Many senders (curl -d) call JSON a form."""
    return body.lstrip()[:1] in (b"{", b"[")


def from_form(body: bytes) -> bytes:
    """A form as a JSON object."""
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=FORM_FIELDS
        )
    except ValueError:
        raise Rejected(Cause.BODY_UNREADABLE, "the body is not a form") from None
    fields: dict[str, Any] = {}
    for name, value in pairs:
        _put(fields, name, value)
    return document.dump(fields)


def from_xml(body: bytes) -> bytes:
    """An XML document as a JSON object of its root."""
    reader = _XmlReader()
    try:
        reader.read(body)
    except (expat.ExpatError, ValueError):
        raise Rejected(Cause.BODY_UNREADABLE, "the body is not XML") from None
    return document.dump(reader.root)


def _put(target: dict[str, Any], name: str, value: Any) -> None:
    """Set a name, or make a list of it when it is there."""
    if name not in target:
        target[name] = value
    elif isinstance(target[name], list):
        target[name].append(value)
    else:
        target[name] = [target[name], value]


class _XmlReader:
    """Builds the object as the parser reports elements."""

    def __init__(self) -> None:
        self.root: dict[str, Any] = {}
        self._open: list[tuple[str, dict[str, Any], list[str]]] = [("", self.root, [])]
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.StartDoctypeDeclHandler = self._refuse

    def read(self, body: bytes) -> None:
        self._parser.Parse(body, True)

    def _refuse(self, *_declaration: object) -> None:
        raise ValueError("document types are refused")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._open) > document.MAX_DEPTH:
            raise ValueError("nested too deep")
        self._open.append((name, {f"@{key}": value for key, value in attributes.items()}, []))

    def _end(self, name: str) -> None:
        _, element, texts = self._open.pop()
        text = "".join(texts).strip()
        if element and text:
            element["#text"] = text
        _put(self._open[-1][1], name, element or text)

    def _text(self, text: str) -> None:
        self._open[-1][2].append(text)
