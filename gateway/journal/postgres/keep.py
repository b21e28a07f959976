"""Keeping on PostgreSQL: what is over goes in slices, none of which holds whoever appends.

Events and identities go by dropping tables (`tables`, and below). Batches go one by one only where their table does not
go in time: it holds too much that is still needed, or more than it should; or it is the one that was there first.

Once a batch is gone, its events stay counted in `lanes.removed_events`; once attempts are gone, what they told stays in
`lanes.removed`, below `floor_seq`. So the audit goes on to balance. Room that rows leave is used again by new ones (the
tables' autovacuum settings are in the migrations).
"""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from gateway.journal import ledger
from gateway.journal.base import Keep, Kept
from gateway.journal.parts import Part, waiting_places
from gateway.journal.postgres import attempts, lanes, rows, tables
from gateway.journal.postgres.change import Change
from gateway.journal.postgres.connection import Connections
from gateway.journal.postgres.counting import head_seq, last_seq, parts
from gateway.journal.postgres.lanes import Read
from gateway.model import Lane, State

BATCHES_PER_SLICE = 32
EVENTS_PER_SLICE = 200
SEQS_PER_SLICE = 2_000
ATTEMPTS_PER_SLICE = 64
ROWS_PER_SLICE = 200
VERSIONS_PER_SLICE = 500
INTENTS_PER_SLICE = 100
REPLAYS_PER_SLICE = 100
LOOKED_THROUGH_MAX = 2_000
"""Rows that one look goes through to find something to remove; it goes on from there the next time."""
DAY_MS = 86_400_000

NOTHING = Kept(0, 0, 0, 0, 0, 0, more=False)


def _did(**counts: int) -> Kept:
    return replace(NOTHING, **counts, more=True)


