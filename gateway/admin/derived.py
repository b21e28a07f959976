"""What look-ups found for an event. It is told by when its look-up was settled: what derives is received just then."""

from collections.abc import Collection

from gateway.journal.base import Desk, EventFilter, EventView
from gateway.model import State

SETTLES = 20
"""Look-ups of one event that are followed, at most."""
TOGETHER = 1_000
"""Events that were received in one millisecond, at most."""


async def derived_from(desk: Desk, view: EventView, lookups: Collection[str]) -> tuple[str, ...]:
    """The ids of the events that derive from one, oldest first. `lookups`: the names of those that there are."""
    event = view.event
    times_ms = {
        one.at_ms
        for lane, _, _, attempts in view.lanes
        if lane.destination in lookups
        for one in attempts
        if one.attempt.outcome == State.DELIVERED
    }
    found: list[str] = []
    for at_ms in sorted(times_ms)[:SETTLES]:
        which = EventFilter(source=event.source, from_ms=at_ms, to_ms=at_ms, limit=TOGETHER)
        found += [one.id for one in reversed(await desk.events(which)) if one.derived_from == event.id]
    return tuple(found)
