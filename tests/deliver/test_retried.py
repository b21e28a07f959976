"""Dead letters that are retried: an old state does not go over a newer one that was sent, or is about to be."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.journal.base import DeadFilter, Operation
from gateway.model import State
from gateway.telemetry import log
from tests.deliver.town import Town
from tests.simulation.virtual import START_MS, simulate

BY = Operation(START_MS, "ada", "retry", "")


@pytest.fixture(autouse=True)
def _quiet(tmp_path: Path) -> Iterator[None]:
    with (tmp_path / "log").open("w") as stream:
        log.configure("json", "error", stream=stream)
        yield


async def _dead(town: Town, *bodies: dict[str, object]) -> list[int]:
    """Events that die where they are poison, and are delivered where not."""
    seqs = [(await town.events(body))[0] for body in bodies]
    await town.settled()
    return seqs


async def _heal(town: Town, *, every_state: bool = False, which: DeadFilter | None = None) -> None:
    """The vendor takes what it refused; what is dead is retried."""
    town.world.takes_poison = True
    await town.journal.retry(which or DeadFilter(), BY, every_state=every_state)
    await town.settled()
    assert all(row.balanced for row in await town.journal.audit())


def poison(key: str, n: int) -> dict[str, object]:
    return {"key": key, "n": n, "poison": True}


def sound(key: str, n: int) -> dict[str, object]:
    return {"key": key, "n": n}


async def _newer_was_delivered() -> None:
    async with Town() as town:
        old, alone, newer = await _dead(town, poison("a", 1), poison("b", 2), sound("a", 3))
        await _heal(town)
        assert town.applied() == [newer, alone]
        assert await town.states() == {old: State.SUPERSEDED, alone: State.DELIVERED, newer: State.DELIVERED}


def test_an_old_state_is_superseded_where_a_newer_one_was_delivered() -> None:
    simulate(_newer_was_delivered())


async def _every_state() -> None:
    async with Town() as town:
        old, newer = await _dead(town, poison("a", 1), sound("a", 2))
        await _heal(town, every_state=True)
        assert town.applied() == [newer, old]


def test_it_goes_where_every_state_is_wanted() -> None:
    simulate(_every_state())


async def _all_are_dead() -> None:
    async with Town() as town:
        seqs = await _dead(town, poison("a", 1), poison("b", 2), poison("a", 3), poison("a", 4))
        await _heal(town)
        assert sorted(town.applied()) == [seqs[1], seqs[3]]


def test_of_several_states_that_are_retried_the_newest_goes() -> None:
    simulate(_all_are_dead())


async def _newer_stays_dead() -> None:
    async with Town() as town:
        old, newer = await _dead(town, poison("a", 1), poison("a", 2))
        letters = [one async for one in town.journal.dead(DeadFilter())]
        await _heal(town, which=DeadFilter(ids=(letters[0].id,)))
        assert town.applied() == [old]
        await _heal(town)
        assert town.applied() == [old, newer]


def test_a_newer_state_that_is_dead_itself_stands_in_nobodys_way() -> None:
    simulate(_newer_stays_dead())


async def _newer_was_filtered() -> None:
    async with Town() as town:
        (old,) = await _dead(town, poison("a", 1))
        (lane,) = await town.journal.lanes()
        await town.journal.change_lane(lane.id, Operation(START_MS, "ada", "pause", ""))
        await town.event("a", 2)
        await asyncio.sleep(1.0)
        await town.journal.change_lane(lane.id, Operation(START_MS, "ada", "skip", ""))
        await town.journal.change_lane(lane.id, Operation(START_MS, "ada", "resume", ""))
        await asyncio.sleep(1.0)
        await _heal(town)
        assert town.applied() == [old]


def test_a_newer_state_that_was_skipped_stands_in_nobodys_way() -> None:
    simulate(_newer_was_filtered())


async def _later_ones() -> None:
    """Letters are retried one after the other, the older ones later; events come in meanwhile."""
    async with Town(batch={"records": 1}) as town:
        bodies = [poison(f"k{n}", n) for n in range(6)] + [sound(f"k{n}", n) for n in (0, 4)]
        seqs = await _dead(town, *bodies)
        letters = [one async for one in town.journal.dead(DeadFilter())]
        town.world.takes_poison = True
        for letter in reversed(letters):
            await town.journal.retry(DeadFilter(ids=(letter.id,)), BY)
            await town.event("k1", 7)
        await town.settled()
        states = await town.states()
        assert [states[seq] for seq in seqs[:6]] == [
            State.SUPERSEDED,
            State.SUPERSEDED,
            State.DELIVERED,
            State.DELIVERED,
            State.SUPERSEDED,
            State.DELIVERED,
        ]


def test_letters_that_are_retried_later_and_are_older_are_judged_as_well() -> None:
    simulate(_later_ones())


async def _long_after() -> None:
    """What was surveyed is forgotten after a while, and surveyed again."""
    async with Town() as town:
        old, newer = await _dead(town, poison("a", 1), poison("b", 2))
        letters = [one async for one in town.journal.dead(DeadFilter())]
        await _heal(town, which=DeadFilter(ids=(letters[1].id,)))
        await asyncio.sleep(3600.0)
        late = await town.event("a", 3)
        await asyncio.sleep(3600.0)
        await _heal(town)
        assert town.applied() == [newer, late]
        assert (await town.states())[old] is State.SUPERSEDED


def test_a_letter_that_is_retried_long_after_another_is_judged_by_what_came_since() -> None:
    simulate(_long_after())


async def _on_a_replay() -> None:
    async with Town() as town:
        town.world.takes_poison = True
        await _dead(town, poison("a", 1), sound("b", 2))
        town.world.takes_poison = False
        lane = await town.replay()
        await town.settled()
        await town.event("a", 3)
        await town.settled()
        await _heal(town)
        assert (await town.states(lane))[1] is State.SUPERSEDED


def test_a_dead_letter_of_a_replay_is_judged_as_well() -> None:
    simulate(_on_a_replay())
