"""`gateway demo`: the vendors' APIs in this process, a real `gateway serve` beside it, and a simulated shop that sends.

shop > /webhooks/uk-shop > gateway (receiver, journal, dispatcher) > /ometria, /sink > what arrived, and the ledger
"""

import asyncio
import os
import secrets
import signal
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from rich.console import Console
from rich.table import Table

from gateway import app
from gateway.clock import SystemClock
from gateway.config.load import Loaded
from gateway.journal.base import Journal
from gateway.sandbox import server, shop
from gateway.sandbox.witness import Visit

SHOP = "uk-shop"
SECRET = "UK_SHOP_SECRET"  # noqa: S105  a variable's name
ADMIN_TOKEN = "GATEWAY_ADMIN_TOKEN"  # noqa: S105  as above
SANDBOX = "127.0.0.1:9900"
READY_S = 30.0
SETTLED_S = 60.0
RATE_PER_S = 25.0
LOOK_S = 0.25

console = Console(highlight=False)


async def show(config: Path, *, once: bool, events: int) -> int:
    """Run the demo. 0 when every event arrived and the ledger balances; without `once`, stays up until Ctrl-C."""
    config = config.resolve()  # noqa: ASYNC240  before anything runs
    with tempfile.TemporaryDirectory(prefix="gateway-demo-") as folder:
        environment = _environment()
        loaded = app.load_config(config, environment)
        _free(SANDBOX, loaded.config.receiver.listen, loaded.config.admin.listen)
        os.chdir(folder)  # the journal's path is relative: the demo leaves nothing behind
        async with server.serving(SANDBOX) as sandbox, _gateway(config, environment, folder) as process:
            base_url = f"http://{loaded.config.receiver.listen}"
            admin_url = f"http://{loaded.config.admin.listen}"
            await _ready(admin_url, process)
            _introduce(sandbox.url, base_url, admin_url, environment[ADMIN_TOKEN])
            code = await _traffic(loaded, sandbox.sandbox, base_url, environment, events)
            if not once:
                await _stay(sandbox.url, base_url, admin_url, environment[ADMIN_TOKEN])
    return code


def _environment() -> dict[str, str]:
    """The environment of the demo: what the shipped configuration asks for, made up where nobody set it."""
    made_up = {
        SECRET: secrets.token_hex(16),
        "ERP_KEY": secrets.token_hex(16),
        "OMETRIA_KEY": "demo-key",
        ADMIN_TOKEN: "demo",
    }
    return {**made_up, **os.environ}


