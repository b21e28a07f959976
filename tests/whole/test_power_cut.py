"""The power goes: of what the gateway wrote, only what it synced is sure to be there.

A gateway runs under traffic on a disk that remembers; the record is then cut at random moments, and what the disk may
hold at each is opened as a journal. `GATEWAY_TEST_CUTS` asks for more of them, `GATEWAY_TEST_SEED` for others.
"""

import json
import os
import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from gateway.errors import JournalError
from gateway.journal.sqlite import SqliteJournal
from gateway.sandbox.faults import Fault as Trouble
from gateway.sandbox.server import Sandbox
from tests.whole import disk
from tests.whole.disk import Faults
from tests.whole.power_cut import cuts
from tests.whole.running import Gateway, Told, played, until
from tests.whole.traffic import Arrivals, Traffic

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not disk.available(), reason="this Python's SQLite is built in where no test can reach it"),
]

CUTS = int(os.environ.get("GATEWAY_TEST_CUTS", "40"))
SEED = int(os.environ.get("GATEWAY_TEST_SEED", "0")) or random.randrange(1, 1_000_000)
EVENTS = 450


class Noting(Traffic):
    """Traffic that notes how much of the disk's record there was when each event was acknowledged."""

    def __init__(self, url: str, record: Path) -> None:
        super().__init__(url, pause_s=0.0)
        self.noted: dict[str, int] = {}
        self._record = record

    def heard(self, told: Told) -> None:
        self.noted.setdefault(told.id, self._record.stat().st_size)

    def before(self, moment: int) -> set[str]:
        """The events that were acknowledged before a moment of the record."""
        return {event for event, at in self.noted.items() if at <= moment}


async def test_after_a_power_cut_everything_acknowledged_is_there_and_the_books_balance(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    print(f"GATEWAY_TEST_SEED={SEED}")  # noqa: T201  pytest shows it when the test fails
    async with remembered(tmp_path) as (gateway, sandbox, record, faults):
        traffic = await _busy(gateway, sandbox, record, faults)
        arrivals = Arrivals(sandbox)
        arrivals.look()
        happened = record.read_bytes()
        for number, (moment, platter) in enumerate(cuts(happened, CUTS, chance)):
            folder = tmp_path / f"cut-{number}"
            folder.mkdir()
            way = platter.cut(folder, gateway.database.name)
            missing = traffic.before(moment) - await _found(folder / gateway.database.name)
            assert not missing, f"cut at {moment}, {way} of what was not synced: {len(missing)} are gone"

        async with again(folder, gateway) as other:
            await other.up()
            await other.settled()
            arrivals.look()
            assert traffic.before(moment) <= set(arrivals.keys)
            assert {event: keys for event, keys in arrivals.keys.items() if len(keys) != 1} == {}
            await other.balanced()
            assert other.failures() == []
        assert await _losses(gateway, traffic, happened, tmp_path, chance) > 3


async def _losses(gateway: Gateway, traffic: Noting, record: bytes, folder: Path, chance: random.Random) -> int:
    """At how many of twelve moments something would be lost on a disk that only says that it has synced."""
    lost = 0
    for number, (moment, platter) in enumerate(cuts(record, 12, chance, heeds_syncs=False)):
        unsynced = folder / f"unsynced-{number}"
        unsynced.mkdir()
        platter.cut(unsynced, gateway.database.name)
        try:
            found = await _found(unsynced / gateway.database.name)
        except (AssertionError, JournalError, sqlite3.DatabaseError):
            found = set()
        lost += not traffic.before(moment) <= found
    return lost


@asynccontextmanager
async def remembered(folder: Path) -> AsyncIterator[tuple[Gateway, Sandbox, Path, Faults]]:
    """A gateway on a disk that remembers, not started yet; the disk's record and its faults."""
    record, faults = folder / "record", Faults(folder / "fault")
    async with played(folder) as (gateway, served):
        gateway.environment = disk.environment(gateway.database, record, faults.path)
        yield gateway, served.sandbox, record, faults


@asynccontextmanager
async def again(folder: Path, before: Gateway) -> AsyncIterator[Gateway]:
    """A gateway with the same settings on what a power cut has left in a folder."""
    gateway = Gateway(folder, {}, folder / before.database.name)
    settings = json.loads(before.config.read_text())
    settings["journal"]["url"] = f"sqlite:///{gateway.database}"
    gateway.config.write_text(json.dumps(settings))
    gateway.receiver_url, gateway.admin_url, gateway.hook = before.receiver_url, before.admin_url, before.hook
    try:
        yield gateway
    finally:
        await gateway.end()


async def _busy(gateway: Gateway, sandbox: Sandbox, record: Path, faults: Faults) -> Noting:
    """Events come and go, some are parked, syncs fail for a while, and the gateway is stopped and started again."""
    async with Noting(gateway.hook, record) as traffic:
        await gateway.up()
        await traffic.more(EVENTS // 3)
        sandbox.faults.order(Trouble(path="/sink*", fault="status", status=500, rate=0.2))
        await traffic.more(EVENTS // 3)
        assert await gateway.stop() == 0
        await gateway.up()
        faults.order(disk.Fault.sync_error)
        await until(lambda: traffic.statuses[503] > 20, "requests are turned away")
        faults.order(disk.Fault.none)
        await traffic.more(EVENTS // 3)
        sandbox.faults.clear()
        await traffic.finish()
    assert await gateway.stop() == 0
    return traffic


async def _found(database: Path) -> set[str]:
    """The events that a journal holds when the power is back; it opens, is whole, and its books balance."""
    journal = SqliteJournal(database)
    try:
        await journal.open()
        with closing(sqlite3.connect(database)) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert [row.why for row in await journal.audit() if not row.balanced] == []
        return {event.id for event in (await journal.read(0, limit=1_000_000, limit_bytes=1 << 30)).events}
    finally:
        await journal.close()
