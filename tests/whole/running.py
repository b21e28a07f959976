"""A real `gateway serve` in a folder of its own: its configuration, its processes, its commands, and who sends to it.

The vendors' APIs are played in the test's own process (`gateway.sandbox`), so that what arrived can be looked at.
Every wait is for a condition, with a bound.
"""

import asyncio
import fcntl
import inspect
import json
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from gateway import app
from gateway.clock import SystemChance, SystemClock
from gateway.journal.base import LaneRow
from gateway.sandbox import sign
from gateway.sandbox.ometria_account import Account
from gateway.sandbox.server import Sandbox, Served, serving

SOURCE = "uk-shop"
SECRET = "whole-test-secret"
TOKEN = "whole-test-token"
OMETRIA_KEY = "whole-test-ometria-key"
SHOP = "thistle-and-thread.myshopify.com"
PORTS = range(20_000, 32_000)
"""Below the ports that the kernel gives to clients: a client of the test never sits on a port between two starts."""

READY_S = 30.0
STOPPED_S = 35.0
SETTLED_S = 60.0
COMMAND_S = 60.0
LOOK_S = 0.02

FAILURES = frozenset({"process.failed", "receiver.failed", "library.warned", "dispatcher.failed"})
"""Log events that no test expects, whatever it does to the gateway."""


class Letter(NamedTuple):
    """A webhook as the shop sends it. `event`: the merchant's action; `delivery`: this delivery's own id."""

    topic: str
    body: bytes
    event: str
    delivery: str


class Told(NamedTuple):
    """The answer to a letter. `status` 0: none came."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.body.get("id", ""))

    @property
    def duplicate(self) -> bool:
        return self.body.get("duplicate") is True


async def until(holds: Callable[[], Awaitable[bool] | bool], what: str, within_s: float = READY_S) -> None:
    """Wait until it holds. Raises AssertionError with `what` after `within_s`."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + within_s
    while True:
        found = holds()
        if await found if inspect.isawaitable(found) else found:
            return
        assert loop.time() < until_s, f"not within {within_s:g} s: {what}"
        await asyncio.sleep(LOOK_S)


def free_port() -> int:
    """A port that nobody listens on."""
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port")


def configuration(sandbox_url: str, **changes: dict[str, Any] | None) -> dict[str, Any]:
    """One Shopify shop into Ometria and into a plain HTTP sink. `changes` are laid over the destinations; None takes
    one away.
    """
    destinations: dict[str, dict[str, Any]] = {
        "ometria": {
            "vendor": "ometria",
            "api_key": OMETRIA_KEY,
            "collection": "uk-shop",
            "base_url": f"{sandbox_url}/ometria/v2",
        },
        "sink": {"vendor": "http", "url": f"{sandbox_url}/sink", "idempotency_header": "Idempotency-Key"},
    }
    for name, change in changes.items():
        if change is None:
            del destinations[name]
        else:
            destinations[name] = {**destinations[name], **change}
    return {
        "log": {"format": "json"},
        "sources": {
            SOURCE: {
                "preset": "shopify",
                "secrets": ["an-older-secret", SECRET],
                "country": "GB",
                "timezone": "Europe/London",
                "currency": "GBP",
            }
        },
        "destinations": destinations,
        "routes": [{"to": list(destinations)}],
    }


