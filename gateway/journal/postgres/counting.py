"""How many events of a source lie where, from running totals and bitmaps; no batch is ever unpacked for it."""

from collections.abc import AsyncIterator

from gateway.journal import parts as pieces
from gateway.journal.parts import Part
from gateway.journal.postgres.connection import Asks
from gateway.model import LIVE, Lane

PARTS_PER_LOOK = 500

_COLUMNS = "p.first_seq, p.last_seq, p.count, p.total_before, p.places"
_AT = f"""
SELECT {_COLUMNS} FROM gateway.batch_sources p JOIN gateway.sources s ON s.id = p.source_id
WHERE s.name = $1 AND p.first_seq <= $2 ORDER BY p.first_seq DESC LIMIT 1
"""  # noqa: S608  a constant
_AFTER = f"""
SELECT {_COLUMNS} FROM gateway.batch_sources p JOIN gateway.sources s ON s.id = p.source_id
WHERE s.name = $1 AND p.first_seq > $2 AND p.first_seq <= $3 ORDER BY p.first_seq LIMIT {PARTS_PER_LOOK}
"""  # noqa: S608  constants


async def head_seq(db: Asks) -> int:
    """The last seq; 0 for an empty journal."""
    ((seq,),) = await db.fetch("SELECT gateway.head_seq()")
    return int(seq)


def last_seq(lane: Lane, head: int) -> int:
    """The last seq that is the lane's now."""
    return head if lane.end_seq is None else min(head, lane.end_seq)


async def parts(db: Asks, source: str, after_seq: int, to_seq: int) -> AsyncIterator[Part]:
    """The batches that hold events of the source between two seqs, in order."""
    at = await _part_at(db, source, after_seq)
    if at is not None and at.last_seq > after_seq:
        yield at
    while True:
        found = [Part(*row) for row in await db.fetch(_AFTER, source, after_seq, to_seq)]
        for part in found:
            yield part
        if len(found) < PARTS_PER_LOOK:
            return
        after_seq = found[-1].first_seq


async def waiting_on(db: Asks, lane: Lane, head: int) -> int:
    """How many events of a lane are not settled."""
    to_seq = last_seq(lane, head)
    if lane.ended or to_seq <= lane.cursor:
        return 0
    ahead = await count_ahead(db, lane)
    if lane.kind != LIVE:  # it may have begun where events are gone: only what is there is its
        return await held_between(db, lane.source, lane.cursor, to_seq) - ahead
    return await _total_at(db, lane.source, to_seq) - await _total_at(db, lane.source, lane.cursor) - ahead


async def count_ahead(db: Asks, lane: Lane) -> int:
    """How many events of a lane are settled beyond its cursor."""
    if not lane.ahead:
        return 0
    found = [part async for part in parts(db, lane.source, lane.ahead[0][0] - 1, lane.ahead[-1][1])]
    return pieces.count_in(found, lane.ahead)


async def held_between(db: Asks, source: str, after_seq: int, to_seq: int) -> int:
    """Events of the source between two seqs whose batches are really there: the recount's figure."""
    if to_seq <= after_seq:
        return 0
    ((count,),) = await db.fetch(
        "SELECT coalesce(sum(p.count), 0) FROM gateway.batch_sources p JOIN gateway.sources s ON s.id = p.source_id"
        " JOIN gateway.batches b ON b.first_seq = p.first_seq"
        " WHERE s.name = $1 AND p.first_seq > $2 AND p.first_seq <= $3",
        source,
        after_seq,
        to_seq,
    )
    low, high = await _part_at(db, source, after_seq), await _part_at(db, source, to_seq)
    if low is not None:
        count += low.between(after_seq, to_seq)
    if high is not None and high.first_seq > after_seq:
        count -= high.between(to_seq, high.last_seq)
    return int(count)


async def _total_at(db: Asks, source: str, seq: int) -> int:
    """How many events of the source were ever accepted with a seq up to this one.

    Right wherever nothing between `seq` and the source's next batch has been removed: at the head, and at every
    place that a live lane has not passed.
    """
    at = await _part_at(db, source, seq)
    if at is not None and at.last_seq > seq:
        return at.total_before + at.between(at.first_seq - 1, seq)
    found = await db.fetch(_TOTAL, source, seq)
    return int(found[0][0]) if found else 0


_TOTAL = """
SELECT coalesce(
    (SELECT p.total_before FROM gateway.batch_sources p WHERE p.source_id = s.id AND p.first_seq > $2
     ORDER BY p.first_seq LIMIT 1),
    (SELECT p.total_before + p.count FROM gateway.batch_sources p WHERE p.source_id = s.id
     ORDER BY p.first_seq DESC LIMIT 1),
    s.total
)
FROM gateway.sources s WHERE s.name = $1
"""


async def _part_at(db: Asks, source: str, seq: int) -> Part | None:
    """The last batch of the source that begins at or before `seq`."""
    rows = await db.fetch(_AT, source, seq)
    return Part(*rows[0]) if rows else None
