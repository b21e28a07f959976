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

RECENT = 65_536
"""Identities in lists before they are merged. One takes about 160 bytes of memory."""
MERGES_PER_BUCKET = 16
"""A merge rewrites its bucket: the larger the bucket, the more is written; the more buckets, the more is looked
through."""
SPAN_MS_MIN = 3_600_000
"""No bucket is shorter, however short the windows."""
PAGES = 2048
SLICES = 64
"""A merge is done in so many slices, each with one append."""
LISTS_PER_SLICE = 256
"""Merged lists are removed so many at a time."""
FILTER_BYTES = 1024
"""Of each page: five bits of these are set for an identity. A full bucket's say wrongly of 1 in 700 that it is there.
"""
BITS = 5
OLD_BITS = 2
"""What a filter without a mark was made with: it says so of 1 in 70."""

ENTRY = Struct(">16sIQ4sQ")
"""The identity, its source's id; the event's seq, the end of its group's id, when it was received."""
_KEY = Struct(">16sI")
KEY_BYTES = _KEY.size
_KNOWN = Struct(">Q4sQ")

_PAGES_PER_SLICE = PAGES // SLICES
_SEQ_MAX = (1 << 63) - 1
_NO_FILTER = bytes(FILTER_BYTES) + bytes([BITS])
"""The mark stands behind the bits."""


Spots = tuple[int, int, int, int, int]


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
        fresh, going = self._fresh, self._going
        known: dict[Key, Known] = {}
        for key in keys:
            name = _KEY.pack(key[1], numbers[key[0]])
            place = name[0] >> 2
            found = fresh[place].get(name) or going[place].get(name) or self._on_disk(db, name)
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
        self._filters: list[tuple[int, list[bytes]]] = []
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
            self._read_filters(db, 0, _SEQ_MAX)
        if merge.number > self._merge.number:
            self._follow_slices(db, SLICES)
            self._read_lists(db, merge.to_seq)
            self._going = self._fresh
            self._renew()
            self._merge = merge._replace(slice=0)
            self._forget_buckets(db)
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
        for page, filter_ in db.execute(
            "SELECT id, filter FROM identity_pages WHERE id >= ? AND id < ? ORDER BY id", (from_id, to_id)
        ):
            bucket = page // PAGES
            if not self._filters or self._filters[0][0] != bucket:
                self._filters.insert(0, (bucket, [_NO_FILTER] * PAGES))
            self._filters[0][1][page % PAGES] = filter_

    def _forget_buckets(self, db: Db) -> None:
        there = {bucket for (bucket,) in db.execute("SELECT id FROM identity_buckets")}
        self._filters = [one for one in self._filters if one[0] in there]

    # --- pages -------------------------------------------------------------------------------------------------------

    def _on_disk(self, db: Db, name: bytes) -> bytes | None:
        """What the youngest bucket that knows this identity says of it."""
        page, spots = _page(name), spots_of(name)
        one, bit, other, other_bit = spots[0] >> 3, 1 << (spots[0] & 7), spots[1] >> 3, 1 << (spots[1] & 7)
        for bucket, filters in self._filters:
            bits = filters[page]
            if bits[one] & bit and bits[other] & other_bit and may_have(bits, spots):
                row = db.execute("SELECT entries FROM identity_pages WHERE id = ?", (bucket * PAGES + page,)).fetchone()
                found = _last(row[0], name) if row else None
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
            "UPDATE identity_buckets SET count = count + ?, until_ms = max(until_ms, ?) WHERE id = ?",
            (self._count, self._until_ms, bucket),
        )
        db.execute(
            "UPDATE identity_merge SET number = number + 1, bucket = ?, to_seq = ?, slice = 0", (bucket, self._seen_seq)
        )

    def _merge_slice(self, db: Db) -> None:
        """Write the next pages. Memory follows when it reads what was written."""
        merge = self._merge
        write_pages(db, merge.bucket, self._going[merge.slice].items())
        db.execute("UPDATE identity_merge SET slice = slice + 1")

    def _remove_lists(self, db: Db) -> bool:
        """Lists that are merged are of no use any more. Gives whether there were any."""
        gone = db.execute(
            "DELETE FROM identity_lists WHERE last_seq IN"
            " (SELECT last_seq FROM identity_lists WHERE last_seq <= ? ORDER BY last_seq LIMIT ?)",
            (self._merge.to_seq, LISTS_PER_SLICE),
        ).rowcount
        self._merged_lists = gone == LISTS_PER_SLICE
        return gone > 0


def write_pages(db: Db, bucket: int, identities: Iterable[tuple[bytes, bytes]]) -> None:
    """Add identities, each with what is known of it, to the pages of a bucket."""
    fresh: defaultdict[int, list[bytes]] = defaultdict(list)
    for name, known in identities:
        fresh[bucket * PAGES + _page(name)] += (name, known)
    if not fresh:
        return
    there = {
        page: (filter_, entries)
        for page, filter_, entries in db.execute(
            "SELECT id, filter, entries FROM identity_pages WHERE id >= ? AND id <= ?", (min(fresh), max(fresh))
        )
    }
    rows = []
    for page, parts in sorted(fresh.items()):
        filter_, entries = there.get(page, (_NO_FILTER, b""))
        names = parts[::2]
        if _is_old(filter_):
            filter_, names = _NO_FILTER, [*names, *_names(entries)]
        rows.append((page, _with(filter_, names), entries + b"".join(parts)))
    db.executemany("INSERT OR REPLACE INTO identity_pages (id, filter, entries) VALUES (?, ?, ?)", rows)


def _empty() -> list[dict[bytes, bytes]]:
    """What each slice of a merge will hold."""
    return [{} for _ in range(SLICES)]


def _page(name: bytes) -> int:
    """Where an identity lies in its bucket."""
    return (name[0] << 8 | name[1]) >> 5


def spots_of(name: bytes) -> Spots:
    """The places of its bits in the page's filter: behind the eleven bits that tell the page."""
    bits = int.from_bytes(name[:10], "big")
    return bits >> 56 & 0x1FFF, bits >> 43 & 0x1FFF, bits >> 30 & 0x1FFF, bits >> 17 & 0x1FFF, bits >> 4 & 0x1FFF


def may_have(filter_: bytes, spots: Spots) -> bool:
    """Whether an identity with these bits may be on the page."""
    return all(filter_[spot >> 3] >> (spot & 7) & 1 for spot in (spots[:OLD_BITS] if _is_old(filter_) else spots))


def _is_old(filter_: bytes) -> bool:
    return len(filter_) == FILTER_BYTES


def _with(filter_: bytes, names: Iterable[bytes]) -> bytes:
    bits = bytearray(filter_)
    for name in names:
        for spot in spots_of(name):
            bits[spot >> 3] |= 1 << (spot & 7)
    return bytes(bits)


def _names(entries: bytes) -> list[bytes]:
    """The identities on a page."""
    return [entries[at : at + _KEY.size] for at in range(0, len(entries), ENTRY.size)]


def _last(entries: bytes, name: bytes) -> bytes | None:
    """What a page says of an identity: the last entry is the youngest."""
    at = entries.rfind(name)
    while at > 0 and at % ENTRY.size:
        at = entries.rfind(name, 0, at + len(name) - 1)
    return None if at < 0 else entries[at + _KEY.size : at + ENTRY.size]
