"""XML as plain documents and back: elements are keys, repeated ones a list, everything inside is text."""

from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import escape

MAX_DEPTH = 64


class Unreadable(ValueError):  # noqa: N818  a fact about a text
    """The text is not XML as it is read here."""


class _Reader:
    """Builds the document while expat reads."""

    def __init__(self) -> None:
        self.root: tuple[str, Any] | None = None
        self._open: list[tuple[str, dict[str, Any], list[str]]] = []

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise Unreadable(f"nested deeper than {MAX_DEPTH}")
        self._open.append((name, {}, []))

    def text(self, text: str) -> None:
        if self._open:
            self._open[-1][2].append(text)

    def end(self, _name: str) -> None:
        name, children, texts = self._open.pop()
        value: Any = children or "".join(texts).strip()
        if not self._open:
            self.root = (name, value)
            return
        siblings = self._open[-1][1]
        if name not in siblings:
            siblings[name] = value
        elif isinstance(siblings[name], list):
            siblings[name].append(value)
        else:
            siblings[name] = [siblings[name], value]

    def refuse(self, *_: Any) -> None:
        raise Unreadable("a document type is not taken")


def parse(text: bytes) -> tuple[str, Any]:
    """The root element's name, and the document in it. Raises Unreadable."""
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.refuse
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise Unreadable(str(error)) from None
    if reader.root is None:
        raise Unreadable("no element")
    return reader.root


def dump(name: str, value: Any) -> str:
    """A document as an element: lists as repeated elements, null as an empty one."""
    if isinstance(value, list | tuple):
        return "".join(dump(name, item) for item in value)
    if isinstance(value, dict):
        inner = "".join(dump(key, item) for key, item in value.items())
    elif isinstance(value, bool):
        inner = str(value).lower()
    else:
        inner = "" if value is None else escape(str(value))
    return f"<{name}>{inner}</{name}>"
