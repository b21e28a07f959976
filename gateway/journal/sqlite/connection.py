"""A connection to a journal's file, and the vocabulary of its errors.

Writers of all processes take turns by a kernel lock on `<file>.lock` before they begin: the lock wakes the next writer
at once, where SQLite's own would poll, and a process that dies lets go of it.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gateway.errors import JournalError, JournalUnavailable
from gateway.journal.sqlite import bell

Db = sqlite3.Connection

OLDEST_SQLITE = (3, 37, 0)
"""STRICT tables (SQLite 3.37 release notes)."""
CACHE_KIB = 32 * 1024
READER_CACHE_KIB = 4 * 1024
"""What is read is mostly read once: the log. A cache is for the writer's trees."""
WAL_PAGES = 8000
"""A commit that finds so many in the WAL (32 MB) makes a checkpoint itself. `Checkpoints` are there long before."""

BUGS = (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.IntegrityError, sqlite3.NotSupportedError)
"""What SQLite says when a statement is wrong; everything else is the state of the disk, and passes."""


def connect(path: Path, busy_timeout_s: float, *, reader: bool = False) -> Db:
    """Open the file. A reader may only look."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise JournalError(f"SQLite 3.37 or newer is wanted, this is {sqlite3.sqlite_version}")
    with ExitStack() as stack:
        db = sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None, cached_statements=256)
        stack.callback(db.close)
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA secure_delete = 0")
        db.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
        db.execute(f"PRAGMA cache_size = -{READER_CACHE_KIB if reader else CACHE_KIB}")
        db.execute("PRAGMA temp_store = MEMORY")
        if reader:
            db.execute("PRAGMA query_only = 1")
        stack.pop_all()
    return db


def watch(path: Path) -> Db:
    """A connection that only ever asks whether somebody has written. It never waits for a lock."""
    return sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)


@contextmanager
def transaction(db: Db) -> Iterator[None]:
    """A writing transaction: all of it or nothing. The caller holds the writers' lock. It may roll back by itself."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        if db.in_transaction:
            db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


@contextmanager
def translated(path: Path | None = None) -> Iterator[None]:
    """SQLite's errors as the journal's, over the file at this path."""
    file = f"the journal's file {path}" if path else "the journal's file"
    try:
        yield
    except BUGS:
        raise
    except sqlite3.Error as error:
        raise _said(error, file) from error
    except OSError as error:
        raise JournalUnavailable(f"{file}: {error.strerror or error}") from error


def _said(error: sqlite3.Error, file: str) -> JournalError:
    """What SQLite said, with its name for it."""
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_NOTADB":
        return JournalError(f"{file} is not a journal: it is no SQLite database (name another in `journal.url`)")
    return JournalUnavailable(f"{file}: {error} ({name})" if name else f"{file}: {error}")


class WriterLock:
    """The kernel lock of all writers of one file."""

    def __init__(self, path: Path) -> None:
        self._path = bell.lock_path(path)
        self._handle = -1

    @contextmanager
    def turn(self, *, quiet: bool = False) -> Iterator[None]:
        """The turn of one writer. At its end the bell is rung; not where what it commits moves no head (`quiet`)."""
        if self._handle < 0:
            self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
        fcntl.flock(self._handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._handle, fcntl.LOCK_UN)
            if not quiet:
                bell.ring(self._path)

    def close(self) -> None:
        """Let go of the lock's file."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
