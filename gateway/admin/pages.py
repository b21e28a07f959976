"""The pages, and who may see them. Plain HTML that works without a script; one small module makes some of them live.

Whoever has the token signs in with it and gets a session. A page that changes something takes a form that comes from
the gateway's own pages: the session's cookie is not sent along from elsewhere, and a foreign Origin is refused.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gateway.admin import api, letters, live, parked, pieces, playground, replaying, routemap, views
from gateway.admin.access import COOKIE, SESSION_S, Access
from gateway.admin.answers import SAFE, Problem
from gateway.admin.api import Room
from gateway.admin.html import HERE, form_of, render, see
from gateway.errors import JournalError
from gateway.journal.base import EventFilter
from gateway.telemetry import log as logs

EVENTS = 50
REJECTS = 50
WRONG_TOKEN_S = 0.5
"""How long a wrong token waits for its answer."""
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
STATIC = {
    f"/static/{file.name}": (file.read_bytes(), _TYPES[file.suffix])
    for file in (HERE / "static").iterdir()
    if file.suffix in _TYPES
}

BACK = frozenset(("/", "/destinations"))
"""Pages that a change of lanes may lead back to."""

Page = Callable[[Room, Request], Awaitable[Response]]

log = logs.get("admin")


# --- the pages -------------------------------------------------------------------------------------------------------


async def overview(room: Room, _: Request) -> Response:
    return render("overview.html", here="/", **await pieces.figures(room))


async def destinations(room: Room, _: Request) -> Response:
    return render("destinations.html", here="/destinations", destinations=await pieces.destinations(room))


async def route_map(room: Room, _: Request) -> Response:
    status = room.status()
    sources = {name: source.preset for name, source in status.sources.items()}
    vendors = {name: settings.vendor for name, settings in status.destinations.items()}
    picture = routemap.draw(sources, status.routes, vendors)
    box = (routemap.BOX_WIDTH, routemap.BOX_HEIGHT)
    return render("map.html", here="/routes", picture=picture, routes=status.routes, box_size=box)


async def events(room: Room, request: Request) -> Response:
    query = request.query_params
    names = ("source", "topic", "contains", "before")
    source, topic, contains, before = (query.get(name, "").strip() for name in names)
    if before and not before.isdecimal():
        raise Problem(400, "query", "`before` is a number")
    seq = int(before[:16]) if before else None
    which = EventFilter(source=source or None, topic=topic or None, before_seq=seq, limit=EVENTS)
    found = await api.found_events(room, which, contains[: api.TEXT_CHARS])
    if [one.id for one in found.events] == [contains]:
        return see(f"/events/{contains}")
    older = found.events[-1].seq if len(found.events) == EVENTS else None
    chosen: dict[str, Any] = {"source": source, "topic": topic, "contains": contains, "before": before}
    sources = sorted(room.status().sources)
    return render("events.html", here="/events", found=found, older=older, sources=sources, **chosen)


async def event(room: Room, request: Request) -> Response:
    view = await api.event_view(room, request.path_params["id"])
    return render(
        "event.html", here="/events", event=views.event(view, room.type_of, await api.found_for(room, view)).events[0]
    )


async def change_lane(room: Room, request: Request) -> Response:
    form = await form_of(request)
    await (api.pause_lane if form.one("what") == "pause" else api.resume_lane)(room, request)
    return see("/")


async def change_lanes(room: Room, request: Request) -> Response:
    form = await form_of(request)
    source, destination, account = (form.one(name) or None for name in ("source", "destination", "account"))
    what = "pause" if form.one("what") == "pause" else "resume"
    await api.change_lanes(room, api.WhichLanes(source, destination, account), what, api.who(request))
    return see(form.one("back", "/") if form.one("back") in BACK else "/")


async def rejected(room: Room, request: Request) -> Response:
    source = request.query_params.get("source", "")
    found = views.rejected(await room.desk.rejected(source or None, REJECTS))
    sources = sorted(room.status().sources)
    return render("rejected.html", here="/rejected", rejected=found.rejected, source=source, sources=sources)


# --- who may see them ------------------------------------------------------------------------------------------------


def routes(room: Room, access: Access, streams: live.Streams) -> list[Route]:
    """Every page, behind a session."""
    pages: tuple[tuple[str, str, Page], ...] = (
        ("GET", "/", overview),
        ("GET", "/events", events),
        ("GET", "/events/{id}", event),
        ("POST", "/lanes", change_lanes),
        ("POST", "/lanes/{id:int}", change_lane),
        ("GET", "/rejected", rejected),
        ("GET", "/destinations", destinations),
        ("GET", "/routes", route_map),
        *letters.PAGES,
        *parked.PAGES,
        *playground.PAGES,
        *live.pages(streams),
        *replaying.PAGES,
    )
    made = [Route(path, _guarded(room, access, page), methods=[method]) for method, path, page in pages]
    return [*made, *_doors(room, access)]


def _doors(room: Room, access: Access) -> list[Route]:
    async def login(request: Request) -> Response:
        return render("login.html", closed=access.closed(), wrong=False, onward=_onward(request.query_params))

    async def enter(request: Request) -> Response:
        try:
            form = await form_of(request)
        except Problem as problem:
            return refused(problem)
        onward = _onward({"next": form.one("next", "/")})
        if _is_foreign(request) or not access.by_token(form.one("token")):
            log.warning("admin.refused", path="/login", client=request.client.host if request.client else "")
            await room.clock.sleep(WRONG_TOKEN_S)
            return render("login.html", 401, closed=access.closed(), wrong=True, onward=onward)
        answer = RedirectResponse(onward, HTTPStatus.SEE_OTHER, SAFE)
        _set_session(answer, request, access.session(room.clock.now_ms()), SESSION_S)
        return answer

    async def leave(request: Request) -> Response:
        answer = RedirectResponse("/login", HTTPStatus.SEE_OTHER, SAFE)
        _set_session(answer, request, "", 0)
        return answer

    async def static(request: Request) -> Response:
        body, content_type = STATIC[request.url.path]
        return Response(body, 200, SAFE | {"cache-control": "max-age=3600"}, content_type)

    return [
        Route("/login", login, methods=["GET"]),
        Route("/login", enter, methods=["POST"]),
        Route("/logout", leave, methods=["POST"]),
        *(Route(path, static) for path in STATIC),
    ]


def _set_session(answer: Response, request: Request, value: str, age_s: int) -> None:
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, value, age_s, httponly=True, samesite="strict", secure=secure)


def _onward(query: Mapping[str, str]) -> str:
    """Where to go after signing in: a page of ours, whatever a link says."""
    path = query.get("next", "/")
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/"


def _is_foreign(request: Request) -> bool:
    """Whether a form comes from another site's page."""
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host", "")


def _guarded(room: Room, access: Access, page: Page) -> Callable[[Request], Awaitable[Response]]:
    async def guarded(request: Request) -> Response:
        if not access.by_session(request.cookies, room.clock.now_ms()):
            onward = f"?next={request.url.path}" if request.method == "GET" else ""
            return RedirectResponse(f"/login{onward}", HTTPStatus.SEE_OTHER, SAFE)
        if request.method == "POST" and _is_foreign(request):
            return refused(Problem(403, "foreign", "this form does not come from a page of this gateway"))
        try:
            async with asyncio.timeout(api.TIMEOUT_S):
                return await page(room, request)
        except Problem as problem:
            return refused(problem)
        except (JournalError, TimeoutError) as error:
            detail = str(error) or "no answer in time"
            return refused(Problem(503, "journal_unavailable", detail))

    return guarded


def refused(problem: Problem) -> Response:
    """A page that says what went wrong."""
    title = HTTPStatus(problem.status).phrase
    return render("problem.html", problem.status, here="", title=title, problem=problem)
