"""Processes that are frozen for longer than their lease, with a second dispatcher on the same file: it takes over, and
the one that wakes can settle nothing any more. Only what was in flight comes twice, under the same idempotency key.
"""

import signal
import time
from pathlib import Path

import pytest

from gateway.deliver.lease import TAKE_OVER_S
from gateway.sandbox.faults import Fault
from tests.whole.running import Gateway, account, configuration, played, rules_broken, until
from tests.whole.traffic import IN_FLIGHT_MAX, IN_FLIGHT_MS, Arrivals, Traffic, people

pytestmark = [pytest.mark.slow, pytest.mark.alone]

LATENCY_S = 0.5


@pytest.mark.parametrize("roles", [("dispatcher",), ("receiver", "dispatcher")], ids="+".join)
async def test_one_that_wakes_after_its_lease_is_gone_can_settle_nothing(tmp_path: Path, roles: tuple[str]) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    async with played(first) as (one, served):
        other = Gateway(second, configuration(served.url), database=one.database)
        sandbox = served.sandbox
        arrivals = Arrivals(sandbox)
        sandbox.faults.order(Fault(path="/sink*", fault="latency", latency_s=LATENCY_S))
        try:
            await one.up()
            await other.up("--role", "dispatcher")
            async with Traffic(one.hook, senders=4) as traffic:
                await traffic.more(40)
                await until(lambda: sandbox.sink.witness.requests_under_way > 2, "requests are in flight")
                for role in roles:
                    await one.freeze(role)
                frozen_ms = time.time_ns() // 1_000_000
                await until(
                    lambda: bool(other.lines("account.served")), "the other takes over", within_s=TAKE_OVER_S * 2
                )
                came = sandbox.sink.witness.statuses.total()
                await until(lambda: sandbox.sink.witness.statuses.total() > came, "the other sends")
                for role in roles:
                    one.kill(role, signal.SIGCONT)
                await until(lambda: _knows(one), "the woken one sees that its lease is gone")
                await traffic.more(20)
                await traffic.finish()
            await one.settled()

            arrivals.look()
            again = arrivals.again()
            assert 0 < len(again) < IN_FLIGHT_MAX
            for times_ms in again.values():
                assert len(times_ms) == 2
                assert abs(times_ms[0] - frozen_ms) < IN_FLIGHT_MS
            assert {event: keys for event, keys in arrivals.keys.items() if len(keys) != 1} == {}
            assert set(arrivals.keys) == set(traffic.acknowledged.values())
            assert traffic.restless == set()
            assert set(account(sandbox).witness.received) == people(traffic.sent)
            assert rules_broken(sandbox) == {}
            rows = await one.balanced()
            assert {name: row["delivered"] for name, row in rows.items()} == dict.fromkeys(rows, traffic.sent)
            assert one.failures() + other.failures() == []
        finally:
            await other.end()


def _knows(woken: Gateway) -> bool:
    """Its settle is refused, or its renewal tells it, whichever comes first."""
    return bool(woken.lines("settle.conflict") or woken.lines("lease.lost"))
