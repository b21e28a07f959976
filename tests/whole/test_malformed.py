"""Whatever bytes come to the receiver's port: never a 5xx, never a hang, never more memory than is meant."""

import asyncio
import gzip
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.whole.payloads import person
from tests.whole.running import SOURCE, Gateway, Letter, configuration, headers_of, post_all, running

pytestmark = pytest.mark.slow

PATIENCE_S = 14.0
"""The longest that a sender may be left without an answer: a head has ten seconds, a body one."""
GROWTH_KB = 64 << 10
AT_ONCE = 40
PIECE = b"x" * (64 << 10)


def _settings(sandbox_url: str) -> dict[str, Any]:
    return {**configuration(sandbox_url, ometria=None), "receiver": {"body_timeout": "1s"}}


async def test_no_bytes_make_the_receiver_fail_or_hang_or_grow(tmp_path: Path) -> None:
    async with running(tmp_path, _settings) as (gateway, _):
        receiver = gateway.pid("receiver")
        await _knock_all(gateway, dict(list(_heads())[:10]))
        before_kb = _resident_kb(receiver)

        answers = await _knock_all(gateway, {**dict(_heads()), **dict(_bodies()), **dict(_signed())})
        assert {name: answer for name, answer in answers.items() if not _fine(answer)} == {}
        assert {name: answers[name] for name in VALID} == dict.fromkeys(VALID, 200)

        assert _resident_kb(receiver) - before_kb < GROWTH_KB
        (told,) = await post_all(gateway.hook, [person(1)])
        assert told.status == 200
        assert gateway.pid("receiver") == receiver
        assert await gateway.stop() == 0
        assert gateway.failures() == []


async def test_what_never_ends_is_ended_and_takes_no_memory(tmp_path: Path) -> None:
    async with running(tmp_path, _settings) as (gateway, _):
        receiver = gateway.pid("receiver")
        before_kb = _resident_kb(receiver)
        without_end = {
            "a body in chunks": (_post("Transfer-Encoding: chunked"), b"10000\r\n" + PIECE + b"\r\n"),
            "a body with a length": (_post("Content-Length: 1048576"), b""),
            "a header": (_post()[:-2] + b"X-Long: ", PIECE),
            "headers": (_post()[:-2], b"X-Y: z\r\n" * 8_000),
            "a path": (b"POST /webhooks/", PIECE),
            "chunk extensions": (_post("Transfer-Encoding: chunked") + b"5;", PIECE),
            "trailers": (_post("Transfer-Encoding: chunked") + b"0\r\n", b"X-T: " + PIECE + b"\r\n"),
            "a chunk's size": (_post("Transfer-Encoding: chunked"), b"0" * (64 << 10)),
            "empty lines": (b"", b"\r\n" * (32 << 10)),
            "requests that nobody reads": (b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 1_000),
        }
        lines = [_flood(gateway, *one) for one in without_end.values() for _ in range(AT_ONCE)]
        peak = asyncio.create_task(_peak_kb(receiver))
        answers = await asyncio.gather(*lines)
        peak.cancel()

        names = [name for name in without_end for _ in range(AT_ONCE)]
        wrong = {name for name, answer in zip(names, answers, strict=True) if not _fine(answer)}
        assert wrong == set()
        assert _resident_kb(receiver) - before_kb < 2 * GROWTH_KB
        (told,) = await post_all(gateway.hook, [person(1)])
        assert told.status == 200
        assert gateway.pid("receiver") == receiver
        assert gateway.failures() == []


async def test_senders_that_dawdle_do_not_keep_others_waiting(tmp_path: Path) -> None:
    async with running(tmp_path, _settings) as (gateway, _):
        slow = [asyncio.create_task(_drip(gateway, _post("Content-Length: 100") + b"a" * 20)) for _ in range(300)]
        told = await post_all(gateway.hook, [person(number) for number in range(200)])
        assert {one.status for one in told} == {200}
        answers = await asyncio.gather(*slow)
        assert {answer for answer in answers if not _fine(answer)} == set()
        assert gateway.failures() == []


