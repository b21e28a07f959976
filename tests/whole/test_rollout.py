"""A roll-out: the version before, with its own code, and today's share one journal on PostgreSQL."""

import asyncio
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway import app
from gateway.deliver.lease import PRESENCE
from gateway.sandbox.server import Sandbox, serving
from tests import postgres
from tests.journal.databases import make
from tests.whole.running import Gateway, account, configuration, rules_broken, until
from tests.whole.traffic import Arrivals, Traffic, people

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BEFORE = "af2e3984c8accfce653da9b4dbd8e4708397a693"
"""The last version whose schema is older than today's. A new migration moves it to the commit before its own."""
SENDERS = 2


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A folder with the code of the version before."""
    git = ["git", "-C", str(ROOT), "archive", BEFORE, "gateway"]
    found = subprocess.run(git, capture_output=True, check=False)
    if found.returncode:
        pytest.skip(f"{BEFORE[:7]} is not in this folder's git history: a source archive, or a shallow clone")
    folder = tmp_path / "before"
    with tarfile.open(fileobj=io.BytesIO(found.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
async def replicas(tmp_path: Path, code: Path) -> AsyncIterator[tuple[Gateway, Gateway, Sandbox]]:
    """A replica of the version before and one of today's, not started."""
    name = f"rollout_{os.getpid()}_{tmp_path.name[-4:]}"
    await make(name)
    async with serving("127.0.0.1:0") as served:
        settings: dict[str, Any] = {"journal": {"url": postgres.database_url(name)}, "revision": 1}
        older, newer = (_replica(tmp_path / one, {**configuration(served.url), **settings}) for one in ("old", "new"))
        older.environment = {"PYTHONPATH": str(code), "PYTHONSAFEPATH": "1"}
        try:
            yield older, newer, served.sandbox
        finally:
            await older.end()
            await newer.end()


def _replica(folder: Path, settings: dict[str, Any]) -> Gateway:
    folder.mkdir()
    return Gateway(folder, settings)


def test_the_code_is_that_of_the_version_before(code: Path) -> None:
    asks = "import gateway.journal.postgres.schema as s; print(s.__file__, s.migrations()[-1].number)"
    env = {**os.environ, "PYTHONPATH": str(code), "PYTHONSAFEPATH": "1"}
    said = subprocess.run([sys.executable, "-c", asks], env=env, capture_output=True, check=True, text=True)
    file, newest = said.stdout.split()
    assert file.startswith(str(code))
    today = len(list((ROOT / "gateway" / "journal" / "migrations" / "postgres").glob("*.sql")))
    assert int(newest) == today - 1


async def test_the_version_before_goes_on_beside_todays_and_nothing_is_lost_or_taken_twice(
    replicas: tuple[Gateway, Gateway, Sandbox],
) -> None:
    older, newer, sandbox = replicas
    arrivals = Arrivals(sandbox)
    await older.up()
    one, other = Traffic(older.hook, SENDERS), Traffic(newer.hook, SENDERS)
    async with one:
        await one.more(20)
        await _migrate(newer)
        await one.more(20)
        assert await older.stop() == 0
        await asyncio.gather(older.up(), newer.up())
        async with other:
            await until(lambda: _share(newer), "each serves one account")
            for traffic in (one, other):
                await traffic.more(20)
            for traffic in (one, other):
                await traffic.finish()
    await newer.settled()
    arrivals.look()
    _same(one, other)
    acknowledged = {*one.acknowledged.values(), *other.acknowledged.values()}
    assert set(arrivals.keys) == acknowledged
    assert {event: keys for event, keys in arrivals.keys.items() if len(keys) != 1} == {}, "one idempotency key each"
    assert set(account(sandbox).witness.received) == people(max(one.sent, other.sent))
    assert rules_broken(sandbox) == {}
    await newer.balanced()
    assert older.failures() + newer.failures() == []


def _same(one: Traffic, other: Traffic) -> None:
    """What both were sent is one event, whoever took it first."""
    shared = one.acknowledged.keys() & other.acknowledged.keys()
    assert shared
    assert {n for n in shared if one.acknowledged[n] != other.acknowledged[n]} == set()
    assert one.restless | other.restless == set()


async def _migrate(gateway: Gateway) -> None:
    journal = app.open_journal(gateway.journal_url)
    await journal.open()
    await journal.close()


async def _share(gateway: Gateway) -> bool:
    journal = app.open_journal(gateway.journal_url)
    try:
        held = {lease.owner for lease in await journal.leases() if not lease.account.startswith(PRESENCE)}
    finally:
        await journal.close()
    return len(held - {""}) == 2
