"""The audit on SQLite: every lane counted again from its rows, in one snapshot."""

from gateway.journal import ledger
from gateway.journal.base import AuditRow, LaneRow
from gateway.journal.ledger import LaneBook
from gateway.journal.parts import waiting_places
from gateway.journal.records import unpack_stored
from gateway.journal.sqlite import attempts, lanes, rows
from gateway.journal.sqlite.connection import Db
from gateway.journal.sqlite.counting import count_in, head_seq, held_between, parts, source_id, total_at
from gateway.model import LIVE, Counts, Lane, State


def audit(db: Db) -> tuple[AuditRow, ...]:
    """Every lane recounted."""
    return tuple(_audited(db, book) for book in lanes.books(db))


def lane_rows(db: Db) -> tuple[LaneRow, ...]:
    """Every lane, with what waits on it."""
    found = []
    for book in lanes.books(db):
        waiting = waiting_on(db, book.lane)
        oldest = _oldest_waiting_at_ms(db, book.lane) if waiting > 0 else None
        found.append(LaneRow(book.lane, waiting, oldest))
    return tuple(found)


def waiting_on(db: Db, lane: Lane) -> int:
    """How many events of a lane are not settled."""
    number = source_id(db, lane.source)
    to_seq = last_seq(db, lane)
    if number is None or lane.ended or to_seq <= lane.cursor:
        return 0
    if lane.kind != LIVE:  # it may have begun where events are gone: only what is there is its
        return held_between(db, number, lane.cursor, to_seq) - count_in(db, number, lane.ahead)
    return total_at(db, number, to_seq) - total_at(db, number, lane.cursor) - count_in(db, number, lane.ahead)


def last_seq(db: Db, lane: Lane) -> int:
    """The last seq that is the lane's now."""
    head = head_seq(db)
    return head if lane.end_seq is None else min(head, lane.end_seq)


def _oldest_waiting_at_ms(db: Db, lane: Lane) -> int | None:
    number, to_seq = source_id(db, lane.source), last_seq(db, lane)
    for part in parts(db, number or 0, lane.cursor, to_seq):
        waiting = waiting_places(part, lane, to_seq)
        if waiting:
            row = db.execute("SELECT payload FROM batches WHERE first_seq = ?", (part.first_seq,)).fetchone()
            stored = unpack_stored(row[0]) if row else []
            return min((stored[seq - part.first_seq].received_at_ms for seq in waiting if stored), default=None)
    return None


def _audited(db: Db, book: LaneBook) -> AuditRow:
    lane = book.lane
    expected = _expected(db, book)
    recounted = _recounted(db, book)
    why = ledger.difference(expected, lane.counts, ledger.plus(recounted, book.removed))
    return AuditRow(
        lane=lane,
        waiting=waiting_on(db, lane),
        expected=expected,
        booked=lane.counts,
        recounted=recounted,
        removed=book.removed.total(),
        balanced=not why,
        why=why,
    )


def _expected(db: Db, book: LaneBook) -> int:
    """Events of the source after the lane's start, up to the cursor and in ahead."""
    lane, number = book.lane, source_id(db, book.lane.source)
    if number is None:
        return 0
    held = held_between(db, number, lane.start_seq, lane.cursor)
    return book.removed_events + held + count_in(db, number, lane.ahead)


def _recounted(db: Db, book: LaneBook) -> Counts:
    lane = book.lane
    with_rows = dict(rows.states(db, lane.id))
    top = lane.ahead[-1][1] if lane.ahead else lane.cursor
    counts = attempts.recount(db, lane.id, book.floor_seq, top, list(with_rows))
    for state in (State.PARKED, State.DEAD):
        counts = ledger.add(counts, state, sum(one is state for one in with_rows.values()))
    (skipped,) = db.execute(
        "SELECT coalesce(sum(count), 0) FROM skips WHERE lane = ? AND last_seq > ?", (lane.id, book.floor_seq)
    ).fetchone()
    return ledger.add(counts, State.DISCARDED, skipped)
