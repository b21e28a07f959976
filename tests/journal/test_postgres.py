"""What only a journal on PostgreSQL has to hold: connections interleaved, sessions that belong to nobody, replicas of
two versions.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import JournalConflict, JournalError, JournalUnavailable
from gateway.journal.admission import admit
from gateway.journal.base import DeadFilter
from gateway.journal.postgres import PostgresJournal, log, settle
from gateway.journal.postgres.filters import Hints
from gateway.journal.postgres.schema import migrations
from gateway.model import Counts, Group, State
from tests import postgres
from tests.journal import databases
from tests.journal.databases import EmptyPostgres
from tests.journal.making import DAY_MS, NOW_MS, Lanehand, accept, by, group, keep_all, offer, opened, row, rules, tried

NO_FILTERS = Hints(None, None, [], [])


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[PostgresJournal]:
    async with opened(EmptyPostgres(tmp_path)) as one:
        assert isinstance(one, PostgresJournal)
        yield one


@pytest.fixture
async def other(journal: PostgresJournal) -> AsyncIterator[PostgresJournal]:
    """Another replica on the same journal."""
    await journal.head()
    async with opened(PostgresJournal(databases.url())) as one:
        assert isinstance(one, PostgresJournal)
        yield one


@pytest.fixture
async def session(journal: PostgresJournal) -> AsyncIterator[Any]:
    """A connection of one's own, whose transactions end when the test says so."""
    await journal.head()
    connection = await asyncpg.connect(databases.url())
    yield connection
    await connection.close()


async def _append(session: Any, one: Group) -> Any:
    return await session.fetchrow(log.ACCEPT, *log.prepare(one).offered(NO_FILTERS))


async def _waits(task: "asyncio.Task[Any]") -> None:
    """The task waits for somebody's lock."""
    await asyncio.sleep(0.1)
    assert not task.done()


# --- connections interleaved -----------------------------------------------------------------------------------------


async def test_an_append_that_waited_for_another_sees_what_that_one_committed(
    journal: PostgresJournal, session: Any
) -> None:
    await accept(journal, 1)
    ending = session.transaction()
    await ending.start()
    await _append(session, group(offer("a"), offer()))
    waiting = asyncio.create_task(journal.append(group(offer("b"), offer("a"))))
    await _waits(waiting)
    assert (await journal.head()).seq == 1
    assert (await journal.read(0)).read_to == 1
    await ending.commit()
    assert [(one.seq, one.duplicate) for one in await waiting] == [(4, False), (2, True)]
    assert [event.seq for event in (await journal.read(1)).events] == [2, 3, 4]


async def test_a_lock_and_a_look_in_one_statement_would_look_at_what_was_there_before(
    journal: PostgresJournal, session: Any
) -> None:
    ending = session.transaction()
    await ending.start()
    await _append(session, group(offer("a")))
    one_statement = journal._db.fetch("SELECT gateway.begin_append(), (SELECT max(first_seq) FROM gateway.batches)")
    waiting = asyncio.create_task(one_statement)
    await _waits(waiting)
    await ending.commit()
    ((_, seen),) = await waiting
    assert seen is None
    assert (await journal.head()).seq == 1


async def test_an_append_that_is_broken_off_leaves_no_gap(journal: PostgresJournal, session: Any) -> None:
    await accept(journal, 1)
    ending = session.transaction()
    await ending.start()
    await _append(session, group(offer("a"), offer("b")))
    waiting = asyncio.create_task(journal.append(group(offer("a"))))
    await _waits(waiting)
    await ending.rollback()
    assert [(one.seq, one.duplicate) for one in await waiting] == [(2, False)]


async def test_a_group_offered_again_while_it_is_still_on_its_way_is_taken_once(
    journal: PostgresJournal, session: Any
) -> None:
    ending = session.transaction()
    await ending.start()
    mine = group(offer("a"), offer("a"), offer())
    await _append(session, mine)
    again = asyncio.create_task(journal.append(mine))
    await _waits(again)
    await ending.commit()
    assert [(one.seq, one.duplicate) for one in await again] == [(1, False), (1, True), (2, False)]
    assert (await journal.head()).seq == 2


async def test_a_reader_misses_nothing_that_two_replicas_append(
    journal: PostgresJournal, other: PostgresJournal
) -> None:
    async def write(one: PostgresJournal) -> None:
        for _ in range(40):
            await accept(one, 3)

    writing = asyncio.gather(write(journal), write(other))
    seen: list[int] = []
    while len(seen) < 240:
        page = await other.read(seen[-1] if seen else 0, limit=7)
        seen += [event.seq for event in page.events]
    await writing
    assert seen == list(range(1, 241))


