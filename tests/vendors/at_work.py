"""A dispatcher at work on virtual time with the sandbox's vendors: a shop's events in, days in milliseconds."""

import asyncio
from pathlib import Path
from typing import Any, Self

from gateway import app, document
from gateway.config.load import load
from gateway.deliver.dispatcher import Dispatcher
from gateway.deliver.outbound import Left
from gateway.deliver.plan import Setup
from gateway.deliver.standing import AccountStanding
from gateway.errors import Reason
from gateway.journal.base import LaneRow
from gateway.journal.memory import MemoryJournal
from gateway.model import Group, LaneSpec, Offer
from gateway.sandbox.server import Sandbox
from gateway.vendors.base import Answer, Failure, Request, Response
from tests.sandbox.asgi import call
from tests.simulation.virtual import SeededChance, VirtualClock

ORIGIN = "http://sandbox.example.test"
ROUND_S = 0.02


class Line:
    """The way out into a sandbox of the same process."""

    def __init__(self, sandbox: Sandbox, round_s: float = ROUND_S, jitter_s: float = 0.0) -> None:
        self._sandbox = sandbox
        self._round_s = round_s
        self._jitter_s = jitter_s
        self._chance = SeededChance(3)

    async def send(self, request: Request, timeout_s: float, left: Left = None) -> Answer:
        if left is not None:
            left()
        headers = {**dict(request.headers), "content-length": str(len(request.body))}
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.sleep(self._round_s / 2 + self._chance.uniform(0.0, self._jitter_s))
                target = request.url.removeprefix(ORIGIN)
                answer = await call(self._sandbox.app, request.method, target, raw=request.body, headers=headers)
                await asyncio.sleep(self._round_s / 2)
        except (TimeoutError, ConnectionResetError) as error:
            return Failure(Reason.TIMEOUT, type(error).__name__)
        return Response(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.body)


class Mortal:
    """The journal and the way out of one process. Killed, it takes no further step; what is on the wire goes on."""

    def __init__(self, journal: MemoryJournal, line: Line) -> None:
        self._journal = journal
        self._line = line
        self._grave: asyncio.Future[None] | None = None
        self._on_the_wire: set[asyncio.Task[Answer]] = set()

    def kill(self) -> None:
        self._grave = asyncio.get_running_loop().create_future()

    def bury(self) -> None:
        """It is over: nothing is to wait for it."""
        if self._grave is not None:
            self._grave.cancel()

    async def send(self, request: Request, timeout_s: float, left: Left = None) -> Answer:
        await self._step()
        sent = asyncio.create_task(self._line.send(request, timeout_s, left))
        self._on_the_wire.add(sent)
        sent.add_done_callback(self._on_the_wire.discard)
        answer = await asyncio.shield(sent)
        await self._step()
        return answer

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._journal, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            await self._step()
            result = await method(*args, **kwargs)
            await self._step()
            return result

        return call

    async def _step(self) -> None:
        if self._grave is not None:
            await asyncio.shield(self._grave)


class AtWork:
    """`async with AtWork(folder, {...}) as work`: the destinations' settings by name, every event to each of them."""

    def __init__(
        self,
        folder: Path,
        destinations: dict[str, dict[str, Any]],
        dispatchers: int = 1,
        chance: int = 2,
        round_s: float = ROUND_S,
        jitter_s: float = 0.0,
    ) -> None:
        self._round_s, self._jitter_s = round_s, jitter_s
        self.clock = VirtualClock(asyncio.get_running_loop())
        self.sandbox = Sandbox(self.clock, SeededChance(1))
        self.journal = MemoryJournal()
        self._file = folder / "gateway.yaml"
        self._setup = self._read(destinations, 0)
        self._chance, self._number = chance, dispatchers
        self._dispatchers: list[Dispatcher] = []
        self._processes: list[Mortal] = []
        self._running: list[asyncio.Task[None]] = []
        self._buried: list[asyncio.Task[None]] = []
        self._dead: list[Mortal] = []
        self.gone: set[str] = set()
        """The owners of leases who were killed."""
        self._groups = 0

    def _read(self, destinations: dict[str, dict[str, Any]], revision: int) -> Setup:
        self._file.write_bytes(
            document.dump(
                {
                    "sources": {"shop": {"preset": "shopify", "secrets": ["s"], "currency": "GBP", "country": "GB"}},
                    "destinations": destinations,
                    "routes": [{"to": list(destinations)}],
                }
            )
        )
        return app.setup_of(load(self._file, app.registry(), {}), revision)

    async def __aenter__(self) -> Self:
        await self.journal.register([LaneSpec("shop", name) for name in self._setup.destinations])
        self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def restart(self) -> None:
        """The dispatchers are stopped, and others take their places."""
        await self._end()
        self._begin()

    async def kill(self) -> None:
        """The dispatchers are killed, and others take their places."""
        for process in self._processes:
            process.kill()
        self.gone |= {self._owner(one) for one in range(self._number)}
        self._dead += self._processes
        self._buried += self._running
        self._begin()

    def _owner(self, number: int) -> str:
        return f"{len(self._dead) + number}"

    def _begin(self) -> None:
        self._processes = [
            Mortal(self.journal, Line(self.sandbox, self._round_s, self._jitter_s)) for _ in range(self._number)
        ]
        self._dispatchers = [
            Dispatcher(process, self._setup, process, self._owner(number), self.clock, SeededChance(self._chance))
            for number, process in enumerate(self._processes)
        ]
        self._running = [asyncio.create_task(one.run()) for one in self._dispatchers]

    async def _end(self) -> None:
        for one in self._dispatchers:
            one.stop()
        await asyncio.gather(*self._running)
        for process in self._dead:
            process.bury()
        for task in self._buried:
            task.cancel()
        await asyncio.gather(*self._buried, return_exceptions=True)

    @property
    def account(self) -> str:
        """The account of the only destination."""
        (one,) = self._setup.destinations.values()
        return one.account

    def standings(self) -> list[AccountStanding]:
        """How the accounts stand."""
        return [standing for one in self._dispatchers for standing in one.standings()]

    def reload(self, destinations: dict[str, dict[str, Any]] | None = None) -> None:
        """The same configuration comes into force once more, or one in which the destinations have other settings."""
        if destinations is not None:
            self._setup = self._read(destinations, self._setup.revision + 1)
        for one in self._dispatchers:
            one.swap(self._setup)

    async def sent(self, topic: str, *bodies: dict[str, Any]) -> None:
        """The shop sends these, and they are accepted."""
        self._groups += 1
        headers = (("x-shopify-shop-domain", "northlight-demo.myshopify.com"),)
        offers = [
            Offer("shop", topic, self.clock.now_ms(), 0, "POST", "", headers, document.dump(body)) for body in bodies
        ]
        await self.journal.append(Group(self._groups.to_bytes(16, "big"), tuple(offers)))

    async def row(self, destination: str) -> LaneRow:
        """How a lane is."""
        return next(row for row in await self.journal.lane_rows() if row.lane.destination == destination)

    async def settled(self, within_s: float = 3600.0) -> None:
        """Wait until nothing waits and nothing is parked."""
        async with asyncio.timeout(within_s):
            while any(row.waiting or row.lane.counts.parked for row in await self.journal.lane_rows()):  # noqa: ASYNC110  virtual time
                await asyncio.sleep(0.5)
