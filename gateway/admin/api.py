"""The JSON API under `/api/`: what the commands say with `--json`, over HTTP. Each call is one function and one row in
`CALLS`, from which the routes and the OpenAPI document are made.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace
from starlette.requests import Request

from gateway.admin import accounts, audited, views
from gateway.admin.answers import Problem
from gateway.admin.derived import derived_from
from gateway.admin.question import Trial
from gateway.admin.replays import Workshop
from gateway.admin.search import BUDGET_S, search
from gateway.admin.status import Status
from gateway.clock import Clock
from gateway.config.schema import LOOKUP
from gateway.deliver.lane import is_history
from gateway.errors import Cause, Reason
from gateway.journal.base import DeadFilter, DeadRow, Desk, EventFilter, EventView, Operation
from gateway.model import Lane, seq_of
from gateway.telemetry import log as logs

TIMEOUT_S = 10.0
AUDIT_TIMEOUT_S = 120.0
BODY_BYTES = 1 << 16
LETTERS_PER_CALL = 1_000
"""Dead letters that one call changes, unless it says how many."""
TEXT_CHARS = 200
_DIGITS = 17

log = logs.get("admin")


Shape = TypeVar("Shape", bound=Struct)


class Which(Struct, frozen=True, forbid_unknown_fields=True):
    """Which dead letters: by id, or by reason, source and destination together; `all` where none of them is given.

    At most `limit` are changed, oldest first. For the rest call again while the answer says `more`, with the same `to`
    (those that died then or before), or what died again meanwhile is taken twice. `note`: why, kept with the operation.
    `every_state`: what is retried goes even where a newer state of the same record was sent.
    """

    ids: tuple[str, ...] = ()
    reason: Reason | None = None
    source: str | None = None
    destination: str | None = None
    all: bool = False
    to: datetime | None = None
    limit: Annotated[int, Meta(ge=1, le=10_000)] = LETTERS_PER_CALL
    note: Annotated[str, Meta(max_length=500)] = ""
    every_state: bool = False


class WhichLanes(Struct, frozen=True, forbid_unknown_fields=True):
    """Which lanes: by source, destination and account together; `all` where none of them is given."""

    source: str | None = None
    destination: str | None = None
    account: str | None = None
    all: bool = False


@dataclass(frozen=True, slots=True)
class Room:
    """What the calls work with."""

    desk: Desk
    status: Callable[[], Status]
    clock: Clock
    type_of: views.TypeOf | None = None
    trial: Trial | None = None
    workshop: Workshop | None = None


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a query, as the OpenAPI document shows it."""

    name: str
    schema: Mapping[str, Any]
    description: str


@dataclass(frozen=True, slots=True)
class Call:
    """One call: where, what it says of itself, what it takes and gives."""

    method: Literal["GET", "POST"]
    path: str
    name: str
    summary: str
    answer: type[Struct]
    run: Callable[[Room, Request], Awaitable[Struct]]
    query: tuple[Parameter, ...] = ()
    body: type[Struct] | None = None
    timeout_s: float = TIMEOUT_S


# --- the calls -------------------------------------------------------------------------------------------------------


async def list_lanes(room: Room, request: Request) -> views.Lanes:
    everything = _text(request, "all") == "true"
    return views.lanes(await room.desk.lane_rows(), room.clock.now_ms(), room.status(), everything=everything)


async def list_accounts(room: Room, _: Request) -> accounts.Accounts:
    return accounts.accounts(room.status())


async def run_audit(room: Room, _: Request) -> audited.Audit:
    return audited.audit(await room.desk.audit())


async def list_events(room: Room, request: Request) -> views.Events:
    which = EventFilter(
        source=_text(request, "source"),
        topic=_text(request, "topic"),
        from_ms=_time(request, "from"),
        to_ms=_time(request, "to"),
        before_seq=number(request, "before", None, 2**53),
        limit=number(request, "limit", 50, 200) or 50,
    )
    return await found_events(room, which, _text(request, "contains") or "")


