"""The world around the dispatchers of a simulation: vendors with moods, processes that die and freeze."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Any

from gateway import document
from gateway.deliver.outbound import Left
from gateway.errors import JournalUnavailable, Reason
from gateway.journal.memory import MemoryJournal
from gateway.vendors.base import Answer, Failure, Request, Response
from tests.simulation.virtual import START_MS, VirtualClock

MOODS = ("well", "slow", "failing", "hanging", "forgetful", "throttling", "refusing", "busy", "picky", "unreachable")
"""well: takes all · slow: takes all, late · failing: 500 · hanging: no answer, not applied · forgetful: applied, no
answer · throttling: 429 · refusing: 401 · busy: 423 for a channel · picky: 400 while a batch holds poison."""
OUTAGES = ("failing", "refusing", "unreachable", "throttling", "hanging")
"""What all vendors may be at once."""
IDLE_S = 10.0
"""How long a process waits for news where every commit is told at once: nothing is gained from waking for nothing."""
LAGGING = 0.5
"""Of so many calls the journal is not done at once, where it lags."""


@dataclass
class Arrival:
    """One record at a vendor: when, from which process, and how far ahead any process's clock had ever been by then."""

    at_s: float
    process: int
    id: str
    lane: int
    seq: int
    channel: str
    key: str
    revision: int = 0
    skew_ms: int = 0


@dataclass
class Leaving:
    """A request on its way: where to, from which process, when, and what that process's own clock said."""

    destination: str
    process: int
    at_s: float
    own_ms: int


@dataclass
class Sent:
    """A request as it left a process: for which account, when, which records it carried (lane, seq, channel, key), and
    when the process heard what answer (the status, 0 for none), if it lived to hear it.
    """

    process: int
    destination: str
    account: str
    at_s: float
    ids: tuple[str, ...] = ()
    carried: tuple[tuple[int, int, str, str], ...] = ()
    answered: bool = False
    done_s: float = inf
    status: int = 0


