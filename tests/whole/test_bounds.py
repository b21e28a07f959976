"""What the processes hold at most: memory with a million events waiting, file handles over many connections, and what
clients that send slowly can pin.

`GATEWAY_TEST_WAITING` and `GATEWAY_TEST_CONNECTIONS` set how many, for shorter or longer runs by hand.
"""

import asyncio
import os
import re
import time
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from gateway.journal.sqlite import SqliteJournal
from gateway.model import Group, Offer
from gateway.sandbox.faults import Fault
from tests.whole.payloads import person
from tests.whole.running import SOURCE, TOKEN, Gateway, headers_of, played, post, post_all, running, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="what a process holds is told by Linux"),
]

WAITING = int(os.environ.get("GATEWAY_TEST_WAITING", "1000000"))
CONNECTIONS = int(os.environ.get("GATEWAY_TEST_CONNECTIONS", "1500"))
GROUP = 5_000
RSS_MB = 120
Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]
ROLES = ("parent", "receiver", "dispatcher")
BODY_BYTES = 1 << 20
BODIES_MB = 128
"""What bodies that are still coming may hold together (`receive/body.py`). The buffers of their connections come on
top: as much again, at most."""
SLOW = 300
PATIENCE_S = 40.0
HANDLES = 20
"""More or fewer handles than before, for connections that are kept alive and files of the journal."""


async def test_a_million_events_may_wait_for_vendors_that_are_down(tmp_path: Path) -> None:
    async with played(tmp_path) as (gateway, served):
        await gateway.up()
        assert await gateway.stop() == 0
        await _fill(gateway.database)
        served.sandbox.faults.order(Fault(path="/sink*", fault="status", status=503))
        served.sandbox.faults.order(Fault(path="/ometria/*", fault="hang"))
        await gateway.up()
        await until(lambda: served.sandbox.sink.witness.statuses.total() == 0, "nothing gets through")
        told = await post_all(gateway.hook, [person(number) for number in range(GROUP, GROUP + 200)])
        assert {one.status for one in told} == {200}
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession(gateway.admin_url, headers=headers) as session:
            for page in ("/metrics", "/api/lanes", "/api/events", "/readyz"):
                async with session.get(page) as answer:
                    assert answer.status == 200
                    await answer.read()
        assert {role: peak for role in ROLES if (peak := _peak_mb(gateway, role)) >= RSS_MB} == {}
        waiting = [row.waiting + row.lane.counts.parked for row in (await gateway.lanes()).values()]
        assert waiting == [WAITING + 200] * 2
        assert await gateway.stop() == 0
        assert gateway.failures() == []


async def test_connections_that_come_and_go_leave_no_file_handle_behind(tmp_path: Path) -> None:
    async with running(tmp_path) as (gateway, sandbox):
        await post_all(gateway.hook, [person(number) for number in range(100)])
        await gateway.settled()
        before = {role: _handles(gateway, role) for role in ROLES}
        sandbox.faults.order(Fault(path="/sink*", fault="reset_before", count=CONNECTIONS // 10))
        for first in range(0, CONNECTIONS, 50):
            await asyncio.gather(*(_by_itself(gateway, 1_000 + number) for number in range(first, first + 50)))
        sandbox.faults.clear()
        await until(lambda: all(_handles(gateway, role) < before[role] + HANDLES for role in ROLES), "they are closed")
        assert await gateway.stop() == 0
        assert gateway.failures() == []


async def test_clients_that_send_slowly_pin_so_much_memory_and_no_more(tmp_path: Path) -> None:
    async with running(tmp_path) as (gateway, _):
        host, port = gateway.receiver_url.removeprefix("http://").split(":")
        lines = await asyncio.gather(*(_almost_all_of_a_body(host, int(port)) for _ in range(SLOW)))
        (told,) = await post_all(gateway.hook, [person(1)])
        assert told.status == 200
        async with asyncio.timeout(PATIENCE_S):
            answers = await asyncio.gather(*(_answer(reader) for reader, _ in lines))
        for _, writer in lines:
            writer.close()
        assert {answer for answer in answers if answer} == {"408", "503"}
        assert _peak_mb(gateway, "receiver") < 2 * BODIES_MB + RSS_MB
        assert await gateway.stop() == 0
        assert gateway.failures() == []


async def _fill(database: Path) -> None:
    """Put events into the journal, as the receiver would: customers, over and over."""
    now_ms = time.time_ns() // 1_000_000
    offers = tuple(_offer(number, now_ms) for number in range(GROUP))
    journal = SqliteJournal(database)
    try:
        for number in range(WAITING // GROUP):
            await journal.append(Group(b"fill" + number.to_bytes(12, "big"), offers))
    finally:
        await journal.close()


def _offer(number: int, now_ms: int) -> Offer:
    letter = person(number)
    headers = tuple((name.lower(), value) for name, value in headers_of(letter))
    return Offer(SOURCE, letter.topic, now_ms, 0, "POST", "", headers, letter.body, None, 0)


async def _by_itself(gateway: Gateway, number: int) -> None:
    """One request on a connection of its own."""
    async with aiohttp.ClientSession() as session:
        assert (await post(session, gateway.hook, person(number))).status == 200


async def _almost_all_of_a_body(host: str, port: int) -> Line:
    """A client that has sent a body of the largest size but for its last byte, which does not come."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"POST /webhooks/{SOURCE} HTTP/1.1\r\nHost: x\r\nContent-Length: {BODY_BYTES}\r\n\r\n".encode())
    with suppress(ConnectionError):
        writer.write(b" " * (BODY_BYTES - 1))
        await writer.drain()
    return reader, writer


async def _answer(reader: asyncio.StreamReader) -> str:
    """The status that a client is answered; none when the connection is closed on it."""
    with suppress(ConnectionError):
        return (await reader.readline()).decode().partition(" ")[2][:3]
    return ""


def _peak_mb(gateway: Gateway, role: str) -> int:
    """The most memory that a process has had, in MB."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{gateway.pid(role)}/status").read_text())
    assert found is not None
    return int(found[1]) // 1024


def _handles(gateway: Gateway, role: str) -> int:
    return len(list(Path(f"/proc/{gateway.pid(role)}/fd").iterdir()))
