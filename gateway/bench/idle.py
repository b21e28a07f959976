"""What the gateway uses when nothing happens, and when a great deal waits."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.bench import growth, machine, processes, setups
from gateway.bench.report import Report, Scale, Site
from gateway.clock import SystemClock
from gateway.journal.base import Journal

SETTLE_S = 2.0
WATCHED_ROUNDS = 4
WAITING_TIMES = 10
"""Events that wait, in backlogs of the scale."""
MIB = 1 << 20


async def idle(site: Site, scale: Scale) -> Report:
    """CPU of each process while no request comes."""
    rows: list[list[Any]] = []
    config = setups.shop({"sink": setups.single(setups.NOBODY)})
    async with processes.gateway(config, site.folder / "idle", core=machine.cores()[0]) as running:
        site.tell("coming to rest", 0.1)
        await asyncio.sleep(min(SETTLE_S, scale.round_s * 2))
        watched_s = scale.round_s * WATCHED_ROUNDS
        before = {role: running.cpu_s(role) for role in running.pids}
        site.tell(f"watching for {watched_s:g} s", 0.4)
        await asyncio.sleep(watched_s)
        for role, used_s in before.items():
            rows.append([role, round((running.cpu_s(role) - used_s) / watched_s, 4)])
    total = sum(row[1] for row in rows)
    headline = {"cores": round(total, 4)}
    return Report("idle", "share of one core that an idle gateway uses", ["process", "share of a core"], rows, headline)


async def memory(site: Site, scale: Scale) -> Report:
    """Resident memory of each process: at rest, and with events waiting for a vendor that is down."""
    folder = site.folder / "memory"
    events = scale.events * WAITING_TIMES
    at_rest = await _resident(folder, scale)
    site.tell(f"{events:,} events", 0.3)
    await _appended(site, folder, events)
    site.tell("a dead vendor", 0.7)
    waiting = await _resident(folder, scale)
    rows = [[role, at_rest[role], waiting[role]] for role in at_rest]
    headline = {f"mib, {role}": waiting[role] for role in waiting}
    columns = ["process", "at rest, MiB", f"with {events:,} waiting, MiB"]
    notes = [f"{await _left(site, folder):,} events wait or are parked in the end."]
    return Report("memory", "resident memory while a vendor is down", columns, rows, headline, notes)


async def _resident(folder: Path, scale: Scale) -> dict[str, float]:
    config = setups.small({"sink": setups.single(setups.NOBODY)})
    async with processes.gateway(config, folder, core=machine.cores()[0]) as running:
        await asyncio.sleep(scale.round_s * WATCHED_ROUNDS)
        return {role: round(running.resident_bytes(role) / MIB, 1) for role in running.pids}


async def _appended(site: Site, folder: Path, events: int) -> None:
    async with _journal(site, folder) as journal:
        await growth.append(journal, events, at_ms=SystemClock().now_ms())


async def _left(site: Site, folder: Path) -> int:
    """Events that wait, or are parked."""
    async with _journal(site, folder) as journal:
        return sum(row.waiting + row.lane.counts.parked for row in await journal.lane_rows())


@asynccontextmanager
async def _journal(site: Site, folder: Path) -> AsyncIterator[Journal]:
    journal = site.open_journal(site.url(folder))
    await journal.open()
    try:
        yield journal
    finally:
        await journal.close()
