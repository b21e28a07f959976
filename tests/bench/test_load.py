import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from gateway.bench import load
from gateway.bench.report import BenchFailed
from gateway.bench.sink import sinking

REQUEST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[Any]]


@asynccontextmanager
async def server(answer: Answer, lives: int | None = None) -> AsyncIterator[int]:
    """A server that answers each request as it is told to, on its first so many connections; others it ends at once."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        if lives is not None and len(writers) > lives:
            writer.close()
            return
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readexactly(len(REQUEST)):
                await answer(reader, writer)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]
    for writer in writers:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


def write() -> bytes:
    return REQUEST


async def test_a_closed_loop_sends_exactly_as_many_requests_as_it_is_asked_to() -> None:
    async with sinking() as sink:
        outcome = await load.closed(sink.port, write, 8, count=100)

    assert outcome.statuses == {200: 100}
    assert sink.requests == 100
    assert len(outcome.latencies_s) == 100


async def test_a_closed_loop_ends_in_time_and_tells_its_rate() -> None:
    async with sinking() as sink:
        outcome = await load.closed(sink.port, write, 4, seconds=0.05)

    assert outcome.statuses == {200: sink.requests}
    assert outcome.took_s >= 0.05
    assert outcome.rate_per_s == sink.requests / outcome.took_s
    assert 0 < outcome.ms(0.5) <= outcome.ms(0.99)


async def test_an_open_loop_sends_what_was_planned_and_no_more() -> None:
    async with sinking() as sink:
        outcome = await load.open_loop(sink.port, write, rate_per_s=1000, seconds=0.05)

    assert outcome.statuses == {200: 50}
    assert outcome.took_s >= 0.04


async def test_an_open_loop_measures_from_the_planned_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "OPEN_CONNECTIONS", 1)
    held: list[asyncio.StreamWriter] = []

    async def hold_the_first(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not held:
            held.append(writer)
            await asyncio.sleep(0.05)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async with server(hold_the_first) as port:
        outcome = await load.open_loop(port, write, rate_per_s=1000, seconds=0.01)

    assert outcome.statuses == {200: 10}
    assert outcome.latencies_s[0] > 0.03  # those that waited for the one connection waited, whoever kept them


async def test_an_answer_that_comes_in_pieces_is_one_answer() -> None:
    async def in_pieces(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in (b"HTTP/1.1 503 Serv", b"ice Unavailable\r\nContent-Length: 4\r\n", b"\r\nab", b"cd"):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.001)

    async with server(in_pieces) as port:
        outcome = await load.closed(port, write, 1, count=3)

    assert outcome.statuses == {503: 3}


async def test_a_lost_connection_is_an_answer_of_status_0() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        await asyncio.sleep(0)

    async with server(hang_up) as port:
        outcome = await load.closed(port, write, 2, count=10)

    assert outcome.statuses == {0: 2}


async def test_a_server_that_does_not_answer_fails_the_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "LAST_ANSWERS_S", 0.02)

    async def say_nothing(_: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0)

    async with server(say_nothing) as port:
        with pytest.raises(BenchFailed, match="2 requests were not answered"):
            await load.closed(port, write, 2, count=10)


async def test_the_sink_counts_the_records_of_a_batch() -> None:
    body = b'[{"@type": "order"}, {"@type": "order"}]'
    request = b"POST /push HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)

    async with sinking() as sink:
        await load.closed(sink.port, lambda: request, 1, count=3)

    assert (sink.requests, sink.records) == (3, 6)
    assert 0 < sink.first_s <= sink.last_s


async def test_an_open_loop_passes_by_connections_that_the_server_has_ended() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async with server(answer, lives=1) as port:
        outcome = await load.open_loop(port, write, rate_per_s=500, seconds=0.1)

    assert outcome.statuses == {200: 50}
