"""How many events of a source lie where, from running totals and bitmaps; no batch is ever unpacked for it."""

from collections.abc import Iterator

from gateway.journal import parts as pieces
from gateway.journal.parts import Part
from gateway.journal.sqlite.connection import Db
from gateway.model import Ranges

_COLUMNS = "first_seq, last_seq, count, total_before, places"


def source_id(db: Db, name: str) -> int | None:
    """The number of a source, or None while it has no event."""
    row = db.execute("SELECT id FROM sources WHERE name = ?", (name,)).fetchone()
    return row[0] if row else None


def head_seq(db: Db) -> int:
    """The last seq; 0 for an empty journal."""
    row = db.execute("SELECT first_seq + count - 1 FROM batches ORDER BY first_seq DESC LIMIT 1").fetchone()
    return row[0] if row else 0


def total_at(db: Db, source: int, seq: int) -> int:
    """How many events of the source were ever accepted with a seq up to this one.

    Right wherever nothing between `seq` and the source's next batch has been removed: at the head, and at every
    place that a live lane has not passed.
    """
    at = _part_at(db, source, seq)
    if at is not None and at.last_seq > seq:
        return at.total_before + at.between(at.first_seq - 1, seq)
    row = db.execute(
        "SELECT total_before FROM batch_sources WHERE source_id = ? AND first_seq > ? ORDER BY first_seq LIMIT 1",
        (source, seq),
    ).fetchone()
    row = row or db.execute("SELECT total FROM sources WHERE id = ?", (source,)).fetchone()
    return int(row[0])


def count_in(db: Db, source: int, ranges: Ranges) -> int:
    """Events of the source in ranges of seqs that are close to each other (a lane's `ahead`)."""
    if not ranges:
        return 0
    return pieces.count_in(parts(db, source, ranges[0][0] - 1, ranges[-1][1]), ranges)


def parts(db: Db, source: int, after_seq: int, to_seq: int) -> Iterator[Part]:
    """The batches that hold events of the source between two seqs, in order."""
    at = _part_at(db, source, after_seq)
    if at is not None and at.last_seq > after_seq:
        yield at
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM batch_sources WHERE source_id = ? AND first_seq > ? AND first_seq <= ?"  # noqa: S608  a constant
        " ORDER BY first_seq",
        (source, after_seq, to_seq),
    )
    yield from map(Part._make, rows)


def held_between(db: Db, source: int, after_seq: int, to_seq: int) -> int:
    """Events of the source between two seqs whose batches are really there: the recount's figure."""
    if to_seq <= after_seq:
        return 0
    (count,) = db.execute(
        "SELECT coalesce(sum(s.count), 0) FROM batch_sources s JOIN batches b ON b.first_seq = s.first_seq"
        " WHERE s.source_id = ? AND s.first_seq > ? AND s.first_seq <= ?",
        (source, after_seq, to_seq),
    ).fetchone()
    low, high = _part_at(db, source, after_seq), _part_at(db, source, to_seq)
    if low is not None:
        count += low.between(after_seq, to_seq)
    if high is not None and high.first_seq > after_seq:
        count -= high.between(to_seq, high.last_seq)
    return int(count)


def _part_at(db: Db, source: int, seq: int) -> Part | None:
    """The last batch of the source that begins at or before `seq`."""
    row = db.execute(
        f"SELECT {_COLUMNS} FROM batch_sources WHERE source_id = ? AND first_seq <= ?"  # noqa: S608  a constant
        " ORDER BY first_seq DESC LIMIT 1",
        (source, seq),
    ).fetchone()
    return Part._make(row) if row else None