async def test_replicas_that_settle_one_lane_at_once_never_both_succeed(
    journal: PostgresJournal, other: PostgresJournal
) -> None:
    hand = await Lanehand.on(journal)
    await accept(journal, 1)
    twin = Lanehand(other, hand.lane, hand.lease)
    results = await asyncio.gather(hand.deliver(1, 1), twin.deliver(1, 1), return_exceptions=True)
    assert sorted(type(one).__name__ for one in results) == ["JournalConflict", "Lane"]
    assert (await hand.audited()).booked == Counts(delivered=1)


async def test_a_settle_that_waited_for_the_take_over_of_its_lease_writes_nothing(
    journal: PostgresJournal, session: Any
) -> None:
    hand = await Lanehand.on(journal)
    await accept(journal, 1)
    ending = session.transaction()
    await ending.start()
    await session.execute("UPDATE gateway.leases SET owner = 'you', token = token + 1")
    settling = asyncio.create_task(hand.deliver(1, 1))
    await _waits(settling)
    await ending.commit()
    with pytest.raises(JournalConflict, match="no longer held"):
        await settling
    assert (await journal.lanes())[0].counts == Counts()


async def test_what_an_operator_changed_since_the_lane_was_read_is_not_written_over(
    journal: PostgresJournal, other: PostgresJournal
) -> None:
    hand = await Lanehand.on(journal)
    await accept(journal, 3)
    await hand.settle(1, parked=[row(1, state=State.DEAD)])
    await other.change_lane(hand.lane.id, by("pause"))
    (letter,) = [one async for one in other.dead(DeadFilter())]
    assert await other.discard(DeadFilter(), by("discard")) == 1
    lane = await hand.settle(2, counts=Counts(delivered=1), attempts=[tried(2)])
    assert (lane.paused, lane.counts) == (True, Counts(delivered=1, discarded=1))
    assert letter.row.seq == 1
    assert (await hand.audited()).balanced


async def test_a_batch_is_not_removed_under_a_lane_that_was_registered_meanwhile(
    journal: PostgresJournal, other: PostgresJournal, session: Any
) -> None:
    await accept(journal, 2)
    await accept(journal, 1, received_at_ms=NOW_MS + DAY_MS)
    ending = session.transaction()
    await ending.start()
    await session.execute("SELECT gateway.register('[]')")
    await session.execute("SELECT gateway.begin_lane('shop', 'crm', 'rpl_1', 0, 3)")
    keeping = asyncio.create_task(other.keep(rules(NOW_MS + 2 * DAY_MS, keep_ms=DAY_MS)))
    await _waits(keeping)
    await ending.commit()
    assert (await keeping).events == 0
    assert len((await journal.read(0)).events) == 3


async def test_a_table_of_identities_that_somebody_reads_is_dropped_later_and_holds_nobody(
    journal: PostgresJournal, session: Any
) -> None:
    await journal.append(group(offer("old")))
    await journal.append(group(offer("new", received_at_ms=NOW_MS + 20 * DAY_MS)))
    dump = session.transaction()
    await dump.start()
    await session.fetch("SELECT * FROM gateway.identities_1")
    wanted = rules(NOW_MS + 40 * DAY_MS, identities_ms=7 * DAY_MS)
    assert (await keep_all(journal, wanted)).identities == 0
    await accept(journal, 1)
    await dump.rollback()
    assert (await keep_all(journal, wanted)).identities == 1
    assert await session.fetchval("SELECT to_regclass('gateway.identities_1')") is None


# --- sessions that belong to nobody ----------------------------------------------------------------------------------


async def test_nothing_is_left_in_a_session(journal: PostgresJournal) -> None:
    hand = await Lanehand.on(journal)
    await journal.append(group(offer("a")))
    await journal.append(group(offer("a")))
    await hand.deliver(1, 1)
    await journal.audit()
    for connections in (journal._db, journal._desk):
        async with connections.one(5) as connection:
            kept = await connection.fetch("SELECT statement FROM pg_prepared_statements WHERE name <> ''")
            assert {row[0] for row in kept} <= {log.ACCEPT, settle.BOTH}
            assert await connection.fetchval("SHOW lock_timeout") == "0"
            held = "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'"
            assert await connection.fetchval(held) == 0


async def test_a_server_that_would_acknowledge_before_it_has_flushed_is_overruled(
    journal: PostgresJournal, session: Any
) -> None:
    hand = await Lanehand.on(journal)
    for statement, values in (
        (log.ACCEPT, log.prepare(group(offer("a"))).offered(NO_FILTERS)),
        (log.ACCEPT, log.prepare(group(offer("a"))).offered(NO_FILTERS)),
        ("SELECT gateway.intend($1, 'me', 1, '{}', '{}', '{}')", (hand.lease.account,)),
        ("SELECT gateway.change('{}')", ()),
        ("SELECT gateway.register('[]')", ()),
    ):
        async with session.transaction():
            await session.execute("SET LOCAL synchronous_commit = off")
            await session.fetch(statement, *values)
            assert await session.fetchval("SHOW synchronous_commit") == "on", statement


