"""Dispatchers that are killed at any moment, and followed at once: no vendor is called faster than it allows.

A lease says nothing of the requests of who held it. Whoever follows takes the windows for used up when it comes, which
is after the last request of who was killed has left.
"""

import asyncio
import random
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


@pytest.mark.parametrize(("vendor", "kills", "lives_s"), [("ometria", 40, 6.0), ("octolis", 8, 150.0)])
def test_who_follows_one_that_was_killed_keeps_the_pace_of_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vendor: str, kills: int, lives_s: float
) -> None:
    async def hour() -> AtWork:
        rng = random.Random(7)
        settings = {**VENDORS[vendor], "batch": {"records": 1}}
        async with AtWork(tmp_path, {vendor: settings}, round_s=0.04, jitter_s=JITTER_S) as work:
            monkeypatch.setattr(lease, "is_gone", work.gone.__contains__)
            for place in range(kills):
                await work.sent("customers/update", *(customer(40 * place + one) for one in range(40)))
                await asyncio.sleep(rng.uniform(0.0, lives_s))
                await work.kill()
                if rng.random() < 0.3:
                    await asyncio.sleep(rng.uniform(0.0, 0.3))
                    await work.kill()
            return work

    sandbox = simulate(hour()).sandbox
    (ometria,) = sandbox.ometria.accounts.values() if vendor == "ometria" else (None,)
    witness = ometria.witness if ometria else sandbox.octolis.witness
    assert witness.statuses[429] == 0
    assert witness.statuses.total() > 3 * kills
