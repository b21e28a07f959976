"""What a process holds of identities that lie in tables nobody writes to any more: marks of them, so that hardly any of
the tables is asked whether an identity is new.

A bucket of identities that has had its time never changes (docs/performance.md). Its marks are read once, in slices,
beside what goes on; until they are there the database looks into the bucket itself. So filters decide how fast an
append is, and never what comes of it.

An identity's first 18 bits tell its page, its third to fifth byte are its mark; behind a mark stands which bucket it is
of. A page holds the marks of all buckets, so that an identity is looked for once, however many there are.
"""

import asyncio
from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import NamedTuple

import asyncpg

from gateway.errors import JournalError
from gateway.journal.postgres.connection import Connections

BUCKETS_MAX = 64
"""The newest have marks here: 4 MB each, of a million identities. Older ones are asked each time."""
SLICES = 64
"""Marks are read, and let go, in so many."""
PAGES = 1 << 18
MARK_BYTES = 4
"""Three of the identity and its bucket's tag: one identity in 18,000 has the mark of another, among 60 million."""
AGAIN_S = 10.0
"""When it is tried again after it failed."""

_SLICES = [range(low, low + PAGES // SLICES) for low in range(0, PAGES, PAGES // SLICES)]
_CLOSED = """
SELECT id, until_ms FROM gateway.identity_buckets WHERE until_ms IS NOT NULL AND NOT gone ORDER BY id DESC LIMIT $1
"""
_PART = "SELECT pages, counts, marks FROM gateway.filter_part($1, $2, $3, $4)"


class Hints(NamedTuple):
    """What `gateway.accept` is told: all buckets from one number to another were looked through; an identity of theirs
    is perhaps at these places (from 1) of the group, in the bucket beside it.
    """

    known_from: int | None
    known_to: int | None
    places: list[int]
    buckets: list[int]


class Bucket(NamedTuple):
    """Its number, and when its time was over: another of the same number (a backup that was restored) has another."""

    number: int
    until_ms: int


class Filters:
    """The marks that a process holds. They are read for the first time after its first append.

    `log`: the connections that groups are committed by. What is told holds for those that were there when the database
    was asked for its buckets: behind a new one there may be a backup that was restored. `db`: those to read by.
    """

    def __init__(self, log: Connections, db: Connections) -> None:
        self._log = log
        self._made = 0
        self._db = db
        self._pages = [b""] * PAGES
        self._tags: dict[Bucket, int] = {}
        self._closed: list[Bucket] = []
        """Buckets that have had their time, newest first, as the database told; none while that is in doubt."""
        self._in_use: dict[int, int] = {}
        """By tag, the numbers of buckets without a gap between them, up to the newest that has had its time."""
        self._in_force: int | None = None
        self._reading: asyncio.Task[None] | None = None

    def look(self, identities: Iterable[bytes | None]) -> Hints:
        """What is known of the identities of a group, for the connection that was just taken."""
        if self._made != self._log.made:
            self.doubt()
        in_use, pages = self._in_use, self._pages
        if not in_use:
            return Hints(None, None, [], [])
        seen = [
            (place, one)
            for place, one in enumerate(identities, 1)
            if one is not None and one[2:5] in pages[one[0] << 10 | one[1] << 2 | one[2] >> 6]
        ]
        found = [(place, in_use[tag]) for place, one in seen for tag in self._tags_of(one) if tag in in_use]
        numbers = in_use.values()
        return Hints(min(numbers), max(numbers), [place for place, _ in found], [number for _, number in found])

    def _tags_of(self, identity: bytes) -> Iterator[int]:
        """The tags behind an identity's marks."""
        page, mark = self._pages[identity[0] << 10 | identity[1] << 2 | identity[2] >> 6], identity[2:5]
        at = page.find(mark)
        while at >= 0:
            if at % MARK_BYTES == 0:
                yield page[at + MARK_BYTES - 1]
            at = page.find(mark, at + 1)

    def heard(self, in_force: int | None) -> None:
        """An append wrote to this bucket. Where it is a new one, the one before it has had its time."""
        if in_force is not None and in_force != self._in_force:
            self._in_force = in_force
            if self._reading is None:
                self._reading = asyncio.create_task(self._read())

    def doubt(self) -> None:
        """The database may be another one now: nothing is told of it before it was asked again."""
        self._closed, self._in_use = [], {}
        self._in_force = None

    async def close(self) -> None:
        """Give up what is being read."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        try:
            while True:
                followed = self._in_force
                await self._follow()
                if followed == self._in_force:
                    break
        except (JournalError, asyncpg.UndefinedTableError):  # the database is away; the bucket has just been dropped
            self.doubt()
            await asyncio.sleep(AGAIN_S)
        finally:
            self._reading = None

    async def _follow(self) -> None:
        """The marks of all buckets that have had their time, newer ones first."""
        self._made = self._log.made
        closed = self._closed = [Bucket(*row) for row in await self._db.fetch(_CLOSED, BUCKETS_MAX)]
        self._use()
        for one in self._tags.keys() - set(closed):
            await self._let_go(self._tags.pop(one))
        for one in closed:
            if one not in self._tags:
                self._tags[one] = await self._taken(one.number)
                self._use()

    def _use(self) -> None:
        self._in_use = {self._tags[one]: one.number for one in takewhile(self._tags.__contains__, self._closed)}

    async def _taken(self, bucket: int) -> int:
        """Read a bucket's marks: their tag."""
        tag = min(set(range(BUCKETS_MAX + 1)) - set(self._tags.values()))
        try:
            for pages in _SLICES:
                low, high = bytes([pages.start >> 10]), pages.stop >> 10
                upper = b"\xff" * 17 if high > 255 else bytes([high])  # noqa: PLR2004  above every identity
                ((found, counts, marks),) = await self._db.fetch(_PART, bucket, low, upper, bytes([tag]))
                at = 0
                for page, count in zip(found or (), counts or (), strict=True):
                    self._pages[page] += marks[at : at + count * MARK_BYTES]
                    at += count * MARK_BYTES
        except (JournalError, asyncpg.PostgresError):
            await self._let_go(tag)
            raise
        return tag

    async def _let_go(self, tag: int) -> None:
        """Forget a bucket's marks, which lie side by side on each page."""
        for pages in _SLICES:
            for number in pages:
                page = self._pages[number]
                tags = page[MARK_BYTES - 1 :: MARK_BYTES]
                count = tags.count(tag)
                if count:
                    at = tags.find(tag)
                    self._pages[number] = page[: at * MARK_BYTES] + page[(at + count) * MARK_BYTES :]
            await asyncio.sleep(0)
