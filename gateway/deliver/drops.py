"""What a vendor dropped of what it had taken, where it tells so only when it is asked (Ometria). Pure.

It lists its latest errors and does not say whose they are nor when they happened: what is listed more often than the
time before is new, and there may have been more.
"""

from collections import Counter, deque
from collections.abc import Sequence
from math import inf

from msgspec import Struct

from gateway.deliver.pace import Departure
from gateway.deliver.plan import Destination
from gateway.deliver.queue import Now
from gateway.vendors.base import Request

KEPT = 5
"""Kinds of drops that are remembered, for those who look on."""
EVERY_MIN_S = 1.0


class Drop(Struct, frozen=True):
    """So many records, at least, that were dropped for one reason, and when that was told (whole seconds since the
    epoch).
    """

    at_s: int
    count: int
    detail: str


class Asking(Struct, frozen=True):
    """A question that leaves now: to whom, and its place in the pace."""

    destination: Destination
    request: Request
    departure: Departure


class Drops:
    """What is known of one account's drops. `unknown`: why the last answer told nothing."""

    def __init__(self) -> None:
        self.latest: deque[Drop] = deque(maxlen=KEPT)
        self.unknown = ""
        self._listed: Counter[str] | None = None
        self._asked_s = -inf

    def due(self, every_s: float, now_s: float) -> bool:
        """Whether it is time to ask. `every_s` 0: never."""
        return every_s > 0 and now_s >= self._asked_s + max(every_s, EVERY_MIN_S)

    def asked(self, now_s: float) -> None:
        """The question leaves."""
        self._asked_s = now_s

    def told(self, listed: Sequence[str], now: Now) -> tuple[Drop, ...]:
        """What is new in the list. The first list is where counting begins: it is shown, and none of it is new."""
        found = Counter(listed)
        more = found - (self._listed or Counter())
        drops = tuple(Drop(now.ms // 1000, count, detail) for detail, count in more.most_common())
        self.latest.extendleft(reversed(drops[:KEPT]))
        is_first, self._listed, self.unknown = self._listed is None, found, ""
        return () if is_first else drops

    def not_told(self, why: str) -> bool:
        """Nothing was learnt. True when that is news."""
        is_news, self.unknown = not self.unknown, why
        return is_news
