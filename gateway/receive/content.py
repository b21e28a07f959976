"""What a body is, and what it says: JSON, a form, XML, or a JWT whose claims are JSON.

The body is kept as it came; this is how identity, topic and conditions read it. A form is an object of texts, with a
list where a name comes twice. An XML element is an object of its attributes (`@name`) and its children by name, with
text beside them as `#text`; one with text alone is that text. Document types are refused: nothing can be declared,
included or expanded.
"""

import binascii
from base64 import urlsafe_b64decode
from typing import Any
from urllib.parse import parse_qsl
from xml.parsers import expat

from gateway import document
from gateway.errors import Cause, Rejected

FORM_FIELDS = 1000
"""A form may have so many fields."""

_FORM = "application/x-www-form-urlencoded"


def kind_of(body: bytes, content_type: bytes | None, kinds: tuple[str, ...]) -> str:
    """Which of the kinds that a source takes this body is. Raises Rejected where it is none."""
    if len(kinds) == 1:
        return kinds[0]
    media = media_of(content_type)
    if "form" in kinds and media == _FORM and not ("json" in kinds and _looks_like_json(body)):
        return "form"
    if "xml" in kinds and media.endswith(("/xml", "+xml")):
        return "xml"
    if "json" not in kinds:
        raise Rejected(Cause.CONTENT_TYPE_UNSUPPORTED)
    return "json"


def media_of(content_type: bytes | None) -> str:
    """The media type in a Content-Type header, in lower case."""
    return "" if content_type is None else content_type.decode("latin-1").partition(";")[0].strip().lower()


def read_as_json(media: str) -> bool:
    """Whether a reader that goes by the media type takes such a body for JSON."""
    return media != _FORM and not media.endswith(("/xml", "+xml"))


def _looks_like_json(body: bytes) -> bool:
    """Many senders (curl -d) call JSON a form."""
    return body.lstrip()[:1] in (b"{", b"[")


def check(kind: str, body: bytes) -> None:
    """Raise Rejected where the body is not what its kind says."""
    if kind != "json":
        read(kind, body)
        return
    try:
        document.check(body)
    except document.Unreadable as error:
        raise Rejected(Cause.BODY_UNREADABLE, _why(error)) from None


def read(kind: str, body: bytes) -> Any:
    """The document in a body. Raises Rejected."""
    if kind == "form":
        return _form(body)
    if kind == "xml":
        return _xml(body)
    try:
        return document.parse(body)
    except document.Unreadable as error:
        raise Rejected(Cause.BODY_UNREADABLE, _why(error)) from None


def claims(token: bytes) -> bytes:
    """The claims of a JWT (proved before), as JSON text. Raises Rejected."""
    parts = token.strip().split(b".")
    if len(parts) != 3:  # noqa: PLR2004  header, claims, signature
        raise Rejected(Cause.BODY_UNREADABLE, "the body is not a JWT")
    try:
        text = urlsafe_b64decode(parts[1] + b"=" * (-len(parts[1]) % 4))
    except binascii.Error:
        raise Rejected(Cause.BODY_UNREADABLE, "the body is not a JWT") from None
    check("json", text)
    return text


def _why(error: document.Unreadable) -> str:
    """What is told: the kind of fault; never the sender's bytes, and few enough texts to make answers ahead."""
    return "the body is not JSON: nested too deep" if "nested" in str(error) else "the body is not JSON"


def _form(body: bytes) -> dict[str, Any]:
    if not body:
        raise Rejected(Cause.BODY_UNREADABLE, "the body is empty")
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=FORM_FIELDS
        )
    except ValueError:
        raise Rejected(Cause.BODY_UNREADABLE, "the body is not a form") from None
    fields: dict[str, Any] = {}
    for name, value in pairs:
        _put(fields, name, value)
    return fields


def _xml(body: bytes) -> dict[str, Any]:
    reader = _XmlReader()
    try:
        reader.read(body)
    except (expat.ExpatError, ValueError, LookupError):
        raise Rejected(Cause.BODY_UNREADABLE, "the body is not XML") from None
    return reader.root


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
        self._open: list[tuple[dict[str, Any], list[str]]] = [(self.root, [])]
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.StartDoctypeDeclHandler = self._refuse

    def read(self, body: bytes) -> None:
        self._parser.Parse(body, True)

    def _refuse(self, *_declaration: object) -> None:
        raise ValueError("document types are refused")

    def _start(self, _name: str, attributes: dict[str, str]) -> None:
        if len(self._open) > document.MAX_DEPTH:
            raise ValueError("nested too deep")
        self._open.append(({f"@{key}": value for key, value in attributes.items()}, []))

    def _end(self, name: str) -> None:
        element, texts = self._open.pop()
        text = "".join(texts).strip()
        if element and text:
            element["#text"] = text
        _put(self._open[-1][0], name, element or text or None)

    def _text(self, text: str) -> None:
        self._open[-1][1].append(text)
