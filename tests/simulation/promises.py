"""The promises, checked after a history. Each returns what it found broken, in words."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from gateway import document
from gateway.config.quiet import QuietHours
from gateway.errors import Reason
from gateway.journal.base import EventView
from gateway.model import LIVE, Event, Lane, State
from tests.simulation.configured import HELD_AT, HOLD_S, LATE, LOOKED_UP, LOOKUP, QUIET, QUIET_AT, site_of
from tests.simulation.gates import burnt, not_left_alone
from tests.simulation.history import History
from tests.simulation.paper import KEYED, LIMIT
from tests.simulation.shares import unfair
from tests.simulation.virtual import START_MS
from tests.simulation.world import Arrival

SLACK_S = 0.001
TRAVEL_S = 0.005
SETTLED_S = 12.0
"""Until what has arrived is settled, at most: a vendor is slow, the journal is away."""
MARGIN_S = 1.0
"""Between a settle and what is sent with its knowledge, at most."""
SLOWEST_S = 3.0
"""Between a request's leaving and its arrival, at most: a vendor is slow."""
WHEN_N = 15
"""What the condition of the simulation's replays says of `n`."""


async def broken(history: History) -> list[str]:
    """Everything that a history broke."""
    found = [
        *_taken_twice(history),
        *_breaches(history),
        *_too_fast(history),
        *_too_early(history),
        *_in_quiet(history),
    ]
    found += [
        row.why or f"lane {row.lane.id} does not balance" for row in await history.journal.audit() if not row.balanced
    ]
    views = await _views(history)
    found += _not_settled(views)
    if not history.kept:
        found += _whole(views, await _derived(history))
    found += _lost(history, views)
    found += _overtaken(history, views)
    found += _superseded(history, views)
    found += _old_states(history, views)
    found += _stale(history, views)
    found += _past(history, views, await history.journal.lanes())
    found += [
        f"{lane.kind} from {lane.source} to {lane.destination} is over and does not say so"
        for lane in await history.journal.lanes()
        if lane.end_seq is not None and lane.cursor < lane.end_seq and not lane.ended
    ]
    found += not_left_alone(history)
    found += burnt(views)
    found += unfair(history, views)
    found += _sent_again(history)
    found += _of_a_newer_revision(history)
    found += _other_members(history)
    return found


async def _views(history: History) -> list[EventView]:
    seqs = sorted({receipt.seq for _, receipt in history.told.receipts})
    found = [await history.journal.view(seq) for seq in seqs]
    return [view for view in found if view is not None]


async def _derived(history: History) -> dict[str, list[Event]]:
    """What was found for each event that was looked up."""
    found: dict[str, list[Event]] = defaultdict(list)
    seen = 0
    while (page := await history.journal.read(seen)).events:
        seen = page.read_to
        for event in page.events:
            if event.derived_from is not None:
                found[event.derived_from].append(event)
    return found


def _whole(views: list[EventView], derived: dict[str, list[Event]]) -> Iterator[str]:
    """Each event of a source with a look-up ends with exactly one that derives from it, no older than itself and of its
    entity; or dead, since what it names is not there; or filtered, since it is not looked up.
    """
    for view in views:
        event, found = view.event, derived.pop(view.event.id, [])
        asked = next((one for one in view.lanes if one[0].destination == LOOKUP), None)
        if asked is None:
            if found:
                yield f"event {event.seq} was looked up, and has no look-up"
            continue
        _, state, rows, _ = asked
        body = document.parse(event.body)
        expected = State.DEAD if body.get("poison") else State.DELIVERED
        if event.topic == "thing/ignored":
            expected = State.FILTERED
        if state != expected or len(found) != (state is State.DELIVERED):
            yield f"event {event.seq} is {state} at the look-up and not {expected}; {len(found)} events derive from it"
        if state is State.DEAD and {row.reason for row in rows} != {Reason.NOT_FOUND}:
            yield f"event {event.seq} is dead at the look-up for {[row.reason for row in rows]}"
        for one in found:
            answer = document.parse(one.body)
            if one.source != LOOKED_UP or answer["id"] != body["key"] or answer["at_ms"] < event.received_at_ms:
                yield f"event {one.seq} is not what {event.seq} tells of: {answer}"
    yield from (f"{name} does not exist, and {len(found)} events derive from it" for name, found in derived.items())


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
    asked = [one for site in history.world.sites.values() for one in site.requests]
    for account in sorted({account for _, _, account in asked}):
        times = sorted(
            at_s
            for at_s, number, belongs in asked
            if belongs == account
            and not any(number == process and 0 <= at_s - thaw_s < TRAVEL_S for process, thaw_s in thawed)
        )
        allowed = int(LIMIT.allow)
        for earlier, later in zip(times, times[allowed:], strict=False):
            if later - earlier < LIMIT.per_s - SLACK_S:
                yield f"{account}: {allowed + 1} requests within {later - earlier:.4f} s at {later:.3f}"


