"""One random history: events come in, vendors have moods, processes die and freeze; in the end all is well again.

Everything follows from the seed. After the history every promise is checked: see `promises.py`.

Most histories are small: one to three turns of anything, for most faults need no more. One in ten has up to ten turns.
One in two hundred is crowded: floods of events, replays and a destination that wants the past, so that lanes of one
account wait for one another. In three of two hundred all vendors fail and are well again, in turn.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from gateway import document
from gateway.deliver.begin import with_past
from gateway.deliver.dispatcher import Dispatcher
from gateway.journal.base import DeadFilter, Keep, Operation
from gateway.model import LIVE, Group, Lane, LaneSpec, Offer, Receipt, Replay
from tests.simulation.configured import (
    ACCOUNTS,
    DESTINATIONS,
    LATE,
    LOOKED_UP,
    LOOKUP,
    SOURCES,
    Configured,
    Kind,
    first,
    kind,
    setup,
    site_of,
    sites,
)
from tests.simulation.virtual import START_MS, SeededChance, VirtualClock
from tests.simulation.world import MOODS, OUTAGES, Door, Process, Through, Weather, World

FLOOD = 40
"""Events of a flood; its entities have numbers from here on."""
BEGUN_S = 4.0
"""After a process's begin: its accounts have their full pace."""
NEW = 0.5
"""How often another process begins in the end, though one lives."""
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
    """A replay that was begun, when (virtual time), and how far the journal had come then."""

    replay: Replay
    head_seq: int
    at_s: float = 0.0


