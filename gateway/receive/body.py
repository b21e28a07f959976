"""The body: read as it streams in, unpacked, and held against what the source promises. Everything has a bound."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from gateway.errors import Cause, Rejected

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

SLOWEST = 6
"""A body may come slowly, but not for longer than this many times the stall limit."""

MEMBERS = 64
"""A gzip body may have several members, at most so many."""

_CLOSE = (("connection", "close"),)


class Gone(Exception):  # noqa: N818  a fact about the other side
    """The sender has hung up: there is nobody to answer."""


class Bodies:
    """Reads bodies, and knows how much of them lies in memory.

    One timer watches all of them: a timer for each request costs as much as its signature (4.5 us against 0.5).
    `timeout_s`: how long a body may stall; `total_bytes`: what all bodies that are still coming may hold together.
    """

    def __init__(self, timeout_s: float, total_bytes: int = 128 << 20) -> None:
        self._timeout_s = timeout_s
        self._total_bytes = total_bytes
        self._held_bytes = 0
        self._reading: dict[asyncio.Task[Any], list[float]] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def read(self, receive: Receive, limit_bytes: int) -> bytes:
        """The whole body. Raises Rejected (too large, stalled, overloaded) or Gone."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a body is read inside a task")
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        watch = [now_s + self._timeout_s, now_s + SLOWEST * self._timeout_s, 0.0]
        self._reading[task] = watch
        if self._timer is None:
            self._timer = loop.call_later(self._timeout_s / 4, self._sweep, loop)
        try:
            body, more = _part(await receive())
            if more:
                body = await self._rest(body, receive, limit_bytes, watch, loop)
        except asyncio.CancelledError:
            if not watch[2]:
                raise
            task.uncancel()
            raise Rejected(Cause.BODY_STALLED, headers=_CLOSE) from None
        finally:
            self._reading.pop(task, None)
        if len(body) > limit_bytes:
            raise Rejected(Cause.BODY_TOO_LARGE, headers=_CLOSE)
        return body

    async def _rest(
        self, first: bytes, receive: Receive, limit_bytes: int, watch: list[float], loop: asyncio.AbstractEventLoop
    ) -> bytes:
        """The whole of a body that comes in several messages; one that is too large as far as it was read."""
        body, more = bytearray(first), True
        self._held_bytes += len(first)
        try:
            while more and len(body) <= limit_bytes:
                if self._held_bytes > self._total_bytes:
                    raise Rejected(Cause.OVERLOADED, "too many bodies are coming in at once", headers=_CLOSE)
                chunk, more = _part(await receive())
                if chunk:
                    watch[0] = min(loop.time() + self._timeout_s, watch[1])
                    self._held_bytes += len(chunk)
                    body += chunk
        finally:
            self._held_bytes -= len(body)
        return bytes(body)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wake the readers whose body has stalled; look again while there are any."""
        now_s = loop.time()
        for task, watch in self._reading.items():
            if watch[0] <= now_s and not watch[2]:
                watch[2] = 1.0
                task.cancel()
        self._timer = loop.call_later(self._timeout_s / 4, self._sweep, loop) if self._reading else None


def _part(message: MutableMapping[str, Any]) -> tuple[bytes, bool]:
    """A part of a body, and whether more comes. Raises Gone."""
    if message["type"] == "http.disconnect":
        raise Gone
    return message.get("body", b""), message.get("more_body", False)


def declared_length(value: bytes | None) -> int:
    """The declared length in bytes, or -1 where there is none that can be read."""
    if value is None or not value.isdigit() or len(value) > 18:  # noqa: PLR2004  no body is that long
        return -1
    return int(value)


def check_encoding(encoding: bytes | None) -> str:
    """`identity`, `gzip` or `deflate`. Raises Rejected for another."""
    name = "identity" if encoding is None else encoding.decode("latin-1").strip().lower()
    kind = _ENCODINGS.get(name)
    if kind is None:
        raise Rejected(Cause.ENCODING_UNSUPPORTED, headers=(("accept-encoding", "gzip, deflate, identity"),))
    return kind


_ENCODINGS = {"": "identity", "identity": "identity", "gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}


def unpack(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    """The body without its content encoding, never more than `limit_bytes`. Raises Rejected."""
    if encoding == "identity":
        return body
    try:
        return _gunzip(body, limit_bytes) if encoding == "gzip" else _inflate(body, limit_bytes)
    except zlib.error:
        raise Rejected(Cause.BODY_UNREADABLE, f"the body is not {encoding}") from None


def _gunzip(body: bytes, limit_bytes: int) -> bytes:
    whole = b""
    for _ in range(MEMBERS):
        member, body = _member(body, zlib.MAX_WBITS | 16, limit_bytes - len(whole))
        whole += member
        if not body:
            return whole
    raise Rejected(Cause.BODY_UNREADABLE, "the body has too many gzip members")


def _inflate(body: bytes, limit_bytes: int) -> bytes:
    """Deflate is zlib's format (RFC 9110, 8.4.1.2); some senders leave its envelope out."""
    wrapped = len(body) > 1 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0  # noqa: PLR2004  RFC 1950
    whole, rest = _member(body, zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS, limit_bytes)
    if rest:
        raise Rejected(Cause.BODY_UNREADABLE, "something stands behind the packed body")
    return whole


def _member(body: bytes, window_bits: int, limit_bytes: int) -> tuple[bytes, bytes]:
    unpacker = zlib.decompressobj(window_bits)
    whole = unpacker.decompress(body, limit_bytes + 1)
    if len(whole) > limit_bytes:
        raise Rejected(Cause.BODY_TOO_LARGE, "the body is too large when unpacked")
    if not unpacker.eof:
        raise Rejected(Cause.BODY_UNREADABLE, "the packed body is not whole")
    return whole, unpacker.unused_data
