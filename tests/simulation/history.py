"""One random history: events come in, vendors have moods, processes die and freeze; in the end all is well again.

Everything follows from the seed. After the history every promise is checked: see `promises.py`.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from gateway import document
from gateway.config.schema import Route, Source
from gateway.deliver.dispatcher import Dispatcher
from gateway.deliver.plan import Destination, Planner, Setup
from gateway.deliver.route import Router
from gateway.journal.base import DeadFilter, Keep, Operation
from gateway.mapping.book import Book
from gateway.mapping.normalise import Normaliser
from gateway.model import LIVE, Group, Lane, LaneSpec, Offer, Receipt, Replay
from gateway.vendors.lookup import Lookup, LookupSettings
from tests.simulation.paper import LIMIT, Paper, PaperSettings
from tests.simulation.virtual import START_MS, SeededChance, VirtualClock
from tests.simulation.world import MOODS, Door, Process, Through, Weather, World

SOURCES = ("shop-a", "shop-b")
DESTINATIONS = {"left": "one", "right": "one", "far": "two"}
"""Destination -> account: two destinations share one budget."""
HOLD_S = 20.0
HELD_AT = "left"
QUIET = ["08:54-08:55 UTC", "08:57-09:02 UTC", "Thu 10:30-11:00 UTC"]
"""Within minutes of the beginning (a Thursday, 08:53:20), and where a clock that is an hour off thinks it is."""
QUIET_AT = "far"
BREAKERS: dict[str, Any] = {
    "left": {"failures": 8, "rate": "40%", "window": "30s", "open": "5s", "max": "1m", "ramp": "20s"},
    "right": {},
    "far": False,
}
LOOKED_UP = "shop-a"
"""The source whose events are looked up, in every other history."""
LOOKUP = "whole"
"""The look-up, an account of its own."""
WINDOW_MS = 7 * 86_400_000
YEAR_MS = 365 * 86_400_000
SLICES = 20
"""Slices of keeping at once, at most."""
JUMPS_MS = (-3_600_000, -300_000, 120_000, 300_000, 3_600_000)
"""How far wall clocks are off: an hour, and less, which is waited for sooner."""
WELL_S = 2 * 86_400.0
"""How long after the last trouble everything must have been dealt with, by the wall clocks."""
SOON_S, LATER_S, JUMP_S = 60.0, 15.0, 600.0
"""After so much of it, all wall clocks jump ahead every so often: nothing is gained from idle hours."""


@dataclass
class Again:
    """A replay that was begun, and how far the journal had come then."""

    replay: Replay
    head_seq: int


@dataclass
class Configured:
    """What a configuration says of the three destinations, by where they are in the world: their names now and before,
    their accounts, which are configured, and which want only the newest states.
    """

    revision: int = 0
    names: dict[str, str] = field(default_factory=lambda: {site: site for site in DESTINATIONS})
    was: dict[str, tuple[str, ...]] = field(default_factory=dict)
    accounts: dict[str, str] = field(default_factory=lambda: dict(DESTINATIONS))
    gone: frozenset[str] = frozenset()
    coalesce: frozenset[str] = frozenset()
    stale: frozenset[str] = frozenset()

    def specs(self) -> list[LaneSpec]:
        """The lanes that it names."""
        return [
            LaneSpec(source, name, was=self.was.get(site, ()))
            for source in SOURCES
            for site, name in self.names.items()
            if site not in self.gone
        ]


@dataclass
class Told:
    """What the receiver answered: the event of each identity, and every receipt."""

    first: dict[bytes, Receipt] = field(default_factory=dict)
    receipts: list[tuple[bytes, Receipt]] = field(default_factory=list)
    bodies: dict[int, dict[str, Any]] = field(default_factory=dict)
    received_ms: dict[int, int] = field(default_factory=dict)
    revisions: dict[int, int] = field(default_factory=dict)


class History:
    """A seed's history over one journal. `replica`: opens the same journal again, for each process and for a second
    receiver; without it all share one.
    """

    def __init__(
        self,
        seed: int,
        journal: Any,
        without: frozenset[int] = frozenset(),
        replica: Callable[[], Any] | None = None,
    ) -> None:
        self._replica = replica or (lambda: journal)
        self._receivers = [journal, self._replica()]
        self._opened = [self._receivers[1]]
        self._seed = seed
        self._without = without
        self.rng = random.Random(seed)
        self.journal = journal
        self.world = World(self.rng)
        self.weather = Weather(lag_s=self.rng.choice([0.0, 0.0, 0.002]), rng=self.rng)
        self.told = Told()
        self.replays: dict[str, Again] = {}
        self.times_are_clear = True
        self.processes: list[Process] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.configured = first(seed)
        self.ever = [self.configured]
        """Every configuration that was in force."""
        self.setup = setup(seed, self.configured)
        self.cut_s: list[float] = []
        """When an operator or retention changed what a lane had in its hands."""
        self.kept = False
        """Whether something was removed that the promises would look at."""
        self._groups = 0

    async def run(self) -> None:
        """Trouble first, then peace until nothing is left to do."""
        await self.journal.open()
        await self.journal.register(self.configured.specs())
        if LOOKUP in self.setup.destinations:
            await self.journal.register([LaneSpec(LOOKED_UP, LOOKUP)])
        self._start()
        for place in range(turns(self._seed)):
            if place not in self._without:
                self.rng = random.Random(f"{self._seed} {place}")
                await self._turn()
                await asyncio.sleep(self.rng.choice([0.0, 0.05, 0.3, 1.0, 15.0]))
        await self._peace()

    async def close(self) -> None:
        for process in self.processes:
            process.bury()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for journal in (*self._opened, self.journal):
            await journal.close()

    # --- trouble ------------------------------------------------------------------------------------------------

    async def _turn(self) -> None:
        turns: list[Callable[[], Awaitable[None]]] = [
            self._events,
            self._events,
            self._events,
            self._mood,
            self._mood,
            self._death,
            self._freeze,
            self._jump,
            self._away,
            self._operator,
            self._replay,
            self._reload,
            self._keep,
        ]
        await self.rng.choice(turns)()

    async def _events(self) -> None:
        """A group of events, some of them offered before."""
        offers = [self._offer() for _ in range(self.rng.choice([1, 1, 2, 6]))]
        self._groups += 1
        group = Group(self._groups.to_bytes(8, "big") + self.rng.randbytes(8), tuple(offers))
        one, other = self._receivers if self._groups % 2 else reversed(self._receivers)
        receipts = await one.append(group)
        if self.rng.random() < 0.1:
            assert await other.append(group) == receipts
        for offer, receipt in zip(offers, receipts, strict=True):
            identity = offer.identity or b""
            self.told.receipts.append((identity, receipt))
            self.told.first.setdefault(identity, receipt)
            self.told.bodies.setdefault(receipt.seq, document.parse(offer.body))
            if not receipt.duplicate:
                self.told.received_ms[receipt.seq] = offer.received_at_ms
                self.told.revisions[receipt.seq] = offer.revision

    def _offer(self) -> Offer:
        source = self.rng.choice(SOURCES)
        n = self.rng.randint(1, 40)
        body: dict[str, Any] = {"key": f"k{n % 5}", "n": n, "updated_at": f"2026-03-01T09:{n * 7 % 60:02}:00Z"}
        if n % 11 == 0 or n % 14 == 0:
            body["poison"] = True
        if n % 13 == 0:
            body["unmappable"] = True
        if n % 3 == 0:
            body["held"] = True
        if n % 7 == 0:
            body["channels"] = ["one", "two"]
        identity = (source.encode() + n.to_bytes(2, "big")).ljust(16, b"\0")
        return Offer(
            source=source,
            topic="thing/update" if n % 17 else "thing/ignored",
            received_at_ms=START_MS + int(asyncio.get_running_loop().time() * 1000),
            revision=self.configured.revision,
            method="POST",
            query="",
            headers=(("content-type", "application/json"),),
            body=document.dump(body),
            identity=identity,
            identity_window_ms=WINDOW_MS,
        )

    async def _mood(self) -> None:
        self.world.sites[self.rng.choice(sites(self.setup))].mood = self.rng.choice(MOODS)

    async def _death(self) -> None:
        """A process dies now or a few steps from now; another is started, sooner or later."""
        process = self.rng.choice(self.processes)
        if self.rng.random() < 0.5:
            process.die()
        self._start(dies_after=self.rng.choice([None, None, 3, 10, 40]))

    async def _freeze(self) -> None:
        self.times_are_clear = False
        process = self.rng.choice(self.processes)
        process.freeze()
        asyncio.get_running_loop().call_later(self.rng.choice([0.5, 9.0, 60.0]), self._thaw, process)

    def _thaw(self, process: Process) -> None:
        """It goes on, and hears what it missed."""
        process.thaw()
        process.told(self.setup)

    async def _jump(self) -> None:
        self.times_are_clear = False
        process = self.rng.choice(self.processes)
        process.jump(self.rng.choice([*JUMPS_MS, 0]))
        self.world.most_skew_ms = max(self.world.most_skew_ms, process.clock.skew_ms)

    async def _away(self) -> None:
        self.weather.journal_away = True
        asyncio.get_running_loop().call_later(self.rng.choice([0.1, 5.0]), self._back)

    def _back(self) -> None:
        self.weather.journal_away = False

    async def _operator(self) -> None:
        """Somebody retries or discards what is dead, pauses a lane, or goes on."""
        by = Operation(
            START_MS, "simulation", self.rng.choice(["retry", "discard", "pause", "resume", "end", "skip"]), ""
        )
        if by.what == "retry":
            await self.journal.retry(DeadFilter(), by)
        elif by.what == "discard":
            await self.journal.discard(DeadFilter(destination=self.configured.names["far"]), by)
        else:
            of_replays = by.what == "end"
            lanes = [lane for lane in await self.journal.lanes() if not lane.ended]
            lanes = [lane for lane in lanes if not of_replays or lane.kind != LIVE]
            if by.what == "skip":
                lanes = [lane for lane in lanes if lane.destination != LOOKUP]
            for lane in self.rng.sample(lanes, min(1, len(lanes))):
                self.cut_s.append(asyncio.get_running_loop().time())
                await self.journal.change_lane(lane.id, by)

    async def _replay(self) -> None:
        """Somebody has a part of the past done again."""
        head = await self.journal.head()
        first, last = sorted(self.rng.randint(0, head.seq) for _ in range(2))
        replay = Replay(
            f"rpl_{len(self.replays)}",
            START_MS,
            "simulation",
            when=self.rng.choice([None, None, "data.n > `15`"]),
            every_state=self.rng.random() < 0.3,
        )
        self.replays[replay.id] = Again(replay, head.seq)
        lanes = [
            LaneSpec(source, to, replay.id, first, last)
            for source in self.rng.sample(SOURCES, self.rng.randint(1, len(SOURCES)))
            for to in self.rng.sample(sorted(self.configured.names.values()), self.rng.randint(1, 2))
        ]
        await self.journal.replay(replay, lanes, Operation(START_MS, "simulation", "replay", replay.id))

    async def _reload(self) -> None:
        """Another configuration: a destination is gone or back, has another name, another account or other wishes."""
        now, site = self.configured, self.rng.choice(sorted(DESTINATIONS))
        what = self.rng.choice(["gone", "name", "account", "coalesce", "stale"])
        newer = replace(now, revision=now.revision + 1)
        if what == "name":
            name = f"{site}-{newer.revision}"
            newer = replace(
                newer, names=now.names | {site: name}, was=now.was | {site: (*now.was.get(site, ()), now.names[site])}
            )
        elif what == "account":
            newer = replace(newer, accounts=now.accounts | {site: f"{DESTINATIONS[site]}x{newer.revision}"})
        else:
            newer = replace(newer, **{what: getattr(now, what) ^ {site}})
        await self._apply(newer, at_once=what == "account")

    async def _apply(self, newer: Configured, *, at_once: bool) -> None:
        """Its lanes are registered, and each process hears of it, at once or later."""
        await self.journal.register(newer.specs())
        self.configured, self.setup = newer, setup(self._seed, newer)
        self.ever.append(newer)
        loop = asyncio.get_running_loop()
        self.cut_s.append(loop.time())  # another process may have the new account before this one has settled the old
        for process in self.processes:
            wait_s = 0.0 if at_once else self.rng.choice([0.0, 0.3, 2.0, 20.0])
            loop.call_later(wait_s, process.told, self.setup)

    async def _keep(self) -> None:
        """What is old goes."""
        self.kept = True
        self.cut_s.append(asyncio.get_running_loop().time())
        now_ms = START_MS + int(asyncio.get_running_loop().time() * 1000)
        keep_ms = self.rng.choice([5_000, 30_000])
        rules = Keep(now_ms, keep_ms, self.rng.choice([60_000, YEAR_MS]), WINDOW_MS, keep_ms, YEAR_MS)
        for _ in range(SLICES):
            if not (await self.journal.keep(rules)).more:
                return

    # --- peace --------------------------------------------------------------------------------------------------

    async def _peace(self) -> None:
        """No more trouble: whatever can be dealt with is."""
        self.weather.journal_away = False
        for site in self.world.sites.values():
            site.mood = "well"
        for process in self.processes:
            process.thaw()
            process.jump(0)
        newer = replace(self.configured, revision=self.configured.revision + 1, gone=frozenset())
        await self._apply(newer, at_once=True)
        for lane in await self.journal.lanes():
            if not lane.ended:
                what = "resume" if lane.destination in self.setup.destinations else "end"
                await self.journal.change_lane(lane.id, Operation(START_MS, "simulation", what, ""))
        self._start()
        waited_s = 0.0
        while waited_s < WELL_S and not await self._quiet():
            await asyncio.sleep(1.0 if waited_s < SOON_S else LATER_S)
            waited_s += 1.0
            if waited_s > SOON_S:  # what is due in an hour, because a clock was an hour ahead, is due sooner now
                waited_s += JUMP_S
                self.times_are_clear = False
                self.world.most_skew_ms += int(JUMP_S * 1000)
                for process in self.processes:
                    process.clock.skew_ms += int(JUMP_S * 1000)

    async def _quiet(self) -> bool:
        rows = await self.journal.lane_rows()
        return all(not row.waiting and not row.lane.counts.parked and _is_through(row.lane) for row in rows)

    def _start(self, dies_after: int | None = None) -> None:
        clock = VirtualClock(asyncio.get_running_loop())
        process = Process(len(self.processes) + 1, clock, dies_after=dies_after)
        self._opened.append(self._replica())
        dispatcher = Dispatcher(
            Through(self._opened[-1], process, self.weather),
            self.setup,
            Door(self.world, process),
            f"process {process.number}",
            clock,
            SeededChance(self.rng.randint(0, 1 << 30)),
        )
        process.hear = dispatcher.swap
        process.revision = self.setup.revision
        self.processes.append(process)
        self.tasks.append(asyncio.create_task(dispatcher.run()))


def _is_through(lane: Lane) -> bool:
    """Whether a replay has come to its end; a live lane has none."""
    return lane.end_seq is None or lane.ended or lane.cursor >= lane.end_seq


def turns(seed: int) -> int:
    """How many turns the history of a seed has."""
    return random.Random(seed).randint(2, 10)


def sites(made: Setup) -> list[str]:
    """Where a configuration's destinations are in the world."""
    return [
        one.settings.site if isinstance(one.settings, PaperSettings) else name
        for name, one in made.destinations.items()
    ]


