"""Replays as operators see them: what is meant, how far they are, and what they would come to."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from msgspec import Struct

from gateway.admin.views import moment
from gateway.clock import Chance
from gateway.deliver.forecast import Forecast
from gateway.deliver.lane import is_history, is_over
from gateway.deliver.plan import Setup
from gateway.deliver.selection import Chosen
from gateway.errors import WrongSelection
from gateway.journal.base import Journal, LaneRow, Operation
from gateway.model import LIVE, Lane, Replay

SUBJECT_CHARS = 200


@dataclass(frozen=True, slots=True)
class Workshop:
    """What replays are begun with. `setup`: what the configuration in force means for delivery."""

    journal: Journal
    setup: Callable[[], Setup]
    chance: Chance


class Standing(StrEnum):
    """How a replay, or one of its lanes, stands."""

    RUNNING = "running"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    DONE = "done"


class ReplayLane(Struct, frozen=True):
    """A replay on one lane. `total` are the events of its range, meant or not; `settled` those that are through;
    `filtered` also those that were not meant.
    """

    source: str
    destination: str
    status: Standing
    total: int
    settled: int
    delivered: int
    superseded: int
    filtered: int
    parked: int
    dead: int
    discarded: int


class ReplayView(Struct, frozen=True, rename={"from_": "from"}):
    """A replay: what was asked for, by whom and why, and how far it is over all its lanes."""

    id: str
    why: str
    at: str
    who: str
    note: str
    from_: str | None
    to: str | None
    types: tuple[str, ...]
    when: str | None
    every_state: bool
    status: Standing
    total: int
    settled: int
    delivered: int
    superseded: int
    filtered: int
    parked: int
    dead: int
    discarded: int
    lanes: tuple[ReplayLane, ...]


class Replays(Struct, frozen=True):
    """Replays and backfills, newest first."""

    replays: tuple[ReplayView, ...]


class DestinationForecast(Struct, frozen=True):
    """What a replay would come to on one lane."""

    source: str
    destination: str
    events: int
    records: int
    superseded: int
    dead: int
    filtered: int
    seconds: float


class Would(Struct, frozen=True):
    """What a replay would come to: `events` meant, `records` that would be sent, states that are `superseded`, parts
    that would be `dead`; `seconds` at the vendors' full pace. `whole`: all of it was counted.
    """

    events: int
    records: int
    superseded: int
    dead: int
    seconds: float
    whole: bool
    destinations: tuple[DestinationForecast, ...]


_FIGURES = ("total", "settled", "delivered", "superseded", "filtered", "parked", "dead", "discarded")


def view(replays: Iterable[Replay], rows: Iterable[LaneRow]) -> Replays:
    """`replays list`. A replay without lanes is done."""
    by_kind: defaultdict[str, list[LaneRow]] = defaultdict(list)
    for row in rows:
        if row.lane.kind != LIVE:
            by_kind[row.lane.kind].append(row)
    return Replays(tuple(_view(replay, by_kind[replay.id]) for replay in replays))


def would(found: Forecast) -> Would:
    """`replay --dry-run`."""
    lanes = tuple(
        DestinationForecast(
            source=one.source,
            destination=one.destination,
            events=one.events,
            records=one.records,
            superseded=one.superseded,
            dead=one.dead,
            filtered=one.filtered,
            seconds=one.seconds,
        )
        for one in found.lanes
    )
    return Would(found.events, found.records, found.superseded, found.dead, found.seconds, found.whole, lanes)


def standing(lane: Lane) -> Standing:
    """How a replay's lane stands."""
    if lane.ended:
        return Standing.CANCELLED
    if is_over(lane):
        return Standing.DONE
    return Standing.PAUSED if lane.paused else Standing.RUNNING


async def read(journal: Journal) -> Replays:
    """Every replay as it stands."""
    return view(await journal.replays(), await journal.lane_rows())


async def one(journal: Journal, replay: str) -> ReplayView:
    """One replay as it stands. Raises WrongSelection where there is none."""
    for found in (await read(journal)).replays:
        if found.id == replay:
            return found
    raise WrongSelection(f"there is no replay {replay}")


def operation(chosen: Chosen) -> Operation:
    """The beginning of a replay, as it is written down."""
    made = chosen.replay
    lanes = " ".join(f"{lane.source}/{lane.destination}" for lane in chosen.lanes)
    return Operation(made.at_ms, made.who, "replay", f"{made.id} {lanes}"[:SUBJECT_CHARS], len(chosen.lanes), made.note)


async def change(journal: Journal, replay: str, what: str, by: Operation) -> list[Lane]:
    """Pause, resume or cancel a replay on all its lanes that are not over; those that were changed. Raises
    WrongSelection where there is no such replay.
    """
    if replay not in {one.id for one in await journal.replays()}:
        raise WrongSelection(f"there is no replay {replay}")
    lanes = [lane for lane in await journal.lanes() if lane.kind == replay and not is_history(lane)]
    if what != "end":
        lanes = [lane for lane in lanes if lane.paused is not (what == "pause")]
    return [await journal.change_lane(lane.id, by) for lane in lanes]


def _view(replay: Replay, rows: Sequence[LaneRow]) -> ReplayView:
    lanes = tuple(_lane(row) for row in rows)
    statuses = {lane.status for lane in lanes}
    first = next((status for status in Standing if status in statuses), Standing.DONE)
    return ReplayView(
        id=replay.id,
        why=replay.why,
        at=moment(replay.at_ms),
        who=replay.who,
        note=replay.note,
        from_=_moment(replay.from_ms),
        to=_moment(replay.to_ms),
        types=replay.types,
        when=replay.when,
        every_state=replay.every_state,
        status=first,
        lanes=lanes,
        **{name: sum(getattr(lane, name) for lane in lanes) for name in _FIGURES},
    )


def _lane(row: LaneRow) -> ReplayLane:
    lane, counts = row.lane, row.lane.counts
    return ReplayLane(
        source=lane.source,
        destination=lane.destination,
        status=standing(lane),
        total=row.waiting + counts.total(),
        settled=counts.total() - counts.parked,
        delivered=counts.delivered,
        superseded=counts.superseded,
        filtered=counts.filtered,
        parked=counts.parked,
        dead=counts.dead,
        discarded=counts.discarded,
    )


def _moment(at_ms: int | None) -> str | None:
    return None if at_ms is None else moment(at_ms)
