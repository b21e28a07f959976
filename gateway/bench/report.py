"""What a bench is told, and what it tells: a table, and the few figures that matter under fixed names."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from msgspec import Struct

from gateway.journal.base import Journal


class BenchFailed(Exception):  # noqa: N818  a fact about a run
    """A bench could not be run; says why."""


class Scale(Struct, frozen=True, kw_only=True):
    """How long and how much: `round_s` seconds a round, `rounds` of each candidate, `events` in a backlog,
    `connections` that knock at once.
    """

    round_s: float = 1.5
    rounds: int = 5
    events: int = 10_000
    connections: int = 64


class Sample(Struct, frozen=True):
    """A platform's payload, and the topic it comes under."""

    topic: str
    body: bytes


class Site(Struct, frozen=True):
    """What a bench is handed: an empty folder of its own, how journals are opened, sample payloads by platform, name
    and number, and whom to tell how far it is (what is done now, and the share that is done). `journal_url`: an empty
    journal to measure, in place of a file in the folder. `journal_beside`: an empty journal beside that of a URL.
    """

    folder: Path
    open_journal: Callable[[str], Journal]
    samples: Callable[[str, str, int], Sample]
    tell: Callable[[str, float], None]
    journal_beside: Callable[[str], AbstractAsyncContextManager[str]]
    journal_url: str | None = None

    def url(self, folder: Path) -> str:
        """Where the journal of a gateway lies whose files are in this folder."""
        return self.journal_url or f"sqlite:///{(folder / 'journal.db').resolve()}"

    def journal(self) -> dict[str, Any]:
        """What a configuration has to say of the journal; nothing where it lies in the gateway's folder."""
        return {"journal": {"url": self.journal_url}} if self.journal_url else {}


class Report(Struct, frozen=True):
    """What came of a bench: rows under columns for people, `headline` for those who compare runs. `drawn`: the column
    that a picture shows; the last one where it is empty.
    """

    name: str
    about: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    headline: dict[str, float]
    notes: Sequence[str] = ()
    drawn: str = ""

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {
            "name": self.name,
            "about": self.about,
            "headline": self.headline,
            "rows": [dict(zip(self.columns, row, strict=True)) for row in self.rows],
            "notes": list(self.notes),
        }


def spread(values: Sequence[float], share: float) -> float:
    """The value below which this share of the sorted values lies; 0 without values."""
    return values[min(int(len(values) * share), len(values) - 1)] if values else 0.0
