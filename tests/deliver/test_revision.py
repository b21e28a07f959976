"""Events of a newer configuration are left to who has it: two dispatchers over one journal, on virtual time."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway import document
from gateway.deliver.dispatcher import Dispatcher
from gateway.deliver.revision import StandBack
from gateway.journal.memory import MemoryJournal
from gateway.model import Group, LaneSpec, Offer
from gateway.telemetry import log
from tests.simulation.history import DESTINATIONS, SOURCES, setup
from tests.simulation.virtual import START_MS, SeededChance, VirtualClock, simulate
from tests.simulation.world import Door, Process, World


@pytest.fixture(autouse=True)
def _quiet(tmp_path: Path) -> Iterator[None]:
    with (tmp_path / "log").open("w") as stream:
        log.configure("json", "error", stream=stream)
        yield


class Scene:
    """One journal, one world, and dispatchers that know different revisions."""

    def __init__(self) -> None:
        self.journal = MemoryJournal()
        self.world = World(random.Random(1))
        self.processes: list[Process] = []
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


async def _two() -> None:
    scene = Scene()
    await scene.begin()
    old = scene.dispatcher(1)
    await asyncio.sleep(3.0)
    scene.dispatcher(2)
    await asyncio.sleep(30.0)
    first = await scene.event("shop-a", 1)
    await asyncio.sleep(5.0)
    assert {number for number, _ in scene.who(first).values()} == {1}
    newer = await scene.event("shop-a", 2)
    began_s = asyncio.get_running_loop().time()
    await asyncio.sleep(14.0)
    assert scene.who(newer) == {}
    await asyncio.sleep(8.0)
    assert scene.who(newer).keys() == DESTINATIONS.keys()
    assert {number for number, _ in scene.who(newer).values()} == {2}
    assert all(at_s - began_s > 15.0 for _, at_s in scene.who(newer).values())

    old.swap(replace(setup(), revision=2))
    scene.processes[1].die()
    scene.tasks[1].cancel()
    last = await scene.event("shop-b", 2)
    await asyncio.sleep(20.0)
    assert {number for number, _ in scene.who(last).values()} == {1}
    await scene.end()


async def _alone() -> None:
    scene = Scene()
    await scene.begin()
    late = scene.dispatcher(1)
    await scene.event("shop-a", 2)
    await asyncio.sleep(25.0)
    older = await scene.event("shop-b", 1)
    await asyncio.sleep(60.0)
    assert scene.who(older).keys() == DESTINATIONS.keys()
    assert scene.who(1) == {}
    late.swap(replace(setup(), revision=2))
    await asyncio.sleep(5.0)
    assert scene.who(1).keys() == DESTINATIONS.keys()
    await scene.end()


def test_a_newer_event_waits_for_fifteen_seconds_and_goes_by_who_has_its_revision() -> None:
    simulate(_two())


def test_where_nobody_has_the_newer_revision_what_is_older_is_delivered_all_the_same() -> None:
    simulate(_alone())


def test_standing_back_ends_when_the_newer_revision_is_loaded() -> None:
    back = StandBack()
    assert [back.look(2, 1, at_s) for at_s in (0.0, 14.9, 15.0, 44.9, 45.0, 59.9, 60.0)] == [
        False,
        False,
        True,
        True,
        False,
        False,
        True,
    ]
    assert not back.look(2, 2, 61.0)
    assert [back.look(3, 2, at_s) for at_s in (62.0, 70.0, 77.0)] == [False, False, True]
