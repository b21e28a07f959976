"""Another database beside a journal's, on the same server, to measure the two in turns."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg

from gateway.errors import JournalUnavailable
from gateway.journal.postgres.connection import connect

TIMEOUT_S = 60.0
"""A database is made and dropped after the server's caches are written."""


@asynccontextmanager
async def beside(url: str) -> AsyncIterator[str]:
    """The URL of an empty database beside that of a URL; it is dropped afterwards.

    Raises JournalUnavailable, and where the URL's role may create no database.
    """
    name = f"gateway_bench_{uuid4().hex}"
    await _do(url, f'CREATE DATABASE "{name}"')
    try:
        yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
    finally:
        await _do(url, f'DROP DATABASE "{name}" WITH (FORCE)')


async def _do(url: str, statement: str) -> None:
    connection = await connect(url, TIMEOUT_S)
    try:
        await connection.execute(statement, timeout=TIMEOUT_S)
    except asyncpg.InsufficientPrivilegeError as error:
        raise JournalUnavailable(
            "a small journal to compare with is a database of its own, and this role may create none (ALTER ROLE ..."
            " CREATEDB)"
        ) from error
    finally:
        await connection.close()
