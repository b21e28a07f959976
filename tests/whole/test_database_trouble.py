"""A database in every kind of trouble, one after the other, under two gateways and a shop that goes on sending: who
asks is told to come again, everything goes on by itself, and nothing that was acknowledged is lost.

GATEWAY_TEST_TROUBLE_S makes each trouble last longer than the few seconds that it does by default.
"""

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from gateway.sandbox.server import Sandbox, serving
from tests.postgres import Server, started
from tests.whole.payloads import person
from tests.whole.running import Gateway, account, configuration, post, rules_broken, until
from tests.whole.traffic import Arrivals, Traffic, people

pytestmark = pytest.mark.slow

LASTS_S = float(os.environ.get("GATEWAY_TEST_TROUBLE_S", "2.5"))
FROZEN_S = max(LASTS_S, 12.0)
"""Longer than any statement may take, and than a lease is good for."""
BACK_S = 40.0
NOBODY = 1_000_000
"""Customers from here on are asked about only while nothing can be taken."""


class Way:
    """The way to the server: it passes everything on, or nothing and nobody."""

    def __init__(self, server: Server) -> None:
        self._socket = str(server.folder / ".s.PGSQL.5432")
        self._open = True
        self._going: set[asyncio.StreamWriter] = set()
        self.port = 0

    @asynccontextmanager
    async def laid(self) -> AsyncIterator["Way"]:
        listening = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = listening.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self.cut()
            listening.close()

    def cut(self) -> None:
        """Everything on the way is lost, and nobody gets through."""
        self._open = False
        for writer in self._going:
            writer.transport.abort()

    def mend(self) -> None:
        self._open = True

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._open:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(self._socket)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, far_writer}
        self._going |= ends
        try:
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            self._going -= ends
            for one in ends:
                one.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Everything from one end to the other; when one end is gone so is the other."""
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.transport.abort()


@pytest.fixture
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="gateway-pg-") as folder, started(Path(folder)) as one:
        asyncio.run(_said(one, "CREATE ROLE gateway LOGIN", "CREATE DATABASE gateway OWNER gateway"))
        yield one


# --- troubles --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _killed(server: Server, _: Way) -> AsyncIterator[None]:
    server.kill()
    yield
    server.start()


@asynccontextmanager
async def _frozen(server: Server, _: Way) -> AsyncIterator[None]:
    server.signal(signal.SIGSTOP)
    try:
        yield
        await asyncio.sleep(max(FROZEN_S - LASTS_S, 0))
    finally:
        server.signal(signal.SIGCONT)


@asynccontextmanager
async def _read_only(server: Server, _: Way) -> AsyncIterator[None]:
    await _said(server, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()", _THROWN_OUT)
    yield
    await _said(
        server,
        "SET default_transaction_read_only = off",
        "ALTER SYSTEM SET default_transaction_read_only = off",
        "SELECT pg_reload_conf()",
    )


@asynccontextmanager
async def _crowded(server: Server, _: Way) -> AsyncIterator[None]:
    """The role has all the connections it may have."""
    await _said(server, "ALTER ROLE gateway CONNECTION LIMIT 0", _THROWN_OUT)
    yield
    await _said(server, "ALTER ROLE gateway CONNECTION LIMIT -1")


@asynccontextmanager
async def _cut(_: Server, way: Way) -> AsyncIterator[None]:
    """A failover: connections are gone, and for a while nobody is there."""
    way.cut()
    yield
    way.mend()


TROUBLES = (_killed, _cut, _read_only, _crowded, _frozen)
_THROWN_OUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


async def _said(server: Server, *statements: str) -> None:
    connection = await asyncpg.connect(server.url_of("postgres"))
    try:
        for one in statements:
            await connection.execute(one)
    finally:
        await connection.close()


# --- the story -------------------------------------------------------------------------------------------------------


async def _is_told_to_come_again(gateway: Gateway) -> None:
    """Who sends meanwhile gets a 503 with a time to come again, sooner or later: a frozen server is waited for."""

    async def refused() -> bool:
        async with aiohttp.ClientSession() as session:
            told = await post(session, gateway.hook, person(NOBODY))
        assert told.status in (0, 503), told
        return told.status == 503 and int(told.headers["retry-after"]) > 0

    await until(refused, "503 with Retry-After", within_s=20)


async def test_whatever_happens_to_the_database_nothing_acknowledged_is_lost(tmp_path: Path, server: Server) -> None:
    async with Way(server).laid() as way, serving("127.0.0.1:0") as served:
        url = f"postgresql://gateway@127.0.0.1:{way.port}/gateway"
        told = {**configuration(served.url), "journal": {"url": url}, "revision": 1}
        both = [_replica(tmp_path / name, told) for name in ("whole", "receiver")]
        try:
            await both[0].up()
            await both[1].up("--role", "receiver")
            await _story(both, server, way, served.sandbox)
        finally:
            for one in both:
                await one.end()


def _replica(folder: Path, settings: dict[str, object]) -> Gateway:
    folder.mkdir()
    return Gateway(folder, settings)


async def _story(both: list[Gateway], server: Server, way: Way, sandbox: Sandbox) -> None:
    arrivals = Arrivals(sandbox)
    async with Traffic(both[0].hook, senders=3) as one, Traffic(both[1].hook, senders=3) as other:
        for trouble in TROUBLES:
            await one.more(10)
            await other.more(10)
            for _ in range(3):
                await _said(server, _THROWN_OUT)
                await one.more(2)
            async with trouble(server, way):
                await _is_told_to_come_again(both[1])
                await asyncio.sleep(LASTS_S)
            for gateway in both:
                await gateway.ready(BACK_S)
        await one.more(10)
        await other.more(10)
        await one.finish()
        await other.finish()
    await both[0].settled(within_s=BACK_S)
    arrivals.look()
    acknowledged = {*one.acknowledged.values(), *other.acknowledged.values()}
    assert one.restless | other.restless == set()
    assert acknowledged <= set(arrivals.keys)
    assert {event: keys for event, keys in arrivals.keys.items() if len(keys) != 1} == {}
    assert people(max(one.sent, other.sent)) <= set(account(sandbox).witness.received)
    assert rules_broken(sandbox) == {}
    for gateway in both:
        rows = await gateway.balanced()
        assert {row["dead"] for row in rows.values()} == {0}
        assert gateway.failures() == []
