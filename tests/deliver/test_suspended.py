"""A suspended account: a probe a minute, no attempt counted, and back at once under a new configuration."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.telemetry import log
from tests.deliver.scene import Scene
from tests.deliver.test_renamed import Second
from tests.deliver.town import Town
from tests.simulation.configured import setup
from tests.simulation.virtual import simulate

SITES = ("left", "right")
"""The destinations of one account."""


@pytest.fixture(autouse=True)
def _quiet(tmp_path: Path) -> Iterator[None]:
    with (tmp_path / "log").open("w") as stream:
        log.configure("json", "error", stream=stream)
        yield


async def _suspended(scene: Scene) -> int:
    """An account whose key is refused, with an event that waits for it; gives the event."""
    await scene.begin()
    for name in SITES:
        scene.world.sites[name].mood = "refusing"
    scene.dispatcher(1)
    await asyncio.sleep(3.0)
    return await scene.event("shop-a", 1)


async def _probes() -> None:
    scene = Scene()
    seq = await _suspended(scene)
    await asyncio.sleep(301.0)
    assert sum(len(scene.world.sites[name].requests) for name in SITES) == 6
    rows = await scene.journal.lane_rows()
    assert [row.lane.counts.parked for row in rows] == [0] * len(rows)
    for name in SITES:
        scene.world.sites[name].mood = "well"
    await asyncio.sleep(61.0)
    view = await scene.journal.view(seq)
    assert view is not None
    assert {len(attempts) for lane, _, _, attempts in view.lanes if lane.destination in SITES} == {1}
    await scene.end()


async def _new_key() -> None:
    scene = Scene()
    seq = await _suspended(scene)
    await asyncio.sleep(10.0)
    assert scene.who(seq).keys() == {"far"}
    for name in SITES:
        scene.world.sites[name].mood = "well"
    scene.dispatchers[0].swap(replace(setup(), revision=2))
    began_s = asyncio.get_running_loop().time()
    await asyncio.sleep(5.0)
    assert all(scene.who(seq)[name][1] - began_s < 3.0 for name in SITES)
    await scene.end()


async def _started_anew(digest: str) -> list[float]:
    """A dispatcher is started again ten seconds after the last probe, with this configuration: when requests came after
    that, and when that was.
    """
    async with Town() as town:
        town.site.mood = "refusing"
        for n in range(20):
            await town.event(f"k{n}", n)
        await asyncio.sleep(70.0)
        await town.close()
        town.setup = replace(town.setup, digest=digest)
        before, began_s = len(town.site.requests), asyncio.get_running_loop().time()
        town.open()
        await asyncio.sleep(120.0)
        rows = await town.journal.lane_rows()
        assert [(row.lane.counts.total(), row.waiting) for row in rows] == [(0, 20)]
        return [at_s - began_s for at_s, *_ in town.site.requests[before:]]


def test_it_stays_so_when_the_dispatcher_is_started_anew() -> None:
    probes = simulate(_started_anew(""))
    assert [round(at_s, -1) for at_s in probes] == [50, 110]


def test_what_is_started_anew_with_another_configuration_tries_at_once_with_one_record() -> None:
    probes = simulate(_started_anew("another"))
    assert [round(at_s, -1) for at_s in probes] == [0, 60]


async def _handed_over() -> None:
    async with Town() as town:
        town.site.mood = "refusing"
        await town.events(*({"key": f"k{n}", "n": n} for n in range(20)))
        await asyncio.sleep(10.0)
        town.process.die()
        before = len(town.site.requests)
        second = Second(town, town.setup)
        await asyncio.sleep(40.0)
        assert len(town.site.requests) == before
        await asyncio.sleep(20.0)
        assert len(town.site.requests) == before + 1
        await second.close()


def test_who_takes_the_account_over_knows_that_it_is_suspended() -> None:
    simulate(_handed_over())


def test_it_is_probed_every_minute_and_no_attempt_is_counted() -> None:
    simulate(_probes())


def test_it_is_served_again_at_once_when_its_configuration_has_changed() -> None:
    simulate(_new_key())
