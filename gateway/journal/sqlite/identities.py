"""Identities: one list a group beside its batch, merged into pages by and by.

A row for each identity, at a random place of a tree, costs as much as its event and more with every million
(docs/performance.md). So a commit appends one list. Lists that are not merged yet are held in memory too; when they are
many they are merged, a slice with each append, into the bucket in force: an identity's first bits tell its page. Each
page has a filter, held in memory, so that a new identity seldom makes a read. What no window reaches any more goes
bucket by bucket.

Nothing is in memory that does not lie in rows: `follow` brings it up to what is committed, by whatever process.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from struct import Struct
from typing import NamedTuple

from gateway.journal.admission import Key, Known
from gateway.journal.sqlite.connection import Db
from gateway.journal.sqlite.filters import NO_FILTER, PAGES, Filters, is_old, page_of, with_names

RECENT = 65_536
"""Identities in lists before they are merged. One takes about 160 bytes of memory."""
MERGES_PER_BUCKET = 16
"""What each of them adds to a page is a row: the more there are, the more is read where a filter does not rule it out.
The more buckets, the more is looked through, and the more memory do filters take."""
SPAN_MS_MIN = 3_600_000
"""No bucket is shorter, however short the windows."""
SLICES = 64
"""A merge is done in so many slices, each with one append."""
RUNS_MAX = 64
"""Of merges into one bucket; there are fewer."""
GATHERS = 4
"""What merges have added to the pages of a bucket is brought together when the next one begins, with so many merges:
each takes a quarter of the pages.
"""
LISTS_PER_SLICE = 256
"""Merged lists are removed so many at a time."""

ENTRY = Struct(">16sIQ4sQ")
"""The identity, its source's id; the event's seq, the end of its group's id, when it was received."""
_KEY = Struct(">16sI")
KEY_BYTES = _KEY.size
_KNOWN = Struct(">Q4sQ")

_PAGES_PER_SLICE = PAGES // SLICES
_PAGES_PER_GATHER = _PAGES_PER_SLICE // GATHERS
_SEQ_MAX = (1 << 63) - 1


class Merge(NamedTuple):
    """The last merge, as its row tells."""

    number: int
    bucket: int
    to_seq: int
    slice: int


