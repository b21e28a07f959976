"""The desk on PostgreSQL: what operators read and change. What changes many rows does so in short calls."""

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from gateway.errors import JournalError, JournalUnavailable
from gateway.journal import ledger
from gateway.journal.base import AttemptRow, DeadFilter, DeadGroup, DeadRow, EventFilter, EventView, Operation
from gateway.journal.filters import is_event
from gateway.journal.postgres import attempts, lanes, log, rows
from gateway.journal.postgres.change import Change, Counted
from gateway.journal.postgres.connection import Asks, Connection, Connections, Row
from gateway.journal.postgres.counting import head_seq, last_seq, parts, waiting_on
from gateway.journal.postgres.settle import TOO_BUSY, TRIES
from gateway.journal.records import unpack_rejection
from gateway.model import Event, Lane, ParkedRow, Rejection, State, event_id

ROWS_PER_SLICE = 200
ROWS_PER_PAGE = 100
BATCHES_PER_LOOK = 16


# --- events ----------------------------------------------------------------------------------------------------------


async def events(db: Connection, which: EventFilter) -> tuple[Event, ...]:
    """Events, newest first."""
    found: list[Event] = []
    async for batch in _batches_down(db, which):
        for one in reversed(list(log.events_of(batch))):
            if is_event(which, one):
                found.append(one)
                if len(found) >= which.limit:
                    return tuple(found)
    return tuple(found)


async def _batches_down(db: Connection, which: EventFilter) -> AsyncIterator[Row]:
    before_seq = which.before_seq
    while True:
        found = await db.fetch(_DOWN, before_seq, which.from_ms, which.to_ms, which.source)
        for row in found:
            yield row
        if len(found) < BATCHES_PER_LOOK:
            return
        before_seq = found[-1]["first_seq"]


_DOWN = f"""
SELECT b.first_seq, b.group_id, b.places, b.payload FROM gateway.batches b
WHERE ($1::bigint IS NULL OR b.first_seq < $1)
    AND ($2::bigint IS NULL OR b.received_max_ms >= $2) AND ($3::bigint IS NULL OR b.received_min_ms <= $3)
    AND ($4::text IS NULL OR EXISTS (
        SELECT FROM gateway.batch_sources p JOIN gateway.sources s ON s.id = p.source_id
        WHERE p.first_seq = b.first_seq AND s.name = $4
    ))
ORDER BY b.first_seq DESC LIMIT {BATCHES_PER_LOOK}
"""  # noqa: S608  a number


async def view(db: Connection, seq: int) -> EventView | None:
    """One event and what it is on every lane. A lane on which that is no longer known (its attempts are removed) is
    left out.
    """
    event = await log.event(db, seq)
    if event is None:
        return None
    found = []
    for one in await lanes.read_all(db):
        lane = one.lane
        if lane.source == event.source and lane.spans(seq):
            held = await rows.of_event(db, lane.id, seq)
            tried = await attempts.of_event(db, lane.id, seq)
            state = await _state(db, lane, seq, held, tried)
            if state is not None:
                found.append((lane, state, held, tuple(attempt for _, attempt in tried)))
    return EventView(event, tuple(found))


async def _state(
    db: Connection, lane: Lane, seq: int, held: tuple[ParkedRow, ...], tried: list[tuple[Counted, AttemptRow]]
) -> State | None:
    told = {seq: ledger.state_of_rows(held)} if held else {}
    bits: dict[int, int] = {}
    for counted, one in tried:
        if counted:
            ledger.fold(bits, (one.attempt,), seq - 1, seq, own=counted == Counted.OWN)
    return ledger.state_at(lane, seq, told, bits, await _skips(db, lane.id, seq - 1, seq))


async def states(db: Connection, number: int, after_seq: int, to_seq: int) -> tuple[tuple[int, State | None], ...]:
    """What the events of a lane between two seqs are."""
    (one,) = await lanes.read(db, [number])
    lane = one.lane
    low, high = max(after_seq, lane.start_seq), min(to_seq, last_seq(lane, await head_seq(db)))
    told = await rows.states(db, number, low, high)
    bits = await attempts.fold(db, number, low, high)
    skips = await _skips(db, number, low, high)
    held = [part async for part in parts(db, lane.source, low, high)]
    return tuple((seq, ledger.state_at(lane, seq, told, bits, skips)) for part in held for seq in part.seqs(low, high))


