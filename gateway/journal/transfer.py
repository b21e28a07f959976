"""A journal copied into another, of any engine: table by table, in slices, from one snapshot of the source.

Each slice is written with how far the copy has come, in one transaction, so that a copy that was killed goes on where
it stopped. It goes on only from a source that still is what it was, and into a target that holds nothing else.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple, Protocol

from gateway.errors import JournalError
from gateway.journal.base import AuditRow

WATCH_S = 6.0
"""For so long the source is watched for a running gateway: it proves every 5 s that it can commit, and renews its
leases every 2 s.
"""
PROGRESS = "copy:"
"""What the keys of the progress begin with, among the target's counters."""
SOURCE = "copy:source"
IS_COPIED_INTO = f"SELECT count(*) FROM {{meta}} WHERE key LIKE '{PROGRESS}%'"  # noqa: S608  constants
"""Whether a journal is a target that is not complete: its counters say so from before the first row to the end."""

Values = tuple[Any, ...]


class Table(NamedTuple):
    """A table as it is copied: its columns, what its rows are ordered by, and how many rows are written at once."""

    columns: tuple[str, ...]
    order: str
    at_once: int = 1_000


TABLES = {
    "meta": Table(("key", "value"), "key"),
    "sources": Table(("id", "name", "total"), "id"),
    "batches": Table(
        ("first_seq", "count", "group_id", "received_min_ms", "received_max_ms", "duplicates", "payload"),
        "first_seq",
        100,
    ),
    "batch_sources": Table(
        ("source_id", "first_seq", "last_seq", "count", "total_before", "places"), "source_id, first_seq"
    ),
    "identities": Table(("hash", "source_id", "seq", "tail", "at_ms"), "", 65_536),
    "lanes": Table(
        (
            *("id", "source", "destination", "kind", "start_seq", "end_seq", "cursor", "ahead"),
            *("delivered", "filtered", "superseded", "parked", "dead", "discarded"),
            *("version", "changed", "paused", "ended", "began_as", "floor_seq", "removed", "removed_events"),
        ),
        "id",
    ),
    "parked": Table(
        (
            *("id", "lane", "seq", "part", "channel", "key", "state", "attempt", "due_at_ms", "first_failed_at_ms"),
            *("at_ms", "reason", "mapping", "generation", "past", "tail", "delivered_parts", "detail", "answer"),
            *("record", "every_state"),
        ),
        "id",
        200,
    ),
    "attempts": Table(("id", "lane", "first_seq", "last_seq", "at_ms", "counted", "config", "outcomes"), "id"),
    "skips": Table(("lane", "after_seq", "last_seq", "count", "at_ms"), "lane, last_seq"),
    "intents": Table(("key", "account", "packed"), "key", 100),
    "leases": Table(("account", "owner", "token", "renewals", "note"), "account"),
    "replays": Table(("id", "at_ms", "packed"), "id"),
    "versions": Table(("destination", "key", "version", "at_ms"), "destination, key", 10_000),
    "rejected": Table(("id", "source", "group_id", "place", "packed"), "id"),
    "operations": Table(("id", "at_ms", "who", "what", "subject", "count", "note"), "id"),
}
"""What is copied, in this order. `batches`: their `duplicates` as `pack_duplicates` gives them, their payload without
those. `identities`: older ones first. `sources.total`: events of the source, ever. Flags are 0 and 1. Whose lanes are,
and of which lanes intents are, is told anew."""


class Shelf(Protocol):
    """A journal of one engine as its rows. `rows` and `counts` see one snapshot of it."""

    async def pulse(self) -> Values:
        """What a running gateway changes every few seconds."""
        ...

    async def contents(self) -> Values:
        """What changes with whatever is written. Not of the snapshot: as it is now."""
        ...

    async def counts(self) -> dict[str, int]:
        """How many rows each table has."""
        ...

    def rows(self, table: str, skip: int) -> AsyncIterator[list[Values]]:
        """The rows of a table in their order, without the first ones, some at a time."""
        ...

    async def progress(self) -> dict[str, int]:
        """What an unfinished copy into this journal has written down."""
        ...

    async def take(self, table: str, rows: Sequence[Values], progress: dict[str, int]) -> None:
        """Write rows, and how far the copy has come, in one transaction."""
        ...

    async def finish(self) -> None:
        """Everything is copied: what follows from the rows is made."""
        ...

    async def release(self) -> None:
        """The copy is what it is to be: the progress goes, and the journal may be used."""
        ...


