"""What a process holds of identities that lie in tables nobody writes to any more: marks of them, so that hardly any of
the tables is asked whether an identity is new.

A bucket of identities that has had its time never changes (docs/performance.md). Its marks are read once, in slices,
beside what goes on; until they are there the database looks into the bucket itself. So filters decide how fast an
append is, and never what comes of it.

An identity's first two bytes tell its page, its third to fifth are its mark; behind a mark stands which bucket it is
of. A page holds the marks of all buckets, so that an identity is looked for once, however many there are. Most are not
even looked for: each mark sets two bits in a table, and the bits of a whole group are looked at together.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress, dropwhile, takewhile
from operator import itemgetter
from struct import unpack
from typing import NamedTuple

import asyncpg

from gateway.errors import JournalError
from gateway.journal.postgres.connection import Connections

BUCKETS_MAX = 64
"""The newest have marks here: 4 MB each, of a million identities. Older ones are asked each time."""
SLICES = 16
"""Marks are read in so many: with 64, the server needs a third more for a bucket."""
TOGETHER = 1 << 14
"""So many of them are taken in without a pause, 3 ms; and let go page by page for as long."""
PAGES = 1 << 16
CELLS = 1 << 24
"""A byte for each first three bytes of an identity; its fourth tells which two bits it sets there, or which one. Beside
ten million identities one new one in 27 finds its bits set, beside 64 million one in three.
"""
PREFIX_BYTES = 5
MARK_BYTES = 4
"""Three of the identity and its bucket's tag: one identity in 18,000 has the mark of another, among 60 million."""
AGAIN_S = 10.0
"""When it is tried again after it failed."""

