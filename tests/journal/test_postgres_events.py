"""Old events on PostgreSQL go by dropping the tables that they lie in; whoever appends or reads does not notice."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from gateway.journal.base import DeadFilter, Keep
from gateway.journal.postgres import PostgresJournal
from gateway.journal.postgres.schema import Migration, migrations
from gateway.model import Counts, State
from tests import postgres
from tests.journal import databases
from tests.journal.databases import EmptyPostgres
from tests.journal.making import (
    DAY_MS,
    HOUR_MS,
    NOW_MS,
    Lanehand,
    accept,
    by,
    group,
    keep_all,
    offer,
    opened,
    row,
    tried,
)
from tests.journal.making import rules as rules_of

KEEP_MS = 8 * DAY_MS
"""A table takes a day."""


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[PostgresJournal]:
    async with opened(EmptyPostgres(tmp_path)) as one:
        assert isinstance(one, PostgresJournal)
        yield one


@pytest.fixture
async def session(journal: PostgresJournal) -> AsyncIterator[Any]:
    await journal.head()
    connection = await asyncpg.connect(databases.url())
    yield connection
    await connection.close()


def rules(day: int, **fields: int | None) -> Keep:
    """What is kept as of a day, and an hour: eight days of events."""
    return rules_of(NOW_MS + day * DAY_MS + HOUR_MS, **{"keep_ms": KEEP_MS} | fields)


async def _days(journal: PostgresJournal, days: range, hand: Lanehand | None = None, number: int = 4) -> None:
    """So many events of each day, in groups of two, and a round of keeping on each; the lane settles all."""
    for day in days:
        for _ in range(number // 2):
            receipts = await accept(journal, 2, received_at_ms=NOW_MS + day * DAY_MS)
            if hand is not None:
                await hand.deliver(receipts[0].seq, receipts[-1].seq)
        await keep_all(journal, rules(day))


async def _tables(session: Any) -> list[int]:
    assert await session.fetchval("SELECT count(*) FROM pg_inherits WHERE inhparent = 'gateway.batches'::regclass") == (
        await session.fetchval("SELECT count(*) FROM gateway.event_tables")
    )
    return [row["id"] for row in await session.fetch("SELECT id FROM gateway.event_tables ORDER BY id")]


async def _seqs(journal: PostgresJournal) -> list[int]:
    return [event.seq for event in (await journal.read(0, limit=10_000)).events]


async def _no_row_is_deleted(session: Any) -> None:
    """From now on a DELETE of any table of events fails."""
    await session.execute(
        "CREATE OR REPLACE FUNCTION gateway.refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'a row of % is deleted', TG_TABLE_NAME; END $$"
    )
    for name in await session.fetch(
        "SELECT c.oid::regclass FROM pg_class c WHERE relnamespace = 'gateway'::regnamespace AND relkind = 'r'"
        " AND relname LIKE 'batch%' AND relname NOT IN ('batches', 'batch_sources')"
    ):
        await session.execute(
            f"CREATE TRIGGER refuse BEFORE DELETE ON {name[0]} FOR EACH ROW EXECUTE FUNCTION gateway.refuse()"
        )


async def test_events_beyond_retention_go_with_their_tables_and_no_row_is_deleted(
    journal: PostgresJournal, session: Any
) -> None:
    hand = await Lanehand.on(journal)
    await accept(journal, 1)
    await hand.deliver(1, 1)
    await keep_all(journal, rules(0))
    await _days(journal, range(1, 8), hand)
    assert await _tables(session) == [1, 2, 3, 4, 5, 6, 7, 8]
    await _no_row_is_deleted(session)
    kept = await keep_all(journal, rules(11))
    assert kept.events == 1 + 3 * 4, "what is older than all tables, and those of three days"
    assert await _tables(session) == [4, 5, 6, 7, 8]
    assert await _seqs(journal) == [*range(14, 30)]
    assert (await hand.audited()).balanced


async def test_rows_of_before_go_one_by_one_as_they_did(journal: PostgresJournal, session: Any) -> None:
    await accept(journal, 3)
    await _days(journal, range(2))
    assert (await keep_all(journal, rules(20))).events == 3 + 4 + 2, "never the head"
    assert await session.fetchval("SELECT count(*) FROM ONLY gateway.batches") == 0


async def test_an_event_that_a_dead_letter_needs_stays_and_its_table_goes(
    journal: PostgresJournal, session: Any
) -> None:
    hand = await Lanehand.on(journal)
    await _days(journal, range(1), hand, number=2)
    await accept(journal, 2, received_at_ms=NOW_MS + DAY_MS)
    await hand.settle(4, counts=Counts(delivered=1), parked=[row(3, state=State.DEAD)], attempts=[tried(4)])
    await _days(journal, range(1, 6), hand, number=8)
    assert len(await _tables(session)) == 6
    kept = await keep_all(journal, rules(10))
    assert kept.events == 2 + 8 + 8, "the tables of two days, but for two events"
    assert await _tables(session) == [3, 4, 5, 6]
    assert await _seqs(journal) == [3, 4, *range(21, 45)]
    event = await journal.event(3)
    assert event is not None
    assert event.seq == 3
    assert (await hand.audited()).balanced
    await journal.discard(DeadFilter(), by("discard"))
    await keep_all(journal, rules(10))
    assert await _seqs(journal) == [*range(21, 45)]
    assert (await hand.audited()).balanced


async def test_a_table_that_waits_for_a_lane_stays(journal: PostgresJournal, session: Any) -> None:
    hand = await Lanehand.on(journal)
    await _days(journal, range(5))
    tables = await _tables(session)
    assert (await keep_all(journal, rules(30))).events == 0
    assert await _tables(session) == tables
    await hand.deliver(1, 20)
    assert (await keep_all(journal, rules(30))).events == 19 - 1
    assert (await hand.audited()).balanced


async def test_a_table_that_a_replay_goes_through_stays_until_it_has(journal: PostgresJournal, session: Any) -> None:
    hand = await Lanehand.on(journal)
    await _days(journal, range(5), hand)
    replay = await Lanehand.on(journal, destination="lake", kind="replay-1", start_seq=4, end_seq=12)
    assert (await keep_all(journal, rules(9))).events == 4, "what is older than all tables"
    assert await _tables(session) == [1, 2, 3, 4, 5]
    await replay.deliver(5, 12)
    assert (await keep_all(journal, rules(9))).events == 4
    assert {one.why for one in await journal.audit()} == {""}


async def test_a_lane_that_began_or_ended_in_the_middle_of_a_table_balances(journal: PostgresJournal) -> None:
    await _days(journal, range(1))
    await accept(journal, 3, received_at_ms=NOW_MS + DAY_MS)
    await journal.append(group(offer(source="erp", received_at_ms=NOW_MS + DAY_MS), offer(), offer(source="erp")))
    late = await Lanehand.on(journal)
    from_the_middle = await Lanehand.on(journal, destination="lake", start_seq=6)
    await accept(journal, 3, received_at_ms=NOW_MS + DAY_MS)
    await from_the_middle.settle(8, counts=Counts(delivered=1), attempts=[tried(7)])
    await journal.change_lane(from_the_middle.lane.id, by("end"))
    await late.deliver(11, 13)
    await _days(journal, range(2, 6), late)
    assert (await keep_all(journal, rules(20))).events > 0
    assert {one.why for one in await journal.audit()} == {""}


async def test_appending_goes_on_while_tables_begin_and_go(journal: PostgresJournal) -> None:
    """Two replicas append and keep, and another reads: nothing fails, nobody waits long, and there is no gap."""
    hand = await Lanehand.on(journal)
    loop = asyncio.get_running_loop()
    days = iter(range(30))
    waits_s: list[float] = []
    seen: list[int] = []
    events = 0

    async def append(one: PostgresJournal) -> list[int]:
        taken: list[int] = []
        for number in range(120):
            began_s = loop.time()
            taken += [receipt.seq for receipt in await accept(one, 3, received_at_ms=NOW_MS + number // 4 * DAY_MS)]
            waits_s.append(loop.time() - began_s)
            await asyncio.sleep(0.005)
        return taken

    async def keep(*journals: PostgresJournal) -> None:
        nonlocal events
        for day in days:
            await _finish(journal, hand)
            done = await asyncio.gather(*(keep_all(one, rules(day)) for one in journals))
            events += sum(kept.events for kept in done)

    async def read(one: PostgresJournal) -> None:
        while not appending.done() or seen[-1] < (await one.head()).seq:
            page = await one.read(seen[-1] if seen else 0, sources=["shop"])
            seen.extend(event.seq for event in page.events)
            await asyncio.sleep(0.002)

    async with opened(PostgresJournal(databases.url())) as other:
        assert isinstance(other, PostgresJournal)
        appending = asyncio.gather(append(journal), append(other))
        await asyncio.gather(appending, keep(journal, other), read(other))
    taken = sorted(seq for one in appending.result() for seq in one)
    assert taken == seen == list(range(1, 721))
    await _finish(journal, hand)
    assert events + (await keep_all(journal, rules(60))).events > 600
    assert max(waits_s) < 1
    assert (await hand.audited()).balanced


async def _finish(journal: PostgresJournal, hand: Lanehand) -> None:
    cursor, head = (await hand.seen()).cursor, (await journal.head()).seq
    if head > cursor:
        await hand.deliver(cursor + 1, head)


async def test_a_table_that_somebody_reads_goes_later_and_holds_nobody(journal: PostgresJournal, session: Any) -> None:
    await _days(journal, range(5))
    dump = session.transaction(isolation="repeatable_read")
    await dump.start()
    await session.fetch("SELECT count(*) FROM gateway.batches")
    assert (await keep_all(journal, rules(9))).events == 4, "one by one: those that are older than all tables"
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await accept(journal, 1)
    assert await _seqs(journal) == list(range(5, 22))
    assert loop.time() - began_s < 0.5
    await dump.rollback()
    assert (await keep_all(journal, rules(9))).events == 4


async def test_an_audit_sees_the_log_as_its_books_are(journal: PostgresJournal) -> None:
    """What is dropped is gone for every snapshot, so nothing is while one looks."""
    hand = await Lanehand.on(journal)
    await _days(journal, range(5), hand)
    async with journal._desk.snapshot() as looking:
        await looking.fetch("SELECT 1")
        assert (await keep_all(journal, rules(9))).events == 4, "one by one: those that are older than all tables"
    assert (await keep_all(journal, rules(9))).events == 4


async def test_what_is_moved_out_of_a_table_is_never_missed(journal: PostgresJournal, session: Any) -> None:
    """Whoever looks at the log as it was before would find neither the table nor what was moved: it waits for them."""
    hand = await Lanehand.on(journal)
    await _days(journal, range(1), hand)
    await accept(journal, 2, received_at_ms=NOW_MS + DAY_MS)
    await hand.settle(6, counts=Counts(delivered=1), parked=[row(5, state=State.DEAD)], attempts=[tried(6)])
    await _days(journal, range(1, 5), hand, number=8)
    look = session.transaction(isolation="repeatable_read")
    await look.start()
    await session.fetch("SELECT 1")
    assert (await keep_all(journal, rules(9))).events == 4, "one by one: those that are older than all tables"
    assert await session.fetchval("SELECT count(*) FROM gateway.batches WHERE first_seq = 5") == 1
    await look.rollback()
    assert (await keep_all(journal, rules(9))).events == 8
    assert await session.fetchval("SELECT tableoid::regclass::text FROM gateway.batches WHERE first_seq = 5") == (
        "gateway.batches"
    )


async def test_a_drop_that_is_broken_off_leaves_nothing_behind(journal: PostgresJournal, session: Any) -> None:
    hand = await Lanehand.on(journal)
    await _days(journal, range(5), hand)
    broken = await asyncpg.connect(databases.url())
    await broken.execute("BEGIN")
    (lane,) = await journal.lanes()
    events = await broken.fetchval(
        "SELECT gateway.drop_events(1, $1, $2, 2, $3, ARRAY[$3::integer], ARRAY[4::bigint])", 5, 8, lane.id
    )
    assert events == 4
    broken.terminate()
    before = await _seqs(journal)
    assert len(before) == 20
    kept = await keep_all(journal, rules(9))
    assert kept.events == 8
    assert (await hand.audited()).balanced
    assert 1 not in await _tables(session)


async def test_a_group_is_known_again_when_the_next_table_has_begun(journal: PostgresJournal) -> None:
    mine = group(offer(), offer("x"))
    receipts = await journal.append(mine)
    await keep_all(journal, rules(0))
    assert await journal.append(mine) == receipts
    await accept(journal, 1)
    assert await journal.append(mine) == receipts


async def test_a_new_table_goes_on_where_the_last_ended(journal: PostgresJournal, session: Any) -> None:
    hand, quiet = await Lanehand.on(journal), await Lanehand.on(journal, source="erp", destination="lake")
    await accept(journal, 3)
    await accept(journal, 2, source="erp")
    for day in range(4):
        await keep_all(journal, rules(day))
        assert (await journal.head()).seq == 5
        assert [one.waiting for one in await journal.lane_rows()] == [3, 2]
    assert await _tables(session) == [1], "an empty one is not followed"
    for day in range(4, 8):
        await accept(journal, 1)
        await keep_all(journal, rules(day))
    (receipt,) = await accept(journal, 1, source="erp")
    assert receipt.seq == 10
    assert [one.waiting for one in await journal.lane_rows()] == [7, 3]
    assert (await journal.read(5, sources=["erp"])).events[0].seq == 10
    assert {one.why for one in (await hand.audited(), await quiet.audited())} == {""}


async def test_a_log_that_is_too_large_loses_its_oldest_table(journal: PostgresJournal, session: Any) -> None:
    hand = await Lanehand.on(journal)
    await _days(journal, range(5), hand)
    await _no_row_is_deleted(session)
    size = await session.fetchval("SELECT sum(size_bytes) FROM gateway.batches")
    kept = await keep_all(journal, rules(5, max_bytes=size - 1))
    assert kept.events == 4


async def test_a_table_begins_before_the_log_takes_a_part_of_what_it_may(
    journal: PostgresJournal, session: Any
) -> None:
    body = os.urandom(600_000)
    for number in range(60):
        await journal.append(group(offer(body=body + bytes([number]), received_at_ms=NOW_MS)))
        await keep_all(journal, rules(0, max_bytes=64 << 20))
    assert await _tables(session) == [1, 2, 3]


async def test_a_vacuum_of_the_oldest_table_puts_the_next_one_off(journal: PostgresJournal, session: Any) -> None:
    await accept(journal, 1)
    vacuum = session.transaction()
    await vacuum.start()
    await session.execute("LOCK TABLE ONLY gateway.batches IN SHARE UPDATE EXCLUSIVE MODE")
    await keep_all(journal, rules(0))
    await accept(journal, 1)
    assert await _tables(session) == []
    await vacuum.rollback()
    await keep_all(journal, rules(0))
    assert await _tables(session) == [1]


async def test_a_journal_of_the_version_before_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"events_{os.getpid()}_{tmp_path.name[-8:]}"
    await databases.make(name)
    url = postgres.database_url(name)
    await _as_of(url, 8, monkeypatch)
    async with opened(PostgresJournal(url)) as journal:
        assert isinstance(journal, PostgresJournal)
        hand = await Lanehand.on(journal)
        receipts = [await accept(journal, 4) for _ in range(3)]
        await hand.deliver(1, 12)
        monkeypatch.undo()
        async with opened(PostgresJournal(url)) as newer:
            assert isinstance(newer, PostgresJournal)
            assert await _seqs(newer) == list(range(1, 13))
            await _days(newer, range(1, 5))
            (receipt,) = await accept(journal, 1)
            assert receipt.seq == 29
            await hand.deliver(13, 28)
            kept = await keep_all(newer, rules(9))
            assert kept.events == 12 - 0
            assert (await hand.audited()).balanced
            assert receipts[0][0].id != receipt.id


async def _as_of(url: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The schema as it was at a migration, and as long as the patch holds."""
    known: tuple[Migration, ...] = tuple(step for step in migrations() if step.number <= number)
    monkeypatch.setattr("gateway.journal.postgres.schema.migrations", lambda: known)
    async with opened(PostgresJournal(url)):
        pass