def refuse_half(marks: int) -> None:
    """Refuse a journal that another is being copied into, by what `IS_COPIED_INTO` says. Raises JournalError."""
    if marks:
        raise JournalError(
            "this journal is a copy that is not complete: `gateway journal copy --from URL --to URL`, with the same two"
            " journals as before, goes on with it"
        )


async def at_rest(source: Shelf, target: Shelf) -> None:
    """Make sure that no gateway runs on either. Raises JournalError."""
    before = await source.pulse(), await target.pulse()
    await asyncio.sleep(WATCH_S)
    if await source.pulse() != before[0]:
        raise JournalError(
            "a gateway is running on the source: stop it first, or what it accepts now would be left behind"
        )
    if await target.pulse() != before[1]:
        raise JournalError("a gateway is running on the target: stop it first, it would see half of the journal")


class Copy:
    """One journal on its way into another. `step` until it gives 0, then `end`; `release` when both are the same."""

    def __init__(self, source: Shelf, target: Shelf) -> None:
        self._source = source
        self._target = target
        self._mark = 0
        self._done: dict[str, int] = {}
        self._going = self._rows()
        self.total = 0
        """Rows that are still to be copied."""

    async def begin(self) -> None:
        """Find out whether it begins or goes on. Raises JournalError for a source that has changed since, and a target
        that holds something else.
        """
        self._mark = await self._mark_now()
        self._done = await self._target.progress()
        begun = self._done.pop(SOURCE, None)
        counts = await self._source.counts()
        if begun is None:
            there = await self._target.counts()
            held = {name: number for name, number in there.items() if number and name != "meta"}
            if held:
                raise JournalError(f"the target is not empty: it has {_told(held)}")
            await self._target.take("meta", [], {SOURCE: self._mark})
        elif begun != self._mark:
            raise JournalError("the source is not what it was when this copy began: empty the target, and begin again")
        self.total = sum(counts[name] - self._done.get(name, 0) for name in TABLES)

    async def step(self) -> int:
        """Copy some more rows: how many. 0: all are there."""
        return await anext(self._going, 0)

    async def end(self) -> None:
        """Everything is there. Raises JournalError when the source has changed meanwhile."""
        if await self._mark_now() != self._mark:
            raise JournalError("the source has changed while it was copied: empty the target, and begin again")
        await self._target.finish()

    async def release(self) -> None:
        """The target may be used."""
        await self._target.release()

    async def _rows(self) -> AsyncIterator[int]:
        for name in TABLES:
            async for rows in self._source.rows(name, self._done.get(name, 0)):
                self._done[name] = self._done.get(name, 0) + len(rows)
                await self._target.take(name, rows, {PROGRESS + name: self._done[name]})
                yield len(rows)

    async def _mark_now(self) -> int:
        """The source's contents as a number."""
        told = repr(await self._source.contents()).encode()
        return int.from_bytes(hashlib.blake2b(told, digest_size=7).digest(), "big")


def differences(source: Sequence[AuditRow], target: Sequence[AuditRow]) -> list[str]:
    """What the two audits say that is not the same, lane by lane."""
    found = [] if len(source) == len(target) else [f"{len(source)} lanes became {len(target)}"]
    for one, other in zip(source, target, strict=False):
        name = f"{one.lane.source} > {one.lane.destination}"
        if not (one.balanced and other.balanced):
            found.append(f"{name} does not balance: {one.why or other.why}")
        elif one != other:
            found.append(f"{name} is not the same in both")
    return found


def _told(held: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in held.items())
