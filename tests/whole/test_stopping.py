"""SIGTERM with everything under way, and processes that are frozen for a while and go on."""

import asyncio
import signal
import time
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from gateway.sandbox.faults import Fault
from gateway.sandbox.server import Sandbox
from tests.whole.payloads import person
from tests.whole.running import (
    TOKEN,
    Gateway,
    account,
    configuration,
    headers_of,
    post_all,
    rules_broken,
    running,
    until,
)
from tests.whole.traffic import Arrivals, Traffic, people

pytestmark = pytest.mark.slow

FROZEN_S = 3.0


async def test_sigterm_answers_the_requests_that_are_open(tmp_path: Path) -> None:
    async with running(tmp_path) as (gateway, sandbox):
        open_ones = [await _half_sent(gateway, number) for number in range(20)]
        stopping = asyncio.create_task(gateway.stop())
        await until(lambda: bool(gateway.lines("shutdown.begun")), "it has heard the signal")
        answers = [await _rest_sent(number, one) for number, one in enumerate(open_ones)]
        assert await stopping == 0
        assert [answer.split(b" ")[1] for answer in answers] == [b"200"] * 20

        await gateway.up()
        await gateway.settled()
        assert set(account(sandbox).witness.received) == people(20)
        await gateway.balanced()


async def test_who_looks_on_live_holds_up_nobody(tmp_path: Path) -> None:
    jar = aiohttp.CookieJar(unsafe=True)  # as browsers do, for an address too
    async with running(tmp_path) as (gateway, _), aiohttp.ClientSession(cookie_jar=jar) as browser:
        async with browser.post(f"{gateway.admin_url}/login", data={"token": TOKEN}) as answer:
            assert answer.status == 200
        async with browser.get(f"{gateway.admin_url}/live/figures") as stream:
            assert (await stream.content.readline()).startswith(b"data: ")
            began_s = time.monotonic()
            assert await gateway.stop() == 0
            with_stream_s = time.monotonic() - began_s
        await gateway.up()
        began_s = time.monotonic()
        assert await gateway.stop() == 0
        assert with_stream_s < time.monotonic() - began_s + 3
        assert gateway.failures() == []


async def test_sigterm_settles_what_is_in_flight_and_nothing_is_sent_twice(tmp_path: Path) -> None:
    async with running(tmp_path) as (gateway, sandbox):
        arrivals = Arrivals(sandbox)
        sandbox.faults.order(Fault(path="/sink*", fault="latency", latency_s=0.7))
        sandbox.faults.order(Fault(path="/ometria/*", fault="latency", latency_s=0.7))
        async with Traffic(gateway.hook) as traffic:
            await traffic.more(60)
            await until(lambda: sandbox.sink.witness.requests_under_way > 4, "requests are in flight")
            began_s = time.monotonic()
            assert await gateway.stop() == 0
            assert time.monotonic() - began_s < 30
            came = _came(sandbox)
            assert (await gateway.lanes())["sink"].lane.counts.delivered == came
            sandbox.faults.clear()
            await gateway.up()
            await traffic.finish()
        await gateway.settled()

        arrivals.look()
        assert set(traffic.statuses) <= {0, 200, 503}
        assert arrivals.again() == {}
        assert set(arrivals.keys) == set(traffic.acknowledged.values())
        assert account(sandbox).counts()["received_again"] == 0
        await gateway.balanced()
        assert gateway.failures() == []


async def test_a_vendor_that_never_answers_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    settings = partial(configuration, sink={"timeout": "2s"}, ometria={"timeout": "2s"})
    async with running(tmp_path, settings) as (gateway, sandbox):
        sandbox.faults.order(Fault(fault="hang"))
        await post_all(gateway.hook, [person(number) for number in range(30)])
        await until(lambda: len(sandbox.faults.view()) == 1 and sandbox.faults.view()[0]["met"] > 2, "it hangs")
        assert await gateway.stop(within_s=15) == 0

        sandbox.faults.clear()
        await gateway.up()
        await gateway.settled()
        assert set(account(sandbox).witness.received) == people(30)
        await gateway.balanced()


async def test_idle_and_half_open_connections_do_not_hold_up_the_stop(tmp_path: Path) -> None:
    async with running(tmp_path) as (gateway, _):
        host, port = gateway.receiver_url.removeprefix("http://").split(":")
        lines = [await asyncio.open_connection(host, int(port)) for _ in range(30)]
        for _, writer in lines[:10]:
            writer.write(b"POST /webhooks/uk-shop HTTP/1.1\r\nHost: a\r\nX-Sl")
        for _, writer in lines[10:20]:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.gather(*(reader.readuntil(b"\r\n\r\n") for reader, _ in lines[10:20]))
        assert await gateway.stop(within_s=8) == 0
        for _, writer in lines:
            writer.close()


@pytest.mark.parametrize("role", ["receiver", "dispatcher"])
async def test_a_process_that_was_frozen_goes_on_and_nothing_is_lost_or_sent_twice(tmp_path: Path, role: str) -> None:
    async with running(tmp_path) as (gateway, sandbox):
        arrivals = Arrivals(sandbox)
        async with Traffic(gateway.hook) as traffic:
            await traffic.more(30)
            frozen = await gateway.freeze(role)
            await asyncio.sleep(FROZEN_S)
            gateway.kill(role, signal.SIGCONT)
            await traffic.more(60)
            await traffic.finish()
        await gateway.settled()

        arrivals.look()
        assert gateway.pid(role) == frozen
        assert set(traffic.statuses) <= {0, 200, 503}
        assert traffic.restless == set()
        assert set(arrivals.keys) == set(traffic.acknowledged.values())
        assert arrivals.again() == {}
        assert set(account(sandbox).witness.received) == people(traffic.sent)
        assert rules_broken(sandbox) == {}
        await gateway.balanced()
        assert gateway.failures() == []


def _came(sandbox: Sandbox) -> int:
    """Requests at the sink so far."""
    return sandbox.sink.witness.statuses.total()


Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _half_sent(gateway: Gateway, number: int) -> Line:
    """A request of which the server has the head and half of the body."""
    host, port = gateway.receiver_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    letter = person(number)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers_of(letter))
    length = f"Content-Length: {len(letter.body)}\r\nExpect: 100-continue\r\n"
    writer.write(f"POST /webhooks/uk-shop HTTP/1.1\r\nHost: x\r\n{head}{length}\r\n".encode())
    assert b"100 Continue" in await reader.readuntil(b"\r\n\r\n")
    writer.write(letter.body[: len(letter.body) // 2])
    return reader, writer


async def _rest_sent(number: int, line: Line) -> bytes:
    """The answer, once the rest of the body is sent."""
    reader, writer = line
    body = person(number).body
    writer.write(body[len(body) // 2 :])
    async with asyncio.timeout(10):
        answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return answer