async def test_what_is_answered_from_what_is_there_waits_for_a_commit_as_well(
    journal: PostgresJournal, session: Any
) -> None:
    first = group(offer("a"))
    await journal.append(first)
    for again in (first, group(offer("a"))):
        async with session.transaction():
            await _append(session, again)
            assert await session.fetchval("SELECT pg_current_xact_id_if_assigned()") is not None


# --- hearing ---------------------------------------------------------------------------------------------------------


async def test_another_replicas_commit_is_heard_of_at_once(journal: PostgresJournal, other: PostgresJournal) -> None:
    times_s = []
    for number in range(5):
        waiting = asyncio.create_task(other.wait(await other.head(), 30))
        await asyncio.sleep(0.1)
        await accept(journal, 1)
        begun = asyncio.get_running_loop().time()
        assert (await waiting).seq == number + 1
        times_s.append(asyncio.get_running_loop().time() - begun)
    assert min(times_s) < 0.05


async def test_an_operators_change_in_another_replica_is_heard_of(
    journal: PostgresJournal, other: PostgresJournal
) -> None:
    hand = await Lanehand.on(journal)
    seen = await other.head()
    waiting = asyncio.create_task(other.wait(seen, 30))
    await asyncio.sleep(0.2)
    await journal.change_lane(hand.lane.id, by("pause"))
    async with asyncio.timeout(0.5):
        assert (await waiting).operations > seen.operations


async def test_a_notification_that_is_lost_costs_a_second_at_most(
    journal: PostgresJournal, other: PostgresJournal, session: Any
) -> None:
    seen = await other.head()
    waiting = asyncio.create_task(other.wait(seen, 30))
    await asyncio.sleep(0.2)
    listening = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ '^LISTEN|^SELECT 1' AND datname = $1"
    )
    assert await session.fetch(listening, databases.NAME)
    await accept(journal, 1)
    async with asyncio.timeout(1.5):
        assert (await waiting).seq == 1


async def test_a_journal_that_waits_asks_next_to_nothing(other: PostgresJournal, session: Any) -> None:
    waiting = asyncio.create_task(other.wait(await other.head(), 30))
    await asyncio.sleep(0.3)
    count = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = $1"
    await session.execute("SELECT pg_stat_force_next_flush()")
    before = await session.fetchval(count, databases.NAME)
    await asyncio.sleep(1.2)
    assert await session.fetchval(count, databases.NAME) - before <= 15
    waiting.cancel()


# --- the schema ------------------------------------------------------------------------------------------------------


async def _database(name: str) -> str:
    await databases.make(name)
    return postgres.database_url(name)


async def test_replicas_that_open_a_new_database_at_once_all_succeed() -> None:
    url = await _database(f"{databases.NAME}_new")
    journals = [PostgresJournal(url) for _ in range(4)]
    await asyncio.gather(*(one.open() for one in journals))
    await accept(journals[0], 1)
    assert [(await one.head()).seq for one in journals] == [1] * 4
    for one in journals:
        await one.close()


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [step.number for step in migrations()] == list(range(1, len(migrations()) + 1))


async def test_a_journal_of_an_older_version_is_migrated_forward_and_keeps_what_it_has() -> None:
    url = await _database(f"{databases.NAME}_older")
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE SCHEMA gateway")
    await connection.execute("CREATE TABLE gateway.migrations (number integer PRIMARY KEY, name text NOT NULL)")
    for step in migrations()[:4]:
        await connection.execute(step.sql)
        await connection.execute("INSERT INTO gateway.migrations VALUES ($1, $2)", step.number, step.name)
    values = log.prepare(group(offer("a"), offer("b"), offer("c"))).offered(NO_FILTERS)[:10]
    await connection.fetch("SELECT gateway.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)", *values)
    async with opened(PostgresJournal(url)) as newer:
        assert (await newer.head()).seq == 3
        receipts = await newer.append(group(offer("b"), offer("d")))
        assert [(one.seq, one.duplicate) for one in receipts] == [(2, True), (4, False)]
    found = await connection.fetch("SELECT number, name FROM gateway.migrations ORDER BY number")
    assert [tuple(row) for row in found] == [(step.number, step.name) for step in migrations()]
    await connection.close()


