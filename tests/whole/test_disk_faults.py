"""A disk that fails while events come in, and is well again: errors of writes, syncs and reads, and a file system
that its kernel has made read-only.
"""

from pathlib import Path

import aiohttp
import pytest

from tests.whole import disk
from tests.whole.disk import Fault, Faults
from tests.whole.payloads import person
from tests.whole.running import Gateway, account, played, post, until
from tests.whole.traffic import Arrivals, Traffic, people

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not disk.available(), reason="this Python's SQLite is built in where no test can reach it"),
]


async def test_a_disk_that_fails_is_503_while_it_does_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    faults = Faults(tmp_path / "fault")
    async with played(tmp_path) as (gateway, served):
        arrivals = Arrivals(served.sandbox)
        gateway.environment = disk.environment(gateway.database, fault=faults.path)
        await gateway.up()
        processes = gateway.children()
        async with Traffic(gateway.hook) as traffic:
            await traffic.more(30)
            for fault in (Fault.write_error, Fault.sync_error, Fault.read_error, Fault.read_only, Fault.full):
                faults.order(fault)
                await _refuses(gateway, traffic)
                faults.order(Fault.none)
                await gateway.ready()
                await traffic.more(30)
                arrivals.look()
            await traffic.finish()
        await gateway.settled()

        arrivals.look()
        assert set(traffic.statuses) == {200, 503}
        assert traffic.restless == set()
        assert set(arrivals.keys) == set(traffic.acknowledged.values())
        assert {event: keys for event, keys in arrivals.keys.items() if len(keys) != 1} == {}
        assert set(account(served.sandbox).witness.received) == people(traffic.sent)
        rows = await gateway.balanced()
        assert {name: row["delivered"] for name, row in rows.items()} == dict.fromkeys(rows, traffic.sent)
        assert gateway.children() == processes
        assert await gateway.stop() == 0
        assert gateway.failures() == []


async def _refuses(gateway: Gateway, traffic: Traffic) -> None:
    """Wait until it takes nothing, says when to come again, and calls itself not ready."""
    before = traffic.statuses[503]
    await until(lambda: traffic.statuses[503] > before + 20, "requests are turned away")
    async with aiohttp.ClientSession() as session:
        told = await post(session, gateway.hook, person(1_000_000))
        assert told.status == 503
        assert int(told.headers["retry-after"]) > 0
        assert told.body["cause"] in ("journal_unavailable", "overloaded")

        async def unready() -> bool:
            async with session.get(f"{gateway.admin_url}/readyz") as answer:
                return answer.status == 503

        await until(unready, "/readyz is 503")
