"""Settling on SQLite: what became of events, over several lanes, in one transaction."""

from gateway.journal import ledger
from gateway.journal.admission import derived_id
from gateway.journal.ledger import LaneBook
from gateway.journal.sqlite import attempts, lanes, rows, versions
from gateway.journal.sqlite.attempts import Counted
from gateway.journal.sqlite.connection import Db
from gateway.journal.sqlite.identities import Identities
from gateway.journal.sqlite.log import Append
from gateway.model import Group, Lane, LaneSettle, Settlement


class Settle:
    """A settlement on its way. `prepare` does all that needs no lock."""

    def __init__(self, settlement: Settlement, identities: Identities) -> None:
        self._settlement = settlement
        self._identities = identities
        self._derived: Append | None = None

    def prepare(self) -> None:
        """Pack what derives."""
        if self._settlement.derived:
            self._derived = Append(Group(derived_id(self._settlement), self._settlement.derived), self._identities)
            self._derived.prepare()

    def __call__(self, db: Db) -> tuple[Lane, ...]:
        """Write it, inside the caller's transaction."""
        settlement = self._settlement
        lanes.fence(db, settlement.lease)
        after = tuple(_settle_lane(db, step, settlement) for step in settlement.lanes)
        if settlement.intents_done:
            db.executemany("DELETE FROM intents WHERE key = ?", [(key,) for key in settlement.intents_done])
        if self._derived is not None:
            self._derived(db)
        return after


def _settle_lane(db: Db, step: LaneSettle, settlement: Settlement) -> Lane:
    book = lanes.book(db, step.lane)
    lane = book.lane
    ledger.fence(lane, step, settlement.lease)
    seqs = ledger.events_with_rows(lane, step)
    standing = rows.standing(db, lane.id, seqs) if seqs else {}
    settled = ledger.settle(lane, book.floor_seq, step, standing)
    rows.remove(db, lane.id, settled.gone)
    rows.upsert(db, lane.id, settled.rows)
    rows.learn(db, lane.id, settled.siblings)
    for made, counted in ((settled.counted, Counted.YES), (settled.seen, Counted.NO)):
        attempts.write(db, lane.id, made, settlement.at_ms, counted, settlement.config)
    versions.write(db, lane.destination, step.versions, settlement.at_ms)
    removed = ledger.plus(book.removed, settled.removed)
    lanes.write(db, LaneBook(settled.lane, book.floor_seq, removed, book.removed_events))
    return settled.lane
