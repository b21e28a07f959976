"""The desk on SQLite: what operators read and change. What changes many rows does so in short transactions."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from msgspec.structs import replace

from gateway.errors import JournalError
from gateway.journal import ledger
from gateway.journal.base import AttemptRow, DeadFilter, DeadGroup, DeadRow, EventFilter, EventView, Operation
from gateway.journal.filters import is_event
from gateway.journal.ledger import LaneBook
from gateway.journal.records import event_of, unpack_rejection, unpack_stored
from gateway.journal.sqlite import attempts, counting, lanes, log, rows
from gateway.journal.sqlite.audit import last_seq, waiting_on
from gateway.journal.sqlite.connection import Db
from gateway.model import Event, Lane, ParkedRow, Rejection, State, event_id

ROWS_PER_SLICE = 200
ROWS_PER_PAGE = 100
OPERATIONS_KEPT = 10_000


# --- events ----------------------------------------------------------------------------------------------------------


def events(db: Db, which: EventFilter) -> tuple[Event, ...]:
    """Events, newest first."""
    found: list[Event] = []
    for first_seq, group_id, payload in _batches_down(db, which):
        stored = unpack_stored(payload)
        for place in reversed(range(len(stored))):
            one = event_of(stored[place], first_seq + place, group_id)
            if is_event(which, one):
                found.append(one)
                if len(found) >= which.limit:
                    return tuple(found)
    return tuple(found)


def view(db: Db, seq: int) -> EventView | None:
    """One event and what it is on every lane. A lane on which that is no longer known (its attempts are removed) is
    left out.
    """
    event = log.event(db, seq)
    if event is None:
        return None
    found = []
    for book in lanes.books(db):
        lane = book.lane
        if lane.source == event.source and lane.spans(seq):
            on_lane = _on_lane(db, lane, seq)
            if on_lane is not None:
                found.append((lane, *on_lane))
    return EventView(event, tuple(found))


_OnLane = tuple[State, tuple[ParkedRow, ...], tuple[AttemptRow, ...]]


def _on_lane(db: Db, lane: Lane, seq: int) -> _OnLane | None:
    held = rows.of_event(db, lane.id, seq)
    tried = list(attempts.of_event(db, lane.id, seq))
    told = {seq: ledger.state_of_rows(held)} if held else {}
    bits: dict[int, int] = {}
    for counted, one in tried:
        if counted:
            ledger.fold(bits, (one.attempt,), seq - 1, seq, own=counted == attempts.Counted.OWN)
    state = ledger.state_at(lane, seq, told, bits, _skips(db, lane.id, seq - 1, seq))
    return (state, held, tuple(one for _, one in tried)) if state is not None else None


def states(db: Db, number: int, after_seq: int, to_seq: int) -> tuple[tuple[int, State | None], ...]:
    """What the events of a lane between two seqs are."""
    lane = lanes.book(db, number).lane
    low, high = max(after_seq, lane.start_seq), min(to_seq, last_seq(db, lane))
    told = dict(rows.states(db, number, low, high))
    bits = attempts.fold(db, number, low, high)
    skips = _skips(db, number, low, high)
    held = counting.parts(db, counting.source_id(db, lane.source) or 0, low, high)
    return tuple((seq, ledger.state_at(lane, seq, told, bits, skips)) for part in held for seq in part.seqs(low, high))


def _skips(db: Db, lane: int, after_seq: int, to_seq: int) -> list[tuple[int, int]]:
    return db.execute(
        "SELECT after_seq, last_seq FROM skips WHERE lane = ? AND last_seq > ? AND after_seq < ?",
        (lane, after_seq, to_seq),
    ).fetchall()


def _batches_down(db: Db, which: EventFilter) -> Iterator[tuple[int, bytes, bytes]]:
    conditions: list[str] = ["1"]
    values: list[Any] = []
    for condition, value in (
        ("b.first_seq < ?", which.before_seq),
        ("b.received_max_ms >= ?", which.from_ms),
        ("b.received_min_ms <= ?", which.to_ms),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    table = "batches b"
    if which.source is not None:
        table = "batch_sources s JOIN batches b ON b.first_seq = s.first_seq"
        conditions.append("s.source_id = ?")
        values.append(counting.source_id(db, which.source) or 0)
    order = "b.first_seq" if which.source is None else "s.first_seq"
    yield from db.execute(
        f"SELECT b.first_seq, b.group_id, b.payload FROM {table} WHERE {' AND '.join(conditions)}"  # noqa: S608  constants
        f" ORDER BY {order} DESC",
        values,
    )


def rejected(db: Db, source: str | None, limit: int) -> tuple[Rejection, ...]:
    """The last refused requests, newest first."""
    found = db.execute(
        "SELECT packed FROM rejected WHERE ?1 IS NULL OR source = ?1 ORDER BY id DESC LIMIT ?2", (source, limit)
    )
    return tuple(unpack_rejection(row[0]) for row in found)


# --- dead letters ----------------------------------------------------------------------------------------------------


class _Dead(NamedTuple):
    id: int
    lane: int
    seq: int
    part: str


class Slice(NamedTuple):
    """What the slices of a change did so far: how many rows, and where the next one begins (None: all done)."""

    rows: int
    after_id: int | None


def dead(db: Db, which: DeadFilter, after_id: int, limit: int) -> tuple[list[DeadRow], int | None]:
    """A page of dead letters, at most `limit`, oldest first, and where the next one begins."""
    found: list[DeadRow] = []
    books: dict[int, Lane] = {}
    last = None
    columns = f"{_QUALIFIED}, p.id, p.lane, p.tail"
    for row in _letters(db, columns, which, after_id, min(limit, ROWS_PER_PAGE)):
        number, lane, tail = row[-3:]
        if lane not in books:
            books[lane] = lanes.book(db, lane).lane
        parked = rows.row_of(row[:-3])
        found.append(DeadRow(str(number), books[lane], parked, event_id(parked.seq, tail)))
        last = number
    return found, last


def dead_groups(db: Db, which: DeadFilter) -> tuple[DeadGroup, ...]:
    """How many dead letters there are, by lane and reason, most first."""
    condition, values = _dead_where(which, 0)
    found = db.execute(
        f"SELECT l.source, l.destination, p.reason, count(*), min(p.at_ms), max(p.at_ms) FROM {_LETTERS}"  # noqa: S608  constants
        f" WHERE {condition} GROUP BY 1, 2, 3 ORDER BY 4 DESC",
        values,
    )
    return tuple(DeadGroup(*row) for row in found)


def retry(db: Db, which: DeadFilter, by: Operation, before: Slice, *, every_state: bool) -> Slice:
    """Make a slice of dead letters due now, to be mapped anew. All dead parts of an event go together: it is mapped as
    a whole. One whose event is no longer in the log stays dead.
    """
    found = _dead_slice(db, which, before, _RETRIABLE)
    count = 0
    for lane, letters in _by_lane(found).items():
        book = lanes.book(db, lane)
        standing = rows.standing(db, lane, {one.seq for one in letters})
        counts = book.lane.counts
        for seq, event in standing.items():
            if ledger.state_of_rows(event.rows.values()) is State.DEAD:
                counts = ledger.add(ledger.add(counts, State.DEAD, -1), State.PARKED)
            count += db.execute(_RETRY, (by.at_ms, by.at_ms, every_state, lane, seq)).rowcount
        _changed(db, book, replace(book.lane, counts=counts))
    return _done(db, which, by, before, count, found)


def discard(db: Db, which: DeadFilter, by: Operation, before: Slice) -> Slice:
    """Give a slice of dead letters up."""
    found = _dead_slice(db, which, before)
    for lane, letters in _by_lane(found).items():
        book = lanes.book(db, lane)
        after = rows.let_go(db, book, [(one.seq, one.part) for one in letters], State.DISCARDED, by.at_ms)
        _changed(db, after, after.lane)
    return _done(db, which, by, before, len(found), found)


_LETTERS = "parked p INDEXED BY parked_letters CROSS JOIN lanes l ON l.id = p.lane"
_QUALIFIED = ", ".join(f"p.{column.strip()}" for column in rows.WHOLE.split(","))
_RETRIABLE = """
l.ended = 0 AND p.seq <
    (SELECT b.first_seq + b.count FROM batches b WHERE b.first_seq <= p.seq ORDER BY b.first_seq DESC LIMIT 1)