async def found_events(room: Room, which: EventFilter, contains: str) -> views.Events:
    """A page of events, each with what it is on every lane."""
    found = await search(room.desk, which, room.clock, contains=contains, budget_s=BUDGET_S)
    shown = [await room.desk.view(event.seq) for event in found.events]
    made = views.events((view for view in shown if view is not None), room.type_of)
    return replace(made, looked_back_to=found.looked_back_to)


async def show_event(room: Room, request: Request) -> views.EventDetails:
    view = await event_view(room, request.path_params["id"])
    return views.event(view, room.type_of, await found_for(room, view))


async def found_for(room: Room, view: EventView) -> tuple[str, ...]:
    """What look-ups found for an event."""
    lookups = [name for name, one in room.status().destinations.items() if one.vendor == LOOKUP]
    return await derived_from(room.desk, view, lookups)


async def list_dead(room: Room, request: Request) -> views.Dead:
    limit = number(request, "limit", 100, 1000) or 100
    which = DeadFilter(
        reason=_text(request, "reason"), source=_text(request, "source"), destination=_text(request, "destination")
    )
    rows = await dead_rows(room.desk, which, limit + 1)
    return views.dead(rows[:limit], more=len(rows) > limit)


async def count_dead(room: Room, request: Request) -> views.DeadGroups:
    which = DeadFilter(
        reason=_text(request, "reason"), source=_text(request, "source"), destination=_text(request, "destination")
    )
    return views.dead_groups(await room.desk.dead_groups(which))


async def show_dead(room: Room, request: Request) -> views.DeadDetails:
    rows = await dead_rows(room.desk, DeadFilter(ids=(request.path_params["id"],)), 1)
    if not rows:
        raise Problem(404, "not_found", "no dead letter has this id")
    return views.dead_letters(rows)


async def retry_dead(room: Room, request: Request) -> views.Changed:
    which = await body_of(request, Which)
    return await change_dead(room, "retry", filter_of(which), who(request), which.note, every_state=which.every_state)


async def discard_dead(room: Room, request: Request) -> views.Changed:
    which = await body_of(request, Which)
    return await change_dead(room, "discard", filter_of(which), who(request), which.note)


async def list_rejected(room: Room, request: Request) -> views.Rejects:
    limit = number(request, "limit", 100, 1000) or 100
    return views.rejected(await room.desk.rejected(_text(request, "source"), limit))


async def pause_lanes(room: Room, request: Request) -> views.Lanes:
    return await change_lanes(room, await body_of(request, WhichLanes), "pause", who(request))


async def resume_lanes(room: Room, request: Request) -> views.Lanes:
    return await change_lanes(room, await body_of(request, WhichLanes), "resume", who(request))


async def pause_lane(room: Room, request: Request) -> views.Lanes:
    return await _change_lane(room, request, "pause")


async def resume_lane(room: Room, request: Request) -> views.Lanes:
    return await _change_lane(room, request, "resume")


# --- what they share with the pages ----------------------------------------------------------------------------------


async def event_view(room: Room, event_id: str) -> EventView:
    """One event by its id; a 404 where there is none."""
    seq = seq_of(event_id)
    view = await room.desk.view(seq) if seq is not None else None
    if view is None or view.event.id != event_id:
        raise Problem(404, "not_found", "no event has this id; it may have been removed (journal.keep)")
    return view


async def dead_rows(desk: Desk, which: DeadFilter, limit: int) -> list[DeadRow]:
    """At most so many dead letters, oldest first."""
    rows: list[DeadRow] = []
    found: Any = desk.dead(which)
    async with aclosing(found):
        async for row in found:
            rows.append(row)
            if len(rows) >= limit:
                break
    return rows


def filter_of(which: Which) -> DeadFilter:
    """The dead letters that are meant. Nothing given means nothing, so that a slip does not mean everything."""
    found = DeadFilter(which.ids, which.reason and str(which.reason), which.source, which.destination)
    if (found == DeadFilter()) is not which.all:
        raise Problem(400, "which_dead", "give ids, reason, source or destination; or `all`, and nothing else")
    if which.to is not None and which.to.tzinfo is None:
        raise Problem(400, "body", "`to` is a time with its zone: 2026-01-31T09:00:00Z")
    to_ms = None if which.to is None else int(which.to.timestamp() * 1000)
    return replace(found, to_ms=to_ms, limit=which.limit)


