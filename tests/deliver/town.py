"""A dispatcher at work on virtual time: one source, one destination, a memory journal, a vendor that can be told."""

import asyncio
import random
from typing import Any, Self

from msgspec.structs import replace

from gateway import document
from gateway.config.schema import Route, Source
from gateway.deliver.dispatcher import Dispatcher
from gateway.deliver.plan import Destination, Planner, Setup
from gateway.deliver.route import Router
from gateway.journal.base import Journal, Operation
from gateway.journal.memory import MemoryJournal
from gateway.mapping.book import Book
from gateway.mapping.normalise import Normaliser
from gateway.model import Group, Lane, LaneSpec, Offer, Replay, State
from gateway.vendors.base import Limit
from tests.simulation.paper import Paper, PaperSettings
from tests.simulation.virtual import START_MS, SeededChance, VirtualClock
from tests.simulation.world import Arrival, Door, Process, Through, Weather, World

LIMIT = Limit(allow=10, per_s=1.0)
BY = Operation(START_MS, "ada", "replay", "")


class Town:
    """`async with Town(coalesce=True) as town`: settings are the destination's."""

    def __init__(self, limit: Limit = LIMIT, **settings: Any) -> None:
        self.journal: Journal = MemoryJournal()
        self.world = World(random.Random(1))
        self.process = Process(0, VirtualClock(asyncio.get_running_loop()))
        told = PaperSettings(vendor="paper", **settings)
        vendor = Paper("crm", told)
        rules = replace(vendor.rules(), records=told.batch.records or vendor.rules().records)
        destination = Destination("crm", told, vendor, vendor.account(), "crm", (limit,), rules)
        book = Book({})
        planner = Planner(
            {"shop": Normaliser("shop", Source(), {}, book)}, Router([Route(events=["*"], to=["crm"])]), book
        )
        self.setup = Setup({"crm": destination}, frozenset({"shop"}), planner, 0)
        self._groups = 0
        self._task: asyncio.Task[None] | None = None
        self._dispatcher: Dispatcher | None = None

    @property
    def site(self) -> Any:
        return self.world.sites["crm"]

    async def __aenter__(self) -> Self:
        await self.journal.register([LaneSpec("shop", "crm")])
        self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def open(self) -> None:
        """A dispatcher begins."""
        clock = self.process.clock
        self._dispatcher = Dispatcher(
            Through(self.journal, self.process, Weather()),
            self.setup,
            Door(self.world, self.process),
            "here",
            clock,
            SeededChance(1),
        )
        self._task = asyncio.create_task(self._dispatcher.run())

    async def close(self) -> None:
        """It stops, with everything settled."""
        if self._dispatcher is not None and self._task is not None:
            self._dispatcher.stop()
            if self.process.dead:
                self._task.cancel()
                self.process.bury()
            await asyncio.gather(self._task, return_exceptions=self.process.dead)

    def swap(self) -> None:
        """The dispatcher is told its configuration anew."""
        assert self._dispatcher is not None
        self._dispatcher.swap(self.setup)

    async def event(self, key: str, n: int, **data: Any) -> int:
        """Accept one event; its seq."""
        return (await self.events({"key": key, "n": n, **data}))[0]

    async def events(self, *bodies: dict[str, Any], topic: str = "thing/update") -> list[int]:
        self._groups += 1
        offers = [
            Offer("shop", topic, self.process.clock.now_ms(), 0, "POST", "", (), document.dump(body)) for body in bodies
        ]
        receipts = await self.journal.append(Group(self._groups.to_bytes(16, "big"), tuple(offers)))
        return [receipt.seq for receipt in receipts]

    async def settled(self, within_s: float = 3600.0) -> None:
        """Wait until nothing waits and nothing is parked."""
        for _ in range(int(within_s * 2)):
            rows = await self.journal.lane_rows()
            if all(not row.waiting and not row.lane.counts.parked for row in rows):
                await asyncio.sleep(1.0)
                return
            await asyncio.sleep(0.5)
        raise AssertionError(f"still at work: {rows}")

    async def replay(self, start_seq: int = 0, end_seq: int | None = None, **fields: Any) -> Lane:
        replay = Replay(f"rpl_{len(await self.journal.replays())}", START_MS, "ada", **fields)
        head = await self.journal.head()
        spec = LaneSpec("shop", "crm", replay.id, start_seq, end_seq if end_seq is not None else head.seq)
        (lane,) = await self.journal.replay(replay, [spec], BY)
        return lane

    async def states(self, lane: Lane | None = None) -> dict[int, State]:
        """What each event is on a lane (the live one)."""
        head = await self.journal.head()
        found = {}
        for seq in range(1, head.seq + 1):
            view = await self.journal.view(seq)
            for one, state, _, _ in view.lanes if view else ():
                if (lane.id if lane else 1) == one.id:
                    found[seq] = state
        return found

    def applied(self, lane: Lane | None = None) -> list[int]:
        """The seqs that the vendor applied from a lane (the live one), in order."""
        arrivals: list[Arrival] = self.site.applied
        return [one.seq for one in arrivals if one.lane == (lane.id if lane else 1)]
