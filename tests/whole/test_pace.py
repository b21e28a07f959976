"""The pace at which waiting records leave, measured where they arrive."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from gateway.sandbox.witness import Witness
from tests.whole.payloads import person
from tests.whole.running import account, configuration, played, post_all

pytestmark = [pytest.mark.slow, pytest.mark.alone]

RECORDS = 4_000
PER_REQUEST = 100
PER_S = 4
USED = 0.95
FROM = 8
"""The ninth request: by then every window is in use."""

LOOK_S = 0.005
CALM_S = 0.015
"""A vendor that looks at its clock later than this sees a pace that nobody kept: then it is measured again."""
TRIES = 3


async def test_four_thousand_waiting_records_leave_at_four_requests_a_second(tmp_path: Path) -> None:
    for attempt in range(TRIES):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        witness, late_s = await _leave(folder)
        if late_s < CALM_S:
            break

    times_s = [visit.at_s for visit in witness.visits][FROM:]
    used = (len(times_s) - 1) / (PER_S * (times_s[-1] - times_s[0]))
    assert (dict(witness.statuses), dict(witness.broken)) == ({202: RECORDS // PER_REQUEST}, {}), late_s
    assert {visit.records for visit in witness.visits} == {PER_REQUEST}
    assert USED <= used <= 1.0, late_s


async def _leave(folder: Path) -> tuple[Witness, float]:
    """What Ometria saw of 4,000 records that had all been waiting, and how late it was at most to look."""
    async with played(folder, partial(configuration, sink=None, ometria={"errors_every": "0s"})) as (gateway, served):
        await gateway.up("--role", "receiver")
        told = await post_all(gateway.hook, [person(number) for number in range(RECORDS)])
        assert {one.status for one in told} == {200}
        assert (await gateway.lanes())["ometria"].waiting == RECORDS
        assert await gateway.stop() == 0

        await gateway.up("--role", "dispatcher")
        async with _watch() as watch:
            await gateway.settled()
        await gateway.balanced()
        return account(served.sandbox).witness, watch.late_s


class _Watch:
    """How late this process, in which the vendor is played, was at most."""

    late_s = 0.0

    async def look(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            await asyncio.sleep(LOOK_S)
            self.late_s = max(self.late_s, loop.time() - began_s - LOOK_S)


@asynccontextmanager
async def _watch() -> AsyncIterator[_Watch]:
    watch = _Watch()
    looking = asyncio.create_task(watch.look())
    try:
        yield watch
    finally:
        looking.cancel()
