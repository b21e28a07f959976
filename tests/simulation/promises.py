"""The promises, checked after a history. Each returns what it found broken, in words."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from gateway.journal.base import EventView
from gateway.model import State
from tests.simulation.history import DESTINATIONS, History
from tests.simulation.paper import LIMIT

SLACK_S = 0.001
TRAVEL_S = 0.005


async def broken(history: History) -> list[str]:
    """Everything that a history broke."""
    found = [*_taken_twice(history), *_breaches(history), *_too_fast(history)]
    found += [
        row.why or f"lane {row.lane.id} does not balance" for row in await history.journal.audit() if not row.balanced
    ]
    views = await _views(history)
    found += _not_settled(views)
    found += _lost(history, views)
    found += _overtaken(history, views)
    return found


async def _views(history: History) -> list[EventView]:
    seqs = sorted({receipt.seq for _, receipt in history.told.receipts})
    found = [await history.journal.view(seq) for seq in seqs]
    return [view for view in found if view is not None]


def _taken_twice(history: History) -> Iterator[str]:
    """One identity, one event; whoever came later was told of the first."""
    fresh: dict[bytes, int] = defaultdict(int)
    for identity, receipt in history.told.receipts:
        fresh[identity] += not receipt.duplicate
        if receipt.id != history.told.first[identity].id:
            yield f"{identity!r} is two events"
    yield from (f"{identity!r} was accepted {count} times" for identity, count in fresh.items() if count != 1)


def _breaches(history: History) -> Iterator[str]:
    for site in history.world.sites.values():
        yield from site.breaches


def _too_fast(history: History) -> Iterator[str]:
    """The limit of an account, over all processes. What a frozen process had in its hands leaves when it thaws: that
    cannot be helped, and does not count.
    """
    thawed = {(process.number, at_s) for process in history.processes for at_s in process.thawed_s}
    for account in set(DESTINATIONS.values()):
        times = sorted(
            at_s
            for name, belongs in DESTINATIONS.items()
            if belongs == account
            for at_s, number in history.world.sites[name].requests
            if not any(number == process and 0 <= at_s - thaw_s < TRAVEL_S for process, thaw_s in thawed)
        )
        allowed = int(LIMIT.allow)
        for earlier, later in zip(times, times[allowed:], strict=False):
            if later - earlier < LIMIT.per_s - SLACK_S:
                yield f"{account}: {allowed + 1} requests within {later - earlier:.4f} s at {later:.3f}"


def _not_settled(views: list[EventView]) -> Iterator[str]:
    for view in views:
        for lane, state, _, _ in view.lanes:
            if state in (State.WAITING, State.PARKED):
                yield f"event {view.event.seq} is still {state} at {lane.destination}"


def _lost(history: History, views: list[EventView]) -> Iterator[str]:
    """What is delivered was applied; what was not is dead, filtered or discarded, for a reason that the body shows."""
    for view in views:
        body = history.told.bodies[view.event.seq]
        for lane, state, _, _ in view.lanes:
            site = history.world.sites[lane.destination]
            applied = {one.channel for one in site.applied if one.seq == view.event.seq and one.lane == lane.id}
            wanted = set(body.get("channels", ["one"]))
            if state is State.DELIVERED and applied != wanted:
                yield f"event {view.event.seq} is delivered to {lane.destination}, but {wanted - applied} never came"
            if state is State.DEAD and not (body.get("poison") or body.get("unmappable")):
                yield f"event {view.event.seq} is dead at {lane.destination} for no reason"
            if state is State.FILTERED and view.event.topic != "thing/ignored":
                yield f"event {view.event.seq} is filtered at {lane.destination} for no reason"


def _overtaken(history: History, views: list[EventView]) -> Iterator[str]:
    """Within a lane the first arrivals of one key are in the order of the log, but for what was ever dead."""
    mortal = {
        (lane.id, view.event.seq)
        for view in views
        for lane, _, _, attempts in view.lanes
        if any(one.attempt.outcome == State.DEAD for one in attempts)
    }
    for site in history.world.sites.values():
        first: dict[tuple[int, str, str], dict[int, float]] = defaultdict(dict)
        for one in site.applied:
            if (one.lane, one.seq) not in mortal:
                first[one.lane, one.channel, one.key].setdefault(one.seq, one.at_s)
        for (lane, channel, key), times in first.items():
            for earlier, later in pairwise(sorted(times)):
                if times[later] < times[earlier]:
                    yield f"lane {lane}: {later} of {channel}:{key} overtook {earlier}"
