"""Ascending, disjoint, inclusive ranges of seqs: what a lane has settled ahead of its cursor. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from gateway.model import Ranges

_END = 1 << 63


def contains(ranges: Ranges, seq: int) -> bool:
    """Whether a seq lies in one of the ranges."""
    if not ranges:
        return False
    place = bisect_right(ranges, (seq, _END)) - 1
    return place >= 0 and ranges[place][1] >= seq


def beyond(ranges: Ranges, seq: int) -> Ranges:
    """What of the ranges lies above `seq`."""
    return tuple((max(first, seq + 1), last) for first, last in ranges if last > seq)


def flat(ranges: Iterable[tuple[int, int]]) -> list[int]:
    """The ranges as one list of numbers, as they are stored."""
    return [end for one in ranges for end in one]


def paired(numbers: Iterable[int]) -> Ranges:
    """The ranges of a flat list."""
    ends: Iterator[int] = iter(numbers)
    return tuple(zip(ends, ends, strict=True))
