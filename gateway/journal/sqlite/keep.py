"""Keeping on SQLite: what is over goes in slices. A slice is looked for by a reader and done by the writer.

Once a batch is gone, its events stay counted in `lanes.removed_events`; once attempts are gone, what they told stays in
`lanes.removed`, below `floor_seq`. So the audit goes on to balance.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from gateway.journal import ledger
from gateway.journal.base import Keep, Kept
from gateway.journal.ledger import LaneBook
from gateway.journal.parts import Part, waiting_places
from gateway.journal.sqlite import attempts, lanes, rows, versions
from gateway.journal.sqlite.audit import last_seq
from gateway.journal.sqlite.connection import Db
from gateway.journal.sqlite.counting import parts, source_id
from gateway.journal.sqlite.filters import PAGES
from gateway.journal.sqlite.identities import ENTRY, LISTS_PER_SLICE, SLICES, run_of
from gateway.model import Lane, State

PAGES_PER_SLICE = 64
RUNS_PER_SLICE = 512
BATCHES_PER_SLICE = 32
EVENTS_PER_SLICE = 200
SEQS_PER_SLICE = 2_000
ATTEMPTS_PER_SLICE = 64
ROWS_PER_SLICE = 200
VERSIONS_PER_SLICE = 500
INTENTS_PER_SLICE = 100
REPLAYS_PER_SLICE = 100
LOOKED_THROUGH_MAX = 2_000
"""Rows that one look goes through to find something to remove; it goes on from there the next time."""
DAY_MS = 86_400_000

Slice = Callable[[Db], Kept]


class Place:
    """How far the log has been looked through for batches to remove, so that pinned ones are not met each time."""

    def __init__(self) -> None:
        self.after_seq = 0


def find(db: Db, rules: Keep, place: Place) -> Slice | None:
    """The next slice of what is over, or None."""
    return (
        _old_identities(db, rules)
        or _old_batches(db, rules, place)
        or _too_old(db, rules)
        or _old_attempts(db, rules)
        or _old_dead(db, rules)
        or _old_replays(db, rules)
        or _old_versions(db, rules)
        or _unwanted_intents(db)
    )


NOTHING = Kept(0, 0, 0, 0, 0, 0, more=False)


def _did(**counts: int) -> Kept:
    return replace(NOTHING, **counts, more=True)


# --- identities ------------------------------------------------------------------------------------------------------


def _old_identities(db: Db, rules: Keep) -> Slice | None:
    before_ms = rules.now_ms - rules.identities_ms
    row = db.execute("SELECT until_ms FROM identity_lists ORDER BY last_seq LIMIT 1").fetchone()
    if row is not None and row[0] < before_ms:
        return partial(_remove_lists, before_ms=before_ms)
    row = db.execute(_OLD_BUCKET, (before_ms, SLICES)).fetchone()
    return partial(_remove_pages, bucket=row[0], before_ms=before_ms) if row is not None else None


_OLD_BUCKET = (
    "SELECT id FROM identity_buckets WHERE until_ms < ?"
    " AND id NOT IN (SELECT bucket FROM identity_merge WHERE slice < ?) ORDER BY id LIMIT 1"
)
"""The oldest bucket that no window reaches. One that is being merged into stays until that is done."""


def _remove_lists(db: Db, before_ms: int) -> Kept:
    gone = db.execute(
        "DELETE FROM identity_lists WHERE until_ms < ? AND last_seq IN"
        " (SELECT last_seq FROM identity_lists ORDER BY last_seq LIMIT ?) RETURNING length(entries)",
        (before_ms, LISTS_PER_SLICE),
    ).fetchall()
    return _did(identities=sum(size for (size,) in gone) // ENTRY.size)


def _remove_pages(db: Db, bucket: int, before_ms: int) -> Kept:
    """Empty a bucket from its beginning; when it is empty it goes."""
    if db.execute(_OLD_BUCKET, (before_ms, SLICES)).fetchone() != (bucket,):
        return _did()
    gone = _emptied(db, "identity_runs", run_of(bucket, 0), run_of(bucket + 1, 0), RUNS_PER_SLICE)
    if not gone:
        gone = _emptied(db, "identity_pages", bucket * PAGES, (bucket + 1) * PAGES, PAGES_PER_SLICE)
    if not gone:
        db.execute("DELETE FROM identity_buckets WHERE id = ?", (bucket,))
    return _did(identities=sum(gone) // ENTRY.size)


def _emptied(db: Db, table: str, from_id: int, to_id: int, at_once: int) -> list[int]:
    """Remove the first rows of a table from one id, below another: the sizes of what they held."""
    rows = db.execute(
        f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE id >= ? AND id < ? ORDER BY id LIMIT ?)"  # noqa: S608  constants
        " RETURNING length(entries)",
        (from_id, to_id, at_once),
    ).fetchall()
    return [size for (size,) in rows]


# --- events ----------------------------------------------------------------------------------------------------------


class _Batch(NamedTuple):
    first_seq: int
    last_seq: int
    received_max_ms: int
    size_bytes: int


def _old_batches(db: Db, rules: Keep, place: Place) -> Slice | None:
    excess = _excess_bytes(db, rules)
    settled = ledger.settled_by_all(lanes.books(db))
    found: list[int] = []
    for looked, batch in enumerate(_batches(db, place.after_seq), 1):
        old = excess > 0 or batch.received_max_ms < rules.now_ms - rules.keep_ms
        if not old and batch.received_max_ms < rules.now_ms + DAY_MS:
            break
        place.after_seq = batch.first_seq
        if old and _removable(db, batch, settled):
            found.append(batch.first_seq)
            excess -= batch.size_bytes
        if len(found) == BATCHES_PER_SLICE or looked == LOOKED_THROUGH_MAX:
            return partial(_remove_batches, firsts=found)
    place.after_seq = 0
    return partial(_remove_batches, firsts=found) if found else None


def _excess_bytes(db: Db, rules: Keep) -> int:
    """How much more room than it may the log takes; not above 0: none."""
    if rules.max_bytes is None:
        return 0
    (size,) = db.execute("SELECT coalesce(sum(bytes), 0) FROM sources").fetchone()
    return int(size) - rules.max_bytes


def _batches(db: Db, after_seq: int) -> Iterator[_Batch]:
    """The batches in order, without the newest, which holds the head."""
    for row in db.execute(
        "SELECT first_seq, first_seq + count - 1, received_max_ms, length(payload) FROM batches"
        " WHERE first_seq > ? AND first_seq < (SELECT max(first_seq) FROM batches) ORDER BY first_seq",
        (after_seq,),
    ):
        yield _Batch._make(row)


def _removable(db: Db, batch: _Batch, settled: dict[str, int]) -> bool:
    """Whether every lane has settled the batch, and no row needs an event of it. A letter that has expired needs none:
    it only says what was lost.
    """
    names = db.execute(
        "SELECT s.name FROM batch_sources b JOIN sources s ON s.id = b.source_id WHERE b.first_seq = ?",
        (batch.first_seq,),
    ).fetchall()
    if any(settled.get(name, batch.last_seq) < batch.last_seq for (name,) in names):
        return False
    needed = db.execute(
        "SELECT 1 FROM parked WHERE seq BETWEEN ? AND ? AND reason <> 'expired' LIMIT 1",
        (batch.first_seq, batch.last_seq),
    ).fetchone()
    return needed is None


def _remove_batches(db: Db, firsts: list[int]) -> Kept:
    books = {book.lane.id: book for book in lanes.books(db)}
    settled = ledger.settled_by_all(books.values())
    count = 0
    for first_seq in firsts:
        row = db.execute(
            "SELECT first_seq, first_seq + count - 1, received_max_ms, length(payload) FROM batches"
            " WHERE first_seq = ?",
            (first_seq,),
        ).fetchone()
        if row is not None and _removable(db, _Batch._make(row), settled):
            count += _remove_batch(db, first_seq, books)
    return _did(events=count)


def _remove_batch(db: Db, first_seq: int, books: dict[int, LaneBook]) -> int:
    size, count = db.execute(
        "DELETE FROM batches WHERE first_seq = ? RETURNING length(payload), count", (first_seq,)
    ).fetchone()
    held = db.execute(
        "SELECT s.id, s.name, b.first_seq, b.last_seq, b.count, b.total_before, b.places FROM batch_sources b"
        " JOIN sources s ON s.id = b.source_id WHERE b.first_seq = ? ORDER BY s.id",
        (first_seq,),
    ).fetchall()
    db.execute("UPDATE sources SET bytes = bytes - ? WHERE id = ?", (size, held[0][0]))
    for number, name, *part in held:
        db.execute("DELETE FROM batch_sources WHERE source_id = ? AND first_seq = ?", (number, first_seq))
        _book_removed(db, name, Part(*part), books)
    return int(count)


def _book_removed(db: Db, source: str, part: Part, books: dict[int, LaneBook]) -> None:
    """The lanes of the source write down how many of their settled events are gone."""
    for book in list(books.values()):
        lane = book.lane
        count = part.between(lane.start_seq, min(lane.cursor, part.last_seq)) if lane.source == source else 0
        if count:
            after = book._replace(removed_events=book.removed_events + count)
            books[lane.id] = after
            db.execute("UPDATE lanes SET removed_events = ? WHERE id = ?", (after.removed_events, lane.id))


# --- what waited too long --------------------------------------------------------------------------------------------


def _too_old(db: Db, rules: Keep) -> Slice | None:
    """A lane whose oldest waiting events are beyond `keep_at_most_ms`; or, where the log takes too much room, the lane
    that holds its oldest batch.
    """
    over = _excess_bytes(db, rules) > 0
    before_ms = rules.now_ms - rules.keep_at_most_ms
    oldest: tuple[int, Lane] | None = None
    for book in lanes.books(db):
        first = _first_waiting(db, book.lane)
        if first is None:
            continue
        if _received_max_ms(db, first) < before_ms:
            return partial(_expire, number=book.lane.id, before_ms=before_ms, at_ms=rules.now_ms)
        if over and (oldest is None or first.first_seq < oldest[0]):
            oldest = first.first_seq, book.lane
    if oldest is None:
        return None
    return partial(_expire, number=oldest[1].id, before_ms=None, at_ms=rules.now_ms)


def _first_waiting(db: Db, lane: Lane) -> Part | None:
    number = source_id(db, lane.source)
    if lane.ended or number is None:
        return None
    to_seq = last_seq(db, lane)
    return next((part for part in parts(db, number, lane.cursor, to_seq) if waiting_places(part, lane, to_seq)), None)


def _received_max_ms(db: Db, part: Part) -> int:
    row = db.execute("SELECT received_max_ms FROM batches WHERE first_seq = ?", (part.first_seq,)).fetchone()
    return int(row[0]) if row else 0


def _expire(db: Db, number: int, before_ms: int | None, at_ms: int) -> Kept:
    """The oldest waiting events of a lane become dead."""
    book = lanes.book(db, number)
    lane = book.lane
    seqs = [] if lane.ended else _expiring(db, lane, before_ms)
    if not seqs:
        return _did()
    rows.upsert(db, lane.id, ((ledger.expired(seq, at_ms), 0) for seq in seqs))
    lanes.write(db, book._replace(lane=ledger.after_expiry(lane, seqs)))
    lanes.operated(db)
    return _did(expired=len(seqs))


def _expiring(db: Db, lane: Lane, before_ms: int | None) -> list[int]:
    number, to_seq = source_id(db, lane.source) or 0, last_seq(db, lane)
    seqs: list[int] = []
    for part in parts(db, number, lane.cursor, to_seq):
        if before_ms is not None and _received_max_ms(db, part) >= before_ms:
            break
        seqs += waiting_places(part, lane, to_seq)
        if before_ms is None or len(seqs) >= EVENTS_PER_SLICE:
            break
    return seqs[:EVENTS_PER_SLICE]


# --- attempts and dead letters ---------------------------------------------------------------------------------------


def _old_attempts(db: Db, rules: Keep) -> Slice | None:
    """A lane with attempts that are over: the audit's floor has to pass them first."""
    before_ms = rules.now_ms - rules.attempts_ms
    cursors = {book.lane.id: book.lane.cursor for book in lanes.books(db)}
    found = db.execute(
        "SELECT lane, last_seq, counted FROM attempts WHERE at_ms < ? ORDER BY at_ms LIMIT ?",
        (before_ms, LOOKED_THROUGH_MAX),
    )
    over = [(lane, seq) for lane, seq, counted in found if not counted or seq <= cursors.get(lane, seq)]
    if not over:
        return None
    number = over[0][0]
    to_seq = max(seq for lane, seq in over if lane == number)
    return partial(_remove_attempts, number=number, to_seq=to_seq, before_ms=before_ms)


