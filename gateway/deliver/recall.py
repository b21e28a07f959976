"""What payloads looked like before this process: learned again, at its start, from the newest events that are settled.

Bounded, and beside the deliveries: nothing waits for it. What is not settled yet is not taken for known, so that a
change that came while nobody delivered is still told.
"""

import asyncio
from collections.abc import Iterable

from gateway.document import Unreadable
from gateway.errors import JournalUnavailable
from gateway.journal.base import EventFilter, Journal
from gateway.mapping.drift import Watch, Watches
from gateway.mapping.normalise import read_body
from gateway.telemetry import log as logs

EVENTS_MAX = 300
"""Events of a source, at most: a topic learns from its newest 50."""
BYTES_MAX = 16 << 20
EVENTS_PER_LOOK = 25

log = logs.get("mapping")


async def recall(journal: Journal, watches: Watches, sources: Iterable[str]) -> None:
    """Let the watches learn from what is stored; then they watch. Raises nothing: without a memory they learn anew."""
    try:
        settled: dict[str, int] = {}
        for lane in await journal.lanes():
            settled[lane.source] = max(settled.get(lane.source, 0), lane.cursor)
        for source in sources:
            await _recall(journal, watches.of(source), source, settled.get(source, 0))
    except JournalUnavailable as error:
        log.warning("journal.unavailable", reason=str(error))
    finally:
        watches.recalled()


async def _recall(journal: Journal, watch: Watch, source: str, settled_seq: int) -> None:
    events, size_bytes, before_seq = 0, 0, settled_seq + 1
    while events < EVENTS_MAX and size_bytes < BYTES_MAX:
        found = await journal.events(EventFilter(source=source, before_seq=before_seq, limit=EVENTS_PER_LOOK))
        for event in found:
            try:
                watch.recall(event.topic, read_body(event.headers, event.body))
            except Unreadable:
                continue
            finally:
                size_bytes += len(event.body)
            await asyncio.sleep(0)
        if len(found) < EVENTS_PER_LOOK:
            return
        events += len(found)
        before_seq = found[-1].seq
