"""A replay beside live traffic, and the dispatcher killed in the middle of it."""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.journal.sqlite import SqliteJournal
from tests.whole.payloads import person
from tests.whole.running import Gateway, Letter, account, configuration, played, post_all, rules_broken, until
from tests.whole.traffic import Arrivals, Traffic, people

pytestmark = pytest.mark.slow

PEOPLE = 40
FIRST = 100_000
"""The number of the first of them: live traffic has the low ones."""
PACE = {"limits": [{"allow": 30, "per": "1s"}]}


def paced(sandbox_url: str) -> dict[str, Any]:
    """A sink that takes its time, so that there is a middle."""
    return configuration(sandbox_url, sink=PACE)


def letters() -> list[Letter]:
    """Each customer signs up, and is changed later."""
    new = [person(FIRST + number) for number in range(PEOPLE)]
    changed = [Letter("customers/update", one.body, f"{one.event}-b", f"{one.delivery}-b") for one in new]
    return [*new, *changed]


async def test_a_replay_beside_live_traffic_survives_the_kill_of_its_dispatcher(tmp_path: Path) -> None:
    async with played(tmp_path, paced) as (gateway, served):
        await gateway.up()
        arrivals = Arrivals(served.sandbox)
        ids = [told.id for told in await post_all(gateway.hook, letters())]
        await gateway.settled()
        arrivals.look()
        assert {name: len(arrivals.keys[name]) for name in ids} == dict.fromkeys(ids, 1)

        before = datetime.now(UTC).isoformat()
        async with Traffic(gateway.hook, senders=2, pause_s=0.25) as traffic:
            replaying = asyncio.create_task(gateway.command("replay", "--to", before, "--wait"))
            await until(lambda: _settled(gateway, 15), "the replay is in its middle")
            killed_ms = time.time_ns() // 1_000_000
            gateway.kill("dispatcher")
            code, replay = await replaying
            await traffic.finish()
        await gateway.settled()
        arrivals.look()

        assert (code, replay["status"], replay["dead"]) == (0, "done", 0)
        lanes = {lane["destination"]: lane for lane in replay["lanes"]}
        assert all(lane["settled"] == lane["total"] for lane in lanes.values())
        assert [lanes["ometria"][name] for name in ("superseded", "delivered")] == [PEOPLE, PEOPLE]
        assert lanes["sink"]["delivered"] + lanes["sink"]["superseded"] == len(ids)
        again = [name for name in ids if len(arrivals.keys[name]) == 2]
        assert len(again) == lanes["sink"]["delivered"]
        assert all(len(arrivals.keys[name]) <= 2 for name in ids)
        assert all(len(arrivals.keys[name]) == 1 for name in traffic.acknowledged.values())
        assert arrivals.unexplained([killed_ms]) == {}
        assert set(account(served.sandbox).witness.received) >= people(traffic.sent)
        assert rules_broken(served.sandbox) == {}
        code, books = await gateway.command("audit")
        assert (code, books["balanced"], len(books["lanes"])) == (0, True, 4)
        assert gateway.failures() == []


async def _settled(gateway: Gateway, number: int) -> bool:
    """Whether the replay's lane to the sink has come so far, and is not over."""
    journal = SqliteJournal(gateway.database)
    try:
        lanes = [lane for lane in await journal.lanes() if lane.kind != "live" and lane.destination == "sink"]
        assert all(lane.counts.delivered < 2 * PEOPLE for lane in lanes), "it was over before it was looked at"
        return any(lane.counts.delivered >= number for lane in lanes)
    finally:
        await journal.close()
