"""A YAML file read with the place of everything in it: YAML 1.2, bounded in size, depth and aliases, no tags.

Plain scalars follow the 1.2 core schema (`NO`, `yes` and `2026-01-31` stay text). Keys are always text. `<<` merges.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from ruamel.yaml.reader import ReaderError

from gateway.errors import Fault

MAX_FILE_BYTES = 1 << 20
MAX_DEPTH = 64
MAX_NODES = 100_000
"""Values in the whole configuration, each alias counted with all that it stands for."""

Path = tuple[str | int, ...]

_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]{1,4000}|0o[0-7]{1,1000}|0x[0-9a-fA-F]{1,1000}", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_STR_TAG = "tag:yaml.org,2002:str"

_QUOTED = "put a text that holds `{ } [ ] ,` or `: ` in quotes"
_SYNTAX = {
    "mapping values are not allowed here": (
        "`: ` stands where no key can be",
        "let the keys of one table begin in one column, as on the line above; put a text that holds `: ` in quotes",
    ),
    "could not find expected ':'": ("a key without its `:`", "write `key: value`, and indent lists under their key"),
    "found unexpected end of stream": ("a quote is opened and not closed", ""),
    "expected <block end>, but found": ("the indentation does not fit", "items of one level begin in one column"),
    r"character '\t' that cannot start any token": ("a tab, where YAML wants spaces", "indent with spaces"),
    "cannot start any token": ("a character that cannot begin a value", "put the value in quotes"),
    "expected ',' or ']'": ("`[` is opened and not closed", f"separate items with `,` and close with `]`; {_QUOTED}"),
    "expected ',' or '}'": (
        "`{` is opened and not closed",
        f"separate entries with `,` and close with `}}`; {_QUOTED}",
    ),
    "expected alphabetic or numeric character": (
        "an alias or anchor without a name",
        "put text that begins with * or & in quotes",
    ),
    "found unknown escape character": ("an unknown escape", "in double quotes write `\\\\` for a backslash"),
}


class Place(NamedTuple):
    """Where something stands. Line and column count from 1."""

    file: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Leaf:
    """A scalar: None, bool, int, float or str."""

    place: Place
    value: Any


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of a table, where it stands, and its value."""

    key: str
    place: Place
    node: "Node"


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping, in the order of the file."""

    place: Place
    entries: dict[str, Entry] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """A sequence."""

    place: Place
    items: list["Node"] = field(default_factory=list)


Node = Leaf | Table | Row


class Unreadable(Exception):  # noqa: N818  a fact about a file
    """The file cannot be read as YAML at all; `fault` says where and why."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(str(fault))


def fault(place: Place, path: str, cause: str, hint: str = "") -> Fault:
    """A fault at a place."""
    return Fault(place.file, place.line, place.column, path, cause, hint)


