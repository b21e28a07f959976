"""The page that tries a payload: every step of its way, as `gateway try` shows it. Nothing is kept, nothing is sent."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.admin.answers import Problem
from gateway.admin.api import Room
from gateway.admin.html import Form, form_of, render
from gateway.admin.question import Question

PAYLOAD_BYTES = 256 << 10
_FORM_BYTES = 3 * PAYLOAD_BYTES + 16_384
"""A form has up to three bytes for one of the payload."""
_TEXT_CHARS = 2_000


async def empty(room: Room, request: Request) -> Response:
    given = {name: request.query_params.get(name, "")[:_TEXT_CHARS] for name in ("source", "topic", "to")}
    return _page(room, {**given, "headers": "", "payload": ""}, None)


async def tried(room: Room, request: Request) -> Response:
    form = await form_of(request, _FORM_BYTES)
    given = {name: form.one(name).strip() for name in ("source", "topic", "to", "headers")}
    status = room.status()
    if given["source"] not in status.sources or given["to"] not in ("", *status.destinations) or room.trial is None:
        raise Problem(400, "source", "choose a source, and a destination or none, of those that are configured")
    body = form.one("payload").encode()
    if len(body) > PAYLOAD_BYTES:
        raise Problem(413, "body_too_large", f"at most {PAYLOAD_BYTES} bytes are tried here; `gateway try` takes more")
    question = Question(given["source"], body, given["topic"] or None, _headers(form), given["to"] or None)
    return _page(room, {**given, "payload": form.one("payload")}, await room.trial(question))


def _headers(form: Form) -> tuple[tuple[str, str], ...]:
    found = [line.partition(":") for line in form.one("headers")[:_TEXT_CHARS].splitlines() if line.strip()]
    if any(not colon or not name.strip() or not f"{name}{value}".isascii() for name, colon, value in found):
        raise Problem(400, "headers", "each line of headers is NAME: VALUE")
    return tuple((name.strip(), value.strip()) for name, _, value in found)


def _page(room: Room, given: dict[str, str], way: dict[str, Any] | None) -> Response:
    status = room.status()
    sources, destinations = sorted(status.sources), sorted(status.destinations)
    return render("try.html", here="/try", given=given, way=way, sources=sources, destinations=destinations)


PAGES = (("GET", "/try", empty), ("POST", "/try", tried))
