"""`SqliteJournal`: the contracts over one file. Each method hands one short job to the thread that it belongs to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from functools import partial
from pathlib import Path

from gateway.journal.base import (
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
from gateway.journal.sqlite import audit, desk, log, replays, rows, versions
from gateway.journal.sqlite import keep as keeping
from gateway.journal.sqlite import lanes as lane_rows
from gateway.journal.sqlite.backup import backup
from gateway.journal.sqlite.connection import Db
from gateway.journal.sqlite.identities import Identities
from gateway.journal.sqlite.log import Append
from gateway.journal.sqlite.settle import Settle
from gateway.journal.sqlite.watcher import Watcher
from gateway.journal.sqlite.worker import Reader, Writer
from gateway.journal.transfer import IS_COPIED_INTO, refuse_half
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

GATHER_S = 0.02
"""After a move of the head the next one is not heard of sooner: what comes meanwhile is read at once with it."""
SEARCH_S = 60.0
AUDIT_S = 600.0
_NO_LIMIT = 1 << 62


class SqliteJournal:
    """A journal in one SQLite file (WAL, synchronous=FULL), for all processes of one machine.

    `busy_timeout_s`: after so long a statement that does not come back is JournalUnavailable.
    """

    capabilities = frozenset({Capability.DURABLE})

    def __init__(self, path: str | Path, *, copying: bool = False, busy_timeout_s: float = 10.0) -> None:
        self._path = Path(path)
        self._copying = copying
        self._watcher = Watcher(self._path)
        self._writer = Writer(self._path, busy_timeout_s, self._watcher.committed)
        self._reader = Reader(self._path, busy_timeout_s, "journal-reader")
        self._desk = Reader(self._path, busy_timeout_s, "journal-desk")
        self._identities = Identities()
        self._place = keeping.Place()
        self._known: tuple[int | None, Head] = (None, Head(0, 0))
        self._moved_s = -GATHER_S
        self._closed = False

    async def open(self) -> None:
        """Make the file where there is none, and migrate it forward. Raises JournalError for a file that is no journal
        or is of a newer version, or half a copy, JournalUnavailable when it cannot be opened now.
        """
        await self._writer.run(_nothing if self._copying else _whole)

    async def close(self) -> None:
        """Let go of the file and the threads."""
        if not self._closed:
            self._closed = True
            self._watcher.close()
            await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        self._reader.stop()
        self._desk.stop()
        self._writer.stop()

    # --- the log -----------------------------------------------------------------------------------------------------

    async def append(self, group: Group) -> tuple[Receipt, ...]:
        job = Append(group, self._identities)
        return await self._writer.run(job, before=job.prepare)

    async def read(
        self, after_seq: int, *, sources: Collection[str] | None = None, limit: int = 500, limit_bytes: int = 4 << 20
    ) -> Page:
        return await self._reader.run(
            partial(log.read, after_seq=after_seq, sources=sources, limit=limit, limit_bytes=limit_bytes)
        )

    async def event(self, seq: int) -> Event | None:
        return await self._reader.run(partial(log.event, seq=seq))

    async def seq_at(self, at_ms: int) -> int:
        return await self._reader.run(partial(log.seq_at, at_ms=at_ms))

    async def head(self) -> Head:
        return await self._reader.run(log.head)

    async def wait(self, seen: Head, timeout_s: float) -> Head:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + timeout_s
        early_s = self._moved_s + GATHER_S - loop.time()
        if early_s > 0:
            await asyncio.sleep(min(early_s, timeout_s))
        while True:
            promise = self._watcher.promise()
            try:
                now = await self._head_at(self._watcher.version)
                left_s = until_s - loop.time()
                if now != seen or left_s <= 0 or self._closed:
                    return now
                await asyncio.wait((promise,), timeout=left_s)
            finally:
                self._watcher.forget(promise)

    async def _head_at(self, version: int | None) -> Head:
        """The head at this version of the file, or later: not read again while nobody has committed."""
        known, before = self._known
        if version is None or version != known:
            head = await self.head()
            if known is not None and head != before:
                self._watcher.moved()
                self._moved_s = asyncio.get_running_loop().time()
            self._known = (version, head)
        return self._known[1]

    async def probe(self) -> None:
        await self._writer.run(_probe, quiet=True)

    async def keep(self, rules: Keep) -> Kept:
        found = await self._desk.run(partial(keeping.find, rules=rules, place=self._place))
        return await self._writer.run(found) if found is not None else keeping.NOTHING

    # --- the lanes ---------------------------------------------------------------------------------------------------

    async def register(self, lanes: Sequence[LaneSpec]) -> tuple[Lane, ...]:
        return await self._writer.run(partial(lane_rows.register, specs=lanes))

    async def revise(self, digest: str, revision: int | None = None) -> int:
        return await self._writer.run(partial(lane_rows.revise, digest=digest, revision=revision))

    async def states(self, lane: int, after_seq: int, to_seq: int) -> tuple[tuple[int, State | None], ...]:
        return await self._desk.run(partial(desk.states, number=lane, after_seq=after_seq, to_seq=to_seq))

    async def replay(self, replay: Replay, lanes: Sequence[LaneSpec], by: Operation) -> tuple[Lane, ...]:
        return await self._writer.run(partial(replays.begin, replay=replay, specs=lanes, by=by))

    async def replays(self) -> tuple[Replay, ...]:
        return await self._reader.run(replays.replays)

    async def lanes(self) -> tuple[Lane, ...]:
        return await self._reader.run(_lanes)

    async def leases(self) -> tuple[Lease, ...]:
        return await self._reader.run(lane_rows.leases)

    async def claim(self, account: str, owner: str, seen: Lease | None) -> Lease | None:
        return await self._writer.run(partial(lane_rows.claim, account=account, owner=owner, seen=seen), quiet=True)

    async def renew(self, leases: Sequence[Lease], *, release: bool = False) -> tuple[Lease, ...]:
        return await self._writer.run(partial(lane_rows.renew, held=leases, release=release), quiet=True)

    async def hold(self, lease: Lease, lanes: Collection[int]) -> tuple[Lane, ...]:
        return await self._writer.run(partial(lane_rows.hold, lease=lease, wanted=lanes))

    async def parked(
        self, lane: int, refs: Sequence[tuple[int, str]] | None = None, *, limit: int = 10_000
    ) -> tuple[ParkedRow, ...]:
        return await self._reader.run(partial(rows.parked, lane=lane, refs=refs, limit=limit))

    async def versions(self, lane: int, keys: Collection[bytes]) -> dict[bytes, int]:
        return await self._reader.run(partial(versions.read, lane=lane, keys=keys))

    async def settle(self, settlement: Settlement) -> tuple[Lane, ...]:
        job = Settle(settlement, self._identities)
        return await self._writer.run(job, before=job.prepare, quiet=not settlement.derived)

    async def intend(self, lease: Lease, intents: Sequence[Intent]) -> None:
        await self._writer.run(partial(lane_rows.intend, lease=lease, intents=intents), quiet=True)

    async def intents(self, lanes: Collection[int]) -> tuple[Intent, ...]:
        return await self._reader.run(partial(lane_rows.intents, lanes=lanes))

    # --- the desk ----------------------------------------------------------------------------------------------------

    async def lane_rows(self) -> tuple[LaneRow, ...]:
        return await self._desk.run(audit.lane_rows)

    async def audit(self) -> tuple[AuditRow, ...]:
        return await self._desk.run(audit.audit, timeout_s=AUDIT_S)

    async def events(self, which: EventFilter) -> tuple[Event, ...]:
        return await self._desk.run(partial(desk.events, which=which), timeout_s=SEARCH_S)

    async def view(self, seq: int) -> EventView | None:
        return await self._desk.run(partial(desk.view, seq=seq))

    async def dead(self, which: DeadFilter) -> AsyncIterator[DeadRow]:
        after_id: int | None = 0
        left = _NO_LIMIT if which.limit is None else which.limit
        while after_id is not None and left > 0:
            page = partial(desk.dead, which=which, after_id=after_id, limit=left)
            found, after_id = await self._desk.run(page)
            left -= len(found)
            for one in found:
                yield one

    async def dead_groups(self, which: DeadFilter) -> tuple[DeadGroup, ...]:
        return await self._desk.run(partial(desk.dead_groups, which=which), timeout_s=SEARCH_S)

    async def retry(self, which: DeadFilter, by: Operation, *, every_state: bool = False) -> int:
        return await self._in_slices(partial(desk.retry, which=which, by=by, every_state=every_state))

    async def discard(self, which: DeadFilter, by: Operation) -> int:
        return await self._in_slices(partial(desk.discard, which=which, by=by))

    async def change_lane(self, lane: int, by: Operation) -> Lane:
        changed = await self._writer.run(partial(desk.change_lane, number=lane, by=by))
        if by.what == "end":
            while await self._writer.run(partial(desk.discard_rows, number=lane, at_ms=by.at_ms)):
                continue
            changed = (await self._writer.run(partial(lane_rows.book, lane=lane))).lane
        return changed

    async def rejected(self, source: str | None, limit: int = 100) -> tuple[Rejection, ...]:
        return await self._desk.run(partial(desk.rejected, source=source, limit=limit))

    async def backup(self, path: str) -> None:
        await asyncio.to_thread(backup, self._path, Path(path))

    async def _in_slices(self, change: Callable[..., desk.Slice]) -> int:
        done = desk.Slice(0, 0)
        while done.after_id is not None:
            done = await self._writer.run(partial(change, before=done))
        return done.rows


def _nothing(_: Db) -> None:
    """Proves that the file can be opened."""


def _whole(db: Db) -> None:
    """Refuse half a copy."""
    refuse_half(db.execute(IS_COPIED_INTO.format(meta="meta")).fetchone()[0])


def _probe(db: Db) -> None:
    db.execute("UPDATE meta SET value = value + 1 WHERE key = 'probe'")


def _lanes(db: Db) -> tuple[Lane, ...]:
    return tuple(book.lane for book in lane_rows.books(db))
