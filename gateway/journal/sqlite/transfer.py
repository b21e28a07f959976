"""A SQLite journal as its rows, to be copied from and into."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from gateway.journal.sqlite.connection import Db, WriterLock, connect, transaction, translated
from gateway.journal.sqlite.filters import PAGES
from gateway.journal.sqlite.identities import ENTRY, KEY_BYTES, MERGES_PER_BUCKET, RECENT, run_of, write_pages
from gateway.journal.transfer import PROGRESS, SOURCE, TABLES, Values

BUSY_S = 10.0
BUCKET_SPAN_MS = 12 * 3_600_000
"""A bucket of copied identities is closed after this: what is in it goes at once."""


@contextmanager
def shelf(path: Path) -> Iterator["SqliteShelf"]:
    """The file of a journal. It has been opened as one before, so that its schema is there."""
    lock = WriterLock(path)
    with (
        translated(path),
        closing(lock),
        closing(connect(path, BUSY_S, reader=True)) as snapshot,
        closing(connect(path, BUSY_S)) as now,
    ):
        snapshot.execute("BEGIN")
        snapshot.execute("SELECT count(*) FROM meta").fetchone()
        yield SqliteShelf(snapshot, now, lock)


class SqliteShelf:
    """A journal's file, by two connections: one that sees it as it was, one that sees and writes it as it is."""

    def __init__(self, snapshot: Db, now: Db, lock: WriterLock) -> None:
        self._snapshot = snapshot
        self._now = now
        self._lock = lock

    async def pulse(self) -> Values:
        return tuple(
            self._now.execute("SELECT value FROM meta WHERE key = 'probe'").fetchall()
            + self._now.execute("SELECT account, owner, renewals FROM leases ORDER BY account").fetchall()
        )

    async def contents(self) -> Values:
        found: Values = self._now.execute(CONTENTS).fetchone()
        return found

    async def counts(self) -> dict[str, int]:
        return {name: self._snapshot.execute(_count(name)).fetchone()[0] for name in TABLES}

    async def rows(self, table: str, skip: int) -> AsyncIterator[list[Values]]:
        at_once = TABLES[table].at_once
        if table == "identities":
            for some in _in_lists(_identities(self._snapshot, skip), at_once):
                yield some
            return
        found = self._snapshot.execute(_select(table), (skip,))
        while some := found.fetchmany(at_once):
            yield some

    async def progress(self) -> dict[str, int]:
        rows = self._now.execute("SELECT key, value FROM meta WHERE key LIKE 'copy:%'")
        return {key if key == SOURCE else key.removeprefix(PROGRESS): value for key, value in rows}

    async def take(self, table: str, rows: Sequence[Values], progress: dict[str, int]) -> None:
        with self._lock.turn(), transaction(self._now):
            if table == "identities":
                _remember(self._now, rows)
            elif rows:
                columns = TABLES[table].columns
                marks = ", ".join("?" * len(columns))
                how = "INSERT OR REPLACE" if table == "meta" else "INSERT"
                self._now.executemany(f"{how} INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)
            self._now.executemany("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", progress.items())

    async def finish(self) -> None:
        with self._lock.turn(), transaction(self._now):
            self._now.execute(_BYTES)

    async def release(self) -> None:
        with self._lock.turn(), transaction(self._now):
            self._now.execute("DELETE FROM meta WHERE key LIKE 'copy:%'")


CONTENTS = """
SELECT (SELECT coalesce(max(first_seq + count), 0) FROM batches), (SELECT count(*) FROM batches),
    (SELECT value FROM meta WHERE key = 'operations'), (SELECT coalesce(max(id), 0) FROM attempts),
    (SELECT count(*) FROM parked), (SELECT coalesce(max(id), 0) FROM parked),
    (SELECT coalesce(max(id), 0) FROM rejected), (SELECT count(*) FROM lanes),
    (SELECT coalesce(sum(version + changed), 0) FROM lanes), (SELECT count(*) FROM intents),
    (SELECT count(*) FROM replays), (SELECT coalesce(sum(token), 0) FROM leases)
"""
_BYTES = """
UPDATE sources SET bytes = (
    SELECT coalesce(sum(length(b.payload)), 0) FROM batches b
    JOIN (SELECT first_seq, min(source_id) AS source_id FROM batch_sources GROUP BY first_seq) p USING (first_seq)
    WHERE p.source_id = sources.id
)
"""
_ENTRIES = ("identity_pages", "identity_runs", "identity_lists")
_WHERE = {"meta": " WHERE key = 'operations' OR key LIKE 'revision:%'"}


def _select(table: str) -> str:
    one = TABLES[table]
    columns = ", ".join("''" if (table, name) == ("leases", "owner") else name for name in one.columns)
    return f"SELECT {columns} FROM {table}{_WHERE.get(table, '')} ORDER BY {one.order} LIMIT -1 OFFSET ?"  # noqa: S608  constants


def _count(table: str) -> str:
    """How many rows there are to copy; counters that every journal has are none."""
    if table == "identities":
        sizes = " UNION ALL ".join(f"SELECT coalesce(sum(length(entries)), 0) AS size FROM {one}" for one in _ENTRIES)  # noqa: S608  constants
        return f"SELECT sum(size) / {ENTRY.size} FROM ({sizes})"  # noqa: S608  a number
    return f"SELECT count(*) FROM {table}{_WHERE.get(table, '')}"  # noqa: S608  constants


# --- identities ------------------------------------------------------------------------------------------------------


def _identities(db: Db, skip: int) -> Iterator[Values]:
    """Every entry but the first ones, older ones first: buckets in order, then the lists that are not merged yet."""
    place = 0
    for entries in _entries(db):
        for entry in ENTRY.iter_unpack(entries):
            place += 1
            if place > skip:
                yield entry


def _entries(db: Db) -> Iterator[bytes]:
    for (bucket,) in db.execute("SELECT id FROM identity_buckets ORDER BY id").fetchall():
        for table, first, after in (
            ("identity_pages", bucket * PAGES, (bucket + 1) * PAGES),
            ("identity_runs", run_of(bucket, 0), run_of(bucket + 1, 0)),
        ):
            sql = f"SELECT entries FROM {table} WHERE id >= ? AND id < ? ORDER BY id"  # noqa: S608  constants
            yield from (entries for (entries,) in db.execute(sql, (first, after)))
    yield from (entries for (entries,) in db.execute("SELECT entries FROM identity_lists ORDER BY last_seq"))


def _in_lists(rows: Iterator[Values], at_once: int) -> Iterator[list[Values]]:
    some: list[Values] = []
    for row in rows:
        some.append(row)
        if len(some) == at_once:
            yield some
            some = []
    if some:
        yield some


def _remember(db: Db, rows: Sequence[Values]) -> None:
    """Entries go onto the pages of the newest bucket, as a merge would bring them there."""
    until_ms = max(row[4] for row in rows)
    newest = db.execute("SELECT id, from_ms, count FROM identity_buckets ORDER BY id DESC LIMIT 1").fetchone()
    full = RECENT * MERGES_PER_BUCKET
    if newest is None or newest[2] + len(rows) > full or until_ms - newest[1] > BUCKET_SPAN_MS:
        sql = "INSERT INTO identity_buckets (from_ms, until_ms, count) VALUES (?1, ?1, 0)"
        bucket = db.execute(sql, (until_ms,)).lastrowid or 0
    else:
        bucket = newest[0]
    (run,) = db.execute(
        "UPDATE identity_buckets SET count = count + ?1, until_ms = max(until_ms, ?2), runs = (count + ?1) / ?3 + 1"
        " WHERE id = ?4 RETURNING runs - 1",
        (len(rows), until_ms, RECENT, bucket),
    ).fetchone()
    packed = (ENTRY.pack(*row) for row in rows)
    write_pages(db, bucket, run, ((one[:KEY_BYTES], one[KEY_BYTES:]) for one in packed))
