"""`PostgresJournal`: the contracts over one database. Each method is one call, or a look and a call."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from functools import partial

from gateway.errors import JournalError
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
from gateway.journal.postgres import audit, desk, log, rows, schema
from gateway.journal.postgres import lanes as lane_rows
from gateway.journal.postgres.connection import Connections
from gateway.journal.postgres.filters import Filters
from gateway.journal.postgres.keep import Keeper
from gateway.journal.postgres.listener import POLL_S, Listener
from gateway.journal.postgres.settle import Settler
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

CONNECTIONS = 4
"""For the log and the lanes. A process seldom uses more than two at once."""
DESK_CONNECTIONS = 2
"""For what may take long, so that nothing waits behind it."""
SEARCH_S = 60.0
AUDIT_S = 600.0
_NO_LIMIT = 1 << 62


class PostgresJournal:
    """A journal in the schema `gateway` of a PostgreSQL database, for all replicas.

    `url`: the database, perhaps through a pooler. `listen_url`: the database itself, where `url` is a pooler's.
    `create`: `open` makes the journal where there is none. `copying`: it may be a copy that is not complete.
    `timeout_s`: after so long a statement that does not come back is JournalUnavailable.
    """

    capabilities = frozenset({Capability.DURABLE})

    def __init__(
        self,
        url: str,
        *,
        listen_url: str | None = None,
        create: bool = True,
        copying: bool = False,
        timeout_s: float = 10.0,
    ) -> None:
        self._create = create
        self._copying = copying
        self._db = Connections(url, CONNECTIONS, timeout_s)
        self._desk = Connections(url, DESK_CONNECTIONS, timeout_s)
        self._listener = Listener(listen_url or url, timeout_s)
        self._filters = Filters(self._db, self._desk)
        self._settler = Settler(self._db, self._filters)
        self._keeper = Keeper(self._desk)
        self._closed = False

    async def open(self) -> None:
        """Connect, make the schema where there is none (`create`), and migrate it forward. Raises JournalError for a
        server that is too old, a schema of another application or half a copy, JournalUnavailable when it cannot be
        done now.
        """
        async with self._db.one(self._db.timeout_s) as connection:
            await schema.prepare(connection, create=self._create)
            if not self._copying:
                refuse_half(await connection.fetchval(IS_COPIED_INTO.format(meta="gateway.meta")))

    async def close(self) -> None:
        """Let go of the connections."""
        self._closed = True
        await self._filters.close()
        await self._listener.close()
        await self._db.close()
        await self._desk.close()

    # --- the log -----------------------------------------------------------------------------------------------------

    async def append(self, group: Group) -> tuple[Receipt, ...]:
        receipts = await log.append(self._db, await _prepared(group), self._filters)
        self._listener.heard()
        return receipts

    async def read(
        self, after_seq: int, *, sources: Collection[str] | None = None, limit: int = 500, limit_bytes: int = 4 << 20
    ) -> Page:
        return await log.read(self._db, after_seq, sources, limit, limit_bytes)

    async def event(self, seq: int) -> Event | None:
        return await log.event(self._db, seq)

    async def head(self) -> Head:
        return await log.head(self._db)

    async def wait(self, seen: Head, timeout_s: float) -> Head:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + timeout_s
        while True:
            promise = self._listener.promise()
            try:
                now = await self.head()
                left_s = until_s - loop.time()
                if now != seen or left_s <= 0 or self._closed:
                    return now
                await asyncio.wait((promise,), timeout=min(left_s, POLL_S))
            finally:
                self._listener.forget(promise)

    async def probe(self) -> None:
        await self._db.fetch("UPDATE gateway.meta SET value = value + 1 WHERE key = 'probe'")

    async def keep(self, rules: Keep) -> Kept:
        return await self._keeper.keep(rules)

    # --- the lanes ---------------------------------------------------------------------------------------------------

    async def register(self, lanes: Sequence[LaneSpec]) -> tuple[Lane, ...]:
        return self._settler.see(await lane_rows.register(self._db, lanes))

    async def revise(self, digest: str, revision: int | None = None) -> int:
        return int(await self._db.value("SELECT gateway.revise($1, $2)", digest, revision))

    async def seq_at(self, at_ms: int) -> int:
        return await log.seq_at(self._db, at_ms)

    async def states(self, lane: int, after_seq: int, to_seq: int) -> tuple[tuple[int, State | None], ...]:
        async with self._desk.snapshot() as db:
            return await desk.states(db, lane, after_seq, to_seq)

    async def replay(self, replay: Replay, lanes: Sequence[LaneSpec], by: Operation) -> tuple[Lane, ...]:
        return self._settler.see(await lane_rows.replay(self._db, replay, lanes, by))

    async def replays(self) -> tuple[Replay, ...]:
        return await lane_rows.replays(self._db)

    async def lanes(self) -> tuple[Lane, ...]:
        return self._settler.see(await lane_rows.read_all(self._db))

    async def leases(self) -> tuple[Lease, ...]:
        return await lane_rows.leases(self._db)

    async def claim(self, account: str, owner: str, seen: Lease | None) -> Lease | None:
        return await lane_rows.claim(self._db, account, owner, seen)

    async def renew(self, leases: Sequence[Lease], *, release: bool = False) -> tuple[Lease, ...]:
        return await lane_rows.renew(self._db, leases, release=release)

    async def hold(self, lease: Lease, lanes: Collection[int]) -> tuple[Lane, ...]:
        return self._settler.see(await lane_rows.hold(self._db, lease, lanes))

    async def parked(
        self, lane: int, refs: Sequence[tuple[int, str]] | None = None, *, limit: int = 10_000
    ) -> tuple[ParkedRow, ...]:
        return await rows.parked(self._db, lane, refs, limit)

    async def versions(self, lane: int, keys: Collection[bytes]) -> dict[bytes, int]:
        return await lane_rows.versions(self._db, lane, keys)

    async def settle(self, settlement: Settlement) -> tuple[Lane, ...]:
        after = await self._settler.settle(settlement)
        if settlement.derived:
            self._listener.heard()
        return after

    async def intend(self, lease: Lease, intents: Sequence[Intent]) -> None:
        await lane_rows.intend(self._db, lease, intents)

    async def intents(self, lanes: Collection[int]) -> tuple[Intent, ...]:
        return await lane_rows.intents(self._db, lanes)

    # --- the desk ----------------------------------------------------------------------------------------------------

    async def lane_rows(self) -> tuple[LaneRow, ...]:
        async with self._desk.snapshot() as db:
            return await audit.lane_rows(db)

    async def audit(self) -> tuple[AuditRow, ...]:
        async with self._desk.snapshot(AUDIT_S) as db:
            return await audit.audit(db)

    async def events(self, which: EventFilter) -> tuple[Event, ...]:
        async with self._desk.snapshot(SEARCH_S) as db:
            return await desk.events(db, which)

    async def view(self, seq: int) -> EventView | None:
        async with self._desk.snapshot() as db:
            return await desk.view(db, seq)

    async def dead(self, which: DeadFilter) -> AsyncIterator[DeadRow]:
        after_id: int | None = 0
        left = _NO_LIMIT if which.limit is None else which.limit
        while after_id is not None and left > 0:
            async with self._desk.snapshot() as db:
                found, after_id = await desk.dead(db, which, after_id, left)
            left -= len(found)
            for one in found:
                yield one

    async def dead_groups(self, which: DeadFilter) -> tuple[DeadGroup, ...]:
        async with self._desk.snapshot(SEARCH_S) as db:
            return await desk.dead_groups(db, which)

    async def retry(self, which: DeadFilter, by: Operation, *, every_state: bool = False) -> int:
        return await self._in_slices(partial(desk.retry, self._desk, which, by, every_state=every_state))

    async def discard(self, which: DeadFilter, by: Operation) -> int:
        return await self._in_slices(partial(desk.discard, self._desk, which, by))

    async def change_lane(self, lane: int, by: Operation) -> Lane:
        changed = await desk.change_lane(self._desk, lane, by)
        if by.what == "end":
            while await desk.discard_rows(self._desk, lane, by.at_ms):
                continue
            (read,) = await lane_rows.read(self._desk, [lane])
            changed = read.lane
        return changed

    async def rejected(self, source: str | None, limit: int = 100) -> tuple[Rejection, ...]:
        return await desk.rejected(self._desk, source, limit)

    async def backup(self, path: str) -> None:
        raise JournalError(f"a journal on PostgreSQL is not copied to {path}: use pg_dump, or the provider's backups")

    async def _in_slices(self, change: Callable[[desk.Slice], Awaitable[desk.Slice]]) -> int:
        done = desk.Slice(0, 0)
        while done.after_id is not None:
            done = await change(done)
        return done.rows


LARGE_BYTES = 64 << 10
"""A group up to this size is packed sooner than a thread would have begun."""


async def _prepared(group: Group) -> log.Prepared:
    if sum([len(offer.body) for offer in group.offers]) > LARGE_BYTES:
        return await asyncio.to_thread(log.prepare, group)
    return log.prepare(group)
