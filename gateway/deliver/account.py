"""One account: what is sent next, and what comes of it. Pure: no I/O, no clock of its own; `now` comes in.

The account is the unit of work of a dispatcher: its pace, its gate, and the lanes of all its destinations. A batch is
filled across the lanes of one destination, each record from the lane that has had the least of its share so far.
No two records of one key are in flight at once over all lanes of a destination.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from math import ceil

from msgspec import Struct

from gateway.clock import Chance
from gateway.deliver.gate import Gate
from gateway.deliver.lane import LaneWork
from gateway.deliver.pace import Pace
from gateway.deliver.plan import Destination
from gateway.deliver.settle import Tried
from gateway.errors import Reason
from gateway.model import Lane, Lease, Settlement
from gateway.vendors.base import (
    Answer,
    Batch,
    BatchRules,
    Delivered,
    Outcome,
    Record,
    Refused,
    Retry,
    Split,
    Suspended,
    Throttled,
    Verdict,
)

CONCURRENCY = 8
"""Requests in flight to an account without limits, unless the configuration says otherwise."""
CONCURRENCY_MAX = 256
LATENCY_S = 2.5
"""A paced account may have as many requests in flight as it may send in this time."""
CHANNEL_REST_S = 1.0
"""A channel that rests longer than this has its records parked, so that the others pass."""
ENOUGH_BATCHES = 3
ENOUGH_RECORDS = 64


class Now(Struct, frozen=True):
    """The two clocks at one moment."""

    ms: int
    s: float


class News(Struct, frozen=True):
    """What a finished batch means beyond its records: the account's standing changed. `what` is the log event."""

    what: str
    reason: str = ""
    detail: str = ""
    for_s: float = 0.0


class Queue:
    """The records of one destination that wait to be sent, by channel and lane, and the keys that are taken.

    `count(lane, change)` hears of every record that could be sent (+1) or no longer can (-1). `behind(record, now)`
    says whether a record must wait in the journal behind another of its key, and sees to it.
    """

    def __init__(
        self, destination: Destination, count: Callable[[int, int], None], behind: Callable[[Record, Now], bool]
    ) -> None:
        self.destination = destination
        self._behind = behind
        self.splits: deque[Batch] = deque()
        self.split_in_flight: Batch | None = None
        self._count = count
        self._channels: dict[str, dict[int, deque[Record]]] = {}
        self._taken: set[bytes] = set()
        self._waiting: dict[bytes, deque[Record]] = {}
        self._ordered = destination.settings.order == "entity"
        self._since_s: dict[str, float] = {}

    def put(self, record: Record, *, first: bool = False) -> None:
        """A record joins its lane's queue: at its end, or first (a retry, or one given back)."""
        lanes = self._channels.setdefault(record.draft.channel, {})
        queue = lanes.setdefault(record.lane, deque())
        if first:
            queue.appendleft(record)
        else:
            queue.append(record)
        self._count(record.lane, 1)

    def channels(self) -> Iterable[str]:
        """The channels that have records."""
        return [channel for channel, lanes in self._channels.items() if lanes]

    def heads(self, channel: str, now: Now) -> list[int]:
        """The lanes with a record of this channel that may be sent now. What waits for its key steps aside."""
        lanes = self._channels.get(channel, {})
        ready = [lane for lane in lanes if self.peek(channel, lane, now) is not None]
        for lane in [lane for lane, queue in lanes.items() if not queue]:
            del lanes[lane]
        return ready

    def peek(self, channel: str, lane: int, now: Now) -> Record | None:
        """The next record of a lane, once what waits for its key has stepped aside."""
        queue = self._channels[channel][lane]
        while queue and self._ordered and self._steps_aside(queue[0], now):
            queue.popleft()
            self._count(lane, -1)
        return queue[0] if queue else None

    def _steps_aside(self, record: Record, now: Now) -> bool:
        """Whether a record of its key is in flight, or parked before it."""
        key = record.draft.key_hash
        if key in self._taken:
            self._waiting.setdefault(key, deque()).append(record)
            return True
        return self._behind(record, now)

    def head(self, channel: str, lane: int) -> Record:
        """The next record of a lane that `heads` named."""
        return self._channels[channel][lane][0]

    def full_s(self, channel: str, now_s: float) -> float:
        """When the channel's batch leaves: now if it is full, or has lingered; else when it has."""
        rules = self.destination.rules
        since_s = self._since_s.setdefault(channel, now_s)
        if sum(len(queue) for queue in self._channels[channel].values()) >= rules.records:
            return now_s
        return max(now_s, since_s + rules.linger_s)

    def pop(self, channel: str, lane: int) -> Record:
        """Take the record that `peek` gave."""
        self._count(lane, -1)
        return self._channels[channel][lane].popleft()

    def clear(self, channel: str) -> list[Record]:
        """Take every record of a channel that is not in flight, those too that wait for their key."""
        taken = [record for queue in self._channels.pop(channel, {}).values() for record in queue]
        for record in taken:
            self._count(record.lane, -1)
        for key, waiting in list(self._waiting.items()):
            if waiting[0].draft.channel == channel:
                taken.extend(self._waiting.pop(key))
        return taken

    def leave(self, batch: Batch) -> None:
        """The batch is sent: its keys are in flight, and what is left of its channel lingers anew."""
        self._since_s.pop(batch.channel, None)
        self.take(batch.records)

    def take(self, records: Iterable[Record]) -> None:
        """Nothing else of these records' keys may be sent."""
        if self._ordered:
            self._taken.update(record.draft.key_hash for record in records)

    def release(self, batch: Batch) -> None:
        """The keys of this batch are free again, but for those of halves that still have to go: what waited for them
        comes first.
        """
        if self.split_in_flight is batch:
            self.split_in_flight = None
        if not self._ordered:
            return
        keys = {record.draft.key_hash for record in batch.records}
        keys -= {record.draft.key_hash for half in self.splits for record in half.records}
        for key in keys:
            self._taken.discard(key)
            for record in reversed(self._waiting.pop(key, ())):
                self.put(record, first=True)

    def halve(self, batch: Batch, records: Sequence[Record]) -> None:
        """Two halves go next, in order and one at a time; their keys stay taken until then."""
        middle = (len(records) + 1) // 2
        for half in (records[middle:], records[:middle]):
            if half:
                self.splits.appendleft(Batch(batch.destination, batch.channel, tuple(half), batch.sent_at_ms))
        self.take(records)

    def next_split(self) -> Batch | None:
        """The next half that has to go, unless one is in flight."""
        return self.splits[0] if self.splits and self.split_in_flight is None else None

    def send_split(self) -> Batch:
        """Take the half that `next_split` gave."""
        self.split_in_flight = self.splits.popleft()
        return self.split_in_flight