@dataclass
class Site:
    """A vendor's side of one destination."""

    mood: str = "well"
    applied: list[Arrival] = field(default_factory=list)
    requests: list[tuple[float, int, str]] = field(default_factory=list)
    """When, from which process, for which account."""
    in_flight: dict[int, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    breaches: list[str] = field(default_factory=list)
    forgotten: set[str] = field(default_factory=set)
    """Records that were applied without an answer."""


class World:
    """The vendors, by destination."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.takes_poison = False
        self.sites: dict[str, Site] = defaultdict(Site)
        self.most_skew_ms = 0
        self.left: list[Leaving] = []
        self.sent: list[Sent] = []

    async def receive(self, process: int, request: Request, timeout_s: float, sent: Sent) -> Answer:
        """What a vendor does with a request, as its mood is."""
        site = self.sites[sent.destination]
        account = sent.account
        question = request.url if request.method == "GET" else ""
        items: list[dict[str, Any]] = [] if question else document.parse(request.body)
        keys = [("", question)] if question else [(item["channel"], item["key"]) for item in items]
        sent.ids = tuple(item["id"] for item in items)
        sent.carried = tuple((item["lane"], item["seq"], item["channel"], item["key"]) for item in items)
        for key in set(keys):
            if key in site.in_flight[process]:
                site.breaches.append(f"two of {key} in flight at {sent.destination}")
        site.in_flight[process].extend(keys)
        try:
            return await self._as_mood(site, process, account, question or items, timeout_s)
        finally:
            for key in keys:
                site.in_flight[process].remove(key)

    async def _as_mood(
        self, site: Site, process: int, account: str, asked: str | list[dict[str, Any]], timeout_s: float
    ) -> Answer:
        await asyncio.sleep(self.rng.uniform(0.0, 0.004))
        mood = site.mood
        if mood == "unreachable":
            return Failure(Reason.CONNECTION_FAILED, "refused")
        site.requests.append((asyncio.get_running_loop().time(), process, account))
        if mood == "hanging":
            await asyncio.sleep(timeout_s)
            return Failure(Reason.TIMEOUT, "no answer")
        if mood == "slow":
            await asyncio.sleep(self.rng.uniform(0.1, 3.0))
        status = {"failing": 500, "throttling": 429, "refusing": 401, "busy": 423}.get(mood)
        if isinstance(asked, str):
            status = 425 if status == 423 else status
        elif status is None and mood == "picky" and any(item["poison"] for item in asked):
            status = 400
        if status is not None:
            return Response(status, {}, b"")
        answer = found(asked) if isinstance(asked, str) else self._apply(site, process, asked)
        if mood == "forgetful":
            site.forgotten.update([] if isinstance(asked, str) else [item["id"] for item in asked])
            await asyncio.sleep(timeout_s)
            return Failure(Reason.TIMEOUT, "applied, but no answer")
        return answer

    def _apply(self, site: Site, process: int, items: list[dict[str, Any]]) -> Response:
        now_s = asyncio.get_running_loop().time()
        statuses = []
        for item in items:
            poisoned = item["poison"] and not self.takes_poison
            statuses.append(422 if poisoned else 200)
            if not poisoned:
                site.applied.append(
                    Arrival(
                        now_s,
                        process,
                        item["id"],
                        item["lane"],
                        item["seq"],
                        item["channel"],
                        item["key"],
                        item["revision"],
                        self.most_skew_ms,
                    )
                )
        return Response(200, {}, document.dump(statuses))


def found(url: str) -> Response:
    """What a question is answered: the entity, and when it was so. What is poisoned is not there."""
    *_, key, poison = url.split("/")
    at_ms = START_MS + int(asyncio.get_running_loop().time() * 1000)
    return Response(404 if poison == "true" else 200, {}, document.dump({"id": key, "at_ms": at_ms}))


class Process:
    """A process that may die or freeze between any two steps: its calls of the journal and of the vendors."""

    def __init__(self, number: int, clock: VirtualClock, *, dies_after: int | None = None) -> None:
        self.number = number
        self.clock = clock
        self.dead = False
        self.steps = 0
        self._dies_after = dies_after
        self.thawed_s: list[float] = []
        self.heard: list[tuple[float, int]] = []
        """When it heard of which revision."""
        self.claims: list[tuple[float, str]] = []
        """When it took which account over."""
        self.hear: Callable[[Any], None] = lambda _: None
        self.jumped_s: list[float] = []
        self._over = False
        self._grave: list[asyncio.Future[None]] = []
        self._running = asyncio.Event()
        self._running.set()

    def freeze(self) -> None:
        self.clock.freeze()
        self._running.clear()

    def jump(self, skew_ms: int) -> None:
        """Its wall clock is moved."""
        self.jumped_s.append(asyncio.get_running_loop().time())
        self.clock.skew_ms = skew_ms

    def told(self, setup: Any) -> None:
        """It hears of a configuration, if it can."""
        if self._running.is_set() and not self.dead and setup.revision > self.heard[-1][1]:
            self.heard.append((asyncio.get_running_loop().time(), setup.revision))
            self.hear(setup)

    def thaw(self) -> None:
        if not self._running.is_set():
            self.thawed_s.append(asyncio.get_running_loop().time())
        self.clock.thaw()
        self._running.set()

    def die(self) -> None:
        self.dead = True

    def bury(self) -> None:
        """The history is over: nothing of the process is to go on, and nothing is to wait."""
        self._over = True
        self.thaw()
        for future in self._grave:
            future.cancel()

    def is_mortal(self) -> bool:
        """Whether it is dead, or will be."""
        return self.dead or self._dies_after is not None

    def goes_on(self) -> bool:
        """Whether its next step is as any other."""
        return not (self._over or self.is_mortal()) and self._running.is_set()

    async def step(self) -> None:
        """Goes on, later, or never."""
        self.steps += 1
        if self.goes_on():
            return
        if self._over:
            raise asyncio.CancelledError
        if self._dies_after is not None and self.steps > self._dies_after:
            self.dead = True
        if self.dead:
            self._grave.append(asyncio.get_running_loop().create_future())
            await self._grave[-1]
        if not self._running.is_set():
            await self._running.wait()
            await self.step()


class Through:
    """The journal as one process reaches it: each call is a step before and after, and may find the journal away."""

    def __init__(self, journal: Any, process: Process, weather: "Weather") -> None:
        self._journal = journal
        self._process = process
        self._weather = weather
        self._tells_at_once = isinstance(journal, MemoryJournal)

    def __getattr__(self, name: str) -> Any:
        method, process, weather = getattr(self._journal, name), self._process, self._weather

        async def call(*args: Any, **kwargs: Any) -> Any:
            await process.step()
            if weather.journal_away:
                raise JournalUnavailable("away")
            if weather.lag_s:
                await weather.takes()
            if name == "wait" and self._tells_at_once:
                args = (args[0], IDLE_S)
            result = await method(*args, **kwargs)
            if name == "claim" and result is not None:
                process.claims.append((asyncio.get_running_loop().time(), result.account.rpartition(" ")[2]))
            if weather.lag_s:
                await weather.takes()
            await process.step()
            return result

        return call


@dataclass
class Weather:
    """What goes for every process. `lag_s`: what the journal takes for a call, at most, on each way."""

    journal_away: bool = False
    lag_s: float = 0.0
    rng: random.Random = field(default_factory=random.Random)

    async def takes(self) -> None:
        """A call of the journal takes its time, and others go on meanwhile."""
        if self.rng.random() < LAGGING:
            await asyncio.sleep(self.rng.uniform(0.0, self.lag_s))


class Door:
    """The way out of one process into the world."""

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process

    async def send(self, request: Request, timeout_s: float, left: Left = None) -> Answer:
        await self._process.step()
        at_s, process = asyncio.get_running_loop().time(), self._process
        self._world.left.append(Leaving(_destination(request), process.number, at_s, process.clock.now_ms()))
        if left is not None:
            left()
        sent = Sent(process.number, _destination(request), _account(request), at_s)
        self._world.sent.append(sent)
        answer = asyncio.ensure_future(self._world.receive(self._process.number, request, timeout_s, sent))
        result = await asyncio.shield(answer)
        await process.step()
        sent.answered, sent.done_s = True, asyncio.get_running_loop().time()
        sent.status = result.status if isinstance(result, Response) else 0
        return result


def _destination(request: Request) -> str:
    return request.url.removeprefix("https://").partition(".")[0]


def _account(request: Request) -> str:
    return request.url.removeprefix("https://").split(".")[1]
