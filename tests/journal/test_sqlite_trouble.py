"""A SQLite journal in trouble: locks that are held, a disk that is full, work that fails beside other work."""

import asyncio
import fcntl
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import pytest

from gateway.errors import GroupRefused, JournalConflict, JournalUnavailable
from gateway.journal.sqlite import SqliteJournal
from gateway.journal.sqlite.connection import Db
from tests.journal.making import Lanehand, accept, group, offer


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqliteJournal]:
    """One that gives up soon."""
    one = SqliteJournal(tmp_path / "journal.db", busy_timeout_s=0.15)
    await one.open()
    yield one
    await one.close()


@contextmanager
def _kernel_lock(path: Path) -> Iterator[None]:
    """Another writer is in its transaction, and stays there."""
    with path.with_name(path.name + ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def _foreign_write(path: Path) -> Iterator[None]:
    """Somebody writes to the file who knows nothing of the kernel lock."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")


async def _comes_back(journal: SqliteJournal, within_s: float = 10.0) -> None:
    """It commits again, with nobody's help."""
    async with asyncio.timeout(within_s):
        while True:
            try:
                await journal.probe()
            except JournalUnavailable:  # the machine is busy, or the line is long still
                await asyncio.sleep(0.01)
            else:
                return


async def test_a_writer_that_does_not_come_back_makes_the_journal_unavailable(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    with _kernel_lock(tmp_path / "journal.db"):
        with pytest.raises(JournalUnavailable, match="did not answer"):
            await accept(journal, 1)
        assert (await journal.read(0)).events == ()
    (receipt,) = await accept(journal, 1)
    assert receipt.seq == 1


async def test_what_was_given_up_while_it_waited_is_never_done(journal: SqliteJournal, tmp_path: Path) -> None:
    with _kernel_lock(tmp_path / "journal.db"):
        late = await asyncio.gather(*(accept(journal, 1) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(one, JournalUnavailable) for one in late)
    await journal.probe()
    assert (await journal.head()).seq == 0


async def test_a_foreign_writer_is_waited_for_and_no_longer(journal: SqliteJournal, tmp_path: Path) -> None:
    with _foreign_write(tmp_path / "journal.db"), pytest.raises(JournalUnavailable):
        await accept(journal, 1)
    (receipt,) = await accept(journal, 1)
    assert receipt.seq == 1


async def test_a_group_offered_again_after_trouble_is_taken_once(journal: SqliteJournal, tmp_path: Path) -> None:
    mine = group(offer("a"), offer("b"))
    with _kernel_lock(tmp_path / "journal.db"), pytest.raises(JournalUnavailable):
        await journal.append(mine)
    receipts = await journal.append(mine)
    assert await journal.append(mine) == receipts
    assert (await journal.head()).seq == 2


def _full(db: Db) -> None:
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {pages + 2}")


async def test_a_full_disk_takes_nothing_and_serves_again_when_there_is_room(journal: SqliteJournal) -> None:
    hand = await Lanehand.on(journal)
    await accept(journal, 3)
    await journal._writer.run(_full)
    large = group(*(offer(f"n{number}", body=Random(number).randbytes(4_000)) for number in range(200)))
    with pytest.raises(JournalUnavailable, match="full"):
        await journal.append(large)
    assert (await journal.head()).seq == 3
    receipts = await journal.append(large)
    assert [one.seq for one in receipts] == list(range(4, 204))
    await hand.deliver(1, 3)
    assert (await hand.audited()).balanced


async def test_of_several_that_share_a_transaction_one_fails_alone(journal: SqliteJournal, tmp_path: Path) -> None:
    hand = await Lanehand.on(journal)
    await accept(journal, 2)
    await journal.claim(hand.lease.account, "other", hand.lease)
    with _kernel_lock(tmp_path / "journal.db"):
        first = asyncio.create_task(journal.probe())
        await asyncio.sleep(0.02)
        together = [
            asyncio.create_task(journal.append(group(offer()))),
            asyncio.create_task(hand.deliver(1, 2)),
            asyncio.create_task(journal.append(group(offer(topic="a\0b")))),
            asyncio.create_task(journal.append(group(offer()))),
        ]
        await asyncio.sleep(0.02)
    await first
    results = await asyncio.gather(*together, return_exceptions=True)
    kinds = [type(one) for one in results]
    assert kinds == [tuple, JournalConflict, GroupRefused, tuple]
    assert (await journal.head()).seq == 4
    (lane,) = await journal.lanes()
    assert lane.counts.total() == 0


async def test_a_caller_that_goes_away_leaves_the_journal_well(journal: SqliteJournal) -> None:
    tasks = [asyncio.create_task(accept(journal, 1)) for _ in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    kept = [one[0].seq for one in results if isinstance(one, tuple)]
    seqs = [event.seq for event in (await journal.read(0)).events]
    assert seqs == list(range(1, len(seqs) + 1))
    assert set(kept) <= set(seqs)


async def test_a_mistake_in_a_job_is_told_and_harms_nothing(journal: SqliteJournal) -> None:
    def mistake(db: Db) -> None:
        db.execute("UPDATE meta SET value = 99 WHERE key = 'operations'")
        db.execute("SELECT nonsense")

    with pytest.raises((sqlite3.OperationalError, JournalUnavailable)):
        await journal._writer.run(mistake)
    assert (await journal.head()).operations == 0
    await accept(journal, 1)


async def test_too_much_waiting_work_is_turned_away(journal: SqliteJournal, tmp_path: Path) -> None:
    with _kernel_lock(tmp_path / "journal.db"):
        tasks = [asyncio.create_task(journal.probe()) for _ in range(1_200)]
        results = await asyncio.gather(*tasks, return_exceptions=True)
    reasons = {str(one) for one in results if isinstance(one, JournalUnavailable)}
    assert "too much waits for the journal" in reasons
    await _comes_back(journal)
