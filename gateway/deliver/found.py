"""The pace of an account whose limits nobody declared: found by halving when it is refused, and growing back. Pure.

Additive increase, multiplicative decrease, with a memory: below the rate that was refused last it grows back in
seconds, around it only in minutes, so that a steady limit is met again seldom. It grows by what is really sent and
taken at it, never by time alone.
"""

from collections import deque

REMEMBERED = 512
FIRST_PER_S = 2.0
"""A first refusal of few requests says little about their pace."""
LEAST_PER_S = 1 / 60
GROW_BACK_S = 20.0
"""At full use, from half of the refused rate back to it: so long, were it not for what follows."""
NEAR = (0.9, 1.1)
NEAR_SLOWER = 10.0


class FoundRate:
    """What an account was found to take. Without a refusal it is not known, and nothing waits for it."""

    def __init__(self) -> None:
        self.per_s: float | None = None
        self._refused_per_s = 0.0
        self._halved_at_s = 0.0
        self._next_s = 0.0
        self._waited = False
        self._planned: deque[float] = deque(maxlen=REMEMBERED)

    def next_s(self, now_s: float) -> float:
        """The earliest time at which a request may leave."""
        return now_s if self.per_s is None else max(now_s, self._next_s)

    def plan(self, now_s: float) -> None:
        """A request is to leave now."""
        self._planned.append(now_s)
        if self.per_s is not None:
            self._waited = now_s - self._next_s < 1 / self.per_s
            self._next_s = now_s + 1 / self.per_s

    def refused(self, now_s: float, planned_s: float) -> None:
        """The vendor says that it was too fast. What had left before the last halving says nothing new."""
        if self._halved_at_s and planned_s <= self._halved_at_s:
            return
        self._refused_per_s = self.per_s or max(FIRST_PER_S, sum(at_s > now_s - 1.0 for at_s in self._planned))
        self._halved_at_s = now_s
        self.per_s = max(self._refused_per_s / 2, LEAST_PER_S)
        self._next_s = now_s + 1 / self.per_s

    def taken(self) -> None:
        """A request was taken."""
        if self.per_s is None or not self._waited:
            return
        step = self._refused_per_s / 2 / GROW_BACK_S / self.per_s
        low, high = NEAR
        near = low * self._refused_per_s <= self.per_s <= high * self._refused_per_s
        self.per_s += step / NEAR_SLOWER if near else step
