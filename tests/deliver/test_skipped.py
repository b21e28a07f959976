"""An operator skips what waits on a lane that is served, on virtual time."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.journal.base import Operation
from gateway.telemetry import log
from tests.deliver.town import Town
from tests.simulation.virtual import START_MS, simulate


@pytest.fixture(autouse=True)
def _quiet(tmp_path: Path) -> Iterator[None]:
    with (tmp_path / "log").open("w") as stream:
        log.configure("json", "error", stream=stream)
        yield


async def _idle() -> None:
    async with Town() as town:
        before = await town.event("k", 1)
        await town.settled()
        await town.journal.change_lane(1, Operation(START_MS, "ada", "skip", ""))
        await asyncio.sleep(10.0)
        after = await town.event("k", 2)
        await asyncio.sleep(10.0)
        assert town.applied() == [before, after]


def test_what_comes_after_a_skip_is_sent_once() -> None:
    simulate(_idle())