def _remove_attempts(db: Db, number: int, to_seq: int, before_ms: int) -> Kept:
    book = lanes.book(db, number)
    to_seq = min(to_seq, book.lane.cursor, book.floor_seq + SEQS_PER_SLICE)
    if to_seq > book.floor_seq:
        book = _raise_floor(db, book, to_seq)
        lanes.write(db, book)
    count = db.execute(
        "DELETE FROM attempts WHERE id IN (SELECT id FROM attempts WHERE lane = ? AND at_ms < ?"
        " AND (counted = 0 OR last_seq <= ?) LIMIT ?)",
        (number, before_ms, book.floor_seq, ATTEMPTS_PER_SLICE),
    ).rowcount
    return _did(attempts=count)


def _raise_floor(db: Db, book: LaneBook, to_seq: int) -> LaneBook:
    """What is settled for good up to here is no longer recounted: it stands in `removed`. A skip goes as a whole."""
    lane = book.lane.id
    skip = db.execute(
        "SELECT last_seq FROM skips WHERE lane = ? AND after_seq < ? AND last_seq > ?", (lane, to_seq, to_seq)
    ).fetchone()
    to_seq = skip[0] if skip else to_seq
    with_rows = [
        row[0]
        for row in db.execute(
            "SELECT DISTINCT seq FROM parked WHERE lane = ? AND seq > ? AND seq <= ?", (lane, book.floor_seq, to_seq)
        )
    ]
    removed = ledger.plus(book.removed, attempts.recount(db, lane, book.floor_seq, to_seq, with_rows))
    gone = db.execute("DELETE FROM skips WHERE lane = ? AND last_seq <= ? RETURNING count", (lane, to_seq)).fetchall()
    removed = ledger.add(removed, State.DISCARDED, sum(row[0] for row in gone))
    return book._replace(floor_seq=to_seq, removed=removed)


