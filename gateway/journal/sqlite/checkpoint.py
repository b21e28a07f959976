"""Checkpoints beside the writer: what commits left in the WAL comes into the file while further commits go on.

SQLite's own checkpoint is made by the commit that fills the WAL, and whoever waits for that commit waits for a thousand
pages. Here a thread with a connection of its own brings over the bulk. What came meanwhile is a few pages: the writer
brings those over between two transactions, and with nothing left in the WAL it is written from its beginning again
(SQLite: Write-Ahead Logging, "Performance Considerations").
"""

import sqlite3
import threading
from contextlib import ExitStack, closing, suppress
from pathlib import Path

from gateway.errors import JournalError
from gateway.journal.sqlite.connection import Db, connect

COMMITS = 32
"""A round begins after so many: some 300 to 2,000 pages."""

_PASSIVE = "PRAGMA wal_checkpoint(PASSIVE)"
"""As far as it goes without waiting for anybody, or making anybody wait."""


class Checkpoints:
    """The rounds of one writer. Its calls but `close` are made by the writer's thread."""

    def __init__(self, path: Path, busy_timeout_s: float) -> None:
        self._path = path
        self._busy_timeout_s = busy_timeout_s
        self._commits = 0
        self._due = threading.Event()
        self._done = threading.Event()
        self._over = False
        self._thread: threading.Thread | None = None

    def committed(self) -> None:
        """A commit more."""
        self._commits += 1
        if self._commits < COMMITS:
            return
        self._commits = 0
        if self._thread is None:
            self._thread = threading.Thread(target=self._live, name="journal-checkpoints", daemon=True)
            self._thread.start()
        self._due.set()

    def finish(self, db: Db) -> bool:
        """Between two transactions: whether a round has ended; then what came during it is brought over. Trouble of the
        disk is the next commit's to tell.
        """
        if not self._done.is_set():
            return False
        self._done.clear()
        with suppress(sqlite3.Error):
            db.execute(_PASSIVE).fetchone()
        return True

    def close(self) -> None:
        """Let go of the file. Blocks for it, but not for ever: a frozen disk keeps the thread."""
        self._over = True
        self._due.set()
        if self._thread is not None:
            self._thread.join(self._busy_timeout_s)
            self._thread = None

    def _live(self) -> None:
        with ExitStack() as stack:
            db: Db | None = None
            while self._called():
                try:
                    db = db or stack.enter_context(closing(connect(self._path, self._busy_timeout_s)))
                    db.execute(_PASSIVE).fetchone()
                except (sqlite3.Error, JournalError):  # opened anew for the next round
                    stack.close()
                    db = None
                self._done.set()

    def _called(self) -> bool:
        """Whether there is a round to do, when there is; not when it is over."""
        self._due.wait()
        self._due.clear()
        return not self._over
