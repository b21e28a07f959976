"""What the Batch API's 429 holds, through the real dispatcher: hours of virtual time against the simulator."""

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gateway.sandbox.faults import Fault
from tests.simulation.virtual import simulate
from tests.vendors.at_work import ORIGIN, AtWork
from tests.whole.payloads import IDS

SETTINGS = {
    "vendor": "ometria_batch",
    "base_url": f"{ORIGIN}/ometria_batch",
    "api_key": "id-1:hush",
    "domain_key": "acme",
    "location_key": "eu",
    "window": "5s",
    "poll": "2s",
}
REST_S = 40.0
STEPS = {"upload": "/ometria_batch/batch/upload/*", "process": "/ometria_batch/batch/process/*", "report": "*/report/*"}


def product(number: int) -> dict[str, Any]:
    return {"id": IDS + number, "title": f"Kettle {number}", "variants": [], "updated_at": "2026-01-02T03:04:05Z"}


@pytest.mark.parametrize("step", STEPS)
def test_a_refused_step_holds_the_whole_account_for_as_long_as_it_says(tmp_path: Path, step: str) -> None:
    async def day() -> AtWork:
        async with AtWork(tmp_path, {"catalogue": SETTINGS}) as work:
            work.sandbox.faults.order(
                Fault(path=STEPS[step], fault="status", status=429, retry_after=REST_S, count=1, skip=1)
            )
            for number in range(8):
                await work.sent("products/create", product(number))
                await asyncio.sleep(3.0)
            await work.settled()
            return work

    work = simulate(day())
    times_s = [visit.at_s for visit in work.sandbox.ometria_batch.witness.visits]
    assert max(after_s - before_s for before_s, after_s in pairwise(times_s)) >= REST_S
    assert len(work.sandbox.ometria_batch.catalogue["products.json"]) == 8
