"""A destination that gets another name or another key while something of it is under way: everything goes on where it
was, on virtual time.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.config.schema import Route, Source
from gateway.deliver.dispatcher import Dispatcher
from gateway.deliver.plan import Planner, Setup
from gateway.deliver.route import Router
from gateway.mapping.book import Book
from gateway.mapping.normalise import Normaliser
from gateway.model import LaneSpec, Pick, State
from gateway.telemetry import log
from tests.deliver.town import Town
from tests.simulation.paper import KEYED, Paper, PaperSettings
from tests.simulation.virtual import SeededChance, VirtualClock, simulate
from tests.simulation.world import Door, Process


@pytest.fixture(autouse=True)
def _quiet(tmp_path: Path) -> Iterator[None]:
    with (tmp_path / "log").open("w") as stream:
        log.configure("json", "error", stream=stream)
        yield


def renamed(setup: Setup, name: str, account: str = "") -> Setup:
    """The configuration with its destination under another name, and perhaps another account."""
    (before,) = setup.destinations.values()
    assert isinstance(before.settings, PaperSettings)
    after = replace(before, name=name, vendor=Paper(name, before.settings), account=account or before.account)
    book = Book({})
    planner = Planner({"shop": Normaliser("shop", Source(), {}, book)}, Router([Route(events=["*"], to=[name])]), book)
    return replace(setup, destinations={name: after}, planner=planner)


async def rename(town: Town, name: str, account: str = "") -> None:
    """The destination has another name from now on."""
    (before,) = town.setup.destinations
    town.setup = renamed(town.setup, name, account)
    await town.journal.register([LaneSpec("shop", name, was=(before,))])
    town.swap()


class Second:
    """Another process beside the town's first, with a configuration of its own."""

    def __init__(self, town: Town, setup: Setup) -> None:
        self.process = Process(1, VirtualClock(asyncio.get_running_loop()))
        door = Door(town.world, self.process)
        self.dispatcher = Dispatcher(town.journal, setup, door, "there", self.process.clock, SeededChance(2))
        self._task = asyncio.create_task(self.dispatcher.run())

    async def close(self) -> None:
        self.dispatcher.stop()
        await self._task


# --- a replay that runs ----------------------------------------------------------------------------------------------


async def _replay_goes_on() -> None:
    async with Town(site="crm", batch={"records": 1}) as town:
        seqs = await town.events(*({"key": f"k{n}", "n": n} for n in range(30)))
        await town.settled()
        lane = await town.replay(picked=(Pick("shop", "crm", ((seqs[0], seqs[19]),)),))
        await asyncio.sleep(1.0)
        begun = len(town.applied(lane))
        await rename(town, "sales")
        await town.settled()
        assert 0 < begun < 20
        assert sorted(town.applied(lane)) == seqs[:20]
        assert [one.destination for one in await town.journal.lanes()] == ["sales", "sales"]
        assert all(row.balanced for row in await town.journal.audit())


def test_a_replay_goes_on_under_the_destinations_new_name() -> None:
    simulate(_replay_goes_on())


# --- a call that was cut off -----------------------------------------------------------------------------------------


async def _cut_off(name: str, account: str) -> None:
    """A keyed batch is on its way when its process dies; the next one calls its destination otherwise."""
    async with Town(site=KEYED, timeout="5s", batch={"records": 5}) as town:
        site = town.world.sites[KEYED]
        site.mood = "forgetful"
        await town.events(*({"key": f"k{n}", "n": n} for n in range(3)))
        await asyncio.sleep(1.0)
        town.process.die()
        await town.events({"key": "later", "n": 4})
        before = [one.ids for one in town.world.sent]
        town.setup = renamed(town.setup, name, account)
        await town.journal.register([LaneSpec("shop", name, was=("crm",))])
        site.mood = "well"
        second = Second(town, town.setup)
        await asyncio.sleep(60.0)
        sent = [one.ids for one in town.world.sent if one.process == 1]
        assert [len(ids) for ids in before] == [3]
        assert [len(ids) for ids in sent] == [3, 1]
        assert sent[0] == before[0]
        assert await town.journal.intents([1]) == ()
        assert set((await town.states()).values()) == {State.DELIVERED}
        await second.close()


@pytest.mark.parametrize(("name", "account"), [("sales", ""), ("crm", "other"), ("sales", "other")])
def test_a_keyed_batch_that_was_cut_off_goes_again_as_it_was_under_another_name_or_key(name: str, account: str) -> None:
    simulate(_cut_off(name, account))


# --- two processes ---------------------------------------------------------------------------------------------------


async def _one_has_heard() -> None:
    """The key is another; one process still delivers under the former, the other has heard of it."""
    async with Town(site="crm", timeout="5s") as town:
        town.site.mood = "forgetful"
        first = await town.event("k", 1)
        await asyncio.sleep(1.0)
        after = renamed(town.setup, "crm", "second")
        second = Second(town, after)
        later = await town.event("k", 2)
        await asyncio.sleep(2.0)
        town.site.mood = "well"
        assert town.applied() == [first]
        assert {one.process for one in town.site.applied} == {0}
        await asyncio.sleep(20.0)
        assert town.applied() == [first, first, later], "the first process goes on until it hears of the key"
        assert {one.process for one in town.site.applied} == {0}
        town.setup = after
        town.swap()
        await asyncio.sleep(5.0)
        last = await town.event("k", 3)
        await asyncio.sleep(5.0)
        assert town.applied() == [first, first, later, last]
        assert {account for _, _, account in town.site.requests} == {"crm"}
        assert [one.account for one in await town.journal.lanes()] == ["second"]
        assert all(row.balanced for row in await town.journal.audit())
        await second.close()


def test_a_lane_is_served_under_one_key_at_a_time_by_whichever_process() -> None:
    simulate(_one_has_heard())


async def _one_is_gone() -> None:
    """The process with the former key dies with something in flight: the other takes the lane over like a lease."""
    async with Town(site="crm", timeout="5s") as town:
        town.site.mood = "hanging"
        first = await town.event("k", 1)
        await asyncio.sleep(1.0)
        town.process.die()
        town.site.mood = "well"
        second = Second(town, renamed(town.setup, "crm", "second"))
        await asyncio.sleep(8.0)
        assert town.applied() == []
        await asyncio.sleep(12.0)
        assert town.applied() == [first]
        await second.close()


def test_a_lane_whose_process_is_gone_is_served_under_the_new_key_soon() -> None:
    simulate(_one_is_gone())
