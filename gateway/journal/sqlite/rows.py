"""Parked and dead rows on SQLite."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from gateway.journal import ledger
from gateway.journal.ledger import LaneBook, Standing
from gateway.journal.records import grow_record, pack_texts, shrink, unpack_texts
from gateway.journal.sqlite import attempts
from gateway.journal.sqlite.attempts import Counted
from gateway.journal.sqlite.connection import Db
from gateway.journal.sqlite.log import group_of
from gateway.model import Attempt, ParkedRow, State

_KEYS_PER_LOOK = 200
_NO_END = 1 << 62
_LIGHT = (
    "seq, part, channel, key, state, attempt, due_at_ms, first_failed_at_ms, at_ms, reason, mapping, generation,"
    " delivered_parts"
)
WHOLE = f"{_LIGHT}, detail, answer, record, every_state"

NO_TAIL = bytes(4)
"""The end of the group id of an event that is no longer in the log."""


def parked(db: Db, lane: int, refs: Sequence[tuple[int, str]] | None, limit: int) -> tuple[ParkedRow, ...]:
    """Rows in state parked: all of a lane without what is large, or the given ones whole."""
    if refs is None:
        rows = db.execute(
            f"SELECT {_LIGHT} FROM parked WHERE lane = ? AND state = 'parked' ORDER BY seq, part LIMIT ?",  # noqa: S608  a constant
            (lane, limit),
        )
        return tuple(row_of(row) for row in rows)
    found = []
    for seq, part in sorted(set(refs))[:limit]:
        row = db.execute(
            f"SELECT {WHOLE} FROM parked WHERE lane = ? AND seq = ? AND part = ? AND state = 'parked'",  # noqa: S608  a constant
            (lane, seq, part),
        ).fetchone()
        if row is not None:
            found.append(row_of(row))
    return tuple(found)


def of_event(db: Db, lane: int, seq: int) -> tuple[ParkedRow, ...]:
    """Every row of an event on a lane, whole."""
    rows = db.execute(f"SELECT {WHOLE} FROM parked WHERE lane = ? AND seq = ? ORDER BY id", (lane, seq))  # noqa: S608  a constant
    return tuple(row_of(row) for row in rows)


def standing(db: Db, lane: int, seqs: Collection[int]) -> dict[int, Standing]:
    """The events among these that have rows, as the ledger wants them (rows without what is large)."""
    rows: defaultdict[int, dict[str, ParkedRow]] = defaultdict(dict)
    past: dict[int, int] = {}
    ordered = sorted(seqs)
    for start in range(0, len(ordered), _KEYS_PER_LOOK):
        chunk = ordered[start : start + _KEYS_PER_LOOK]
        marks = ", ".join("?" * len(chunk))
        for row in db.execute(
            f"SELECT {_LIGHT}, past FROM parked WHERE lane = ? AND seq IN ({marks})",  # noqa: S608  a constant and marks
            (lane, *chunk),
        ):
            rows[row[0]][row[1]] = row_of(row[:-1])
            past[row[0]] = past.get(row[0], 0) | row[-1]
    return {seq: Standing(parts, past[seq]) for seq, parts in rows.items()}


def upsert(db: Db, lane: int, rows: Iterable[tuple[ParkedRow, int]]) -> None:
    """Write rows over those of the same part, each with what is past of its event."""
    tails: dict[int, bytes] = {}
    for row, past in rows:
        if row.seq not in tails:
            tails[row.seq] = (group_of(db, row.seq) or NO_TAIL)[-4:]
        db.execute(_UPSERT, _values(lane, row, past, tails[row.seq]))


def learn(db: Db, lane: int, siblings: Iterable[tuple[int, str, int, tuple[str, ...]]]) -> None:
    """Rows that stay learn what has become of the other parts of their event."""
    db.executemany(
        "UPDATE parked SET past = ?, delivered_parts = ? WHERE lane = ? AND seq = ? AND part = ?",
        [(past, pack_texts(delivered), lane, seq, part) for seq, part, past, delivered in siblings],
    )


def let_go(db: Db, lane: LaneBook, gone: Sequence[tuple[int, str]], state: State, at_ms: int) -> LaneBook:
    """Rows go as discarded, or (as dead) because their time is over. Gives the lane's books, not yet written."""
    standing_ = standing(db, lane.lane.id, {seq for seq, _ in gone})
    counts, removed = lane.lane.counts, lane.removed
    for seq, part in gone:
        counts, rest, after = ledger.let_go(counts, standing_[seq], part, state)
        standing_[seq] = rest
        if not rest.rows and seq <= lane.floor_seq:
            removed = ledger.add(removed, after)
    remove(db, lane.lane.id, gone)
    for seq, rest in standing_.items():
        learn(db, lane.lane.id, [(seq, part, rest.past, row.delivered_parts) for part, row in rest.rows.items()])
    attempts.write(db, lane.lane.id, [Attempt(seq, part, state) for seq, part in gone], at_ms, Counted.OWN)
    return lane._replace(lane=replace(lane.lane, counts=counts), removed=removed)


