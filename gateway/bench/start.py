"""How long the gateway needs from its start until it is ready, with little and with much in its journal."""

import time
from typing import Any

from gateway.bench import growth, machine, processes, setups
from gateway.bench.report import Report, Scale, Site
from gateway.clock import SystemClock

TIMES = (0, 10, 100)
"""Events in the journal, in backlogs of the scale."""


async def start(site: Site, scale: Scale) -> Report:
    """From `gateway serve` to 200 on /readyz: the fastest of the rounds, for a journal that grows."""
    config = setups.small({"sink": setups.single(setups.NOBODY)}) | site.journal()
    rows = []
    there = 0
    for place, times in enumerate(TIMES):
        site.tell(f"{times * scale.events:,} events", place / len(TIMES))
        journal = site.open_journal(site.url(site.folder / "start"))
        await journal.open()
        try:
            await growth.append(journal, times * scale.events - there, first=there, at_ms=SystemClock().now_ms())
        finally:
            await journal.close()
        there = times * scale.events
        took = [await _took_s(config, site) for _ in range(scale.rounds)]
        rows.append([there, round(min(took), 2)])
    headline = {"seconds": rows[-1][1], "events": float(there)}
    return Report("start", "from `gateway serve` to ready", ["events in the journal", "seconds"], rows, headline)


async def _took_s(config: dict[str, Any], site: Site) -> float:
    began_s = time.perf_counter()
    async with processes.gateway(config, site.folder / "start", core=machine.cores()[0]):
        return time.perf_counter() - began_s
