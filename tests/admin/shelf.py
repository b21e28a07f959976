"""A desk of fixed rows: what operators read without a journal behind it, and what they asked to have changed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from gateway.errors import JournalUnavailable
from gateway.journal.base import (
    AttemptRow,
    AuditRow,
    DeadFilter,
    DeadGroup,
    DeadRow,
    EventFilter,
    EventView,
    LaneRow,
    Operation,
)
from gateway.model import Attempt, Counts, Event, Lane, ParkedRow, Rejection, State, event_id

NOW_MS = 1_769_850_000_000
"""2026-01-31T09:00:00Z"""


class Still:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = NOW_MS

    def now_ms(self) -> int:
        return self.now

    def monotonic_s(self) -> float:
        return self.now / 1000

    async def sleep(self, seconds: float) -> None:
        self.now += int(seconds * 1000)


LANE = Lane(
    id=1,
    source="uk-shop",
    destination="ometria-uk",
    kind="live",
    start_seq=0,
    end_seq=None,
    cursor=7,
    ahead=((9, 9),),
    counts=Counts(delivered=5, filtered=1, parked=1, dead=1),
    version=3,
    changed=0,
)
OLD_LANE = replace(LANE, id=2, destination="gone", counts=Counts(), cursor=0, ahead=(), paused=True)

EVENT = Event(
    seq=4,
    id=event_id(4, b"0123456789abcdef"),
    source="uk-shop",
    topic="orders/paid",
    received_at_ms=NOW_MS - 60_000,
    revision=2,
    method="POST",
    query="",
    headers=(("x-shopify-topic", "orders/paid"),),
    body=b'{"id": 820982911946154508, "note": "<script>alert(1)</script>"}',
)
DEAD = ParkedRow(
    seq=4,
    part="order:820982911946154508",
    channel="order",
    key=b"k" * 16,
    state=State.DEAD,
    attempt=2,
    due_at_ms=0,
    first_failed_at_ms=NOW_MS - 50_000,
    at_ms=NOW_MS - 40_000,
    reason="record_refused",
    detail="total: <b>not</b> a number",
    answer=b'{"_errors": ["total"]}',
    record=b'{"data": {"@type": "order", "total": 0.30, "id": 820982911946154508}}',
)
ATTEMPT = Attempt(4, DEAD.part, "dead", 400, 81, "record_refused", answer=b"no")
REJECTION = Rejection(
    source="uk-shop",
    at_ms=NOW_MS,
    cause="signature_wrong",
    detail="not signed with a secret of this source",
    method="POST",
    client="192.0.2.7",
    headers=(("x-shopify-topic", "orders/paid"),),
    body=b"\xff\xfe",
)


@dataclass
class Shelf:
    """The desk. `broken`: the journal does not answer; `stuck`: it takes for ever."""

    lanes: list[LaneRow] = field(
        default_factory=lambda: [LaneRow(LANE, 2, NOW_MS - 90_000), LaneRow(OLD_LANE, 0, None)]
    )
    letters: list[DeadRow] = field(default_factory=lambda: [DeadRow("dl_1", LANE, DEAD, EVENT.id)])
    changes: list[tuple[DeadFilter | int, Operation]] = field(default_factory=list)
    asked: int = 0
    broken: bool = False
    stuck: bool = False
    balanced: bool = True

    async def lane_rows(self) -> tuple[LaneRow, ...]:
        self.asked += 1
        if self.stuck:
            await asyncio.Event().wait()
        if self.broken:
            raise JournalUnavailable("disk I/O error")
        return tuple(self.lanes)

    async def audit(self) -> tuple[AuditRow, ...]:
        counts = LANE.counts if self.balanced else Counts(delivered=4)
        why = "" if self.balanced else "delivered: 5 booked, 4 found"
        return (AuditRow(LANE, 2, 8, LANE.counts, counts, 0, self.balanced, why),)

    async def events(self, which: EventFilter) -> tuple[Event, ...]:
        return (EVENT,) if which.source in (None, EVENT.source) and which.topic in (None, EVENT.topic) else ()

    async def view(self, seq: int) -> EventView | None:
        if seq != EVENT.seq:
            return None
        return EventView(EVENT, ((LANE, State.DEAD, (DEAD,), (AttemptRow(NOW_MS - 40_000, ATTEMPT, "0123456789ab"),)),))

    async def parked(
        self, lane: int, refs: Sequence[tuple[int, str]] | None = None, *, limit: int = 10_000
    ) -> tuple[ParkedRow, ...]:
        row = replace(DEAD, state=State.PARKED, due_at_ms=NOW_MS + 5_000)
        return (row,)[:limit] if lane == LANE.id and refs in (None, [(row.seq, row.part)]) else ()

    async def dead(self, which: DeadFilter) -> AsyncIterator[DeadRow]:
        if self.broken:
            raise JournalUnavailable("disk I/O error")
        for row in self.letters:
            if (not which.ids or row.id in which.ids) and which.reason in (None, row.row.reason):
                yield row

    async def dead_groups(self, which: DeadFilter) -> tuple[DeadGroup, ...]:
        found = [one async for one in self.dead(which)]
        groups: dict[tuple[str, str, str], list[int]] = {}
        for one in found:
            groups.setdefault((one.lane.source, one.lane.destination, one.row.reason), []).append(one.row.at_ms)
        return tuple(DeadGroup(*name, len(times), min(times), max(times)) for name, times in groups.items())

    async def retry(self, which: DeadFilter, by: Operation, *, every_state: bool = False) -> int:  # noqa: ARG002  it keeps no rows
        self.changes.append((which, by))
        return len(self.letters)

    async def discard(self, which: DeadFilter, by: Operation) -> int:
        self.changes.append((which, by))
        return len(self.letters)

    async def change_lane(self, lane: int, by: Operation) -> Lane:
        self.changes.append((lane, by))
        changed = replace(LANE, paused=by.what == "pause")
        self.lanes[0] = replace(self.lanes[0], lane=changed)
        return changed

    async def rejected(self, source: str | None, limit: int = 100) -> tuple[Rejection, ...]:
        return (REJECTION,)[:limit] if source in (None, "uk-shop") else ()
