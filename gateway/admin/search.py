"""Finding events by what is in them: an order number, an e-mail address, an id.

Payloads have no index, so a search reads them, newest first, for as long as it may; what it did not get to is for
another search, from where it stopped.
"""

import json
from functools import lru_cache
from urllib.parse import quote_plus

from msgspec import Struct
from msgspec.structs import replace

from gateway.clock import Clock
from gateway.journal.base import Desk, EventFilter
from gateway.model import Event, seq_of

EVENTS_PER_LOOK = 200
"""A body may be a mebibyte, and all of a look are held at once."""
BUDGET_S = 5.0
"""How long a page or a call of the API looks."""


class Found(Struct, frozen=True):
    """Events, newest first. `looked_back_to`: the search ran out of time; events below this seq were not looked at."""

    events: tuple[Event, ...]
    looked_back_to: int | None = None


async def search(
    desk: Desk, which: EventFilter, clock: Clock, *, contains: str = "", budget_s: float | None = None
) -> Found:
    """The events that are meant and whose body holds a text (or whose id it is). Without a budget it looks at all."""
    named = await _named(desk, contains)
    if named is not None:
        return Found((named,))
    if not contains and which.topic is None:
        return Found(await desk.events(which))
    events: list[Event] = []
    look = replace(which, topic=None, limit=EVENTS_PER_LOOK)
    ends_s = None if budget_s is None else clock.monotonic_s() + budget_s
    while True:
        page = await desk.events(look)
        events += (one for one in page if which.topic in (None, one.topic) and holds(one, contains))
        if len(events) >= which.limit or len(page) < EVENTS_PER_LOOK:
            return Found(tuple(events[: which.limit]))
        if ends_s is not None and clock.monotonic_s() >= ends_s:
            return Found(tuple(events), page[-1].seq)
        look = replace(look, before_seq=page[-1].seq)


def holds(event: Event, text: str) -> bool:
    """Whether an event's body holds a text, in whichever case, as it is or as JSON or a form writes it."""
    body = event.body.lower()
    return any(spelling in body for spelling in _spellings(text))


@lru_cache(64)
def _spellings(text: str) -> tuple[bytes, ...]:
    in_json = (json.dumps(text, ensure_ascii=ascii_only)[1:-1] for ascii_only in (False, True))
    return tuple({one.encode("utf-8", "replace").lower(): None for one in (text, *in_json, quote_plus(text))})


async def _named(desk: Desk, text: str) -> Event | None:
    """The event whose id a text is."""
    seq = seq_of(text)
    view = None if seq is None else await desk.view(seq)
    return view.event if view is not None and view.event.id == text else None
