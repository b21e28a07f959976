"""A PostgreSQL journal as its rows, to be copied from and into."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from gateway.journal.postgres.connection import Connection, Row, connect, translated
from gateway.journal.postgres.lanes import plain
from gateway.journal.records import (
    Duplicate,
    Stored,
    pack_duplicates,
    pack_stored,
    unpack_duplicates,
    unpack_stored,
)
from gateway.journal.transfer import PROGRESS, SOURCE, TABLES, Values

CONNECT_S = 10.0
WINDOW_MS = 7 * 86_400_000
"""The window that copied identities are spread by: a bucket takes half of it."""

_FLAGS = {"lanes": ("paused", "ended"), "parked": ("every_state",)}
_TEXTS = {"parked": ("part", "channel", "detail")}
"""Text that is kept as bytes."""
_NO_EVENT = Stored("", "", 0, 0, "", "", (), b"")
"""What stands in a batch's payload for a place that repeats another event: it is never read."""


@asynccontextmanager
async def shelf(url: str) -> AsyncIterator["PostgresShelf"]:
    """A database. It has been opened as a journal before, so that its schema is there."""
    with translated(CONNECT_S):
        async with AsyncExitStack() as stack:
            snapshot = await connect(url, CONNECT_S)
            stack.callback(snapshot.terminate)
            now = await connect(url, CONNECT_S)
            stack.callback(now.terminate)
            await stack.enter_async_context(snapshot.transaction(isolation="repeatable_read", readonly=True))
            yield PostgresShelf(snapshot, now)


class PostgresShelf:
    """A database, by two connections: one that sees it as it was, one that sees and writes it as it is."""

    def __init__(self, snapshot: Connection, now: Connection) -> None:
        self._snapshot = snapshot
        self._now = now

    async def pulse(self) -> Values:
        probe = await self._now.fetch("SELECT value FROM gateway.meta WHERE key = 'probe'")
        leases = await self._now.fetch("SELECT account, owner, renewals FROM gateway.leases ORDER BY account")
        return tuple(map(tuple, (*probe, *leases)))

    async def contents(self) -> Values:
        (found,) = await self._now.fetch(CONTENTS)
        return tuple(found)

    async def counts(self) -> dict[str, int]:
        return {name: await self._count(name) for name in TABLES}

    async def rows(self, table: str, skip: int) -> AsyncIterator[list[Values]]:
        at_once = TABLES[table].at_once
        if table == "identities":
            sources = [(_of_bucket(one), skipped) for one, skipped in await self._buckets(skip)]
        else:
            sources = [(_select(table), skip)]
        for query, skipped in sources:
            cursor = await self._snapshot.cursor(query, skipped)
            while some := await cursor.fetch(at_once):
                yield [_neutral(table, row) for row in some]

    async def progress(self) -> dict[str, int]:
        rows = await self._now.fetch("SELECT key, value FROM gateway.meta WHERE key LIKE 'copy:%'")
        return {key if key == SOURCE else key.removeprefix(PROGRESS): value for key, value in rows}

    async def take(self, table: str, rows: Sequence[Values], progress: dict[str, int]) -> None:
        async with self._now.transaction():
            if table == "meta":
                await self._now.executemany(_META, rows)
            elif table == "identities":
                await self._remember(rows)
            elif rows:
                await self._copy_in(table, rows)
            await self._now.executemany(_META, progress.items())

    async def finish(self) -> None:
        async with self._now.transaction():
            for name in ("sources", "lanes", "parked", "attempts", "rejected", "operations"):
                await self._now.execute(
                    f"SELECT setval(pg_get_serial_sequence('gateway.{name}', 'id'), max(id))"  # noqa: S608  constants
                    f" FROM gateway.{name} HAVING max(id) IS NOT NULL"
                )
        await self._now.execute("ANALYZE")

    async def release(self) -> None:
        await self._now.execute("DELETE FROM gateway.meta WHERE key LIKE 'copy:%'")

    async def _count(self, table: str) -> int:
        if table == "identities":
            return sum([await self._of(bucket) for bucket in await self._numbers()])
        return int(await self._snapshot.fetchval(f"SELECT count(*) FROM gateway.{table}{_WHERE.get(table, '')}"))  # noqa: S608  constants

    # --- identities --------------------------------------------------------------------------------------------------

    async def _numbers(self) -> list[int]:
        """The buckets that are looked at, older ones first."""
        return [row[0] for row in await self._snapshot.fetch(_BUCKETS)]

    async def _of(self, bucket: int) -> int:
        return int(await self._snapshot.fetchval(f"SELECT count(*) FROM gateway.identities_{bucket}"))  # noqa: S608  a number

    async def _buckets(self, skip: int) -> list[tuple[int, int]]:
        """Where to go on: each bucket, and how many of its rows to pass over."""
        found = []
        for bucket in await self._numbers():
            number = await self._of(bucket)
            found.append((bucket, min(skip, number)))
            skip -= min(skip, number)
        return found

    async def _remember(self, rows: Sequence[Values]) -> None:
        """Into the newest bucket, or the next where that has had its time."""
        last = {row[:2]: row for row in rows}.values()
        newest_ms = max(row[4] for row in last)
        bucket = await self._now.fetchval("SELECT gateway.bucket_in_force($1, $2)", newest_ms, WINDOW_MS)
        await self._now.execute(
            f"INSERT INTO gateway.identities_{bucket} (hash, source_id, seq, tail, at_ms)"  # noqa: S608  a number
            " SELECT * FROM unnest($1::bytea[], $2::integer[], $3::bigint[], $4::bytea[], $5::bigint[])"
            " ON CONFLICT (hash, source_id) DO UPDATE"
            " SET seq = excluded.seq, tail = excluded.tail, at_ms = excluded.at_ms",
            *map(list, zip(*last, strict=True)),
        )

    # --- everything else ---------------------------------------------------------------------------------------------

    async def _copy_in(self, table: str, rows: Sequence[Values]) -> None:
        columns: tuple[str, ...] = TABLES[table].columns
        records: Iterable[Values]
        if table == "batches":
            columns = _BATCH
            before = await self._now.fetchval(
                "SELECT bytes_before + size_bytes FROM gateway.batches ORDER BY first_seq DESC LIMIT 1"
            )
            records = _batches(rows, before or 0)
        else:
            turns = [_turn(table, name) for name in columns]
            records = [tuple(turn(value) for turn, value in zip(turns, row, strict=True)) for row in rows]
        await self._now.copy_records_to_table(table, schema_name="gateway", columns=columns, records=records)


