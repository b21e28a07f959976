"""Through real sockets: what clients do that no framework's client does."""

import asyncio
import functools
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import pytest
from uvicorn.server import ServerState

from gateway.receive import server as module
from gateway.receive.accept import Acceptor
from gateway.receive.server import PIPELINED, BoundedHttp, uvicorn_config
from tests.receive.knock import Visitor, opened, until
from tests.receive.signers import BODY, SECRET, shopify

HEADERS = "".join(f"{name}: {value}\r\n" for name, value in shopify(BODY, 0).headers.items())


class Line:
    """One connection."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def send(self, *pieces: bytes | str) -> None:
        for piece in pieces:
            self.writer.write(piece.encode("latin-1") if isinstance(piece, str) else piece)
            await self.writer.drain()

    async def answer(self) -> tuple[int, bytes]:
        """One answer: its status and its body, as far as it comes."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)
        status = int(head.split(b" ")[1])
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        try:
            return status, await self.reader.readexactly(int(lengths[0].split(b":")[1]))
        except ConnectionError:  # the server has ended the connection with bytes of ours unread
            return status, b""

    def address(self) -> tuple[str, int]:
        """Whence it comes, as the server sees it."""
        host, port = self.writer.get_extra_info("sockname")
        return host, port

    async def ended(self) -> bool:
        """Whether the server has ended the connection."""
        try:
            return await asyncio.wait_for(self.reader.read(), 5) == b""
        except ConnectionError:
            return True


class Served:
    """A receiver behind a port."""

    def __init__(self, port: int, visitor: Visitor, state: ServerState) -> None:
        self.port = port
        self.visitor = visitor
        self.state = state

    def line(self) -> Line:
        return Line(self.port)


@asynccontextmanager
async def served(**receiver: str) -> AsyncIterator[Served]:
    async with opened({"shop": {"preset": "shopify", "secrets": SECRET}}, receiver=receiver) as visitor:
        config = uvicorn_config(visitor.app, lifespan="off")
        config.load()
        state = ServerState()
        protocol = functools.partial(BoundedHttp, config=config, server_state=state, app_state={})
        listening = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
        async with listening:
            yield Served(listening.sockets[0].getsockname()[1], visitor, state)
            for connection in list(state.connections):
                connection.transport.abort()
            await until(lambda: not state.connections)


def post(body: bytes = BODY, *, version: str = "1.1", extra: str = "", path: str = "/webhooks/shop") -> bytes:
    head = f"POST {path} HTTP/{version}\r\nHost: x\r\n{HEADERS}{extra}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def test_a_connection_carries_many_requests() -> None:
    async with served() as gateway, gateway.line() as line:
        for duplicate in (False, True, True):
            await line.send(post())
            status, body = await line.answer()
            assert (status, json.loads(body)["duplicate"]) == (200, duplicate)


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with served() as gateway, gateway.line() as line:
        await line.send(post() + post(b"{}") + post())
        assert [(await line.answer())[0] for _ in range(3)] == [200, 401, 200]


async def test_http_1_0_is_served_and_closed() -> None:
    async with served() as gateway, gateway.line() as line:
        await line.send(post(version="1.0"))
        assert (await line.answer())[0] == 200
        assert await line.ended()


async def test_a_chunked_body_is_put_together() -> None:
    head = f"POST /webhooks/shop HTTP/1.1\r\nHost: x\r\n{HEADERS}Transfer-Encoding: chunked\r\n\r\n"
    async with served() as gateway, gateway.line() as line:
        await line.send(head)
        for start in range(0, len(BODY), 10):
            chunk = BODY[start : start + 10]
            await line.send(b"%x;ext=1\r\n%b\r\n" % (len(chunk), chunk))
        await line.send(b"0\r\nTrailer: x\r\n\r\n")
        assert (await line.answer())[0] == 200
    assert gateway.visitor.log.offers[0].body == BODY