def _old_dead(db: Db, rules: Keep) -> Slice | None:
    found = db.execute(
        "SELECT lane, seq, part FROM parked WHERE state = 'dead' AND at_ms < ? ORDER BY at_ms LIMIT ?",
        (rules.now_ms - rules.dead_ms, ROWS_PER_SLICE),
    ).fetchall()
    if not found:
        return None
    lane = found[0][0]
    refs = [(seq, part) for number, seq, part in found if number == lane]
    return partial(_remove_dead, number=lane, refs=refs, at_ms=rules.now_ms)


def _remove_dead(db: Db, number: int, refs: list[tuple[int, str]], at_ms: int) -> Kept:
    """Dead letters whose time is over. Their events stay dead in the books."""
    still = {
        (seq, part)
        for seq, event in rows.standing(db, number, {seq for seq, _ in refs}).items()
        for part, row in event.rows.items()
        if row.state is State.DEAD
    }
    going = [ref for ref in refs if ref in still]
    if going:
        lanes.write(db, rows.let_go(db, lanes.book(db, number), going, State.DEAD, at_ms))
    return _did(dead=len(going))


# --- replays, versions, intents --------------------------------------------------------------------------------------


def _old_replays(db: Db, rules: Keep) -> Slice | None:
    before_ms = rules.now_ms - rules.dead_ms
    if db.execute(_REPLAYS_OVER, (before_ms, 1)).fetchone() or db.execute(_LANES_OVER, (before_ms, 1)).fetchone():
        return partial(_remove_replays, before_ms=before_ms)
    return None


