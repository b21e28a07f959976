"""What waits for its next attempt: why, since when, and when it goes."""

from collections import defaultdict
from collections.abc import Iterable

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from gateway.admin.api import DESTINATION, SOURCE, Call, Room, how_many, number
from gateway.admin.html import render
from gateway.admin.views import moment, text_of
from gateway.journal.base import Desk
from gateway.model import Lane, ParkedRow

ROWS = 100


class ParkedView(Struct, frozen=True):
    """A record that waits. `due_at`: when it is tried again; `first_failed_at`: since when it fails."""

    event_id: str
    seq: int
    source: str
    destination: str
    part: str
    reason: str
    detail: str
    attempts: int
    due_at: str
    first_failed_at: str
    answer: str


class Parked(Struct, frozen=True):
    """Records that wait, those first that go first. `more`: there are others behind these."""

    parked: tuple[ParkedView, ...]
    more: bool = False


async def parked(desk: Desk, source: str | None, destination: str | None, limit: int) -> Parked:
    """At most so many records that wait, of a source and destination (None: of all)."""
    found: list[tuple[Lane, ParkedRow]] = []
    for lane in (row.lane for row in await desk.lane_rows() if row.lane.counts.parked):
        if source in (None, lane.source) and destination in (None, lane.destination):
            found += [(lane, row) for row in await desk.parked(lane.id)]
    found.sort(key=lambda pair: (pair[1].due_at_ms, pair[1].seq))
    whole = await _whole(desk, found[:limit])
    shown = [await _shown(desk, lane, whole.get((lane.id, row.seq, row.part))) for lane, row in found[:limit]]
    return Parked(tuple(one for one in shown if one is not None), more=len(found) > limit)


async def _whole(desk: Desk, found: Iterable[tuple[Lane, ParkedRow]]) -> dict[tuple[int, int, str], ParkedRow]:
    """The rows with their answers, asked for lane by lane: those that are still there, by lane, seq and part."""
    refs: defaultdict[int, list[tuple[int, str]]] = defaultdict(list)
    for lane, row in found:
        refs[lane.id].append((row.seq, row.part))
    return {(lane, row.seq, row.part): row for lane, some in refs.items() for row in await desk.parked(lane, some)}


async def _shown(desk: Desk, lane: Lane, one: ParkedRow | None) -> ParkedView | None:
    """A row with its event; None where either went meanwhile."""
    view = None if one is None else await desk.view(one.seq)
    if one is None or view is None:
        return None
    return ParkedView(
        event_id=view.event.id,
        seq=one.seq,
        source=lane.source,
        destination=lane.destination,
        part=one.part,
        reason=one.reason,
        detail=one.detail,
        attempts=one.attempt,
        due_at=moment(one.due_at_ms),
        first_failed_at=moment(one.first_failed_at_ms),
        answer=text_of(one.answer)[0],
    )


async def list_parked(room: Room, request: Request) -> Parked:
    query = request.query_params
    limit = number(request, "limit", ROWS, 1000) or ROWS
    return await parked(room.desk, query.get("source") or None, query.get("destination") or None, limit)


CALLS = (
    Call(
        "GET",
        "/parked",
        "parked",
        "Records that wait for their next attempt, those first that go first.",
        Parked,
        list_parked,
        (SOURCE, DESTINATION, how_many(ROWS, 1000)),
    ),
)


async def page(room: Room, request: Request) -> Response:
    found = await list_parked(room, request)
    chosen = {name: request.query_params.get(name, "") for name in ("source", "destination")}
    return render("parked.html", here="/parked", found=found, chosen=chosen)


PAGES = (("GET", "/parked", page),)
