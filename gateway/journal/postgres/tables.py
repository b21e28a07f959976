"""The tables that events lie in, on PostgreSQL: a new pair begins from time to time, and one that is over goes as a
whole, without a row being deleted for it.

A pair takes an eighth of the time that events are kept, so they stay up to that much longer. What is still needed of a
pair that is over (by dead letters, mostly) is moved out of it first. Where that is much (a vendor has been away for
weeks), the pair stays, and its other batches go one by one.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import asyncpg
from msgspec.structs import replace

from gateway.journal import ledger
from gateway.journal.base import Keep, Kept
from gateway.journal.parts import Part
from gateway.journal.postgres.connection import Connections
from gateway.journal.postgres.lanes import Read

SHARE = 8
"""A pair takes this part of the time that events are kept; of `max_bytes` half of it, as little goes at once then."""
SPAN_MIN_MS = 3_600_000
BYTES_MIN = 16 << 20
MOVED_SHARE = 4
"""At most this part of a pair is moved out of it."""
MOVED_PER_SLICE = 256
SCAN_S = 120.0
"""For so long may be read through a pair: one of a billion events takes seconds."""

MORE = Kept(0, 0, 0, 0, 0, 0, more=True)
"""What a slice did that removed nothing yet."""


class _Table(NamedTuple):
    """A pair that has had its time. `batches`: how many it had then."""

    id: int
    first_seq: int
    last_seq: int
    batches: int
    newest_ms: int


def span_ms(rules: Keep) -> int:
    """For how long a pair is appended to."""
    return max(rules.keep_ms // SHARE, SPAN_MIN_MS)


async def turn(db: Connections, rules: Keep) -> None:
    """Begin the next pair where the newest has had its time, or has its part of what the log may take."""
    found = await db.fetch(_NEWEST)
    if not found:
        return
    newest, from_ms, size_bytes = found[0]
    is_full = rules.max_bytes is not None and size_bytes >= max(rules.max_bytes // (2 * SHARE), BYTES_MIN)
    if is_full or from_ms is None or abs(rules.now_ms - from_ms) >= span_ms(rules):
        await db.value("SELECT gateway.begin_events($1, $2)", newest, rules.now_ms)


async def next_slice(db: Connections, rules: Keep, excess: int, reads: Sequence[Read]) -> Kept | None:
    """Drop the first pair that is over, or move a slice of what is still needed out of it."""
    try:
        for table in await _closed(db):
            if excess > 0 or table.newest_ms < rules.now_ms - rules.keep_ms:
                kept = await _let_go(db, table, reads)
                if kept is not None:
                    return kept
    except asyncpg.UndefinedTableError:  # another replica was faster
        return MORE
    return None


async def _closed(db: Connections) -> list[_Table]:
    """Pairs but the two newest, oldest first: one takes what is appended, and the head may be in the other."""
    found = await db.fetch(_CLOSED)
    unseen = [row[0] for row in found if row[3] is None]
    for number in unseen:
        await _scan(db, _SEEN.format(number), number)
    return [_Table(*row) for row in (await db.fetch(_CLOSED) if unseen else found) if row[3] is not None]


async def _let_go(db: Connections, table: _Table, reads: Sequence[Read]) -> Kept | None:
    settled = ledger.settled_by_all(one.book for one in reads)
    behind = [(name, seq) for name, seq in settled.items() if seq < table.last_seq]
    needed = await db.value(
        "SELECT gateway.needed($1, $2, $3, $4, $5, $6)",
        *(table.id, table.first_seq, table.last_seq),
        *([name for name, _ in behind], [seq for _, seq in behind]),
        table.batches // MOVED_SHARE + 1,
    )
    if len(needed) > table.batches // MOVED_SHARE:
        return None
    if needed:
        await db.value("SELECT gateway.set_aside($1, $2)", table.id, needed[:MOVED_PER_SLICE])
        return MORE
    return await _drop(db, table, reads)


async def _drop(db: Connections, table: _Table, reads: Sequence[Read]) -> Kept | None:
    """The pair goes; the lanes of its sources write down how many of their settled events are gone."""
    batches = await _scan(db, f"SELECT count(*) FROM gateway.batches_{table.id}")  # noqa: S608  a number
    counted: dict[tuple[str, int, int], int] = {}
    booked: list[tuple[int, int]] = []
    for lane in (one.lane for one in reads):
        between = lane.source, max(lane.start_seq, table.first_seq - 1), min(lane.cursor, table.last_seq)
        if between[1] < between[2]:
            if between not in counted:
                counted[between] = await _count(db, table.id, *between)
            booked.append((lane.id, counted[between]))
    events = await _scan(
        db,
        "SELECT gateway.drop_events($1, $2, $3, $4, $5, $6, $7)",
        *(table.id, table.first_seq, table.last_seq, batches),
        max((one.lane.id for one in reads), default=0),
        [number for number, _ in booked],
        [count for _, count in booked],
    )
    return replace(MORE, events=events) if events is not None else None


async def _count(db: Connections, number: int, source: str, after_seq: int, to_seq: int) -> int:
    """How many events of the source the pair holds between two seqs."""
    whole = await _scan(db, _WHOLE.format(number), source, after_seq, to_seq)
    parts = [Part(*row) for row in await db.fetch(_CUT.format(number), source, after_seq, to_seq)]
    return int(whole) + sum(part.between(after_seq, to_seq) for part in parts)


async def _scan(db: Connections, query: str, *values: Any) -> Any:
    """The one value of a statement that reads a whole pair, but no payloads."""
    async with db.one(SCAN_S) as connection:
        return await connection.fetchval(query, *values)


_NEWEST = """
SELECT coalesce(t.id, 0), t.from_ms, b.bytes - coalesce(t.from_bytes, 0)
FROM (
    SELECT bytes_before + size_bytes AS bytes FROM gateway.newest_batches ORDER BY first_seq DESC LIMIT 1
) b LEFT JOIN (SELECT * FROM gateway.event_tables ORDER BY id DESC LIMIT 1) t ON true
"""
_CLOSED = """
SELECT t.id, t.from_seq, t.next_seq - 1, t.batches, t.newest_ms FROM (
    SELECT *, lead(from_seq) OVER w AS next_seq, lead(id, 2) OVER w IS NULL AS is_new
    FROM gateway.event_tables WINDOW w AS (ORDER BY id)
) t WHERE NOT t.is_new ORDER BY t.id
"""
_SEEN = """
UPDATE gateway.event_tables SET (batches, newest_ms) = (
    SELECT count(*), coalesce(max(received_max_ms), 0) FROM gateway.batches_{}
) WHERE id = $1
"""
_PARTS = "FROM gateway.batch_sources_{} p JOIN gateway.sources s ON s.id = p.source_id WHERE s.name = $1"
_WHOLE = f"SELECT coalesce(sum(p.count), 0) {_PARTS} AND p.first_seq > $2 AND p.last_seq <= $3"
_CUT = f"""
SELECT p.first_seq, p.last_seq, p.count, p.total_before, p.places {_PARTS}
AND (p.first_seq <= $2 AND p.last_seq > $2 OR p.first_seq <= $3 AND p.last_seq > $3)
"""
