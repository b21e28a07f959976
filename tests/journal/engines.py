"""The engines that the suite runs over. A new one is a line here, and passes everything or names a capability less."""

from collections.abc import Callable
from pathlib import Path

from gateway.journal.base import Capability, Journal
from gateway.journal.memory import MemoryJournal
from gateway.journal.sqlite import SqliteJournal
from tests.journal.databases import EmptyPostgres


def _memory(_: Path) -> Journal:
    return MemoryJournal()


def _sqlite(folder: Path) -> Journal:
    return SqliteJournal(folder / "journal.db")


ENGINES: dict[str, Callable[[Path], Journal]] = {"memory": _memory, "sqlite": _sqlite, "postgres": EmptyPostgres}
"""By name: a new journal, not yet opened, whose files lie in a folder. Two made for one folder share what they hold,
where the engine is DURABLE."""

DURABLE = tuple(name for name, make in ENGINES.items() if Capability.DURABLE in make(Path()).capabilities)
