"""The schema: numbered migrations that run forward, each once, under the writers' lock."""

import re
import sqlite3
from functools import cache
from importlib import resources
from typing import NamedTuple

from gateway.errors import JournalError
from gateway.journal.sqlite.connection import Db, transaction

APPLICATION_ID = 0x57484757
"""Marks the file as a journal (SQLite: PRAGMA application_id)."""

_NAME = re.compile(r"(\d{4})_(\w+)\.sql")
_MIGRATIONS = "CREATE TABLE migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT"


class Migration(NamedTuple):
    """A step of the schema."""

    number: int
    name: str
    sql: str


@cache
def migrations() -> tuple[Migration, ...]:
    """Every step this version knows, in order."""
    found = []
    for file in resources.files("gateway.journal").joinpath("migrations", "sqlite").iterdir():
        name = _NAME.fullmatch(file.name)
        if name is not None:
            found.append(Migration(int(name[1]), name[2], file.read_text(encoding="utf-8")))
    return tuple(sorted(found))


def prepare(db: Db) -> None:
    """Make sure that the file is a journal of this version, and migrate it forward where it is older.

    The caller holds the writers' lock. Raises JournalError for a foreign file and for one of a newer version.
    """
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != APPLICATION_ID and (application or tables):
        raise JournalError("the file is not a journal: it is a SQLite database of another application")
    (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise JournalError(f"the file cannot be written ahead (journal_mode is {mode}): a local disk is wanted")
    done = _done(db) if tables else 0
    known = migrations()
    if done > known[-1].number:
        raise JournalError(
            f"the journal's schema is {done}, and this version knows {known[-1].number}: a newer gateway has written it"
        )
    for step in known:
        if step.number > done:
            _run(db, step)


def _done(db: Db) -> int:
    (number,) = db.execute("SELECT max(number) FROM migrations").fetchone()
    return number or 0


def _run(db: Db, step: Migration) -> None:
    """One step, whole or not at all."""
    with transaction(db):
        if step.number == 1:
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(_MIGRATIONS)
        for statement in _statements(step.sql):
            db.execute(statement)
        db.execute("INSERT INTO migrations (number, name) VALUES (?, ?)", (step.number, step.name))


def _statements(sql: str) -> list[str]:
    """The statements of a script: `executescript` would commit between them."""
    statements, rest = [], ""
    for line in sql.splitlines(keepends=True):
        rest += line
        if sqlite3.complete_statement(rest):
            statements.append(rest)
            rest = ""
    return statements
