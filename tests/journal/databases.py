"""A database for each process of a test run, emptied for each test: a tenth of the time that a new one takes."""

import os
from pathlib import Path

import asyncpg

from gateway.journal.postgres import PostgresJournal
from tests import postgres

NAME = f"journal_{os.getpid()}"
EMPTY = """
DO $$
DECLARE
    one record;
BEGIN
    DROP VIEW IF EXISTS gateway.newest_identities;
    FOR one IN SELECT id FROM gateway.identity_buckets LOOP
        EXECUTE format('DROP TABLE IF EXISTS gateway.identities_%s', one.id);
    END LOOP;
    PERFORM gateway.write_to('', NULL);
    FOR one IN SELECT id FROM gateway.event_tables LOOP
        EXECUTE format('DROP TABLE gateway.batches_%1$s, gateway.batch_sources_%1$s', one.id);
    END LOOP;
    FOR one IN SELECT relname FROM pg_class
        WHERE relnamespace = 'gateway'::regnamespace AND relkind = 'r' AND relname NOT IN ('migrations', 'meta')
    LOOP
        EXECUTE format('DELETE FROM gateway.%I', one.relname);
    END LOOP;
    FOR one IN SELECT relname FROM pg_class WHERE relnamespace = 'gateway'::regnamespace AND relkind = 'S' LOOP
        EXECUTE format('ALTER SEQUENCE gateway.%I RESTART', one.relname);
    END LOOP;
    DELETE FROM gateway.meta WHERE key LIKE 'revision:%';
    UPDATE gateway.meta SET value = 0;
END
$$
"""

_state = {"folder": "", "made": ""}
"""The folder whose journal the database holds, and the database that was made."""


def url() -> str:
    """The process's database. It is there once a journal was opened in it."""
    return postgres.database_url(NAME)


async def make(name: str) -> None:
    """A new, empty database."""
    connection = await asyncpg.connect(postgres.database_url("postgres"))
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()


class EmptyPostgres(PostgresJournal):
    """A journal that is empty when it is first opened for its folder."""

    def __init__(self, folder: Path, timeout_s: float = 10.0) -> None:
        super().__init__(url(), timeout_s=timeout_s)
        self._folder = str(folder)

    async def open(self) -> None:
        if _state["made"] != NAME:
            await make(NAME)
            _state["made"] = NAME
        await super().open()
        if _state["folder"] != self._folder:
            async with self._db.one(10) as connection:
                await connection.execute(EMPTY)
            _state["folder"] = self._folder
