"""Settling on PostgreSQL: what became of events, over several lanes, in one call.

It is worked out from the lanes as this process saw them last, and written if they still are so; else they are read
again. So a settle that nobody has come between is one round trip.
"""

from collections.abc import Sequence

from gateway.errors import JournalUnavailable
from gateway.journal import ledger
from gateway.journal.admission import derived_id
from gateway.journal.postgres import lanes, log, rows
from gateway.journal.postgres.change import Change, Counted
from gateway.journal.postgres.connection import Connections
from gateway.journal.postgres.filters import Filters
from gateway.journal.postgres.lanes import Read
from gateway.model import Group, Lane, LaneSettle, Settlement

TRIES = 8
"""How often a change is worked out anew when somebody else was faster."""
TOO_BUSY = "others change the same lanes all the time"


class Settler:
    """Settles, and remembers the lanes as it left them."""

    def __init__(self, db: Connections, filters: Filters) -> None:
        self._db = db
        self._filters = filters
        self._seen: dict[int, Read] = {}

    def see(self, found: Sequence[Read]) -> tuple[Lane, ...]:
        """Remember lanes that were read for something else."""
        self._seen.update((one.lane.id, one) for one in found)
        return tuple(one.lane for one in found)

    async def settle(self, settlement: Settlement) -> tuple[Lane, ...]:
        """Write it, all or nothing."""
        derived = None
        if settlement.derived:
            derived = log.prepare(Group(derived_id(settlement), settlement.derived))
        for _ in range(TRIES):
            before = await self._read(settlement)
            change = Change(lease=settlement.lease, intents_done=list(settlement.intents_done))
            after = await self._settled(settlement, before, change)
            if await self._write(change, derived):
                return self.see(after)
            for one in before:
                self._seen.pop(one.lane.id, None)
        raise JournalUnavailable(TOO_BUSY)

    async def _read(self, settlement: Settlement) -> list[Read]:
        """The lanes as they were seen last, at the versions that are to be settled; else as they are."""
        before = [self._seen.get(step.lane) for step in settlement.lanes]
        known = [one for one in before if one is not None]
        if len(known) < len(before) or not all(map(_is_so, settlement.lanes, known)):
            known = await lanes.read(self._db, [step.lane for step in settlement.lanes])
        for step, one in zip(settlement.lanes, known, strict=True):
            ledger.fence(one.lane, step, settlement.lease)
        return known

    async def _settled(self, settlement: Settlement, before: Sequence[Read], change: Change) -> list[Read]:
        """What the settle makes of the lanes; all that is to be written of it is in `change`."""
        wanted = {
            one.lane.id: ledger.events_with_rows(one.lane, step)
            for step, one in zip(settlement.lanes, before, strict=True)
        }
        standing = await rows.standing(self._db, wanted)
        after = []
        for step, one in zip(settlement.lanes, before, strict=True):
            number = one.lane.id
            settled = ledger.settle(one.lane, one.book.floor_seq, step, standing[number])
            change.remove(number, settled.gone)
            change.write_rows(number, settled.rows)
            change.learn(number, settled.siblings)
            for made, counted in ((settled.counted, Counted.YES), (settled.seen, Counted.NO)):
                change.try_(number, made, settlement.at_ms, counted, settlement.config)
            change.have(one.lane.destination, step.versions, settlement.at_ms)
            removed = ledger.plus(one.book.removed, settled.removed)
            now = Read(one.book._replace(lane=settled.lane, removed=removed), one.stamp + 1)
            change.lane(one, now)
            after.append(now)
        return after

    async def _write(self, change: Change, derived: log.Prepared | None) -> bool:
        if derived is None:
            return await change.write(self._db)
        said = lanes.json(change)
        both = await self._db.fetch_again(
            BOTH, lambda: (said, *derived.offered(self._filters.look(derived.identities)))
        )
        ((written, in_force),) = both
        self._filters.heard(in_force)
        return bool(written)


BOTH = (
    "SELECT * FROM gateway.change_and_accept("
    "$1::text::jsonb, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
)


def _is_so(step: LaneSettle, one: Read) -> bool:
    """Whether a lane as it was seen last is the one that the settle was made for; what else has changed is found when
    it is written.
    """
    return one.lane.version == step.version