class Identities:
    """What a writer holds of identities. Every call is inside a transaction of the writer's.

    A connection that met trouble is never used again, so that what was read in a transaction that came to nothing is
    forgotten with it.
    """

    def __init__(self, recent: int = RECENT) -> None:
        self._recent = recent
        self._window_ms = 0
        self._forget(None)

    @property
    def held(self) -> int:
        """How many identities are in memory."""
        return sum(map(len, self._fresh)) + sum(map(len, self._going))

    # --- what an append does -----------------------------------------------------------------------------------------

    def look(self, db: Db, keys: Iterable[Key], numbers: Mapping[str, int]) -> dict[Key, Known]:
        """What is known of these identities. `numbers`: the sources' ids."""
        self._follow(db)
        fresh, going, filters = self._fresh, self._going, self._filters
        known: dict[Key, Known] = {}
        for key in keys:
            name = _KEY.pack(key[1], numbers[key[0]])
            place = name[0] >> 2
            found = fresh[place].get(name) or going[place].get(name)
            if found is None and (left := filters.left(name)):
                found = self._on_disk(db, name, left)
            if found is not None:
                known[key] = Known._make(_KNOWN.unpack(found))
        return known

    def remember(
        self, db: Db, identities: Mapping[Key, Known], last_seq: int, window_ms: int, numbers: Mapping[str, int]
    ) -> None:
        """Write the list of a group whose last event is `last_seq`, and bring the merge a slice further."""
        entries = b"".join([ENTRY.pack(key[1], numbers[key[0]], *known) for key, known in identities.items()])
        self._window_ms = max(self._window_ms, window_ms)
        until_ms = max([known.at_ms for known in identities.values()])
        db.execute(
            "INSERT INTO identity_lists (last_seq, until_ms, entries) VALUES (?, ?, ?)", (last_seq, until_ms, entries)
        )
        if self._merge.slice < SLICES:
            self._merge_slice(db)
        elif not (self._merged_lists and self._remove_lists(db)) and self._count >= self._recent:
            self._begin(db)

    # --- memory ------------------------------------------------------------------------------------------------------

    def _forget(self, db: Db | None) -> None:
        self._of = db
        self._merge = Merge(0, 0, 0, SLICES)
        self._seen_seq = 0
        self._filters = Filters()
        self._runs: dict[int, int] = {}
        """Of each bucket, the merges that added to it."""
        self._going: list[dict[bytes, bytes]] = _empty()
        self._merged_lists = True
        self._renew()

    def _renew(self) -> None:
        self._fresh: list[dict[bytes, bytes]] = _empty()
        self._count = 0
        self._until_ms = 0

    def _follow(self, db: Db) -> None:
        """Bring memory up to what is committed, and written in this transaction."""
        merge = Merge._make(db.execute("SELECT number, bucket, to_seq, slice FROM identity_merge").fetchone())
        if db is not self._of or merge != self._merge:
            self._follow_merge(db, merge)
        self._read_lists(db, _SEQ_MAX)

    def _follow_merge(self, db: Db, merge: Merge) -> None:
        """One step after the other where it was seen to begin, else from nothing."""
        if db is not self._of or merge.number > self._merge.number + 1:
            self._forget(db)
            self._merge = merge._replace(number=merge.number - 1, slice=SLICES)
            self._follow_buckets(db)
            self._read_filters(db, 0, _SEQ_MAX)
        if merge.number > self._merge.number:
            self._follow_slices(db, SLICES)
            self._read_lists(db, merge.to_seq)
            self._going = self._fresh
            self._renew()
            self._merge = merge._replace(slice=0)
            self._follow_buckets(db)
        self._follow_slices(db, merge.slice)

    def _follow_slices(self, db: Db, to_slice: int) -> None:
        """What these slices have merged is on pages now: their filters tell of it."""
        done, first = self._merge.slice, self._merge.bucket * PAGES
        if done == to_slice:
            return
        self._read_filters(db, first + done * _PAGES_PER_SLICE, first + to_slice * _PAGES_PER_SLICE)
        self._going[done:to_slice] = [{} for _ in range(done, to_slice)]
        self._merge = self._merge._replace(slice=to_slice)
        self._merged_lists = True

    def _read_lists(self, db: Db, to_seq: int) -> None:
        fresh = self._fresh
        for last_seq, until_ms, entries in db.execute(
            "SELECT last_seq, until_ms, entries FROM identity_lists WHERE last_seq > ? AND last_seq <= ?"
            " ORDER BY last_seq",
            (self._seen_seq, to_seq),
        ):
            for at in range(0, len(entries), ENTRY.size):
                name = entries[at : at + _KEY.size]
                fresh[name[0] >> 2][name] = entries[at + _KEY.size : at + ENTRY.size]
            self._seen_seq = last_seq
            self._count += len(entries) // ENTRY.size
            self._until_ms = max(self._until_ms, until_ms)

    def _read_filters(self, db: Db, from_id: int, to_id: int) -> None:
        for id_, filter_ in db.execute(
            "SELECT id, filter FROM identity_pages WHERE id >= ? AND id < ? ORDER BY id", (from_id, to_id)
        ):
            bucket, page = divmod(id_, PAGES)
            self._filters.put(bucket, page, filter_)

    def _follow_buckets(self, db: Db) -> None:
        self._runs = dict(db.execute("SELECT id, runs FROM identity_buckets"))
        self._filters.follow(self._runs)

    # --- pages -------------------------------------------------------------------------------------------------------

    def _on_disk(self, db: Db, name: bytes, left: int) -> bytes | None:
        """What the newest of these buckets that knows this identity says of it."""
        for bucket in self._filters.buckets(left):
            found = _last(_entries(db, bucket, page_of(name), self._runs[bucket]), name)
            if found is not None:
                return found
        return None

    def _begin(self, db: Db) -> None:
        """Begin to merge what is held. A new bucket when the newest is full or has had its time."""
        newest = db.execute("SELECT id, from_ms, count FROM identity_buckets ORDER BY id DESC LIMIT 1").fetchone()
        span_ms = max(self._window_ms // 2, SPAN_MS_MIN)
        full = self._recent * MERGES_PER_BUCKET
        if newest is None or newest[2] >= full or abs(self._until_ms - newest[1]) >= span_ms:
            bucket = db.execute(
                "INSERT INTO identity_buckets (from_ms, until_ms, count) VALUES (?1, ?1, 0)", (self._until_ms,)
            ).lastrowid
        else:
            bucket = newest[0]
        db.execute(
            "UPDATE identity_buckets SET count = count + ?, until_ms = max(until_ms, ?), runs = runs + 1 WHERE id = ?",
            (self._count, self._until_ms, bucket),
        )
        db.execute(
            "UPDATE identity_merge SET number = number + 1, bucket = ?, to_seq = ?, slice = 0", (bucket, self._seen_seq)
        )

    def _merge_slice(self, db: Db) -> None:
        """Write the next pages. Memory follows when it reads what was written."""
        merge, run = self._merge, self._runs[self._merge.bucket] - 1
        write_pages(db, merge.bucket, run, self._going[merge.slice].items())
        if run < GATHERS:
            self._gather(db, merge, run)
        db.execute("UPDATE identity_merge SET slice = slice + 1")

    def _gather(self, db: Db, merge: Merge, run: int) -> None:
        """The first merges into a bucket bring some pages each of the bucket before together."""
        before = max((bucket for bucket in self._runs if bucket < merge.bucket), default=0)
        runs = self._runs.get(before, 0)
        if not runs:
            return
        first = merge.slice * _PAGES_PER_SLICE + run * _PAGES_PER_GATHER
        gather(db, before, range(first, first + _PAGES_PER_GATHER), runs)
        if (merge.slice, run) == (SLICES - 1, GATHERS - 1):
            db.execute(
                "UPDATE identity_buckets SET runs = 0 WHERE id = ?"
                " AND NOT EXISTS (SELECT 1 FROM identity_runs WHERE id >= ? AND id < ?)",
                (before, run_of(before, 0), run_of(before + 1, 0)),
            )

    def _remove_lists(self, db: Db) -> bool:
        """Lists that are merged are of no use any more. Gives whether there were any."""
        gone = db.execute(
            "DELETE FROM identity_lists WHERE last_seq IN"
            " (SELECT last_seq FROM identity_lists WHERE last_seq <= ? ORDER BY last_seq LIMIT ?)",
            (self._merge.to_seq, LISTS_PER_SLICE),
        ).rowcount
        self._merged_lists = gone == LISTS_PER_SLICE
        return gone > 0


def _entries(db: Db, bucket: int, page: int, runs: int) -> bytes:
    """All that lies on a page of a bucket, older ones first."""
    rows = db.execute("SELECT entries FROM identity_pages WHERE id = ?", (bucket * PAGES + page,)).fetchall()
    marks = ", ".join("?" * runs)
    if runs:
        rows += db.execute(
            f"SELECT entries FROM identity_runs WHERE id IN ({marks}) ORDER BY id",  # noqa: S608  question marks
            [run_of(bucket, run) + page for run in range(runs)],
        )
    return b"".join([entries for (entries,) in rows])


def write_pages(db: Db, bucket: int, run: int, identities: Iterable[tuple[bytes, bytes]]) -> None:
    """Add identities, each with what is known of it, to the pages of a bucket. `run`: the number of what is added,
    which may be there.
    """
    fresh: defaultdict[int, list[bytes]] = defaultdict(list)
    for name, known in identities:
        fresh[page_of(name)] += (name, known)
    if not fresh:
        return
    first = bucket * PAGES
    filters = {
        id_ - first: filter_
        for id_, filter_ in db.execute(
            "SELECT id, filter FROM identity_pages WHERE id >= ? AND id <= ?", (first + min(fresh), first + max(fresh))
        )
    }
    for page, parts in fresh.items():
        filter_, names = filters.get(page, NO_FILTER), parts[::2]
        if is_old(filter_):
            filter_, names = NO_FILTER, [*names, *_names(_entries(db, bucket, page, run + 1))]
        filters[page] = with_names(filter_, names)
    db.executemany(
        "INSERT INTO identity_pages (id, filter, entries) VALUES (?1, ?2, x'')"
        " ON CONFLICT (id) DO UPDATE SET filter = ?2",
        [(first + page, filters[page]) for page in sorted(fresh)],
    )
    db.executemany(
        "INSERT INTO identity_runs (id, entries) VALUES (?1, ?2)"
        " ON CONFLICT (id) DO UPDATE SET entries = CAST(entries || ?2 AS BLOB)",
        [(run_of(bucket, run) + page, b"".join(parts)) for page, parts in sorted(fresh.items())],
    )


def gather(db: Db, bucket: int, pages: range, runs: int) -> None:
    """Bring together what merges have added to pages, so that one row is read of each."""
    together = [(_entries(db, bucket, page, runs), bucket * PAGES + page) for page in pages]
    db.executemany("UPDATE identity_pages SET entries = ? WHERE id = ?", together)
    first = [run_of(bucket, run) for run in range(runs)]
    gone = [(one + pages.start, one + pages.stop) for one in first]
    db.executemany("DELETE FROM identity_runs WHERE id >= ? AND id < ?", gone)


def run_of(bucket: int, run: int) -> int:
    """Where the rows begin that a merge has added to a bucket."""
    return (bucket * RUNS_MAX + run) * PAGES


def _empty() -> list[dict[bytes, bytes]]:
    """What each slice of a merge will hold."""
    return [{} for _ in range(SLICES)]


def _names(entries: bytes) -> list[bytes]:
    """The identities on a page."""
    return [entries[at : at + _KEY.size] for at in range(0, len(entries), ENTRY.size)]


def _last(entries: bytes, name: bytes) -> bytes | None:
    """What a page says of an identity: the last entry is the youngest."""
    at = entries.rfind(name)
    while at > 0 and at % ENTRY.size:
        at = entries.rfind(name, 0, at + len(name) - 1)
    return None if at < 0 else entries[at + _KEY.size : at + ENTRY.size]
