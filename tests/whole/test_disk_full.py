"""A disk that fills up while events come in, and has room again.

The disk is played by the kernel's limit on the size of files (RLIMIT_FSIZE), set on the running processes and lifted
again: it needs neither root nor a mount, and every write beyond it fails, the log's and the metrics' too.
"""

import resource
import sqlite3
from pathlib import Path

import aiohttp
import pytest

from gateway.sandbox.server import Sandbox
from tests.whole.payloads import name_of_person, person
from tests.whole.running import Gateway, Told, account, played, post, post_all, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits a process that runs"),
]

BEFORE, DURING, AFTER = range(50), range(1_000, 1_300), range(2_000, 2_050)


async def test_a_full_disk_is_503_with_retry_after_and_service_resumes_by_itself(tmp_path: Path) -> None:
    async with played(tmp_path) as (gateway, served):
        await gateway.up()
        before = await post_all(gateway.hook, [person(number) for number in BEFORE])
        await gateway.settled()
        processes = [gateway.pid(role) for role in ("parent", "receiver", "dispatcher")]

        _fill(gateway, processes)
        during = await post_all(gateway.hook, [person(number) for number in DURING])
        refused = {number: told for number, told in zip(DURING, during, strict=True) if told.status != 200}
        taken = {number for number, told in zip(DURING, during, strict=True) if told.status == 200}
        assert refused, "the disk never got full"
        assert {told.status for told in refused.values()} == {503}
        assert all(int(told.headers["retry-after"]) > 0 for told in refused.values())
        assert {told.body["cause"] for told in refused.values()} <= {"journal_unavailable", "overloaded"}
        await _says_so(gateway)

        _empty(processes)
        await gateway.ready()
        after = await post_all(gateway.hook, [person(number) for number in AFTER])
        again = await post_all(gateway.hook, [person(number) for number in refused])
        await gateway.settled()

        assert {told.status for told in before + after + again} == {200}
        assert _events(gateway) == len(BEFORE) + len(DURING) + len(AFTER)
        assert _names(served.sandbox) == {name_of_person(number) for number in (*BEFORE, *DURING, *AFTER)}
        assert taken <= set(DURING)
        assert [gateway.pid(role) for role in ("parent", "receiver", "dispatcher")] == processes
        await gateway.balanced()
        assert await gateway.stop() == 0
        assert gateway.failures() == []


async def test_what_is_acknowledged_as_the_disk_fills_up_is_on_it(tmp_path: Path) -> None:
    async with played(tmp_path) as (gateway, served):
        await gateway.up()
        processes = [gateway.pid(role) for role in ("parent", "receiver", "dispatcher")]
        _fill(gateway, processes)
        taken = await _until_refused(gateway)
        await gateway.kill_all()

        await gateway.up()
        await gateway.settled()
        known = await post_all(gateway.hook, [person(number) for number in taken])
        assert all(told.duplicate for told in known)
        assert [told.id for told in known] == [told.id for told in taken.values()]
        assert _names(served.sandbox) >= {name_of_person(number) for number in taken}
        await gateway.balanced()


async def _until_refused(gateway: Gateway) -> dict[int, Told]:
    """Send one after the other until the disk is full; those that were taken."""
    taken: dict[int, Told] = {}
    async with aiohttp.ClientSession() as session:
        for number in range(5_000):
            told = await post(session, gateway.hook, person(number))
            if told.status != 200:
                return taken
            taken[number] = told
    raise AssertionError("the disk never got full")


def _fill(gateway: Gateway, processes: list[int]) -> None:
    """From now on no file of these processes grows beyond where the journal's log is now, and a little."""
    largest = max(file.stat().st_size for file in gateway.database.parent.glob("gateway.db*"))
    for pid in processes:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (largest + (64 << 10), resource.RLIM_INFINITY))


def _empty(processes: list[int]) -> None:
    for pid in processes:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


async def _says_so(gateway: Gateway) -> None:
    """`/readyz` tells that it cannot do its work."""
    async with aiohttp.ClientSession() as session:

        async def unready() -> bool:
            async with session.get(f"{gateway.admin_url}/readyz") as answer:
                return answer.status == 503

        await until(unready, "/readyz is 503")


def _events(gateway: Gateway) -> int:
    with sqlite3.connect(gateway.database) as db:
        (count,) = db.execute("SELECT coalesce(sum(count), 0) FROM batches").fetchone()
    db.close()
    return int(count)


def _names(sandbox: Sandbox) -> set[str]:
    return set(account(sandbox).witness.received)