_IDENTITY_BYTES = 16
_BITS = bytes(1 << (byte & 7) | 1 << (byte >> 3 & 7) for byte in range(256))
_IS_ZERO = b"\1" + bytes(255)
_CLOSED = """
SELECT id, until_ms FROM gateway.identity_buckets WHERE until_ms IS NOT NULL AND NOT gone ORDER BY id DESC LIMIT $1
"""
_PREFIXES = f"""
SELECT string_agg(substr(hash, 1, {PREFIX_BYTES}), ''::bytea ORDER BY hash) FROM gateway.identities_{{}}
WHERE hash >= $1 AND hash < $2
"""  # noqa: S608  numbers


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
        self._bits = bytearray()
        """Of all marks, and of some that were let go; empty until there are any."""
        self._stale = 0
        """How many buckets' marks were let go and may have left their bits."""
        self._tags: dict[Bucket, int] = {}
        self._closed: list[Bucket] = []
        """Buckets that have had their time, newest first, as the database told; none while that is in doubt."""
        self._in_use: dict[int, int] = {}
        """By tag, the numbers of the newest buckets that are read, without a gap between them. Of one that has just had
        its time the database is asked, and of no other."""
        self._in_force: int | None = None
        self._reading: asyncio.Task[None] | None = None

    def look(self, identities: Sequence[bytes | None]) -> Hints:
        """What is known of the identities of a group, for the connection that was just taken."""
        if self._made != self._log.made:
            self.doubt()
        in_use = self._in_use
        if not in_use:
            return Hints(None, None, [], [])
        found = [
            (place, in_use[tag])
            for place, one in self._with_bits(identities)
            for tag in self._tags_of(one)
            if tag in in_use
        ]
        numbers = in_use.values()
        return Hints(min(numbers), max(numbers), [place for place, _ in found], [number for _, number in found])

    def _with_bits(self, identities: Sequence[bytes | None]) -> Iterable[tuple[int, bytes]]:
        """Those whose bits are set, with their places (from 1). Nothing is done for one of them alone: 0.2 µs each."""
        known = [(place, one) for place, one in enumerate(identities, 1) if one is not None]
        if not known:
            return ()
        joined = b"".join([one for _, one in known])
        cells = bytearray(4 * len(known) + 4)  # one more in front: of a single one `itemgetter` makes no tuple
        cells[4::4], cells[5::4], cells[6::4] = (joined[at::_IDENTITY_BYTES] for at in (2, 1, 0))
        held = itemgetter(*unpack(f"<{len(known) + 1}I", cells))(self._bits)
        wanted = int.from_bytes(joined[3::_IDENTITY_BYTES].translate(_BITS))
        lacking = wanted & int.from_bytes(bytes(held[1:])) ^ wanted
        return compress(known, lacking.to_bytes(len(known)).translate(_IS_ZERO))

    def _tags_of(self, identity: bytes) -> Iterator[int]:
        """The tags behind an identity's marks."""
        page, mark = self._pages[identity[0] << 8 | identity[1]], identity[2:PREFIX_BYTES]
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
            self.doubt()  # so that the next append is heard, whichever bucket it wrote to
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
        read = dropwhile(lambda one: one not in self._tags, self._closed)
        self._in_use = {self._tags[one]: one.number for one in takewhile(self._tags.__contains__, read)}

    async def _taken(self, bucket: int) -> int:
        """Read a bucket's marks: their tag."""
        tag = min(set(range(BUCKETS_MAX + 1)) - set(self._tags.values()))
        self._bits = self._bits or bytearray(CELLS)
        wide = 256 // SLICES
        try:
            for low in range(0, 256, wide):
                upper = bytes([low + wide]) if low + wide < 256 else b"\xff" * 17  # noqa: PLR2004  above every identity
                found = await self._db.value(_PREFIXES.format(bucket), bytes([low]), upper) or b""
                for at in range(0, len(found), TOGETHER * PREFIX_BYTES):
                    self._add(found[at : at + TOGETHER * PREFIX_BYTES], tag)
                    await asyncio.sleep(0)
        except (JournalError, asyncpg.PostgresError):
            await self._let_go(tag)
            raise
        return tag

    def _add(self, prefixes: bytes, tag: int) -> None:
        """The first bytes of identities, in order, become marks."""
        count = len(prefixes) // PREFIX_BYTES
        first, second, third, fourth, fifth = (prefixes[at::PREFIX_BYTES] for at in range(PREFIX_BYTES))
        cells, pages, marks = bytearray(4 * count), bytearray(2 * count), bytearray(MARK_BYTES * count)
        cells[0::4], cells[1::4], cells[2::4] = third, second, first
        bits = self._bits
        for cell, bit in zip(unpack(f"<{count}I", cells), fourth.translate(_BITS), strict=True):
            bits[cell] |= bit
        pages[0::2], pages[1::2] = second, first
        marks[0::4], marks[1::4], marks[2::4], marks[3::4] = third, fourth, fifth, bytes([tag]) * count
        at = 0
        for page, many in Counter(unpack(f"<{count}H", pages)).items():
            self._pages[page] += marks[at : at + many * MARK_BYTES]
            at += many * MARK_BYTES

    async def _let_go(self, tag: int) -> None:
        """Forget a bucket's marks, which lie side by side on each page. Their bits go when as many buckets have left
        them as there are others.
        """
        self._stale += 1
        anew = self._stale > len(self._tags)
        done = 0
        for number, page in enumerate(self._pages):
            tags = page[MARK_BYTES - 1 :: MARK_BYTES]
            count = tags.count(tag)
            if count:
                at = tags.find(tag)
                self._pages[number] = page[: at * MARK_BYTES] + page[(at + count) * MARK_BYTES :]
            if anew:
                self._bits[number << 8 : (number + 1) << 8] = _bits_of(self._pages[number])
            done += len(tags) + 1
            if done >= TOGETHER:
                done = 0
                await asyncio.sleep(0)
        if anew:
            self._stale = 0


def _bits_of(page: bytes) -> bytearray:
    """The bits of a page's marks."""
    bits = bytearray(CELLS // PAGES)
    for cell, bit in zip(page[::MARK_BYTES], page[1::MARK_BYTES].translate(_BITS), strict=True):
        bits[cell] |= bit
    return bits
