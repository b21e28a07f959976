"""The schema: numbered migrations that run forward, each once, under a lock of the database.

A migration only adds, or keeps what older versions call: during a roll-out they go on working on the newer schema.
"""

import re
from functools import cache
from importlib import resources
from typing import NamedTuple

from gateway.errors import JournalError, JournalUnavailable
from gateway.journal.postgres.connection import OLDEST_SERVER, Connection, transaction

_NAME = re.compile(r"(\d{4})_(\w+)\.sql")
_LOCK = "SELECT pg_advisory_xact_lock(1734440037, 3)"
_MIGRATIONS = "CREATE TABLE gateway.migrations (number integer PRIMARY KEY, name text NOT NULL)"


class Migration(NamedTuple):
    """A step of the schema."""

    number: int
    name: str
    sql: str


@cache
def migrations() -> tuple[Migration, ...]:
    """Every step this version knows, in order."""
    found = []
    for file in resources.files("gateway.journal").joinpath("migrations", "postgres").iterdir():
        name = _NAME.fullmatch(file.name)
        if name is not None:
            found.append(Migration(int(name[1]), name[2], file.read_text(encoding="utf-8")))
    return tuple(sorted(found))


async def prepare(connection: Connection, *, create: bool) -> None:
    """Migrate the database forward where it is older than this version; a newer one is left as it is. `create`: make
    the journal where there is none.

    All of it or nothing. Raises JournalError for a server that is too old, and for a schema of another application;
    JournalUnavailable where there is no journal yet.
    """
    if connection.get_server_version().major < OLDEST_SERVER:
        raise JournalError(f"PostgreSQL {OLDEST_SERVER} or newer is wanted, this is {connection.get_server_version()}")
    known = migrations()
    done = await _done(connection)
    if done >= known[-1].number:
        return
    if not done and not create:
        raise JournalUnavailable(
            "there is no journal in this database yet: `gateway migrate` or `gateway serve` makes it"
        )
    async with transaction(connection):
        await connection.execute(_LOCK)
        done = await _done(connection)
        if not done:
            await _begin(connection)
        for step in known:
            if step.number > done:
                await connection.execute(step.sql)
                await connection.execute("INSERT INTO gateway.migrations VALUES ($1, $2)", step.number, step.name)


async def _done(connection: Connection) -> int:
    """The last step that was done. The catalogue is asked, not the session's memory of it (`to_regclass`): that may
    still say that there is no schema when the lock was waited for.
    """
    there = await connection.fetchval(
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'gateway' AND c.relname = 'migrations'"
    )
    if not there:
        return 0
    return await connection.fetchval("SELECT max(number) FROM gateway.migrations") or 0


async def _begin(connection: Connection) -> None:
    """The schema itself, where whoever administers the database has not made it already."""
    tables = await connection.fetchval(
        "SELECT count(c.oid) FROM pg_namespace n LEFT JOIN pg_class c ON c.relnamespace = n.oid"
        " WHERE n.nspname = 'gateway' GROUP BY n.oid"
    )
    if tables:
        raise JournalError("the schema `gateway` of the database holds the tables of another application")
    if tables is None:
        await connection.execute("CREATE SCHEMA gateway")
    await connection.execute(_MIGRATIONS)
