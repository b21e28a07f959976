"""One account: what is sent next, and what comes of it. Pure: no I/O, no clock of its own; `now` comes in.

The account is the unit of work of a dispatcher: its pace, its gate, and the lanes of all its destinations. A batch is
filled across the lanes of one destination, each record from the lane that has had the least of its share so far.
No two records of one key are in flight at once over all lanes of a destination.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from math import ceil

from msgspec.structs import replace

from gateway.clock import Chance
from gateway.deliver import ahead
from gateway.deliver.cut_off import CutOff, Found
from gateway.deliver.drops import Asking, Drop, Drops
from gateway.deliver.gate import Gate
from gateway.deliver.intent import step_of
from gateway.deliver.lane import LaneWork
from gateway.deliver.lessons import News, Trouble, learn, trouble
from gateway.deliver.newer import Versions
from gateway.deliver.pace import Departure, Pace
from gateway.deliver.plan import Destination, Planned
from gateway.deliver.queue import Now, Queue
from gateway.deliver.settle import Tried
from gateway.deliver.shares import Shares
from gateway.deliver.still import Still
from gateway.errors import Reason
from gateway.model import Intent, Lane, Lease, Settlement
from gateway.vendors.base import (
    Answer,
    Batch,
    Delivered,
    DroppingVendor,
    Failure,
    Record,
    Refused,
    Response,
    Retry,
    Split,
    Step,
    Superseded,
    Suspended,
    Throttled,
    Verdict,
)

CONCURRENCY = 8
"""Requests in flight to an account without limits, unless the configuration says otherwise."""
CONCURRENCY_MAX = 512
LATENCY_S = 2.5
"""A paced account may have as many requests in flight as it may send in this time."""
CHANNEL_REST_S = 1.0
"""A channel that rests longer than this has its records parked, so that the others pass."""
TROUBLES = 3
"""What went wrong lately that is remembered, for those who look on."""
TOO_MANY_REQUESTS = 429


class Account:
    """Everything a dispatcher knows of an account while it holds the lease."""

    def __init__(
        self, name: str, lease: Lease, pace: Pace, gate: Gate, chance: Chance, drops: Drops | None = None
    ) -> None:
        self.name = name
        self.lease = lease
        self.pace = pace
        self.gate = gate
        self.in_flight = 0
        self.troubles: deque[Trouble] = deque(maxlen=TROUBLES)
        self.drops = drops or Drops()
        self._tells_drops: tuple[Destination, DroppingVendor] | None = None
        self.reading = ""
        """The destination of which a page is being planned: of it only full batches leave until that is done."""
        self.works: dict[int, LaneWork] = {}
        self._chance = chance
        self._planned: dict[int, Departure] = {}
        self._queues: dict[str, Queue] = {}
        self._most = self._concurrency()
        self._still = Still()
        self._versions: dict[str, Versions] = {}
        self._shares = Shares()
        self._cut_off = CutOff()
        self._steps: dict[str, Step | None] = {}
        self._intents_done: list[bytes] = []
        self._over: dict[int, int] = {}

    # --- what is read -------------------------------------------------------------------------------------------

    def add(self, work: LaneWork) -> None:
        """A lane joins."""
        self.works[work.id] = work
        name = work.destination.name
        if name not in self._queues:
            self._serves(work.destination)
        work.versions = self._versions.setdefault(name, work.versions)

    def _serves(self, destination: Destination) -> None:
        """A destination has its first lane here."""
        self._queues[destination.name] = Queue(destination, self._count, self._withheld, self._supersede)
        self._most = self._concurrency()
        self._still.add(destination)
        if self._tells_drops is None and isinstance(destination.vendor, DroppingVendor):
            self._tells_drops = (destination, destination.vendor)

    def destinations(self) -> list[Destination]:
        """The destinations that have a lane here."""
        return [queue.destination for queue in self._queues.values()]

    def enough(self, work: LaneWork) -> int:
        """How many records a lane keeps queued."""
        return ahead.enough(work, self._queues[work.destination.name], self._queues.values(), self._most)

    def take(self, work: LaneWork, planned: Sequence[tuple[int, Planned | None]], now: Now) -> None:
        """Events that a lane has read, by their seq, as what they are on it; None for one that was settled before."""
        self._note(work, planned)
        rest = self.gate.channels_rest(now.s)
        queued: list[Record] = []
        for seq, one in planned:
            if one is None:
                work.skip(seq)
            elif rest:
                self._queue(work, work.take(seq, one, now.ms), now)
            else:
                queued += work.take(seq, one, now.ms)
        if queued:
            self._queues[work.destination.name].extend(work.id, queued)

    def _note(self, work: LaneWork, planned: Sequence[tuple[int, Planned | None]]) -> None:
        """A lane has planned these: who has to know the newest states of its destination hears of them."""
        for other in self.works.values():
            its_own = other is work and work.again is not None
            if other.survey is not None and other.destination.name == work.destination.name and not its_own:
                other.survey.note([record for _, one in planned if one is not None for record in one.records])

    def _queue(self, work: LaneWork, records: Sequence[Record], now: Now) -> None:
        """Records of a newly planned event. Those whose channel rests for long are parked until then."""
        queue = self._queues[work.destination.name]
        for record in records:
            rest_s = self.gate.channel_opens_s((work.destination.name, record.draft.channel), now.s) - now.s
            if rest_s > CHANNEL_REST_S:
                work.rest(record, now.ms, now.ms + int(rest_s * 1000), Reason.BUSY)
            else:
                queue.put(record)

    def retry(self, work: LaneWork, record: Record) -> None:
        """A parked record whose time has come: before the newly planned ones."""
        self._queues[work.destination.name].put(record, first=True)

    def _withheld(self, record: Record, now: Now) -> bool:
        return self.works[record.lane].withheld(record, now.ms)

    def _supersede(self, record: Record) -> None:
        self.works[record.lane].supersede(record)

    def _count(self, lane: int, change: int) -> None:
        self.works[lane].queued += change

    # --- what a crash cut off ------------------------------------------------------------------------------------

    def resume(self, intent: Intent) -> None:
        """A batch that a crash cut off: it goes before all others, once its lanes have come to its members."""
        self._cut_off.add(intent)
        for lane, seq, part in intent.members:
            if lane in self.works:
                self.works[lane].hold((seq, part))

    def step_of(self, batch: Batch) -> Step | None:
        """Where a call of several requests was cut off, the first time it is asked."""
        return self._steps.pop(batch.key, None) if self._steps else None

    def intent_done(self, batch: Batch) -> None:
        """The next settle ends the batch's intent."""
        self._intents_done.append(bytes.fromhex(batch.key))

    def _cut_off_batch(self, now: Now) -> Batch | None:
        """The next batch that was cut off and may go on. One that must not go twice is dead: nobody can say."""
        for found in self._cut_off.ready(self.works, self._still):
            batch = found.again
            if batch is None:
                self._ambiguous(found, now)
            elif self._allowed_s(batch.records[0], now) <= now.s:
                self._cut_off.remove(found)
                self._steps[batch.key] = step_of(found.intent)
                return self._leave(self._queues[batch.destination], batch, now)
        return None

    def _ambiguous(self, found: Found, now: Now) -> None:
        outcome = Refused(Reason.AMBIGUOUS, f"the gateway was cut off while it was sent{found.why}")
        tried = Tried(now.ms, 0, Failure(Reason.AMBIGUOUS, outcome.detail), 0.0)
        for record in found.batch.records if found.batch else ():
            if record.lane in self.works and self.works[record.lane].expects(record):
                self.works[record.lane].failed(record, outcome, tried)
        for lane, seq, part in () if found.batch else found.intent.members:
            if lane in self.works:
                self.works[lane].lost((seq, part), outcome, tried)
        self._cut_off.remove(found)
        self._intents_done.append(found.intent.key)

    # --- what is sent -------------------------------------------------------------------------------------------

    def concurrency(self, now_s: float) -> int:
        """Requests in flight, at most. After a breaker they grow back."""
        return 1 if self.gate.probing() else max(1, int(self._most * self.gate.share(now_s)))

    def _concurrency(self) -> int:
        told = [queue.destination.settings.concurrency for queue in self._queues.values()]
        rate = self.pace.rate_per_s()
        default = CONCURRENCY if rate is None else min(CONCURRENCY_MAX, max(CONCURRENCY, ceil(rate * LATENCY_S)))
        return sum(one if one is not None else default for one in told) if told else default

    def next_batch(self, now: Now) -> Batch | float | None:
        """The batch that leaves now; or the monotonic time to ask again; or None: nothing to do until news."""
        if self._still.look(now):
            self.look(now)
        if self.in_flight >= self.concurrency(now.s):
            return None
        opens_s = self.gate.opens_s(now.s)
        if opens_s > now.s:
            return opens_s
        if self._cut_off and (batch := self._cut_off_batch(now)) is not None:
            return batch
        again = self._still.ends_s(now)
        for queue in self._by_need():
            found = self._of_queue(queue, now)
            if isinstance(found, Batch):
                return found
            if found is not None:
                again.append(found)
        return min(again) if again else None

    def may_leave(self) -> bool:
        """Whether it is worth asking for a batch: of the destination that is being read only full ones leave."""
        if self._cut_off:
            return True
        for name, queue in self._queues.items():
            if queue.splits or queue.queued >= (queue.destination.rules.records if name == self.reading else 1):
                return True
        return False

    def look(self, now: Now) -> None:
        """What stands still now: lanes in quiet hours, and those that an operator paused."""
        self._still.look(now)
        for work in self.works.values():
            work.look(now.s, quiet=work.destination.name in self._still)

    def _by_need(self) -> list[Queue]:
        """The destinations with work, that of the lane with the least of its share first."""
        need = {
            name: self._shares.floor for name, queue in self._queues.items() if queue.splits and name not in self._still
        }
        for work in self.works.values():
            if work.queued and work.ready():
                name = work.destination.name
                need[name] = min(need.get(name, work.served), work.served)
        return [self._queues[name] for name in sorted(need, key=need.__getitem__)]

    def _of_queue(self, queue: Queue, now: Now) -> Batch | float | None:
        half = queue.next_split(now)
        if half is not None:
            at_s = max(
                self._allowed_s(half.records[0], now),
                self.gate.channel_opens_s((half.destination, half.channel), now.s),
            )
            return self._leave(queue, queue.send_split(), now) if at_s <= now.s else at_s
        if queue.destination.name == self.reading and queue.queued < queue.destination.rules.records:
            return None
        again: list[float] = []
        for channel, heads in self._by_age(queue, now):
            if queue.destination.name == self.reading and not queue.full(channel):
                continue
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
            heads = [lane for lane in queue.heads(channel, now) if self.works[lane].ready()]
            if heads:
                need = min((self.works[lane].served, queue.head(channel, lane).seq) for lane in heads)
                found.append((need, channel, heads))
        return [(channel, heads) for _, channel, heads in sorted(found)]

    def _allowed_s(self, record: Record, now: Now) -> float:
        key = self.works[record.lane].destination.key if record.lane in self.works else ""
        return self.pace.next_s(now.s, record.draft.cost, record.draft.channel, key)

    def _fill(self, queue: Queue, channel: str, lanes: Sequence[int], now: Now) -> Batch:
        """A batch from these lanes."""
        most = 1 if self.gate.probing() else queue.destination.rules.records
        records = self._shares.fill(queue, channel, [self.works[lane] for lane in lanes], most, now)
        return Batch(queue.destination.name, channel, tuple(records), now.ms)

    def _leave(self, queue: Queue, batch: Batch, now: Now) -> Batch:
        queue.leave(batch)
        self.gate.leaves()
        cost = batch.records[0].draft.cost
        self._planned[id(batch)] = self.pace.plan(
            now.s, cost, batch.channel, queue.destination.key, share=self.gate.share(now.s)
        )
        self.in_flight += 1
        return batch

    def left(self, batch: Batch, now: Now) -> bool:
        """The batch's bytes are on their way: from here on it counts in its windows. True when others wait for that."""
        departure = self._planned.get(id(batch))
        if departure is not None:
            departure.left(now.s)
        return self.pace.was_awaited()

    def over(self, batch: Batch, now: Now) -> Departure | None:
        """Nothing more of the batch will leave: it is answered, has failed, or is given up. Idempotent."""
        departure = self._planned.pop(id(batch), None)
        if departure is not None:
            departure.left(now.s)
        return departure

    # --- what comes of it ---------------------------------------------------------------------------------------

    def finished(self, batch: Batch, answer: Answer, verdict: Verdict, latency_s: float, now: Now) -> tuple[News, ...]:
        """A batch is answered: every record gets its outcome, the gate and the pace learn from it."""
        self.in_flight -= 1
        queue = self._queues[batch.destination]
        different = verdict.different()
        refused = any(isinstance(one, Throttled) and one.reason is Reason.RATE_LIMITED for one in different)
        self.pace.answered(now.s, refused=refused, departure=self.over(batch, now))
        news = learn(self.gate, batch, answer, verdict, self.in_flight, now)
        self.troubles.extendleft(trouble(batch, different, now))
        whole = queue.destination.rules.keyed and all(isinstance(one, Retry) for one in different)
        tried = self._tried(answer, latency_s, now, batch.key if whole else "")
        half = queue.split_in_flight is batch
        queue.release(batch)
        if len(different) == 1 and isinstance(different[0], Delivered):
            self._all_delivered(batch.records, different[0], tried)
        else:
            self._book(queue, batch, verdict, tried, now, half=half)
        for one in {one for one in different if isinstance(one, Throttled) and one.scope == "channel"}:
            self._rest_channel(queue, batch.channel, one.reason, now)
        return news

    def _all_delivered(self, records: Sequence[Record], outcome: Delivered, tried: Tried) -> None:
        """The vendor has these records and said the same of each."""
        for lane in {record.lane for record in records} & self.works.keys():
            its_own = [record for record in records if record.lane == lane]
            self.works[lane].delivered_together(its_own, outcome, tried)

    def _book(self, queue: Queue, batch: Batch, verdict: Verdict, tried: Tried, now: Now, *, half: bool) -> None:
        """Every record gets its outcome. `half`: the batch was one of a split."""
        back: list[Record] = []
        split: list[Record] = []
        for record, outcome in zip(batch.records, verdict.outcomes, strict=True):
            work = self.works.get(record.lane)
            if work is None or not work.expects(record):  # it was cut off, and a member may no longer exist
                continue
            if isinstance(outcome, Delivered):
                work.delivered(record, outcome, tried)
            elif isinstance(outcome, Split) and len(batch.records) > 1:
                split.append(record)
            elif isinstance(outcome, Throttled | Suspended):
                self._stopped(record, outcome, back, now)
            elif isinstance(outcome, Superseded):
                work.gone(record, outcome, tried)
            else:
                work.failed(record, outcome, tried)
        queue.give_back(batch, back, half=half)
        if split:
            queue.halve(batch, split)

    def _stopped(self, record: Record, outcome: Throttled | Suspended, back: list[Record], now: Now) -> None:
        """Nothing is wrong with the record: it goes back, or is parked where only its channel rests for long."""
        work = self.works[record.lane]
        rest_s = self.gate.channel_opens_s((work.destination.name, record.draft.channel), now.s) - now.s
        if isinstance(outcome, Throttled) and outcome.scope == "channel" and rest_s > CHANNEL_REST_S:
            work.rest(record, now.ms, now.ms + int(rest_s * 1000), outcome.reason)
        else:
            back.append(replace(record, anew_ms=now.ms) if outcome.anew else record)

    def _rest_channel(self, queue: Queue, channel: str, reason: Reason, now: Now) -> None:
        """A channel rests for long: its queued records wait in the journal, so that those of others are read."""
        rest_s = self.gate.channel_opens_s((queue.destination.name, channel), now.s) - now.s
        if rest_s > CHANNEL_REST_S:
            for record in queue.clear(channel):
                self.works[record.lane].rest(record, now.ms, now.ms + int(rest_s * 1000), reason)

    def _tried(self, answer: Answer, latency_s: float, now: Now, batch_key: str) -> Tried:
        return Tried(
            at_ms=now.ms,
            latency_ms=int(latency_s * 1000),
            answer=answer,
            jitter=self._chance.uniform(0.0, 1.0),
            stopped_ms=int(self.gate.stopped_s(now.s) * 1000),
            batch=batch_key,
        )

    # --- what was taken and dropped -----------------------------------------------------------------------------

    def asking(self, now: Now) -> Asking | None:
        """The question what the vendor dropped, if it is time and the account may be called; it takes its place in the
        pace.
        """
        if self._tells_drops is None:
            return None
        destination, vendor = self._tells_drops
        if not self.drops.due(vendor.errors_every_s(), now.s) or destination.settings.dry_run:
            return None
        request = vendor.errors()
        free_s = self.pace.next_s(now.s, request.cost, "", destination.key)
        if max(free_s, self.gate.opens_s(now.s)) > now.s or self.gate.probing():
            return None
        self.drops.asked(now.s)
        return Asking(destination, request, self.pace.plan(now.s, request.cost, "", destination.key))

    def told(self, asking: Asking, answer: Answer, now: Now) -> tuple[Drop, ...] | Failure | None:
        """What is new of what was dropped; or why nothing is known, where that is news. What a key may not ask for is
        no fault of what it sends: the gate hears nothing of it.
        """
        asking.departure.left(now.s)
        refused = isinstance(answer, Response) and answer.status == TOO_MANY_REQUESTS
        self.pace.answered(now.s, refused=refused, departure=asking.departure)
        if self._tells_drops is None:
            return ()
        listed = self._tells_drops[1].errors_of(answer)
        if isinstance(listed, Failure):
            return listed if self.drops.not_told(listed.detail) else None
        return self.drops.told(listed, now)

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

    def settlement(self, at_ms: int, config: str = "", revision: int = 0) -> Settlement | None:
        """One settle over all lanes that have something to say, or None. `config`: the configuration's digest; what
        derives is of its `revision`.
        """
        parts = [(work, part) for work in self.works.values() if (part := work.settlement()) is not None]
        if not parts and not self._intents_done:
            return None
        done, self._intents_done = tuple(self._intents_done), []
        derived = tuple(offer for work, _ in parts for offer in work.derived(revision, at_ms))
        return Settlement(self.lease, at_ms, tuple(part for _, part in parts), done, derived, config)

    def settled(self, lanes: Iterable[Lane]) -> None:
        """The settle is in the journal."""
        for lane in lanes:
            work = self.works[lane.id]
            work.settled(lane)
            if work.over() and work.again is not None:
                work.close()
                del self.works[lane.id]
                self._over[lane.id] = lane.version

    def is_past(self, lane: Lane) -> bool:
        """Whether this is how a lane was before it was over."""
        return lane.version < self._over.get(lane.id, 0)

    def close(self) -> None:
        """The account is served no more."""
        for work in self.works.values():
            work.close()

    def overtaken(self) -> bool:
        """Whether a lane is to be read anew."""
        return any(work.overtaken() for work in self.works.values())

    def dirty(self) -> bool:
        """Whether outcomes wait for a settle."""
        return bool(self._intents_done) or any(work.dirty() for work in self.works.values())
