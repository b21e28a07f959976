"""`kill -9` under load: of everything at once, and of one process while the others go on.

Everything that was acknowledged arrives; only what was in flight goes again, under the same idempotency key.
"""

import os
import random
import sys
import time
from pathlib import Path

import pytest

from gateway.journal.sqlite import SqliteJournal
from gateway.sandbox.server import Sandbox
from tests.whole.running import Gateway, account, played, rules_broken, until
from tests.whole.traffic import IN_FLIGHT_MAX, Arrivals, Traffic, people

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("GATEWAY_TEST_ROUNDS", "10"))
"""How often everything is killed: more of it by hand, as GATEWAY_TEST_ROUNDS=200."""
LIVES = 8
RESTART_S = 12.0
"""A bound for a machine that is busy with other things; alone it takes about two seconds."""


async def test_everything_acknowledged_survives_kills_of_all_processes(tmp_path: Path) -> None:
    chance = random.Random(20)
    kills_ms: list[int] = []
    async with played(tmp_path) as (gateway, served), Traffic(gateway.hook) as traffic:
        arrivals = Arrivals(served.sandbox)
        for round_ in range(ROUNDS):
            await gateway.start()
            if round_ % 4 == 3:
                await _for(chance.uniform(0.3, 2.0))
            else:
                await gateway.ready(RESTART_S)
                await _for(chance.uniform(0.0, 0.8))
            kills_ms.append(_now_ms())
            await gateway.kill_all()
            arrivals.look()
            await _balances(gateway)

        async with arrivals.watched():
            await gateway.up()
            await traffic.finish()
            await gateway.settled()
        await _all_is_well(gateway, served.sandbox, traffic, arrivals, kills_ms)
        assert len(arrivals.again()) < len(kills_ms) * IN_FLIGHT_MAX


async def test_a_process_that_is_killed_alone_is_started_again_and_the_others_go_on(tmp_path: Path) -> None:
    chance = random.Random(30)
    kills_ms: list[int] = []
    async with played(tmp_path) as (gateway, served), Traffic(gateway.hook) as traffic:
        arrivals = Arrivals(served.sandbox)
        for _ in range(LIVES):
            await gateway.start()
            await gateway.ready(RESTART_S)
            before = gateway.children()
            assert all(_is_forked(gateway, pid) for pid in before.values())
            await _for(chance.uniform(0.0, 0.4))
            kills_ms.append(_now_ms())
            gateway.kill("dispatcher")
            await _for(chance.uniform(0.0, 0.4))
            gateway.kill("receiver")
            await _started_again(gateway, before)
            await gateway.ready(RESTART_S)
            assert not any(_is_forked(gateway, pid) for pid in gateway.children().values())
            arrivals.look()
            await _for(chance.uniform(0.0, 0.2))
            kills_ms.append(_now_ms())
            gateway.kill("parent")
            await gateway.ended()

        async with arrivals.watched():
            await gateway.up()
            await traffic.finish()
            await gateway.settled()
        await _all_is_well(gateway, served.sandbox, traffic, arrivals, kills_ms)
        assert len(gateway.lines("child.died", ever=True)) >= LIVES * 2


async def test_a_dispatcher_that_keeps_dying_never_stops_the_receiver(tmp_path: Path) -> None:
    async with played(tmp_path) as (gateway, served):
        await gateway.up()
        async with Traffic(gateway.hook) as traffic:
            for _ in range(2):
                await traffic.more(20)
                before = gateway.children()
                gateway.kill("dispatcher")
                await traffic.more(40)
                await _started_again(gateway, {"dispatcher": before["dispatcher"]})
            await traffic.finish()
        await gateway.settled()

        assert set(traffic.statuses) == {200}
        assert set(account(served.sandbox).witness.received) == people(traffic.sent)
        await gateway.balanced()


async def _all_is_well(
    gateway: Gateway, sandbox: Sandbox, traffic: Traffic, arrivals: Arrivals, kills_ms: list[int]
) -> None:
    arrivals.look()
    assert len(traffic.acknowledged) == traffic.sent > ROUNDS
    assert traffic.restless == set()
    assert set(traffic.statuses) <= {0, 200, 503}
    assert set(arrivals.keys) == set(traffic.acknowledged.values())
    assert {event: keys for event, keys in arrivals.keys.items() if len(keys) != 1} == {}
    assert arrivals.unexplained(kills_ms) == {}
    held = account(sandbox)
    assert set(held.witness.received) == people(traffic.sent)
    assert rules_broken(sandbox) == {}
    rows = await gateway.balanced()
    assert {name: row["delivered"] for name, row in rows.items()} == dict.fromkeys(rows, traffic.sent)
    assert gateway.failures() == []


def _is_forked(gateway: Gateway, pid: int) -> bool:
    """Whether it has its parent's command line: what a program is started with is its own."""
    if sys.platform != "linux":
        pytest.skip("nothing is forked here")
    lines = [Path(f"/proc/{one}/cmdline").read_bytes() for one in (pid, gateway.pid("parent"))]
    return lines[0] == lines[1]


async def _started_again(gateway: Gateway, before: dict[str, int]) -> None:
    """Wait until all these have been started anew."""
    await until(lambda: not set(before.values()) & set(gateway.children().values()), "they are started again")


async def _balances(gateway: Gateway) -> None:
    """The books as the dead left them. A journal that was never made balances."""
    if not gateway.database.exists():
        return
    journal = SqliteJournal(gateway.database)
    try:
        assert [row.why for row in await journal.audit() if not row.balanced] == []
    finally:
        await journal.close()


async def _for(seconds: float) -> None:
    """Let a random moment pass: when the blow falls is chance, not a condition."""
    until_s = time.monotonic() + seconds
    await until(lambda: time.monotonic() >= until_s, "time passes")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
