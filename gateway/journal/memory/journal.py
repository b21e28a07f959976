"""`MemoryJournal`: the contracts over plain Python values. Fast and deterministic: nothing but `wait` ever suspends."""

import asyncio
from bisect import bisect_right
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from itertools import islice

from msgspec.structs import replace

from gateway.errors import JournalError
from gateway.journal import ledger
from gateway.journal.admission import derived_id
from gateway.journal.base import (
    AttemptRow,
    AuditRow,
    Capability,
    DeadFilter,
    DeadGroup,
    DeadRow,
    EventFilter,
    EventView,
    Head,
    Keep,
    Kept,
    LaneRow,
    Operation,
    Page,
)
from gateway.journal.filters import is_event, is_intended, is_letter
from gateway.journal.memory.keep import keep, recount
from gateway.journal.memory.store import LaneStore, Store
from gateway.model import (
    Event,
    Group,
    Intent,
    Lane,
    LaneSpec,
    Lease,
    ParkedRow,
    Receipt,
    Rejection,
    Replay,
    Settlement,
    State,
)


class MemoryJournal:
    """A journal in memory. Several dispatchers of one process may share an instance, as processes share a file."""

    capabilities: frozenset[Capability] = frozenset()

    def __init__(self) -> None:
        self._store = Store()
        self._waiting: set[asyncio.Future[None]] = set()

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do: others may share it."""

    # --- the log -----------------------------------------------------------------------------------------------------

    async def append(self, group: Group) -> tuple[Receipt, ...]:
        receipts = self._store.append(group)
        self._wake()
        return receipts

    async def read(
        self, after_seq: int, *, sources: Collection[str] | None = None, limit: int = 500, limit_bytes: int = 4 << 20
    ) -> Page:
        return self._store.read(after_seq, sources, limit, limit_bytes)

    async def event(self, seq: int) -> Event | None:
        return self._store.events.get(seq)

    async def seq_at(self, at_ms: int) -> int:
        return self._store.seq_at(at_ms)

    async def head(self) -> Head:
        return self._store.head()

    async def wait(self, seen: Head, timeout_s: float) -> Head:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + timeout_s
        while True:
            now = self._store.head()
            left_s = until_s - loop.time()
            if now != seen or left_s <= 0:
                return now
            future: asyncio.Future[None] = loop.create_future()
            self._waiting.add(future)
            late = loop.call_later(left_s, _wake, future)
            try:
                await future
            finally:
                late.cancel()
                self._waiting.discard(future)

    async def keep(self, rules: Keep) -> Kept:
        kept = keep(self._store, rules)
        self._wake()
        return kept

    async def probe(self) -> None:
        """It is always possible."""

    # --- the lanes ---------------------------------------------------------------------------------------------------

    async def register(self, lanes: Sequence[LaneSpec]) -> tuple[Lane, ...]:
        registered = tuple(self._store.register(spec) for spec in lanes)
        self._wake()
        return registered

    async def revise(self, digest: str, revision: int | None = None) -> int:
        return self._store.revise(digest, revision)

    async def states(self, lane: int, after_seq: int, to_seq: int) -> tuple[tuple[int, State | None], ...]:
        one = self._store.of(lane)
        low, high = max(after_seq, one.lane.start_seq), min(to_seq, self._store.last_seq(one.lane))
        seqs = self._store.by_source.get(one.lane.source, [])
        return _states(one, seqs[bisect_right(seqs, low) : bisect_right(seqs, high)])

    async def replay(self, replay: Replay, lanes: Sequence[LaneSpec], by: Operation) -> tuple[Lane, ...]:
        if self._store.begin(replay):
            self._note(by, 0)
        return await self.register(lanes)

    async def replays(self) -> tuple[Replay, ...]:
        return tuple(sorted(self._store.replays.values(), key=lambda one: (one.at_ms, one.id), reverse=True))

    async def lanes(self) -> tuple[Lane, ...]:
        return tuple(one.lane for one in self._store.lanes.values())

    async def leases(self) -> tuple[Lease, ...]:
        return tuple(lease for _, lease in sorted(self._store.leases.items()))

    async def claim(self, account: str, owner: str, seen: Lease | None) -> Lease | None:
        now = self._store.leases.get(account)
        free = now is not None and (not now.owner or now == seen)
        if not free and not (now is None and seen is None):
            return None
        lease = Lease(account, owner, now.token + 1, 0, now.note) if now is not None else Lease(account, owner, 1, 0)
        self._store.leases[account] = lease
        return lease

    async def renew(self, leases: Sequence[Lease], *, release: bool = False) -> tuple[Lease, ...]:
        kept = []
        for lease in leases:
            now = self._store.leases.get(lease.account)
            if now is not None and now.owner and (now.owner, now.token) == (lease.owner, lease.token):
                now = replace(now, note=lease.note)
                now = replace(now, owner="") if release else replace(now, renewals=now.renewals + 1)
                self._store.leases[lease.account] = now
                kept.append(now)
        return tuple(kept)

    async def hold(self, lease: Lease, lanes: Collection[int]) -> tuple[Lane, ...]:
        held = self._store.hold(lease, lanes)
        self._wake()
        return held

    async def parked(
        self, lane: int, refs: Sequence[tuple[int, str]] | None = None, *, limit: int = 10_000
    ) -> tuple[ParkedRow, ...]:
        return self._store.parked(lane, refs, limit)

    async def versions(self, lane: int, keys: Collection[bytes]) -> dict[bytes, int]:
        held, destination = self._store.versions, self._store.of(lane).lane.destination
        return {key: held[destination, key].version for key in keys if (destination, key) in held}

    async def settle(self, settlement: Settlement) -> tuple[Lane, ...]:
        derived = Group(derived_id(settlement), settlement.derived) if settlement.derived else None
        after = self._store.settle(settlement, derived)
        self._wake()
        return after

    async def intend(self, lease: Lease, intents: Sequence[Intent]) -> None:
        self._store.fence(lease)
        self._store.intents.update((one.key, one) for one in intents)

    async def intents(self, lanes: Collection[int]) -> tuple[Intent, ...]:
        mine = (one for one in self._store.intents.values() if is_intended(one, lanes))
        return tuple(sorted(mine, key=lambda one: (one.at_ms, one.key)))

    # --- the desk ----------------------------------------------------------------------------------------------------

    async def lane_rows(self) -> tuple[LaneRow, ...]:
        store = self._store
        found = []
        for one in store.lanes.values():
            waiting = store.waiting(one.lane)
            oldest = store.events[waiting[0]].received_at_ms if waiting else None
            found.append(LaneRow(one.lane, len(waiting), oldest))
        return tuple(found)

    async def audit(self) -> tuple[AuditRow, ...]:
        return tuple(self._audited(one) for one in self._store.lanes.values())

    async def events(self, which: EventFilter) -> tuple[Event, ...]:
        store = self._store
        found = (store.events[seq] for seq in reversed(store.seqs))
        return tuple(islice((event for event in found if is_event(which, event)), which.limit))

    async def view(self, seq: int) -> EventView | None:
        event = self._store.events.get(seq)
        if event is None:
            return None
        found = []
        for one in self._store.lanes.values():
            lane = one.lane
            if lane.source == event.source and lane.spans(seq):
                tried = tuple(AttemptRow(t.at_ms, a, t.config) for t in one.tried for a in t.attempts if a.seq == seq)
                ((_, state),) = _states(one, [seq])
                if state is not None:
                    found.append((lane, state, tuple(one.rows.get(seq, {}).values()), tried))
        return EventView(event, tuple(found))

    async def dead(self, which: DeadFilter) -> AsyncIterator[DeadRow]:
        for number, store, row in self._dead(which)[: which.limit]:
            yield DeadRow(str(number), store.lane, row, store.ids[row.seq, row.part].event)

    async def dead_groups(self, which: DeadFilter) -> tuple[DeadGroup, ...]:
        times: defaultdict[tuple[str, str, str], list[int]] = defaultdict(list)
        for _, one, row in self._dead(which):
            times[one.lane.source, one.lane.destination, row.reason].append(row.at_ms)
        groups = [DeadGroup(*name, len(at_ms), min(at_ms), max(at_ms)) for name, at_ms in times.items()]
        return tuple(sorted(groups, key=lambda group: -group.count))

    async def retry(self, which: DeadFilter, by: Operation, *, every_state: bool = False) -> int:
        store, count = self._store, 0
        able = [three for three in self._dead(which) if three[2].seq in store.events and not three[1].lane.ended]
        for one, seqs in _by_lane(able[: which.limit]):
            count += sum(_retry_event(one, seq, by.at_ms, every_state=every_state) for seq in seqs)
            store.changed(one, one.lane)
        self._note(by, count)
        return count

    async def discard(self, which: DeadFilter, by: Operation) -> int:
        found = self._dead(which)[: which.limit]
        for one in {id(one): one for _, one, _ in found}.values():
            one.let_go([(row.seq, row.part) for _, its, row in found if its is one], State.DISCARDED, by.at_ms)
            self._store.changed(one, one.lane)
        self._note(by, len(found))
        return len(found)

    async def change_lane(self, lane: int, by: Operation) -> Lane:
        store = self._store.of(lane)
        if store.lane.ended and by.what != "end":
            raise JournalError(f"lane {lane} has ended")
        if by.what in {"pause", "resume"}:
            self._store.changed(store, replace(store.lane, paused=by.what == "pause"))
        elif by.what in {"skip", "end"}:
            self._skip(store, end=by.what == "end", at_ms=by.at_ms)
        else:
            raise ValueError(f"nothing is known of {by.what!r} for a lane")
        self._note(by, 0)
        return store.lane

    async def rejected(self, source: str | None, limit: int = 100) -> tuple[Rejection, ...]:
        mine = [one for one in self._store.rejected if source is None or one.source == source]
        return tuple(reversed(mine))[:limit]

    async def backup(self, path: str) -> None:
        raise JournalError(f"a journal in memory is not backed up (to {path})")

    # --- inside ------------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        for future in self._waiting:
            _wake(future)

    def _note(self, by: Operation, count: int) -> None:
        self._store.notes.append(replace(by, count=count or by.count))
        self._wake()

    def _dead(self, which: DeadFilter) -> list[tuple[int, LaneStore, ParkedRow]]:
        found = [
            (one.ids[seq, part].number, one, row)
            for one in self._store.lanes.values()
            for seq, rows in one.rows.items()
            for part, row in rows.items()
            if row.state is State.DEAD and is_letter(which, str(one.ids[seq, part].number), one.lane, row)
        ]
        return sorted(found, key=lambda three: three[0])

    def _skip(self, store: LaneStore, *, end: bool, at_ms: int) -> None:
        lane, waiting = store.lane, len(self._store.waiting(store.lane))
        to_seq = self._store.last_seq(lane)
        if waiting:
            store.skips.append((lane.cursor, to_seq, waiting))
        store.stands(replace(ledger.after_skip(lane, to_seq, waiting), ended=end))
        if end and store.rows:
            rows = [(seq, part) for seq, parts in sorted(store.rows.items()) for part in sorted(parts)]
            store.let_go(rows, State.DISCARDED, at_ms)
        self._store.changed(store, store.lane)

    def _audited(self, one: LaneStore) -> AuditRow:
        lane, book = one.lane, one.book
        seqs = self._store.by_source.get(lane.source, [])
        settled = sum(seq > lane.start_seq and ledger.settled_before(lane, seq) for seq in seqs)
        expected = book.removed_events + settled
        recounted = recount(one, book.floor_seq, lane.ahead[-1][1] if lane.ahead else lane.cursor)
        for rows in one.rows.values():
            recounted = ledger.add(recounted, ledger.state_of_rows(rows.values()))
        skipped = sum(count for _, last, count in one.skips if last > book.floor_seq)
        recounted = ledger.add(recounted, State.DISCARDED, skipped)
        why = ledger.difference(expected, lane.counts, ledger.plus(recounted, book.removed))
        return AuditRow(
            lane=lane,
            waiting=len(self._store.waiting(lane)),
            expected=expected,
            booked=lane.counts,
            recounted=recounted,
            removed=book.removed.total(),
            balanced=not why,
            why=why,
        )


def _wake(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def _states(store: LaneStore, seqs: Sequence[int]) -> tuple[tuple[int, State | None], ...]:
    """What neighbouring events are on a lane; None where that is no longer known."""
    if not seqs:
        return ()
    told = {seq: ledger.state_of_rows(store.rows[seq].values()) for seq in seqs if seq in store.rows}
    bits: dict[int, int] = {}
    for tried in store.tried:
        if tried.counted:
            ledger.fold(bits, tried.attempts, seqs[0] - 1, seqs[-1], own=tried.own)
    skips = [(after, last) for after, last, _ in store.skips]
    return tuple((seq, ledger.state_at(store.lane, seq, told, bits, skips)) for seq in seqs)


def _retry_event(store: LaneStore, seq: int, at_ms: int, *, every_state: bool) -> int:
    """All dead parts of an event become due, to be mapped anew; how many."""
    rows = store.rows[seq]
    counts = ledger.add(store.lane.counts, ledger.state_of_rows(rows.values()), -1)
    dead = [row for row in rows.values() if row.state is State.DEAD]
    for row in dead:
        rows[row.part] = replace(
            row,
            state=State.PARKED,
            record=None,
            attempt=0,
            due_at_ms=at_ms,
            first_failed_at_ms=at_ms,
            generation=row.generation + 1,
            every_state=every_state,
        )
    store.stands(replace(store.lane, counts=ledger.add(counts, State.PARKED)))
    return len(dead)


def _by_lane(found: Sequence[tuple[int, LaneStore, ParkedRow]]) -> Iterator[tuple[LaneStore, list[int]]]:
    for one in {id(one): one for _, one, _ in found}.values():
        yield one, sorted({row.seq for _, its, row in found if its is one})
