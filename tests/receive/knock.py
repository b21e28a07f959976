"""A way to knock at the receiver without a socket, a log that fails and hangs on command, and a clock that stands."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette

from gateway.config.schema import Config
from gateway.errors import Cause
from gateway.journal.memory import MemoryJournal
from gateway.model import Group, Offer, Receipt, Rejection
from gateway.receive.endpoint import build
from gateway.receive.keys import Fetch, Keys
from gateway.receive.presets import load_presets
from gateway.receive.roots import Roots, web_roots

NOW_MS = 1_795_000_000_000


class StillClock:
    """A clock that stands until it is moved; sleeping gives way once and moves nothing."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.at_ms = now_ms
        self.mono_s = 1000.0
        self.slept: list[float] = []

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_s(self) -> float:
        return self.mono_s

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0.001)


class CountingChance:
    """Nonces that count."""

    def __init__(self) -> None:
        self._count = 0

    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2

    def nonce(self, size: int) -> bytes:
        self._count += 1
        return self._count.to_bytes(size, "big")


@dataclass
class Told:
    """An observer that remembers."""

    refusals: list[tuple[str, Cause, str]] = field(default_factory=list)
    commits: list[tuple[dict[str, int], dict[str, int]]] = field(default_factory=list)
    failures: list[tuple[str, BaseException]] = field(default_factory=list)
    lost_count: int = 0

    def refused(self, source: str, cause: Cause, detail: str, client: str, method: str) -> None:
        assert detail is not None
        assert method
        self.refusals.append((source, cause, client))

    def committed(self, accepted: Mapping[str, int], duplicates: Mapping[str, int], took_s: float) -> None:
        assert took_s >= 0
        self.commits.append((dict(accepted), dict(duplicates)))

    def failed(self, what: str, error: BaseException) -> None:
        self.failures.append((what, error))

    def lost(self, rejections: int) -> None:
        self.lost_count += rejections


Trouble = Callable[[Group], BaseException | None]


class CommandedLog:
    """The journal in memory behind a gate: it fails and hangs when it is told to.

    `trouble` is asked before each commit; `gate` is waited for. `offered` are the groups that came, in order.
    """

    def __init__(self) -> None:
        self.events: list[tuple[Receipt, Offer]] = []
        self.rejections: list[Rejection] = []
        self.offered: list[Group] = []
        self.trouble: Trouble = lambda _: None
        self.gate = asyncio.Event()
        self.gate.set()
        self.arrived = asyncio.Event()
        self._journal = MemoryJournal()
        self._groups: set[bytes] = set()

    async def append(self, group: Group) -> tuple[Receipt, ...]:
        self.offered.append(group)
        self.arrived.set()
        await self.gate.wait()
        if (error := self.trouble(group)) is not None:
            raise error
        receipts = await self._journal.append(group)
        if group.id not in self._groups:
            self._groups.add(group.id)
            pairs = zip(receipts, group.offers, strict=True)
            self.events += [(receipt, offer) for receipt, offer in pairs if not receipt.duplicate]
            self.rejections += group.rejections
        return receipts

    @property
    def offers(self) -> list[Offer]:
        """The events that were accepted."""
        return [offer for _, offer in self.events]

    async def read(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    event = wait = head = keep = probe = read


@dataclass(frozen=True)
class Reply:
    """What the receiver answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def cause(self) -> str:
        return str(self.json["cause"])


Pairs = Mapping[str, str] | Sequence[tuple[bytes, bytes]]


class Visitor:
    """Sends requests straight into the application."""

    def __init__(self, app: Starlette, log: CommandedLog, clock: StillClock, told: Told) -> None:
        self.app = app
        self.log = log
        self.clock = clock
        self.told = told

    async def post(self, source: str, body: bytes = b"{}", headers: Pairs | None = None, **how: Any) -> Reply:
        return await self.send("POST", f"/webhooks/{source}", body, headers, **how)

    async def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Pairs | None = None,
        *,
        query: bytes = b"",
        peer: str | None = "198.51.100.7",
        chunks: Iterable[bytes] | None = None,
    ) -> Reply:
        messages = list(_messages([body] if chunks is None else chunks))
        sent: list[Any] = []

        async def receive() -> Any:
            if messages:
                return messages.pop(0)
            await asyncio.sleep(3600)
            raise AssertionError

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query,
            "headers": raw_headers(headers or {}),
            "client": None if peer is None else (peer, 40000),
            "server": ("127.0.0.1", 8080),
        }
        await self.app(scope, receive, send)
        if not sent:
            return Reply(0, {}, b"")
        start, end = sent
        assert len(end["body"]) == int(dict(start["headers"])[b"content-length"])
        return Reply(start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, end["body"])


def raw_headers(headers: Pairs) -> list[tuple[bytes, bytes]]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [(_bytes(name).lower(), _bytes(value)) for name, value in pairs]


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def _messages(chunks: Iterable[bytes]) -> Iterable[dict[str, Any]]:
    listed = list(chunks)
    for place, chunk in enumerate(listed):
        yield {"type": "http.request", "body": chunk, "more_body": place < len(listed) - 1}


async def until(holds: Callable[[], object]) -> None:
    """Give way until it holds."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110  what is waited for has no signal of its own
            await asyncio.sleep(0.001)


@asynccontextmanager
async def opened(
    sources: Mapping[str, Any],
    *,
    receiver: Mapping[str, Any] | None = None,
    presets: Mapping[str, Any] | None = None,
    log: CommandedLog | None = None,
    fetch: Fetch | None = None,
    roots: Roots = web_roots,
) -> AsyncIterator[Visitor]:
    """A receiver of these sources, started, with a log in memory and a clock that stands."""
    config = Config.model_validate({"sources": sources, "receiver": receiver or {}, "presets": presets or {}})
    log = log or CommandedLog()
    clock = StillClock()
    told = Told()
    app = build(
        config, load_presets(config.presets), log, 7, clock, CountingChance(), told, Keys(clock, fetch, told, roots)
    )
    async with app.router.lifespan_context(app):
        yield Visitor(app, log, clock, told)
