"""What a batch holds of one source: counting events between two seqs without unpacking anything. Pure, for engines
whose groups are rows.
"""

from collections.abc import Iterable
from typing import NamedTuple

from gateway.journal.ranges import contains
from gateway.model import Lane, Ranges


class Part(NamedTuple):
    """What a batch holds of one source. `total_before`: events of the source before this batch, ever. `places`: a
    little-endian bitmap of the source's events among the batch's (None: all of them).
    """

    first_seq: int
    last_seq: int
    events: int
    total_before: int
    places: bytes | None

    def between(self, after_seq: int, to_seq: int) -> int:
        """Events of the source in this batch with after_seq < seq <= to_seq."""
        low, high = max(after_seq + 1, self.first_seq), min(to_seq, self.last_seq)
        if low > high:
            return 0
        if self.places is None:
            return high - low + 1
        bits = int.from_bytes(self.places, "little") >> (low - self.first_seq)
        return (bits & ((1 << (high - low + 1)) - 1)).bit_count()

    def seqs(self, after_seq: int, to_seq: int) -> list[int]:
        """Their seqs."""
        bits = int.from_bytes(self.places, "little") if self.places is not None else -1
        low, high = max(after_seq + 1, self.first_seq), min(to_seq, self.last_seq)
        return [seq for seq in range(low, high + 1) if bits >> (seq - self.first_seq) & 1]


def bitmap(places: Iterable[int]) -> bytes:
    """Places of a batch as a little-endian bitmap."""
    bits = 0
    for place in places:
        bits |= 1 << place
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")


def count_in(parts: Iterable[Part], ranges: Ranges) -> int:
    """Events of the source in ranges of seqs. `parts`: the batches that reach into them, in order."""
    count, waiting = 0, list(reversed(ranges))
    for part in parts:
        while waiting and waiting[-1][1] < part.first_seq:
            waiting.pop()
        for first, last in reversed(waiting):
            if first > part.last_seq:
                break
            count += part.between(first - 1, last)
    return count


def waiting_places(part: Part, lane: Lane, to_seq: int) -> list[int]:
    """The seqs of a batch that wait on a lane."""
    return [seq for seq in part.seqs(lane.cursor, to_seq) if not contains(lane.ahead, seq)]
