"""Connections to the database, how many there are, how long a call may take, and the vocabulary of its errors.

Nothing is ever asked of a session: no setting, no lock outlives its transaction; the one statement that is kept (the
commit of a group) is done without where it is not there. So the connections may be a pooler's (pgbouncer in transaction
mode).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from hashlib import blake2b
from typing import Any, Protocol

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from gateway.errors import JournalConflict, JournalError, JournalUnavailable

Connection = asyncpg.Connection
Row = asyncpg.Record

WAITING_MAX = 1024
"""Calls that may wait for a connection; what comes beyond them is turned away."""
IDLE_S = 60.0
"""A connection that nobody has used for so long is not trusted: something on the way may have forgotten it."""
OLDEST_SERVER = 14
"""The oldest that is still maintained, and the oldest whose functions the migrations use."""

SNAPSHOT = (
    "ISOLATION LEVEL REPEATABLE READ READ ONLY; LOCK TABLE gateway.batches, gateway.batch_sources IN ACCESS SHARE MODE"
)
"""Locked before the first look: what is dropped is gone for every snapshot."""

CONFLICT = "GW001"
"""What our own functions raise for a lease that is lost."""
BUGS = ("0A", "22", "23", "39", "42")
"""SQLSTATE classes of statements that are wrong; everything else is the state of the server, and passes."""
NO_PRIVILEGE = "42501"


class Asks(Protocol):
    """Where a statement may be sent: a connection, or the pool itself."""

    async def fetch(self, query: str, *values: Any) -> Sequence[Row]: ...


async def connect(url: str, timeout_s: float) -> Connection:
    """A connection. Raises JournalUnavailable."""
    with translated(timeout_s, _place(url)):
        async with asyncio.timeout(timeout_s):
            return await asyncpg.connect(
                url, timeout=timeout_s, statement_cache_size=0, server_settings={"application_name": "gateway"}
            )


class Connections:
    """At most so many connections, each made when it is wanted."""

    def __init__(self, url: str, most: int, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.made = 0
        """How many connections were made so far: with another one there may be another database behind the URL."""
        self._url = url
        self._room = asyncio.Semaphore(most)
        self._idle: list[tuple[float, Connection]] = []
        self._waiting = 0
        self._closed = False
        self._pooled = False
        self._statements: dict[Connection, dict[str, PreparedStatement]] = {}

    async def fetch(self, query: str, *values: Any) -> Sequence[Row]:
        """One statement, committed by itself: its rows."""
        async with self.one(self.timeout_s) as connection:
            return await connection.fetch(query, *values)

    async def fetch_again(self, query: str, asked: Callable[[], tuple[Any, ...]]) -> Sequence[Row]:
        """One statement that is sent often, committed by itself: its rows. A connection to the server itself keeps it;
        one to a pooler that has no sessions of its own cannot, and says so before anything is done. `asked` gives the
        values when there is a connection.
        """
        async with self.one(self.timeout_s) as connection:
            values = asked()
            if not self._pooled:
                try:
                    return await (await self._kept(connection, query)).fetch(*values)
                except (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError):
                    self._pooled = True
            return await connection.fetch(query, *values)

    async def _kept(self, connection: Connection, query: str) -> PreparedStatement:
        """The statement as the connection keeps it. Its name tells its text: nobody keeps another one under it."""
        kept = self._statements.setdefault(connection, {})
        if query not in kept:
            name = f"gateway_{blake2b(query.encode(), digest_size=8).hexdigest()}"
            kept[query] = await connection.prepare(query, name=name)
        return kept[query]

    async def value(self, query: str, *values: Any) -> Any:
        """One statement, committed by itself: the one value of its row."""
        async with self.one(self.timeout_s) as connection:
            return await connection.fetchval(query, *values)

    @asynccontextmanager
    async def snapshot(self, timeout_s: float | None = None) -> AsyncIterator[Connection]:
        """Several looks at one state of the database. Nothing can be written."""
        async with self.one(timeout_s or self.timeout_s) as connection, transaction(connection, SNAPSHOT):
            yield connection

    @asynccontextmanager
    async def one(self, timeout_s: float) -> AsyncIterator[Connection]:
        """A connection for so long. Whatever breaks off in the middle ends it: what is left on it is unknown.

        Raises JournalUnavailable for whatever the server or the way to it is at fault for.
        """
        with translated(timeout_s):
            async with asyncio.timeout(timeout_s), self._turn():
                connection = await self._connected(timeout_s)
                done = False
                try:
                    yield connection
                    done = True
                except asyncpg.PostgresError as error:
                    done = not isinstance(error, asyncpg.ReadOnlySQLTransactionError)
                    raise
                finally:
                    self._give_back(connection, whole=done)

    async def close(self) -> None:
        """End all connections that are idle; those in use end when they are given back."""
        self._closed = True
        idle, self._idle = self._idle, []
        for _, connection in idle:
            try:
                await connection.close(timeout=1.0)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection.terminate()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._closed:
            raise JournalUnavailable("the journal is closed")
        if self._waiting >= WAITING_MAX:
            raise JournalUnavailable("too much waits for the journal")
        self._waiting += 1
        try:
            await self._room.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._room.release()

    async def _connected(self, timeout_s: float) -> Connection:
        now_s = asyncio.get_running_loop().time()
        while self._idle:
            since_s, connection = self._idle.pop()
            if now_s - since_s < IDLE_S and not connection.is_closed():
                return connection
            self._end(connection)
        self.made += 1
        return await connect(self._url, timeout_s)

    def _give_back(self, connection: Connection, *, whole: bool) -> None:
        if whole and not self._closed and not connection.is_closed():
            self._idle.append((asyncio.get_running_loop().time(), connection))
        else:
            self._end(connection)

    def _end(self, connection: Connection) -> None:
        self._statements.pop(connection, None)
        connection.terminate()


@asynccontextmanager
async def transaction(connection: Connection, how: str = "") -> AsyncIterator[None]:
    """Several statements that are committed together. One that breaks off ends the connection, and with it what was
    done: a rollback would have to wait for a server that may not answer.
    """
    try:
        await connection.execute(f"BEGIN {how}")
        yield
        await connection.execute("COMMIT")
    except BaseException:
        connection.terminate()
        raise


@contextmanager
def translated(timeout_s: float = 0, place: str = "the database") -> Iterator[None]:
    """PostgreSQL's errors as the journal's."""
    try:
        yield
    except asyncpg.PostgresError as error:
        if _is_bug(error):
            raise
        raise _said(error) from error
    except (asyncpg.InternalClientError, asyncpg.InterfaceError, OSError) as error:
        if isinstance(error, TimeoutError):
            raise JournalUnavailable(f"{place} did not answer within {timeout_s:g} s") from error
        raise JournalUnavailable(f"{place}: {_text(error)}") from error


def _place(url: str) -> str:
    """Which database a URL means, as far as it may be told."""
    host = url.partition("://")[2].partition("/")[0].rpartition("@")[2]
    return f"the database at {host}" if host else "the database"


def _is_bug(error: asyncpg.PostgresError) -> bool:
    state = error.sqlstate or ""
    return state[:2] in BUGS and state != NO_PRIVILEGE


def _said(error: asyncpg.PostgresError) -> JournalError:
    if error.sqlstate == CONFLICT:
        return JournalConflict(str(error))
    return JournalUnavailable(f"the database: {_text(error)} ({error.sqlstate})")


def _text(error: Exception) -> str:
    """What it says, in one line, and never a URL with its password."""
    return (str(error) or type(error).__name__).splitlines()[0]
