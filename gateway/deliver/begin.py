"""What a configuration brings into being: a lane for each source and destination that a route joins, and beside a new
lane the past of a destination that asks for it (`start:`), as a replay.
"""

from collections.abc import Mapping
from datetime import datetime

from msgspec.structs import replace

from gateway.clock import Chance, Clock
from gateway.config.lanes import lane_specs
from gateway.config.schema import Config, DestinationSettings
from gateway.journal.base import Registry
from gateway.model import Lane, LaneSpec, Replay


async def begin(
    journal: Registry, config: Config, destinations: Mapping[str, DestinationSettings], clock: Clock, chance: Chance
) -> tuple[Lane, ...]:
    """Register the lanes of a configuration, before anything is accepted or delivered under it."""
    specs = lane_specs(config, destinations)
    return await journal.register(
        [await with_past(journal, spec, destinations[spec.destination].start, clock, chance) for spec in specs]
    )


async def with_past(journal: Registry, spec: LaneSpec, start: str, clock: Clock, chance: Chance) -> LaneSpec:
    """A lane's spec with the past that its destination asks for: `now` (none), `beginning`, or a time."""
    if start == "now":
        return spec
    from_ms = None if start == "beginning" else int(datetime.fromisoformat(start).timestamp() * 1000)
    start_seq = await journal.seq_at(from_ms) if from_ms is not None else 0
    backfill = Replay(replay_id(chance), clock.now_ms(), "configuration", why="backfill", from_ms=from_ms)
    return replace(spec, start_seq=start_seq, backfill=backfill)


def replay_id(chance: Chance) -> str:
    """A name for a new replay."""
    return f"rpl_{chance.nonce(8).hex()}"