async def _skips(db: Connection, lane: int, after_seq: int, to_seq: int) -> list[tuple[int, int]]:
    rows_ = await db.fetch(
        "SELECT after_seq, last_seq FROM gateway.skips WHERE lane = $1 AND last_seq > $2 AND after_seq < $3",
        lane,
        after_seq,
        to_seq,
    )
    return [(row[0], row[1]) for row in rows_]


async def rejected(db: Asks, source: str | None, limit: int) -> tuple[Rejection, ...]:
    """The last refused requests, newest first."""
    found = await db.fetch(
        "SELECT packed FROM gateway.rejected WHERE $1::text IS NULL OR source = $1 ORDER BY id DESC LIMIT $2",
        source,
        limit,
    )
    return tuple(unpack_rejection(row[0]) for row in found)


# --- dead letters ----------------------------------------------------------------------------------------------------


class Slice(NamedTuple):
    """What the slices of a change did so far: how many rows, and where the next one begins (None: all done)."""

    rows: int
    after_id: int | None


Refs = dict[int, list[tuple[int, str]]]
Step = Callable[[Change, Refs], Awaitable[int]]


async def dead(db: Connection, which: DeadFilter, after_id: int, limit: int) -> tuple[list[DeadRow], int | None]:
    """A page of dead letters, at most `limit`, oldest first, and where the next one begins."""
    found = await _letters(db, _QUALIFIED, which, after_id, min(limit, ROWS_PER_PAGE))
    books = {one.lane.id: one.lane for one in await lanes.read(db, sorted({row["lane"] for row in found}))}
    letters = [
        DeadRow(str(row["id"]), books[row["lane"]], rows.row_of(row), event_id(row["seq"], row["tail"]))
        for row in found
    ]
    return letters, found[-1]["id"] if found else None


async def dead_groups(db: Connection, which: DeadFilter) -> tuple[DeadGroup, ...]:
    """How many dead letters there are, by lane and reason, most first."""
    found = await db.fetch(
        f"SELECT l.source, l.destination, p.reason, count(*), min(p.at_ms), max(p.at_ms) {_LETTERS}"
        " GROUP BY 1, 2, 3 ORDER BY 4 DESC",
        *_dead_values(which, 0),
    )
    return tuple(DeadGroup(*row) for row in found)


async def retry(db: Connections, which: DeadFilter, by: Operation, before: Slice, *, every_state: bool) -> Slice:
    """Make a slice of dead letters due now, to be mapped anew. All dead parts of an event go together: it is mapped as
    a whole. One whose event is no longer in the log stays dead.
    """

    async def step(change: Change, refs: Refs) -> int:
        count = 0
        read = [one for one in await lanes.read(db, sorted(refs)) if not one.lane.ended]
        standing = await rows.standing(db, {one.lane.id: {seq for seq, _ in refs[one.lane.id]} for one in read})
        for one in read:
            lane, events_ = one.lane, standing[one.lane.id]
            counts = lane.counts
            for event in events_.values():
                if ledger.state_of_rows(event.rows.values()) is State.DEAD:
                    counts = ledger.add(ledger.add(counts, State.DEAD, -1), State.PARKED)
                count += sum(row.state is State.DEAD for row in event.rows.values())
            change.retry(lane.id, events_, by.at_ms, every_state=every_state)
            change.operate(one, one._replace(book=one.book._replace(lane=replace(lane, counts=counts))))
        return count

    return await _slice(db, which, by, before, step, _RETRIABLE)


async def discard(db: Connections, which: DeadFilter, by: Operation, before: Slice) -> Slice:
    """Give a slice of dead letters up."""

    async def step(change: Change, refs: Refs) -> int:
        count = 0
        for one in await lanes.read(db, sorted(refs)):
            count += await _let_go(db, change, one, refs[one.lane.id], by.at_ms)
        return count

    return await _slice(db, which, by, before, step)


async def _let_go(
    db: Connections, change: Change, one: lanes.Read, refs: list[tuple[int, str]], at_ms: int, *, only: str = "dead"
) -> int:
    """The rows of a lane among these that are still there go as discarded."""
    standing = (await rows.standing(db, {one.lane.id: {seq for seq, _ in refs}}))[one.lane.id]
    going = [
        (seq, part)
        for seq, part in refs
        if seq in standing and part in standing[seq].rows and only in ("", standing[seq].rows[part].state)
    ]
    after = change.let_go(one, going, {seq: standing[seq] for seq, _ in going}, State.DISCARDED, at_ms)
    change.operate(one, after)
    return len(going)