def _remove_replays(db: Db, before_ms: int) -> Kept:
    """Lanes of replays that are over go first, then the replays that have none."""
    lanes_ = db.execute(_LANES_OVER, (before_ms, REPLAYS_PER_SLICE)).fetchall()
    db.executemany("DELETE FROM skips WHERE lane = ?", lanes_)
    db.executemany("DELETE FROM lanes WHERE id = ?", lanes_)
    replays = db.execute(_REPLAYS_OVER, (before_ms, REPLAYS_PER_SLICE)).fetchall()
    db.executemany("DELETE FROM replays WHERE id = ?", replays)
    return _did(replays=len(replays))


_LANES_OVER = """
SELECT l.id FROM replays r JOIN lanes l ON l.kind = r.id
WHERE r.at_ms < ? AND (l.ended OR l.cursor >= l.end_seq)
    AND NOT EXISTS (SELECT 1 FROM parked p WHERE p.lane = l.id)
    AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.lane = l.id) LIMIT ?
"""
_REPLAYS_OVER = """
SELECT r.id FROM replays r WHERE r.at_ms < ? AND NOT EXISTS (SELECT 1 FROM lanes l WHERE l.kind = r.id) LIMIT ?
"""


def _old_versions(db: Db, rules: Keep) -> Slice | None:
    before_ms = rules.now_ms - rules.keep_ms
    return partial(_remove_versions, before_ms=before_ms) if versions.are_old(db, before_ms) else None


def _remove_versions(db: Db, before_ms: int) -> Kept:
    versions.remove_old(db, before_ms, VERSIONS_PER_SLICE)
    return _did()


def _unwanted_intents(db: Db) -> Slice | None:
    return _remove_intents if db.execute(_INTENTS_OVER, (1,)).fetchone() else None


def _remove_intents(db: Db) -> Kept:
    """Intents whose lanes have all ended, or are gone."""
    db.executemany("DELETE FROM intents WHERE key = ?", db.execute(_INTENTS_OVER, (INTENTS_PER_SLICE,)).fetchall())
    return _did()


_INTENTS_OVER = """
SELECT i.key FROM intents i WHERE i.lanes IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM json_each(i.lanes) m JOIN lanes l ON l.id = m.value WHERE NOT l.ended
) LIMIT ?
"""
