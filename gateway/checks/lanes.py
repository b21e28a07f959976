"""What a configuration would make of the lanes that the journal holds: which it leaves behind, which it begins."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from gateway.config.lanes import lane_specs
from gateway.config.load import Loaded, Problem
from gateway.config.schema import RouteTarget
from gateway.journal.base import LaneRow
from gateway.model import LIVE, LaneSpec

NAMED = 3
"""Sources that are named where many have a lane."""

T = TypeVar("T")


def changes(loaded: Loaded, rows: Sequence[LaneRow]) -> Iterator[Problem]:
    """Lanes that would be orphaned or started. Before the first lane there is nothing to compare with."""
    held = {(row.lane.source, row.lane.destination): row for row in rows if _counts(row)}
    if not held:
        return
    specs = lane_specs(loaded.config, loaded.targets)
    heirs = {(spec.source, former) for spec in specs for former in spec.was}
    left = {pair: row for pair, row in held.items() if pair not in _pairs(specs) | heirs}
    for rows_left in _by_destination(left.values(), lambda row: row.lane.destination):
        yield _orphans(loaded, rows_left)
    new = (spec for spec in specs if not held.keys() & {(spec.source, name) for name in (spec.destination, *spec.was)})
    for begun in _by_destination(new, lambda spec: spec.destination):
        sources = {spec.source for spec in begun}
        yield _new(loaded, begun, [name for source, name in left if source in sources])


def _counts(row: LaneRow) -> bool:
    return row.lane.kind == LIVE and not row.lane.ended


def _pairs(specs: Sequence[LaneSpec]) -> set[tuple[str, str]]:
    return {(spec.source, spec.destination) for spec in specs}


def _by_destination(lanes: Iterable[T], name: Callable[[T], str]) -> Iterable[list[T]]:
    found: dict[str, list[T]] = {}
    for one in lanes:
        found.setdefault(name(one), []).append(one)
    return found.values()


def _lanes(sources: Sequence[str], destination: str, what: str = "") -> str:
    """Lanes to one destination, in words."""
    if len(sources) == 1:
        return f"{'a' if what else 'the'} {what}lane {sources[0]} > {destination}"
    more = f" and {len(sources) - NAMED} more" if len(sources) > NAMED else ""
    return f"{len(sources)} {what}lanes to {destination} ({', '.join(sources[:NAMED])}{more})"


def _orphans(loaded: Loaded, rows: Sequence[LaneRow]) -> Problem:
    """Lanes of one destination that would be left behind."""
    lane = rows[0].lane
    at: tuple[str | int, ...] = ()
    if lane.destination in loaded.targets:
        at = ("lookups" if lane.destination in loaded.lookups else "destinations", lane.destination)
    elif lane.source in loaded.config.sources:
        at = ("sources", lane.source)
    waiting, parked = sum(row.waiting for row in rows), sum(row.lane.counts.parked for row in rows)
    counts = f"{waiting} events wait, {parked} are parked, {sum(row.lane.counts.dead for row in rows)} dead"
    lanes = _lanes([row.lane.source for row in rows], lane.destination)
    cause = f"{lanes} would be left without a route: {counts}"
    hint = f"a new name takes it over by `was: [{lane.destination}]`; `gateway lanes end` gives it up"
    return Problem(at, cause, hint, warning=True, key=True)


def _new(loaded: Loaded, specs: Sequence[LaneSpec], orphans: Sequence[str]) -> Problem:
    """Lanes to one destination that would start."""
    spec = specs[0]
    start = str(loaded.targets[spec.destination].start)
    begins = {"now": "from now", "beginning": "from the beginning"}.get(start, f"from {start}")
    cause = f"{_lanes([one.source for one in specs], spec.destination, 'new ')} would start, {begins}"
    hint = "what came before is not sent: `start: beginning`, or a replay" if start == "now" else ""
    if orphans:
        hint = f"if `{spec.destination}` is a new name of `{orphans[0]}`: `was: [{orphans[0]}]`"
    at = ("sources", spec.source, "lookup") if spec.destination in loaded.lookups else _route(loaded, spec)
    return Problem(at, cause, hint, warning=True)


def _route(loaded: Loaded, spec: LaneSpec) -> tuple[str | int, ...]:
    """Where the first route stands that makes the lane."""
    for index, route in enumerate(loaded.config.routes):
        names = [to.destination if isinstance(to, RouteTarget) else to for to in route.to]
        if spec.destination in names and spec.source in (route.source_names or loaded.config.sources):
            return ("routes", index, "to", names.index(spec.destination))
    return ("routes",)
