"""Replicas of two versions on one PostgreSQL schema, as during a roll-out.

What an older version does on today's schema is tried with its own code in tests/whole/test_rollout.py. Here this
version is the older one, on a schema that a later one has added to: columns with a default on every table, a table, an
index.
"""

import hashlib
import os
import re
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from gateway.journal.base import DeadFilter, Journal
from gateway.journal.postgres import PostgresJournal
from gateway.journal.postgres.schema import migrations
from gateway.model import State
from tests import postgres
from tests.journal.bookkeeper import Bookkeeper
from tests.journal.databases import make
from tests.journal.making import Lanehand, accept, by, group, offer, opened, rejection, row

_numbers = count()
DEAD, BY = DeadFilter(), by("discard")
ADDED = """
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT relname FROM pg_class WHERE relnamespace = 'gateway'::regnamespace AND relkind = 'r'
        AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = pg_class.oid)
    LOOP
        EXECUTE format('ALTER TABLE gateway.%I ADD COLUMN later bigint NOT NULL DEFAULT 0', one.relname);
        EXECUTE format('ALTER TABLE gateway.%I ADD COLUMN more text', one.relname);
        EXECUTE format('CREATE INDEX ON gateway.%I (later)', one.relname);
    END LOOP;
    CREATE TABLE gateway.newer (id integer PRIMARY KEY);
    INSERT INTO gateway.migrations (number, name) VALUES (999, 'from_the_future');
END
$$
"""  # fmt: skip
ROOT = Path(__file__).parents[2]
FROZEN = {
    "postgres": {
        "0001_journal.sql": "805b841eef91aafa",
        "0002_append.sql": "428ebda1382f6749",
        "0003_change.sql": "404b1498d5db9c60",
        "0004_drop_bucket.sql": "3bee27f34ccdd7ae",
        "0005_whose.sql": "9e3c5d33c03ab771",
        "0006_notes.sql": "1a784fed8e5b216e",
        "0007_every_state.sql": "363975db55471d5d",
        "0008_accept.sql": "c289eb257061d74f",
        "0009_event_tables.sql": "07aac52ec45bde22",
        "0010_newest_identities.sql": "c53c40443468d6c0",
    },
    "sqlite": {
        "0001_journal.sql": "30851d98046263fb",
        "0002_config.sql": "93b0b7e54030e6d1",
        "0003_replays.sql": "84616754a29df3d1",
        "0004_letters.sql": "2ad73d567ca90d2d",
        "0005_whose.sql": "d5669e0667337bff",
        "0006_notes.sql": "e93e3ab3142f34b7",
        "0007_every_state.sql": "09c6d19190cd4f08",
        "0008_identity_runs.sql": "2d1c3770fa2e98d3",
    },
}
"""The beginnings of the SHA-256 of all migrations."""
TAKES_AWAY = re.compile(
    r"ALTER TABLE \S+\s+(DROP|RENAME|ALTER COLUMN \S+ (TYPE|SET NOT NULL))|^DROP (TABLE|FUNCTION|INDEX)", re.MULTILINE
)


@pytest.fixture
async def newer() -> str:
    """The URL of a database whose schema is a later version's."""
    name = f"rollout_{os.getpid()}_{next(_numbers)}"
    await make(name)
    url = postgres.database_url(name)
    async with opened(PostgresJournal(url, create=True)) as journal:
        await _used(journal, await Lanehand.on(journal, destination="before"))
        hand = await Lanehand.on(journal, destination="refused")
        (receipt,) = await accept(journal, 1)
        await hand.settle(receipt.seq, parked=[row(receipt.seq, state=State.DEAD)])
    connection = await asyncpg.connect(url)
    await connection.execute(ADDED)
    await connection.close()
    return url


async def _used(journal: Journal, hand: Lanehand) -> None:
    """Everything that replicas do to a lane, with its books held against what each event is."""
    books = Bookkeeper(journal, hand)
    await journal.append(group(offer(), rejections=[rejection()]))
    books.waiting += [(await journal.head()).seq]
    for step in (books.take, books.settle, books.attempt, books.retry, books.discard, books.remap, books.late) * 3:
        await step([3, 14, 15, 92, 65])
        await books.check()
    await books.keep([1])
    await books.check()


async def test_an_older_replica_reads_and_writes_a_schema_that_was_added_to(newer: str) -> None:
    async with opened(PostgresJournal(newer)) as older:
        assert all(row.balanced for row in await older.audit())
        assert await older.discard(DEAD, BY) == 1
        await _used(older, await Lanehand.on(older, destination="after"))
        await accept(older, 3)
        assert all(row.balanced for row in await older.audit())


async def test_an_older_replica_may_be_started_again(newer: str) -> None:
    for _ in range(2):
        async with opened(PostgresJournal(newer, create=True)) as older:
            await accept(older, 1)


@pytest.mark.parametrize("engine", ["postgres", "sqlite"])
def test_a_migration_that_databases_have_gone_through_is_never_changed(engine: str) -> None:
    folder = ROOT / "gateway" / "journal" / "migrations" / engine
    found = {file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in folder.glob("*.sql")}
    assert found == FROZEN[engine], "add a new migration, and its line here; leave the others as they are"


def test_migrations_after_the_first_take_nothing_away() -> None:
    assert [(step.name, found[0]) for step in migrations()[1:] if (found := TAKES_AWAY.search(step.sql))] == []
