"""Filters of the pages that identities lie on, held so that an identity is looked for in all buckets at once.

A page has a row in each bucket, and each row its filter: five bits of it are set for an identity. In memory the filters
of one page lie side by side, the first byte of each, then the second of each, a column a bucket: a byte of all of them
is one piece of memory. What costs in a large memory is the pieces that are touched, not the bytes.
"""

from collections.abc import Collection, Iterable, Iterator

PAGES = 2048
FILTER_BYTES = 1024
"""Of each page: five bits of these are set for an identity. A full bucket's say wrongly of 1 in 700 that it is there.
"""
BITS = 5
OLD_BITS = 2
"""What a filter without a mark was made with: it says so of 1 in 70."""
NO_FILTER = bytes(FILTER_BYTES) + bytes([BITS])
"""The mark stands behind the bits."""

Spots = tuple[int, int, int, int, int]


class Filters:
    """The filters of all buckets that are there: 2 MiB each, for as many as there ever were at once."""

    def __init__(self) -> None:
        self._pages = [b""] * PAGES
        self._old = [0] * PAGES
        """Of a page, the columns whose filters have two bits for an identity."""
        self._columns: dict[int, int] = {}
        self._newest: list[tuple[int, int]] = []
        """Buckets, newest first, each with its column's bit in what `left` gives."""
        self._there = 0

    @property
    def held_bytes(self) -> int:
        """The memory they take."""
        return sum(map(len, self._pages))

    def follow(self, buckets: Collection[int]) -> None:
        """These are there. What a bucket that has gone leaves in its column is of no account: the next one's filters go
        over it, and until then a page is looked for that there is not.
        """
        columns = {bucket: column for bucket, column in self._columns.items() if bucket in buckets}
        free = iter(sorted(set(range(len(buckets))) - set(columns.values())))
        for bucket in sorted(set(buckets) - set(columns)):
            columns[bucket] = next(free)
        self._columns = columns
        self._newest = [(bucket, 1 << 8 * columns[bucket]) for bucket in sorted(columns, reverse=True)]
        self._there = sum(bit for _, bit in self._newest)

    def put(self, bucket: int, number: int, filter_: bytes) -> None:
        """A page's filter in a bucket, new or in place of the one before."""
        column = self._columns[bucket]
        page = _widened(self._pages[number], max(self._columns.values()) + 1)
        page[column :: len(page) // FILTER_BYTES] = filter_[:FILTER_BYTES]
        self._pages[number] = bytes(page)
        bit = 1 << 8 * column
        self._old[number] = self._old[number] | bit if is_old(filter_) else self._old[number] & ~bit

    def left(self, name: bytes) -> int:
        """The columns whose buckets may have this identity, as bits; mostly none."""
        bits = int.from_bytes(name[:10], "big")
        number = bits >> 69
        page = self._pages[number]
        wide = len(page) >> 10
        one, other = (bits >> 59 & 0x3FF) * wide, (bits >> 46 & 0x3FF) * wide
        left = (
            int.from_bytes(page[one : one + wide], "little") >> (bits >> 56 & 7)
            & int.from_bytes(page[other : other + wide], "little") >> (bits >> 43 & 7)
            & self._there
        )
        return left and self._left_of(left, number, bits)

    def _left_of(self, left: int, number: int, bits: int) -> int:
        """What the other bits leave of these columns."""
        page, old = self._pages[number], left & self._old[number]
        wide = len(page) >> 10
        for low in (30, 17, 4):
            at = (bits >> low + 3 & 0x3FF) * wide
            left &= int.from_bytes(page[at : at + wide], "little") >> (bits >> low & 7)
            if not left:
                break
        return left | old

    def buckets(self, left: int) -> Iterator[int]:
        """The buckets of these columns, newest first."""
        return (bucket for bucket, bit in self._newest if left & bit)


def page_of(name: bytes) -> int:
    """Where an identity lies in its bucket: its first eleven bits."""
    return (name[0] << 8 | name[1]) >> 5


def spots_of(name: bytes) -> Spots:
    """The places of its bits in the page's filter: behind the eleven bits that tell the page."""
    bits = int.from_bytes(name[:10], "big")
    return bits >> 56 & 0x1FFF, bits >> 43 & 0x1FFF, bits >> 30 & 0x1FFF, bits >> 17 & 0x1FFF, bits >> 4 & 0x1FFF


def is_old(filter_: bytes) -> bool:
    """Whether it has two bits for an identity."""
    return len(filter_) == FILTER_BYTES


def with_names(filter_: bytes, names: Iterable[bytes]) -> bytes:
    """A filter with the bits of these identities too."""
    bits = bytearray(filter_)
    for name in names:
        for spot in spots_of(name):
            bits[spot >> 3] |= 1 << (spot & 7)
    return bytes(bits)


def _widened(page: bytes, wide: int) -> bytearray:
    """The same filters, with room for so many."""
    columns = len(page) // FILTER_BYTES
    if columns >= wide:
        return bytearray(page)
    new = bytearray(wide * FILTER_BYTES)
    for column in range(columns):
        new[column::wide] = page[column::columns]
    return new
