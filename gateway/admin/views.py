"""What operators read, in one shape: the same for the commands' `--json`, the admin API and the pages.

Each view is a frozen struct made from the journal's rows; `plain` makes the JSON document of one, and the OpenAPI
document takes its schemas from here. Times are RFC 3339 UTC with milliseconds.
"""

import base64
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from gateway import document
from gateway.admin.status import Status
from gateway.config.quiet import QuietHours
from gateway.deliver.lane import is_history
from gateway.journal.base import AttemptRow, DeadGroup, DeadRow, EventView, LaneRow
from gateway.model import Event, Lane, ParkedRow, Rejection, State

TypeOf = Callable[[Event], str | None]
"""The type that an event's normal form has (`order.created`), or None where that cannot be told."""


# --- shapes ----------------------------------------------------------------------------------------------------------


class LaneView(Struct, frozen=True):
    """A lane: how far it is, what became of its events, how long its oldest waiting one has been waiting. `paused`: by
    a command (`paused_by` the operator) or in the configuration, which alone can resume it.
    """

    id: int
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
    paused: bool
    ended: bool
    orphaned: bool
    paused_by: str | None
    quiet_until: str | None
    lag_seconds: float


class Lanes(Struct, frozen=True):
    """Every lane."""

    lanes: tuple[LaneView, ...]


class AttemptView(Struct, frozen=True):
    """One attempt at one part of an event, and what came of it. `config`: the digest of the configuration that was in
    force, empty where an operator or retention did it.
    """

    at: str
    part: str
    outcome: str
    status: int
    latency_ms: int
    reason: str
    receipt: str
    answer: str
    config: str


class PartView(Struct, frozen=True):
    """A part of an event that waits for its next attempt (`due_at`) or is dead."""

    part: str
    channel: str
    state: str
    reason: str
    detail: str
    attempts: int
    due_at: str | None
    at: str
    answer: str


class EventLane(Struct, frozen=True):
    """What an event is on one lane."""

    destination: str
    kind: str
    state: str
    parts: tuple[PartView, ...] = ()
    attempts: tuple[AttemptView, ...] = ()


class EventSummary(Struct, frozen=True):
    """An event in a list."""

    id: str
    seq: int
    source: str
    topic: str
    type: str | None
    received_at: str
    lanes: tuple[EventLane, ...]


class EventDetail(Struct, frozen=True):
    """An event with what was received. `body` is text, or base64 where `body_encoding` says so. `derived`: the ids of
    what look-ups found for it.
    """

    id: str
    seq: int
    source: str
    topic: str
    type: str | None
    received_at: str
    lanes: tuple[EventLane, ...]
    method: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: str
    body_encoding: str
    revision: int
    derived_from: str | None
    derived: tuple[str, ...] = ()


class Events(Struct, frozen=True, omit_defaults=True):
    """Events, newest first. `looked_back_to`: the search ran out of time there; ask again with it as `before`."""

    events: tuple[EventSummary, ...]
    looked_back_to: int | None = None


class EventDetails(Struct, frozen=True):
    """Events, whole."""

    events: tuple[EventDetail, ...]


class DeadView(Struct, frozen=True):
    """A dead letter in a list."""

    id: str
    event_id: str
    seq: int
    source: str
    destination: str
    part: str
    reason: str
    detail: str
    attempts: int
    at: str


class DeadGroupView(Struct, frozen=True):
    """How many dead letters of a source and destination have one reason, and since when."""

    reason: str
    source: str
    destination: str
    letters: int
    first_at: str
    last_at: str


class DeadGroups(Struct, frozen=True):
    """Dead letters by reason, most first. `dead`: how many there are."""

    dead: int
    groups: tuple[DeadGroupView, ...]


class DeadDetail(Struct, frozen=True):
    """A dead letter whole: the record as last sent, and the vendor's answer to it."""

    id: str
    event_id: str
    seq: int
    source: str
    destination: str
    part: str
    reason: str
    detail: str
    attempts: int
    at: str
    kind: str
    channel: str
    mapping: str
    first_failed_at: str
    answer: str
    record: Any


