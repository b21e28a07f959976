"""The threads that talk to SQLite, so that a disk that takes its time never holds the loop.

A `Worker` has one thread, one connection and a bounded queue of jobs. The `Writer` runs all jobs that wait in one
transaction, each in a savepoint: what arrives during an fsync shares the next one. The `Reader` gives each job a
snapshot.
"""

import asyncio
import queue
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from gateway.errors import JournalUnavailable
from gateway.journal.sqlite import schema
from gateway.journal.sqlite.checkpoint import Checkpoints
from gateway.journal.sqlite.connection import Db, WriterLock, connect, transaction, translated

T = TypeVar("T")

JOBS_MAX = 1024
JOBS_PER_TRANSACTION = 32


class _Job(NamedTuple):
    act: Callable[[Db], Any]
    before: Callable[[], None] | None
    future: "Future[Any]"
    quiet: bool

    def start(self) -> bool:
        """Whether somebody still waits for it. From here on it can no longer be given up."""
        return self.future.set_running_or_notify_cancel()


_Outcome = tuple["Future[Any]", Any, BaseException | None]
_Said = list[_Outcome]


class Worker(ABC):
    """One thread with one connection."""

    def __init__(self, path: Path, busy_timeout_s: float, name: str) -> None:
        self._path = path
        self._busy_timeout_s = busy_timeout_s
        self._name = name
        self._jobs: queue.Queue[_Job | None] = queue.Queue(JOBS_MAX)
        self._thread: threading.Thread | None = None
        self._db: Db | None = None
        self._stopped = False

    async def run(
        self,
        act: Callable[[Db], T],
        *,
        before: Callable[[], None] | None = None,
        quiet: bool = False,
        timeout_s: float | None = None,
    ) -> T:
        """Do it in the thread; `before` is done ahead of any lock. A job that is given up (cancelled, or late) before
        it has begun is never done. `quiet`: it moves no head, and nobody is woken by it.

        Raises JournalUnavailable when it is not done within `timeout_s` (default: the busy timeout), or cannot be.
        """
        job = _Job(act, before, Future(), quiet)
        self._put(job)
        late_s = self._busy_timeout_s if timeout_s is None else timeout_s
        try:
            async with asyncio.timeout(late_s):
                result: T = await asyncio.wrap_future(job.future)
                return result
        except TimeoutError as error:
            self._late()
            raise JournalUnavailable(f"the journal did not answer within {late_s:g} s") from error

    def stop(self) -> None:
        """Do what waits, then let go of everything. Blocks for it, but not for ever: a frozen disk keeps its thread."""
        self._stopped = True
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join(self._busy_timeout_s)
            self._thread = None

    def _put(self, job: _Job) -> None:
        if self._stopped:
            raise JournalUnavailable("the journal is closed")
        if self._thread is None:
            self._thread = threading.Thread(target=self._live, name=self._name, daemon=True)
            self._thread.start()
        try:
            self._jobs.put_nowait(job)
        except queue.Full as error:
            raise JournalUnavailable("too much waits for the journal") from error

    def _late(self) -> None:
        """A job takes too long."""
        return

    def _live(self) -> None:
        while True:
            jobs, last = self._wait()
            if jobs:
                self._answer(jobs)
            if last:
                break
        self._close()

    def _wait(self) -> tuple[list[_Job], bool]:
        """The jobs that wait now, and whether they are the last ones."""
        jobs: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            jobs.append(job)
            if len(jobs) == JOBS_PER_TRANSACTION:
                return jobs, False
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return jobs, False
        return jobs, True

    def _answer(self, jobs: list[_Job]) -> None:
        """Do the jobs and say what came of each; a connection that met trouble is opened anew for the next ones."""
        try:
            with translated(self._path):
                said = self._do(jobs)
        except BaseException as error:  # noqa: BLE001  whatever it is, whoever waits has to hear of it
            self._close_db()
            said = [(job.future, None, error) for job in jobs]
        for future, result, failure in said:
            _tell(future, result, failure)

    @abstractmethod
    def _do(self, jobs: list[_Job]) -> _Said:
        """Do the jobs; an exception that leaves here is the answer to all of them."""

    @abstractmethod
    def _open(self) -> Db:
        """A connection."""

    def _connected(self) -> Db:
        if self._db is None:
            self._db = self._open()
        return self._db

    def _close_db(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            try:
                db.close()
            except sqlite3.Error:
                return

    def _close(self) -> None:
        self._close_db()


class Writer(Worker):
    """The process's one writer. `committed` is called in its thread after each commit that is not quiet."""

    def __init__(self, path: Path, busy_timeout_s: float, committed: Callable[[], None]) -> None:
        super().__init__(path, busy_timeout_s, "journal-writer")
        self._lock = WriterLock(path)
        self._checkpoints = Checkpoints(path, busy_timeout_s)
        self._committed = committed

    def _open(self) -> Db:
        with ExitStack() as stack:
            db = connect(self._path, self._busy_timeout_s)
            stack.callback(db.close)
            schema.prepare(db)
            stack.pop_all()
        return db

    def _do(self, jobs: list[_Job]) -> _Said:
        ready = [job for job in jobs if _prepared(job)]
        if not ready:
            return []
        quiet = all(job.quiet for job in ready)
        with self._lock.turn(quiet=quiet):
            db = self._connected()
            self._checkpoints.finish(db)
            with transaction(db):
                live = [job for job in ready if job.start()]
                said = [_savepoint(db, job) for job in live] if len(live) > 1 else [_alone(db, job) for job in live]
        self._checkpoints.committed()
        if not quiet:
            self._committed()
        return said

    def _close(self) -> None:
        self._checkpoints.close()
        super()._close()
        self._lock.close()


class Reader(Worker):
    """A connection that only looks."""

    def _open(self) -> Db:
        return connect(self._path, self._busy_timeout_s, reader=True)

    def _answer(self, jobs: list[_Job]) -> None:
        for job in jobs:
            super()._answer([job])

    def _do(self, jobs: list[_Job]) -> _Said:
        return [self._look(job) for job in jobs if job.start()]

    def _look(self, job: _Job) -> _Outcome:
        db = self._connected()
        db.execute("BEGIN")
        try:
            return _outcome(job, partial(job.act, db))
        finally:
            if db.in_transaction:
                db.execute("COMMIT")

    def _late(self) -> None:
        db = self._db
        if db is not None:
            db.interrupt()


def _prepared(job: _Job) -> bool:
    """Do what needs no lock; a job that fails here is answered here."""
    if job.before is None:
        return True
    said = _outcome(job, job.before)
    if said[2] is not None:
        _tell(*said)
    return said[2] is None


def _alone(db: Db, job: _Job) -> _Outcome:
    """The one job of a transaction. When it fails nothing is written."""
    said = _outcome(job, partial(job.act, db))
    if said[2] is not None:
        db.execute("ROLLBACK")
    return said


def _savepoint(db: Db, job: _Job) -> _Outcome:
    """One job of several: it fails alone."""
    db.execute("SAVEPOINT job")
    said = _outcome(job, partial(job.act, db))
    if said[2] is not None:
        db.execute("ROLLBACK TO job")
    db.execute("RELEASE job")
    return said


def _outcome(job: _Job, act: Callable[[], Any]) -> _Outcome:
    """What came of a job. Trouble of the disk is trouble for all and goes on; anything else is the job's own."""
    try:
        with translated():
            return job.future, act(), None
    except JournalUnavailable:
        raise
    except Exception as error:  # noqa: BLE001  whatever it is, whoever waits has to hear of it
        return job.future, None, error


def _tell(future: "Future[Any]", result: Any, error: BaseException | None) -> None:
    """Answer, unless it is answered or given up."""
    if future.done() or not (future.running() or future.set_running_or_notify_cancel()):
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
