"""Amperity's tokens and its limit through the real dispatcher, on virtual time against the simulator."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.simulation.virtual import simulate
from tests.vendors.at_work import ORIGIN, AtWork
from tests.whole.payloads import IDS

SETTINGS = {
    "vendor": "amperity",
    "base_url": f"{ORIGIN}/amperity",
    "tenant": "acme",
    "client_id": "id-1",
    "client_secret": "s-1",
    "streams": {"customer": "is-1"},
}
PER_S = 20
PEOPLE = 300


def customer(number: int) -> dict[str, Any]:
    return {"id": IDS + number, "email": f"ada{number}@example.com", "created_at": "2026-01-02T03:04:05Z"}


@pytest.mark.parametrize("latency_s", [0.02, 0.4])
def test_a_token_that_is_revoked_under_way_does_not_make_the_pace_faster(tmp_path: Path, latency_s: float) -> None:
    """What was refused with the old token goes again with the new one, and takes its place in the limit's window."""

    async def hour() -> AtWork:
        settings = {**SETTINGS, "limits": [{"allow": PER_S, "per": "1s"}]}
        async with AtWork(tmp_path, {"amperity": settings}, round_s=latency_s) as work:
            work.sandbox.amperity.adjust({"stream_per_s": PER_S})
            await work.sent("customers/update", *map(customer, range(PEOPLE)))
            for _ in range(4):
                await asyncio.sleep(2.5)
                work.sandbox.amperity.adjust({"revoked_before_ms": work.clock.now_ms()})
            await work.settled()
            return work

    witness = simulate(hour()).sandbox.amperity.witness
    assert witness.statuses[401] >= 1
    assert witness.statuses[429] == 0
    assert {seen.times for seen in witness.received.values()} == {1}
    assert len(witness.received) == PEOPLE


def test_a_client_whose_tokens_are_all_refused_is_suspended_probed_and_loses_nothing(tmp_path: Path) -> None:
    async def hour() -> AtWork:
        async with AtWork(tmp_path, {"amperity": SETTINGS}) as work:
            await work.sent("customers/update", customer(0))
            await work.settled()
            work.sandbox.amperity.adjust({"revoked_before_ms": work.clock.now_ms() + 3_600_000})
            await work.sent("customers/update", *map(customer, range(1, 4)))
            await asyncio.sleep(90.0)
            assert [one.standing for one in work.standings()] == ["suspended"]
            assert (await work.row("amperity")).waiting == 3
            work.sandbox.amperity.adjust({"revoked_before_ms": 0})
            await work.settled(70.0)
            return work

    witness = simulate(hour()).sandbox.amperity.witness
    assert len(witness.received) == 4
    assert witness.statuses[401] < 10
