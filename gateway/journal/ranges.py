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


def clipped(ranges: Iterable[tuple[int, int]], after_seq: int, to_seq: int) -> Ranges:
    """What of the ranges lies between: after_seq < seq <= to_seq."""
    cut = ((max(first, after_seq + 1), min(last, to_seq)) for first, last in ranges)
    return tuple((first, last) for first, last in cut if first <= last)


def without(ranges: Iterable[tuple[int, int]], seqs: Iterable[int]) -> Ranges:
    """The ranges without these seqs (ascending)."""
    left: list[tuple[int, int]] = []
    holes = [*seqs, _END]
    place = 0
    for first, last in ranges:
        while holes[place] < first:
            place += 1
        while holes[place] <= last:
            if first < holes[place]:
                left.append((first, holes[place] - 1))
            first = holes[place] + 1  # noqa: PLW2901  what is left of it
            place += 1
        if first <= last:
            left.append((first, last))
    return tuple(left)


def bridged(marked: Iterable[tuple[int, bool]]) -> Ranges:
    """The marked of these numbers (ascending) as ranges that hold none of the others: what lies between two marked
    neighbours does not matter.
    """
    found: list[tuple[int, int]] = []
    goes_on = False
    for seq, mark in marked:
        if mark and goes_on:
            found[-1] = (found[-1][0], seq)
        elif mark:
            found.append((seq, seq))
        goes_on = mark
    return tuple(found)


def flat(ranges: Iterable[tuple[int, int]]) -> list[int]:
    """The ranges as one list of numbers, as they are stored."""
    return [end for one in ranges for end in one]


def paired(numbers: Iterable[int]) -> Ranges:
    """The ranges of a flat list."""
    ends: Iterator[int] = iter(numbers)
    return tuple(zip(ends, ends, strict=True))
