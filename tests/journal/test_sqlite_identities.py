"""Identities on SQLite: lists beside the batches, merged into pages a slice at a time, whoever writes and whoever dies.

The names of these tests are hashed as the receiver hashes what identifies a request, so that they fill all pages.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gateway.journal.sqlite import SqliteJournal, schema
from gateway.journal.sqlite.connection import Db, connect, transaction
from gateway.journal.sqlite.filters import FILTER_BYTES, PAGES, Filters
from gateway.journal.sqlite.identities import (
    ENTRY,
    GATHERS,
    KEY_BYTES,
    LISTS_PER_SLICE,
    MERGES_PER_BUCKET,
    SLICES,
    Identities,
    run_of,
    write_pages,
)
from gateway.journal.sqlite.log import Append
from gateway.model import Offer, Receipt
from tests.journal.making import DAY_MS, HOUR_MS, NOW_MS, WEEK_MS, group, keep_all, offer, opened, rules
from tests.journal.test_sqlite_filters import identity_on, two_bits

RECENT = 60
"""Identities that are held before a merge begins: a thousandth of what is shipped."""


def named(name: object, **fields: Any) -> Offer:
    return offer(identity=blake2b(str(name).encode(), digest_size=16).digest(), **fields)


class Process:
    """What one process has open: its connection, and what it holds of identities."""

    def __init__(self, path: Path) -> None:
        self.identities = Identities(RECENT)
        self.db = connect(path, 5.0)
        schema.prepare(self.db)

    def append(self, *offers: Offer) -> tuple[Receipt, ...]:
        work = Append(group(*offers, id_=os.urandom(16)), self.identities)
        work.prepare()
        with transaction(self.db):
            return work(self.db)

    def merging(self) -> bool:
        (slice_,) = self.db.execute("SELECT slice FROM identity_merge").fetchone()
        return bool(slice_ < SLICES)

    def rows(self, table: str) -> int:
        (count,) = self.db.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608  a constant
        return int(count)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Process]]:
    """Starts processes on one file."""
    started: list[Process] = []

    def one() -> Process:
        started.append(Process(tmp_path / "journal.db"))
        return started[-1]

    yield one
    for process in started:
        process.db.close()


class Sender:
    """Sends new events, and some of all it ever sent again; every answer has to be right."""

    def __init__(self) -> None:
        self.draw = Random(7)
        self.sent: list[Receipt] = []

    def knock(self, process: Process, new: int = 5, again: int = 3, **fields: int) -> None:
        old = [self.draw.randrange(len(self.sent)) for _ in range(again if self.sent else 0)]
        numbers = range(len(self.sent), len(self.sent) + new)
        receipts = process.append(*(named(number, **fields) for number in (*old, *numbers)))
        for number, receipt in zip(old, receipts, strict=False):
            first = self.sent[number]
            assert (receipt.duplicate, receipt.seq, receipt.id) == (True, first.seq, first.id), number
        fresh = receipts[len(old) :]
        assert not any(receipt.duplicate for receipt in fresh)
        self.sent += fresh

    def knock_with_everything(self, process: Process) -> None:
        receipts = process.append(*(named(number) for number in range(len(self.sent))))
        assert [(one.duplicate, one.id) for one in receipts] == [(True, first.id) for first in self.sent]


def test_retries_are_recognised_through_merges_and_buckets(start: Callable[[], Process]) -> None:
    process, sender = start(), Sender()
    for _ in range(2_000):
        sender.knock(process)
    assert process.rows("identity_buckets") > 2
    sender.knock_with_everything(process)


def test_after_a_restart_in_any_slice_of_a_merge_everything_is_known(start: Callable[[], Process]) -> None:
    process, sender = start(), Sender()
    merging = 0
    for _ in range(400):
        sender.knock(process, new=2, again=5)
        merging += process.merging()
        process.db.close()
        process = start()
    assert merging > 2 * SLICES
    sender.knock_with_everything(process)


def test_what_another_process_has_committed_is_known_at_once(start: Callable[[], Process]) -> None:
    processes, sender = (start(), start()), Sender()
    for number in range(300):
        sender.knock(processes[number % 2])
    for process in processes:
        sender.knock_with_everything(process)


@pytest.mark.parametrize("pause", [40, 80, 200, 400])
def test_a_process_that_rested_during_merges_knows_what_was_merged(start: Callable[[], Process], pause: int) -> None:
    busy, resting, sender = start(), start(), Sender()
    for _ in range(4):
        for _ in range(pause):
            sender.knock(busy)
        sender.knock(resting, again=20)
    sender.knock_with_everything(resting)


def test_what_was_rolled_back_is_new_when_it_comes_again(start: Callable[[], Process]) -> None:
    process = start()
    process.append(named("before"))
    one, two = (
        Append(group(named("a")), process.identities),
        Append(group(named("b"), named("a")), process.identities),
    )
    for work in (one, two):
        work.prepare()
    with transaction(process.db):
        one(process.db)
        two(process.db)
        process.db.execute("ROLLBACK")
    process.db.close()
    process.db = start().db
    receipts = process.append(named("a"), named("b"), named("before"))
    assert [one.duplicate for one in receipts] == [False, False, True]


def test_a_job_that_fails_beside_others_leaves_no_identity(start: Callable[[], Process]) -> None:
    process = start()
    for name in ("a", "b"):
        work = Append(group(named(name)), process.identities)
        work.prepare()
        with transaction(process.db):
            process.db.execute("SAVEPOINT job")
            work(process.db)
            process.db.execute("ROLLBACK TO job" if name == "a" else "SELECT 1")
            process.db.execute("RELEASE job")
    assert [one.duplicate for one in process.append(named("a"), named("b"))] == [False, True]


def test_an_identity_taken_anew_after_its_window_hides_the_older_one(start: Callable[[], Process]) -> None:
    process, sender = start(), Sender()
    process.append(named("a", identity_window_ms=HOUR_MS))
    later = {"received_at_ms": NOW_MS + HOUR_MS, "identity_window_ms": HOUR_MS}
    for _ in range(30):
        sender.knock(process)
    assert process.rows("identity_pages")
    (newer,) = process.append(named("a", **later))
    assert not newer.duplicate
    for _ in range(400):
        sender.knock(process)
    (again,) = process.append(named("a", **later))
    assert (again.duplicate, again.id) == (True, newer.id)
    (again,) = start().append(named("a", **later))
    assert (again.duplicate, again.id) == (True, newer.id)


def test_the_same_identity_in_another_source_is_another_event_when_it_is_merged(start: Callable[[], Process]) -> None:
    process, sender = start(), Sender()
    (first,) = process.append(named("a", source="erp"))
    for _ in range(200):
        sender.knock(process)
    receipts = process.append(named("a", source="erp"), named("a", source="shop"))
    assert [(one.duplicate, one.id == first.id) for one in receipts] == [(True, True), (False, False)]


def test_lists_go_when_they_are_merged_and_few_are_held(start: Callable[[], Process]) -> None:
    process, sender = start(), Sender()
    most = 0
    for _ in range(1_000):
        sender.knock(process, new=3, again=1)
        most = max(most, process.identities.held)
    assert RECENT < most <= 2 * RECENT + 3 * (SLICES + RECENT)
    assert process.rows("identity_lists") <= most + LISTS_PER_SLICE


def test_a_new_identity_is_seldom_looked_for_on_disk(start: Callable[[], Process]) -> None:
    process, sender = start(), Sender()
    for _ in range(600):
        sender.knock(process, new=10, again=0)
    statements: list[str] = []
    process.db.set_trace_callback(statements.append)
    for _ in range(20):
        sender.knock(process, new=10, again=0)
    looks, looking = 0, True
    for one in statements:  # what is read behind the group's list is read to be brought together
        looking = one.startswith("BEGIN") or (looking and "INTO identity_lists" not in one)
        looks += looking and "entries FROM identity_pages WHERE id =" in one
    assert looks <= 10
    process.append(named(7))
    assert any("entries FROM identity_pages WHERE id =" in one for one in statements[-12:])


def test_a_filter_of_two_bits_is_understood_and_made_anew_by_the_next_merge(start: Callable[[], Process]) -> None:
    process, draw = start(), Random(8)
    names = [identity_on(0, draw) for _ in range(300)]

    def may_have(name: bytes) -> bool:
        filters = Filters()
        filters.follow({1})
        (filter_,) = process.db.execute("SELECT filter FROM identity_pages").fetchone()
        filters.put(1, 0, filter_)
        return filters.left(name) != 0

    with transaction(process.db):
        as_before(process.db, names[:200])
    assert all(map(may_have, names[:200]))
    assert not all(map(may_have, names[200:]))

    with transaction(process.db):
        write_pages(process.db, 1, 0, [(name, bytes(20)) for name in names[200:]])
    assert all(map(may_have, names))
    assert process.db.execute("SELECT length(filter) FROM identity_pages").fetchone() == (FILTER_BYTES + 1,)


def test_what_merges_added_is_brought_together_when_the_next_bucket_has_begun(start: Callable[[], Process]) -> None:
    process, sender = start(), Sender()
    for _ in range(1_900):
        sender.knock(process, new=1, again=1)
    (runs,) = process.db.execute("SELECT runs FROM identity_buckets WHERE id = 2").fetchone()
    assert runs > GATHERS
    assert process.db.execute("SELECT runs FROM identity_buckets WHERE id = 1").fetchone() == (0,)
    below = "SELECT count(*) FROM identity_runs WHERE id < ?"
    assert process.db.execute(below, (run_of(2, 0),)).fetchone() == (0,)
    for one in (process, start()):
        sender.knock_with_everything(one)


@pytest.mark.parametrize("more", [0, 20, 40])
def test_a_file_of_the_version_before_is_taken_over_in_any_slice_of_a_merge(
    start: Callable[[], Process], more: int
) -> None:
    process, sender = start(), Sender()
    while process.rows("identity_buckets") < 2 or not process.merging():
        sender.knock(process, again=0)
    for _ in range(more):
        sender.knock(process, again=0)
    assert process.merging()
    for bucket in (1, 2):
        all_as_before(process.db, bucket)
    for undone in (
        "DROP TABLE identity_runs",
        "ALTER TABLE identity_buckets DROP COLUMN runs",
        "DELETE FROM migrations WHERE number >= 8",
    ):
        process.db.execute(undone)
    process = start()
    sender.knock_with_everything(process)
    for _ in range(3 * SLICES):
        sender.knock(process)
    sender.knock_with_everything(start())


@pytest.mark.parametrize("seed", range(4))
async def test_what_is_in_its_window_is_known_while_buckets_come_and_go(
    start: Callable[[], Process], tmp_path: Path, seed: int
) -> None:
    """Days pass; buckets go, some were written by the version before, processes start, rest and take turns."""
    draw, sender, processes = Random(seed), Sender(), [start(), start()]
    days: list[int] = []
    for day in range(16):
        days.append(len(sender.sent))
        now_ms = NOW_MS + day * DAY_MS
        process = draw.choice(processes)
        for _ in range(draw.randrange(60, 140)):
            sender.knock(process, again=0, received_at_ms=now_ms)
        if draw.random() < 0.5:
            all_as_before(process.db, draw.randrange(1, 12))
        if draw.random() < 0.7:
            async with opened(SqliteJournal(tmp_path / "journal.db")) as journal:
                await keep_all(journal, rules(now_ms, identities_ms=WEEK_MS))
        if draw.random() < 0.3:
            processes[draw.randrange(2)] = start()
        recent = range(days[max(0, day - 5)], len(sender.sent))
        for one in processes:
            receipts = one.append(*(named(number, received_at_ms=now_ms) for number in recent))
            assert [receipt.id for receipt in receipts] == [sender.sent[number].id for number in recent]
    assert process.rows("identity_buckets") < max(process.db.execute("SELECT max(id) FROM identity_buckets").fetchone())


def as_before(db: Db, names: list[bytes]) -> None:
    """A page as versions before wrote it: two bits in its filter, what is known of identities on it."""
    entries = b"".join(name + bytes(20) for name in names)
    db.execute("INSERT INTO identity_pages (id, filter, entries) VALUES (?, ?, ?)", (PAGES, two_bits(names), entries))


def all_as_before(db: Db, bucket: int) -> None:
    """The same of a bucket."""
    add = "UPDATE identity_pages SET entries = CAST(entries || ? AS BLOB) WHERE id = ?"
    with transaction(db):
        runs = db.execute(
            "DELETE FROM identity_runs WHERE id >= ? AND id < ? RETURNING id, entries",
            (run_of(bucket, 0), run_of(bucket + 1, 0)),
        ).fetchall()
        for run, entries in sorted(runs):
            db.execute(add, (entries, bucket * PAGES + run % PAGES))
        for page, entries in db.execute("SELECT id, entries FROM identity_pages WHERE id / ? = ?", (PAGES, bucket)):
            filter_ = two_bits([entries[at : at + KEY_BYTES] for at in range(0, len(entries), ENTRY.size)])
            db.execute("UPDATE identity_pages SET filter = ? WHERE id = ?", (filter_, page))


def test_a_source_with_a_short_window_makes_no_short_buckets_for_the_others(start: Callable[[], Process]) -> None:
    process, sender = start(), Sender()
    for hour in range(72):
        for window_ms in (WEEK_MS, HOUR_MS, HOUR_MS):
            for _ in range(8):
                sender.knock(process, again=0, received_at_ms=NOW_MS + hour * HOUR_MS, identity_window_ms=window_ms)
    assert process.rows("identity_buckets") < 1 + 72 * 3 * 8 * 5 / (RECENT * MERGES_PER_BUCKET)


async def test_buckets_go_when_no_window_reaches_them(start: Callable[[], Process], tmp_path: Path) -> None:
    process, sender = start(), Sender()
    for day in range(10):
        for _ in range(120):
            sender.knock(process, again=0, received_at_ms=NOW_MS + day * DAY_MS)
    assert process.rows("identity_buckets") > 2
    now_ms = NOW_MS + 40 * DAY_MS
    async with opened(SqliteJournal(tmp_path / "journal.db")) as journal:
        kept = await keep_all(journal, rules(now_ms, identities_ms=WEEK_MS))
        assert kept.identities == len(sender.sent)
    assert [process.rows(f"identity_{table}") for table in ("lists", "runs", "pages", "buckets")] == [0, 0, 0, 0]
    for one in (process, start()):
        receipts = one.append(named(1, received_at_ms=now_ms), named(len(sender.sent) - 1, received_at_ms=now_ms))
        assert [receipt.duplicate for receipt in receipts] == [one is not process] * 2
    for _ in range(200):
        sender.knock(process, again=0, received_at_ms=now_ms)
    assert process.rows("identity_buckets") >= 1


async def test_recent_buckets_stay_when_old_ones_go(start: Callable[[], Process], tmp_path: Path) -> None:
    process, sender = start(), Sender()
    for day in range(12):
        for _ in range(120):
            sender.knock(process, again=0, received_at_ms=NOW_MS + day * DAY_MS)
    now_ms = NOW_MS + 11 * DAY_MS
    async with opened(SqliteJournal(tmp_path / "journal.db")) as journal:
        kept = await keep_all(journal, rules(now_ms, identities_ms=WEEK_MS))
    assert 0 < kept.identities < len(sender.sent) // 2
    recent = range(6 * len(sender.sent) // 12, len(sender.sent), 7)
    receipts = start().append(*(named(number, received_at_ms=now_ms) for number in recent))
    assert [one.id for one in receipts] == [sender.sent[number].id for number in recent]


WRITER = """
import sys
from pathlib import Path
from tests.journal.test_sqlite_identities import Process, named

