"""Whether the books balance, as operators read it: the shape that the command and the API share."""

from collections.abc import Sequence

from msgspec import Struct

from gateway.journal.base import AuditRow


class AuditLane(Struct, frozen=True):
    """A lane recounted: `expected` events up to its cursor and in ahead against those found by state."""

    source: str
    destination: str
    kind: str
    cursor: int
    waiting: int
    delivered: int
    filtered: int
    superseded: int
    parked: int
    dead: int
    discarded: int
    expected: int
    removed: int
    balanced: bool
    why: str


class Audit(Struct, frozen=True):
    """Whether the books balance."""

    balanced: bool
    lanes: tuple[AuditLane, ...]


def audit(rows: Sequence[AuditRow]) -> Audit:
    """`audit`: balanced when every lane is. The figures are the lane's own."""
    return Audit(all(row.balanced for row in rows), tuple(_audited(row) for row in rows))


def _audited(row: AuditRow) -> AuditLane:
    return AuditLane(
        source=row.lane.source,
        destination=row.lane.destination,
        kind=row.lane.kind,
        cursor=row.lane.cursor,
        waiting=row.waiting,
        delivered=row.booked.delivered,
        filtered=row.booked.filtered,
        superseded=row.booked.superseded,
        parked=row.booked.parked,
        dead=row.booked.dead,
        discarded=row.booked.discarded,
        expected=row.expected,
        removed=row.removed,
        balanced=row.balanced,
        why=row.why,
    )
