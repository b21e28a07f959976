"""The door out: a request leaves once, whatever becomes of its connection."""

import asyncio
import gzip

import pytest

from gateway.deliver.outbound import HttpOutbound
from gateway.errors import Reason
from gateway.vendors.base import Failure, Request, Response

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Server:
    """Answers so many requests, then closes the connection on the next one, which it has read."""

    def __init__(self, answered: int) -> None:
        self.heard: list[str] = []
        self._answered = answered

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            while await reader.readline() not in (b"\r\n", b""):
                continue
            self.heard.append(line.decode().split(" ")[0])
            if len(self.heard) > self._answered:
                break
            writer.write(ANSWER)
        writer.close()


@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE", "POST"])
@pytest.mark.parametrize("paced", [True, False])
async def test_a_request_on_a_connection_that_breaks_is_not_sent_again(method: str, *, paced: bool) -> None:
    server = Server(answered=1)
    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    request = Request(method, f"http://127.0.0.1:{port}/", (), b"")
    async with listening, HttpOutbound() as outbound:
        answers = [await outbound.send(request, 5.0, (lambda: None) if paced else None) for _ in range(2)]
    assert isinstance(answers[0], Response)
    assert isinstance(answers[1], Failure)
    assert answers[1].reason is Reason.TIMEOUT
    assert server.heard == [method] * 2


@pytest.mark.parametrize("body", [b"", b"{}"])
async def test_who_paces_hears_once_that_a_request_leaves_before_its_answer(body: bytes) -> None:
    server, heard = Server(answered=2), list[int]()
    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    request = Request("POST", f"http://127.0.0.1:{port}/", (), body)
    async with listening, HttpOutbound() as outbound:
        for _ in range(2):
            await outbound.send(request, 5.0, lambda: heard.append(len(server.heard)))
    assert heard == [0, 1]


async def test_who_paces_hears_nothing_of_a_request_that_finds_nobody() -> None:
    heard: list[str] = []
    async with HttpOutbound() as outbound:
        answer = await outbound.send(
            Request("POST", "http://127.0.0.1:9/", (), b"{}"), 5.0, lambda: heard.append("left")
        )
    assert isinstance(answer, Failure)
    assert heard == []


async def test_of_an_answer_no_more_is_read_than_is_asked_for_and_its_connection_is_closed() -> None:
    closed: asyncio.Queue[None] = asyncio.Queue()

    async def talks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1000000\r\n\r\n"
        writer.write(head + gzip.compress(b"x" * 1_000_000))
        await reader.read()
        writer.close()
        await writer.wait_closed()
        closed.put_nowait(None)

    listening = await asyncio.start_server(talks, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    request = Request("GET", f"http://127.0.0.1:{port}/", (), b"", answer_bytes=1_000)
    async with listening, HttpOutbound() as outbound, asyncio.timeout(5.0):
        answer = await outbound.send(request, 5.0)
        await closed.get()
    assert isinstance(answer, Response)
    assert answer.body == b"x" * 1_000
