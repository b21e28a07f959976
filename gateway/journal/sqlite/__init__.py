"""The journal on SQLite: one file, one machine, the default."""

from gateway.journal.sqlite.journal import SqliteJournal

__all__ = ["SqliteJournal"]