class Dead(Struct, frozen=True):
    """Dead letters, oldest first. `more`: there are others behind these."""

    dead: tuple[DeadView, ...]
    more: bool = False


class DeadDetails(Struct, frozen=True):
    """Dead letters, whole."""

    dead: tuple[DeadDetail, ...]


class RejectedView(Struct, frozen=True):
    """A refused request as it was kept."""

    source: str
    at: str
    cause: str
    detail: str
    method: str
    client: str
    headers: tuple[tuple[str, str], ...]
    body: str
    body_encoding: str


class Rejects(Struct, frozen=True):
    """Refused requests, newest first."""

    rejected: tuple[RejectedView, ...]


class Changed(Struct, frozen=True):
    """How many rows an operation changed. `more`: others may be left, for another call."""

    count: int
    more: bool = False


def plain(view: Struct) -> dict[str, Any]:
    """The document of a view, for `document.dump`: its numbers keep the digits they have."""
    made: dict[str, Any] = msgspec.to_builtins(view, builtin_types=(Decimal,))
    return made


# --- from the journal's rows -----------------------------------------------------------------------------------------


def moment(at_ms: int) -> str:
    """Milliseconds since the epoch as RFC 3339."""
    text = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def lane(row: LaneRow, now_ms: int, status: Status | None = None) -> LaneView:
    """One lane. Without a status nobody can tell whether it is orphaned, so it is not."""
    one, counts = row.lane, row.lane.counts
    settings = None if status is None else status.destinations.get(one.destination)
    quiet_until_ms = None if settings is None else QuietHours(settings.quiet).until_ms(now_ms)
    lag_ms = 0 if row.oldest_waiting_at_ms is None else max(0, now_ms - row.oldest_waiting_at_ms)
    return LaneView(
        id=one.id,
        source=one.source,
        destination=one.destination,
        kind=one.kind,
        cursor=one.cursor,
        waiting=row.waiting,
        delivered=counts.delivered,
        filtered=counts.filtered,
        superseded=counts.superseded,
        parked=counts.parked,
        dead=counts.dead,
        discarded=counts.discarded,
        paused=one.paused or (settings is not None and settings.paused),
        ended=one.ended,
        orphaned=status is not None and is_orphaned(one, status),
        paused_by="configuration" if settings is not None and settings.paused else "operator" if one.paused else None,
        quiet_until=None if quiet_until_ms is None else moment(quiet_until_ms),
        lag_seconds=lag_ms / 1000,
    )


def is_orphaned(one: Lane, status: Status) -> bool:
    """Whether a lane's source or destination is not configured (any more). A lane that was ended is not missed, nor one
    of a replay that is over.
    """
    if one.ended or is_history(one):
        return False
    return one.source not in status.sources or one.destination not in status.destinations


def lanes(rows: Iterable[LaneRow], now_ms: int, status: Status | None = None, *, everything: bool = False) -> Lanes:
    """`lanes list`: without the lanes of replays that are over, unless everything is wanted."""
    shown = (row for row in rows if everything or not is_history(row.lane))
    return Lanes(tuple(lane(row, now_ms, status) for row in shown))


def events(views: Iterable[EventView], type_of: TypeOf | None = None) -> Events:
    """`events list`: without parts and attempts."""
    return Events(tuple(_summary(view, type_of) for view in views))


def _summary(view: EventView, type_of: TypeOf | None) -> EventSummary:
    event = view.event
    return EventSummary(
        id=event.id,
        seq=event.seq,
        source=event.source,
        topic=event.topic,
        type=type_of(event) if type_of else None,
        received_at=moment(event.received_at_ms),
        lanes=tuple(EventLane(one.destination, one.kind, str(state)) for one, state, _, _ in view.lanes),
    )


def event(view: EventView, type_of: TypeOf | None = None, derived: tuple[str, ...] = ()) -> EventDetails:
    """`events show`: all that is known of one event."""
    one = view.event
    body, encoding = text_of(one.body)
    detail = EventDetail(
        id=one.id,
        seq=one.seq,
        source=one.source,
        topic=one.topic,
        type=type_of(one) if type_of else None,
        received_at=moment(one.received_at_ms),
        lanes=tuple(_event_lane(*each) for each in view.lanes),
        method=one.method,
        query=one.query,
        headers=one.headers,
        body=body,
        body_encoding=encoding,
        revision=one.revision,
        derived_from=one.derived_from,
        derived=derived,
    )
    return EventDetails((detail,))


