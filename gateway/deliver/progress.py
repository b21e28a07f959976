"""How far a lane has come: which of the events that were read are done, and what that makes of its cursor. Pure."""

from collections import deque

from gateway.journal.ranges import beyond, contains
from gateway.model import Ranges


class Progress:
    """The events of a lane that were read, in order, until a settle has moved the cursor past them. `ahead`: what a
    settle before a restart has dealt with beyond the cursor.
    """

    __slots__ = ("_ahead", "_order", "done")

    def __init__(self, ahead: Ranges) -> None:
        self._ahead = ahead
        self._order: deque[int] = deque()
        self.done: set[int] = set()

    def __len__(self) -> int:
        return len(self._order)

    def add(self, seq: int) -> None:
        """An event was read."""
        self._order.append(seq)

    def settled_already(self, seq: int) -> bool:
        """Whether a settle before a restart has already dealt with the event: it lay in `ahead` then."""
        return bool(self._ahead) and contains(self._ahead, seq)

    def so_far(self, read_to: int) -> tuple[int, Ranges]:
        """The cursor, and what is settled ahead of it: of what was read, and what a settle before a restart has dealt
        with and is not read again yet. `read_to`: up to here every event was read.
        """
        order, done = self._order, self.done
        self._ahead = beyond(self._ahead, max(read_to, order[-1] if order else 0))
        while order and order[0] in done:
            done.discard(order.popleft())
        if not order:
            return read_to, self._ahead
        return order[0] - 1, (*self._ranges(), *self._ahead)

    def _ranges(self) -> Ranges:
        """What is done beyond the first event that is not."""
        if not self.done:
            return ()
        ranges: list[tuple[int, int]] = []
        first = last = 0
        for seq in self._order:
            if seq in self.done:
                first, last = first or seq, seq
            elif first:
                ranges.append((first, last))
                first = 0
        if first:
            ranges.append((first, last))
        return tuple(ranges)
