"""What one shop, or one vendor, does to another: nothing that anybody would notice. On virtual time, at full size."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway import document
from gateway.config.schema import Route, Source
from gateway.deliver.plan import Planner
from gateway.deliver.route import Router
from gateway.mapping.book import Book
from gateway.mapping.normalise import Normaliser
from gateway.model import Group, LaneSpec, Offer
from gateway.telemetry import log
from gateway.vendors.base import Limit
from tests.deliver.town import Town
from tests.simulation.paper import Paper, PaperSettings
from tests.simulation.virtual import START_MS, simulate

FLOOD = 100_000
GROUP = 1_000
SLOTS = 3
SOON_S = 1.0


@pytest.fixture(autouse=True)
def _quiet(tmp_path: Path) -> Iterator[None]:
    with (tmp_path / "log").open("w") as stream:
        log.configure("json", "error", stream=stream)
        yield


def _with_more(town: Town, sources: tuple[str, ...], destinations: tuple[str, ...]) -> None:
    """The town has more shops and more vendors, each an account of its own; everything goes everywhere."""
    (crm,) = town.setup.destinations.values()
    book = Book({})
    normalisers = {name: Normaliser(name, Source(), {}, book) for name in sources}
    made = {"crm": crm}
    for name in destinations:
        settings = PaperSettings(vendor="paper")
        made[name] = replace(crm, name=name, settings=settings, vendor=Paper(name, settings), account=name)
    router = Router([Route(events=["*"], to=list(made))])
    town.setup = replace(
        town.setup, destinations=made, sources=frozenset(sources), planner=Planner(normalisers, router, book)
    )
    town.swap()


async def _accept(town: Town, source: str, first: int, count: int) -> list[int]:
    bodies = [document.dump({"key": f"{source}{n}", "n": n}) for n in range(first, first + count)]
    offers = [Offer(source, "thing/update", START_MS, 0, "POST", "", (), body) for body in bodies]
    group = Group(f"{source} {first}".encode().rjust(16), tuple(offers))
    return [receipt.seq for receipt in await town.journal.append(group)]


async def _delivered(town: Town, seq: int) -> None:
    for _ in range(100_000):
        if seq in {one.seq for one in town.site.applied[-5:]}:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it is not delivered")


async def _flooded(batch: int) -> int:
    """How many requests leave from an event's accept up to the one that brings it, while another shop's flood waits."""
    async with Town(Limit(allow=4, per_s=1.0), batch={"records": batch}) as town:
        await town.journal.register([LaneSpec("other", "crm")])
        _with_more(town, ("shop", "other"), ())
        for first in range(0, FLOOD, GROUP):
            await _accept(town, "shop", first, GROUP)
        await asyncio.sleep(10.1)
        before = len(town.site.requests)
        (seq,) = await _accept(town, "other", 0, 1)
        await _delivered(town, seq)
        (row, _) = await town.journal.lane_rows()
        assert row.waiting > FLOOD * 0.9
        return len(town.site.requests) - before


@pytest.mark.parametrize("batch", [1, 5])
def test_a_flood_of_one_shop_leaves_the_next_slots_to_anothers_event(batch: int) -> None:
    assert simulate(_flooded(batch)) <= SLOTS


async def _beside(mood: str) -> float:
    """How long events take to a vendor that is well, at most, beside one in this mood."""
    async with Town(Limit(allow=50, per_s=1.0)) as town:
        await town.journal.register([LaneSpec("shop", "lake")])
        _with_more(town, ("shop",), ("lake",))
        town.world.sites["lake"].mood = mood
        loop = asyncio.get_running_loop()
        waits = []
        await asyncio.sleep(2.0)
        for n in range(200):
            began_s = loop.time()
            (seq,) = await _accept(town, "shop", n, 1)
            await _delivered(town, seq)
            waits.append(loop.time() - began_s)
            await asyncio.sleep(0.5)
        return max(waits)


@pytest.mark.parametrize("mood", ["hanging", "forgetful", "failing", "slow", "throttling", "refusing", "unreachable"])
def test_an_account_that_does_not_do_well_delays_no_other(mood: str) -> None:
    assert simulate(_beside(mood)) < SOON_S