def _event_lane(one: Lane, state: State, rows: Sequence[ParkedRow], attempts: Sequence[AttemptRow]) -> EventLane:
    return EventLane(
        destination=one.destination,
        kind=one.kind,
        state=str(state),
        parts=tuple(_part(row) for row in rows),
        attempts=tuple(_attempt(row) for row in attempts),
    )


def _part(row: ParkedRow) -> PartView:
    return PartView(
        part=row.part,
        channel=row.channel,
        state=str(row.state),
        reason=row.reason,
        detail=row.detail,
        attempts=row.attempt,
        due_at=moment(row.due_at_ms) if row.state is State.PARKED else None,
        at=moment(row.at_ms),
        answer=text_of(row.answer)[0],
    )


def _attempt(row: AttemptRow) -> AttemptView:
    attempt = row.attempt
    return AttemptView(
        at=moment(row.at_ms),
        part=attempt.part,
        outcome=attempt.outcome,
        status=attempt.status,
        latency_ms=attempt.latency_ms,
        reason=attempt.reason,
        receipt=attempt.receipt,
        answer=text_of(attempt.answer)[0],
        config=row.config,
    )


def dead(rows: Iterable[DeadRow], *, more: bool = False) -> Dead:
    """`dead list`."""
    return Dead(tuple(_dead(row) for row in rows), more)


def _dead(row: DeadRow) -> DeadView:
    return DeadView(
        id=row.id,
        event_id=row.event_id,
        seq=row.row.seq,
        source=row.lane.source,
        destination=row.lane.destination,
        part=row.row.part,
        reason=row.row.reason,
        detail=row.row.detail,
        attempts=row.row.attempt,
        at=moment(row.row.at_ms),
    )


def dead_groups(groups: Sequence[DeadGroup]) -> DeadGroups:
    """`dead retry --dry-run`."""
    return DeadGroups(sum(group.count for group in groups), tuple(_dead_group(group) for group in groups))


def _dead_group(group: DeadGroup) -> DeadGroupView:
    return DeadGroupView(
        reason=group.reason,
        source=group.source,
        destination=group.destination,
        letters=group.count,
        first_at=moment(group.first_at_ms),
        last_at=moment(group.last_at_ms),
    )


def dead_letters(rows: Iterable[DeadRow]) -> DeadDetails:
    """`dead show`."""
    return DeadDetails(tuple(_dead_letter(row) for row in rows))


def _dead_letter(row: DeadRow) -> DeadDetail:
    return DeadDetail(
        **msgspec.structs.asdict(_dead(row)),
        kind=row.lane.kind,
        channel=row.row.channel,
        mapping=row.row.mapping,
        first_failed_at=moment(row.row.first_failed_at_ms),
        answer=text_of(row.row.answer)[0],
        record=_record(row.row.record),
    )


def rejected(rows: Iterable[Rejection]) -> Rejects:
    """`rejected list`."""
    return Rejects(tuple(_rejected(row) for row in rows))


def _rejected(row: Rejection) -> RejectedView:
    body, encoding = text_of(row.body)
    return RejectedView(
        source=row.source,
        at=moment(row.at_ms),
        cause=row.cause,
        detail=row.detail,
        method=row.method,
        client=row.client,
        headers=row.headers,
        body=body,
        body_encoding=encoding,
    )


def text_of(body: bytes) -> tuple[str, str]:
    """Bytes as text and its encoding: `utf-8`, or `base64` where they are no text."""
    try:
        return body.decode(), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), "base64"


def _record(record: bytes | None) -> Any:
    """A stored record as the document it is, its numbers as they were; text where it is none."""
    if record is None:
        return None
    try:
        return document.parse(record)
    except document.Unreadable:
        return text_of(record)[0]