class Gateway:
    """One gateway: a folder with its configuration, journal and log, and the processes of `gateway serve`.

    The log is one file for all its lives; `lines` gives those of the present one. `environment` is what the processes
    of the next life have beside this process's own.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], database: Path | None = None) -> None:
        self.config = folder / "gateway.yaml"
        self.database = database or folder / "gateway.db"
        self.log = folder / "gateway.log"
        self.environment: dict[str, str] = {}
        self.process: asyncio.subprocess.Process | None = None
        self._groups: list[int] = []
        self._log_from = 0
        receiver, admin = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self.receiver_url = f"http://{receiver}"
        self.admin_url = f"http://{admin}"
        self.hook = f"{self.receiver_url}/webhooks/{SOURCE}"
        whole = {
            **settings,
            "journal": {"url": f"sqlite:///{self.database}", **settings.get("journal", {})},
            "receiver": {**settings.get("receiver", {}), "listen": receiver},
            "admin": {"listen": admin, "token": TOKEN},
        }
        self.journal_url: str = whole["journal"]["url"]
        self.config.write_text(json.dumps(whole, indent=2))
        self.log.touch()

    # --- its life ----------------------------------------------------------------------------------------------------

    async def start(self, *options: str) -> None:
        """Start the processes, without waiting for them. `options` are those of `gateway serve`."""
        self._log_from = self.log.stat().st_size
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gateway", "serve", "--config", str(self.config), *options),
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        self._groups.append(self.process.pid)

    async def ready(self, within_s: float = READY_S) -> None:
        """Wait until it says that it is ready."""
        async with aiohttp.ClientSession() as session:
            await until(lambda: self._says_ready(session), f"{self.admin_url}/readyz is 200", within_s)

    async def up(self, *options: str) -> None:
        """Start, and wait until it is ready."""
        await self.start(*options)
        await self.ready()

    async def _says_ready(self, session: aiohttp.ClientSession) -> bool:
        process = self._process()
        assert process.returncode is None, f"the gateway ended with {process.returncode}: {self.tail()}"
        try:
            async with session.get(f"{self.admin_url}/readyz", timeout=aiohttp.ClientTimeout(2)) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def kill_all(self) -> None:
        """`kill -9` of every process at once."""
        process = self._process()
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        self.process = None

    def kill(self, role: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to one process: `receiver`, `dispatcher`, or `parent`. Gives its pid."""
        pid = self.pid(role)
        os.kill(pid, number)
        return pid

    async def freeze(self, role: str) -> int:
        """SIGSTOP to one process at a moment when it does not hold the writers' lock, which nobody could take from it.
        Gives its pid.
        """
        with self.database.with_name(f"{self.database.name}.lock").open("w") as lock:

            def frozen() -> bool:
                self.kill(role, signal.SIGSTOP)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    self.kill(role, signal.SIGCONT)
                    return False
                return True

            await until(frozen, f"the {role} is frozen")
        return self.pid(role)

    def pid(self, role: str) -> int:
        """The process that has the role now, or had it last."""
        if role == "parent":
            return self._process().pid
        return self.children()[role]

    def children(self) -> dict[str, int]:
        """The last process of each role that was started in this life."""
        return {line["role"]: line["pid"] for line in self.lines("child.started")}

    async def stop(self, within_s: float = STOPPED_S) -> int:
        """SIGTERM; the exit code."""
        process = self._process()
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(within_s):
            code = await process.wait()
        self.process = None
        return code

    async def ended(self) -> int:
        """Wait until the parent has ended by itself; its exit code."""
        code = await self._process().wait()
        self.process = None
        return code

    async def end(self) -> None:
        """Whatever state it is in, nothing of it is left: children that outlived their parent neither."""
        for group in self._groups:
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if self.process is not None:
            await self.process.wait()
            self.process = None

    def _process(self) -> asyncio.subprocess.Process:
        assert self.process is not None, "the gateway is not running"
        return self.process

    # --- what it says ------------------------------------------------------------------------------------------------

    def lines(self, event: str = "", *, ever: bool = False) -> list[dict[str, Any]]:
        """The log's lines of this life, or of all of them, by event."""
        with self.log.open("rb") as log:
            log.seek(0 if ever else self._log_from)
            found = [_line(text) for text in log.read().splitlines()]
        return [line for line in found if not event or line.get("event") == event]

    def failures(self) -> list[dict[str, Any]]:
        """Lines of all lives that should never be there: something raised, or was no line at all (a traceback)."""
        return [line for line in self.lines(ever=True) if _is_failure(line)]

    def tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])

    async def command(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Run a command with `--json`: its exit code, and what it printed."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", *words, "--config", str(self.config), "--json"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(COMMAND_S):
            out, err = await process.communicate()
        assert out, err.decode()
        return process.returncode or 0, json.loads(out)

    async def lanes(self) -> dict[str, LaneRow]:
        """Every lane with its figures, by destination, straight from the journal."""
        journal = app.open_journal(self.journal_url)
        try:
            return {row.lane.destination: row for row in await journal.lane_rows()}
        finally:
            await journal.close()

    async def settled(self, destinations: Iterable[str] = (), within_s: float = SETTLED_S) -> None:
        """Wait until nothing waits and nothing is parked on the lanes to these destinations (default: all)."""
        wanted = set(destinations)
        journal = app.open_journal(self.journal_url)

        async def nothing_waits() -> bool:
            rows = [row for row in await journal.lane_rows() if not wanted or row.lane.destination in wanted]
            return bool(rows) and not any(row.waiting or row.lane.counts.parked for row in rows)

        try:
            await until(nothing_waits, "every lane has settled what it has", within_s)
        finally:
            await journal.close()

    async def balanced(self) -> dict[str, dict[str, Any]]:
        """`gateway audit` exits 0; its rows by destination."""
        code, said = await self.command("audit")
        assert code == 0, said
        assert said["balanced"] is True
        return {row["destination"]: row for row in said["lanes"]}


def _line(text: bytes) -> dict[str, Any]:
    """A line of the log; one that is none (a traceback) stands under `text`."""
    try:
        line = json.loads(text)
    except ValueError:
        line = None
    return line if isinstance(line, dict) else {"text": text.decode(errors="replace")}


def _is_failure(line: dict[str, Any]) -> bool:
    return "text" in line or "exception" in line or line.get("event") in FAILURES


@asynccontextmanager
async def running(
    folder: Path, settings: Callable[[str], dict[str, Any]] = configuration
) -> AsyncIterator[tuple[Gateway, Sandbox]]:
    """A sandbox, and a gateway that is ready and delivers to it. Nothing of either is left behind."""
    async with played(folder, settings) as (gateway, served):
        await gateway.up()
        yield gateway, served.sandbox


@asynccontextmanager
async def played(
    folder: Path, settings: Callable[[str], dict[str, Any]] = configuration
) -> AsyncIterator[tuple[Gateway, Served]]:
    """A sandbox, and a gateway that is configured to deliver to it and not started yet."""
    async with serving("127.0.0.1:0") as served:
        gateway = Gateway(folder, settings(served.url))
        try:
            yield gateway, served
        finally:
            await gateway.end()


def account(sandbox: Sandbox) -> Account:
    """Ometria's account of the gateway's key."""
    return sandbox.ometria.accounts[OMETRIA_KEY]


def rules_broken(sandbox: Sandbox) -> dict[str, Any]:
    """Ometria's rules that were broken. Its clock is that of this process, which plays everybody else too, so that it
    sees requests up to a tenth of a second late: five that came within nine tenths of a second are more than four.
    """
    witness = account(sandbox).witness
    times_s = [visit.at_s for visit in witness.visits]
    dense = [later - earlier for earlier, later in zip(times_s, times_s[4:], strict=False) if later - earlier < 0.9]
    found: dict[str, Any] = {rule: count for rule, count in witness.broken.items() if rule != "rate_limit"}
    return {**found, "five requests within": dense} if dense else found


# --- who sends -------------------------------------------------------------------------------------------------------


def headers_of(letter: Letter, secret: str = SECRET) -> list[tuple[str, str]]:
    """The headers with which Shopify would send it."""
    return sign.sign(
        "shopify",
        letter.body,
        letter.topic,
        secret,
        url="",
        now_ms=SystemClock().now_ms(),
        chance=SystemChance(),
        names=sign.Names(SHOP, letter.event, letter.delivery),
    )


async def post(session: aiohttp.ClientSession, url: str, letter: Letter) -> Told:
    """Send a letter once, with Shopify's patience of five seconds."""
    patience = aiohttp.ClientTimeout(total=5)
    try:
        async with session.post(url, data=letter.body, headers=headers_of(letter), timeout=patience) as answer:
            said = json.loads(await answer.read() or b"{}")
            return Told(answer.status, {name.lower(): value for name, value in answer.headers.items()}, said)
    except (aiohttp.ClientError, TimeoutError, OSError):
        return Told(0, {}, {})


async def post_all(url: str, letters: Sequence[Letter], at_once: int = 64) -> list[Told]:
    """Send many, so many at once; the answers in the letters' order."""
    connector = aiohttp.TCPConnector(limit=at_once)
    async with aiohttp.ClientSession(connector=connector) as session:
        return list(await asyncio.gather(*(post(session, url, letter) for letter in letters)))
