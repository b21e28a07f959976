"""Parked and dead rows on PostgreSQL."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from gateway.journal.ledger import Ref, Standing
from gateway.journal.postgres.connection import Asks, Row
from gateway.journal.records import grow_record, unpack_texts
from gateway.model import ParkedRow, State

LIGHT = (
    "seq, part, channel, key, state, attempt, due_at_ms, first_failed_at_ms, at_ms, reason, mapping, generation,"
    " delivered_parts"
)
_NO_END = 1 << 62
WHOLE = f"{LIGHT}, detail, answer, record, every_state"


async def parked(db: Asks, lane: int, refs: Sequence[Ref] | None, limit: int) -> tuple[ParkedRow, ...]:
    """Rows in state parked: all of a lane without what is large, or the given ones whole."""
    if refs is None:
        rows = await db.fetch(
            f"SELECT {LIGHT} FROM gateway.parked WHERE lane = $1 AND state = 'parked' ORDER BY seq, part LIMIT $2",  # noqa: S608  a constant
            lane,
            limit,
        )
    else:
        wanted = sorted(set(refs))[:limit]
        rows = await db.fetch(
            f"SELECT {WHOLE} FROM gateway.parked WHERE lane = $1 AND state = 'parked'"  # noqa: S608  a constant
            " AND (seq, part) IN (SELECT * FROM unnest($2::bigint[], $3::bytea[])) ORDER BY seq, part",
            lane,
            [seq for seq, _ in wanted],
            [part.encode() for _, part in wanted],
        )
    return tuple(row_of(row) for row in rows)


async def of_event(db: Asks, lane: int, seq: int) -> tuple[ParkedRow, ...]:
    """Every row of an event on a lane, whole."""
    rows = await db.fetch(f"SELECT {WHOLE} FROM gateway.parked WHERE lane = $1 AND seq = $2 ORDER BY id", lane, seq)  # noqa: S608  a constant
    return tuple(row_of(row) for row in rows)


async def standing(db: Asks, wanted: Mapping[int, Collection[int]]) -> dict[int, dict[int, Standing]]:
    """By lane, the events among these seqs that have rows, as the ledger wants them (rows without what is large)."""
    refs = [(lane, seq) for lane, seqs in wanted.items() for seq in seqs]
    if not refs:
        return {lane: {} for lane in wanted}
    rows: defaultdict[tuple[int, int], dict[str, ParkedRow]] = defaultdict(dict)
    past: defaultdict[tuple[int, int], int] = defaultdict(int)
    for row in await db.fetch(
        f"SELECT {LIGHT}, past, lane FROM gateway.parked"  # noqa: S608  a constant
        " WHERE (lane, seq) IN (SELECT * FROM unnest($1::integer[], $2::bigint[]))",
        [lane for lane, _ in refs],
        [seq for _, seq in refs],
    ):
        one = row_of(row)
        rows[row["lane"], one.seq][one.part] = one
        past[row["lane"], one.seq] |= row["past"]
    found: dict[int, dict[int, Standing]] = {lane: {} for lane in wanted}
    for (lane, seq), parts in rows.items():
        found[lane][seq] = Standing(parts, past[lane, seq])
    return found


async def states(db: Asks, lane: int, after_seq: int = 0, to_seq: int = _NO_END) -> dict[int, State]:
    """The events of a lane that have rows, each with its state: parked while any part is, else dead."""
    rows = await db.fetch(
        "SELECT seq, bool_or(state = 'parked') FROM gateway.parked WHERE lane = $1 AND seq > $2 AND seq <= $3"
        " GROUP BY seq",
        lane,
        after_seq,
        to_seq,
    )
    return {seq: State.PARKED if waiting else State.DEAD for seq, waiting in rows}


def row_of(row: Row) -> ParkedRow:
    """A row of the light columns, or of the whole ones."""
    whole = "detail" in row.keys()  # noqa: SIM118  a Record has no __contains__ for its names
    return ParkedRow(
        seq=row["seq"],
        part=row["part"].decode(),
        channel=row["channel"].decode(),
        key=row["key"],
        state=State(row["state"]),
        attempt=row["attempt"],
        due_at_ms=row["due_at_ms"],
        first_failed_at_ms=row["first_failed_at_ms"],
        at_ms=row["at_ms"],
        reason=row["reason"],
        mapping=row["mapping"],
        generation=row["generation"],
        delivered_parts=unpack_texts(row["delivered_parts"]),
        detail=row["detail"].decode() if whole else "",
        answer=(row["answer"] or b"") if whole else b"",
        record=grow_record(row["record"]) if whole else None,
        every_state=whole and row["every_state"],
    )