def _too_early(history: History) -> Iterator[str]:
    """What is held arrives when its hold is over, by the clock that is furthest ahead."""
    for one in history.world.sites[HELD_AT].applied:
        due_ms = history.told.received_ms[one.seq] + HOLD_S * 1000
        now_ms = START_MS + one.at_s * 1000 + one.skew_ms
        if history.told.bodies[one.seq].get("held") and now_ms < due_ms:
            yield f"event {one.seq} came {due_ms - now_ms:.0f} ms before its hold was over"


def _in_quiet(history: History) -> Iterator[str]:
    """Nothing leaves in the quiet hours, by the process's own clock, but what it had in its hands when it thawed, or
    when its clock was moved.
    """
    hours = QuietHours(QUIET)
    for one in history.world.left:
        until_ms = hours.until_ms(one.own_ms) if one.destination == QUIET_AT else None
        moved_s = history.processes[one.process - 1].jumped_s
        in_hand = _thawed(history, one.process, one.at_s) or any(0 <= one.at_s - at_s < TRAVEL_S for at_s in moved_s)
        if until_ms is not None and not in_hand:
            yield f"a request left for {one.destination} in its quiet hours, at {one.at_s:.3f}"


def _thawed(history: History, number: int, at_s: float) -> bool:
    process = history.processes[number - 1]
    return any(0 <= at_s - thaw_s < TRAVEL_S for thaw_s in process.thawed_s)


def _not_settled(views: list[EventView]) -> Iterator[str]:
    for view in views:
        for lane, state, _, _ in view.lanes:
            if state in (State.WAITING, State.PARKED):
                yield f"event {view.event.seq} is still {state} at {lane.destination}"


def _lost(history: History, views: list[EventView]) -> Iterator[str]:
    """What is delivered was applied; what was not is dead, filtered or discarded, for a reason that the body shows."""
    for view in views:
        body = history.told.bodies[view.event.seq]
        for lane, state, rows, attempts in view.lanes:
            if lane.destination == LOOKUP:
                continue
            site_name = site_of(lane.destination)
            site = history.world.sites[site_name]
            applied = {one.channel for one in site.applied if one.seq == view.event.seq and one.lane == lane.id}
            let_go = [
                one.attempt.part for one in attempts if one.attempt.outcome in (State.SUPERSEDED, State.DISCARDED)
            ]
            applied |= {part.partition(":")[0] for part in let_go}
            channels = body.get("channels", ["one"])
            poisoned = set(channels[-1:]) if body.get("poison") else set()  # dead, unless an operator has discarded it
            missing = set(channels) - applied - (poisoned if len(channels) > 1 else set())
            forgotten = history.kept and any(site_name in one.coalesce | one.stale for one in history.ever)
            if state is State.DELIVERED and missing and not forgotten:
                yield f"event {view.event.seq} is delivered to {lane.destination}, but {missing} never came"
            expired = {row.reason for row in rows} == {Reason.EXPIRED} and history.kept
            if state is State.DEAD and not (body.get("poison") or body.get("unmappable") or expired):
                yield f"event {view.event.seq} is dead at {lane.destination} for no reason"
            if state is State.FILTERED and _wanted(history, view, lane):
                yield f"event {view.event.seq} is filtered at {lane.destination} for no reason"


