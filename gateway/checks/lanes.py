"""What a configuration would make of the lanes that the journal holds: which it leaves behind, which it begins."""

from collections.abc import Iterator, Sequence

from gateway.config.lanes import lane_specs
from gateway.config.load import Loaded, Problem
from gateway.config.schema import RouteTarget
from gateway.journal.base import LaneRow
from gateway.model import LIVE, LaneSpec


def changes(loaded: Loaded, rows: Sequence[LaneRow]) -> Iterator[Problem]:
    """Lanes that would be orphaned or started. Before the first lane there is nothing to compare with."""
    held = {(row.lane.source, row.lane.destination): row for row in rows if _counts(row)}
    if not held:
        return
    specs = lane_specs(loaded.config, loaded.targets)
    heirs = {(spec.source, former) for spec in specs for former in spec.was}
    left = {pair: row for pair, row in held.items() if pair not in _pairs(specs) | heirs}
    for row in left.values():
        yield _orphan(loaded, row)
    for spec in specs:
        former = [(spec.source, name) for name in spec.was]
        if not held.keys() & {(spec.source, spec.destination), *former}:
            yield _new(loaded, spec, [name for source, name in left if source == spec.source])


def _counts(row: LaneRow) -> bool:
    return row.lane.kind == LIVE and not row.lane.ended


def _pairs(specs: Sequence[LaneSpec]) -> set[tuple[str, str]]:
    return {(spec.source, spec.destination) for spec in specs}


def _orphan(loaded: Loaded, row: LaneRow) -> Problem:
    lane = row.lane
    at: tuple[str | int, ...] = ()
    if lane.destination in loaded.targets:
        at = ("lookups" if lane.destination in loaded.lookups else "destinations", lane.destination)
    elif lane.source in loaded.config.sources:
        at = ("sources", lane.source)
    counts = f"{row.waiting} events wait, {lane.counts.parked} are parked, {lane.counts.dead} dead"
    cause = f"the lane {lane.source} > {lane.destination} would be left without a route: {counts}"
    hint = f"a new name takes it over by `was: [{lane.destination}]`; `gateway lanes end` gives it up"
    return Problem(at, cause, hint, warning=True, key=True)


def _new(loaded: Loaded, spec: LaneSpec, orphans: Sequence[str]) -> Problem:
    start = str(loaded.targets[spec.destination].start)
    begins = {"now": "from now", "beginning": "from the beginning"}.get(start, f"from {start}")
    cause = f"a new lane {spec.source} > {spec.destination} would start, {begins}"
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