class Account:
    """Everything a dispatcher knows of an account while it holds the lease."""

    def __init__(self, name: str, lease: Lease, pace: Pace, gate: Gate, chance: Chance) -> None:
        self.name = name
        self.lease = lease
        self.pace = pace
        self.gate = gate
        self.in_flight = 0
        self.works: dict[int, LaneWork] = {}
        self._chance = chance
        self._queues: dict[str, Queue] = {}
        self._floor = 0.0

    # --- what is read -------------------------------------------------------------------------------------------

    def add(self, work: LaneWork) -> None:
        """A lane joins; it starts with no claim for the time before."""
        work.served = self._floor
        self.works[work.id] = work
        self._queues.setdefault(work.destination.name, Queue(work.destination, self._count, self._behind))

    def enough(self, work: LaneWork) -> int:
        """How many records a lane keeps queued: a few batches."""
        return max(ENOUGH_RECORDS, ENOUGH_BATCHES * work.destination.rules.records)

    def queue(self, work: LaneWork, records: Sequence[Record], now: Now) -> None:
        """Records of a newly planned event. Those of a channel that rests for long are parked until then."""
        for record in records:
            rest_s = self.gate.channel_opens_s((work.destination.name, record.draft.channel), now.s) - now.s
            if rest_s > CHANNEL_REST_S:
                work.rest(record, now.ms, now.ms + int(rest_s * 1000), Reason.BUSY)
                continue
            self._join(work, record)

    def retry(self, work: LaneWork, record: Record) -> None:
        """A parked record whose time has come: before the newly planned ones."""
        self._join(work, record, first=True)

    def _join(self, work: LaneWork, record: Record, *, first: bool = False) -> None:
        if not work.queued:
            work.served = max(work.served, self._floor)
        self._queues[work.destination.name].put(record, first=first)

    def _behind(self, record: Record, now: Now) -> bool:
        return self.works[record.lane].behind(record, now.ms)

    def _count(self, lane: int, change: int) -> None:
        self.works[lane].queued += change

    # --- what is sent -------------------------------------------------------------------------------------------

    def concurrency(self) -> int:
        """Requests in flight, at most."""
        if self.gate.probing():
            return 1
        told = [queue.destination.settings.concurrency for queue in self._queues.values()]
        rate = self.pace.rate_per_s()
        default = CONCURRENCY if rate is None else min(CONCURRENCY_MAX, max(CONCURRENCY, ceil(rate * LATENCY_S)))
        return sum(one if one is not None else default for one in told) if told else default

    def next_batch(self, now: Now) -> Batch | float | None:
        """The batch that leaves now; or the monotonic time to ask again; or None: nothing to do until news."""
        if self.in_flight >= self.concurrency():
            return None
        opens_s = self.gate.opens_s(now.s)
        if opens_s > now.s:
            return opens_s
        again: list[float] = []
        for queue in self._by_need():
            found = self._of_queue(queue, now)
            if isinstance(found, Batch):
                return found
            if found is not None:
                again.append(found)
        return min(again) if again else None

    def _by_need(self) -> list[Queue]:
        """The destinations with work, that of the lane with the least of its share first."""
        need = {name: self._floor for name, queue in self._queues.items() if queue.splits}
        for work in self.works.values():
            if work.queued and not work.standing():
                name = work.destination.name
                need[name] = min(need.get(name, work.served), work.served)
        return [self._queues[name] for name in sorted(need, key=need.__getitem__)]

    def _of_queue(self, queue: Queue, now: Now) -> Batch | float | None:
        half = queue.next_split()
        if half is not None:
            at_s = max(
                self._allowed_s(half.records[0], now),
                self.gate.channel_opens_s((half.destination, half.channel), now.s),
            )
            return self._leave(queue, queue.send_split(), now) if at_s <= now.s else at_s
        again: list[float] = []
        for channel, heads in self._by_age(queue, now):
            rest_s = self.gate.channel_opens_s((queue.destination.name, channel), now.s)
            at_s = max(self._allowed_s(queue.head(channel, heads[0]), now), queue.full_s(channel, now.s), rest_s)
            if at_s <= now.s:
                return self._leave(queue, self._fill(queue, channel, heads, now), now)
            again.append(at_s)
        return min(again) if again else None

    def _by_age(self, queue: Queue, now: Now) -> list[tuple[str, list[int]]]:
        """The channels with something to send, and the lanes that have it; first that of the lane with the least of its
        share, and of a lane's channels that of its oldest record.
        """
        found = []
        for channel in queue.channels():
            heads = [lane for lane in queue.heads(channel, now) if not self.works[lane].standing()]
            if heads:
                need = min((self.works[lane].served, queue.head(channel, lane).seq) for lane in heads)
                found.append((need, channel, heads))
        return [(channel, heads) for _, channel, heads in sorted(found)]

    def _allowed_s(self, record: Record, now: Now) -> float:
        key = self.works[record.lane].destination.key
        return self.pace.next_s(now.s, record.draft.cost, record.draft.channel, key)

    def _fill(self, queue: Queue, channel: str, lanes: Sequence[int], now: Now) -> Batch:
        """A batch from these lanes, each record from the lane with the least of its share."""
        rules = queue.destination.rules
        most = 1 if self.gate.probing() else rules.records
        records: list[Record] = []
        keys: set[bytes] = set()
        size = 2
        heap = [(self.works[lane].served, lane) for lane in lanes]
        heapq.heapify(heap)
        while heap and len(records) < most:
            _, lane = heapq.heappop(heap)
            record = queue.peek(channel, lane, now)
            if record is None:
                continue
            if records and not _together(records[0], record, size, rules):
                break
            if rules.one_per_key and record.draft.key_hash in keys:
                continue
            keys.add(record.draft.key_hash)
            records.append(queue.pop(channel, lane))
            size += record.size + 1
            heapq.heappush(heap, (self._serve(lane), lane))
        return Batch(queue.destination.name, channel, tuple(records), now.ms)

    def _serve(self, lane: int) -> float:
        work = self.works[lane]
        self._floor = max(self._floor, work.served)
        work.served += 1 / work.destination.settings.weight
        return work.served

    def _leave(self, queue: Queue, batch: Batch, now: Now) -> Batch:
        queue.leave(batch)
        self.pace.spend(now.s, batch.records[0].draft.cost, batch.channel, queue.destination.key)
        self.in_flight += 1
        return batch

    # --- what comes of it ---------------------------------------------------------------------------------------

    def finished(self, batch: Batch, answer: Answer, verdict: Verdict, latency_s: float, now: Now) -> tuple[News, ...]:
        """A batch is answered: every record gets its outcome, the gate and the pace learn from it."""
        self.in_flight -= 1
        queue = self._queues[batch.destination]
        refused = any(isinstance(one, Throttled) and one.reason is Reason.RATE_LIMITED for one in verdict.outcomes)
        self.pace.answered(now.s, latency_s, refused=refused)
        news = self._gate_learns(batch, verdict, now)
        tried = self._tried(answer, latency_s, now)
        queue.release(batch)
        back: list[Record] = []
        split: list[Record] = []
        for record, outcome in zip(batch.records, verdict.outcomes, strict=True):
            if isinstance(outcome, Split) and len(batch.records) > 1:
                split.append(record)
            elif isinstance(outcome, Throttled | Suspended):
                self._stopped(record, outcome, back, now)
            else:
                self._booked(record, outcome, tried)
        for record in reversed(back):
            queue.put(record, first=True)
        if split:
            queue.halve(batch, split)
        for one in {one for one in verdict.outcomes if isinstance(one, Throttled) and one.scope == "channel"}:
            self._rest_channel(queue, batch.channel, one.reason, now)
        return news

    def _booked(self, record: Record, outcome: Outcome, tried: Tried) -> None:
        work = self.works[record.lane]
        if isinstance(outcome, Delivered):
            work.delivered(record, outcome, tried)
        elif isinstance(outcome, Retry | Refused | Split):
            work.failed(record, outcome, tried)

    def _stopped(self, record: Record, outcome: Throttled | Suspended, back: list[Record], now: Now) -> None:
        """Nothing is wrong with the record: it goes back, or is parked where only its channel rests for long."""
        work = self.works[record.lane]
        rest_s = self.gate.channel_opens_s((work.destination.name, record.draft.channel), now.s) - now.s
        if isinstance(outcome, Throttled) and outcome.scope == "channel" and rest_s > CHANNEL_REST_S:
            work.rest(record, now.ms, now.ms + int(rest_s * 1000), outcome.reason)
        else:
            back.append(record)

    def _rest_channel(self, queue: Queue, channel: str, reason: Reason, now: Now) -> None:
        """A channel rests for long: its queued records wait in the journal, so that those of others are read."""
        rest_s = self.gate.channel_opens_s((queue.destination.name, channel), now.s) - now.s
        if rest_s > CHANNEL_REST_S:
            for record in queue.clear(channel):
                self.works[record.lane].rest(record, now.ms, now.ms + int(rest_s * 1000), reason)

    def _gate_learns(self, batch: Batch, verdict: Verdict, now: Now) -> tuple[News, ...]:
        news: list[News] = []
        outcomes = verdict.outcomes
        for outcome in {*outcomes, *([verdict.ease] if verdict.ease else [])}:
            if isinstance(outcome, Throttled):
                for_s = self.gate.throttle(outcome, (batch.destination, batch.channel), now.s)
                news.append(News("account.throttled", outcome.reason, outcome.detail, for_s))
            elif isinstance(outcome, Suspended) and self.gate.suspend(outcome, now.s):
                news.append(News("account.suspended", outcome.reason, outcome.detail))
        first = outcomes[0]
        if all(isinstance(one, Retry) for one in outcomes) and isinstance(first, Retry):
            if self.gate.failed(first.reason, first.detail, now.s):
                for_s = self.gate.opens_s(now.s) - now.s
                news.append(News("breaker.opened", first.reason, first.detail, for_s))
        elif not any(isinstance(one, Suspended | Throttled) for one in outcomes):
            suspended = self.gate.suspended()
            if self.gate.succeeded(now.s):
                news.append(News("account.resumed" if suspended else "breaker.closed"))
        return tuple(news)

    def _tried(self, answer: Answer, latency_s: float, now: Now) -> Tried:
        return Tried(
            at_ms=now.ms,
            latency_ms=int(latency_s * 1000),
            answer=answer,
            jitter=self._chance.uniform(0.0, 1.0),
            stopped_ms=int(self.gate.stopped_s(now.s) * 1000),
        )

    # --- what is due, what is settled ---------------------------------------------------------------------------

    def due(self, work: LaneWork, now: Now, limit: int) -> list[tuple[int, str]]:
        """A lane's parked rows whose time has come; they are taken. None while the account or the lane stands still."""
        room = min(limit, self.enough(work) - work.queued)
        if room <= 0 or work.standing() or self.gate.opens_s(now.s) > now.s:
            return []
        return work.parked.take_due(now.ms, room)

    def next_due_ms(self, now: Now) -> int | None:
        """When the next parked row is due, of the lanes that could take one."""
        able = [work for work in self.works.values() if not work.standing() and work.queued < self.enough(work)]
        times = [work.parked.next_due_ms(now.ms) for work in able]
        return min((at_ms for at_ms in times if at_ms is not None), default=None)

    def settlement(self, at_ms: int) -> Settlement | None:
        """One settle over all lanes that have something to say, or None."""
        parts = (work.settlement() for work in self.works.values())
        lanes = tuple(part for part in parts if part is not None)
        return Settlement(self.lease, at_ms, lanes) if lanes else None

    def settled(self, lanes: Iterable[Lane]) -> None:
        """The settle is in the journal."""
        for lane in lanes:
            self.works[lane.id].settled(lane)

    def dirty(self) -> bool:
        """Whether outcomes wait for a settle."""
        return any(work.dirty() for work in self.works.values())


def _together(first: Record, record: Record, size: int, rules: BatchRules) -> bool:
    """Whether a record may join a batch that began with `first` and has `size` bytes."""
    fits = size + record.size + 1 <= rules.body_bytes
    return fits and not (first.draft.alone or record.draft.alone) and record.draft.cost == first.draft.cost
