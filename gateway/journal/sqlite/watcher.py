"""Hearing of commits: at once of this process's own, within 30 ms of any other's, at next to no cost."""

import asyncio
import sqlite3
from pathlib import Path

from gateway.journal.sqlite.connection import Db, watch

POLL_S = 0.03
"""How often another process's commits are looked for (50 ms are promised): a look costs a few microseconds,
the wake-up for it ten times as much."""


class Watcher:
    """Wakes whoever waits when the file has changed. Looks only while somebody waits."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: Db | None = None
        self._version: int | None = None
        self._waiting: set[asyncio.Future[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._polling: asyncio.TimerHandle | None = None

    def committed(self) -> None:
        """The process itself has committed. May be called from any thread."""
        loop = self._loop
        if loop is not None and self._waiting:
            try:
                loop.call_soon_threadsafe(self._wake)
            except RuntimeError:  # the loop has just been closed: nobody waits any more
                return

    def promise(self) -> "asyncio.Future[None]":
        """Something that is done at the next commit after this call. To be given back by `forget`."""
        self._loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = self._loop.create_future()
        if not self._waiting:
            self._version = self._look()
            self._polling = self._loop.call_later(POLL_S, self._poll)
        self._waiting.add(future)
        return future

    def forget(self, future: "asyncio.Future[None]") -> None:
        """Nobody waits for it any more."""
        self._waiting.discard(future)
        future.cancel()
        if not self._waiting and self._polling is not None:
            self._polling.cancel()
            self._polling = None

    def close(self) -> None:
        """Wake everybody and let go of the file."""
        self._wake()
        if self._polling is not None:
            self._polling.cancel()
            self._polling = None
        if self._db is not None:
            self._db.close()
            self._db = None

    def _poll(self) -> None:
        self._polling = None
        version = self._look()
        if version != self._version:
            self._version = version
            self._wake()
        if self._waiting and self._loop is not None:
            self._polling = self._loop.call_later(POLL_S, self._poll)

    def _wake(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    def _look(self) -> int | None:
        """A number that changes with every commit of others; None while it cannot be told."""
        try:
            if self._db is None:
                self._db = watch(self._path)
            version: int = self._db.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error:
            return None
        return version