CONTENTS = """
SELECT (SELECT coalesce(max(first_seq + count), 0) FROM gateway.batches), (SELECT count(*) FROM gateway.batches),
    (SELECT value FROM gateway.meta WHERE key = 'operations'), (SELECT coalesce(max(id), 0) FROM gateway.attempts),
    (SELECT count(*) FROM gateway.parked), (SELECT coalesce(max(id), 0) FROM gateway.parked),
    (SELECT coalesce(max(id), 0) FROM gateway.rejected), (SELECT count(*) FROM gateway.lanes),
    (SELECT coalesce(sum(version + changed), 0)::bigint FROM gateway.lanes), (SELECT count(*) FROM gateway.intents),
    (SELECT count(*) FROM gateway.replays), (SELECT coalesce(sum(token), 0)::bigint FROM gateway.leases)
"""
_META = "INSERT INTO gateway.meta VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
_BUCKETS = """
SELECT i.id FROM gateway.identity_buckets i
WHERE NOT i.gone AND to_regclass(format('gateway.identities_%s', i.id)) IS NOT NULL ORDER BY i.id
"""
_WHERE = {"meta": " WHERE key = 'operations' OR key LIKE 'revision:%'"}
_BATCH = (
    *("first_seq", "count", "group_id", "received_min_ms", "received_max_ms", "bytes_before", "size_bytes"),
    *("places", "seqs", "tails", "payload"),
)
_INSTEAD = {
    ("leases", "owner"): "''::text",
    ("batches", "duplicates"): "NULL::bytea, places, seqs, tails",
    ("sources", "total"): (
        "coalesce((SELECT total_before + count FROM gateway.batch_sources WHERE source_id = sources.id"
        " ORDER BY first_seq DESC LIMIT 1), total)"
    ),
}


def _select(table: str) -> str:
    one = TABLES[table]
    columns = ", ".join(_INSTEAD.get((table, name), name) for name in one.columns)
    return f"SELECT {columns} FROM gateway.{table}{_WHERE.get(table, '')} ORDER BY {one.order} OFFSET $1"  # noqa: S608  constants


def _of_bucket(bucket: int) -> str:
    columns = ", ".join(TABLES["identities"].columns)
    return f"SELECT {columns} FROM gateway.identities_{bucket} ORDER BY hash, source_id OFFSET $1"  # noqa: S608  constants


def _neutral(table: str, row: Row) -> Values:
    """A row as it is copied."""
    if table == "batches":
        return _batch(row)
    values = dict(zip(TABLES[table].columns, row, strict=True))
    values |= {name: int(values[name]) for name in _FLAGS.get(table, ())}
    values |= {name: values[name].decode() for name in _TEXTS.get(table, ())}
    return tuple(values.values())


def _batch(row: Row) -> Values:
    """A batch without what its payload holds of repeats."""
    repeats, payload = row["places"], row["payload"]
    if not repeats:
        return (*tuple(row)[:5], None, payload)
    told = zip(repeats, row["seqs"], row["tails"], strict=True)
    events = [one for place, one in enumerate(unpack_stored(payload)) if place not in set(repeats)]
    return (*tuple(row)[:5], pack_duplicates([Duplicate(*one) for one in told]), pack_stored(events))


def _batches(rows: Iterable[Values], before: int) -> list[Values]:
    """Batches as they lie here: with a place in the payload for each repeat, and the bytes before each."""
    found = []
    for row in rows:
        repeated, payload = unpack_duplicates(row[5]), row[6]
        if repeated:
            events = iter(unpack_stored(payload))
            places = {one.place for one in repeated}
            both = range(row[1] + len(places))
            payload = pack_stored([_NO_EVENT if place in places else next(events) for place in both])
        told = [[getattr(one, name) for one in repeated] or None for name in ("place", "seq", "tail")]
        found.append((*row[:5], before, len(payload), *told, payload))
        before += len(payload)
    return found


def _turn(table: str, column: str) -> Callable[[Any], Any]:
    """What makes a value of a column one of ours."""
    if column in _FLAGS.get(table, ()):
        return bool
    if column in _TEXTS.get(table, ()):
        return str.encode
    return _plain


def _plain(value: Any) -> Any:
    return plain(value) if isinstance(value, str) else value
