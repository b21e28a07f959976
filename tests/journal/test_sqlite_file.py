"""The file of a SQLite journal: what is refused, what is migrated, what a copy is."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from gateway.errors import JournalError, JournalUnavailable
from gateway.journal.sqlite import SqliteJournal
from gateway.journal.sqlite.checkpoint import COMMITS, Checkpoints
from gateway.journal.sqlite.connection import WAL_PAGES
from gateway.journal.sqlite.schema import migrations
from gateway.model import State
from tests.journal.making import Lanehand, accept, group, offer, opened, row


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqliteJournal]:
    one = SqliteJournal(tmp_path / "journal.db")
    await one.open()
    yield one
    await one.close()


async def _refused(path: Path) -> str:
    journal = SqliteJournal(path)
    try:
        with pytest.raises(JournalError) as caught:
            await journal.open()
        return str(caught.value)
    finally:
        await journal.close()


async def test_what_is_committed_is_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with opened(SqliteJournal(path)) as journal:
        hand = await Lanehand.on(journal)
        receipts = await journal.append(group(offer("a"), offer("b")))
        await hand.settle(1, parked=[row(1)])
    async with opened(SqliteJournal(path)) as journal:
        assert [event.id for event in (await journal.read(0)).events] == [one.id for one in receipts]
        assert [one.duplicate for one in await journal.append(group(offer("b"), offer("c")))] == [True, False]
        assert await journal.lanes() == (hand.lane,)
        assert len(await journal.parked(hand.lane.id)) == 1


async def test_a_page_ends_where_a_batch_does_so_that_none_is_unpacked_twice(journal: SqliteJournal) -> None:
    for _ in range(3):
        await accept(journal, 3)
    pages = [await journal.read(after, limit=5) for after in (0, 3, 4)]
    assert [[event.seq for event in page.events] for page in pages] == [[1, 2, 3], [4, 5, 6], [5, 6, 7, 8, 9]]
    assert [page.read_to for page in pages] == [3, 6, 9]


async def test_opening_twice_is_the_same_as_once(journal: SqliteJournal) -> None:
    await journal.open()
    await accept(journal, 1)


async def test_a_journal_migrates_once(journal: SqliteJournal, tmp_path: Path) -> None:
    await accept(journal, 1)
    await journal.close()
    async with opened(SqliteJournal(tmp_path / "journal.db")) as again:
        assert (await again.head()).seq == 1
    with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
        found = db.execute("SELECT number, name FROM migrations").fetchall()
    assert found == [(step.number, step.name) for step in migrations()]


async def test_the_attempts_of_an_older_version_are_still_shown(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with opened(SqliteJournal(path)) as journal:
        hand = await Lanehand.on(journal)
        await accept(journal, 1)
        await hand.deliver(1, 1)
    with closing(sqlite3.connect(path)) as db:
        db.execute("ALTER TABLE attempts DROP COLUMN config")
        for table in ("replays", "versions", "identity_runs"):
            db.execute(f"DROP TABLE {table}")
        db.execute("DROP INDEX parked_letters")
        for table, column in (
            ("lanes", "began_as"),
            ("lanes", "account"),
            ("intents", "lanes"),
            ("leases", "note"),
            ("parked", "every_state"),
            ("identity_buckets", "runs"),
        ):
            db.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        db.execute("DELETE FROM migrations WHERE number > 1")
        db.commit()
    async with opened(SqliteJournal(path)) as journal:
        view = await journal.view(1)
        assert view is not None
        assert [one.config for _, _, _, attempts in view.lanes for one in attempts] == [""]


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [step.number for step in migrations()] == list(range(1, len(migrations()) + 1))


async def test_two_that_open_a_new_file_at_once_both_succeed(tmp_path: Path) -> None:
    journals = [SqliteJournal(tmp_path / "journal.db") for _ in range(4)]
    await asyncio.gather(*(one.open() for one in journals))
    await accept(journals[0], 1)
    assert [(await one.head()).seq for one in journals] == [1] * 4
    for one in journals:
        await one.close()


async def test_a_file_of_a_newer_version_is_refused(journal: SqliteJournal, tmp_path: Path) -> None:
    await journal.close()
    with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
        db.execute("INSERT INTO migrations VALUES (999, 'from_the_future')")
        db.commit()
    assert "schema is 999" in await _refused(tmp_path / "journal.db")


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("buy milk\n" * 100)
    refused = await _refused(path)
    assert "not a journal" in refused
    assert str(path) in refused
    assert "journal.url" in refused
    assert path.read_text() == "buy milk\n" * 100


async def test_the_database_of_another_application_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE customers (id)")
    before = path.read_bytes()
    assert "another application" in await _refused(path)
    assert path.read_bytes() == before


async def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "missing" / "journal.db")
    with pytest.raises(JournalUnavailable):
        await journal.open()
    await journal.close()


async def test_an_empty_file_becomes_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.touch()
    async with opened(SqliteJournal(path)) as journal:
        await accept(journal, 1)


async def test_closing_leaves_no_thread_and_no_log_behind(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    journal = SqliteJournal(tmp_path / "journal.db")
    await journal.open()
    await accept(journal, 1)
    await journal.audit()
    await journal.head()
    await journal.close()
    await journal.close()
    assert not [one for one in set(threading.enumerate()) - before if one.name.startswith("journal-")]
    assert not (tmp_path / "journal.db-wal").exists()


async def test_a_closed_journal_says_so(journal: SqliteJournal) -> None:
    await journal.close()
    with pytest.raises(JournalUnavailable, match="closed"):
        await accept(journal, 1)
    with pytest.raises(JournalUnavailable, match="closed"):
        await journal.head()


async def test_closing_before_opening_is_nothing(tmp_path: Path) -> None:
    await SqliteJournal(tmp_path / "journal.db").close()
    assert not (tmp_path / "journal.db").exists()


async def test_a_backup_taken_under_load_opens_as_a_journal(journal: SqliteJournal, tmp_path: Path) -> None:
    hand = await Lanehand.on(journal)
    await accept(journal, 200)
    await hand.deliver(1, 100)
    copying = asyncio.create_task(journal.backup(str(tmp_path / "copy.db")))
    while not copying.done():
        await accept(journal, 20)
    await copying
    async with opened(SqliteJournal(tmp_path / "copy.db")) as copy:
        head = await copy.head()
        assert 200 <= head.seq <= (await journal.head()).seq
        assert len((await copy.read(0, limit=100_000)).events) == head.seq
        assert [one.balanced for one in await copy.audit()] == [True]
        (receipt,) = await accept(copy, 1)
        assert receipt.seq == head.seq + 1
    assert not (tmp_path / "copy.db.part").exists()


async def test_a_backup_replaces_an_older_one_but_never_the_journal(journal: SqliteJournal, tmp_path: Path) -> None:
    await accept(journal, 1)
    for _ in range(2):
        await journal.backup(str(tmp_path / "copy.db"))
    with pytest.raises(JournalError, match="itself"):
        await journal.backup(str(tmp_path / "journal.db"))
    with pytest.raises(JournalUnavailable):
        await journal.backup(str(tmp_path / "missing" / "copy.db"))


async def _damaged(journal: SqliteJournal, path: Path, statement: str) -> str:
    """What the audit says of the one lane after somebody has meddled with the file."""
    with closing(sqlite3.connect(path)) as db:
        assert db.execute(statement).rowcount == 1
        db.commit()
    (audited,) = await journal.audit()
    assert not audited.balanced
    return audited.why


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("UPDATE lanes SET delivered = delivered - 1", "delivered: booked 9, found 10"),
        ("UPDATE lanes SET cursor = cursor - 1", "11 events are settled, 12 are booked"),
        ("DELETE FROM parked WHERE state = 'parked'", "parked: booked 1, found 0"),
        ("DELETE FROM parked WHERE state = 'dead'", "dead: booked 1, found 0"),
        (
            "UPDATE parked SET state = 'dead' WHERE state = 'parked'",
            "parked: booked 1, found 0; dead: booked 1, found 2",
        ),
        ("DELETE FROM attempts WHERE last_seq = 5", "delivered: booked 10, found 5"),
        ("DELETE FROM batches WHERE first_seq = 1", "7 events are settled, 12 are booked"),
        ("DELETE FROM batch_sources WHERE first_seq = 1", "7 events are settled, 12 are booked"),
    ],
)
async def test_the_audit_finds_what_was_changed_or_lost(
    journal: SqliteJournal, tmp_path: Path, statement: str, why: str
) -> None:
    hand = await Lanehand.on(journal)
    await accept(journal, 5)
    await accept(journal, 10)
    await hand.deliver(1, 5)
    await hand.deliver(6, 10)
    await hand.settle(12, parked=[row(11), row(12, state=State.DEAD)])
    assert (await hand.audited()).balanced
    assert why in await _damaged(journal, tmp_path / "journal.db", statement)


async def test_reading_passes_by_a_batch_that_is_lost(journal: SqliteJournal, tmp_path: Path) -> None:
    await Lanehand.on(journal)
    for _ in range(3):
        await accept(journal, 2)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
        db.execute("DELETE FROM batches WHERE first_seq = 3")
        db.commit()
    assert [event.seq for event in (await journal.read(0, sources=["shop"])).events] == [1, 2, 5, 6]
    assert await journal.event(4) is None
    assert len(await journal.lane_rows()) == 1


async def test_the_wal_stays_small_however_much_is_written_without_a_pause(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    wal = tmp_path / "journal.db-wal"
    draw = Random(1)
    for number in range(30 * COMMITS):
        await journal.append(group(offer(str(number), body=draw.randbytes(32_768))))
    written_pages = 30 * COMMITS * 32_768 // 4096
    assert written_pages < WAL_PAGES, "so no commit has made a checkpoint"
    assert wal.stat().st_size < written_pages * 4096 / 2
    assert (await journal.head()).seq == 30 * COMMITS


async def test_a_round_of_checkpoints_that_met_trouble_is_followed_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"no database, and longer than the head of one" * 100)
    rounds = Checkpoints(path, 1.0)
    with closing(sqlite3.connect(":memory:")) as other:
        await _round(rounds, other)
        path.unlink()
        async with opened(SqliteJournal(path)) as journal:
            await accept(journal, 1)
            before_bytes = path.stat().st_size
            await journal.append(group(*(offer(body=b"7" * 10_000) for _ in range(100))))
            await _round(rounds, other)
            assert path.stat().st_size > before_bytes
            rounds.close()


async def _round(rounds: Checkpoints, db: sqlite3.Connection) -> None:
    for _ in range(COMMITS):
        rounds.committed()
    while not rounds.finish(db):  # noqa: ASYNC110  it is for another thread to wait for
        await asyncio.sleep(0.005)


async def test_a_parked_record_that_nobody_shrank_comes_as_it_lies_there(
    tmp_path: Path, journal: SqliteJournal
) -> None:
    hand = await Lanehand.on(journal)
    await accept(journal, 2)
    await hand.settle(2, parked=[row(1), row(2)])
    with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
        db.execute("UPDATE parked SET record = ? WHERE seq = 1", (b"of tomorrow",))
        db.commit()
    found = await journal.parked(hand.lane.id, [(1, "order"), (2, "order")])
    assert [one.record for one in found] == [b"of tomorrow", b'{"id":"1"}']
