"""A backup that is written under load, and a gateway that goes on from it elsewhere."""

from collections import defaultdict
from pathlib import Path

import pytest

from gateway.journal.sqlite import SqliteJournal
from tests.whole.running import Gateway, account, configuration, played
from tests.whole.traffic import Arrivals, Traffic, people

pytestmark = pytest.mark.slow


async def test_a_gateway_goes_on_from_a_backup_that_was_written_under_load(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    copy = second / "gateway.db"
    async with played(first) as (gateway, served):
        arrivals = Arrivals(served.sandbox)
        await gateway.up()
        async with Traffic(gateway.hook) as before:
            await before.more(100)
            acknowledged = set(before.acknowledged.values())
            code, said = await gateway.command("backup", str(copy))
            assert (code, said["bytes"]) == (0, copy.stat().st_size)
            await before.more(50)
            await before.finish()
        await gateway.settled()
        assert await gateway.stop() == 0
        held = await _held(copy)
        assert acknowledged <= held < set(before.acknowledged.values())

        other = Gateway(second, configuration(served.url), database=copy)
        try:
            await other.up()
            async with Traffic(other.hook) as after:
                await after.more(before.sent + 50)
                await after.finish()
            await other.settled()
            arrivals.look()
            known = {number: event for number, event in before.acknowledged.items() if event in held}
            assert known.items() <= after.acknowledged.items()
            assert set(arrivals.keys) == {*before.acknowledged.values(), *after.acknowledged.values()}
            assert {event: keys for event, keys in arrivals.keys.items() if len(keys) != 1} == {}
            assert _shared(arrivals) == {}
            assert set(account(served.sandbox).witness.received) == people(after.sent)
            await other.balanced()
            assert gateway.failures() + other.failures() == []
        finally:
            await other.end()


async def _held(database: Path) -> set[str]:
    """The events of a journal, whose books balance."""
    journal = SqliteJournal(database)
    try:
        assert [row.why for row in await journal.audit() if not row.balanced] == []
        return {event.id for event in (await journal.read(0, limit=100_000)).events}
    finally:
        await journal.close()


def _shared(arrivals: Arrivals) -> dict[str, set[str]]:
    """Idempotency keys under which more than one event came: a vendor takes the second for the first."""
    events: defaultdict[str, set[str]] = defaultdict(set)
    for event, keys in arrivals.keys.items():
        for key in keys:
            events[key].add(event)
    return {key: those for key, those in events.items() if len(those) > 1}