def first(seed: int | None) -> Configured:
    """The first configuration of a seed's history; without one, nothing that is opt-in."""
    rng = random.Random(f"{seed} setup")
    told = {site: (rng.random() < 0.25, rng.random() < 0.25) for site in DESTINATIONS}
    if seed is None:
        return Configured()
    coalesce, stale = (frozenset(site for site, wants in told.items() if wants[place]) for place in (0, 1))
    return Configured(coalesce=coalesce, stale=stale)


def setup(seed: int | None = None, configured: Configured | None = None) -> Setup:
    """The configuration of a seed's history."""
    configured = configured or first(seed)
    destinations = {}
    for site, name in configured.names.items():
        if site in configured.gone:
            continue
        told: dict[str, Any] = {"vendor": "paper", "account": configured.accounts[site], "timeout": "5s"}
        told |= {"site": site, "revision": configured.revision}
        if seed is not None:
            told |= {"coalesce": site in configured.coalesce, "stale": site in configured.stale}
            told |= {"breaker": BREAKERS[site], "quiet": QUIET if site == QUIET_AT else []}
        settings = PaperSettings.model_validate(told)
        vendor = Paper(name, settings)
        destinations[name] = Destination(name, settings, vendor, vendor.account(), site, (LIMIT,), vendor.rules())
    targets = list(destinations)
    if seed is not None and seed % 2:
        destinations[LOOKUP] = _lookup()
    lookups = {LOOKED_UP: [LOOKUP]} if LOOKUP in destinations else {}
    book = Book({})
    normalisers = {name: Normaliser(name, Source(), {}, book) for name in SOURCES}
    routes = [Route(events=["thing.update"], to=targets)]
    held_at = configured.names[HELD_AT]
    if seed is not None and held_at in destinations:
        routes.append(Route(events=["thing.update"], when="data.held", to=[held_at], hold=f"{HOLD_S:g}s"))
    planner = Planner(normalisers, Router(routes), book, lookups)
    return Setup(destinations, frozenset(SOURCES), planner, configured.revision)


def _lookup() -> Destination:
    """Asks for an entity by its key; what is poisoned is not there."""
    url = f"https://{LOOKUP}.example/{{data.key}}/{{data.poison || 'sound'}}"
    settings = LookupSettings.model_validate({"urls": {"thing.update": url}, "timeout": "5s"})
    vendor = Lookup(LOOKUP, settings)
    return Destination(LOOKUP, settings, vendor, LOOKUP, LOOKUP, (LIMIT,), vendor.rules())
