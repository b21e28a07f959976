"""Dispatchers that are killed or stopped at any moment, and followed at once: nobody is called faster than allowed.

A lease says nothing of the requests of who was killed. Whoever follows takes the windows for used up when it comes,
which is after the last request of who was killed has left. Who is stopped tells what left, and nobody has to rest.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.deliver import lease
from tests.simulation.virtual import simulate
from tests.vendors.at_work import ORIGIN, AtWork
from tests.whole.payloads import IDS

JITTER_S = 0.015
"""Less than 2 % of the shortest window."""
VENDORS: dict[str, dict[str, Any]] = {
    "ometria": {"vendor": "ometria", "base_url": f"{ORIGIN}/ometria/v2", "api_key": "k-1", "errors_every": "3s"},
    "octolis": {
        "vendor": "octolis",
        "base_url": f"{ORIGIN}/octolis/v1/data",
        "api_key": "k-1",
        "datasets": {"customer": {"id": "ds-1", "keys": ["email"]}},
    },
}


def customer(number: int) -> dict[str, Any]:
    return {"id": IDS + number, "email": f"ada{number}@example.com", "created_at": "2026-01-02T03:04:05Z"}


Ends = Callable[[AtWork, random.Random], Awaitable[None]]


def statuses(tmp_path: Path, vendor: str, times: int, lives_s: float, ends: Ends, seed: int = 7) -> Counter[int]:
    """What a vendor answered while dispatchers came to an end so many times, after a while that is drawn."""

    async def hour() -> AtWork:
        rng = random.Random(seed)
        settings = {**VENDORS[vendor], "batch": {"records": 1}}
        async with AtWork(tmp_path, {vendor: settings}, round_s=0.04, jitter_s=JITTER_S) as work:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(lease, "is_gone", work.gone.__contains__)
                for place in range(times):
                    await work.sent("customers/update", *(customer(40 * place + one) for one in range(40)))
                    await asyncio.sleep(rng.uniform(0.0, lives_s))
                    await ends(work, rng)
            return work

    sandbox = simulate(hour()).sandbox
    (ometria,) = sandbox.ometria.accounts.values() if vendor == "ometria" else (None,)
    return (ometria.witness if ometria else sandbox.octolis.witness).statuses


@pytest.mark.parametrize(("vendor", "kills", "lives_s"), [("ometria", 40, 6.0), ("octolis", 8, 150.0)])
def test_who_follows_one_that_was_killed_keeps_the_pace_of_both(
    tmp_path: Path, vendor: str, kills: int, lives_s: float
) -> None:
    async def killed(work: AtWork, rng: random.Random) -> None:
        await work.kill()
        if rng.random() < 0.3:
            await asyncio.sleep(rng.uniform(0.0, 0.3))
            await work.kill()

    found = statuses(tmp_path, vendor, kills, lives_s, killed)
    assert found[429] == 0
    assert found.total() > 3 * kills


@pytest.mark.parametrize(("vendor", "times", "lives_s"), [("ometria", 60, 6.0), ("octolis", 30, 40.0)])
def test_who_follows_one_that_was_stopped_or_killed_keeps_the_pace_of_all(
    tmp_path: Path, vendor: str, times: int, lives_s: float
) -> None:
    async def stopped_or_killed(work: AtWork, rng: random.Random) -> None:
        await (work.kill() if rng.random() < 0.2 else work.restart())

    found = statuses(tmp_path, vendor, times, lives_s, stopped_or_killed, seed=3)
    assert found[429] == 0
    assert found.total() > 3 * times


def test_who_follows_one_that_was_stopped_goes_on_at_once(tmp_path: Path) -> None:
    async def minutes() -> tuple[int, int, int]:
        settings = {**VENDORS["octolis"], "batch": {"records": 1}}
        async with AtWork(tmp_path, {"octolis": settings}) as work:
            taken = work.sandbox.octolis.witness.statuses.total
            await work.sent("customers/update", *(customer(one) for one in range(200)))
            await asyncio.sleep(20.0)
            before = taken()
            await work.restart()
            await asyncio.sleep(10.0)
            between = taken()
            await work.kill()
            await asyncio.sleep(40.0)
            return before, between, taken()

    before, between, after = simulate(minutes())
    assert before == pytest.approx(17 + 2 * 20, abs=4), "the burst, then two a second"
    assert between - before == pytest.approx(2 * 10, abs=3), "two a second still"
    assert after == between, "of who was killed nobody knows what left in the last minute"