class Keeper:
    """Removes what is over. It remembers how far the log was looked through, so that pinned batches are not met each
    time.
    """

    def __init__(self, db: Connections) -> None:
        self._db = db
        self._after_seq = 0

    async def keep(self, rules: Keep) -> Kept:
        """The next slice. One that meets a change by somebody else does nothing and is looked for again."""
        await tables.turn(self._db, rules)
        slices = (
            self._old_identities,
            self._old_batches,
            self._too_old,
            self._old_attempts,
            self._old_dead,
            self._old_replays,
            self._old_versions,
            self._unwanted_intents,
        )
        for look in slices:
            kept = await look(rules)
            if kept is not None:
                return kept
        return NOTHING

    # --- identities --------------------------------------------------------------------------------------------------

    async def _old_identities(self, rules: Keep) -> Kept | None:
        """A bucket is first marked, under the lock of whoever appends, and dropped when no append looks at it. One that
        somebody reads (a dump) stays until the next time.
        """
        found = await self._db.fetch(
            "SELECT id, gone FROM gateway.identity_buckets WHERE gone OR until_ms < $1 ORDER BY id LIMIT 1",
            rules.now_ms - rules.identities_ms,
        )
        if not found:
            return None
        if not found[0]["gone"]:
            await self._db.value("SELECT gateway.close_bucket($1)", found[0]["id"])
        went = await self._db.value("SELECT gateway.drop_bucket($1)", found[0]["id"])
        return _did(identities=went) if went is not None else None

    # --- events ------------------------------------------------------------------------------------------------------

    async def _old_batches(self, rules: Keep) -> Kept | None:
        excess = await self._excess_bytes(rules)
        reads = await lanes.read_all(self._db)
        kept = await tables.next_slice(self._db, rules, excess, reads)
        if kept is not None:
            return kept
        settled = ledger.settled_by_all(one.book for one in reads)
        before_ms = rules.now_ms - rules.keep_ms - tables.span_ms(rules)
        batches = await self._batches()
        found: list[_Batch] = []
        for batch in batches:
            old = excess > 0 or batch.received_max_ms < before_ms
            if not old and batch.received_max_ms < rules.now_ms + DAY_MS:
                batches = []
                break
            self._after_seq = batch.first_seq
            if old and batch.is_settled(settled):
                found.append(batch)
                excess -= batch.size_bytes
            if len(found) == BATCHES_PER_SLICE:
                break
        else:
            batches = batches if len(batches) == LOOKED_THROUGH_MAX else []
        if found:
            return await self._remove_batches(found, reads)
        if batches:
            return _did()
        self._after_seq = 0
        return None

    async def _excess_bytes(self, rules: Keep) -> int:
        """How much more room than it may the log takes; not above 0: none."""
        if rules.max_bytes is None:
            return 0
        return int(await self._db.value(_SIZE)) - rules.max_bytes

    async def _batches(self) -> "list[_Batch]":
        """The next batches in order that no row needs, without the newest, which holds the head. A letter that has
        expired needs none: it only says what was lost.
        """
        return [_Batch(*row) for row in await self._db.fetch(_BATCHES, self._after_seq)]

    async def _remove_batches(self, found: "Sequence[_Batch]", reads: Sequence[Read]) -> Kept:
        """Remove batches; the lanes of their sources write down how many of their settled events are gone."""
        firsts = [batch.first_seq for batch in found]
        booked: list[tuple[int, int, int]] = []
        for source, *part in await self._db.fetch(_PARTS, firsts):
            one = Part(*part)
            for lane in (read.lane for read in reads if read.lane.source == source):
                count = one.between(lane.start_seq, min(lane.cursor, one.last_seq))
                if count:
                    booked.append((one.first_seq, lane.id, count))
        events = await self._db.value(
            "SELECT gateway.remove_batches($1, $2, $3, $4, $5)",
            firsts,
            max((one.lane.id for one in reads), default=0),
            [one[0] for one in booked],
            [one[1] for one in booked],
            [one[2] for one in booked],
        )
        return _did(events=events)

    # --- what waited too long ----------------------------------------------------------------------------------------

    async def _too_old(self, rules: Keep) -> Kept | None:
        """A lane whose oldest waiting events are beyond `keep_at_most_ms`; or, where the log takes too much room, the
        lane that holds its oldest batch.
        """
        over = await self._excess_bytes(rules) > 0
        before_ms = rules.now_ms - rules.keep_at_most_ms
        head = await head_seq(self._db)
        oldest: tuple[int, Read] | None = None
        for one in await lanes.read_all(self._db):
            first = await self._first_waiting(one.lane, head)
            if first is None:
                continue
            if await self._received_max_ms(first) < before_ms:
                return await self._expire(one, head, before_ms, rules.now_ms)
            if over and (oldest is None or first.first_seq < oldest[0]):
                oldest = first.first_seq, one
        return await self._expire(oldest[1], head, None, rules.now_ms) if oldest is not None else None

    async def _first_waiting(self, lane: Lane, head: int) -> Part | None:
        to_seq = last_seq(lane, head)
        if lane.ended or to_seq <= lane.cursor:
            return None
        async for part in parts(self._db, lane.source, lane.cursor, to_seq):
            if waiting_places(part, lane, to_seq):
                return part
        return None

    async def _received_max_ms(self, part: Part) -> int:
        found = await self._db.fetch("SELECT received_max_ms FROM gateway.batches WHERE first_seq = $1", part.first_seq)
        return int(found[0][0]) if found else 0

    async def _expire(self, one: Read, head: int, before_ms: int | None, at_ms: int) -> Kept:
        """The oldest waiting events of a lane become dead."""
        seqs = await self._expiring(one.lane, head, before_ms)
        if not seqs:
            return _did()
        change = Change(heard=True)
        change.write_rows(one.lane.id, ((ledger.expired(seq, at_ms), 0) for seq in seqs))
        change.lane(one, one._replace(book=one.book._replace(lane=ledger.after_expiry(one.lane, seqs))))
        return _did(expired=len(seqs)) if await change.write(self._db) else _did()

    async def _expiring(self, lane: Lane, head: int, before_ms: int | None) -> list[int]:
        to_seq = last_seq(lane, head)
        seqs: list[int] = []
        async for part in parts(self._db, lane.source, lane.cursor, to_seq):
            if before_ms is not None and await self._received_max_ms(part) >= before_ms:
                break
            seqs += waiting_places(part, lane, to_seq)
            if before_ms is None or len(seqs) >= EVENTS_PER_SLICE:
                break
        return seqs[:EVENTS_PER_SLICE]

    # --- attempts and dead letters -----------------------------------------------------------------------------------

    async def _old_attempts(self, rules: Keep) -> Kept | None:
        """A lane with attempts that are over: the audit's floor has to pass them first."""
        before_ms = rules.now_ms - rules.attempts_ms
        found = await self._db.fetch(_OVER, before_ms)
        over = [(lane, seq) for lane, seq, counted, cursor in found if not counted or seq <= cursor]
        if not over:
            return None
        number = over[0][0]
        (one,) = await lanes.read(self._db, [number])
        to_seq = max(seq for lane, seq in over if lane == number)
        return await self._remove_attempts(one, to_seq, before_ms)

    async def _remove_attempts(self, one: Read, to_seq: int, before_ms: int) -> Kept:
        lane, floor_seq = one.lane, one.book.floor_seq
        change = Change()
        after = one
        to_seq = min(to_seq, lane.cursor, floor_seq + SEQS_PER_SLICE)
        if to_seq > floor_seq:
            after = await self._raise_floor(change, one, to_seq)
        change.lane(one, after)
        going = await self._db.fetch(
            "SELECT id FROM gateway.attempts WHERE lane = $1 AND at_ms < $2 AND (counted = 0 OR last_seq <= $3)"
            " ORDER BY at_ms LIMIT $4",
            lane.id,
            before_ms,
            after.book.floor_seq,
            ATTEMPTS_PER_SLICE,
        )
        change.attempts_gone += [row[0] for row in going]
        return _did(attempts=len(going)) if await change.write(self._db) else _did()

    async def _raise_floor(self, change: Change, one: Read, to_seq: int) -> Read:
        """What is settled for good up to here is not recounted any more: it stands in `removed`. A skip goes whole."""
        lane, floor_seq = one.lane.id, one.book.floor_seq
        skips = await self._db.fetch(
            "SELECT last_seq, count FROM gateway.skips WHERE lane = $1 AND after_seq < $2", lane, to_seq
        )
        to_seq = max([to_seq, *(row["last_seq"] for row in skips)])
        with_rows = await self._db.fetch(
            "SELECT DISTINCT seq FROM gateway.parked WHERE lane = $1 AND seq > $2 AND seq <= $3",
            lane,
            floor_seq,
            to_seq,
        )
        counts = await attempts.recount(self._db, lane, floor_seq, to_seq, [row[0] for row in with_rows])
        removed = ledger.plus(one.book.removed, counts)
        removed = ledger.add(removed, State.DISCARDED, sum(row["count"] for row in skips))
        change.forget_skips(lane, to_seq)
        return one._replace(book=one.book._replace(floor_seq=to_seq, removed=removed))

    async def _old_dead(self, rules: Keep) -> Kept | None:
        """Dead letters whose time is over. Their events stay dead in the books."""
        found = await self._db.fetch(
            "SELECT lane, seq, part FROM gateway.parked WHERE state = 'dead' AND at_ms < $1 ORDER BY at_ms LIMIT $2",
            rules.now_ms - rules.dead_ms,
            ROWS_PER_SLICE,
        )
        if not found:
            return None
        number = found[0]["lane"]
        (one,) = await lanes.read(self._db, [number])
        refs = [(row["seq"], row["part"].decode()) for row in found if row["lane"] == number]
        standing = (await rows.standing(self._db, {number: {seq for seq, _ in refs}}))[number]
        still = {ref for ref in refs if ref[0] in standing and ref[1] in standing[ref[0]].rows}
        going = [ref for ref in refs if ref in still and standing[ref[0]].rows[ref[1]].state is State.DEAD]
        change = Change()
        touched = {seq: standing[seq] for seq, _ in going}
        change.lane(one, change.let_go(one, going, touched, State.DEAD, rules.now_ms))
        return _did(dead=len(going)) if await change.write(self._db) else _did()

    # --- replays, versions, intents ----------------------------------------------------------------------------------

    async def _old_replays(self, rules: Keep) -> Kept | None:
        """Lanes of replays that are over go first, then the replays that have none."""
        before_ms = rules.now_ms - rules.dead_ms
        lanes_gone = await self._db.value(_LANES_OVER, before_ms, REPLAYS_PER_SLICE)
        gone = await self._db.value(_REPLAYS_OVER, before_ms, REPLAYS_PER_SLICE)
        return _did(replays=gone) if gone or lanes_gone else None

    async def _old_versions(self, rules: Keep) -> Kept | None:
        gone = await self._db.fetch(
            "DELETE FROM gateway.versions WHERE (destination, key) IN"
            " (SELECT destination, key FROM gateway.versions WHERE at_ms < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)"
            " RETURNING 1",
            rules.now_ms - rules.keep_ms,
            VERSIONS_PER_SLICE,
        )
        return _did() if gone else None

    async def _unwanted_intents(self, _: Keep) -> Kept | None:
        """Intents whose lanes have all ended, or are gone."""
        gone = await self._db.fetch(_INTENTS_OVER, INTENTS_PER_SLICE)
        return _did() if gone else None


