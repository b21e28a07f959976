"""The shape of payloads: which fields they have, how often, of which kinds; and how that changes over time.

Lists are passed through (`line_items.sku` is every line's), names that are ids count as one (`*`), and what is kept is
bounded, whatever is sent.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

Path = tuple[str, ...]

PATHS_MAX = 2000
"""Fields of one shape; what is beyond is not looked at."""
ANY = "*"

_DEPTH_MAX = 24
_ELEMENTS_MAX = 50  # of a list: the others look the same
_ID = re.compile(r"\d{3,}|[0-9a-f]{8}-?[0-9a-f]{4}-?.*|[0-9a-f]{16,}", re.IGNORECASE | re.ASCII)
_UNSURE = 0.05  # a field that is missing this improbably is gone
_FEW = 3  # payloads before which nothing is said of a change


def kind(value: Any) -> str:
    """What a value of a document is: null, boolean, number, text, list or object."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float | Decimal):
        return "number"
    return "text" if isinstance(value, str) else "list" if isinstance(value, list) else "object"


@dataclass(slots=True)
class Field:
    """One field: in how many payloads it is, and of which kinds it was there."""

    payloads: int = 0
    kinds: Counter[str] = field(default_factory=Counter)

    def known(self) -> frozenset[str]:
        """The kinds that say something: a null may be any."""
        return frozenset(self.kinds) - {"null"}


@dataclass(slots=True)
class Shape:
    """The fields of several payloads."""

    payloads: int = 0
    fields: dict[Path, Field] = field(default_factory=dict)

    def add(self, document: Any) -> None:
        """One payload more."""
        self.payloads += 1
        found: dict[Path, set[str]] = {}
        for path, what in _walk(document, (), 0):
            found.setdefault(path, set()).add(what)
        for path, kinds in found.items():
            if path in self.fields or len(self.fields) < PATHS_MAX:
                one = self.fields.setdefault(path, Field())
                one.payloads += 1
                one.kinds.update(kinds)

    def plus(self, other: "Shape") -> "Shape":
        """The fields of both, counted together."""
        whole = Shape(self.payloads + other.payloads)
        for shape in (self, other):
            whole.learn(shape)
            for path, one in shape.fields.items():
                if path in whole.fields:
                    whole.fields[path].payloads += one.payloads
        return whole

    def learn(self, other: "Shape") -> None:
        """Know the fields and kinds of another shape too, without counting its payloads."""
        for path, one in other.fields.items():
            if path in self.fields or len(self.fields) < PATHS_MAX:
                self.fields.setdefault(path, Field()).kinds.update(one.kinds)

    def forget(self, path: Path) -> None:
        """A field and all that is in it are no longer known."""
        for known in [known for known in self.fields if known[: len(path)] == path]:
            del self.fields[known]

    def leaves(self) -> dict[Path, Field]:
        """The fields that hold a value, and objects and lists that were always empty."""
        inner = {path[:-1] for path in self.fields}
        return {path: one for path, one in self.fields.items() if path not in inner}


def _walk(value: Any, path: Path, depth: int) -> Iterator[tuple[Path, str]]:
    if isinstance(value, list):
        if not value and path:
            yield path, "list"
        for element in value[:_ELEMENTS_MAX]:
            yield from _walk(element, path, depth + 1)
        return
    if path:
        yield path, kind(value)
    if isinstance(value, dict) and depth < _DEPTH_MAX:
        for name, below in value.items():
            yield from _walk(below, (*path, ANY if _ID.fullmatch(name) else name), depth + 1)


# --- drift -----------------------------------------------------------------------------------------------------------


class Drift(NamedTuple):
    """A field that appeared, vanished, or changed its kind: what it was and what it is now."""

    path: Path
    change: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    payloads: int


def drift(before: Shape, lately: Shape) -> Iterator[Drift]:
    """How payloads lately differ from those before; nothing where those are too few to tell. Of an object that came or
    went as a whole only the object is told.
    """
    if before.payloads < _FEW or not lately.payloads:
        return
    told: set[Path] = set()
    for path, one in sorted(lately.fields.items()):
        was = before.fields.get(path)
        if was is None and path[:-1] not in told:
            yield Drift(path, "appeared", (), tuple(sorted(one.kinds)), one.payloads)
        elif was is not None and was.known() and one.known() - was.known():
            yield Drift(path, "changed", tuple(sorted(was.known())), tuple(sorted(one.known())), one.payloads)
        if was is None:
            told.add(path)
    yield from _vanished(before, lately)


def _vanished(before: Shape, lately: Shape) -> Iterator[Drift]:
    told: set[Path] = set()
    for path, was in sorted(before.fields.items()):
        if path in lately.fields or not _is_gone(was.payloads, before.payloads, lately.payloads):
            continue
        if path[:-1] not in told:
            yield Drift(path, "vanished", tuple(sorted(was.kinds)), (), was.payloads)
        told.add(path)


def _is_gone(present: int, of: int, lately: int) -> bool:
    """Whether a field that was in so many of the payloads before would surely have come by now."""
    share = (present + 1) / (of + 2)
    return bool((1 - share) ** lately < _UNSURE)


def dotted(path: Path) -> str:
    """A path as people write it."""
    return ".".join(path)


def gathered(paths: Mapping[Path, Any], whole: Mapping[Path, Any]) -> Iterator[tuple[Path, int]]:
    """The paths, with an object of which all leaves are among them in place of these, and how many it stands for."""
    left = set(paths)
    for depth in range(1, max(map(len, left), default=0)):
        for stem in sorted({path[:depth] for path in left if len(path) > depth}):
            below = {path for path in whole if path[:depth] == stem}
            if below <= left:
                yield stem, len(below)
                left -= below
    yield from ((path, 1) for path in sorted(left))
