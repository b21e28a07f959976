"""Live pages: server-sent events with pieces of HTML, for as long as somebody looks, at most STREAM_S at a time.

A stream only repeats what its page shows: without a script the page is read again by itself, or by hand.
"""

from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gateway.admin import api, pieces, replays, views
from gateway.admin.answers import SAFE, Problem
from gateway.admin.api import Room
from gateway.admin.html import TEMPLATES
from gateway.errors import JournalError, WrongSelection
from gateway.journal.base import EventFilter, Journal

EVERY_S = 2.0
STREAM_S = 600.0
"""A browser comes again by itself, and has to be signed in still."""
BEAT_S = 15.0
"""A silent stream says that it lives."""
STREAMS_MAX = 20
TAIL_MAX = 50
"""Events that one look at the tail shows, the newest."""


class Streams:
    """The streams that are open: each asks the journal every two seconds, until the gateway stops."""

    def __init__(self) -> None:
        self.open = 0
        self._closed = False

    def close(self) -> None:
        """Let all of them end, within two seconds: nobody is to wait for them."""
        self._closed = True

    def closed(self) -> bool:
        """Whether they are to end."""
        return self._closed

    def answer(self, stream: AsyncIterator[str]) -> Response:
        """The stream as an answer. Raises Problem where too many look on already."""
        if self.open >= STREAMS_MAX:
            raise Problem(503, "overloaded", f"{STREAMS_MAX} pages are live already")
        self.open += 1
        return StreamingResponse(self._counted(stream), 200, SAFE | {"x-accel-buffering": "no"}, "text/event-stream")

    async def _counted(self, stream: AsyncIterator[str]) -> AsyncIterator[str]:
        try:
            async for piece in stream:
                yield piece
        finally:
            self.open -= 1


async def changes(room: Room, look: Callable[[], Awaitable[str]], streams: Streams) -> AsyncIterator[str]:
    """What `look` gives, whenever it differs from the last (and is not empty)."""
    began_s = told_s = room.clock.monotonic_s()
    last = ""
    while (now_s := room.clock.monotonic_s()) < began_s + STREAM_S and not streams.closed():
        try:
            text = await look()
        except JournalError:
            text = last
        if text not in ("", last):
            last, told_s = text, now_s
            yield _message(text)
        elif now_s >= told_s + BEAT_S:
            told_s = now_s
            yield ": alive\n\n"
        await room.clock.sleep(EVERY_S)


def _message(text: str) -> str:
    return "".join(f"data: {line}\n" for line in text.splitlines()) + "\n"


def figures(room: Room, streams: Streams) -> AsyncIterator[str]:
    """The overview's figures."""

    async def look() -> str:
        return TEMPLATES.get_template("figures.html").render(await pieces.figures(room))

    return changes(room, look, streams)


def tail(room: Room, streams: Streams, source: str, topic: str, after_seq: int) -> AsyncIterator[str]:
    """Rows of the list of events, those behind `after_seq`, the newest first."""
    seen = after_seq

    async def look() -> str:
        nonlocal seen
        which = EventFilter(source=source or None, topic=topic or None, limit=TAIL_MAX)
        new = [event for event in await room.desk.events(which) if event.seq > seen]
        if not new:
            return ""
        seen = new[0].seq
        found = [await room.desk.view(event.seq) for event in new]
        shown = views.events((view for view in found if view is not None), room.type_of).events
        return TEMPLATES.get_template("event_rows.html").render(events=shown)

    return changes(room, look, streams)


def replay(room: Room, streams: Streams, journal: Journal, name: str) -> AsyncIterator[str]:
    """How far a replay is."""

    async def look() -> str:
        try:
            found = await replays.one(journal, name)
        except WrongSelection:
            return ""
        return TEMPLATES.get_template("replay_standing.html").render(replay=found)

    return changes(room, look, streams)


def pages(streams: Streams) -> tuple[tuple[str, str, Callable[[Room, Request], Awaitable[Response]]], ...]:
    """The streams, as pages: behind a session as they are."""

    async def live_figures(room: Room, _: Request) -> Response:
        return streams.answer(figures(room, streams))

    async def live_events(room: Room, request: Request) -> Response:
        query = request.query_params
        after_seq = api.number(request, "after", 0, 2**53, least=0) or 0
        return streams.answer(tail(room, streams, query.get("source", ""), query.get("topic", ""), after_seq))

    async def live_replay(room: Room, request: Request) -> Response:
        if room.workshop is None:
            raise Problem(404, "not_found", "this gateway does not deliver")
        return streams.answer(replay(room, streams, room.workshop.journal, request.path_params["id"]))

    return (
        ("GET", "/live/figures", live_figures),
        ("GET", "/live/events", live_events),
        ("GET", "/live/replays/{id}", live_replay),
    )