def _overtaken(history: History, views: list[EventView]) -> Iterator[str]:
    """Within a lane the first arrivals of one key are in the order of the log, but for what was ever dead."""
    mortal = {
        (lane.id, view.event.seq)
        for view in views
        for lane, _, _, attempts in view.lanes
        if any(one.attempt.outcome == State.DEAD for one in attempts) or (history.kept and _may_die(history, view))
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


def _may_die(history: History, view: EventView) -> bool:
    body = history.told.bodies[view.event.seq]
    return bool(body.get("poison") or body.get("unmappable"))


def _wanted(history: History, view: EventView, lane: Lane) -> bool:
    """Whether a lane has something to send of an event."""
    again = history.replays.get(lane.kind)
    meant = again is None or again.replay.when is None or history.told.bodies[view.event.seq]["n"] > WHEN_N
    if again is not None and (again.replay.from_ms or 0) > view.event.received_at_ms:
        meant = False
    return meant and view.event.topic != "thing/ignored"


def _parts(history: History, view: EventView) -> set[tuple[str, str]]:
    """The records that an event makes, by channel and key."""
    body = history.told.bodies[view.event.seq]
    if view.event.topic == "thing/ignored" or body.get("unmappable"):
        return set()
    return {(channel, body["key"]) for channel in body.get("channels", ["one"])}


def _superseded(history: History, views: list[EventView]) -> Iterator[str]:
    """A newer state of the same key went instead, and only where that was asked for, or the older one had been dead."""
    for view in views:
        for lane, state, _, attempts in view.lanes:
            if state is not State.SUPERSEDED:
                continue
            site = site_of(lane.destination)
            again = history.replays.get(lane.kind)
            if not (
                any(site in one.coalesce | one.stale for one in history.ever)
                or (again and not again.replay.every_state)
                or any(one.attempt.outcome == State.DEAD for one in attempts)
                or (history.kept and _may_die(history, view))
            ):
                yield f"event {view.event.seq} is superseded at {lane.destination} for no reason"
            parts = _parts(history, view)
            if not history.kept and not any(parts & _parts(history, other) for other in views if other is not view):
                yield f"event {view.event.seq} is superseded at {lane.destination}, but by nothing"


def _old_states(history: History, views: list[EventView]) -> Iterator[str]:
    """A replay sends no state over a newer one that the journal held when it began."""
    lanes = {lane.id: lane for view in views for lane, _, _, _ in view.lanes if lane.kind != LIVE}
    newest: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for view in views:
        for channel, key in _parts(history, view):
            newest[view.event.source, channel, key].append(view.event.seq)
    for site in history.world.sites.values():
        for one in site.applied:
            lane = lanes.get(one.lane)
            if lane is None or history.replays[lane.kind].replay.every_state:
                continue
            head_seq = history.replays[lane.kind].head_seq
            newer = [seq for seq in newest[lane.source, one.channel, one.key] if one.seq < seq <= head_seq]
            if newer:
                yield f"{lane.kind} sent {one.seq} of {one.channel}:{one.key} over {newer[-1]}"
            arrived = [
                other.seq
                for other in site.applied
                if (other.channel, other.key) == (one.channel, one.key)
                and other.seq in newest[lane.source, one.channel, one.key]
                and other.seq > one.seq
                and other.at_s < one.at_s
            ]
            if arrived and history.times_are_clear:
                yield f"{lane.kind} sent {one.seq} of {one.channel}:{one.key} after {arrived[-1]} had come"


def _past(history: History, views: list[EventView], lanes: Sequence[Lane]) -> Iterator[str]:
    """What the journal held when the late destination began is on one lane of it, where it was asked for, and comes
    there unless a newer state does.
    """
    late = history.late
    if late is None:
        return
    ours = [lane for lane in lanes if _of_late(history, lane)]
    by_age = not history.kept and not any(LATE in one.coalesce | one.stale for one in history.ever)
    for view in views:
        event, parts = view.event, _parts(history, view)
        places = [lane for lane in ours if lane.source == event.source and lane.spans(event.seq)]
        asked = event.seq > late.head_seq or (late.from_ms is not None and event.received_at_ms >= late.from_ms)
        if asked and len(places) != 1:
            yield f"event {event.seq} is on {len(places)} lanes of {LATE} and not on one"
        for lane, state, _, _ in view.lanes:
            if lane not in ours:
                continue
            if not asked and state is not State.FILTERED and not lane.ended:
                yield f"event {event.seq} is {state} at {lane.destination}, from before it began"
            newer = any(parts & _parts(history, one) for one in views if one.event.seq > event.seq)
            if state is State.SUPERSEDED and lane.kind != LIVE and by_age and not newer:
                yield f"event {event.seq} of the past gave way at {lane.destination}, but to nothing newer"


def _of_late(history: History, lane: Lane) -> bool:
    """Whether a lane is the late destination's own, or that of its past."""
    own = lane.kind == LIVE or history.replays[lane.kind].replay.why == "backfill"
    return own and site_of(lane.destination) == LATE


def _stale(history: History, views: list[EventView]) -> Iterator[str]:
    """Where a destination asks for it, nothing goes that is older than what was settled as delivered."""
    if not history.times_are_clear:
        return
    versions = {seq: body["updated_at"] for seq, body in history.told.bodies.items()}
    settled: dict[tuple[str, str], list[tuple[float, str]]] = defaultdict(list)
    for view in views:
        for lane, _, _, attempts in view.lanes:
            for one in attempts:
                if one.attempt.outcome == State.DELIVERED:
                    at_s = (one.at_ms - START_MS) / 1000
                    settled[site_of(lane.destination), one.attempt.part].append((at_s, versions[view.event.seq]))
    for name, site in history.world.sites.items():
        if not all(name in one.stale for one in history.ever):
            continue
        for arrival in site.applied:
            known = settled[name, f"{arrival.channel}:{arrival.key}"]
            newer = [version for at_s, version in known if at_s < arrival.at_s - MARGIN_S]
            if any(version > versions[arrival.seq] for version in newer):
                yield f"{arrival.seq} of {arrival.channel}:{arrival.key} went stale to {name}"


def _of_a_newer_revision(history: History) -> Iterator[str]:
    """What an event becomes is told by its own configuration, or a newer one."""
    for name, site in history.world.sites.items():
        for one in site.applied:
            wanted = history.told.revisions[one.seq]
            if one.revision < wanted:
                yield f"{one.seq} of revision {wanted} came to {name} as revision {one.revision} maps it"


def _sent_again(history: History) -> Iterator[str]:
    """What a vendor has applied and answered goes again only when the process that sent it died or froze, or while an
    operator or retention changed its lane.
    """
    unwell = {process.number for process in history.processes if process.dead or process.thawed_s}
    for name, site in history.world.sites.items():
        first: dict[tuple[int, int, str], Arrival] = {}
        for one in site.applied:
            before = first.setdefault((one.lane, one.seq, one.channel), one)
            cut = any(-SETTLED_S < before.at_s - at_s < MARGIN_S + SLOWEST_S for at_s in history.cut_s)
            if before is not one and before.process not in unwell and before.id not in site.forgotten and not cut:
                yield f"{one.seq} of {one.channel} came to {name} again at {one.at_s:.3f}, for no reason"
            first[one.lane, one.seq, one.channel] = one


def _other_members(history: History) -> Iterator[str]:
    """A keyed batch whose sender died before it heard the answer goes out again with the same members."""
    thawed = {process.number for process in history.processes if process.thawed_s}
    dead = {process.number for process in history.processes if process.dead}
    sent = [one for one in history.world.sent if one.destination == KEYED and one.process not in thawed]
    for place, one in enumerate(sent):
        if not one.answered and one.process in dead and len(one.ids) > 1:
            next_ = next((later for later in sent[place + 1 :] if set(later.ids) & set(one.ids)), None)
            if next_ is not None and next_.ids != one.ids:
                yield f"a batch of {len(one.ids)} to {KEYED} goes again with {len(next_.ids)} members"