async def test_an_endless_chunked_body_is_refused_and_the_connection_ends() -> None:
    head = f"POST /webhooks/shop HTTP/1.1\r\nHost: x\r\n{HEADERS}Transfer-Encoding: chunked\r\n\r\n"
    async with served(body_limit="10KB") as gateway, gateway.line() as line:
        await line.send(head, *[b"400\r\n" + b"x" * 1024 + b"\r\n" for _ in range(12)])
        assert (await line.answer())[0] == 413


async def test_a_declared_length_over_the_limit_is_refused_before_the_body_comes() -> None:
    async with served(body_limit="10KB") as gateway, gateway.line() as line:
        await line.send(f"POST /webhooks/shop HTTP/1.1\r\nHost: x\r\n{HEADERS}Content-Length: 99999999\r\n\r\n")
        assert (await line.answer())[0] == 413


@pytest.mark.parametrize("sent", [b"", BODY[:10]])
async def test_a_body_that_stalls_is_408_and_the_connection_ends(sent: bytes) -> None:
    async with served(body_timeout="50ms") as gateway, gateway.line() as line:
        await line.send(
            f"POST /webhooks/shop HTTP/1.1\r\nHost: x\r\n{HEADERS}Content-Length: 100\r\n\r\n".encode() + sent
        )
        assert (await line.answer())[0] == 408
        assert await line.ended()


async def test_a_sender_that_hangs_up_leaves_nothing_behind() -> None:
    async with served() as gateway:
        async with gateway.line() as line:
            await line.send(
                f"POST /webhooks/shop HTTP/1.1\r\nHost: x\r\n{HEADERS}Content-Length: 100\r\n\r\n", BODY[:10]
            )
        async with gateway.line() as line:
            await line.send(post())
            assert (await line.answer())[0] == 200
    assert gateway.visitor.told.refusals == []
    assert gateway.visitor.told.failures == []


async def test_a_sender_that_waits_for_100_continue_gets_it() -> None:
    async with served() as gateway, gateway.line() as line:
        request = post(extra="Expect: 100-continue\r\n")
        await line.send(request[: -len(BODY)])
        assert (await asyncio.wait_for(line.reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 100")
        await line.send(BODY)
        assert (await line.answer())[0] == 200


async def test_headers_without_end_are_refused_and_the_connection_ends() -> None:
    async with served() as gateway, gateway.line() as line:
        await line.send(b"POST /webhooks/shop HTTP/1.1\r\n", *[b"X-Long: " + b"a" * 8000 + b"\r\n" for _ in range(9)])
        assert (await line.answer())[0] == 431
        assert await line.ended()


CHUNKED = f"POST /webhooks/shop HTTP/1.1\r\nHost: x\r\n{HEADERS}Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "endless",
    [b"0\r\n" + b"X-T: z\r\n" * 20_000, b"5;" + b"e" * 100_000, b"0" * 100_000, b"0\r\nX-T: " + b"z" * 100_000],
)
async def test_what_stands_around_a_body_in_chunks_is_bounded(endless: bytes) -> None:
    async with served() as gateway, gateway.line() as line:
        await line.send(CHUNKED, endless)
        assert (await line.answer())[0] in {400, 431}


async def test_a_body_in_the_smallest_chunks_is_taken() -> None:
    async with served(body_limit="1MiB") as gateway, gateway.line() as line:
        await line.send(CHUNKED, b"".join(b"1\r\n%c\r\n" % byte for byte in BODY * 500), b"0\r\n\r\n")
        assert (await line.answer())[0] == 401


async def test_a_trailer_is_no_header() -> None:
    unsigned = "\r\n".join(line for line in CHUNKED.split("\r\n") if "hmac" not in line.lower())
    signature = next(line for line in HEADERS.split("\r\n") if "hmac" in line.lower())
    async with served() as gateway, gateway.line() as line:
        await line.send(unsigned, b"%x\r\n%b\r\n0\r\n" % (len(BODY), BODY), f"{signature}\r\n\r\n")
        assert (await line.answer())[0] == 401


async def test_a_sender_that_runs_far_ahead_of_its_answers_is_cut_off() -> None:
    async with served() as gateway, gateway.line() as line:
        await line.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * (PIPELINED + 2))
        assert (await line.answer())[0] == 400
        assert await line.ended()


