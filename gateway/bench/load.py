"""The load: requests written beforehand, over raw connections, as cheaply as Python can.

A closed loop sends the next request when the last is answered: it finds the most that a server can take. An open loop
sends at planned times whatever the server does, and measures from the planned time: it finds what waiting really is.
"""

import asyncio
import re
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

from msgspec import Struct

from gateway.bench.report import BenchFailed, spread

Write = Callable[[], bytes]
"""The next request, head and body."""

TICK_S = 0.001
"""How often an open loop looks what is due: latencies may be this much too long."""
LAST_ANSWERS_S = 30.0
OPEN_CONNECTIONS = 256

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Outcome(Struct, frozen=True):
    """What came of a round: answers by status, the seconds it took, sorted latencies in seconds, and the share of its
    core that the load itself was busy.
    """

    statuses: dict[int, int]
    took_s: float
    latencies_s: list[float]
    busy: float

    @property
    def rate_per_s(self) -> float:
        """Answers of status 200 a second."""
        return self.statuses.get(200, 0) / self.took_s

    def ms(self, share: float) -> float:
        """The latency that this share of the requests did not exceed."""
        return spread(self.latencies_s, share) * 1000


class Connection(asyncio.Protocol):
    """One connection with at most one request under way. `answered(connection, status)`; status 0: it was lost."""

    def __init__(self, answered: Callable[["Connection", int], None]) -> None:
        self._answered = answered
        self._rest = b""
        self.began_s = 0.0
        self.busy = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class

    def send(self, request: bytes, began_s: float) -> None:
        """Send a request whose latency counts from `began_s`."""
        self.began_s = began_s
        self.busy = True
        if self.transport is not None:
            self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        head = data.find(b"\r\n\r\n")
        length = _LENGTH.search(data, 0, head) if head >= 0 else None
        if length is None or len(data) < head + 4 + int(length[1]):
            self._rest = data
            return
        self._rest = b""
        self.busy = False
        self._answered(self, int(data[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        self.transport = None
        if self.busy:
            self.busy = False
            self._answered(self, 0)


class _Round:
    """The books of one round."""

    def __init__(self, write: Write) -> None:
        self.write = write
        self.statuses: Counter[int] = Counter()
        self.latencies_s: list[float] = []
        self.under_way = 0
        self.over = asyncio.Event()
        self._began_s = time.perf_counter()
        self._cpu_s = time.process_time()

    def send(self, connection: Connection, began_s: float) -> None:
        self.under_way += 1
        connection.send(self.write(), began_s)

    def book(self, connection: Connection, status: int, now_s: float) -> None:
        self.under_way -= 1
        self.statuses[status] += 1
        self.latencies_s.append(now_s - connection.began_s)

    async def outcome(self) -> Outcome:
        """When the last answer has come."""
        try:
            async with asyncio.timeout(LAST_ANSWERS_S):
                await self.over.wait()
        except TimeoutError:
            raise BenchFailed(f"{self.under_way} requests were not answered within {LAST_ANSWERS_S:g} s") from None
        took_s = time.perf_counter() - self._began_s
        busy = (time.process_time() - self._cpu_s) / took_s
        return Outcome(dict(self.statuses), took_s, sorted(self.latencies_s), busy)


async def closed(
    port: int, write: Write, connections: int, *, seconds: float = 3600.0, count: int = 1 << 62
) -> Outcome:
    """Each connection sends when it is answered, for so many seconds or requests."""
    left = count

    def answered(connection: Connection, status: int) -> None:
        now_s = time.perf_counter()
        books.book(connection, status, now_s)
        if now_s < until_s and connection.transport is not None:
            start(connection, now_s)
        if not books.under_way:
            books.over.set()

    def start(connection: Connection, now_s: float) -> None:
        nonlocal left
        if left > 0:
            left -= 1
            books.send(connection, now_s)

    async with _connected(port, min(connections, count), answered) as idle:
        books = _Round(write)
        until_s = time.perf_counter() + seconds
        for connection in idle:
            start(connection, time.perf_counter())
        return await books.outcome()


async def open_loop(port: int, write: Write, rate_per_s: float, seconds: float) -> Outcome:
    """Requests leave at planned times, `rate_per_s` of them a second; one that finds no connection free waits for one,
    and its time counts.
    """
    loop = asyncio.get_running_loop()
    waiting: deque[float] = deque()
    planned, sent = max(int(rate_per_s * seconds), 1), 0

    def answered(connection: Connection, status: int) -> None:
        books.book(connection, status, time.perf_counter())
        if connection.transport is not None and waiting:
            books.send(connection, waiting.popleft())
        elif connection.transport is not None:
            idle.append(connection)
        finish()

    def finish() -> None:
        if sent == planned and not books.under_way:
            books.over.set()

    def pump() -> None:
        nonlocal sent
        due = min(int((time.perf_counter() - began_s) * rate_per_s), planned)
        while sent < due:
            at_s = began_s + sent / rate_per_s
            sent += 1
            _drop_ended(idle)
            if idle:
                books.send(idle.pop(), at_s)
            else:
                waiting.append(at_s)
        if sent < planned:
            loop.call_later(TICK_S, pump)
        finish()

    async with _connected(port, OPEN_CONNECTIONS, answered) as idle:
        books = _Round(write)
        began_s = time.perf_counter()
        pump()
        return await books.outcome()


def _drop_ended(idle: list[Connection]) -> None:
    """A server ends connections that were idle for long: the next one must be a live one."""
    while idle and idle[-1].transport is None:
        idle.pop()


@asynccontextmanager
async def _connected(
    port: int, connections: int, answered: Callable[[Connection, int], None]
) -> AsyncIterator[list[Connection]]:
    """So many connections, fresh ones for each round."""
    loop = asyncio.get_running_loop()
    made: list[Connection] = []
    try:
        for _ in range(connections):
            _, connection = await loop.create_connection(lambda: Connection(answered), "127.0.0.1", port)
            made.append(connection)
        yield list(made)
    finally:
        for connection in made:
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.sleep(0)
