"""What is to be written of lanes and their rows, worked out beforehand and written in one call, or not at all where a
lane is no longer as it was read (`gateway.change` in the migrations).
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.journal import ledger
from gateway.journal.base import Operation
from gateway.journal.ledger import Ref, Standing
from gateway.journal.postgres.connection import Connections
from gateway.journal.postgres.lanes import Read, json, operation
from gateway.journal.records import pack_attempts, pack_counts, pack_ranges, pack_texts, shrink
from gateway.model import Attempt, Lane, Lease, ParkedRow, State


class Counted(IntEnum):
    """How the audit takes a row of attempts: to be seen only, as the dispatcher's, or as the journal's own."""

    NO = 0
    YES = 1
    OWN = 2


class _Lane(Struct):
    id: int
    stamp: int
    cursor: int
    ahead: bytes | None
    delivered: int
    filtered: int
    superseded: int
    parked: int
    dead: int
    discarded: int
    version: int
    changed: int
    paused: bool
    ended: bool
    floor_seq: int
    removed: bytes | None
    removed_events: int


class _Row(Struct):
    lane: int
    seq: int
    part: bytes
    channel: bytes
    key: bytes
    state: str
    attempt: int
    due_at_ms: int
    first_failed_at_ms: int
    at_ms: int
    reason: str
    mapping: str
    generation: int
    past: int
    delivered_parts: bytes | None
    detail: bytes
    answer: bytes | None
    record: bytes | None


class _Part(Struct):
    lane: int
    seq: int
    part: bytes


class _Sibling(Struct):
    lane: int
    seq: int
    part: bytes
    past: int
    delivered_parts: bytes | None


class _Again(Struct):
    lane: int
    seq: int
    at_ms: int
    every_state: bool


class _Attempts(Struct):
    lane: int
    first_seq: int
    last_seq: int
    at_ms: int
    counted: int
    config: str
    outcomes: bytes


class _Skip(Struct):
    lane: int
    after_seq: int
    last_seq: int
    count: int
    at_ms: int


class _SkipsGone(Struct):
    lane: int
    to_seq: int


class _Version(Struct):
    destination: str
    key: bytes
    version: int
    at_ms: int


class Change(Struct, omit_defaults=True):
    """Everything that one call writes. The fields are those that `gateway.change` reads; bytes travel as base64."""

    lanes: list[_Lane] = msgspec.field(default_factory=list)
    gone: list[_Part] = msgspec.field(default_factory=list)
    rows: list[_Row] = msgspec.field(default_factory=list)
    siblings: list[_Sibling] = msgspec.field(default_factory=list)
    again: list[_Again] = msgspec.field(default_factory=list)
    attempts: list[_Attempts] = msgspec.field(default_factory=list)
    attempts_gone: list[int] = msgspec.field(default_factory=list)
    skips: list[_Skip] = msgspec.field(default_factory=list)
    skips_gone: list[_SkipsGone] = msgspec.field(default_factory=list)
    versions: list[_Version] = msgspec.field(default_factory=list)
    intents_done: list[bytes] = msgspec.field(default_factory=list)
    lease: Lease | None = None
    operation: dict[str, Any] | None = None
    heard: bool = False

    async def write(self, db: Connections) -> bool:
        """Write it. False: a lane has changed since it was read, and nothing was written."""
        return bool(await db.value("SELECT gateway.change($1::text::jsonb)", json(self)))

    # --- what it is made of ------------------------------------------------------------------------------------------

    def lane(self, before: Read, after: Read) -> None:
        """A lane as it is to stand, if it still is as it was."""
        lane, counts = after.lane, after.lane.counts
        self.lanes.append(
            _Lane(
                id=lane.id,
                stamp=before.stamp,
                cursor=lane.cursor,
                ahead=pack_ranges(lane.ahead),
                delivered=counts.delivered,
                filtered=counts.filtered,
                superseded=counts.superseded,
                parked=counts.parked,
                dead=counts.dead,
                discarded=counts.discarded,
                version=lane.version,
                changed=lane.changed,
                paused=lane.paused,
                ended=lane.ended,
                floor_seq=after.book.floor_seq,
                removed=pack_counts(after.book.removed),
                removed_events=after.book.removed_events,
            )
        )

    def operate(self, before: Read, after: Read) -> Lane:
        """A lane that an operator changes: every process has to hear of it."""
        lane = replace(after.lane, changed=after.lane.changed + 1)
        self.lane(before, after._replace(book=after.book._replace(lane=lane)))
        self.heard = True
        return lane

    def write_rows(self, lane: int, rows: Iterable[tuple[ParkedRow, int]]) -> None:
        """Rows that are written whole, each with what is past of its event."""
        self.rows.extend(_row(lane, row, past) for row, past in rows)

    def remove(self, lane: int, refs: Iterable[Ref]) -> None:
        """Rows that go."""
        self.gone.extend(_Part(lane, seq, part.encode()) for seq, part in refs)

    def learn(self, lane: int, siblings: Iterable[tuple[int, str, int, tuple[str, ...]]]) -> None:
        """Rows that stay and learn what has become of the other parts of their event."""
        self.siblings.extend(
            _Sibling(lane, seq, part.encode(), past, pack_texts(delivered)) for seq, part, past, delivered in siblings
        )

    def retry(self, lane: int, seqs: Iterable[int], at_ms: int, *, every_state: bool) -> None:
        """All dead rows of these events are due now, to be mapped anew."""
        self.again.extend(_Again(lane, seq, at_ms, every_state) for seq in seqs)

    def try_(self, lane: int, attempts: Sequence[Attempt], at_ms: int, counted: Counted, config: str = "") -> None:
        """One row for the attempts of one lane."""
        if attempts:
            seqs = [one.seq for one in attempts]
            packed = pack_attempts(attempts)
            self.attempts.append(_Attempts(lane, min(seqs), max(seqs), at_ms, counted, config, packed))

    def skip(self, lane: Lane, to_seq: int, count: int, at_ms: int) -> None:
        """What was waiting up to there no longer is."""
        if count:
            self.skips.append(_Skip(lane.id, lane.cursor, to_seq, count, at_ms))

    def forget_skips(self, lane: int, to_seq: int) -> None:
        """Skips that the audit's floor has passed."""
        self.skips_gone.append(_SkipsGone(lane, to_seq))

    def have(self, destination: str, versions: Iterable[tuple[bytes, int]], at_ms: int) -> None:
        """The versions that a destination has now."""
        self.versions.extend(_Version(destination, key, version, at_ms) for key, version in versions)

    def note(self, by: Operation, count: int) -> None:
        """What an operator did, to so many more."""
        self.operation = operation(by, count)

    def let_go(
        self, before: Read, gone: Sequence[Ref], standing: dict[int, Standing], state: State, at_ms: int
    ) -> Read:
        """Rows go as discarded, or (as dead) because their time is over. Gives the lane's books, which are still to be
        written.
        """
        book = before.book
        counts, removed = book.lane.counts, book.removed
        for seq, part in gone:
            counts, rest, after = ledger.let_go(counts, standing[seq], part, state)
            standing[seq] = rest
            if not rest.rows and seq <= book.floor_seq:
                removed = ledger.add(removed, after)
        number = book.lane.id
        self.remove(number, gone)
        for seq, rest in standing.items():
            self.learn(number, [(seq, part, rest.past, row.delivered_parts) for part, row in rest.rows.items()])
        self.try_(number, [Attempt(seq, part, state) for seq, part in gone], at_ms, Counted.OWN)
        return before._replace(book=book._replace(lane=replace(book.lane, counts=counts), removed=removed))


def _row(lane: int, row: ParkedRow, past: int) -> _Row:
    return _Row(
        lane=lane,
        seq=row.seq,
        part=row.part.encode(),
        channel=row.channel.encode(),
        key=row.key,
        state=str(row.state),
        attempt=row.attempt,
        due_at_ms=row.due_at_ms,
        first_failed_at_ms=row.first_failed_at_ms,
        at_ms=row.at_ms,
        reason=str(row.reason),
        mapping=row.mapping,
        generation=row.generation,
        past=past,
        delivered_parts=pack_texts(row.delivered_parts),
        detail=row.detail.encode(),
        answer=row.answer or None,
        record=shrink(row.record) if row.record is not None else None,
    )
