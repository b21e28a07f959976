"""The page that tries a payload: every step of its way, as `gateway try` shows it. Nothing is kept, nothing is sent."""

from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from gateway.admin.answers import Problem
from gateway.admin.api import Call, Room, body_of, event_view
from gateway.admin.html import Form, form_of, render
from gateway.admin.question import Question, Stored

PAYLOAD_BYTES = 256 << 10
_FORM_BYTES = 3 * PAYLOAD_BYTES + 16_384
"""A form has up to three bytes for one of the payload."""
_TEXT_CHARS = 2_000


class Payload(Struct, frozen=True, forbid_unknown_fields=True):
    """A payload to be tried: as `source` would send it, under `topic` where the payload does not say it."""

    source: str
    payload: str
    topic: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    to: str | None = None


class Tried(Struct, frozen=True):
    """What would become of a payload: rejected, dead, delivered or filtered; and every step of its way there."""

    outcome: str
    identity: str | None
    event: Any
    events: list[Any]
    routes: list[Any]
    requests: list[Any]
    filtered: list[str]
    dead: list[Any]
    rejected: Any


async def try_payload(room: Room, request: Request) -> Tried:
    asked = await body_of(request, Payload)
    question = Question(asked.source, asked.payload.encode(), asked.topic, asked.headers, asked.to)
    return Tried(**await _answered(room, question))


CALLS = (
    Call(
        "POST",
        "/try",
        "try",
        "A payload's whole way; nothing is kept, nothing is sent.",
        Tried,
        try_payload,
        body=Payload,
    ),
)


async def empty(room: Room, request: Request) -> Response:
    given = {name: request.query_params.get(name, "")[:_TEXT_CHARS] for name in ("source", "topic", "to")}
    return _page(room, {**given, "headers": "", "payload": ""}, None)


async def tried(room: Room, request: Request) -> Response:
    form = await form_of(request, _FORM_BYTES)
    given = {name: form.one(name).strip() for name in ("source", "topic", "to", "headers")}
    body = form.one("payload").encode()
    question = Question(given["source"], body, given["topic"] or None, _headers(form), given["to"] or None)
    return _page(room, {**given, "payload": form.one("payload")}, await _answered(room, question))


async def stored(room: Room, request: Request) -> Response:
    """What would become of an event that was taken, under the configuration in force."""
    event = (await event_view(room, request.path_params["id"])).event
    to = request.query_params.get("to") or None
    return render("event_tried.html", here="/events", event=event, to=to, way=await _answered(room, Stored(event, to)))


async def _answered(room: Room, question: Question | Stored) -> dict[str, Any]:
    """What becomes of it. Raises Problem for what cannot be tried."""
    status = room.status()
    of = question.event if isinstance(question, Stored) else question
    if of.source not in status.sources or question.to not in (None, *status.destinations) or room.trial is None:
        raise Problem(400, "source", "choose a source, and a destination or none, of those that are configured")
    if len(of.body) > PAYLOAD_BYTES:
        raise Problem(413, "body_too_large", f"at most {PAYLOAD_BYTES} bytes are tried here; `gateway try` takes more")
    return await room.trial(question)


def _headers(form: Form) -> tuple[tuple[str, str], ...]:
    found = [line.partition(":") for line in form.one("headers")[:_TEXT_CHARS].splitlines() if line.strip()]
    if any(not colon or not name.strip() or not f"{name}{value}".isascii() for name, colon, value in found):
        raise Problem(400, "headers", "each line of headers is NAME: VALUE")
    return tuple((name.strip(), value.strip()) for name, _, value in found)


def _page(room: Room, given: dict[str, str], way: dict[str, Any] | None) -> Response:
    status = room.status()
    sources, destinations = sorted(status.sources), sorted(status.destinations)
    return render("try.html", here="/try", given=given, way=way, sources=sources, destinations=destinations)


PAGES = (("GET", "/try", empty), ("POST", "/try", tried), ("GET", "/events/{id}/try", stored))