async def change_dead(
    room: Room,
    what: Literal["retry", "discard"],
    which: DeadFilter,
    by: str,
    note: str = "",
    *,
    every_state: bool = False,
) -> views.Changed:
    """Retry or discard dead letters, and write down who did."""
    subject = document_of(which)
    operation = Operation(room.clock.now_ms(), by, what, subject, note=note)
    retry = partial(room.desk.retry, every_state=every_state)
    change = retry if what == "retry" else room.desk.discard
    count = await change(which, operation)
    if count or which.limit is None:
        log.info("operation.done", who=by, what=what, subject=subject, count=count)
    return views.Changed(count, more=which.limit is not None and count >= which.limit)


async def change_lanes(room: Room, which: WhichLanes, what: str, by: str) -> views.Lanes:
    """Pause or resume every lane that is meant, and write down who did. Gives them as they are then. Nothing given
    means nothing, so that a slip does not mean everything.
    """
    given = {"source": which.source, "destination": which.destination, "account": which.account}
    if any(given.values()) is which.all:
        raise Problem(400, "which_lanes", "give source, destination or account; or `all`, and nothing else")
    found = {row.lane.id: row.lane for row in await room.desk.lane_rows() if _is_meant(row.lane, which, room.status())}
    if not found:
        raise Problem(404, "not_found", "there is no such lane")
    subject = "lanes " + (" ".join(f"{name}={value}" for name, value in given.items() if value) or "all")
    for number in found:
        await room.desk.change_lane(number, Operation(room.clock.now_ms(), by, what, subject))
    log.info("operation.done", who=by, what=what, subject=subject, count=len(found))
    rows = [row for row in await room.desk.lane_rows() if row.lane.id in found]
    return views.lanes(rows, room.clock.now_ms(), room.status())


def _is_meant(lane: Lane, which: WhichLanes, status: Status) -> bool:
    return (
        not (lane.ended or is_history(lane))
        and which.source in (None, lane.source)
        and which.destination in (None, lane.destination)
        and (which.account is None or lane.destination in status.accounts.get(which.account, ()))
    )


def document_of(which: DeadFilter) -> str:
    """A filter as it is written down: short, whatever was given."""
    given = {
        "ids": len(which.ids),
        "reason": which.reason,
        "source": which.source,
        "destination": which.destination,
    }
    return "dead " + (" ".join(f"{name}={value}" for name, value in given.items() if value) or "all")


def who(request: Request) -> str:
    """Who asks: all that is known is where from."""
    return f"admin from {request.client.host if request.client else 'unknown'}"


async def _change_lane(room: Room, request: Request, what: str) -> views.Lanes:
    number: int = request.path_params["id"]
    if number not in {row.lane.id for row in await room.desk.lane_rows()}:
        raise Problem(404, "not_found", "no lane has this id")
    by = Operation(room.clock.now_ms(), who(request), what, f"lane {number}")
    lane = await room.desk.change_lane(number, by)
    log.info("operation.done", who=by.who, what=what, subject=f"{lane.source} to {lane.destination}", count=1)
    rows = [row for row in await room.desk.lane_rows() if row.lane.id == number]
    return views.lanes(rows, room.clock.now_ms(), room.status())


# --- reading requests ------------------------------------------------------------------------------------------------


def _text(request: Request, name: str) -> str | None:
    value = request.query_params.get(name)
    if value and len(value) > TEXT_CHARS:
        raise Problem(400, "query", f"`{name}` is longer than {TEXT_CHARS} characters")
    return value or None


def number(request: Request, name: str, default: int | None, most: int, least: int = 1) -> int | None:
    """A number in the query. Raises Problem."""
    value = _text(request, name)
    if value is None:
        return default
    if not (value.isascii() and value.isdecimal() and len(value) < _DIGITS) or not least <= int(value) <= most:
        raise Problem(400, "query", f"`{name}` is a number from {least} to {most}")
    return int(value)


