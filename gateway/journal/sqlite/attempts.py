"""What came of each part, on SQLite: one row for each settle and lane, and the recount of them."""

from collections.abc import Iterator, Sequence
from enum import IntEnum

from gateway.journal import ledger
from gateway.journal.base import AttemptRow
from gateway.journal.records import pack_attempts, unpack_attempts
from gateway.journal.sqlite.connection import Db
from gateway.model import Attempt, Counts

SEQS_PER_LOOK = 100_000
"""How much of a lane is recounted at a time: it bounds the memory of an audit."""


class Counted(IntEnum):
    """How the audit takes a row of attempts: to be seen only, as the dispatcher's, or as the journal's own."""

    NO = 0
    YES = 1
    OWN = 2


def write(db: Db, lane: int, attempts: Sequence[Attempt], at_ms: int, counted: Counted, config: str = "") -> None:
    """One row for the attempts of one lane in one transaction, made under the configuration with this digest."""
    if not attempts:
        return
    seqs = [attempt.seq for attempt in attempts]
    db.execute(
        "INSERT INTO attempts (lane, first_seq, last_seq, at_ms, counted, outcomes, config)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (lane, min(seqs), max(seqs), at_ms, counted, pack_attempts(attempts), config),
    )


def of_event(db: Db, lane: int, seq: int) -> Iterator[tuple[Counted, AttemptRow]]:
    """Every attempt at an event on a lane, oldest first."""
    rows = db.execute(
        "SELECT at_ms, counted, outcomes, config FROM attempts"
        " WHERE lane = ? AND last_seq >= ? AND first_seq <= ? ORDER BY id",
        (lane, seq, seq),
    )
    for at_ms, counted, outcomes, config in rows:
        for attempt in unpack_attempts(outcomes):
            if attempt.seq == seq:
                yield Counted(counted), AttemptRow(at_ms, attempt, config)


def fold(db: Db, lane: int, after_seq: int, to_seq: int) -> dict[int, int]:
    """What the attempts that count tell of the events with after_seq < seq <= to_seq, as the ledger's bits."""
    bits: dict[int, int] = {}
    rows = db.execute(
        "SELECT counted, outcomes FROM attempts WHERE lane = ? AND last_seq > ? AND first_seq <= ? AND counted > 0",
        (lane, after_seq, to_seq),
    )
    for counted, outcomes in rows:
        ledger.fold(bits, unpack_attempts(outcomes), after_seq, to_seq, own=counted == Counted.OWN)
    return bits


def recount(db: Db, lane: int, after_seq: int, to_seq: int, with_rows: Sequence[int]) -> Counts:
    """The events with after_seq < seq <= to_seq that attempts tell of, by state, without those that have rows."""
    counts = Counts()
    for low in range(after_seq, to_seq, SEQS_PER_LOOK):
        high = min(low + SEQS_PER_LOOK, to_seq)
        counts = ledger.plus(counts, ledger.count_closed(fold(db, lane, low, high), with_rows))
    return counts
