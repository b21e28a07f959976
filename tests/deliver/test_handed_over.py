"""A destination whose account is another from now on (its key was changed): what is in flight under the one before is
settled first, on virtual time.
"""

import asyncio
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.model import Lane, Lease, State
from gateway.telemetry import log
from tests.deliver.town import Town
from tests.simulation.virtual import simulate


@pytest.fixture(autouse=True)
def _quiet(tmp_path: Path) -> Iterator[None]:
    with (tmp_path / "log").open("w") as stream:
        log.configure("json", "error", stream=stream)
        yield


def use_account(town: Town, name: str) -> None:
    """The destination's key is another."""
    crm = replace(town.setup.destinations["crm"], account=name)
    town.setup = replace(town.setup, destinations={"crm": crm})
    town.swap()


async def _in_flight() -> None:
    async with Town(timeout="5s") as town:
        town.site.mood = "forgetful"
        first = await town.event("k", 1)
        await asyncio.sleep(1.0)
        use_account(town, "second")
        later = await town.event("k", 2)
        await asyncio.sleep(1.0)
        town.site.mood = "well"
        await asyncio.sleep(2.0)
        assert town.site.breaches == []
        assert town.applied() == [first]
        await asyncio.sleep(60.0)
        assert town.applied() == [first, first, later]
        assert await town.states() == {first: State.DELIVERED, later: State.DELIVERED}
        assert all(row.balanced for row in await town.journal.audit())


async def _while_it_is_opened(patch: pytest.MonkeyPatch) -> None:
    async with Town() as town:
        await asyncio.sleep(1.0)
        opens, may_open = asyncio.Event(), asyncio.Event()
        hold = town.journal.hold

        async def slow(lease: Lease, lanes: Collection[int]) -> tuple[Lane, ...]:
            if lease.account == "second":
                opens.set()
                await may_open.wait()
            return await hold(lease, lanes)

        patch.setattr(town.journal, "hold", slow)
        use_account(town, "second")
        await opens.wait()
        use_account(town, "third")
        may_open.set()
        await asyncio.sleep(10.0)
        seqs = [await town.event("k", n) for n in range(3)]
        await asyncio.sleep(10.0)
        assert town.applied() == seqs
        assert town.site.breaches == []


def test_what_is_in_flight_under_the_account_before_is_settled_first() -> None:
    simulate(_in_flight())


def test_what_was_opened_for_another_configuration_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    simulate(_while_it_is_opened(monkeypatch))


async def _with_what_is_due() -> None:
    async with Town(timeout="5s", retry={"first": "2s", "max": "2s"}, breaker=False) as town:
        town.site.mood = "failing"
        seqs = [await town.event("k", 1)]
        await asyncio.sleep(0.1)
        town.site.mood = "hanging"
        seqs.append(await town.event("other", 2))
        await asyncio.sleep(0.05)
        town.site.mood = "well"
        town.swap()
        await asyncio.sleep(20.0)
        assert set(town.applied()) == set(seqs)


def test_what_is_due_waits_while_what_is_in_flight_is_settled() -> None:
    simulate(_with_what_is_due())