def _time(request: Request, name: str) -> int | None:
    value = _text(request, name)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value.replace(" ", "+"))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Problem(400, "query", f"`{name}` is a time with its zone: 2026-01-31T09:00:00Z")
    return int(moment.timestamp() * 1000)


async def body_of(request: Request, shape: type[Shape]) -> Shape:
    """A request's body in its shape. Raises Problem."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return msgspec.json.decode(await read_body(request), type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(400, "body", str(error)) from None


async def read_body(request: Request, most_bytes: int = BODY_BYTES) -> bytes:
    """A request's body, bounded."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            raise Problem(413, str(Cause.BODY_TOO_LARGE), f"at most {most_bytes} bytes")
    return body


_ALL = Parameter("all", {"type": "string", "enum": ["true"]}, "Those of replays that are over, too.")
SOURCE = Parameter("source", {"type": "string"}, "Only of this source.")
DESTINATION = Parameter("destination", {"type": "string"}, "Only of this destination.")
_REASON = Parameter("reason", {"type": "string", "enum": [str(reason) for reason in Reason]}, "Only with this reason.")


def how_many(default: int, most: int) -> Parameter:
    """The parameter of a query that bounds its answer."""
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return Parameter("limit", schema, "How many, at most.")


CALLS = (
    Call("GET", "/lanes", "lanes", "Every lane and its figures.", views.Lanes, list_lanes, (_ALL,)),
    Call("POST", "/lanes/pause", "pause_lanes", "Pause lanes.", views.Lanes, pause_lanes, body=WhichLanes),
    Call("POST", "/lanes/resume", "resume_lanes", "Resume lanes.", views.Lanes, resume_lanes, body=WhichLanes),
    Call("GET", "/accounts", "accounts", "How every account stands.", accounts.Accounts, list_accounts),
    Call("POST", "/lanes/{id:int}/pause", "pause", "Keep everything, send nothing.", views.Lanes, pause_lane),
    Call("POST", "/lanes/{id:int}/resume", "resume", "Go on sending.", views.Lanes, resume_lane),
    Call(
        "GET",
        "/audit",
        "audit",
        "Recount every lane from its rows.",
        audited.Audit,
        run_audit,
        timeout_s=AUDIT_TIMEOUT_S,
    ),
    Call(
        "GET",
        "/events",
        "events",
        "Events, newest first.",
        views.Events,
        list_events,
        (
            SOURCE,
            Parameter("topic", {"type": "string"}, "Only of this topic."),
            Parameter(
                "contains",
                {"type": "string"},
                "Only with this text in the body (an order number, an e-mail address), or with this id.",
            ),
            Parameter("from", {"type": "string", "format": "date-time"}, "Received at this time or later."),
            Parameter("to", {"type": "string", "format": "date-time"}, "Received before this time."),
            Parameter("before", {"type": "integer", "minimum": 1}, "Only with a lower seq: the next page."),
            how_many(50, 200),
        ),
    ),
    Call("GET", "/events/{id}", "event", "One event, and what became of it.", views.EventDetails, show_event),
    Call(
        "GET",
        "/dead",
        "dead",
        "Dead letters, oldest first.",
        views.Dead,
        list_dead,
        (_REASON, SOURCE, DESTINATION, how_many(100, 1000)),
    ),
    Call("POST", "/dead/retry", "retry", "Map and send anew.", views.Changed, retry_dead, body=Which),
    Call("POST", "/dead/discard", "discard", "Give up for good.", views.Changed, discard_dead, body=Which),
    Call(
        "GET",
        "/dead/groups",
        "dead_groups",
        "How many dead letters there are, by reason, source and destination.",
        views.DeadGroups,
        count_dead,
        (_REASON, SOURCE, DESTINATION),
    ),
    Call("GET", "/dead/{id}", "dead_letter", "One dead letter, whole.", views.DeadDetails, show_dead),
    Call(
        "GET",
        "/rejected",
        "rejected",
        "Refused requests, newest first.",
        views.Rejects,
        list_rejected,
        (SOURCE, how_many(100, 1000)),
    ),
)
"""Every call of the API."""