def dotted(path: Path) -> str:
    """A key path as people write it: `sources.uk-shop.allow.ips[0]`, `sources.erp.normalise["order.*"]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(r"[\w-]+", part):
            text += f".{part}" if text else part
        else:
            text += f'["{part}"]'
    return text


def read(file: str, raw: bytes, faults: list[Fault]) -> Node | None:
    """The one document in a file, or None where it is empty. What can be passed over (a key that stands twice, a tag)
    goes to `faults`; what cannot raises Unreadable.
    """
    if len(raw) > MAX_FILE_BYTES:
        raise Unreadable(Fault(file, 1, 1, "", f"the file is larger than {MAX_FILE_BYTES >> 20}MiB"))
    text = _decoded(file, raw)
    try:
        return _Reader(file, YAML(typ="safe", pure=True).parse(text), faults).document()
    except MarkedYAMLError as error:
        raise Unreadable(_syntax(file, error)) from None
    except ReaderError as error:
        place = _place_at(file, text[: error.position])
        raise Unreadable(fault(place, "", "a control character", "YAML is text; remove it")) from None
    except YAMLError:
        raise Unreadable(Fault(file, 1, 1, "", "this is not YAML")) from None


def _decoded(file: str, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = _place_at(file, raw[: error.start].decode("utf-8", "replace"))
        raise Unreadable(fault(place, "", "a byte that is not UTF-8", "save the file as UTF-8")) from None


def _place_at(file: str, before: str) -> Place:
    return Place(file, before.count("\n") + 1, len(before) - before.rfind("\n"))


def _syntax(file: str, error: MarkedYAMLError) -> Fault:
    mark = error.problem_mark or error.context_mark
    place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 1, 1)
    problem = str(error.problem or "")
    known = next((words for start, words in _SYNTAX.items() if start in problem), None)
    cause, hint = known or (f"this is not YAML: {problem}", "")
    return fault(place, "", cause, hint)


class _Reader:
    """Nodes out of the parser's events: a recursive descent that knows how deep it is."""

    def __init__(self, file: str, events: Iterator[Any], faults: list[Fault]) -> None:
        self._file = file
        self._events = events
        self._faults = faults
        self._anchors: dict[str, Node] = {}
        self._path: list[str | int] = []

    def document(self) -> Node | None:
        root: Node | None = None
        for event in self._events:
            if isinstance(event, StreamEndEvent):
                break
            if isinstance(event, DocumentStartEvent) and root is not None:
                raise self._fatal(event, "a second document begins", "one file holds one document: remove the `---`")
            if isinstance(event, AliasEvent | ScalarEvent | MappingStartEvent | SequenceStartEvent):
                root = self._node(event, 1)
            elif isinstance(event, DocumentEndEvent) and isinstance(root, Leaf) and root.value is None:
                root = None
        return root

    def _node(self, event: Any, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self._fatal(event, f"nested deeper than {MAX_DEPTH}")
        if isinstance(event, AliasEvent):
            return self._alias(event)
        if event.tag not in (None, "!", _STR_TAG):
            self._note(event, "a tag", "tags are not supported: write the value as it is")
        node = self._built(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _built(self, event: Any, depth: int) -> Node:
        if isinstance(event, ScalarEvent):
            plain = event.implicit[0] and event.style is None
            return Leaf(self._place(event), scalar(event.value) if plain else event.value)
        if isinstance(event, SequenceStartEvent):
            row = Row(self._place(event))
            while not isinstance(item := next(self._events), SequenceEndEvent):
                row.items.append(self._below(len(row.items), item, depth))
            return row
        return self._table(event, depth)

    def _below(self, part: str | int, event: Any, depth: int) -> Node:
        self._path.append(part)
        node = self._node(event, depth + 1)
        self._path.pop()
        return node

    def _table(self, event: Any, depth: int) -> Table:
        table = Table(self._place(event))
        merged: list[Node] = []
        while not isinstance(key := next(self._events), MappingEndEvent):
            name = self._key(key, depth)
            value = self._below(name or "?", next(self._events), depth)
            if name == "<<" and isinstance(key, ScalarEvent) and key.style is None:
                merged.append(value)
            elif name is not None:
                self._enter(table, Entry(name, self._place(key), value))
        for node in merged:
            self._merge(table, node)
        return table

    def _enter(self, table: Table, entry: Entry) -> None:
        if entry.key not in table.entries:
            table.entries[entry.key] = entry
            return
        first = table.entries[entry.key].place
        hint = f"it stands in line {first.line} already; keep one"
        path = dotted((*self._path, entry.key))
        self._faults.append(fault(entry.place, path, f"the key `{entry.key}` stands twice", hint))

    def _merge(self, table: Table, node: Node) -> None:
        """`<<`: the entries of another table, or of several, that the table does not have itself."""
        for other in node.items if isinstance(node, Row) else [node]:
            if not isinstance(other, Table):
                path = dotted((*self._path, "<<"))
                self._faults.append(fault(other.place, path, "`<<` wants a table, or a list of tables", "<<: *name"))
                continue
            for entry in other.entries.values():
                table.entries.setdefault(entry.key, entry)

    def _key(self, event: Any, depth: int) -> str | None:
        if isinstance(event, ScalarEvent):
            self._node(event, depth)
            return str(event.value)
        node = self._node(event, depth + 1)
        if isinstance(node, Leaf) and isinstance(node.value, str):
            return node.value
        self._note(event, "a key is a text", "write `key: value`; put text that begins with [ { ? in quotes")
        return None

    def _alias(self, event: Any) -> Node:
        if event.anchor not in self._anchors:
            raise self._fatal(event, f"no `&{event.anchor}` before this alias", "put text that begins with * in quotes")
        return self._anchors[event.anchor]

    def _place(self, event: Any) -> Place:
        return Place(self._file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _note(self, event: Any, cause: str, hint: str = "") -> None:
        self._faults.append(fault(self._place(event), dotted(tuple(self._path)), cause, hint))

    def _fatal(self, event: Any, cause: str, hint: str = "") -> Unreadable:
        return Unreadable(fault(self._place(event), dotted(tuple(self._path[:8])), cause, hint))


def scalar(text: str) -> Any:
    """What a plain scalar means in YAML 1.2's core schema. Infinity and NaN stay text."""
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if abs(number) != float("inf") else text
    return text


class Document:
    """A tree of nodes as plain values, and the place of every key path in them."""

    def __init__(self, root: Table) -> None:
        self.root = root
        self.values: dict[Path, Place] = {}
        self.keys: dict[Path, Place] = {}
        self._nodes = 0

    def plain(self) -> dict[str, Any]:
        """The values as dicts, lists and scalars; raises Unreadable where aliases make it too large."""
        self.values[()] = self.root.place
        plain = self._plain(self.root, ())
        assert isinstance(plain, dict)  # noqa: S101  a table's plain value
        return plain

    def _plain(self, node: Node, path: Path) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES or len(path) > MAX_DEPTH:
            raise Unreadable(fault(node.place, dotted(path[:4]), "too large or too deep, counted with its aliases"))
        self.values.setdefault(path, node.place)
        if isinstance(node, Leaf):
            return node.value
        if isinstance(node, Row):
            return [self._plain(item, (*path, index)) for index, item in enumerate(node.items)]
        plain: dict[str, Any] = {}
        for entry in node.entries.values():
            below = (*path, entry.key)
            self.keys[below] = entry.place
            if not isinstance(entry.node, Leaf):
                self.values[below] = entry.place
            plain[entry.key] = self._plain(entry.node, below)
        return plain

    def place(self, path: Path, *, key: bool = False) -> Place:
        """Where the path stands, or the longest part of it that does. With `key`: the key, not its value."""
        if key and path in self.keys:
            return self.keys[path]
        while path not in self.values:
            path = path[:-1]
        return self.values[path]
