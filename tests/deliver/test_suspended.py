"""A suspended account: a probe a minute, no attempt counted, and back at once under a new configuration."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.telemetry import log
from tests.deliver.scene import Scene
from tests.simulation.history import setup
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


def test_it_is_probed_every_minute_and_no_attempt_is_counted() -> None:
    simulate(_probes())


def test_it_is_served_again_at_once_when_its_configuration_has_changed() -> None:
    simulate(_new_key())