async def test_an_older_replica_works_on_a_newer_schema(journal: PostgresJournal, session: Any) -> None:
    await session.execute("INSERT INTO gateway.migrations VALUES (999, 'from_the_future')")
    try:
        async with opened(PostgresJournal(databases.url())) as older:
            await accept(older, 1)
            assert (await journal.head()).seq == 1
    finally:
        await session.execute("DELETE FROM gateway.migrations WHERE number = 999")


async def test_the_schema_of_another_application_is_refused_and_left_alone() -> None:
    url = await _database(f"{databases.NAME}_foreign")
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE SCHEMA gateway CREATE TABLE customers (id integer)")
    journal = PostgresJournal(url)
    with pytest.raises(JournalError, match="another application"):
        await journal.open()
    await journal.close()
    assert await connection.fetchval("SELECT count(*) FROM pg_class WHERE relnamespace = 'gateway'::regnamespace") == 1
    await connection.close()


async def test_a_schema_that_was_made_for_the_gateway_is_enough() -> None:
    url = await _database(f"{databases.NAME}_made")
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE SCHEMA gateway")
    await connection.close()
    async with opened(PostgresJournal(url)) as journal:
        await accept(journal, 1)


async def test_a_database_that_is_not_there_is_unavailable() -> None:
    journal = PostgresJournal(postgres.database_url("nobody_made_this"))
    with pytest.raises(JournalUnavailable, match="does not exist"):
        await journal.open()
    await journal.close()


async def test_a_closed_journal_says_so(journal: PostgresJournal) -> None:
    await journal.close()
    with pytest.raises(JournalUnavailable, match="closed"):
        await accept(journal, 1)


async def test_a_copy_is_not_the_journals_business(journal: PostgresJournal) -> None:
    with pytest.raises(JournalError, match="pg_dump"):
        await journal.backup("copy.db")


# --- text that PostgreSQL would not take -----------------------------------------------------------------------------


async def test_a_nul_in_what_vendors_and_operators_say_does_no_harm(journal: PostgresJournal) -> None:
    hand = await Lanehand.on(journal)
    await accept(journal, 1)
    said = row(1, "order:\0", State.DEAD, channel="a\0b", detail="no\0 thing", answer=b"\0")
    await hand.settle(1, parked=[said])
    (letter,) = [one async for one in journal.dead(DeadFilter())]
    assert letter.row == said
    assert await journal.discard(DeadFilter(), by("discard", subject="\0\udcff")) == 1


# --- one judge, two languages ----------------------------------------------------------------------------------------

OFFERS = st.lists(
    st.tuples(
        st.sampled_from(["", "a", "b", "c"]), st.sampled_from(["shop", "erp"]), st.integers(0, 9), st.integers(0, 5)
    ),
    max_size=9,
)


def test_the_database_judges_a_group_as_the_other_engines_do(tmp_path: Path) -> None:
    numbers = iter(range(1_000_000))

    async def play(groups: list[list[tuple[str, str, int, int]]]) -> None:
        async with opened(EmptyPostgres(tmp_path / str(next(numbers)))) as journal:
            known: dict[Any, Any] = {}
            for drawn in groups:
                offers = [
                    offer(name, source, received_at_ms=NOW_MS + at * DAY_MS, identity_window_ms=window * DAY_MS)
                    for name, source, at, window in drawn
                ]
                one = group(*offers)
                admitted = admit(offers, known, (await journal.head()).seq, one.id)
                known |= admitted.identities
                assert await journal.append(one) == admitted.receipts
                assert await journal.append(one) == admitted.receipts or not admitted.offers
            told = (await journal.read(0)).events
            assert [event.seq for event in told] == list(range(1, len(told) + 1))

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(OFFERS, max_size=4))
    def hold(groups: list[list[tuple[str, str, int, int]]]) -> None:
        asyncio.run(play(groups))

    hold()


# --- the vacuum has nothing to do ------------------------------------------------------------------------------------


async def test_what_changes_with_every_settle_lies_in_no_index_and_has_room_on_its_page(session: Any) -> None:
    """So that an update writes no index and its page is tidied by the next one, without a vacuum (heap-only tuples)."""
    found = await session.fetch(
        "SELECT c.relname, c.reloptions, array_agg(DISTINCT a.attname::text) FROM pg_class c"
        " JOIN pg_index i ON i.indrelid = c.oid JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)"
        " WHERE c.relnamespace = 'gateway'::regnamespace AND c.relname IN ('lanes', 'leases', 'meta') GROUP BY 1, 2"
    )
    assert {name: set(indexed) for name, _, indexed in found} == {
        "lanes": {"id", "source", "destination", "kind"},
        "leases": {"account"},
        "meta": {"key"},
    }
    assert {tuple(options) for _, options, _ in found} == {("fillfactor=50",)}