process = Process(Path(sys.argv[1]))
number = int(sys.argv[2])
while True:
    receipts = process.append(*(named(number + place) for place in range(3)))
    print(*(receipt.id for receipt in receipts), flush=True)
    number += 3
"""


@pytest.mark.slow
def test_a_process_that_is_killed_in_the_middle_of_merges_has_forgotten_nothing(
    start: Callable[[], Process], tmp_path: Path
) -> None:
    acknowledged: list[str] = []
    for round_ in range(8):
        command = (sys.executable, "-c", WRITER, str(tmp_path / "journal.db"), str(len(acknowledged)))
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as writer:
            assert writer.stdout is not None
            said = [writer.stdout.readline() for _ in range(60 + round_ * 11)]
            writer.send_signal(signal.SIGKILL)
            said += [line for line in writer.stdout if line.endswith("\n")]
        acknowledged += [name for line in said for name in line.split()]
        receipts = start().append(*(named(number) for number in range(len(acknowledged))))
        assert [(one.duplicate, one.id) for one in receipts] == [(True, name) for name in acknowledged]
        # a group that was committed and not said any more: its identities are known, whatever their ids
        start().append(*(named(len(acknowledged) + place) for place in range(3)))
        acknowledged += [one.id for one in start().append(*(named(len(acknowledged) + place) for place in range(3)))]
    assert start().rows("identity_pages")
