"""One lane in the hands of its dispatcher: what is read and not settled, and what the next settle will say. Pure.

An event is open until each of its parts has an outcome; only then does it enter a settle, whole. Completed events move
the cursor, or lie in `ahead` when an earlier one is still open.
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from gateway.deliver.newer import Versions
from gateway.deliver.outcomes import Open, Unsettled
from gateway.deliver.parked import LONGEST_WAIT_MS, ParkedIndex, Ref
from gateway.deliver.plan import Destination, Planned
from gateway.deliver.progress import Progress
from gateway.deliver.replay import Again, Survey
from gateway.deliver.settle import (
    DETAIL_CHARS,
    Tried,
    attempt_of,
    deliveries_of,
    offer_of,
    row_after,
    row_of_death,
    row_waiting,
)
from gateway.errors import Reason
from gateway.model import (
    LIVE,
    Attempt,
    Lane,
    LaneSettle,
    Offer,
    ParkedRow,
    Resolved,
    State,
)
from gateway.vendors.base import Delivered, Record, Refused, Retry, Split, Superseded


class LaneWork:
    """The unsettled part of one lane. `again`: what a replay's lane does beyond others. `versions`: what its
    destination has, where that matters.

    Mostly an event is one record, nothing is parked and all of a batch is taken. Such events are fresh until something
    else comes of them, or of others: `_fresh` has their records, `_open` all other open events. While anything is
    parked none is fresh.
    """

    def __init__(
        self, lane: Lane, destination: Destination, parked: Iterable[ParkedRow], again: Again | None = None
    ) -> None:
        self.lane = lane
        self.destination = destination
        self.again = again
        self.versions = Versions()
        self.read_to = lane.cursor
        self.queued = 0
        self.filling = False
        self.quiet = False
        self._told_version = lane.version
        self.stood_ms = 0
        self._stood_since_s: float | None = None
        self.served = 0.0
        settings = destination.settings
        self.parked = ParkedIndex(parked, longest_wait_ms=int(settings.retry.max * 1000))
        self._fresh: dict[int, Record] = {}
        self._open: dict[int, Open] = {}
        self._progress = Progress(lane.ahead)
        self._stopped_ms: dict[Ref, int] = {}
        self._next = Unsettled()
        self._settling: Unsettled | None = None
        self._cut_off: set[Ref] = set()
        self._gave_way: dict[int, set[bytes]] = {}
        self.survey: Survey | None = again

    @property
    def id(self) -> int:
        return self.lane.id

    @property
    def weight(self) -> float:
        """The lane's share of the account's budget."""
        settings = self.destination.settings
        return settings.weight if self.lane.kind == LIVE else settings.weight * settings.replay_weight

    def wants_more(self, enough: int) -> bool:
        """Whether more events should be read: fewer than `enough` records are queued, and every bound has room."""
        settings = self.destination.settings
        return (
            self.queued < enough
            and len(self._progress) < settings.read_ahead
            and len(self.parked) < settings.parked_max
            and not self.standing()
            and (self.again is None or self.again.surveyed())
            and self.within(self.read_to + 1)
        )

    def room(self, enough: int) -> int:
        """How many more events `wants_more` would take if each made one record; at least one."""
        return max(1, min(enough - self.queued, self.destination.settings.read_ahead - len(self._progress)))

    def runs_low(self, enough: int, most: int) -> bool:
        """Whether so many more events should be read that they are worth a turn: half of `enough`, or `most`."""
        return self.wants_more(enough) and self.room(enough) >= min(enough // 2, most)

    def within(self, seq: int) -> bool:
        """Whether an event with this seq can be the lane's: it lies before its end."""
        return self.lane.end_seq is None or seq <= self.lane.end_seq

    def has_read_to(self, seq: int) -> None:
        """Every event of the lane up to here has been read."""
        end = self.lane.end_seq
        self.read_to = max(self.read_to, seq if end is None else min(seq, end))

    def over(self) -> bool:
        """Whether nothing is left to do, now and later, unless an operator wants it: a replay that is done."""
        return is_over(self.lane) and not (self.unsettled() or self.parked or self._settling or self.dirty())

    def standing(self) -> bool:
        """Whether the lane stands still by an operator's will: paused, ended, or in its quiet hours."""
        return self.quiet or self.lane.paused or self.lane.ended or self.destination.settings.paused

    def look(self, now_s: float, *, quiet: bool) -> None:
        """It is quiet now, or not. Time in which the lane stands still does not count against its records."""
        self.quiet = quiet
        if self.standing():
            self._stood_since_s = now_s if self._stood_since_s is None else self._stood_since_s
        elif self._stood_since_s is not None:
            self.stood_ms += int((now_s - self._stood_since_s) * 1000)
            self._stood_since_s = None
        if self.again is None and self.survey is not None and self.survey.idle(now_s):
            self.close()

    def ready(self) -> bool:
        """Whether what is queued may be sent: the lane does not stand, and no page is being read of which only the
        newest states go.
        """
        return not (self.filling or self.standing())

    def unsettled(self) -> int:
        """Events that are read and not settled."""
        return len(self._open) + len(self._fresh)

    def settled_already(self, seq: int) -> bool:
        """Whether a settle before a restart has already dealt with the event: it lay in `ahead` then."""
        return self._progress.settled_already(seq)

    def skip(self, seq: int) -> None:
        """An event that was settled before a restart."""
        self._progress.add(seq)
        self._progress.done.add(seq)

    def take(self, seq: int, planned: Planned, now_ms: int) -> Sequence[Record]:
        """An event that was read and planned; gives the records that are to be queued. Those whose key is parked here
        are parked behind it, those that are held until their time.
        """
        self._progress.add(seq)
        records = planned.records
        if len(records) == 1 and not planned.deaths and self._goes_at_once(records[0]):
            self._fresh[seq] = records[0]
            return records
        opened = self._open[seq] = Open(records)
        for death in planned.deaths:
            opened.rows.append(row_of_death(seq, death, now_ms))
            opened.states[death.part] = State.DEAD
            opened.attempts.append(Attempt(seq, death.part, State.DEAD, reason=death.reason))
        if not planned.records and not planned.deaths:
            opened.attempts.append(Attempt(seq, "", State.FILTERED))
        ours = [one for one in planned.records if not (self.withheld(one, now_ms) or self._held(one, now_ms))]
        for record in ours:
            self.parked.leaves(record.draft.key_hash, seq)
        if not opened.waiting:
            self._complete_if_done(seq)
        return [record for record in ours if (seq, record.part) not in self._cut_off] if self._cut_off else ours

    def lets_all_go(self) -> bool:
        """Whether no record is withheld now: nothing is parked, and no state may be older than what went."""
        return not self.parked and self.again is None and not self.destination.settings.stale

    def _goes_at_once(self, record: Record) -> bool:
        cut_off = bool(self._cut_off) and (record.seq, record.part) in self._cut_off
        return not (record.hold_ms or cut_off) and self.lets_all_go()

    def _opened(self, seq: int) -> Open:
        """An open event, which is fresh no longer."""
        record = self._fresh.pop(seq, None)
        if record is not None:
            self._open[seq] = Open((record,))
            self.parked.leaves(record.draft.key_hash, seq)
        return self._open[seq]

    def _is_fresh(self, record: Record) -> bool:
        return record.seq in self._fresh and self._fresh[record.seq].part == record.part

    def _park(self, row: ParkedRow) -> None:
        self._open_all()
        self.parked.add(row)

    def _open_all(self) -> None:
        for seq in list(self._fresh):
            self._opened(seq)

    def _held(self, record: Record, now_ms: int) -> bool:
        """Whether the record's hold is not over; it is parked until then. A receipt far in the future was told by a
        clock that has jumped.
        """
        if not record.hold_ms:
            return False
        sound = record.received_at_ms - now_ms <= LONGEST_WAIT_MS
        due_at_ms = (record.received_at_ms if sound else now_ms) + record.hold_ms
        if due_at_ms > now_ms:
            self.rest(record, now_ms, due_at_ms, Reason.HELD)
        return due_at_ms > now_ms

    def knows_newer(self, ref: Ref, head_seq: int, now_s: float) -> bool:
        """Whether it is known which states are newer than those of a letter that is retried; else it waits for that."""
        self.survey = self.survey or Survey(ref[0], head_seq)
        return self.survey.knows(ref, now_s)

    def is_old(self, record: Record) -> bool:
        """Whether the journal holds a newer state of the record's key, as far as that is known."""
        return self.survey is not None and self.survey.is_old(record)

    def close(self) -> None:
        """The lane is served no more, or what was surveyed is wanted no more."""
        if self.survey is not None:
            self.survey.close()
        self.survey = None

    def hold(self, ref: Ref) -> None:
        """The record is in a batch that a crash cut off: it is not queued when its event is read again."""
        self._cut_off.add(ref)
        self.parked.hold(ref)

    def expects(self, record: Record) -> bool:
        """Whether the record's outcome is still to be booked: it is parked here, or its event is open and waits."""
        if self._is_fresh(record):
            return True
        opened = self._open.get(record.seq)
        return (opened is not None and record.part in opened.waiting) or (record.seq, record.part) in self.parked

    def has_come_to(self, seq: int, part: str) -> bool:
        """Whether the record's event has been read since the crash, or the record is parked."""
        return self.read_to >= seq or (seq, part) in self.parked

    def rest(self, record: Record, now_ms: int, due_at_ms: int, reason: Reason) -> None:
        """A record that has not failed waits: a new one is parked, a parked one stays so until `due_at_ms`."""
        ref = (record.seq, record.part)
        if ref in self.parked:
            self.parked.postpone(ref, due_at_ms)
        else:
            self._row(record, row_waiting(record, now_ms, due_at_ms, reason))

    def leave(self, now_ms: int) -> None:
        """The lane is read anew, by another or by us. Of an event that is done in part the rest is parked and due, so
        that what was delivered does not go again; an event of which nothing has come is read again.
        """
        halves = [opened for opened in self._open.values() if opened.states]
        for opened in halves:
            for record in list(opened.waiting.values()):
                self.rest(record, now_ms, now_ms, Reason.REDELIVER)

    def delivered_together(self, records: Sequence[Record], outcome: Delivered, tried: Tried) -> None:
        """The vendor has these records and said the same of each. One that nobody waits for any more is passed over."""
        alike = outcome.derived is None and not (self._gave_way or self.destination.settings.stale)
        fresh = self._fresh if alike else {}
        mine = [record for record in records if fresh.get(record.seq) is record]
        others = [record for record in records if fresh.get(record.seq) is not record]
        for record in mine:
            del self._fresh[record.seq]
        self._progress.done.update([record.seq for record in mine])
        self._next.attempts += deliveries_of(mine, tried, outcome.receipt)
        self._next.states += [State.DELIVERED] * len(mine)
        for record in others:
            if self.expects(record):
                self.delivered(record, outcome, tried)

    def delivered(self, record: Record, outcome: Delivered, tried: Tried) -> None:
        """The vendor has the record."""
        attempt = attempt_of(record, State.DELIVERED, tried, receipt=outcome.receipt)
        if outcome.derived is not None:
            where = self._opened(record.seq) if (record.seq, record.part) not in self.parked else None
            (where or self._next).derived.append((record, outcome.derived))
        if record.version_ms and self.destination.settings.drops_stale(record.entity):
            self.versions.delivered(record)
            key = record.draft.key_hash
            self._next.versions[key] = max(record.version_ms, self._next.versions.get(key, 0))
        self._done_with(record, State.DELIVERED, attempt)

    def gone(self, record: Record, outcome: Superseded, tried: Tried) -> None:
        """What the record is about is gone."""
        self._done_with(record, State.SUPERSEDED, attempt_of(record, State.SUPERSEDED, tried, outcome.reason))

    def _done_with(self, record: Record, state: State, attempt: Attempt) -> None:
        ref = (record.seq, record.part)
        if ref in self.parked:
            self._resolve(ref, state, attempt)
            return
        self._opened(record.seq).attempts.append(attempt)
        self._part_done(record, state)

    def failed(self, record: Record, outcome: Retry | Refused | Split, tried: Tried) -> ParkedRow:
        """The record was not delivered: its row is parked, or dead."""
        ref = (record.seq, record.part)
        before = self.parked.row(ref) if ref in self.parked else None
        stopped_ms = tried.stopped_ms + self.stood_ms - self._stopped_ms.get(ref, 0)
        row = row_after(record, outcome, replace(tried, stopped_ms=stopped_ms), self.destination.settings.retry, before)
        if row.state is State.PARKED:
            self._stopped_ms[ref] = tried.stopped_ms + self.stood_ms
        else:
            self._stopped_ms.pop(ref, None)
        attempt = attempt_of(record, row.state, tried, row.reason)
        self._row(record, row, attempt)
        return row

    def lost(self, ref: Ref, outcome: Refused, tried: Tried) -> None:
        """A record of which nobody can say any more how it was sent, if anybody waits for its outcome."""
        if ref in self.parked:
            self.dead(self.parked.row(ref), outcome, tried.at_ms)
        elif ref[0] in self._fresh or ref[0] in self._open:
            waiting = self._opened(ref[0]).waiting
            if ref[1] in waiting:
                self.failed(waiting[ref[1]], outcome, tried)

    def dead(self, row: ParkedRow, outcome: Refused, now_ms: int) -> None:
        """A parked row is given up without an attempt."""
        dead = replace(row, state=State.DEAD, reason=outcome.reason, detail=outcome.detail[:DETAIL_CHARS], at_ms=now_ms)
        self.rewrite(dead, Attempt(row.seq, row.part, State.DEAD, reason=outcome.reason))

    def superseded(self, ref: Ref) -> None:
        """A parked part that mapping anew no longer makes."""
        self._resolve(ref, State.SUPERSEDED, Attempt(ref[0], ref[1], State.SUPERSEDED))

    def operated(self, lane: Lane, rows: Iterable[ParkedRow]) -> None:
        """An operator did something to the lane: its standing, and its parked rows as they are in the journal now."""
        self.lane = replace(self.lane, paused=lane.paused, ended=lane.ended, changed=lane.changed, counts=lane.counts)
        self._open_all()
        self.parked.merge(rows)
        self._told_version = lane.version

    def overtaken(self) -> bool:
        """Whether an operator has moved the cursor (a skip): the lane is to be read anew, or its next settle fails."""
        return self._settling is None and self._told_version > self.lane.version

    def settlement(self) -> LaneSettle | None:
        """What there is to settle, or None. Until `settled`, further outcomes gather for the next one."""
        if not self.dirty() or self._settling is not None:
            return None
        self._settling, self._next = self._next, Unsettled()
        draft = self._settling
        cursor, ahead = self._progress.so_far(self.read_to)
        return LaneSettle(
            lane=self.lane.id,
            version=self.lane.version,
            cursor=cursor,
            ahead=ahead,
            counts=draft.counts(),
            parked=tuple(draft.parked.values()),
            resolved=tuple(draft.resolved),
            attempts=tuple(draft.attempts),
            versions=tuple(draft.versions.items()),
        )

    def derived(self, revision: int, at_ms: int) -> list[Offer]:
        """The events that derive from what `settlement` said."""
        draft = self._settling
        return [offer_of(record, one, revision, at_ms) for record, one in draft.derived] if draft else []

    def dirty(self) -> bool:
        """Whether outcomes wait for a settle, or the end that has been reached is to be written down."""
        return not self._next.empty() or self._ends()

    def _ends(self) -> bool:
        end = self.lane.end_seq
        return (
            end is not None
            and self.lane.cursor < end <= self.read_to
            and not (self.unsettled() or self._settling or self.lane.ended)
        )

    def settled(self, lane: Lane) -> None:
        """The settle is in the journal; parked rows may be due from now on. What an operator did meanwhile is told by
        `operated`.
        """
        mine = self.lane
        self.lane = replace(lane, changed=mine.changed, paused=mine.paused, ended=mine.ended)
        draft, self._settling = self._settling, None
        for ref, row in draft.parked.items() if draft else ():
            if row.state is State.PARKED and ref not in self._next.parked:
                self.parked.durable(ref)

    def withheld(self, record: Record, now_ms: int) -> bool:
        """Whether the record does not go now: something newer went instead, or another of its key is parked before it.
        It is booked so then.
        """
        if record.draft.kind == "state" and self._outdated(record):
            self.supersede(record)
            return True
        return self._behind(record, now_ms)

    def _outdated(self, record: Record) -> bool:
        if self.again is not None and self.again.is_old(record):
            return True
        return self.destination.settings.drops_stale(record.entity) and self.versions.is_stale(record)

    def supersede(self, record: Record) -> None:
        """Something newer goes instead of the record, or went."""
        ref = (record.seq, record.part)
        if ref in self.parked:
            self.superseded(ref)
            return
        self._opened(record.seq).attempts.append(Attempt(record.seq, record.part, State.SUPERSEDED))
        self._gave_way.setdefault(record.seq, set()).add(record.draft.key_hash)
        self._part_done(record, State.SUPERSEDED)

    def _behind(self, record: Record, now_ms: int) -> bool:
        if not self.parked or self.destination.settings.order == "none":
            return False
        key, ref = record.draft.key_hash, (record.seq, record.part)
        if ref in self.parked:
            return self.parked.gives_way(ref, key)
        if not self.parked.blocks(key, record.seq):
            return False
        if not self._held(record, now_ms):
            self.rest(record, now_ms, now_ms, Reason.BEHIND_ANOTHER)
        return True

    def _row(self, record: Record, row: ParkedRow, attempt: Attempt | None = None) -> None:
        if self.destination.settings.order == "none":
            row = replace(row, key=b"")
        if (record.seq, record.part) in self.parked:
            self.rewrite(row, attempt)
            return
        opened = self._opened(record.seq)
        opened.rows.append(row)
        if attempt is not None:
            opened.attempts.append(attempt)
        if row.state is State.PARKED:
            self._park(row)
        self._part_done(record, row.state)

    def rewrite(self, row: ParkedRow, attempt: Attempt | None = None) -> None:
        """The row of a part as it is from now on: parked, or dead."""
        ref = (row.seq, row.part)
        self._next.parked[ref] = row
        if attempt is not None:
            self._next.attempts.append(attempt)
        if row.state is State.PARKED:
            self._park(row)
        else:
            self.parked.remove(ref)

    def _resolve(self, ref: Ref, outcome: State, attempt: Attempt) -> None:
        self.parked.remove(ref)
        self._stopped_ms.pop(ref, None)
        self._next.parked.pop(ref, None)
        self._next.resolved.append(Resolved(ref[0], ref[1], outcome))
        self._next.attempts.append(attempt)

    def _part_done(self, record: Record, state: State) -> None:
        self.parked.arrives(record.draft.key_hash, record.seq)
        opened = self._open[record.seq]
        opened.waiting.pop(record.part, None)
        opened.states[record.part] = state
        self._complete_if_done(record.seq)

    def _complete_if_done(self, seq: int) -> None:
        if self._complete(seq) and seq in self._gave_way:
            del self._gave_way[seq]
            for later in sorted(one for one in self._open if one > seq):
                if self._complete(later):
                    self._gave_way.pop(later, None)

    def _complete(self, seq: int) -> bool:
        """An event of which every part has an outcome enters the next settle, once it may."""
        opened = self._open.get(seq)
        if opened is None or opened.waiting or (self._gave_way and self._came_before(seq, opened.keys())):
            return False
        del self._open[seq]
        self._progress.done.add(seq)
        self._next.take(opened)
        return True

    def _came_before(self, seq: int, keys: set[bytes]) -> bool:
        """Whether an event is open of which an older state of these keys gave way: if the newer one were settled before
        it, a crash would send the older one after it.
        """
        return any(older < seq and not gone.isdisjoint(keys) for older, gone in self._gave_way.items())


def is_over(lane: Lane) -> bool:
    """Whether a lane has come to its end and nothing is parked on it."""
    return lane.end_seq is not None and lane.cursor >= lane.end_seq and not lane.counts.parked


def is_history(lane: Lane) -> bool:
    """Whether a lane is that of a replay that is over: listings leave it out, and nobody misses it."""
    return lane.kind != LIVE and (lane.ended or is_over(lane))
