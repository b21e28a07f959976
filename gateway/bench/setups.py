"""The configurations that the benches run, and journals filled through the real receiver."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gateway.bench import load, machine, processes
from gateway.bench.orders import SECRET, Orders
from gateway.bench.report import BenchFailed, Scale, Site

SOURCE = "shop"
OK = 200
NOBODY = 9
"""The discard port: nobody listens there."""

Destinations = Mapping[str, Mapping[str, Any]]


def shop(destinations: Destinations, *, plain: bool = False) -> dict[str, Any]:
    """One Shopify shop, every event to every destination. `plain`: of its events nothing is known but how they are
    signed, so that they are passed on as they come.
    """
    source: dict[str, Any] = {"preset": "shopify", "secrets": [SECRET]}
    if plain:
        verify = {"scheme": "hmac", "header": "X-Shopify-Hmac-Sha256", "encoding": "base64"}
        source |= {"preset": "generic", "topic": "header:X-Shopify-Topic", "verify": verify}
    config: dict[str, Any] = {"sources": {SOURCE: source}, "destinations": dict(destinations)}
    if destinations:
        config["routes"] = [{"to": list(destinations)}]
    return config


def small(destinations: Destinations) -> dict[str, Any]:
    """The source of the small events that are appended without HTTP (`growth`), every event to every destination."""
    return {
        "sources": {"bench": {"preset": "generic", "api_key": "bench", "topic": "header:X-Event-Type"}},
        "destinations": dict(destinations),
        "routes": [{"to": list(destinations)}],
    }


def batched(port: int, number: int = 1) -> dict[str, Any]:
    """A destination that takes 100 records a request, as often as it is sent any."""
    base_url = f"http://127.0.0.1:{port}/batched-{number}"
    return {"vendor": "ometria", "api_key": f"key-{number}", "collection": "bench", "base_url": base_url, "limits": []}


def passed_on(port: int, number: int = 1) -> dict[str, Any]:
    """A destination that takes 100 events a request, as they are."""
    url = f"http://127.0.0.1:{port}/passed-on-{number}"
    return {"vendor": "http", "url": url, "account": f"passed-on-{number}", "batch": {"records": 100}}


def single(port: int, number: int = 1) -> dict[str, Any]:
    """A destination that takes one event a request."""
    return {"vendor": "http", "url": f"http://127.0.0.1:{port}/single-{number}", "account": f"single-{number}"}


async def fill(site: Site, scale: Scale, destinations: Destinations) -> Path:
    """A folder with a journal in which `scale.events` orders wait for these destinations, accepted by the receiver."""
    folder = site.folder / "backlog"
    orders = Orders(site.samples, SOURCE)
    measured, _ = machine.cores()
    async with processes.gateway(shop(destinations), folder, role="receiver", core=measured) as running:
        outcome = await load.closed(running.port, orders.next, scale.connections, count=scale.events)
    if outcome.statuses != {OK: scale.events}:
        raise BenchFailed(f"the backlog was not accepted: {outcome.statuses}")
    return folder


def copied(backlog: Path, folder: Path) -> Path:
    """The same journal again, to be emptied once more."""
    folder.mkdir(parents=True)
    for file in journal_files(backlog):
        shutil.copy(file, folder / file.name)
    return folder


def journal_files(folder: Path) -> Iterable[Path]:
    """The journal's files in a folder."""
    return (path for path in folder.glob("journal.db*") if not path.name.endswith(".lock"))
