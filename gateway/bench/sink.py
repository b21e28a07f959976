"""The other end of a delivery, in the bench's own process: takes requests as cheaply as Python can, and counts.

It answers as Ometria's push does, so that batches of 100 can be sent to it; any other sender is content with a 200.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import httptools

_RECORD = b'"@type"'
_EVENT = b'"specversion"'


class Sink:
    """What came: requests, records, and when the first and the last came."""

    def __init__(self) -> None:
        self.port = 0
        self.requests = 0
        self.records = 0
        self.first_s = 0.0
        self.last_s = 0.0
        self.connections: set[asyncio.Transport] = set()

    def took(self, body: bytes) -> int:
        """One more request; how many records it has."""
        records = body.count(_RECORD) or body.count(_EVENT) or 1
        self.last_s = time.perf_counter()
        self.first_s = self.first_s or self.last_s
        self.requests += 1
        self.records += records
        return records


class _Taker(asyncio.Protocol):
    """One connection of a sender."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._parser = httptools.HttpRequestParser(self)
        self._body: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        self._sink.connections.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        if self._transport is not None:
            self._sink.connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        records = self._sink.took(b"".join(self._body))
        self._body.clear()
        said = b'{"status":"OK","accepted":%d,"rejected":0}' % records
        if self._transport is not None:
            self._transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(said), said)
            )


@asynccontextmanager
async def sinking() -> AsyncIterator[Sink]:
    """A sink on a free port of this machine."""
    sink = Sink()
    server = await asyncio.get_running_loop().create_server(lambda: _Taker(sink), "127.0.0.1", 0)
    sink.port = server.sockets[0].getsockname()[1]
    async with server:
        yield sink
    for connection in list(sink.connections):
        connection.abort()
    await asyncio.sleep(0)
