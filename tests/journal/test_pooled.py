"""A journal through a pooler that hands each transaction to another session of the server."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from gateway.journal.postgres import PostgresJournal
from gateway.model import LaneSpec
from tests import postgres
from tests.journal import databases
from tests.journal.bookkeeper import Bookkeeper
from tests.journal.databases import EmptyPostgres
from tests.journal.making import Lanehand, accept, group, offer, opened
from tests.journal.pooler import Pooler


@pytest.fixture
async def pooler(tmp_path: Path) -> AsyncIterator[Pooler]:
    """A pooler before an empty journal."""
    if postgres.VARIABLE in os.environ:
        pytest.skip("the pooler knows the tests' own server alone")
    async with opened(EmptyPostgres(tmp_path)):
        pass
    socket = postgres.server_url().rpartition("host=")[2]
    async with Pooler(f"{socket}/.s.PGSQL.5432", "postgres", databases.NAME).listening() as one:
        yield one


def _url(pooler: Pooler) -> str:
    return f"postgresql://postgres@127.0.0.1:{pooler.port}/{databases.NAME}"


async def test_who_keeps_something_in_a_session_fails_through_it(pooler: Pooler) -> None:
    connection = await asyncpg.connect(_url(pooler))
    assert await connection.fetchval("SELECT $1::integer", 1) == 1
    with pytest.raises(asyncpg.InvalidSQLStatementNameError):
        await connection.fetchval("SELECT $1::integer", 1)
    connection.terminate()


async def test_every_transaction_may_be_another_sessions(pooler: Pooler) -> None:
    async with opened(PostgresJournal(_url(pooler))) as journal, opened(PostgresJournal(_url(pooler))) as other:
        hand = await Lanehand.on(journal)
        books = Bookkeeper(journal, hand)
        for step in (books.take, books.settle, books.attempt, books.retry, books.discard, books.remap, books.keep) * 3:
            await step([3, 14, 15, 92, 65])
            await books.check()
        await asyncio.gather(*(accept(one, 3) for one in (journal, other) * 10))
        (first,) = await journal.append(group(offer("one")))
        (second,) = await other.append(group(offer("one")))
        assert (second.duplicate, second.id) == (True, first.id)
        await other.register([LaneSpec("shop", "warehouse")])
        assert [row.balanced for row in await other.audit()] == [True, True]
        assert pooler.turns > 100


async def test_a_commit_is_heard_of_within_two_seconds_although_nobody_can_listen(pooler: Pooler) -> None:
    async with opened(PostgresJournal(_url(pooler))) as journal, opened(PostgresJournal(_url(pooler))) as other:
        waiting = asyncio.create_task(journal.wait(await journal.head(), 30))
        await asyncio.sleep(0.3)
        await accept(other, 1)
        async with asyncio.timeout(2):
            assert (await waiting).seq == 1


async def test_it_is_heard_of_at_once_on_a_way_of_its_own(pooler: Pooler) -> None:
    direct = databases.url()
    async with (
        opened(PostgresJournal(_url(pooler), listen_url=direct)) as journal,
        opened(PostgresJournal(_url(pooler))) as other,
    ):
        for _ in range(3):
            waiting = asyncio.create_task(journal.wait(await journal.head(), 30))
            await asyncio.sleep(0.4)
            await accept(other, 1)
            async with asyncio.timeout(0.5):
                await waiting
