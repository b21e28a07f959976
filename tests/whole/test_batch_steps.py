"""`kill -9` in the middle of each step of a call of several requests: Ometria's Batch API gets one catalogue."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gateway.sandbox.faults import Fault
from tests.whole import payloads
from tests.whole.running import configuration, played, post_all, until

pytestmark = pytest.mark.slow

SLOW_S = 4.0
PATHS = {"upload": "/batch/upload/*", "process": "/batch/process/*", "report": "/reporting/report/*"}


def _catalogue(sandbox_url: str) -> dict[str, Any]:
    settings = configuration(sandbox_url, ometria=None, sink=None)
    settings["destinations"]["catalogue"] = {
        "vendor": "ometria_batch",
        "api_key": "key:secret",
        "domain_key": "acme",
        "location_key": "eu",
        "base_url": f"{sandbox_url}/ometria_batch",
        "window": "300ms",
        "poll": "200ms",
    }
    settings["routes"] = [{"to": ["catalogue"]}]
    return settings


@pytest.mark.parametrize("step", PATHS)
async def test_a_kill_within_a_step_makes_no_second_catalogue(tmp_path: Path, step: str) -> None:
    async with played(tmp_path, _catalogue) as (gateway, served):
        batch = served.sandbox.ometria_batch
        batch.adjust({"process_s": 0.2})
        fault = Fault(path=f"/ometria_batch{PATHS[step]}", fault="latency", latency_s=SLOW_S, count=1)
        slow = served.sandbox.faults.order(fault)
        await gateway.up()
        await post_all(gateway.hook, [case.letter() for case in payloads.PRODUCTS[:3]])
        await until(lambda: slow.met == 1, f"{step} is under way")
        await gateway.kill_all()
        await gateway.up()
        await gateway.settled(within_s=60.0)

        receipts = batch.view()["receipts"]
        states = Counter(one["state"] for one in receipts)
        assert states == {"completed": 1, **({"uploaded": 1} if step == "upload" else {})}
        # A `process` that was heard before the kill is refused the second time, and that is how it is known.
        assert dict(batch.witness.broken) == ({"wrong_state": 1} if step == "process" else {})
        assert {seen.times for seen in batch.witness.received.values()} == {1}
        rows = await gateway.balanced()
        assert (rows["catalogue"]["delivered"], rows["catalogue"]["dead"]) == (3, 0)
        assert gateway.failures() == []
