"""Of one entity's states the newest goes: waiting ones are coalesced, stale ones are not sent, where a destination
asks for it.
"""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.deliver.newer import Versions, Waiting, is_newer
from gateway.model import LaneSpec, State
from gateway.vendors.base import Record
from tests.deliver.making import record
from tests.deliver.town import Town
from tests.simulation.virtual import simulate


def _at(day: int) -> str:
    return f"2026-03-{day:02}T09:00:00Z"


def _version(seq: int, version_ms: int) -> Record:
    return replace(record(seq, key="k"), version_ms=version_ms)


@pytest.mark.parametrize("coalesce", [True, False])
def test_a_burst_of_updates_becomes_one(*, coalesce: bool) -> None:
    async def main() -> None:
        async with Town(coalesce=coalesce, batch={"records": 1}) as town:
            await town.events(*({"key": "a", "n": n} for n in range(10)), {"key": "b", "n": 1})
            await town.settled()
            assert town.applied() == ([10, 11] if coalesce else list(range(1, 12)))
            states = await town.states()
            assert {states[seq] for seq in range(1, 10)} == {State.SUPERSEDED if coalesce else State.DELIVERED}

    simulate(main())


def test_what_waits_while_another_is_in_flight_becomes_one() -> None:
    async def main() -> None:
        async with Town(coalesce=True) as town:
            town.site.mood = "slow"
            await town.event("a", 0)
            await asyncio.sleep(0.05)
            for n in range(1, 8):
                await town.event("a", n)
            await town.settled()
            assert town.applied() == [1, 8]

    simulate(main())


def test_what_is_parked_becomes_one_when_it_is_due() -> None:
    async def main() -> None:
        async with Town(coalesce=True) as town:
            town.site.mood = "failing"
            for n in range(6):
                await town.event("a", n)
                await asyncio.sleep(0.2)
            town.site.mood = "well"
            await town.settled()
            assert town.applied() == [6]
            assert {state for seq, state in (await town.states()).items() if seq < 6} == {State.SUPERSEDED}
            assert all(row.balanced for row in await town.journal.audit())

    simulate(main())


def test_the_newest_by_its_own_word_goes_for_all_that_wait() -> None:
    async def main() -> None:
        async with Town(coalesce=True) as town:
            await town.events(*({"key": "a", "n": n, "updated_at": _at(day)} for n, day in enumerate((3, 9, 5))))
            await town.settled()
            assert town.applied() == [2]

    simulate(main())


def test_an_update_older_than_what_was_delivered_is_not_sent() -> None:
    async def main() -> None:
        async with Town(stale=True) as town:
            await _one_by_one(town, 5, 3, 5, 7)
            assert town.applied() == [1, 3, 4]
            assert (await town.states())[2] is State.SUPERSEDED

    simulate(main())


def test_what_was_delivered_is_known_after_a_restart() -> None:
    async def main() -> None:
        async with Town(stale=True) as town:
            await _one_by_one(town, 5)
            await town.close()
            town.open()
            await _one_by_one(town, 3)
            assert town.applied() == [1]

    simulate(main())


def test_it_is_known_between_a_rename_and_its_reload() -> None:
    async def main() -> None:
        async with Town(stale=True) as town:
            await _one_by_one(town, 5)
            await town.close()
            town.open()
            await asyncio.sleep(1.0)
            await town.journal.register([LaneSpec("shop", "sales", was=("crm",))])
            await _one_by_one(town, 3)
            assert town.applied() == [1]

    simulate(main())


def test_a_parked_update_is_stale_when_a_newer_one_went_meanwhile() -> None:
    async def main() -> None:
        async with Town(stale=True, order="none") as town:
            town.site.mood = "failing"
            await town.event("a", 1, updated_at=_at(3))
            await asyncio.sleep(0.5)
            town.site.mood = "well"
            await town.event("a", 2, updated_at=_at(4))
            await town.settled()
            assert town.applied() == [2]

    simulate(main())


def test_an_update_that_does_not_say_its_age_is_never_stale() -> None:
    async def main() -> None:
        async with Town(stale=True) as town:
            await _one_by_one(town, 5)
            await town.event("a", 2)
            await town.settled()
            assert town.applied() == [1, 2]

    simulate(main())


def test_without_being_asked_nothing_is_stale() -> None:
    async def main() -> None:
        async with Town() as town:
            await _one_by_one(town, 5, 3)
            assert town.applied() == [1, 2]

    simulate(main())


def test_newer_is_what_changed_later_and_else_what_came_later() -> None:
    assert is_newer(_version(2, 0), _version(1, 50))
    assert is_newer(_version(1, 50), _version(2, 40))
    assert is_newer(_version(2, 50), _version(1, 50))


def test_a_state_is_forgotten_when_none_of_its_key_waits() -> None:
    waiting = Waiting()
    old, new = _version(1, 0), _version(2, 0)
    waiting.joins(old)
    waiting.joins(new)
    assert waiting.replaces(old)
    assert not waiting.replaces(new)
    waiting.leaves(new)
    assert waiting.replaces(old)
    waiting.leaves(old)
    waiting.joins(old)
    assert not waiting.replaces(old)


def test_only_what_is_remembered_is_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.deliver.newer.VERSIONS_MAX", 2)
    versions = Versions()
    records = [replace(record(seq), version_ms=10) for seq in (1, 2, 3)]
    for one in records:
        versions.delivered(one)
    assert versions.unknown(records) == {records[0].draft.key_hash}


async def _one_by_one(town: Town, *days: int) -> None:
    for day in days:
        body: dict[str, Any] = {"key": "a", "n": day, "updated_at": _at(day)}
        await town.events(body)
        await town.settled()