class _Batch(NamedTuple):
    first_seq: int
    last_seq: int
    received_max_ms: int
    size_bytes: int
    sources: list[str]

    def is_settled(self, settled: dict[str, int]) -> bool:
        """Whether every lane has settled the batch."""
        return all(settled.get(name, self.last_seq) >= self.last_seq for name in self.sources)


_SIZE = """
SELECT coalesce((SELECT bytes_before + size_bytes FROM gateway.batches ORDER BY first_seq DESC LIMIT 1), 0) - value
FROM gateway.meta WHERE key = 'bytes_removed'
"""
_BATCHES = f"""
SELECT b.first_seq, b.first_seq + b.count - 1, b.received_max_ms, b.size_bytes, ARRAY(
    SELECT s.name FROM gateway.batch_sources p JOIN gateway.sources s ON s.id = p.source_id
    WHERE p.first_seq = b.first_seq
)
FROM gateway.batches b
WHERE b.first_seq > $1 AND b.first_seq < (SELECT max(first_seq) FROM gateway.batches) AND NOT EXISTS (
    SELECT FROM gateway.parked r
    WHERE r.seq BETWEEN b.first_seq AND b.first_seq + b.count - 1 AND r.reason <> 'expired'
)
ORDER BY b.first_seq LIMIT {LOOKED_THROUGH_MAX}
"""  # noqa: S608  a number
_PARTS = """
SELECT s.name, p.first_seq, p.last_seq, p.count, p.total_before, p.places
FROM gateway.batch_sources p JOIN gateway.sources s ON s.id = p.source_id
WHERE p.first_seq = ANY ($1)
"""
_LANES_OVER = """
WITH gone AS (
    DELETE FROM gateway.lanes WHERE id IN (
        SELECT l.id FROM gateway.replays r JOIN gateway.lanes l ON l.kind = r.id
        WHERE r.at_ms < $1 AND (l.ended OR l.cursor >= l.end_seq)
            AND NOT EXISTS (SELECT FROM gateway.parked p WHERE p.lane = l.id)
            AND NOT EXISTS (SELECT FROM gateway.attempts a WHERE a.lane = l.id)
        LIMIT $2 FOR UPDATE OF l SKIP LOCKED
    ) RETURNING id
), skipped AS (DELETE FROM gateway.skips WHERE lane IN (SELECT id FROM gone))
SELECT count(*) FROM gone
"""
_REPLAYS_OVER = """
WITH gone AS (
    DELETE FROM gateway.replays WHERE id IN (
        SELECT r.id FROM gateway.replays r
        WHERE r.at_ms < $1 AND NOT EXISTS (SELECT FROM gateway.lanes l WHERE l.kind = r.id) LIMIT $2
    ) RETURNING 1
)
SELECT count(*) FROM gone
"""
_INTENTS_OVER = """
DELETE FROM gateway.intents WHERE key IN (
    SELECT i.key FROM gateway.intents i WHERE i.lanes IS NOT NULL AND NOT EXISTS (
        SELECT FROM gateway.lanes l WHERE l.id = ANY (i.lanes) AND NOT l.ended
    ) LIMIT $1
) RETURNING 1
"""
_OVER = f"""
SELECT a.lane, a.last_seq, a.counted, coalesce(l.cursor, a.last_seq)
FROM gateway.attempts a LEFT JOIN gateway.lanes l ON l.id = a.lane
WHERE a.at_ms < $1 ORDER BY a.at_ms LIMIT {LOOKED_THROUGH_MAX}
"""  # noqa: S608  a number