"""
_RETRY = """
UPDATE parked SET state = 'parked', record = NULL, attempt = 0, due_at_ms = ?, first_failed_at_ms = ?,
    generation = generation + 1, every_state = ?
WHERE lane = ? AND seq = ? AND state = 'dead'
"""


def _dead_where(which: DeadFilter, after_id: int) -> tuple[str, list[Any]]:
    conditions: list[str] = ["p.state = 'dead'", "p.id > ?"]
    values: list[Any] = [after_id]
    if which.ids:
        numbers = [int(one) for one in which.ids if one.isdecimal()]
        conditions.append("p.id IN (SELECT value FROM json_each(?))")
        values.append(str(numbers))
    for condition, value in (
        ("p.reason = ?", which.reason and str(which.reason)),
        ("l.source = ?", which.source),
        ("l.destination = ?", which.destination),
        ("p.at_ms <= ?", which.to_ms),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    return " AND ".join(conditions), values


def _letters(
    db: Db, columns: str, which: DeadFilter, after_id: int, limit: int, more: str = "1"
) -> list[tuple[Any, ...]]:
    """Columns of dead letters, oldest first."""
    condition, values = _dead_where(which, after_id)
    return db.execute(
        f"SELECT {columns} FROM {_LETTERS} WHERE {condition} AND {more} ORDER BY p.id LIMIT ?",  # noqa: S608  constants
        (*values, limit),
    ).fetchall()


def _dead_slice(db: Db, which: DeadFilter, before: Slice, more: str = "1") -> list[_Dead]:
    left = ROWS_PER_SLICE if which.limit is None else min(which.limit - before.rows, ROWS_PER_SLICE)
    found = _letters(db, "p.id, p.lane, p.seq, p.part", which, before.after_id or 0, left, more)
    return [_Dead._make(row) for row in found]


def _by_lane(found: list[_Dead]) -> dict[int, list[_Dead]]:
    lanes_: dict[int, list[_Dead]] = {}
    for one in found:
        lanes_.setdefault(one.lane, []).append(one)
    return lanes_


def _done(db: Db, which: DeadFilter, by: Operation, before: Slice, count: int, found: list[_Dead]) -> Slice:
    total = before.rows + count
    if count:
        note(db, by, count)
    is_last = len(found) < ROWS_PER_SLICE or (which.limit is not None and total >= which.limit)
    return Slice(total, None if is_last else found[-1].id)


# --- lanes -----------------------------------------------------------------------------------------------------------


def change_lane(db: Db, number: int, by: Operation) -> Lane:
    """Pause, resume or skip a lane, or begin to end it."""
    book = lanes.book(db, number)
    lane = book.lane
    if lane.ended and by.what != "end":
        raise JournalError(f"lane {number} has ended")
    if by.what in {"pause", "resume"}:
        note(db, by, 0)
        return _changed(db, book, replace(lane, paused=by.what == "pause"))
    if by.what not in {"skip", "end"}:
        raise ValueError(f"nothing is known of {by.what!r} for a lane")
    waiting = waiting_on(db, lane)
    to_seq = last_seq(db, lane)
    if waiting:
        db.execute("INSERT INTO skips VALUES (?, ?, ?, ?, ?)", (lane.id, lane.cursor, to_seq, waiting, by.at_ms))
    after = replace(ledger.after_skip(lane, to_seq, waiting), ended=by.what == "end")
    note(db, by, waiting)
    return _changed(db, book, after)


def discard_rows(db: Db, number: int, at_ms: int) -> bool:
    """Discard a slice of what an ended lane still holds; whether there may be more."""
    found = db.execute(
        "SELECT seq, part FROM parked WHERE lane = ? ORDER BY seq, part LIMIT ?", (number, ROWS_PER_SLICE)
    ).fetchall()
    if found:
        after = rows.let_go(db, lanes.book(db, number), found, State.DISCARDED, at_ms)
        _changed(db, after, after.lane)
    return len(found) == ROWS_PER_SLICE


def note(db: Db, by: Operation, count: int) -> None:
    """Write down what an operator did. One that goes on in another slice is still one operation."""
    same = (by.at_ms, by.who, by.what, by.subject, by.note)
    went_on = db.execute(
        "UPDATE operations SET count = count + ? WHERE id = (SELECT max(id) FROM operations)"
        " AND (at_ms, who, what, subject, note) = (?, ?, ?, ?, ?)",
        (count, *same),
    ).rowcount
    if not went_on:
        number = db.execute(
            "INSERT INTO operations (at_ms, who, what, subject, note, count) VALUES (?, ?, ?, ?, ?, ?)",
            (*same, count or by.count),
        ).lastrowid
        db.execute("DELETE FROM operations WHERE id <= ?", ((number or 0) - OPERATIONS_KEPT,))


def _changed(db: Db, book: LaneBook, lane: Lane) -> Lane:
    lane = replace(lane, changed=lane.changed + 1)
    lanes.write(db, book._replace(lane=lane))
    lanes.operated(db)
    return lane
