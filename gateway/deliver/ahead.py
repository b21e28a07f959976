"""How far ahead of its sends an account plans: a few batches for each lane; and where its windows let many requests
leave at once, as many batches, so that nothing is left to plan when they do. Pure.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from gateway.deliver.lane import LaneWork
from gateway.vendors.base import Limit

FEW_BATCHES = 3
FEW_RECORDS = 64
COALESCE_RECORDS = 2_000
"""Records that a lane keeps queued where the newest of an entity goes for all."""
BYTES = 16 << 20
"""Of the records that an account keeps queued, as JSON: up to here more than a few batches are. In memory they take
about five times as much.
"""


class Queued(Protocol):
    """What waits to be sent to one destination. `at_once`: requests that its windows let leave together."""

    at_once: int
    queued: int
    bytes: int


def at_once(limits: Sequence[Limit]) -> int:
    """How many requests of the dearest class may leave together when every window is new: as many as fixed windows and
    their bursts allow. From sliding ones they leave one by one; without any nothing is ever waited for (0).
    """
    if not limits:
        return 0
    costs = limits[0].classes or limits[0].cost or {""}
    return min(_of(limit, cost) for cost in costs for limit in limits if limit.classes is None or cost in limit.classes)


def _of(limit: Limit, cost: str) -> int:
    if limit.kind == "sliding":
        return 1
    units = (limit.cost or {}).get(cost, 1.0) or 1.0
    return int(limit.allow // units + (limit.burst.allow // units if limit.burst else 0))


def enough(work: LaneWork, queue: Queued, account: Iterable[Queued], in_flight: int) -> int:
    """How many records a lane keeps queued. `queue`: its destination's, of all of the `account`. `in_flight`: how many
    requests may be, at most.
    """
    destination = work.destination
    if destination.settings.coalesce:
        return min(destination.settings.read_ahead, COALESCE_RECORDS)
    few = max(FEW_RECORDS, FEW_BATCHES * destination.rules.records)
    if queue.at_once <= FEW_BATCHES or sum(one.bytes for one in account) >= BYTES:
        return few
    together = min(queue.at_once, in_flight) * destination.rules.records
    return max(few, work.queued + together - queue.queued)