async def _slice(
    db: Connections, which: DeadFilter, by: Operation, before: Slice, step: Step, more: str = "true"
) -> Slice:
    """One slice of a change of dead letters, with the operation that it is part of."""
    left = ROWS_PER_SLICE if which.limit is None else min(which.limit - before.rows, ROWS_PER_SLICE)
    for _ in range(TRIES):
        found = await _letters(db, "p.seq, p.part", which, before.after_id or 0, left, more)
        refs: defaultdict[int, list[tuple[int, str]]] = defaultdict(list)
        for row in found:
            refs[row["lane"]].append((row["seq"], row["part"].decode()))
        change = Change()
        count = await step(change, refs)
        if count:
            change.note(by, count)
        if await change.write(db):
            total = before.rows + count
            is_last = len(found) < ROWS_PER_SLICE or (which.limit is not None and total >= which.limit)
            return Slice(total, None if is_last else found[-1]["id"])
    raise JournalUnavailable(TOO_BUSY)


_QUALIFIED = ", ".join(f"p.{column.strip()}" for column in rows.WHOLE.split(",")) + ", p.tail"
_LETTERS = """
FROM gateway.parked p JOIN gateway.lanes l ON l.id = p.lane
WHERE p.state = 'dead' AND p.id > $1 AND ($2::bigint[] IS NULL OR p.id = ANY ($2))
    AND ($3::text IS NULL OR p.reason = $3) AND ($4::text IS NULL OR l.source = $4)
    AND ($5::text IS NULL OR l.destination = $5) AND ($6::bigint IS NULL OR p.at_ms <= $6)
"""
_RETRIABLE = """
NOT l.ended AND p.seq < (
    SELECT b.first_seq + b.count FROM gateway.batches b WHERE b.first_seq <= p.seq ORDER BY b.first_seq DESC LIMIT 1
)
"""


async def _letters(
    db: Asks, columns: str, which: DeadFilter, after_id: int, limit: int, more: str = "true"
) -> Sequence[Row]:
    """Columns of dead letters, oldest first."""
    return await db.fetch(
        f"SELECT {columns}, p.id, p.lane {_LETTERS} AND {more} ORDER BY p.id LIMIT $7",
        *_dead_values(which, after_id),
        max(limit, 0),
    )


def _dead_values(which: DeadFilter, after_id: int) -> tuple[Any, ...]:
    numbers = [int(one) for one in which.ids if one.isdecimal()] if which.ids else None
    return after_id, numbers, which.reason, which.source, which.destination, which.to_ms


# --- lanes -----------------------------------------------------------------------------------------------------------


async def change_lane(db: Connections, number: int, by: Operation) -> Lane:
    """Pause, resume or skip a lane, or begin to end it."""
    for _ in range(TRIES):
        (one,) = await lanes.read(db, [number])
        lane = one.lane
        if lane.ended and by.what != "end":
            raise JournalError(f"lane {number} has ended")
        change = Change()
        if by.what in {"pause", "resume"}:
            after, count = replace(lane, paused=by.what == "pause"), 0
        elif by.what in {"skip", "end"}:
            async with db.snapshot() as looking:
                head = await head_seq(looking)
                count = await waiting_on(looking, lane, head)
            change.skip(lane, last_seq(lane, head), count, by.at_ms)
            after = replace(ledger.after_skip(lane, last_seq(lane, head), count), ended=by.what == "end")
        else:
            raise ValueError(f"nothing is known of {by.what!r} for a lane")
        change.note(by, count)
        changed = change.operate(one, one._replace(book=one.book._replace(lane=after)))
        if await change.write(db):
            return changed
    raise JournalUnavailable(TOO_BUSY)


async def discard_rows(db: Connections, number: int, at_ms: int) -> bool:
    """Discard a slice of what an ended lane still holds; whether there may be more."""
    for _ in range(TRIES):
        (one,) = await lanes.read(db, [number])
        found = await db.fetch(
            "SELECT seq, part FROM gateway.parked WHERE lane = $1 ORDER BY seq, part LIMIT $2", number, ROWS_PER_SLICE
        )
        change = Change()
        if not found:
            return False
        await _let_go(db, change, one, [(row[0], row[1].decode()) for row in found], at_ms, only="")
        if await change.write(db):
            return len(found) == ROWS_PER_SLICE
    raise JournalUnavailable(TOO_BUSY)
