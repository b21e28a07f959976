"""Identities in tables by time: inserts stay in one small tree, and what has expired goes as a whole.

The bucket in force is the newest row of `identity_buckets`. It is rotated by the offers' own times inside the append,
so that all processes agree. A look goes through every bucket, newest first: a younger entry hides an older one.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from gateway.journal.admission import Key, Known
from gateway.journal.sqlite.connection import Db

SPAN_MS_MIN = 3_600_000
"""No bucket is shorter, however short the windows."""
KEYS_PER_LOOK = (8, 64, 512)
"""Statements are prepared for so many keys; what is missing is filled up with the first one."""


class Bucket(NamedTuple):
    """One table of identities."""

    id: int
    from_ms: int
    until_ms: int | None
    window_ms: int

    @property
    def table(self) -> str:
        return f"identities_{self.id}"


def buckets(db: Db) -> list[Bucket]:
    """Every bucket, the one in force first."""
    return [
        Bucket._make(row)
        for row in db.execute("SELECT id, from_ms, until_ms, window_ms FROM identity_buckets ORDER BY id DESC")
    ]


def look(db: Db, found_in: Iterable[Bucket], keys: Collection[Key], numbers: Mapping[str, int]) -> dict[Key, Known]:
    """What is known of these identities. `numbers`: the sources' ids."""
    wanted = {(numbers[source], identity): (source, identity) for source, identity in keys if source in numbers}
    known: dict[Key, Known] = {}
    hashes = list({identity for _, identity in wanted})
    for bucket in found_in:
        for hash_, number, seq, tail, at_ms in _rows(db, bucket, hashes):
            key = wanted.get((number, hash_))
            if key is not None:
                known.setdefault(key, Known(seq, tail, at_ms))
    return known


def remember(db: Db, bucket: Bucket, identities: Mapping[Key, Known], numbers: Mapping[str, int]) -> None:
    """Write identities down, over older ones. Sorted, so that neighbours share pages."""
    rows = sorted((identity, numbers[source], *known) for (source, identity), known in identities.items())
    db.executemany(f"INSERT OR REPLACE INTO {bucket.table} VALUES (?, ?, ?, ?, ?)", rows)  # noqa: S608  a number


def in_force(db: Db, all_of_them: list[Bucket], at_ms: int, window_ms: int) -> Bucket:
    """The bucket to write to at this time; a new one when the newest has had its span, or the clock has jumped."""
    newest = all_of_them[0] if all_of_them else None
    if newest is None:
        return _begin(db, at_ms, window_ms)
    window_ms = max(window_ms, newest.window_ms)
    span_ms = max(window_ms // 2, SPAN_MS_MIN)
    if abs(at_ms - newest.from_ms) >= span_ms:
        db.execute("UPDATE identity_buckets SET until_ms = ? WHERE id = ?", (at_ms, newest.id))
        return _begin(db, at_ms, window_ms)
    if window_ms > newest.window_ms:
        db.execute("UPDATE identity_buckets SET window_ms = ? WHERE id = ?", (window_ms, newest.id))
    return newest


def _begin(db: Db, at_ms: int, window_ms: int) -> Bucket:
    number = db.execute("INSERT INTO identity_buckets (from_ms, window_ms) VALUES (?, ?)", (at_ms, window_ms)).lastrowid
    bucket = Bucket(number or 0, at_ms, None, window_ms)
    db.execute(
        f"CREATE TABLE {bucket.table} (hash BLOB, source_id INTEGER, seq INTEGER NOT NULL, tail BLOB NOT NULL,"
        " at_ms INTEGER NOT NULL, PRIMARY KEY (hash, source_id)) STRICT, WITHOUT ROWID"
    )
    return bucket


def _rows(db: Db, bucket: Bucket, hashes: list[bytes]) -> Iterable[tuple[bytes, int, int, bytes, int]]:
    for start in range(0, len(hashes), KEYS_PER_LOOK[-1]):
        chunk = hashes[start : start + KEYS_PER_LOOK[-1]]
        size = next(size for size in KEYS_PER_LOOK if size >= len(chunk))
        marks = ", ".join("?" * size)
        chunk += [chunk[0]] * (size - len(chunk))
        yield from db.execute(
            f"SELECT hash, source_id, seq, tail, at_ms FROM {bucket.table} WHERE hash IN ({marks})",  # noqa: S608  a number and marks
            chunk,
        )
