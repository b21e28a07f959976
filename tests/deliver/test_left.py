"""An account that is left to another, or to the same process under another configuration: nothing goes again."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.model import State
from gateway.telemetry import log
from gateway.vendors.base import Limit
from tests.deliver.town import Town
from tests.simulation.virtual import simulate

SLOW = Limit(allow=1, per_s=10.0)


@pytest.fixture(autouse=True)
def _quiet(tmp_path: Path) -> Iterator[None]:
    with (tmp_path / "log").open("w") as stream:
        log.configure("json", "error", stream=stream)
        yield


@pytest.mark.parametrize("how", ["stop", "swap"])
def test_of_an_event_that_is_half_delivered_only_the_other_half_goes(how: str) -> None:
    async def story() -> None:
        async with Town(SLOW) as town:
            (seq,) = await town.events({"key": "k", "n": 1, "channels": ["one", "two"]})
            await asyncio.sleep(5.0)
            assert [one.channel for one in town.site.applied] == ["one"]
            if how == "stop":
                await town.close()
                (row,) = await town.journal.parked(1)
                assert (row.seq, row.attempt) == (seq, 0)
                assert (await town.journal.audit())[0].balanced
                town.open()
            else:
                town.swap()
            later = await town.event("k", 2)
            await town.settled()
            applied = [(one.seq, one.channel) for one in town.site.applied]
            assert sorted(applied[:2]) == [(seq, "one"), (seq, "two")]
            assert [one for one, _ in applied] == [seq, seq, later]
            assert await town.states() == {seq: State.DELIVERED, later: State.DELIVERED}
            assert (await town.journal.audit())[0].balanced

    simulate(story())


def test_what_becomes_due_while_a_request_hangs_is_left_without_spinning() -> None:
    """A loop that spun here would never let virtual time pass."""

    async def story() -> None:
        async with Town(timeout="5s") as town:
            town.site.mood = "failing"
            await town.event("a", 1)
            await asyncio.sleep(0.1)
            town.site.mood = "hanging"
            await town.event("b", 2)
            await asyncio.sleep(0.1)
            await town.close()
            assert len(await town.journal.parked(1)) == 2

    simulate(story())
