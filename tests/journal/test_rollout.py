"""Replicas of two versions on one PostgreSQL schema, as during a roll-out.

There is no release yet whose code could be run here. What stands for the older replica is this version on a schema that
a later one has added to: columns with a default on every table, a table, an index.
"""

import os
import re
from itertools import count

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
    FOR one IN SELECT relname FROM pg_class WHERE relnamespace = 'gateway'::regnamespace AND relkind = 'r' LOOP
        EXECUTE format('ALTER TABLE gateway.%I ADD COLUMN later bigint NOT NULL DEFAULT 0', one.relname);
        EXECUTE format('ALTER TABLE gateway.%I ADD COLUMN more text', one.relname);
        EXECUTE format('CREATE INDEX ON gateway.%I (later)', one.relname);
    END LOOP;
    CREATE TABLE gateway.newer (id integer PRIMARY KEY);
    INSERT INTO gateway.migrations (number, name) VALUES (999, 'from_the_future');
END
$$
"""  # fmt: skip
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


def test_migrations_after_the_first_take_nothing_away() -> None:
    assert [(step.name, found[0]) for step in migrations()[1:] if (found := TAKES_AWAY.search(step.sql))] == []
