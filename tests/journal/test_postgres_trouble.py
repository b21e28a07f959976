"""A journal whose PostgreSQL is in trouble: nothing is taken then, and it goes on by itself afterwards."""

import asyncio
import os
import resource
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from gateway.errors import JournalUnavailable
from gateway.journal.postgres import PostgresJournal
from tests.journal.making import Lanehand, accept, group, offer, rejection
from tests.postgres import FAST, Server, started

pytestmark = pytest.mark.slow

PATIENCE_S = 1.0
SMALL = (*FAST, "-c", "max_connections=12", "-c", "superuser_reserved_connections=0")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of the module's own: it is frozen, killed and filled."""
    with tempfile.TemporaryDirectory(prefix="gateway-pg-") as folder, started(Path(folder), SMALL) as one:
        yield one


@pytest.fixture
async def journal(server: Server) -> AsyncIterator[PostgresJournal]:
    one = PostgresJournal(server.url_of("postgres"), timeout_s=PATIENCE_S)
    await one.open()
    yield one
    await one.close()


async def _comes_back(journal: PostgresJournal, within_s: float = 10.0) -> None:
    """It takes events again, with nobody's help."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + within_s
    while True:
        try:
            await accept(journal, 1)
            return
        except JournalUnavailable:
            assert loop.time() < until_s
            await asyncio.sleep(0.1)


async def _refused(journal: PostgresJournal, why: str, within_s: float = 2 * PATIENCE_S) -> None:
    """Nothing is taken now, and it is said soon."""
    async with asyncio.timeout(within_s):
        with pytest.raises(JournalUnavailable, match=why):
            await accept(journal, 1)


async def test_a_server_that_is_killed_and_starts_again(journal: PostgresJournal, server: Server) -> None:
    hand = await Lanehand.on(journal, destination="killed")
    mine = group(offer("killed-a"), offer("killed-b"))
    receipts = await journal.append(mine)
    seen = await journal.head()
    waiting = asyncio.create_task(journal.wait(seen, 60))
    await asyncio.sleep(0.2)
    server.kill()
    await _refused(journal, "the database")
    with pytest.raises(JournalUnavailable):
        await waiting
    server.start()
    assert await journal.append(mine) == receipts
    await _comes_back(journal)
    assert (await journal.head()).seq == seen.seq + 1
    assert (await hand.audited()).balanced
    waiting = asyncio.create_task(journal.wait(await journal.head(), 60))
    await asyncio.sleep(2.5)
    await accept(journal, 1)
    async with asyncio.timeout(1.5):
        await waiting


async def test_a_server_that_freezes_is_not_waited_for_and_what_it_was_given_is_taken_once(
    journal: PostgresJournal, server: Server
) -> None:
    await accept(journal, 1)
    before = (await journal.head()).seq
    mine = group(offer("frozen-a"), offer())
    with _frozen(server):
        begun = asyncio.get_running_loop().time()
        with pytest.raises(JournalUnavailable, match="did not answer within 1 s"):
            await journal.append(mine)
        assert asyncio.get_running_loop().time() - begun < 2 * PATIENCE_S
        await _refused(journal, "did not answer")
    await _comes_back(journal)
    receipts = await journal.append(mine)
    assert await journal.append(mine) == receipts
    events = (await journal.read(before, limit=100)).events
    assert [event.seq for event in events] == list(range(before + 1, before + 1 + len(events)))
    assert sum(b"frozen-a" in event.body for event in events) == 1


async def test_a_server_that_freezes_under_somebody_who_looks_is_not_waited_for(
    journal: PostgresJournal, server: Server
) -> None:
    async def look() -> None:
        async with journal._desk.snapshot() as looking:
            await looking.fetch("SELECT 1")
            server.signal(signal.SIGSTOP)
            await looking.fetch("SELECT 1")

    try:
        async with asyncio.timeout(2 * PATIENCE_S):
            with pytest.raises(JournalUnavailable, match="did not answer"):
                await look()
    finally:
        server.signal(signal.SIGCONT)
    await _comes_back(journal)


async def test_what_waits_for_a_frozen_server_is_bounded(journal: PostgresJournal, server: Server) -> None:
    await accept(journal, 1)
    with _frozen(server):
        calls = [asyncio.create_task(journal.probe()) for _ in range(1_200)]
        results = await asyncio.gather(*calls, return_exceptions=True)
    reasons = {str(one) for one in results}
    assert "too much waits for the journal" in reasons
    assert all(isinstance(one, JournalUnavailable) for one in results)
    await _comes_back(journal)


async def test_a_server_that_takes_no_more_connections(journal: PostgresJournal, server: Server) -> None:
    await _drop_connections(journal)
    others: list[Any] = []
    try:
        with pytest.raises(asyncpg.TooManyConnectionsError):
            await _take_connections(server, others)
        await _refused(journal, "53300")
    finally:
        for one in others:
            await one.close()
    await _comes_back(journal)


async def _take_connections(server: Server, taken: list[Any]) -> None:
    while True:
        taken.append(await asyncpg.connect(server.url_of("postgres")))


async def _drop_connections(journal: PostgresJournal) -> None:
    for _, connection in journal._db._idle:
        connection.terminate()
    await asyncio.sleep(0.1)


async def test_a_server_that_has_become_read_only(journal: PostgresJournal, server: Server) -> None:
    await accept(journal, 1)
    head = await journal.head()
    await _set(server, "default_transaction_read_only = on")
    await _drop_connections(journal)
    await _refused(journal, "25006")
    with pytest.raises(JournalUnavailable, match="read-only"):
        await journal.probe()
    assert (await journal.head()).seq == head.seq
    await _set(server, "default_transaction_read_only = off")
    await _comes_back(journal)


async def test_a_disk_without_room(journal: PostgresJournal, server: Server) -> None:
    """No file of the server may grow beyond 17 MB, one more than a segment of the write-ahead log has."""
    taken: list[bytes] = []
    server.stop()
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (17 << 20, hard))
    server.start()
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await _comes_back(journal)
    with pytest.raises(JournalUnavailable, match="File too large"):
        await _fill(journal, taken)
    assert len(taken) > 5
    server.stop()
    server.start()
    await _comes_back(journal)
    bodies = [event.body for event in (await journal.read(0, limit=10_000, limit_bytes=1 << 30)).events]
    assert [body for body in bodies if len(body) == 1 << 20] == taken


async def _fill(journal: PostgresJournal, taken: list[bytes]) -> None:
    for _ in range(60):
        body = os.urandom(1 << 20)
        await journal.append(group(offer(body=body), rejections=[rejection()]))
        taken.append(body)


async def test_a_commit_that_no_standby_confirms_is_not_acknowledged_nor_is_its_retry(
    journal: PostgresJournal, server: Server
) -> None:
    await accept(journal, 1)
    await _set(server, "synchronous_standby_names = 'nobody'")
    try:
        mine = group(offer("unconfirmed"))
        for again in (mine, mine, group(offer("unconfirmed"))):
            with pytest.raises(JournalUnavailable):
                await journal.append(again)
    finally:
        await _set(server, "synchronous_standby_names = ''")
    await _comes_back(journal)
    (receipt,) = await journal.append(mine)
    events = [event for event in (await journal.read(receipt.seq - 1)).events if event.id == receipt.id]
    assert len(events) == 1


async def _set(server: Server, setting: str) -> None:
    """A setting of the server, in force for new transactions."""
    connection = await asyncpg.connect(server.url_of("postgres"))
    try:
        await connection.execute("SET default_transaction_read_only = off")
        await connection.execute("SET synchronous_commit = local")
        await connection.execute(f"ALTER SYSTEM SET {setting}")
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()
    await asyncio.sleep(0.3)


@contextmanager
def _frozen(server: Server) -> Iterator[None]:
    """Every process of the server stands still."""
    server.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.signal(signal.SIGCONT)


async def test_a_server_that_is_not_there_is_named_without_the_password() -> None:
    journal = PostgresJournal("postgresql://me:hush@127.0.0.1:1/x", timeout_s=2)
    with pytest.raises(JournalUnavailable, match=r"the database at 127\.0\.0\.1:1: ") as caught:
        await journal.open()
    assert "hush" not in str(caught.value)
    await journal.close()
