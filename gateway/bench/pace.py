"""How much of a vendor's limit is used while work waits: a backlog delivered to the sandbox, which knows the limit."""

import asyncio
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from gateway import document
from gateway.bench import machine, processes, setups
from gateway.bench.report import BenchFailed, Report, Scale, Site

SKIPPED = 8
"""Requests before the pace is steady."""
LOOK_S = 0.25
STALLED_S = 60.0


class Limited(Struct, frozen=True):
    """A vendor with a limit: where the sandbox plays it, what it allows a second, and how many requests are sent."""

    name: str
    per_s: float
    requests: int
    settings: dict[str, Any]


def _vendors(port: int, round_s: float) -> tuple[Limited, ...]:
    ometria = {"vendor": "ometria", "api_key": "bench", "collection": "bench", "batch": {"records": 5}}
    ometria["base_url"] = f"http://127.0.0.1:{port}/ometria/v2"
    return (Limited("ometria", 4.0, SKIPPED + max(int(round_s * 4 * 6), 2), ometria),)


async def pace(site: Site, scale: Scale) -> Report:
    """Requests a second as the vendor saw them, from the 9th to the last, as a share of what it allows."""
    rows, headline = [], {}
    async with processes.sandbox(site.folder, machine.cores()[1]) as port:
        for one in _vendors(port, scale.round_s):
            site.tell(f"{one.name} at {one.per_s:g} requests a second", 0.1)
            share, refused = await _share(site, scale, one, port)
            rows.append([one.name, one.per_s, one.requests, round(share, 3), refused])
            headline[f"share, {one.name}"] = round(share, 3)
    columns = ["vendor", "requests/s allowed", "requests", "share used", "refused with 429"]
    return Report("pace", "a backlog delivered at a vendor's pace", columns, rows, headline)


async def _share(site: Site, scale: Scale, one: Limited, port: int) -> tuple[float, int]:
    records = one.settings["batch"]["records"]
    scale = Scale(round_s=scale.round_s, events=one.requests * records, connections=scale.connections)
    folder = await setups.fill(site, scale, {one.name: one.settings})
    async with processes.gateway(
        setups.shop({one.name: one.settings}), folder, role="dispatcher", core=machine.cores()[0]
    ):
        visits = await _visits(site, port, one)
    taken = [float(visit["at_s"]) for visit in visits if visit["status"] // 100 == 2]  # noqa: PLR2004  2xx
    steady = taken[SKIPPED:]
    share = (len(steady) - 1) / (steady[-1] - steady[0]) / one.per_s if len(steady) > 1 else 0.0
    return share, sum(visit["status"] == 429 for visit in visits)  # noqa: PLR2004  its name


async def _visits(site: Site, port: int, one: Limited) -> Sequence[dict[str, Any]]:
    """What the sandbox saw, when it has seen everything."""
    had: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    until_s = loop.time() + one.requests / one.per_s + STALLED_S
    while loop.time() < until_s:
        _, body = await processes.get(port, f"/_sandbox/{one.name}")
        had = _requests(document.parse(body))
        taken = sum(visit["status"] // 100 == 2 for visit in had)  # noqa: PLR2004  2xx
        site.tell(f"{taken} of {one.requests} requests", 0.1 + 0.9 * min(taken / one.requests, 1))
        if taken >= one.requests:
            return had
        await asyncio.sleep(LOOK_S)
    raise BenchFailed(f"{one.name} has had {len(had)} of {one.requests} requests")


def _requests(view: dict[str, Any]) -> list[dict[str, Any]]:
    """The requests in a simulator's view: its own, or those of its accounts."""
    if "requests" in view:
        return list(view["requests"])
    return [visit for account in view.get("accounts", ()) for visit in account["requests"]]
