"""Answers that may be used again, of requests that only ask. Pure.

An answer holds all that had happened when it was asked for: it serves every event that was in the journal by then (no
clock is asked), and later ones for as long as their vendor lets an answer grow old.
"""

from collections import OrderedDict
from collections.abc import Hashable

from msgspec import Struct

from gateway.vendors.base import Response

ANSWERS = 256
BYTES = 8 << 20


class Asked(Struct, frozen=True):
    """When something was asked for: how far the journal was known then, and the monotonic time."""

    head_seq: int
    at_s: float


class Answers:
    """The last answers of an account, the least used forgotten first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, tuple[Asked, Response]] = OrderedDict()
        self._bytes = 0

    def find(self, what: Hashable, last_seq: int, now_s: float, cache_s: float) -> Response | None:
        """The answer to what was asked for before, for events up to `last_seq`."""
        if what not in self._kept:
            return None
        asked, answer = self._kept[what]
        if last_seq > asked.head_seq and now_s - asked.at_s >= cache_s:
            return None
        self._kept.move_to_end(what)
        return answer

    def keep(self, what: Hashable, answer: Response, asked: Asked) -> None:
        """An answer to what was asked for at `asked`."""
        self._bytes += len(answer.body) - self._forget(what)
        self._kept[what] = asked, answer
        while self._bytes > BYTES or len(self._kept) > ANSWERS:
            self._bytes -= self._forget(next(iter(self._kept)))

    def _forget(self, what: Hashable) -> int:
        """Its bytes."""
        _, answer = self._kept.pop(what, (None, None))
        return len(answer.body) if answer is not None else 0
