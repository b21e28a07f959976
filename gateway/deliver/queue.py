"""What waits to be sent to one destination, by channel and lane, and which keys are in flight. Pure."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from math import inf

from msgspec import Struct

from gateway.deliver.ahead import at_once
from gateway.deliver.newer import Waiting
from gateway.deliver.plan import Destination
from gateway.vendors.base import Batch, BatchRules, Record


class Now(Struct, frozen=True):
    """The two clocks at one moment."""

    ms: int
    s: float


class Queue:
    """The records of one destination that wait to be sent, by channel and lane, and the keys that are taken.

    `count(lane, change)` hears of every record that could be sent (+1) or no longer can (-1). `withheld(record, now)`
    says whether a record does not go now (it waits in the journal behind another of its key, or something newer went
    instead), and sees to it. `supersede(record)` hears of one in whose place a newer one goes that waits here.
    """

    def __init__(
        self,
        destination: Destination,
        count: Callable[[int, int], None],
        withheld: Callable[[Record, Now], bool],
        supersede: Callable[[Record], None],
    ) -> None:
        self.destination = destination
        self._withheld = withheld
        self._supersede = supersede
        self._newest = Waiting()
        self.at_once = at_once(destination.limits)
        self.queued = 0
        self.bytes = 0
        self.splits: deque[Batch] = deque()
        self.split_in_flight: Batch | None = None
        self._count = count
        self._channels: dict[str, dict[int, deque[Record]]] = {}
        self._taken: set[str] = set()
        self._waiting: dict[str, deque[Record]] = {}
        self._ordered = destination.settings.order == "entity"
        self._coalescing = bool(destination.settings.coalesce)
        self._since_s: dict[str, float] = {}

    def put(self, record: Record, *, first: bool = False) -> None:
        """A record joins its lane's queue: at its end, or first (a retry, or one given back)."""
        if self._coalescing and self._coalesces(record):
            self._newest.joins(record)
        self._line_up(record, first=first)

    def extend(self, lane: int, records: Sequence[Record]) -> None:
        """Newly planned records of one lane join its queue."""
        if self._coalescing:
            for record in records:
                self.put(record)
            return
        size = 0
        for record in records:
            self._queue(record).append(record)
            size += len(record.encoded)
        self.queued += len(records)
        self.bytes += size
        self._count(lane, len(records))

    def _queue(self, record: Record) -> deque[Record]:
        lanes = self._channels.get(record.draft.channel)
        if lanes is None:
            lanes = self._channels[record.draft.channel] = {}
        queue = lanes.get(record.lane)
        if queue is None:
            queue = lanes[record.lane] = deque()
        return queue

    def _line_up(self, record: Record, *, first: bool) -> None:
        queue = self._queue(record)
        if first:
            queue.appendleft(record)
        else:
            queue.append(record)
        self._counted(record, 1)

    def _counted(self, record: Record, change: int) -> None:
        self.queued += change
        self.bytes += change * len(record.encoded)
        self._count(record.lane, change)

    def channels(self) -> Iterable[str]:
        """The channels that have records. Those that are empty are forgotten: there may be one for every entity."""
        if not all(self._channels.values()):
            self._channels = {channel: lanes for channel, lanes in self._channels.items() if lanes}
            self._since_s = {channel: at_s for channel, at_s in self._since_s.items() if channel in self._channels}
        return list(self._channels)

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
        while queue and self._steps_aside(queue[0], now):
            self._counted(queue.popleft(), -1)
        return queue[0] if queue else None

    def _steps_aside(self, record: Record, now: Now) -> bool:
        """Whether a record does not go now: a newer state of its key waits, one of its key is in flight, or its lane
        withholds it.
        """
        key = record.draft.part
        if self._coalescing and self._coalesces(record) and self._newest.replaces(record):
            self._newest.leaves(record)
            self._supersede(record)
            return True
        if key in self._taken:
            self._waiting.setdefault(key, deque()).append(record)
            return True
        if self._withheld(record, now):
            self._no_longer_waits(record)
            return True
        return False

    def _no_longer_waits(self, record: Record) -> None:
        if self._coalescing and self._coalesces(record):
            self._newest.leaves(record)

    def _coalesces(self, record: Record) -> bool:
        return record.draft.kind == "state" and self.destination.settings.coalesces(record.entity)

    def head(self, channel: str, lane: int) -> Record:
        """The next record of a lane that `heads` named."""
        return self._channels[channel][lane][0]

    def full(self, channel: str) -> bool:
        """Whether the channel has a full batch."""
        return sum(len(queue) for queue in self._channels[channel].values()) >= self.destination.rules.records

    def full_s(self, channel: str, now_s: float) -> float:
        """When the channel's batch leaves: now if it is full, or has lingered; else when it has."""
        since_s = self._since_s.setdefault(channel, now_s)
        return now_s if self.full(channel) else max(now_s, since_s + self.destination.rules.linger_s)

    def pop(self, channel: str, lane: int) -> Record:
        """Take the record that `peek` gave."""
        record = self._channels[channel][lane].popleft()
        self._counted(record, -1)
        self._no_longer_waits(record)
        return record

    def pop_run(self, channel: str, lane: int, most: int) -> list[Record]:
        """Take up to `most` records for one batch from the head of a lane that withholds none: those before the first
        that does not fit or has to step aside. None where batches are known again.
        """
        queue, rules = self._channels[channel][lane], self.destination.rules
        if self._coalescing or rules.keyed:
            return []
        records: list[Record] = []
        keys: set[str] = set()
        size = 2
        for record in islice(queue, most):
            key = record.draft.part
            if key in self._taken or key in keys or (records and not fits(records[0], record, size, rules)):
                break
            records.append(record)
            size += len(record.encoded) + 1
            if rules.one_per_key:
                keys.add(key)
        for record in records:
            queue.popleft()
            self.bytes -= len(record.encoded)
        self.queued -= len(records)
        self._count(lane, -len(records))
        if rules.one_per_key:
            self.take(records)
        return records

    def clear(self, channel: str) -> list[Record]:
        """Take every record of a channel that is not in flight, those too that wait for their key."""
        taken = [record for queue in self._channels.pop(channel, {}).values() for record in queue]
        self._since_s.pop(channel, None)
        for record in taken:
            self._counted(record, -1)
        for key, waiting in list(self._waiting.items()):
            if waiting[0].draft.channel == channel:
                taken.extend(self._waiting.pop(key))
        for record in taken:
            self._no_longer_waits(record)
        return taken

    def leave(self, batch: Batch) -> None:
        """The batch is sent: its keys are in flight, and what is left of its channel lingers anew."""
        self._since_s.pop(batch.channel, None)
        self.take(batch.records)

    def take(self, records: Iterable[Record]) -> None:
        """Nothing else of these records' keys may be sent."""
        if self._ordered:
            self._taken.update([record.draft.part for record in records])

    def release(self, batch: Batch) -> None:
        """The keys of this batch are free again, but for those of halves that still have to go: what waited for them
        comes first.
        """
        if self.split_in_flight is batch:
            self.split_in_flight = None
        if not self._ordered:
            return
        keys = {record.draft.part for record in batch.records}
        if self.splits:
            keys -= {record.draft.part for half in self.splits for record in half.records}
        self._taken -= keys
        for key in keys & self._waiting.keys() if self._waiting else ():
            for record in reversed(self._waiting.pop(key)):
                self._line_up(record, first=True)
                if not self.destination.limits:  # it has waited, and no request is short
                    self._since_s[batch.channel] = -inf

    def halve(self, batch: Batch, records: Sequence[Record]) -> None:
        """Two halves go next, in order and one at a time; their keys stay taken until then."""
        middle = (len(records) + 1) // 2
        for half in (records[middle:], records[:middle]):
            if half:
                self.splits.appendleft(Batch(batch.destination, batch.channel, tuple(half), batch.sent_at_ms))
        self.take(records)

    def give_back(self, batch: Batch, records: Sequence[Record], *, half: bool) -> None:
        """Records that were not sent after all: a half's go first, as one; others to the front of their lanes."""
        if half and records:
            self.splits.appendleft(Batch(batch.destination, batch.channel, tuple(records), batch.sent_at_ms))
            self.take(records)
            return
        for record in reversed(records):
            self.put(record, first=True)

    def next_split(self, now: Now) -> Batch | None:
        """The next half that has to go, unless one is in flight. What must wait behind a parked record leaves it."""
        while self.splits and self.split_in_flight is None:
            half = self.splits.popleft()
            kept = tuple(record for record in half.records if not self._withheld(record, now))
            if kept:
                left = Batch(half.destination, half.channel, kept, half.sent_at_ms)
                self.splits.appendleft(left)
            if len(kept) < len(half.records):
                self.release(half)
            if kept:
                return self.splits[0]
        return None

    def send_split(self) -> Batch:
        """Take the half that `next_split` gave."""
        self.split_in_flight = self.splits.popleft()
        return self.split_in_flight


def fits(first: Record, record: Record, size: int, rules: BatchRules) -> bool:
    """Whether a record may join a batch that began with `first` and has `size` bytes."""
    roomy = size + len(record.encoded) + 1 <= rules.body_bytes
    return roomy and not (first.draft.alone or record.draft.alone) and record.draft.cost == first.draft.cost