def remove(db: Db, lane: int, refs: Iterable[tuple[int, str]]) -> None:
    """Rows go."""
    db.executemany(
        "DELETE FROM parked WHERE lane = ? AND seq = ? AND part = ?", [(lane, seq, part) for seq, part in refs]
    )


def states(db: Db, lane: int, after_seq: int = 0, to_seq: int = _NO_END) -> Iterator[tuple[int, State]]:
    """The events of a lane that have rows, each with its state: parked while any part is, else dead."""
    for seq, waiting in db.execute(
        "SELECT seq, max(state = 'parked') FROM parked WHERE lane = ? AND seq > ? AND seq <= ?"
        " GROUP BY seq ORDER BY seq",
        (lane, after_seq, to_seq),
    ):
        yield seq, State.PARKED if waiting else State.DEAD


_UPSERT = """
INSERT INTO parked (lane, seq, part, channel, key, state, attempt, due_at_ms, first_failed_at_ms, at_ms, reason,
    mapping, generation, delivered_parts, detail, answer, record, past, tail)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (lane, seq, part) DO UPDATE SET
    channel = excluded.channel, key = excluded.key, state = excluded.state, attempt = excluded.attempt,
    due_at_ms = excluded.due_at_ms, first_failed_at_ms = excluded.first_failed_at_ms, at_ms = excluded.at_ms,
    reason = excluded.reason, mapping = excluded.mapping, generation = excluded.generation,
    delivered_parts = excluded.delivered_parts, detail = excluded.detail, answer = excluded.answer,
    record = excluded.record, past = excluded.past
"""


def _values(lane: int, row: ParkedRow, past: int, tail: bytes) -> tuple[Any, ...]:
    return (
        lane,
        row.seq,
        row.part,
        row.channel,
        row.key,
        str(row.state),
        row.attempt,
        row.due_at_ms,
        row.first_failed_at_ms,
        row.at_ms,
        str(row.reason),
        row.mapping,
        row.generation,
        pack_texts(row.delivered_parts),
        row.detail,
        row.answer or None,
        shrink(row.record) if row.record is not None else None,
        past,
        tail,
    )


def row_of(values: tuple[Any, ...]) -> ParkedRow:
    """A row of the light columns, or of the whole ones."""
    detail, answer, record, every_state = values[13:17] if len(values) > 13 else ("", None, None, 0)  # noqa: PLR2004  the light ones
    return ParkedRow(
        seq=values[0],
        part=values[1],
        channel=values[2],
        key=values[3],
        state=State(values[4]),
        attempt=values[5],
        due_at_ms=values[6],
        first_failed_at_ms=values[7],
        at_ms=values[8],
        reason=values[9],
        mapping=values[10],
        generation=values[11],
        delivered_parts=unpack_texts(values[12]),
        detail=detail,
        answer=answer or b"",
        record=grow_record(record),
        every_state=bool(every_state),
    )
