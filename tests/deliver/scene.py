"""Dispatchers over one journal in a world on virtual time, without random trouble: a test says what happens."""

import asyncio
import random

from msgspec.structs import replace

from gateway import document
from gateway.deliver.dispatcher import Dispatcher
from gateway.journal.memory import MemoryJournal
from gateway.model import Group, LaneSpec, Offer
from tests.simulation.configured import DESTINATIONS, SOURCES, setup
from tests.simulation.virtual import START_MS, SeededChance, VirtualClock
from tests.simulation.world import Door, Process, World


class Scene:
    """One journal, one world, and dispatchers that know different revisions."""

    def __init__(self) -> None:
        self.journal = MemoryJournal()
        self.world = World(random.Random(1))
        self.processes: list[Process] = []
        self.dispatchers: list[Dispatcher] = []
        self.tasks: list[asyncio.Task[None]] = []
        self._groups = 0

    async def begin(self) -> None:
        await self.journal.open()
        await self.journal.register([LaneSpec(source, to) for source in SOURCES for to in DESTINATIONS])

    def dispatcher(self, revision: int) -> Dispatcher:
        clock = VirtualClock(asyncio.get_running_loop())
        process = Process(len(self.processes) + 1, clock)
        made = Dispatcher(
            self.journal,
            replace(setup(), revision=revision),
            Door(self.world, process),
            f"process {process.number}",
            clock,
            SeededChance(process.number),
        )
        self.processes.append(process)
        self.dispatchers.append(made)
        self.tasks.append(asyncio.create_task(made.run()))
        return made

    async def event(self, source: str, revision: int) -> int:
        self._groups += 1
        body = document.dump({"key": "k", "n": self._groups})
        offer = Offer(source, "thing/update", START_MS, revision, "POST", "", (), body)
        (receipt,) = await self.journal.append(Group(self._groups.to_bytes(16, "big"), (offer,)))
        return receipt.seq

    def who(self, seq: int) -> dict[str, tuple[int, float]]:
        """Which process delivered an event to each destination, and when."""
        return {
            name: (one.process, one.at_s)
            for name, site in self.world.sites.items()
            for one in site.applied
            if one.seq == seq
        }

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.journal.close()
