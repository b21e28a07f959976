"""The pages of dead letters: grouped by reason, one whole, and what is to become of many: counted first, then slice by
slice, each as long as a page may take.
"""

from collections.abc import Callable
from typing import Any, Literal

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from gateway.admin import api, views
from gateway.admin.answers import Problem
from gateway.admin.api import Room
from gateway.admin.html import Form, form_of, render, see
from gateway.journal.base import DeadFilter

LETTERS = 100
"""Dead letters on the page, of those that there are."""
LETTERS_PER_SLICE = 500
WORK_S = 2.0
"""How long a page works before it says how far it has come."""
NOTE_CHARS = 500
_NUMBER_DIGITS = 16

What = Literal["retry", "discard"]


async def dead(room: Room, request: Request) -> Response:
    which = _which(request.query_params.get)
    groups = views.dead_groups(await room.desk.dead_groups(which))
    rows = await api.dead_rows(room.desk, which, LETTERS)
    letters = views.dead_letters(rows).dead
    status = room.status()
    known: dict[str, Any] = {"sources": sorted(status.sources), "destinations": sorted(status.destinations)}
    return render("dead.html", here="/dead", which=which, groups=groups, letters=letters, **known)


async def letter(room: Room, request: Request) -> Response:
    found = await api.show_dead(room, request)
    return render("letter.html", here="/dead", letter=found.dead[0])


async def change(room: Room, request: Request) -> Response:
    """Decide about letters that were chosen one by one."""
    form = await form_of(request)
    what = _what(form)
    ids = form.all("id")
    if not ids:
        raise Problem(400, "which_dead", "choose at least one dead letter")
    note, every_state = form.one("note")[:NOTE_CHARS], _every_state(form)
    await api.change_dead(room, what, DeadFilter(ids=ids), api.who(request), note, every_state=every_state)
    return see("/dead")


async def ask(room: Room, request: Request) -> Response:
    """How many letters a decision would be about; nothing is changed yet."""
    which = _which(request.query_params.get)
    found = await room.desk.dead_groups(which)
    to_ms = max((group.last_at_ms for group in found), default=0)
    return render("decide.html", here="/dead", which=which, groups=views.dead_groups(found), to_ms=to_ms)


async def decide(room: Room, request: Request) -> Response:
    """Decide about some more of them, and say how far it has come. What died since the count is left alone."""
    form = await form_of(request)
    what = _what(form)
    which, done, total = _which(form.one), _number(form, "done"), _number(form, "total")
    some = replace(which, to_ms=_number(form, "to_ms"), limit=LETTERS_PER_SLICE)
    note, every_state = form.one("note")[:NOTE_CHARS], _every_state(form)
    until_s = room.clock.monotonic_s() + WORK_S
    more = True
    while more and room.clock.monotonic_s() < until_s:
        changed = await api.change_dead(room, what, some, api.who(request), note, every_state=every_state)
        done, more = done + changed.count, changed.more
    fields = {"what": what, "to_ms": some.to_ms, "note": note, "done": done, "total": max(total, done)}
    fields |= {"every_state": "yes"} if every_state else {}
    return render("decided.html", here="/dead", more=more, which=which, fields=fields)


def _what(form: Form) -> What:
    """What is to become of them. Raises Problem for a discard that nobody is sure of."""
    if form.one("what") != "discard":
        return "retry"
    if form.one("sure") != "yes":
        raise Problem(400, "not_sure", "discarding is for good: say that you are sure")
    return "discard"


def _every_state(form: Form) -> bool:
    """Whether an old state goes even where a newer one was sent."""
    return form.one("every_state") == "yes"


def _which(get: Callable[[str], str | None]) -> DeadFilter:
    reason, source, destination = (get(name) or None for name in ("reason", "source", "destination"))
    return DeadFilter(reason=reason, source=source, destination=destination)


def _number(form: Form, name: str) -> int:
    text = form.one(name, "0")
    if not (text.isascii() and text.isdecimal()) or len(text) > _NUMBER_DIGITS:
        raise Problem(400, "form", f"`{name}` is a number")
    return int(text)


PAGES = (
    ("GET", "/dead", dead),
    ("POST", "/dead", change),
    ("GET", "/dead/decide", ask),
    ("POST", "/dead/decide", decide),
    ("GET", "/dead/{id}", letter),
)