@dataclass
class Late:
    """When the late destination began: how far the journal had come, and from when it wants what is there, if ever."""

    head_seq: int
    from_ms: int | None


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
        self._kind = kind(seed)
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
        """Every configuration that was in force, by revision."""
        self.late: Late | None = None
        self.setup = setup(seed, self.configured)
        self.cut_s: list[float] = []
        self.reloaded_s: list[float] = []
        """When an operator or retention changed what a lane had in its hands."""
        self.away_s: list[float] = []
        """When the journal went away, and when it came back."""
        self.handled: set[int] = set()
        """Lanes that an operator ever paused, skipped or ended."""
        self.kept = False
        """Whether something was removed that the promises would look at."""
        self._groups = self._floods = 0
        self._chance = SeededChance(seed)

    async def run(self) -> None:
        """Trouble first, then peace until nothing is left to do."""
        await self.journal.open()
        await self.journal.register(self.configured.specs())
        if LOOKUP in self.setup.destinations:
            await self.journal.register([LaneSpec(LOOKED_UP, LOOKUP)])
        self._start()
        if self._kind is Kind.CROWDED:
            await asyncio.sleep(BEGUN_S)
        for place in range(turns(self._seed)):
            if place not in self._without:
                self.rng = random.Random(f"{self._seed} {place}")
                await self._turn(place)
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

    async def _turn(self, place: int) -> None:
        """What happens next, and a while in which it has its effects."""
        steps, waits_s = self._anything(), [0.0, 0.05, 0.3, 1.0, 15.0]
        if self._kind is Kind.CROWDED:
            steps, waits_s = [(self._flood, self._one_more, self._flood, self._replay)[place % 4]], [0.3, 0.3, 4.0]
        elif self._kind is Kind.FAILING:
            steps, waits_s = [(self._flood, self._outage, self._events, self._outage)[place % 4]], [4.0, 15.0, 15.0]
        await self.rng.choice(steps)()
        await asyncio.sleep(self.rng.choice(waits_s))

    def _anything(self) -> list[Callable[[], Awaitable[None]]]:
        return [
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

    async def _events(self) -> None:
        """A group of events, some of them offered before."""
        await self._append([self._offer(self.rng.randint(1, 40)) for _ in range(self.rng.choice([1, 1, 2, 6]))])

    async def _flood(self) -> None:
        """Many plain events at once, of as many entities: more than an account may send in seconds."""
        self._floods += 1
        first = self._floods * FLOOD
        await self._append([self._offered(SOURCES[-1], {"key": f"k{n}", "n": n}) for n in range(first, first + FLOOD)])

    async def _append(self, offers: list[Offer]) -> None:
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

    def _now_ms(self) -> int:
        return START_MS + int(asyncio.get_running_loop().time() * 1000)

    def _offer(self, n: int) -> Offer:
        body: dict[str, Any] = {"key": f"k{n % 5}", "n": n}
        if n % 11 == 0 or n % 14 == 0:
            body["poison"] = True
        if n % 13 == 0:
            body["unmappable"] = True
        if n % 3 == 0:
            body["held"] = True
        if n % 7 == 0:
            body["channels"] = ["one", "two"]
        return self._offered(self.rng.choice(SOURCES), body)

    def _offered(self, source: str, body: dict[str, Any]) -> Offer:
        n = body["n"]
        body["updated_at"] = f"2026-03-01T09:{n * 7 % 60:02}:00Z"
        identity = (source.encode() + n.to_bytes(2, "big")).ljust(16, b"\0")
        return Offer(
            source=source,
            topic="thing/update" if n % 17 else "thing/ignored",
            received_at_ms=self._now_ms(),
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

    async def _outage(self) -> None:
        """All vendors fail, or all are well again."""
        made = [self.world.sites[name] for name in sites(self.setup)]
        mood = self.rng.choice(OUTAGES) if all(site.mood == "well" for site in made) else "well"
        for site in made:
            site.mood = mood

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
        self.away_s.append(asyncio.get_running_loop().time())
        asyncio.get_running_loop().call_later(self.rng.choice([0.1, 5.0]), self._back)

    def _back(self) -> None:
        self.weather.journal_away = False
        self.away_s.append(asyncio.get_running_loop().time())

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
                self.handled.add(lane.id)
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
        self.replays[replay.id] = Again(replay, head.seq, asyncio.get_running_loop().time())
        lanes = [
            LaneSpec(source, to, replay.id, first, last)
            for source in self.rng.sample(SOURCES, self.rng.randint(1, len(SOURCES)))
            for to in self.rng.sample(sorted(self.configured.names.values()), self.rng.randint(1, 2))
        ]
        await self.journal.replay(replay, lanes, Operation(START_MS, "simulation", "replay", replay.id))

    async def _reload(self) -> None:
        """Another configuration: a destination is gone or back, has another name, another account or other wishes; or
        there is one more, which may want the past.
        """
        now, site = self.configured, self.rng.choice(sorted(DESTINATIONS if self.late is None else ACCOUNTS))
        what = self.rng.choice(["gone", "name", "account", "coalesce", "stale", "more", "more"])
        newer = replace(now, revision=now.revision + 1)
        if what == "more":
            await self._one_more()
            return
        if what == "name":
            name = f"{site}-{newer.revision}"
            newer = replace(
                newer, names=now.names | {site: name}, was=now.was | {site: (*now.was.get(site, ()), now.names[site])}
            )
        elif what == "account":
            newer = replace(newer, accounts=now.accounts | {site: f"{ACCOUNTS[site]}x{newer.revision}"})
        else:
            newer = replace(newer, **{what: getattr(now, what) ^ {site}})
        await self._apply(newer)

    async def _one_more(self) -> None:
        """The late destination is there from now on."""
        now = self.configured
        start = now.start or self._start_of_late()
        newer = replace(now, revision=now.revision + 1, gone=now.gone - {LATE}, start=start)
        await self._apply(newer)

    def _start_of_late(self) -> str:
        """From when the late destination wants events."""
        at_ms = self._now_ms() - self.rng.randint(0, 30_000)
        at = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
        return self.rng.choice(["now", "beginning", "beginning", at, at])

    async def _register(self, newer: Configured) -> None:
        """Its lanes begin, those of the late destination with the past that it asks for."""
        head, clock = await self.journal.head(), VirtualClock(asyncio.get_running_loop())
        specs = []
        for spec in newer.specs():
            start = newer.start if site_of(spec.destination) == LATE else "now"
            specs.append(await with_past(self.journal, spec, start, clock, self._chance))
            past = specs[-1].backfill
            if past is not None:
                self.replays[past.id] = Again(past, head.seq, asyncio.get_running_loop().time())
        if self.late is None and LATE not in newer.gone:
            at = None if newer.start in ("now", "beginning") else datetime.fromisoformat(newer.start)
            from_ms = int(at.timestamp() * 1000) if at else 0 if newer.start == "beginning" else None
            self.late = Late(head.seq, from_ms)
        await self.journal.register(specs)

    async def _apply(self, newer: Configured, *, at_once: bool = False) -> None:
        """Its lanes are registered, and each process hears of it, at once or later."""
        await self._register(newer)
        self.configured, self.setup = newer, setup(self._seed, newer)
        self.ever.append(newer)
        loop = asyncio.get_running_loop()
        self.reloaded_s.append(loop.time())
        for process in self.processes:
            wait_s = 0.0 if at_once else self.rng.choice([0.0, 0.3, 2.0, 20.0])
            loop.call_later(wait_s, process.told, self.setup)

    async def _keep(self) -> None:
        """What is old goes."""
        self.kept = True
        self.cut_s.append(asyncio.get_running_loop().time())
        now_ms = self._now_ms()
        keep_ms = self.rng.choice([5_000, 30_000])
        rules = Keep(now_ms, keep_ms, self.rng.choice([60_000, YEAR_MS]), WINDOW_MS, keep_ms, YEAR_MS)
        for _ in range(SLICES):
            if not (await self.journal.keep(rules)).more:
                return

    # --- peace --------------------------------------------------------------------------------------------------

    async def _peace(self) -> None:
        """No more trouble: whatever can be dealt with is."""
        await self._mend()
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

    async def _mend(self) -> None:
        """Everything is well from now on."""
        self.weather.journal_away = False
        for site in self.world.sites.values():
            site.mood = "well"
        for process in self.processes:
            process.thaw()
            process.jump(0)
        now, gone = self.configured, frozenset() if self.late is not None else frozenset({LATE})
        if now.gone != gone:
            await self._apply(replace(now, revision=now.revision + 1, gone=gone), at_once=True)
        for process in self.processes:
            process.told(self.setup)
        for lane in await self.journal.lanes():
            what = "resume" if lane.destination in self.setup.destinations else "end"
            if not lane.ended and (lane.paused or what == "end"):
                await self.journal.change_lane(lane.id, Operation(START_MS, "simulation", what, ""))
        if self.rng.random() < NEW or all(process.is_mortal() for process in self.processes):
            self._start()

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
        process.heard = [(asyncio.get_running_loop().time(), self.setup.revision)]
        self.processes.append(process)
        self.tasks.append(asyncio.create_task(dispatcher.run()))


def _is_through(lane: Lane) -> bool:
    """Whether a replay has come to its end; a live lane has none."""
    return lane.end_seq is None or lane.ended or lane.cursor >= lane.end_seq


def turns(seed: int) -> int:
    """How many turns the history of a seed has."""
    least, most = {Kind.SMALL: (1, 3), Kind.LONG: (2, 10)}.get(kind(seed), (3, 6))
    return random.Random(seed).randint(least, most)