@asynccontextmanager
async def _gateway(config: Path, environment: dict[str, str], folder: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A real gateway, its log kept aside."""
    with Path(folder, "gateway.log").open("wb") as log:  # noqa: ASYNC230  before anything runs
        command = (sys.executable, "-m", "gateway", "serve", "--config", str(config))
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()


async def _ready(admin_url: str, process: asyncio.subprocess.Process) -> None:
    async with aiohttp.ClientSession() as session, asyncio.timeout(READY_S):
        while process.returncode is None:
            try:
                async with session.get(f"{admin_url}/readyz") as answer:
                    if answer.ok:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
    raise OSError("the gateway ended before it was ready: see what `gateway serve` says")


def _free(*addresses: str) -> None:
    """Raise OSError for an address that somebody else listens on."""
    for address in addresses:
        host, _, port = address.rpartition(":")
        with socket.socket() as probe:
            if probe.connect_ex((host.strip("[]"), int(port))) == 0:
                raise OSError(f"{address} is in use: does another demo or gateway run on this machine? Stop it first")


def _introduce(sandbox: str, receiver: str, admin: str, token: str) -> None:
    console.print()
    console.print("[bold]The webhook gateway, at work[/]")
    console.print(f"  a simulated Shopify shop   sends to   [cyan]{receiver}/webhooks/{SHOP}[/]")
    console.print(f"  the gateway's pages        are at     [cyan]{admin}[/]  (token [bold]{token}[/])")
    console.print(f"  Ometria and an HTTP sink   played at  [cyan]{sandbox}[/]")
    console.print()


async def _traffic(
    loaded: Loaded, sandbox: server.Sandbox, base_url: str, environment: dict[str, str], events: int
) -> int:
    told = _Told()
    watch = asyncio.create_task(_deliveries(sandbox))
    tally = await shop.send(
        f"{base_url}/webhooks/{SHOP}",
        environment[SECRET],
        events=events,
        clock=SystemClock(),
        rate_per_s=RATE_PER_S,
        tell=told.hear,
    )
    journal = app.open_journal(loaded.config.journal.url, listen_url=loaded.config.journal.listen_url)
    await journal.open()
    try:
        await _settled(journal)
        await asyncio.sleep(2 * LOOK_S)
        watch.cancel()
        return await _account(journal, tally)
    finally:
        await journal.close()


class _Told:
    """What the receiver says, as it says it."""

    def hear(self, told: shop.Told) -> None:
        kind = "[yellow]a retry, recognised[/]" if told.duplicate else "[green]new, on disk       [/]"
        if not told.taken:
            kind = f"[red]not taken: {told.status:<8}[/]"
        console.print(f"  [dim]in [/]  {told.delivery.topic:<20} {kind}  [dim]{told.id}[/]")


async def _deliveries(sandbox: server.Sandbox) -> None:
    """Say what arrives at the vendors, in which batches."""
    seen: Counter[str] = Counter()
    while True:
        for line in _arrived(sandbox, seen):
            console.print(line)
        await asyncio.sleep(LOOK_S)


def _arrived(sandbox: server.Sandbox, seen: Counter[str]) -> list[str]:
    """A line for each batch at Ometria; one for what the sink got meanwhile, an event each."""
    lines = [
        f"  [dim]out[/]  [magenta]ometria[/]    1 request, {_many(visit.records, visit.what or 'record')}"
        for key, account in sandbox.ometria.accounts.items()
        for visit in _new(account.witness.visits, f"ometria {key}", seen)
        if visit.records  # not that it was asked for its errors
    ]
    events = len(_new(sandbox.sink.witness.visits, "sink", seen))
    if events:
        lines.append(f"  [dim]out[/]  [cyan]warehouse[/]  {_many(events, 'request')}, an event each")
    return lines


def _new(visits: Iterable[Visit], name: str, seen: Counter[str]) -> list[Visit]:
    fresh = list(visits)[seen[name] :]
    seen[name] += len(fresh)
    return fresh


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


async def _settled(journal: Journal) -> None:
    """Wait until nothing waits and nothing is parked."""
    clock = SystemClock()
    until_s = clock.monotonic_s() + SETTLED_S
    while any(row.waiting or row.lane.counts.parked for row in await journal.lane_rows()):
        if clock.monotonic_s() > until_s:
            return
        await clock.sleep(LOOK_S)


async def _account(journal: Journal, tally: shop.Tally) -> int:
    rows = await journal.audit()
    console.print()
    console.print(
        f"[bold]In[/]: {tally.requests} requests, {tally.events} different events, {tally.taken} taken, "
        f"{tally.recognised} retries recognised"
    )
    table = Table("  from", "to", "events", "delivered", "filtered", "parked", "dead", "the ledger", box=None)
    for row in rows:
        counts = row.booked
        figures = (row.lane.destination, row.expected, counts.delivered, counts.filtered, counts.parked, counts.dead)
        name = f"  {row.lane.source}"
        table.add_row(name, *map(str, figures), "[green]balanced[/]" if row.balanced else f"[red]{row.why}[/]")
    console.print(table)
    arrived = all(row.balanced and not (row.waiting or row.booked.parked or row.booked.dead) for row in rows)
    complete = arrived and tally.taken == tally.events and any(row.expected for row in rows)
    verdict = "[green]Every event arrived; the ledger balances.[/]" if complete else "[red]Something is missing.[/]"
    console.print(verdict)
    return 0 if complete else 1


async def _stay(sandbox: str, receiver: str, admin: str, token: str) -> None:
    console.print()
    console.print("Still running; Ctrl-C ends it.")
    console.print(f"  see the events             on    [cyan]{admin}[/]  (token [bold]{token}[/])")
    console.print(f"  see what the vendors have  on    [cyan]{sandbox}[/]")
    console.print(f"  send more                  to    {receiver}/webhooks/{SHOP}")
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await told.wait()
