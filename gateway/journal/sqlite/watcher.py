"""Hearing of commits: at once, by the bell that writers ring (`bell`); within 30 ms where nobody rings."""

import asyncio
import os
import sqlite3
from pathlib import Path

from gateway.journal.sqlite import bell
from gateway.journal.sqlite.connection import Db, watch

POLL_S = 0.03
"""How often another process's commits are looked for where there is no bell (50 ms are promised): a look costs a few
microseconds, the wake-up for it ten times as much.
"""
NET_S = 1.0
"""How often they are looked for where there is one."""
MISSED = 2
"""Moves of the head in a row that nobody rang for, after which the bell is no longer trusted: a writer of an older
version.
"""


class Watcher:
    """Wakes whoever waits when the file has changed. Looks only while somebody waits."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: Db | None = None
        self.version: int | None = None
        """What tells of commits: another one with each look after which there were some (None: not to be told)."""
        self._waiting: set[asyncio.Future[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._ear: int | None = None
        self._heard = False
        self._missed = 0

    def committed(self) -> None:
        """The process itself has committed. May be called from any thread."""
        loop = self._loop
        if loop is not None and self._waiting:
            try:
                loop.call_soon_threadsafe(self._wake)
            except RuntimeError:  # the loop has just been closed: nobody waits any more
                return

    def promise(self) -> "asyncio.Future[None]":
        """Something that is done at the next commit after this call, which looks. To be given back by `forget`."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._listen(self._loop)
        future: asyncio.Future[None] = self._loop.create_future()
        if self._has_changed():
            self._wake()
        if not self._waiting:
            self._looking = self._loop.call_later(self._every_s(), self._look_again)
        self._waiting.add(future)
        return future

    def forget(self, future: "asyncio.Future[None]") -> None:
        """Nobody waits for it any more."""
        self._waiting.discard(future)
        future.cancel()
        if not self._waiting:
            self._look_no_more()

    def moved(self) -> None:
        """The head has moved. A bell that did not tell of it is not trusted for long."""
        self._hear()
        self._missed = 0 if self._heard else self._missed + 1
        self._heard = False
        if self._missed >= MISSED:
            self._hear_no_more()

    def close(self) -> None:
        """Wake everybody and let go of the file."""
        self._wake()
        self._look_no_more()
        self._hear_no_more()
        if self._db is not None:
            self._db.close()
            self._db = None

    def _wake(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    # --- the bell ----------------------------------------------------------------------------------------------------

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        self._ear = bell.listening(bell.lock_path(self._path))
        if self._ear is not None:
            loop.add_reader(self._ear, self._hear)

    def _hear(self) -> None:
        if self._ear is not None and bell.heard(self._ear):
            self._heard = True
            self._wake()

    def _hear_no_more(self) -> None:
        if self._ear is not None and self._loop is not None:
            self._loop.remove_reader(self._ear)
            os.close(self._ear)
            self._ear = None

    # --- looking -----------------------------------------------------------------------------------------------------

    def _every_s(self) -> float:
        return POLL_S if self._ear is None else NET_S

    def _look_again(self) -> None:
        if self._has_changed():
            self._wake()
        if self._loop is not None:
            self._looking = self._loop.call_later(self._every_s(), self._look_again)

    def _look_no_more(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def _has_changed(self) -> bool:
        """Whether others have committed since the last look."""
        before, self.version = self.version, self._look()
        return self.version != before

    def _look(self) -> int | None:
        """A number that changes with every commit of others; None while it cannot be told."""
        try:
            if self._db is None:
                self._db = watch(self._path)
            version: int = self._db.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error:
            return None
        return version