# --- what is sent ----------------------------------------------------------------------------------------------------

VALID = ("as it should be", "an older version of the protocol", "three at once", "in chunks", "in two gzip members")


def _post(*headers: str, path: str = f"/webhooks/{SOURCE}", version: str = "1.1") -> bytes:
    lines = [f"POST {path} HTTP/{version}", "Host: x", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _heads() -> Iterator[tuple[str, bytes]]:
    """Requests whose head is wrong, or odd."""
    yield "nothing but noise", bytes(range(256)) * 4
    yield "zeros", b"\x00" * 1000
    yield "a TLS greeting", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(200)
    yield "no version", b"GET /\r\n\r\n"
    yield "another protocol", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    yield "mail", b"EHLO example.com\r\n\r\n"
    yield "a version of the future", _post(version="3.7")
    yield "no method", b" /webhooks/uk-shop HTTP/1.1\r\n\r\n"
    yield "an unknown method", _post().replace(b"POST", b"FROBNICATE")
    yield "a method in lower case", _post().replace(b"POST", b"post")
    yield "a method with a zero", _post().replace(b"POST", b"PO\x00ST")
    yield "a tunnel", b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n"
    yield "an asterisk", b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"
    yield "a whole URL", _post(path="http://example.com/webhooks/uk-shop")
    yield "a long path", _post(path="/webhooks/" + "a" * 30_000)
    yield "too long a path", _post(path="/webhooks/" + "a" * 200_000)
    yield "a path with bytes", _post(path="/webhooks/\xff\xfe\x80")
    yield "a path with a zero", _post(path="/webhooks/uk\x00shop")
    yield "a path in percent", _post(path="/webhooks/%00%ff%c0%af%zz%")
    yield "a path upwards", _post(path="/webhooks/../../etc/passwd")
    yield "slashes", _post(path="//webhooks///uk-shop//")
    yield "a query of bytes", _post(path="/webhooks/uk-shop?\xff=%ff&&&=&a[]=1#x")
    yield "spaces in the path", _post(path="/webhooks/uk shop")
    yield "no host", b"POST /webhooks/uk-shop HTTP/1.1\r\n\r\n"
    yield "two hosts", _post("Host: y")
    yield "a header without a colon", _post("this is no header")
    yield "a header without a name", _post(": value")
    yield "a header with a zero", _post("X-A: a\x00b")
    yield "a header in latin", _post("X-Shopify-Topic: orders/cr\xe9ate", "X-Shopify-Hmac-Sha256: \xff\xfe")
    yield "a folded header", _post("X-A: a\r\n b\r\n\tc")
    yield "a space before the colon", _post("Content-Length : 5")
    yield "a bare line feed", _post().replace(b"\r\n", b"\n")
    yield "a bare carriage return", _post("X-A: a\rX-B: b")
    yield "a thousand headers", _post(*(f"X-{number}: 1" for number in range(1_000)))
    yield "ten thousand headers", _post(*(f"X-{number}: 1" for number in range(10_000)))
    yield "one large header", _post("X-A: " + "a" * 1_000_000)
    yield "a header that never ends", _post()[:-4] + b"\r\nX-A: aaa"
    yield "a head that never ends", _post()[:-2]
    yield "a socket for the web", _post("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: eA==")
    yield "an upgrade", _post("Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk")
    yield "an expectation", _post("Expect: the unexpected", "Content-Length: 2") + b"{}"
    yield "a silent visitor", b""


def _bodies() -> Iterator[tuple[str, bytes]]:
    """Requests whose body does not come as the head says."""
    huge = "9" * 30
    for length in (
        "-1",
        "+5",
        "5 5",
        "0x10",
        "1e3",
        "five",
        "",
        str(10**15),
        huge,
        "5, 6",
        "\u0665".encode().decode("latin-1"),
    ):
        yield f"a length of {length[:12]!r}", _post(f"Content-Length: {length}") + b"hello"
    yield "two lengths", _post("Content-Length: 5", "Content-Length: 6") + b"hello!"
    yield "a length and chunks", _post("Content-Length: 5", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n"
    yield "less than it says", _post("Content-Length: 500") + b"hello"
    yield "more than it says", _post("Content-Length: 2") + b"hello, this is more than two"
    for coding in ("gzip", "identity", "chunked, chunked", "gzip, chunked", "xchunked", "\x0bchunked", ""):
        yield f"a transfer coding {coding!r}", _post(f"Transfer-Encoding: {coding}") + b"5\r\nhello\r\n0\r\n\r\n"
    chunked = _post("Transfer-Encoding: chunked")
    for size in ("zz", "-5", "FFFFFFFFFFFFFFFF", "FFFFFFFFFFFFFFFFF", "7FFFFFFF", "5 ", "0x5", "", "5;" + "e" * 9_000):
        yield f"a chunk of {size[:20]!r}", chunked + size.encode() + b"\r\nhello\r\n0\r\n\r\n"
    yield "a chunk without an end", chunked + b"5\r\nhelloworld\r\n0\r\n\r\n"
    yield "chunks that stop", chunked + b"5\r\nhello\r\n"
    yield "trailers", chunked + b"0\r\nContent-Length: 5\r\nX-Shopify-Topic: a/b\r\n\r\n"
    yield "one byte in each chunk", chunked + b"1\r\na\r\n" * 20_000 + b"0\r\n\r\n"
    yield "an unknown encoding", _post("Content-Encoding: br", "Content-Length: 5") + b"hello"
    yield "noise behind a request", _post("Content-Length: 2") + b"{}" + os.urandom(2_000)


def _signed() -> Iterator[tuple[str, bytes]]:
    """Requests with a right signature over what should not be there."""
    deep = 100_000
    bodies = {
        "nothing": b"",
        "half an object": b'{"id": 1, "email": "a@exa',
        "no JSON": b"id=1&email=a%40example.com",
        "not a number": b'{"id": NaN}',
        "endless": b'{"id": -Infinity}',
        "deep": b"[" * deep + b"]" * deep,
        "deep objects": b'{"a":' * deep + b"1" + b"}" * deep,
        "a long number": b'{"id": ' + b"9" * 500_000 + b"}",
        "a number beyond all": b'{"id": 1, "total_spent": 1e999999999}',
        "half a pair": b'{"id": 1, "first_name": "\\ud800"}',
        "wrong text": b'{"id": 1, "first_name": "\xff\xfe\xc3"}',
        "wide text": '{"id": 1}'.encode("utf-16"),
        "a mark in front": b"\xef\xbb\xbf" + b'{"id": 1}',
        "zeros within": b'{"id": 1, "first_name": "a\\u0000b"}',
        "null": b"null",
        "a list": b"[1, 2, 3]",
        "a text": b'"orders/create"',
        "names twice": b'{"id": 1, "id": 2}',
        "names without end": json.dumps({f"k{number}": number for number in range(50_000)}).encode(),
        "ids of every kind": b'{"id": {"a": []}, "email": 5, "addresses": "none", "tags": {"a": 1}}',
    }
    for name, body in bodies.items():
        yield f"signed: {name}", _request("customers/create", body)
    for topic in ("", "/", "orders", "orders/create/again", "a" * 5_000, "\x7f", "orders/\u202ecreate", "../x", "*/*"):
        yield f"signed: the topic {topic[:20]!r}", _request(topic, b'{"id": 1}')
    bomb = gzip.compress(b"[" + b"0," * 20_000_000 + b"0]")
    yield "signed: a small body that is large", _request("orders/create", bomb, "Content-Encoding: gzip")
    yield (
        "signed: half of a gzip",
        _request("orders/create", gzip.compress(b'{"id": 1}')[:-9], "Content-Encoding: gzip"),
    )
    yield "as it should be", _of(person(11))
    yield "an older version of the protocol", _of(person(12)).replace(b"HTTP/1.1", b"HTTP/1.0")
    yield "three at once", b"".join(_of(person(number)) for number in (13, 14, 15))
    half = person(16).body
    parts = [gzip.compress(half[:100]), gzip.compress(half[100:])]
    yield "in two gzip members", _request("customers/create", b"".join(parts), "Content-Encoding: gzip")
    yield "in chunks", _in_chunks(person(17))


def _of(letter: Letter) -> bytes:
    return _request(letter.topic, letter.body)


def _request(topic: str, body: bytes, *headers: str) -> bytes:
    signed = [f"{name}: {value}" for name, value in headers_of(Letter(topic, body, "e", "d")) if "\u202e" not in value]
    return _post(*signed, *headers, f"Content-Length: {len(body)}") + body


def _in_chunks(letter: Letter) -> bytes:
    signed = [f"{name}: {value}" for name, value in headers_of(letter)]
    pieces = [letter.body[place : place + 7] for place in range(0, len(letter.body), 7)]
    return _post(*signed, "Transfer-Encoding: chunked") + b"".join(
        b"%x;a=b\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b"")
    )


# --- how it is sent --------------------------------------------------------------------------------------------------

Answer = int | str
"""A status; `closed`: the connection was ended without a word; `hangs`: nothing came."""


def _fine(answer: Answer) -> bool:
    return answer == "closed" or (isinstance(answer, int) and 200 <= answer < 500)


async def _knock_all(gateway: Gateway, requests: dict[str, bytes]) -> dict[str, Answer]:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(request: bytes) -> Answer:
        async with room:
            return await _knock(gateway, request)

    answers = await asyncio.gather(*(one(request) for request in requests.values()))
    return dict(zip(requests, answers, strict=True))


async def _knock(gateway: Gateway, request: bytes) -> Answer:
    """Send it on a connection of its own; the worst of what comes back."""
    return await _talk(gateway, lambda writer: _write(writer, [request]))


async def _flood(gateway: Gateway, begin: bytes, piece: bytes) -> Answer:
    """Begin, and go on with the same piece until the other side has enough (32 MiB at most)."""
    pieces = [piece] * ((32 << 20) // len(piece)) if piece else []
    return await _talk(gateway, lambda writer: _write(writer, [begin, *pieces]))


async def _drip(gateway: Gateway, request: bytes) -> Answer:
    """Send it in a few pieces with pauses, and never the end of it."""
    step = max(1, len(request) // 5)
    pieces = [request[place : place + step] for place in range(0, len(request), step)]
    return await _talk(gateway, lambda writer: _write(writer, pieces, pause_s=0.1))


async def _talk(gateway: Gateway, say: Callable[[asyncio.StreamWriter], Any]) -> Answer:
    host, port = gateway.receiver_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    saying = asyncio.create_task(say(writer))
    try:
        async with asyncio.timeout(PATIENCE_S):
            return _worst(await _all_of(reader))
    except TimeoutError:
        return "hangs"
    finally:
        saying.cancel()
        await asyncio.gather(saying, return_exceptions=True)
        writer.transport.abort()


async def _write(writer: asyncio.StreamWriter, pieces: list[bytes], pause_s: float = 0.0) -> None:
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            if pause_s:
                await asyncio.sleep(pause_s)
    except ConnectionError:
        return


async def _all_of(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side has said all it has to say: its end of the line, or a second of silence after an
    answer.
    """
    said = b""
    while True:
        try:
            async with asyncio.timeout(1.0 if said else None):
                piece = await reader.read(1 << 16)
        except (ConnectionError, TimeoutError) as error:
            if isinstance(error, TimeoutError) and not said:
                raise
            return said
        if not piece:
            return said
        said = (said + piece)[-(1 << 16) :]


def _worst(said: bytes) -> Answer:
    statuses = [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3})", said)]
    return max(statuses, default="closed")


# --- what it costs ---------------------------------------------------------------------------------------------------


def _resident_kb(pid: int) -> int:
    """The process's resident memory. 0 where the system does not tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) if found else 0


async def _peak_kb(pid: int) -> None:
    """Look at the memory all the while. Raises AssertionError when it is too much."""
    began_kb = _resident_kb(pid)
    while True:
        await asyncio.sleep(0.05)
        assert _resident_kb(pid) - began_kb < 5 * GROWTH_KB
