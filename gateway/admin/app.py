"""The admin port: health and metrics for everybody who reaches it, the API and the pages for who has the token."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from gateway.admin import answers, figures, pages
from gateway.admin.access import Access
from gateway.admin.answers import Problem
from gateway.admin.api import Call, Room
from gateway.admin.live import Streams
from gateway.admin.openapi import CALLS, openapi
from gateway.admin.question import Trial
from gateway.admin.replays import Workshop
from gateway.admin.status import Status
from gateway.admin.views import TypeOf, moment
from gateway.clock import Clock
from gateway.config.values import Secret
from gateway.errors import JournalError
from gateway.journal.base import Desk
from gateway.telemetry import log as logs

Endpoint = Callable[[Request], Awaitable[Response]]

log = logs.get("admin")


def build(
    desk: Desk,
    status: Callable[[], Status],
    token: Secret | None,
    *,
    clock: Clock,
    folder: Path | None = None,
    type_of: TypeOf | None = None,
    trial: Trial | None = None,
    workshop: Workshop | None = None,
) -> Starlette:
    """The ASGI application of the admin port.

    `status` is asked at each request and must be quick. `folder`: where the processes' metrics are (None: those of
    this process). `type_of`: the type of an event's normal form, for lists; `trial`: tries a payload's whole way;
    `workshop`: begins replays. Without a token the API and the pages are closed.
    Whoever stops it closes its `state.streams` first.
    """
    room = Room(desk, status, clock, type_of, trial, workshop)
    access, streams = Access(token), Streams()
    document = openapi(figures.VERSION)

    async def openapi_json(_: Request) -> Response:
        return answers.json(document)

    calls = [Route(call.path, _guarded(access, _call(room, call)), methods=[call.method]) for call in CALLS]
    calls.append(Route("/openapi.json", _guarded(access, openapi_json)))
    made = Starlette(
        routes=[*_open_routes(room, folder), Mount("/api", routes=calls), *pages.routes(room, access, streams)],
        exception_handlers={HTTPException: _http_exception, Exception: _crashed},
    )
    made.state.streams = streams
    return made


def _open_routes(room: Room, folder: Path | None) -> list[Route]:
    """Health and metrics: without the token, since probes and scrapers have none."""
    lanes = figures.LaneFigures(room.desk, room.clock)

    async def healthz(_: Request) -> Response:
        return answers.json({"alive": True})

    async def readyz(request: Request) -> Response:
        status, role = room.status(), request.query_params.get("role")
        ready = status.can(role) if role else status.ready
        return answers.json(readiness(status), 200 if ready else 503)

    async def metrics(request: Request) -> Response:
        looked_up = figures.Figures(await lanes.rows(), room.status(), room.clock.now_ms())
        text, content_type = await figures.exposition(looked_up, folder, request.headers.get("accept", ""))
        return Response(text, headers={"content-type": content_type, "cache-control": "no-store"})

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]


def readiness(status: Status) -> dict[str, Any]:
    """What `/readyz` says: each role and why it is not ready, the configuration in force, and what was refused."""
    return {
        "ready": status.ready,
        "roles": [
            {
                "role": role.name,
                "ready": role.ready,
                "why": role.why,
                "since": moment(role.since_ms),
                "restarts": role.restarts,
            }
            for role in status.roles
        ],
        "configuration": {
            "digest": status.digest,
            "revision": status.revision,
            "refused": [msgspec.to_builtins(fault) for fault in status.refused],
        },
    }


def _guarded(access: Access, endpoint: Endpoint) -> Endpoint:
    async def guarded(request: Request) -> Response:
        if access.by_header(request.headers.get("authorization", "")):
            return await endpoint(request)
        client = request.client.host if request.client else ""
        log.warning("admin.refused", path=request.url.path, client=client)
        detail = "no admin.token is configured" if access.closed() else "Authorization: Bearer <admin.token>"
        return answers.problem(Problem(401, "token", detail))

    return guarded


def _call(room: Room, call: Call) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        try:
            async with asyncio.timeout(call.timeout_s):
                return answers.json(await call.run(room, request))
        except Problem as found:
            return answers.problem(found)
        except (JournalError, TimeoutError) as error:
            return answers.problem(Problem(503, "journal_unavailable", str(error) or "no answer in time"))

    return endpoint


async def _http_exception(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == HTTPStatus.NOT_FOUND and "text/html" in request.headers.get("accept", ""):
        return pages.refused(Problem(status, "not_found", "there is no such page"))
    return answers.problem(Problem(status, "not_found" if status == HTTPStatus.NOT_FOUND else "request"))


async def _crashed(request: Request, error: Exception) -> Response:
    log.error("admin.failed", path=request.url.path, exc_info=error)
    return answers.problem(Problem(500, "fault", "a fault of the gateway's own; it is in the log"))
