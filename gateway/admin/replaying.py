"""Replays over HTTP: the calls under `/api/replays`, and the pages. A form is counted before it can begin."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from gateway.admin import replays as views
from gateway.admin.answers import Problem
from gateway.admin.api import Call, Room, body_of, who
from gateway.admin.html import Form, form_of, render, see
from gateway.admin.replays import Replays, ReplayView, Standing, Workshop, Would
from gateway.config.values import moment_ms
from gateway.deliver.forecast import forecast
from gateway.deliver.selection import CHOICES, TEXT_CHARS, Selection, Ticket, choose
from gateway.errors import WrongSelection
from gateway.journal.base import Operation
from gateway.model import State
from gateway.telemetry import log as logs

COUNT_TIMEOUT_S = 120.0
PAGE_EVENTS = 5_000
"""How many events a page plans for its count, at most: a page must answer soon."""
SHOWN = 100
"""How many replays a page shows, newest first."""
NOTHING = "no event that has come to an end on a live lane fits"
ID_BYTES = 8

log = logs.get("admin")


class Wanted(Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """Which events go again: times are RFC 3339 or ages (`2h`), types are globs. At least one of them is given.
    `dry_run`: only count.
    """

    source: str | None = None
    destination: str | None = None
    from_: str | None = None
    to: str | None = None
    types: tuple[str, ...] = ()
    states: tuple[Literal["delivered", "filtered", "superseded", "dead", "discarded"], ...] = ()
    ids: tuple[str, ...] = ()
    when: str | None = None
    every_state: bool = False
    dry_run: bool = False
    note: Annotated[str, Meta(max_length=TEXT_CHARS)] = ""


class Begun(Struct, frozen=True):
    """The replay that began, or (`dry_run`) what it would come to."""

    replay: ReplayView | None = None
    would: Would | None = None


# --- the calls -------------------------------------------------------------------------------------------------------


async def list_replays(room: Room, _: Request) -> Replays:
    return await views.read(_workshop(room).journal)


async def show_replay(room: Room, request: Request) -> Replays:
    return Replays((await _one(room, request),))


async def begin_replay(room: Room, request: Request) -> Begun:
    wanted = await body_of(request, Wanted)
    try:
        return await begin(room, wanted, who(request))
    except WrongSelection as error:
        raise Problem(400, "wrong_selection", str(error)) from None


async def pause_replay(room: Room, request: Request) -> Replays:
    return await _change(room, request, "pause")


async def resume_replay(room: Room, request: Request) -> Replays:
    return await _change(room, request, "resume")


async def cancel_replay(room: Room, request: Request) -> Replays:
    return await _change(room, request, "end")


CALLS = (
    Call("GET", "/replays", "replays", "Replays and backfills, newest first.", Replays, list_replays),
    Call(
        "POST",
        "/replays",
        "replay",
        "Send events again.",
        Begun,
        begin_replay,
        body=Wanted,
        timeout_s=COUNT_TIMEOUT_S,
    ),
    Call("GET", "/replays/{id}", "replay_status", "One replay, lane by lane.", Replays, show_replay),
    Call("POST", "/replays/{id}/pause", "pause_replay", "Keep what it still means.", Replays, pause_replay),
    Call("POST", "/replays/{id}/resume", "resume_replay", "Go on.", Replays, resume_replay),
    Call("POST", "/replays/{id}/cancel", "cancel_replay", "End it for good.", Replays, cancel_replay),
)


# --- what the calls and the pages share ------------------------------------------------------------------------------


async def begin(room: Room, wanted: Wanted, by: str, events_max: int | None = None) -> Begun:
    """Begin a replay, or count it. Raises WrongSelection, also where nothing is selected."""
    shop = _workshop(room)
    now_ms = room.clock.now_ms()
    selection = _selection(wanted, now_ms)
    if not selection.names_something():
        raise WrongSelection("say which: times, ids, source, destination, types, states or `when`")
    ticket = Ticket(f"rpl_{shop.chance.nonce(ID_BYTES).hex()}", now_ms, by, wanted.note)
    setup = shop.setup()
    chosen = await choose(shop.journal, setup, selection, ticket)
    if not chosen.lanes:
        raise WrongSelection(NOTHING)
    if wanted.dry_run:
        return Begun(would=views.would(await forecast(shop.journal, setup, chosen, events_max=events_max)))
    await shop.journal.replay(chosen.replay, chosen.lanes, views.operation(chosen))
    log.info("operation.done", who=by, what="replay", subject=ticket.id, count=len(chosen.lanes))
    return Begun(replay=await views.one(shop.journal, ticket.id))


def _selection(wanted: Wanted, now_ms: int) -> Selection:
    return Selection(
        source=wanted.source,
        destination=wanted.destination,
        from_ms=_moment(wanted.from_, now_ms),
        to_ms=_moment(wanted.to, now_ms),
        types=wanted.types,
        states=tuple(State(state) for state in wanted.states),
        ids=wanted.ids,
        when=wanted.when,
        every_state=wanted.every_state,
    )


def _moment(text: str | None, now_ms: int) -> int | None:
    try:
        return None if text is None else moment_ms(text, now_ms)
    except ValueError as error:
        raise WrongSelection(str(error)) from None


def _workshop(room: Room) -> Workshop:
    if room.workshop is None:
        raise Problem(404, "not_found", "this gateway does not deliver")
    return room.workshop


async def _one(room: Room, request: Request) -> ReplayView:
    try:
        return await views.one(_workshop(room).journal, request.path_params["id"])
    except WrongSelection as error:
        raise Problem(404, "not_found", str(error)) from None


async def _change(room: Room, request: Request, what: str) -> Replays:
    found = await _one(room, request)
    by = Operation(room.clock.now_ms(), who(request), what, found.id)
    changed = await views.change(_workshop(room).journal, found.id, what, by)
    log.info("operation.done", who=by.who, what=what, subject=found.id, count=len(changed))
    return Replays((await _one(room, request),))


# --- the pages -------------------------------------------------------------------------------------------------------


async def page(room: Room, request: Request) -> Response:
    ids = request.query_params.get("id", "")[:TEXT_CHARS]
    return await _shown(room, {"ids": ids})


async def post(room: Room, request: Request) -> Response:
    form = await form_of(request)
    given = {name: form.one(name) for name in _TEXTS} | {"states": form.all("states"), "every": form.one("every")}
    try:
        wanted = _wanted(form)
        if form.one("what") == "begin":
            begun = await begin(room, wanted, who(request))
            return see(f"/replays/{begun.replay.id}" if begun.replay else "/replays")
        begun = await begin(room, replace(wanted, dry_run=True), who(request), PAGE_EVENTS)
    except (WrongSelection, msgspec.ValidationError) as error:
        return await _shown(room, given, error=str(error), code=400)
    return await _shown(room, given, would=begun.would)


async def one_page(room: Room, request: Request) -> Response:
    found = await _one(room, request)
    return render("replay.html", here="/replays", replay=found, goes_on=found.status is Standing.RUNNING)


async def change_page(room: Room, request: Request) -> Response:
    form = await form_of(request)
    what = form.one("what")
    if what == "end" and form.one("sure") != "yes":
        raise Problem(400, "not_sure", "cancelling is for good: say that you are sure")
    await _change(room, request, what if what in ("pause", "end") else "resume")
    return see(f"/replays/{request.path_params['id']}")


PAGES: tuple[tuple[str, str, Callable[[Room, Request], Awaitable[Response]]], ...] = (
    ("GET", "/replays", page),
    ("POST", "/replays", post),
    ("GET", "/replays/{id}", one_page),
    ("POST", "/replays/{id}", change_page),
)

_TEXTS = ("source", "destination", "from", "to", "types", "ids", "when", "note")


def _wanted(form: Form) -> Wanted:
    """What a form wants; an empty field says nothing."""
    said: dict[str, Any] = {name: form.one(name).strip() or None for name in _TEXTS}
    said["types"] = (said["types"] or "").split()
    said["ids"] = (said["ids"] or "").split()
    said["note"] = said["note"] or ""
    return msgspec.convert(said | {"states": form.all("states"), "every_state": bool(form.one("every"))}, Wanted)


async def _shown(
    room: Room, given: dict[str, Any], *, would: Would | None = None, error: str = "", code: int = 200
) -> Response:
    """The list with the form as it was filled in."""
    found = (await views.read(_workshop(room).journal)).replays[:SHOWN]
    status = room.status()
    return render(
        "replays.html",
        code,
        here="/replays",
        replays=found,
        given={**dict.fromkeys((*_TEXTS, "every"), ""), "states": (), **given},
        choices=CHOICES,
        sources=sorted(status.sources),
        destinations=sorted(status.destinations),
        would=would,
        error=error,
    )
