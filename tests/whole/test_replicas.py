"""Many replicas on one PostgreSQL: two receivers and two dispatchers, each a `gateway serve` of its own, some of which
die.
"""

import os
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from gateway import app
from gateway.deliver.lease import PRESENCE
from gateway.sandbox.server import Sandbox, serving
from tests import postgres
from tests.journal.databases import make
from tests.whole.payloads import person
from tests.whole.running import Gateway, account, configuration, played, post, rules_broken, until
from tests.whole.traffic import Arrivals, Traffic, people

pytestmark = [pytest.mark.slow, pytest.mark.alone]

TAKEN_OVER_S = 60.0
"""A lease that stands still is taken after 12 s; the rest is a busy machine's."""
BUSY_S = 5.0
"""What a busy machine may be late."""
SENDERS = 4

Replicas = tuple[list[Gateway], list[Gateway], Sandbox]


@pytest.fixture
async def replicas(tmp_path: Path) -> AsyncIterator[Replicas]:
    """Two receivers and two dispatchers on one database, ready. Their configurations differ in the ports alone, and are
    one revision.
    """
    name = f"replicas_{os.getpid()}_{tmp_path.name[-4:]}"
    await make(name)
    async with serving("127.0.0.1:0") as served:
        told = {"journal": {"url": postgres.database_url(name)}}
        settings = {**configuration(served.url), **told}
        receivers, dispatchers = ([_replica(tmp_path / f"{role}{n}", settings) for n in (1, 2)] for role in "rd")
        try:
            for role, ones in (("receiver", receivers), ("dispatcher", dispatchers)):
                for one in ones:
                    await one.start("--role", role)
            for one in (*receivers, *dispatchers):
                await one.ready()
            yield receivers, dispatchers, served.sandbox
        finally:
            for one in (*receivers, *dispatchers):
                await one.end()


def _replica(folder: Path, settings: dict[str, object]) -> Gateway:
    folder.mkdir()
    return Gateway(folder, settings)


async def test_every_event_acknowledged_by_any_replica_arrives_whoever_dies(replicas: Replicas) -> None:
    receivers, dispatchers, sandbox = replicas
    arrivals = Arrivals(sandbox)
    one, other = (Traffic(receiver.hook, SENDERS) for receiver in receivers)
    async with one, other:
        await one.more(60)
        await other.more(60)
        await dispatchers[0].kill_all()
        await receivers[0].kill_all()
        await other.more(60)
        await receivers[0].start("--role", "receiver")
        await one.more(60)
        await dispatchers[0].start("--role", "dispatcher")
        await one.finish()
        await other.finish()

    await receivers[1].settled(within_s=TAKEN_OVER_S)
    arrivals.look()
    sent = max(one.sent, other.sent)
    shared = one.acknowledged.keys() & other.acknowledged.keys()
    assert shared
    assert {n for n in shared if one.acknowledged[n] != other.acknowledged[n]} == set()
    assert one.restless | other.restless == set()
    acknowledged = {*one.acknowledged.values(), *other.acknowledged.values()}
    assert len(acknowledged) == sent
    assert set(arrivals.keys) == acknowledged
    assert {event: keys for event, keys in arrivals.keys.items() if len(keys) != 1} == {}
    assert set(account(sandbox).witness.received) == people(sent)
    assert rules_broken(sandbox) == {}
    for replica in (receivers[1], dispatchers[1]):
        rows = await replica.balanced()
        assert {name: row["delivered"] for name, row in rows.items()} == dict.fromkeys(rows, sent)
    assert [line for replica in (*receivers, *dispatchers) for line in replica.failures()] == []


async def test_dispatchers_that_are_stopped_let_go_of_their_accounts(replicas: Replicas) -> None:
    receivers, dispatchers, sandbox = replicas
    async with Traffic(receivers[1].hook, senders=2) as traffic:
        await traffic.more(20)
        assert await dispatchers[1].stop() == 0
        await traffic.more(20)
        await traffic.finish()
    await receivers[0].settled()
    assert await dispatchers[0].stop() == 0
    assert set(account(sandbox).witness.received) == people(traffic.sent)
    journal = app.open_journal(receivers[0].journal_url)
    leases = await journal.leases()
    await journal.close()
    assert {lease.owner for lease in leases} == {""}
    await receivers[0].balanced()


async def test_dispatchers_share_the_accounts_and_take_over_from_one_that_stands_still(replicas: Replicas) -> None:
    receivers, dispatchers, sandbox = replicas
    journal = app.open_journal(receivers[0].journal_url)

    async def serving_are(number: int) -> bool:
        held = [lease.owner for lease in await journal.leases() if not lease.account.startswith(PRESENCE)]
        return all(held) and len(held) == 2 and len(set(held)) == number

    try:
        await until(lambda: serving_are(2), "each serves one of the two accounts")
        dispatchers[0].kill("dispatcher", signal.SIGSTOP)
        await until(lambda: serving_are(1), "one serves both", within_s=15.0 + BUSY_S)
        dispatchers[0].kill("dispatcher", signal.SIGCONT)
        async with Traffic(receivers[1].hook, senders=2) as traffic:
            await until(lambda: serving_are(2), "each serves one again")
            await traffic.more(20)
            await traffic.finish()
    finally:
        await journal.close()
    await receivers[0].settled()
    assert set(account(sandbox).witness.received) == people(traffic.sent)
    assert rules_broken(sandbox) == {}
    await receivers[0].balanced()
    assert [line for replica in (*receivers, *dispatchers) for line in replica.failures()] == []


async def test_a_database_that_goes_away_is_a_503_and_everything_goes_on_when_it_is_back(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="gateway-pg-") as folder, postgres.started(Path(folder)) as server:
        url = server.url_of("postgres")
        async with (
            played(tmp_path, lambda sandbox: {**configuration(sandbox), "journal": {"url": url}}) as (gateway, served),
            Traffic(gateway.hook, SENDERS) as traffic,
        ):
            await gateway.up()
            await traffic.more(20)
            server.kill()
            refused = traffic.statuses[503] + 10
            await until(lambda: traffic.statuses[503] >= refused, "it is refused meanwhile")
            async with aiohttp.ClientSession() as session:
                told = await post(session, gateway.hook, person(1_000_000))
            assert (told.status, told.body["cause"]) == (503, "journal_unavailable")
            assert int(told.headers["retry-after"]) > 0
            server.start()
            await gateway.ready()
            await traffic.more(20)
            await traffic.finish()
            await gateway.settled()
            assert set(traffic.statuses) <= {0, 200, 503}
            assert people(traffic.sent) <= set(account(served.sandbox).witness.received)
            await gateway.balanced()
            assert gateway.failures() == []
