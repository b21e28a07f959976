"""How much of a vendor's limit is used while work waits: a backlog delivered to the sandbox, which knows the limit."""

import asyncio
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway import document
from gateway.bench import machine, processes, setups
from gateway.bench.report import BenchFailed, Report, Scale, Site

LOOK_S = 1.0
STALLED_S = 60.0
ROUNDS = 6
"""Rounds long that a vendor is looked at."""


class Limited(Struct, frozen=True):
    """A vendor with a limit: what it allows a second, how many records a request holds at most, how many requests come
    before its pace is steady (a burst, windows that fill), and its destination.
    """

    name: str
    per_s: float
    records: int
    skipped: int
    settings: dict[str, Any]

    def requests(self, scale: Scale) -> int:
        """How many are sent."""
        return self.skipped + max(int(scale.round_s * ROUNDS * self.per_s), 2)

    def filled(self, scale: Scale) -> int:
        """Records of each request: as many as the backlog has and the vendor takes."""
        return min(max(scale.events // self.requests(scale), 1), self.records)


def _vendors(port: int) -> tuple[Limited, ...]:
    """Published limits: Ometria 4 pushes a second of 100 records; Octolis 17 writes of 500 rows at once, then 2 a
    second; Amperity 1,000 rows a second, one a request.
    """
    origin = f"http://127.0.0.1:{port}"
    octolis = {"base_url": f"{origin}/octolis/v1/data", "datasets": {"order": {"id": "ds-1", "keys": ["order_id"]}}}
    amperity = {"base_url": f"{origin}/amperity", "tenant": "acme", "token": "bench", "streams": {"order": "is-1"}}
    return (
        Limited("ometria", 4.0, 100, 8, {"base_url": f"{origin}/ometria/v2", "api_key": "bench"}),
        Limited("octolis", 2.0, 500, 18, {**octolis, "api_key": "bench"}),
        Limited("amperity", 1000.0, 1, 100, amperity),
    )


async def pace(site: Site, scale: Scale) -> Report:
    """Requests a second as the vendor saw them once the pace was steady, as a share of what it allows."""
    rows, headline = [], {}
    async with processes.sandbox(site.folder, machine.cores()[1]) as port:
        for one in _vendors(port):
            site.tell(f"{one.name} at {one.per_s:g} requests a second", 0.1)
            share, refused = await _share(site, scale, one, port)
            each = one.filled(scale)
            rows.append([one.name, one.per_s, one.requests(scale), each, round(share * one.per_s * each), refused])
            rows[-1].insert(4, round(share, 3))
            headline[f"share, {one.name}"] = round(share, 3)
    columns = [
        "vendor",
        "requests/s allowed",
        "requests",
        "records each",
        "share used",
        "records/s",
        "refused with 429",
    ]
    return Report("pace", "a backlog delivered at a vendor's pace", columns, rows, headline, drawn="share used")


async def _share(site: Site, scale: Scale, one: Limited, port: int) -> tuple[float, int]:
    settings = {
        "vendor": one.name,
        **one.settings,
        **({"batch": {"records": one.filled(scale)}} if one.records > 1 else {}),
    }
    backlog = Scale(events=one.requests(scale) * one.filled(scale), connections=scale.connections)
    folder = await setups.fill(replace(site, folder=site.folder / one.name), backlog, {one.name: settings})
    async with processes.gateway(setups.shop({one.name: settings}), folder, role="dispatcher", core=machine.cores()[0]):
        visits = await _visits(site, port, one, one.requests(scale))
    taken = [float(visit["at_s"]) for visit in visits if visit["status"] // 100 == 2]  # noqa: PLR2004  2xx
    steady = taken[one.skipped :]
    share = (len(steady) - 1) / (steady[-1] - steady[0]) / one.per_s if len(steady) > 1 else 0.0
    return share, sum(visit["status"] == 429 for visit in visits)  # noqa: PLR2004  its name


async def _visits(site: Site, port: int, one: Limited, wanted: int) -> Sequence[dict[str, Any]]:
    """What the sandbox saw, when it has seen everything."""
    had: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    until_s = loop.time() + wanted / one.per_s + STALLED_S
    while loop.time() < until_s:
        _, body = await processes.get(port, f"/_sandbox/{one.name}")
        had = _requests(document.parse(body))
        taken = sum(visit["status"] // 100 == 2 for visit in had)  # noqa: PLR2004  2xx
        site.tell(f"{taken} of {wanted} requests", 0.1 + 0.9 * min(taken / wanted, 1))
        if taken >= wanted:
            return had
        await asyncio.sleep(LOOK_S)
    raise BenchFailed(f"{one.name} has had {len(had)} of {wanted} requests")


def _requests(view: dict[str, Any]) -> list[dict[str, Any]]:
    """The requests in a simulator's view: its own, or those of its accounts."""
    if "requests" in view:
        return list(view["requests"])
    return [visit for account in view.get("accounts", ()) for visit in account["requests"]]
