"""The cases of the shipped packs, as data: an invented payload, and what it must become.

A case names a `mapping` and a `topic`, the `body`, and where they matter `headers` and the `source`'s settings. It
expects a `type`, `subject` and `time`, the `normal` data whole or in parts (`has`, `lacks`), and by mapping of a vendor
the `records` whole (null: none) or in parts (`record_has`, `record_lacks`).
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from gateway import document
from gateway.config.schema import Source
from gateway.mapping.book import Book
from gateway.mapping.normalise import Normaliser
from gateway.model import Event, NormalEvent

_FOLDER = Path(__file__).parent / "cases"
BOOK = Book({})


@dataclass(frozen=True)
class Case:
    """One case as its file has it."""

    file: str
    name: str
    mapping: str
    topic: str
    body: Any
    headers: dict[str, str] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    type: str | None = None
    subject: str | None = None
    time: str | None = None
    normal: Any = None
    has: Any = None
    lacks: tuple[str, ...] = ()
    events: int = 1
    records: dict[str, Any] = field(default_factory=dict)
    record_has: dict[str, Any] = field(default_factory=dict)
    record_lacks: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.file}: {self.name}"

    def normals(self, body: Any = None) -> tuple[NormalEvent, ...]:
        """What the case's body (or another) becomes."""
        normaliser = Normaliser("north-quay", Source(**self.source), {self.topic: self.mapping}, BOOK)
        return normaliser.normal(self._event(self.body if body is None else body))

    def _event(self, body: Any) -> Event:
        text = body.encode() if isinstance(body, str) else json.dumps(body, ensure_ascii=False).encode()
        headers = tuple(self.headers.items())
        return Event(1, "evt_1", "north-quay", self.topic, 1_774_690_000_000, 1, "POST", "", headers, text)


def plain(value: Any) -> Any:
    """A document as a vendor reads it."""
    return json.loads(document.dump(value))


def records(mapping: str, event: NormalEvent) -> list[Any]:
    """What a vendor's mapping makes of a normal event."""
    return [plain(made) for made in BOOK.get(mapping).apply(event.document())]


def read_cases() -> list[Case]:
    """Every case of every file."""
    reader = YAML(typ="safe", pure=True)
    return [Case(path.stem, **raw) for path in sorted(_FOLDER.glob("*.yaml")) for raw in reader.load(path.read_text())]


CASES = read_cases()
