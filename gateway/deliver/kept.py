"""Answers that may be used again, of requests that only ask. Pure.

An answer holds all that happened before it was asked for: it serves every event that had come by then, and later ones
for as long as their vendor lets an answer grow old.
"""

from collections import OrderedDict
from collections.abc import Hashable

from msgspec import Struct

from gateway.deliver.queue import Now
from gateway.vendors.base import Response

ANSWERS = 256
BYTES = 8 << 20
SKEW_MS = 2_000
"""An event is received by another clock than ours: one that came this shortly before may have come after."""


class _Kept(Struct, frozen=True):
    asked: Now
    answer: Response


class Answers:
    """The last answers of an account, the least used forgotten first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._bytes = 0

    def find(self, what: Hashable, received_at_ms: int, now: Now, cache_s: float) -> Response | None:
        """The answer to what was asked for before, for events of which the last came at `received_at_ms`."""
        kept = self._kept.get(what)
        if kept is None:
            return None
        if received_at_ms > kept.asked.ms - SKEW_MS and now.s - kept.asked.s >= cache_s:
            return None
        self._kept.move_to_end(what)
        return kept.answer

    def keep(self, what: Hashable, answer: Response, asked: Now) -> None:
        """An answer to what was asked for at `asked`."""
        before = self._kept.pop(what, None)
        self._bytes += len(answer.body) - (len(before.answer.body) if before else 0)
        self._kept[what] = _Kept(asked, answer)
        while self._bytes > BYTES or len(self._kept) > ANSWERS:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= len(oldest.answer.body)
