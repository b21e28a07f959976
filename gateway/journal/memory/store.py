"""What a journal in memory holds, and the changes to it that are one step: the log, the lanes, the settle."""

from bisect import bisect_right, insort
from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from msgspec.structs import replace

from gateway.errors import JournalConflict, JournalError
from gateway.journal import ledger
from gateway.journal.admission import Key, Known, admit, check, check_text
from gateway.journal.base import Head, Operation, Page
from gateway.journal.ledger import LaneBook, Standing, settled_before
from gateway.journal.records import pack_offers
from gateway.model import (
    LIVE,
    Attempt,
    Counts,
    Event,
    Group,
    Intent,
    Lane,
    LaneSettle,
    LaneSpec,
    Lease,
    Offer,
    ParkedRow,
    Receipt,
    Rejection,
    Replay,
    Settlement,
    State,
    event_id,
)

REJECTED_PER_SOURCE = 1_000


class Tried:
    """The attempts of one lane in one transaction, and the configuration they were made under. `counted`: whether the
    audit counts them; `own`: the journal's.
    """

    __slots__ = ("at_ms", "attempts", "config", "counted", "own")

    def __init__(
        self, at_ms: int, attempts: tuple[Attempt, ...], config: str = "", *, counted: bool = True, own: bool = False
    ) -> None:
        self.at_ms = at_ms
        self.attempts = attempts
        self.config = config
        self.counted = counted
        self.own = own

    def last_seq(self) -> int:
        return max(attempt.seq for attempt in self.attempts)


class RowName(NamedTuple):
    """What a row is called: its number, and the id of its event."""

    number: int
    event: str


class Version(NamedTuple):
    """What a destination has of a record: the version, and when it was settled."""

    version: int
    at_ms: int


class LaneStore:
    """One lane: its books, its rows by event, its attempts, and what was skipped as (after_seq, last_seq, count)."""

    def __init__(self, lane: Lane) -> None:
        self.book = LaneBook(lane, lane.start_seq, Counts(), 0)
        self.rows: dict[int, dict[str, ParkedRow]] = {}
        self.ids: dict[tuple[int, str], RowName] = {}
        self.past: dict[int, int] = {}
        self.tried: list[Tried] = []
        self.skips: list[tuple[int, int, int]] = []

    @property
    def lane(self) -> Lane:
        return self.book.lane

    def stands(self, lane: Lane) -> Lane:
        """The lane is this from now on."""
        self.book = self.book._replace(lane=lane)
        return lane

    def standing(self, seqs: Iterable[int]) -> dict[int, Standing]:
        """The events among these that have rows."""
        return {seq: Standing(dict(self.rows[seq]), self.past[seq]) for seq in seqs if seq in self.rows}

    def write(self, row: ParkedRow, past: int, name: RowName) -> None:
        """Write a row over that of the same part; `name` is its own when it is new."""
        self.rows.setdefault(row.seq, {})[row.part] = row
        self.ids.setdefault((row.seq, row.part), name)
        self.past[row.seq] = past

    def remove(self, seq: int, part: str) -> None:
        """A row goes."""
        del self.ids[seq, part]
        del self.rows[seq][part]
        if not self.rows[seq]:
            del self.rows[seq]
            del self.past[seq]

    def let_go(self, gone: Sequence[tuple[int, str]], state: State, at_ms: int) -> None:
        """Rows go as discarded, or (as dead) because their time is over."""
        counts, removed = self.lane.counts, self.book.removed
        for seq, part in gone:
            event = Standing(self.rows[seq], self.past[seq])
            counts, rest, after = ledger.let_go(counts, event, part, state)
            self.past[seq] = rest.past
            self.remove(seq, part)
            if not rest.rows and seq <= self.book.floor_seq:
                removed = ledger.add(removed, after)
        attempts = tuple(Attempt(seq, part, state) for seq, part in gone)
        self.tried.append(Tried(at_ms, attempts, own=True))
        self.book = self.book._replace(lane=replace(self.lane, counts=counts), removed=removed)


