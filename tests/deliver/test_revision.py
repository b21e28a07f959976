"""Events of a newer configuration are left to who has it: two dispatchers over one journal, on virtual time."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.deliver.revision import StandBack
from gateway.telemetry import log
from tests.deliver.scene import Scene
from tests.simulation.configured import DESTINATIONS, setup
from tests.simulation.virtual import simulate


@pytest.fixture(autouse=True)
def _quiet(tmp_path: Path) -> Iterator[None]:
    with (tmp_path / "log").open("w") as stream:
        log.configure("json", "error", stream=stream)
        yield


async def _two() -> None:
    scene = Scene()
    await scene.begin()
    old = scene.dispatcher(1)
    await asyncio.sleep(3.0)
    scene.dispatcher(2)
    await asyncio.sleep(30.0)
    first = await scene.event("shop-a", 1)
    await asyncio.sleep(5.0)
    assert {number for number, _ in scene.who(first).values()} == {1, 2}
    shared = {name for name, (number, _) in scene.who(first).items() if number == 1}
    newer = await scene.event("shop-a", 2)
    began_s = asyncio.get_running_loop().time()
    await asyncio.sleep(14.0)
    assert scene.who(newer).keys() == DESTINATIONS.keys() - shared
    await asyncio.sleep(8.0)
    assert scene.who(newer).keys() == DESTINATIONS.keys()
    assert {number for number, _ in scene.who(newer).values()} == {2}
    assert all(scene.who(newer)[name][1] - began_s > 15.0 for name in shared)

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
