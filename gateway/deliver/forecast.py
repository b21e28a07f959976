"""What a replay would come to: events, records, old states, and how long its vendors would take. Nothing is written.

The log is read and planned once as the dispatcher would: the figures are exact for the configuration in force and for
what the journal holds now.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from msgspec import Struct

from gateway.deliver.plan import Destination, Planned, Setup
from gateway.deliver.replay import Meaning, Newest
from gateway.deliver.selection import PAGE_EVENTS, Chosen
from gateway.deliver.windows import RESERVE
from gateway.journal.base import Journal
from gateway.model import Event, LaneSpec, NormalEvent
from gateway.vendors.base import BatchRules, Limit, Record

SLICE = 10
"""Events between two looks at everything else."""

Tell = Callable[[int, int], None]
"""Hears how far the reading is: seqs that are done, of how many."""


class Load(Struct, frozen=True):
    """Requests of one kind: what they count on."""

    key: str
    channel: str
    cost: str
    requests: int


class LaneForecast(Struct, frozen=True):
    """What a replay comes to on one lane: `records` would be sent, `superseded` are old states, `dead` cannot be sent;
    an event that becomes none of them is `filtered`.
    """

    source: str
    destination: str
    events: int
    records: int
    superseded: int
    dead: int
    filtered: int
    seconds: float


class Forecast(Struct, frozen=True):
    """The whole: `events` are different ones, however many lanes mean them. `seconds`: at the vendors' full pace, while
    nothing else is waiting. `whole`: everything was counted; else the figures are those of the first events.
    """

    events: int
    records: int
    superseded: int
    dead: int
    seconds: float
    lanes: tuple[LaneForecast, ...]
    whole: bool = True


async def forecast(
    journal: Journal, setup: Setup, chosen: Chosen, tell: Tell | None = None, events_max: int | None = None
) -> Forecast:
    """Count what a replay would do. `events_max`: stop after planning so many events."""
    head_seq = (await journal.head()).seq
    tallies: list[_Tally] = []
    counting = _Counting(journal, setup, head_seq, tell, events_max)
    try:
        for source, specs in groupby(sorted(chosen.lanes, key=_source), key=_source):
            mine = [_Tally(chosen, spec, setup.destinations[spec.destination]) for spec in specs]
            tallies += mine
            await counting.count(source, mine)
        lanes = [tally.result() for tally in tallies]
        loads = [(tally.destination, tally.loads()) for tally in tallies]
    finally:
        for tally in tallies:
            tally.close()
    return Forecast(
        events=counting.events,
        records=sum(lane.records for lane in lanes),
        superseded=sum(lane.superseded for lane in lanes),
        dead=sum(lane.dead for lane in lanes),
        seconds=max(_by_account(loads), default=0.0),
        lanes=tuple(lanes),
        whole=counting.whole,
    )


def seconds_at_pace(limits: Sequence[Limit], loads: Sequence[Load]) -> float:
    """How long an account takes for these requests: as long as its tightest limit. 0 where it declares none."""
    longest_s = 0.0
    for limit in limits:
        units: defaultdict[str, float] = defaultdict(float)
        for load in loads:
            if limit.classes is None or load.cost in limit.classes:
                place = {"channel": load.channel, "key": load.key}.get(limit.scope, "")
                units[place] += load.requests * (limit.cost or {}).get(load.cost, 1.0)
        worst = max(units.values(), default=0.0)
        longest_s = max(longest_s, worst * limit.per_s / limit.allow * (1 + RESERVE))
    return round(longest_s, 1)


def requests_for(rules: BatchRules, records: int, size_bytes: int, *, alone: bool) -> int:
    """How many requests carry so many records of one channel, in full batches."""
    by_number = -(-records // (1 if alone else rules.records))
    return max(by_number, -(-size_bytes // rules.body_bytes)) if records else 0


class _Counting:
    """One pass over the log of each source."""

    def __init__(
        self, journal: Journal, setup: Setup, head_seq: int, tell: Tell | None, events_max: int | None
    ) -> None:
        self._journal = journal
        self._planner = setup.planner
        self._head_seq = head_seq
        self._tell = tell or (lambda _done, _total: None)
        self._left = events_max
        self.events = 0
        self.whole = True

    async def count(self, source: str, tallies: "Sequence[_Tally]") -> None:
        """Everything from where the first lane of the source begins: to the head, where a newer state may be."""
        start_seq = after_seq = min(tally.start_seq for tally in tallies)
        end_seq = max(tally.end_seq if tally.sends_all else self._head_seq for tally in tallies)
        while after_seq < end_seq and self.whole:
            page = await self._journal.read(after_seq, sources=(source,), limit=PAGE_EVENTS)
            await self._page([event for event in page.events if event.seq <= end_seq], tallies)
            after_seq = page.read_to
            self._tell(min(after_seq, end_seq) - start_seq, end_seq - start_seq)

    async def _page(self, events: Sequence[Event], tallies: "Sequence[_Tally]") -> None:
        for place, event in enumerate(events):
            if self._left is not None and self._left <= 0:
                self.whole = False
                return
            if place % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            self.events += sum(self._plan(event, tally) for tally in tallies) > 0
            self._left = self._left - 1 if self._left is not None else None

    def _plan(self, event: Event, tally: "_Tally") -> bool:
        """Plan an event for one lane; whether it is meant there."""
        means = tally.meaning.means(event)
        if means or not tally.sends_all:
            whole = self._planner.plan(event, tally.destination, lane=0)
            if not tally.sends_all:
                tally.note(whole.records)
        if not means:
            return False
        wanted = (whole, True) if tally.meaning.wants_all else self._wanted(event, tally)
        if wanted[1]:
            tally.mean(wanted[0])
        return wanted[1]

    def _wanted(self, event: Event, tally: "_Tally") -> tuple[Planned, bool]:
        """What becomes of those normal forms that are meant, and whether there are any."""
        seen = False

        def only(normal: NormalEvent) -> bool:
            nonlocal seen
            wanted = tally.meaning.wants(normal)
            seen |= wanted
            return wanted

        planned = self._planner.plan(event, tally.destination, lane=0, only=only)
        return planned, seen or bool(planned.deaths)


class _Tally(Newest):
    """The books of one lane: what is meant, and the newest state of each key; in bounded memory."""

    def __init__(self, chosen: Chosen, spec: LaneSpec, destination: Destination) -> None:
        super().__init__()
        self.destination = destination
        self.meaning = Meaning(chosen.replay, spec.source, spec.destination)
        self.sends_all = chosen.replay.every_state
        self.start_seq, self.end_seq = spec.start_seq or 0, spec.end_seq or 0
        self._source = spec.source
        self._events = self._deaths = self._filtered = 0
        self._db.execute(
            "CREATE TABLE meant (key BLOB, seq INTEGER, channel TEXT, cost TEXT, alone INTEGER, size INTEGER)"
        )

    def mean(self, planned: Planned) -> None:
        """An event that is meant, and what it becomes."""
        self._events += 1
        self._deaths += len(planned.deaths)
        self._filtered += not (planned.records or planned.deaths)
        self._db.executemany("INSERT INTO meant VALUES (?, ?, ?, ?, ?, ?)", map(_row, planned.records))

    def loads(self) -> list[Load]:
        """The requests that carry what would be sent."""
        rows = self._db.execute(
            "SELECT channel, cost, alone, count(*), sum(size) FROM meant LEFT JOIN newest USING (key)"
            " WHERE coalesce(newest.seq, 0) <= meant.seq GROUP BY 1, 2, 3"
        )
        rules, key = self.destination.rules, self.destination.key
        return [
            Load(key, channel, cost, requests_for(rules, count, size, alone=bool(alone)))
            for channel, cost, alone, count, size in rows
        ]

    def result(self) -> LaneForecast:
        """The figures."""
        (records, old) = self._db.execute(
            "SELECT count(*), coalesce(sum(newest.seq > meant.seq), 0) FROM meant LEFT JOIN newest USING (key)"
        ).fetchone()
        return LaneForecast(
            source=self._source,
            destination=self.destination.name,
            events=self._events,
            records=records - old,
            superseded=old,
            dead=self._deaths,
            filtered=self._filtered,
            seconds=seconds_at_pace(self.destination.limits, self.loads()),
        )


def _row(record: Record) -> tuple[bytes | None, int, str, str, bool, int]:
    """A fact has no key here: each counts."""
    draft = record.draft
    key = draft.key_hash if draft.kind == "state" else None
    return (key, record.seq, draft.channel, draft.cost, draft.alone, len(record.encoded))


def _by_account(loads: Iterable[tuple[Destination, list[Load]]]) -> list[float]:
    """The seconds of each account, for all that its destinations would send."""
    accounts: dict[str, tuple[Sequence[Limit], list[Load]]] = {}
    for destination, mine in loads:
        accounts.setdefault(destination.account, (destination.limits, []))[1].extend(mine)
    return [seconds_at_pace(limits, all_of_it) for limits, all_of_it in accounts.values()]


def _source(spec: LaneSpec) -> str:
    return spec.source
