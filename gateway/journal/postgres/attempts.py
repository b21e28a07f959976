"""What came of each part, on PostgreSQL: one row for each settle and lane, and the recount of them."""

from collections.abc import Collection

from gateway.journal import ledger
from gateway.journal.base import AttemptRow
from gateway.journal.postgres.change import Counted
from gateway.journal.postgres.connection import Asks
from gateway.journal.records import unpack_attempts
from gateway.model import Counts

SEQS_PER_LOOK = 100_000
"""How much of a lane is recounted at a time: it bounds the memory of an audit."""


async def of_event(db: Asks, lane: int, seq: int) -> list[tuple[Counted, AttemptRow]]:
    """Every attempt at an event on a lane, oldest first."""
    rows = await db.fetch(
        "SELECT at_ms, counted, outcomes, config FROM gateway.attempts"
        " WHERE lane = $1 AND last_seq >= $2 AND first_seq <= $2 ORDER BY id",
        lane,
        seq,
    )
    return [
        (Counted(counted), AttemptRow(at_ms, attempt, config))
        for at_ms, counted, outcomes, config in rows
        for attempt in unpack_attempts(outcomes)
        if attempt.seq == seq
    ]


async def fold(db: Asks, lane: int, after_seq: int, to_seq: int) -> dict[int, int]:
    """What the attempts that count tell of the events with after_seq < seq <= to_seq, as the ledger's bits."""
    bits: dict[int, int] = {}
    for counted, outcomes in await db.fetch(
        "SELECT counted, outcomes FROM gateway.attempts"
        " WHERE lane = $1 AND last_seq > $2 AND first_seq <= $3 AND counted > 0",
        lane,
        after_seq,
        to_seq,
    ):
        ledger.fold(bits, unpack_attempts(outcomes), after_seq, to_seq, own=counted == Counted.OWN)
    return bits


async def recount(db: Asks, lane: int, after_seq: int, to_seq: int, with_rows: Collection[int]) -> Counts:
    """The events with after_seq < seq <= to_seq that attempts tell of, by state, without those that have rows."""
    counts = Counts()
    for low in range(after_seq, to_seq, SEQS_PER_LOOK):
        high = min(low + SEQS_PER_LOOK, to_seq)
        counts = ledger.plus(counts, ledger.count_closed(await fold(db, lane, low, high), with_rows))
    return counts
