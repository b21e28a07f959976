"""A shop that goes on sending while the gateway dies and comes back, and what a sink saw of it."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

import aiohttp

from gateway.sandbox.server import Sandbox
from gateway.sandbox.sink import KEPT
from tests.whole.payloads import name_of_person, person
from tests.whole.running import Told, post, until

SENDERS = 12
PAUSE_S = 0.08
AGAIN_S = 0.1
FINISH_S = 60.0
LOOK_S = 0.2
IN_FLIGHT_MAX = 100
"""Requests at once, and those that were answered in the 20 ms and one commit until they are settled."""
ON_THE_WIRE_MS = 500
IN_FLIGHT_MS = 1_500
"""From a request's arrival until its settle is on disk, at most: milliseconds, but the tests' machine is busy."""


class Traffic:
    """Different customers, one after the other from each of the senders, each sent until it is acknowledged.

    `acknowledged`: customer's number -> the event's id, as first told. `restless`: those that were told two ids.
    """

    def __init__(self, url: str, senders: int = SENDERS, pause_s: float = PAUSE_S) -> None:
        self.acknowledged: dict[int, str] = {}
        self.restless: set[int] = set()
        self.statuses: defaultdict[int, int] = defaultdict(int)
        self._url = url
        self._next = 0
        self._count = senders
        self._pause_s = pause_s
        self._stopping = False
        self._senders: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        self._senders = [asyncio.create_task(self._send(self._session)) for _ in range(self._count)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sender in self._senders:
            sender.cancel()
        await asyncio.gather(*self._senders, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    @property
    def sent(self) -> int:
        """How many different customers were begun."""
        return self._next

    async def more(self, events: int) -> None:
        """Wait until so many more are acknowledged."""
        enough = len(self.acknowledged) + events
        await until(lambda: len(self.acknowledged) >= enough, f"{events} more are acknowledged")

    async def finish(self) -> None:
        """Begin nothing new; wait until everything that was begun is acknowledged."""
        self._stopping = True
        async with asyncio.timeout(FINISH_S):
            await asyncio.gather(*self._senders)

    async def _send(self, session: aiohttp.ClientSession) -> None:
        while not self._stopping:
            number, self._next = self._next, self._next + 1
            while not await self._acknowledged(session, number):  # noqa: ASYNC110  Shopify waits and sends again, too
                await asyncio.sleep(AGAIN_S)
            await asyncio.sleep(self._pause_s)

    async def _acknowledged(self, session: aiohttp.ClientSession, number: int) -> bool:
        told = await post(session, self._url, person(number))
        self.statuses[told.status] += 1
        if told.status == 200:
            self.heard(told)
            if self.acknowledged.setdefault(number, told.id) != told.id:
                self.restless.add(number)
        return told.status == 200

    def heard(self, told: Told) -> None:
        """An event was acknowledged, now. For those who note when."""


class Arrivals:
    """What came to the sink: event id -> the idempotency keys it came with, and key -> when (wall clock, ms)."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.keys: defaultdict[str, set[str]] = defaultdict(set)
        self._sink = sandbox.sink
        self._looked_at = 0

    def look(self) -> None:
        """Read what has come since the last look: the sink keeps the bodies of its last 2,000 requests."""
        new = self._sink.witness.statuses.total() - self._looked_at
        assert new <= KEPT, "more came between two looks than the sink keeps"
        self._looked_at += new
        for taken in list(self._sink.taken)[len(self._sink.taken) - new :]:
            self.keys[json.loads(taken.body)["id"]].add(taken.key)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Look now and then, while the context lasts."""

        async def watch() -> None:
            while True:
                self.look()
                await asyncio.sleep(LOOK_S)

        watching = asyncio.create_task(watch())
        try:
            yield
        finally:
            watching.cancel()

    def again(self) -> dict[str, list[int]]:
        """Those that came more than once, and when."""
        times_ms: defaultdict[str, list[int]] = defaultdict(list)
        for visit in self._sink.witness.visits:
            times_ms[visit.what].append(visit.at_ms)
        return {key: times for key, times in times_ms.items() if len(times) > 1}

    def unexplained(self, kills_ms: Sequence[int]) -> dict[str, list[int]]:
        """Those that came again although nothing was killed while they were in flight: sent, and not yet settled. What
        was on the wire when its sender was killed is seen a little after that.
        """

        def explained(before_ms: int, after_ms: int) -> bool:
            first_ms, last_ms = before_ms - ON_THE_WIRE_MS, min(before_ms + IN_FLIGHT_MS, after_ms)
            return any(first_ms <= kill_ms <= last_ms for kill_ms in kills_ms)

        return {key: times for key, times in self.again().items() if not all(map(explained, times, times[1:]))}


def people(numbers: int) -> set[str]:
    """What the first so many customers are at Ometria."""
    return {name_of_person(number) for number in range(numbers)}
