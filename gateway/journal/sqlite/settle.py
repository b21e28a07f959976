"""Settling on SQLite: what became of events, over several lanes, in one transaction."""

from collections.abc import Sequence
from enum import IntEnum
from hashlib import blake2b

from gateway.errors import JournalConflict
from gateway.journal import ledger
from gateway.journal.records import pack_attempts
from gateway.journal.sqlite import lanes, rows
from gateway.journal.sqlite.connection import Db
from gateway.journal.sqlite.lanes import LaneBook
from gateway.journal.sqlite.log import Append
from gateway.model import Attempt, Group, Lane, LaneSettle, Settlement


class Counted(IntEnum):
    """How the audit takes a row of attempts: to be seen only, as the dispatcher's, or as the journal's own."""

    NO = 0
    YES = 1
    OWN = 2


class Settle:
    """A settlement on its way. `prepare` does all that needs no lock."""

    def __init__(self, settlement: Settlement) -> None:
        self._settlement = settlement
        self._derived: Append | None = None

    def prepare(self) -> None:
        """Pack what derives."""
        if self._settlement.derived:
            self._derived = Append(Group(derived_id(self._settlement), self._settlement.derived))
            self._derived.prepare()

    def __call__(self, db: Db) -> tuple[Lane, ...]:
        """Write it, inside the caller's transaction."""
        settlement = self._settlement
        lanes.fence(db, settlement.lease)
        after = tuple(_settle_lane(db, step, settlement.at_ms) for step in settlement.lanes)
        if settlement.intents_done:
            db.executemany("DELETE FROM intents WHERE key = ?", [(key,) for key in settlement.intents_done])
        if self._derived is not None:
            self._derived(db)
        return after


def derived_id(settlement: Settlement) -> bytes:
    """The id of the group that a settlement's derived offers make: the same whenever it is tried again."""
    mark = blake2b(digest_size=10)
    mark.update(f"{settlement.lease.account} {settlement.lease.token}".encode())
    for step in settlement.lanes:
        mark.update(f" {step.lane}:{step.version}".encode())
    for offer in settlement.derived:
        mark.update(offer.identity or offer.body)
    return settlement.at_ms.to_bytes(6, "big") + mark.digest()


def write_attempts(db: Db, lane: int, attempts: Sequence[Attempt], at_ms: int, counted: Counted) -> None:
    """One row for the attempts of one lane in one transaction."""
    if not attempts:
        return
    seqs = [attempt.seq for attempt in attempts]
    db.execute(
        "INSERT INTO attempts (lane, first_seq, last_seq, at_ms, counted, outcomes) VALUES (?, ?, ?, ?, ?, ?)",
        (lane, min(seqs), max(seqs), at_ms, counted, pack_attempts(attempts)),
    )


def _settle_lane(db: Db, step: LaneSettle, at_ms: int) -> Lane:
    book = lanes.book(db, step.lane)
    lane = book.lane
    if lane.ended or lane.version != step.version:
        raise JournalConflict(f"lane {lane.id} is at version {lane.version}, not {step.version}")
    seqs = ledger.events_with_rows(lane, step)
    standing = rows.standing(db, lane.id, seqs) if seqs else {}
    settled = ledger.settle(lane, book.floor_seq, step, standing)
    rows.remove(db, lane.id, settled.gone)
    rows.upsert(db, lane.id, settled.rows)
    rows.learn(db, lane.id, settled.siblings)
    write_attempts(db, lane.id, settled.counted, at_ms, Counted.YES)
    write_attempts(db, lane.id, settled.seen, at_ms, Counted.NO)
    removed = ledger.plus(book.removed, settled.removed)
    lanes.write(db, LaneBook(settled.lane, book.floor_seq, removed, book.removed_events))
    return settled.lane
