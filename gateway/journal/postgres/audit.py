"""The audit on PostgreSQL: every lane counted again from its rows, in one snapshot."""

from gateway.journal import ledger
from gateway.journal.base import AuditRow, LaneRow
from gateway.journal.ledger import LaneBook
from gateway.journal.parts import waiting_places
from gateway.journal.postgres import attempts, lanes, rows
from gateway.journal.postgres.connection import Connection
from gateway.journal.postgres.counting import count_ahead, head_seq, held_between, last_seq, parts, waiting_on
from gateway.journal.postgres.log import events_of
from gateway.model import Counts, Lane, State


async def audit(db: Connection) -> tuple[AuditRow, ...]:
    """Every lane recounted."""
    head = await head_seq(db)
    return tuple([await _audited(db, one.book, head) for one in await lanes.read_all(db)])


async def lane_rows(db: Connection) -> tuple[LaneRow, ...]:
    """Every lane, with what waits on it."""
    head = await head_seq(db)
    found = []
    for one in await lanes.read_all(db):
        waiting = await waiting_on(db, one.lane, head)
        oldest = await _oldest_waiting_at_ms(db, one.lane, head) if waiting > 0 else None
        found.append(LaneRow(one.lane, waiting, oldest))
    return tuple(found)


async def _oldest_waiting_at_ms(db: Connection, lane: Lane, head: int) -> int | None:
    to_seq = last_seq(lane, head)
    async for part in parts(db, lane.source, lane.cursor, to_seq):
        waiting = set(waiting_places(part, lane, to_seq))
        if waiting:
            batch = await db.fetch(
                "SELECT first_seq, group_id, places, payload FROM gateway.batches WHERE first_seq = $1", part.first_seq
            )
            events = [one for row in batch for one in events_of(row)]
            return min((one.received_at_ms for one in events if one.seq in waiting), default=None)
    return None


async def _audited(db: Connection, book: LaneBook, head: int) -> AuditRow:
    lane = book.lane
    held = await held_between(db, lane.source, lane.start_seq, lane.cursor)
    expected = book.removed_events + held + await count_ahead(db, lane)
    recounted = await _recounted(db, book)
    why = ledger.difference(expected, lane.counts, ledger.plus(recounted, book.removed))
    return AuditRow(
        lane=lane,
        waiting=await waiting_on(db, lane, head),
        expected=expected,
        booked=lane.counts,
        recounted=recounted,
        removed=book.removed.total(),
        balanced=not why,
        why=why,
    )


async def _recounted(db: Connection, book: LaneBook) -> Counts:
    lane = book.lane
    with_rows = await rows.states(db, lane.id)
    top = lane.ahead[-1][1] if lane.ahead else lane.cursor
    counts = await attempts.recount(db, lane.id, book.floor_seq, top, with_rows)
    for state in (State.PARKED, State.DEAD):
        counts = ledger.add(counts, state, sum(one is state for one in with_rows.values()))
    ((skipped,),) = await db.fetch(
        "SELECT coalesce(sum(count), 0) FROM gateway.skips WHERE lane = $1 AND last_seq > $2", lane.id, book.floor_seq
    )
    return ledger.add(counts, State.DISCARDED, int(skipped))