async def test_a_peer_that_reads_no_answers_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedHttp, "unread_s", 0.05)
    async with served() as gateway, gateway.line() as reads, gateway.line() as does_not:
        for line in (reads, does_not):
            await line.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await line.answer())[0] == 200
        protocols = [one for one in gateway.state.connections if isinstance(one, BoundedHttp)]
        for protocol in protocols:
            protocol.pause_writing()  # as the transport does when no more fits on its way
        next(one for one in protocols if one.client == reads.address()).resume_writing()
        assert await does_not.ended()
        await reads.send(post())
        assert (await reads.answer())[0] == 200


async def test_headers_that_never_end_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedHttp, "head_timeout_s", 0.05)
    async with served() as gateway:
        for piece in (b"", b"POST /webhooks/shop HTTP/1.1\r\nX-A: b"):
            async with gateway.line() as line:
                await line.send(piece)
                assert (await line.answer())[0] == 408
                assert await line.ended()
        async with gateway.line() as line:
            await line.send(post())
            assert (await line.answer())[0] == 200
            await line.send(b"POST /webhooks/shop HTTP/1.1\r\nX-A: b")
            assert (await line.answer())[0] == 408


POST = b"POST /webhooks/shop HTTP/1.1\r\n"
RAW = {
    "nothing but newlines": b"\r\n\r\n\r\n\r\n",
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100,
    "no version": b"POST /webhooks/shop\r\n\r\n",
    "old version": b"POST /webhooks/shop HTTP/0.9\r\n\r\n",
    "version of nonsense": b"POST /webhooks/shop HTTP/9.9\r\nHost: x\r\n\r\n",
    "no path": b"POST  HTTP/1.1\r\nHost: x\r\n\r\n",
    "path with a space": b"POST /webhooks/a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "path beyond ascii": b"POST /webhooks/\xff\xfe HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "path of percents": b"POST /webhooks/%ff%fe%00%2e%2e%zz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "path with an encoded slash": b"POST /webhooks/a%2Fb HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "path with a nul": b"POST /webhooks/shop\x00 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "absolute path": b"POST http://x/webhooks/nobody HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "star": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "connect": b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "method of nonsense": b"BREW /webhooks/shop HTTP/1.1\r\nHost: x\r\n\r\n",
    "header without a colon": b"POST /webhooks/shop HTTP/1.1\r\nHost\r\n\r\n",
    "header with a space": b"POST /webhooks/shop HTTP/1.1\r\nX A: b\r\n\r\n",
    "header name beyond ascii": b"POST /webhooks/shop HTTP/1.1\r\n\xff: b\r\n\r\n",
    "header value beyond ascii": b"POST /webhooks/shop HTTP/1.1\r\nX-A: \xff\xfe\r\nContent-Length: 0\r\n\r\n",
    "folded header": b"POST /webhooks/shop HTTP/1.1\r\nX-A: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "content length of words": b"POST /webhooks/shop HTTP/1.1\r\nContent-Length: many\r\n\r\n",
    "content length below zero": b"POST /webhooks/shop HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "content length beyond numbers": b"POST /webhooks/shop HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    "content length twice": b"POST /webhooks/shop HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}}",
    "length and chunks": POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunk size of nonsense": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    "chunk size beyond numbers": POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\n",
    "encoding of nonsense": POST + b"Transfer-Encoding: nonsense\r\n\r\n{}",
    "an upgrade": b"POST /webhooks/shop HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}",
    "a websocket": b"GET /webhooks/shop HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "get with a body": b"GET /webhooks/shop HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
    "head": b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("raw", RAW.values(), ids=RAW.keys())
async def test_bytes_that_are_hardly_http_never_make_a_5xx_and_never_hang(
    raw: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.BoundedHttp, "head_timeout_s", 0.1)
    async with served(body_timeout="100ms") as gateway:
        async with gateway.line() as line:
            await line.send(raw)
            line.writer.write_eof()
            answer = await asyncio.wait_for(line.reader.read(65536), 3)
            assert answer == b"" or answer.split(b" ")[1][:1] in (b"2", b"4"), answer
        async with gateway.line() as line:
            await line.send(post())
            assert (await line.answer())[0] == 200
    assert gateway.visitor.told.failures == []


async def test_a_forwarding_header_does_not_change_who_the_peer_is() -> None:
    async with served() as gateway, gateway.line() as line:
        await line.send(post(b"{}", extra="X-Forwarded-For: 203.0.113.9\r\n"))
        assert (await line.answer())[0] == 401
    assert gateway.visitor.told.refusals[0][2] == "127.0.0.1"


# --- requests that come in one piece --------------------------------------------------------------------------------


async def test_a_request_in_one_piece_has_no_task_and_waits_for_its_commit() -> None:
    async with served() as gateway, gateway.line() as line:
        gateway.visitor.log.gate.clear()
        await line.send(post())
        await asyncio.wait_for(gateway.visitor.log.arrived.wait(), 5)
        assert gateway.state.tasks == set()
        answer = asyncio.create_task(line.answer())
        await asyncio.sleep(0.02)
        assert not answer.done()
        gateway.visitor.log.gate.set()
        assert (await answer)[0] == 200


async def test_in_one_piece_or_two_the_answers_are_the_same_to_the_byte() -> None:
    cases = {
        "taken": post(),
        "unsigned": post(b"{}"),
        "unknown": post(path="/webhooks/nobody"),
        "closing": post(extra="Connection: close\r\n"),
        "no event there": post(path="/elsewhere"),
        "wrong length": post(extra="Content-Encoding: snow\r\n"),
    }
    for name, request in cases.items():
        said = []
        for cut in (len(request), request.index(b"\r\n\r\n") + 4):
            async with served() as gateway, gateway.line() as line:
                await line.send(request[:cut])
                await asyncio.sleep(0.01)
                await line.send(request[cut:])
                head = await asyncio.wait_for(line.reader.readuntil(b"\r\n\r\n"), 5)
                said.append(re.sub(rb"date: [^\r]*", b"date: now", head))
                if name == "closing":
                    await asyncio.wait_for(line.reader.read(), 5)
        assert said[0] == said[1], name


async def test_a_stop_answers_who_waits_and_closes() -> None:
    async with served() as gateway, gateway.line() as line:
        gateway.visitor.log.gate.clear()
        await line.send(post())
        await asyncio.wait_for(gateway.visitor.log.arrived.wait(), 5)
        for connection in gateway.state.connections:
            connection.shutdown()
        gateway.visitor.log.gate.set()
        head = await asyncio.wait_for(line.reader.readuntil(b"\r\n\r\n"), 5)
        assert head.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in head
        await asyncio.wait_for(line.reader.read(), 5)


async def test_a_sender_that_hangs_up_while_its_event_is_committed_is_forgotten() -> None:
    async with served() as gateway:
        gateway.visitor.log.gate.clear()
        async with gateway.line() as line:
            await line.send(post())
            await asyncio.wait_for(gateway.visitor.log.arrived.wait(), 5)
        await until(lambda: not gateway.state.connections)
        gateway.visitor.log.gate.set()
        await until(lambda: bool(gateway.visitor.log.offers))
        assert gateway.visitor.told.failures == []


async def test_a_fault_of_our_own_is_503_in_one_piece_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(Acceptor, "submit", broken)
    async with served() as gateway, gateway.line() as line:
        await line.send(post())
        assert (await line.answer())[0] == 503
        assert [what for what, _ in gateway.visitor.told.failures] == ["request"]