class Store:
    """Everything. Every method is one transaction."""

    def __init__(self) -> None:
        self.head_seq = 0
        self.operations = 0
        self._revision = (0, "")
        self.events: dict[int, Event] = {}
        self.seqs: list[int] = []
        self.by_source: dict[str, list[int]] = {}
        self.size_bytes = 0
        self.groups: dict[bytes, tuple[Receipt, ...]] = {}
        self.identities: dict[Key, Known] = {}
        self.rejected: list[Rejection] = []
        self.lanes: dict[int, LaneStore] = {}
        self.leases: dict[str, Lease] = {}
        self.intents: dict[bytes, Intent] = {}
        self.replays: dict[str, Replay] = {}
        self.versions: dict[tuple[str, bytes], Version] = {}
        self.notes: list[Operation] = []
        self._rows = 0
        self._last_lane = 0

    # --- the log -----------------------------------------------------------------------------------------------------

    def append(self, group: Group) -> tuple[Receipt, ...]:
        again = self.groups.get(group.id)
        if again is not None:
            return again
        check(group.offers)
        _refuse_bad_text(group.offers)
        admitted = admit(group.offers, self.identities, self.head_seq, group.id)
        new = (receipt for receipt in admitted.receipts if not receipt.duplicate)
        for offer, receipt in zip(admitted.offers, new, strict=True):
            self._take(_event(offer, receipt))
        self.identities.update(admitted.identities)
        self.groups[group.id] = admitted.receipts
        self._reject(group.rejections)
        return admitted.receipts

    def head(self) -> Head:
        return Head(self.head_seq, self.operations)

    def seq_at(self, at_ms: int) -> int:
        """A seq up to which every event was received before a time."""
        before = 0
        for seq in self.seqs:
            if self.events[seq].received_at_ms >= at_ms:
                break
            before = seq
        return before

    def read(self, after_seq: int, sources: Collection[str] | None, limit: int, limit_bytes: int) -> Page:
        seqs = self.seqs if sources is None else self._seqs_of(sources)
        events: list[Event] = []
        size = 0
        for seq in islice(seqs, bisect_right(seqs, after_seq), None):
            event = self.events[seq]
            size += len(event.body)
            if events and size > limit_bytes:
                return Page(tuple(events), events[-1].seq)
            events.append(event)
            if len(events) >= limit:
                return Page(tuple(events), seq)
        return Page(tuple(events), max(self.head_seq, after_seq))

    def remove_event(self, seq: int) -> None:
        """An event goes; the lanes write down that they had it."""
        event = self.events.pop(seq)
        self.seqs.remove(seq)
        self.by_source[event.source].remove(seq)
        self.size_bytes -= len(event.body)
        for store in self.lanes.values():
            lane = store.lane
            if lane.source == event.source and lane.start_seq < seq <= lane.cursor:
                store.book = store.book._replace(removed_events=store.book.removed_events + 1)

    def waiting(self, lane: Lane) -> list[int]:
        """The seqs that wait on a lane."""
        if lane.ended:
            return []
        seqs = self.by_source.get(lane.source, [])
        end = self.last_seq(lane)
        there = seqs[bisect_right(seqs, lane.cursor) : bisect_right(seqs, end)]
        return [seq for seq in there if not settled_before(lane, seq)]

    def last_seq(self, lane: Lane) -> int:
        """The last seq that is the lane's now."""
        return self.head_seq if lane.end_seq is None else min(self.head_seq, lane.end_seq)

    def _take(self, event: Event) -> None:
        self.events[event.seq] = event
        self.seqs.append(event.seq)
        self.by_source.setdefault(event.source, []).append(event.seq)
        self.size_bytes += len(event.body)
        self.head_seq = event.seq

    def _seqs_of(self, sources: Collection[str]) -> list[int]:
        if len(sources) == 1:
            return self.by_source.get(next(iter(sources)), [])
        merged: list[int] = []
        for source in set(sources):
            for seq in self.by_source.get(source, []):
                insort(merged, seq)
        return merged

    def _reject(self, rejections: Sequence[Rejection]) -> None:
        self.rejected.extend(rejections)
        for source in {one.source for one in rejections}:
            mine = [one for one in self.rejected if one.source == source]
            for one in mine[:-REJECTED_PER_SOURCE]:
                self.rejected.remove(one)

    # --- the lanes ---------------------------------------------------------------------------------------------------

    def of(self, lane: int) -> LaneStore:
        """One lane. Raises JournalError when there is none."""
        store = self.lanes.get(lane)
        if store is None:
            raise JournalError(f"there is no lane {lane}")
        return store

    def revise(self, digest: str, revision: int | None) -> int:
        """The revision of a configuration that is in force from now on."""
        number, last = self._revision
        if revision is None:
            revision = number + (digest != last)
        self._revision = (revision, digest)
        return revision

    def register(self, spec: LaneSpec) -> Lane:
        found = self._live(spec.source, spec.destination, spec.kind)
        if found is not None:
            return found.lane
        self.operations += 1
        for name in spec.was if spec.kind == LIVE else ():
            former = self._live(spec.source, name, spec.kind)
            if former is not None:
                self._rename_versions(name, spec.destination)
                self._rename_lanes(spec.source, name, spec.destination)
                return former.lane
        return self._begun(spec)

    def begin(self, replay: Replay) -> bool:
        """Write a replay down; False when it was there already."""
        if replay.id in self.replays:
            return False
        self.replays[replay.id] = replay
        return True

    def _begun(self, spec: LaneSpec) -> Lane:
        """A new lane: it begins where its spec says, or now, with its past on a lane of its own."""
        start_seq = spec.start_seq if spec.start_seq is not None else self.head_seq
        if spec.backfill is not None:
            if start_seq < self.head_seq:
                self.begin(spec.backfill)
                self._begun(LaneSpec(spec.source, spec.destination, spec.backfill.id, start_seq, self.head_seq))
            start_seq = self.head_seq
        self._last_lane += 1
        lane = Lane(
            id=self._last_lane,
            source=spec.source,
            destination=spec.destination,
            kind=spec.kind,
            start_seq=start_seq,
            end_seq=spec.end_seq,
            cursor=start_seq,
            ahead=(),
            counts=Counts(),
            version=0,
            changed=0,
        )
        self.lanes[lane.id] = LaneStore(lane)
        return lane

    def parked(self, lane: int, refs: Sequence[tuple[int, str]] | None, limit: int) -> tuple[ParkedRow, ...]:
        store = self.lanes.get(lane)
        rows = store.rows if store is not None else {}
        if refs is not None:
            found = [rows.get(seq, {}).get(part) for seq, part in sorted(set(refs))]
            return tuple(row for row in found if row is not None and row.state is State.PARKED)[:limit]
        waiting = (row for seq in sorted(rows) for _, row in sorted(rows[seq].items()) if row.state is State.PARKED)
        return tuple(replace(row, record=None, answer=b"", detail="") for row in islice(waiting, limit))

    def fence(self, lease: Lease) -> None:
        """Raise JournalConflict unless the lease is still held."""
        now = self.leases.get(lease.account)
        if now is None or not now.owner or (now.owner, now.token) != (lease.owner, lease.token):
            raise JournalConflict(f"the lease on {lease.account} is no longer held by {lease.owner or 'anybody'}")

    def hold(self, lease: Lease, lanes: Collection[int]) -> tuple[Lane, ...]:
        """These lanes are the account's, and no others, as far as they are nobody else's."""
        self.fence(lease)
        for number, store in self.lanes.items():
            lane = store.lane
            if lane.account == lease.account and number not in lanes:
                store.stands(replace(lane, account=""))
                self.operations += 1
            elif number in lanes and not self._is_served(lane):
                store.stands(replace(lane, account=lease.account))
        return tuple(store.lane for store in self.lanes.values() if store.lane.account == lease.account)

    def _is_served(self, lane: Lane) -> bool:
        """Whether somebody holds the lease of the account that serves it."""
        lease = self.leases.get(lane.account)
        return lease is not None and bool(lease.owner)

    def settle(self, settlement: Settlement, derived: Group | None) -> tuple[Lane, ...]:
        """All of it or nothing: every lane is judged before the first is written."""
        self.fence(settlement.lease)
        judged = [(self.of(step.lane), self._judge(step, settlement.lease)) for step in settlement.lanes]
        if derived is not None:
            self.append(derived)
        for (store, settled), step in zip(judged, settlement.lanes, strict=True):
            self._write(store, settled, settlement)
            self._has(store.lane.destination, step.versions, settlement.at_ms)
        for key in settlement.intents_done:
            self.intents.pop(key, None)
        return tuple(store.lane for store, _ in judged)

    def changed(self, store: LaneStore, lane: Lane) -> Lane:
        """An operator has changed a lane."""
        self.operations += 1
        return store.stands(replace(lane, changed=lane.changed + 1))

    def write_row(self, store: LaneStore, row: ParkedRow, past: int) -> None:
        """Write a row over that of the same part."""
        self._rows += 1
        event = self.events.get(row.seq)
        store.write(row, past, RowName(self._rows, event.id if event else event_id(row.seq, bytes(4))))

    def _judge(self, step: LaneSettle, lease: Lease) -> ledger.Settled:
        store = self.of(step.lane)
        lane = store.lane
        ledger.fence(lane, step, lease)
        standing = store.standing(ledger.events_with_rows(lane, step))
        return ledger.settle(lane, store.book.floor_seq, step, standing)

    def _write(self, store: LaneStore, settled: ledger.Settled, settlement: Settlement) -> None:
        for seq, part in settled.gone:
            store.remove(seq, part)
        for row, past in settled.rows:
            self.write_row(store, row, past)
        for seq, part, past, delivered in settled.siblings:
            store.past[seq] = past
            store.rows[seq][part] = replace(store.rows[seq][part], delivered_parts=delivered)
        for made, counted in ((settled.counted, True), (settled.seen, False)):
            if made:
                store.tried.append(Tried(settlement.at_ms, made, settlement.config, counted=counted))
        removed = ledger.plus(store.book.removed, settled.removed)
        store.book = store.book._replace(lane=settled.lane, removed=removed)

    def _has(self, destination: str, versions: Sequence[tuple[bytes, int]], at_ms: int) -> None:
        for key, version in versions:
            known = self.versions.get((destination, key))
            if known is None or version >= known.version:
                self.versions[destination, key] = Version(version, at_ms)

    def _rename_versions(self, before: str, after: str) -> None:
        for name, key in [one for one in self.versions if one[0] == before]:
            self.versions[after, key] = self.versions.pop((name, key))

    def _rename_lanes(self, source: str, before: str, after: str) -> None:
        """The live lane, and those of its replays that have none of the new name."""
        for store in self.lanes.values():
            lane = store.lane
            if lane.ended or (lane.source, lane.destination) != (source, before):
                continue
            if self._live(source, after, lane.kind) is None:
                began_as = lane.began_as or before
                store.stands(replace(lane, destination=after, began_as=began_as, changed=lane.changed + 1))

    def _live(self, source: str, destination: str, kind: str) -> LaneStore | None:
        wanted = (source, destination, kind)
        for store in self.lanes.values():
            if not store.lane.ended and (store.lane.source, store.lane.destination, store.lane.kind) == wanted:
                return store
        return None


def _refuse_bad_text(offers: Sequence[Offer]) -> None:
    try:
        pack_offers(offers)
    except UnicodeEncodeError as error:
        raise check_text(offers) from error


def _event(offer: Offer, receipt: Receipt) -> Event:
    return Event(
        receipt.seq,
        receipt.id,
        offer.source,
        offer.topic,
        offer.received_at_ms,
        offer.revision,
        offer.method,
        offer.query,
        offer.headers,
        offer.body,
        offer.derived_from,
        offer.traceparent,
    )
