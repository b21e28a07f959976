"""When the next request of an account may leave: within every window that its vendor declares (`windows`).

Pure: the time comes in, in monotonic seconds. A request counts from when its bytes left, which may be later than
planned (a connection is opened, a process sleeps): until then it takes its place in every window.
Where no limit is declared it is found: see `found`.
"""

from collections.abc import Mapping, Sequence
from math import inf
from typing import NamedTuple

from gateway.deliver.found import FoundRate
from gateway.deliver.windows import RESERVE, FixedWindow, Sendings, Sent, SlidingWindow
from gateway.vendors.base import Limit

QUICKEST_S = 30.0
"""The quickest answer is that of the last 30 to 60 seconds."""
WIDER = (1.02, 1.1, 1.5)
"""A refusal at a declared limit is mostly jitter; one on its heels says that the limit is not what was declared."""
HEELS_S = 10.0
QUIET_S = 15.0


class Before(NamedTuple):
    """What left before: by a limit's index, and its channel or key; and since when that is known: what left until then
    may have used up every window (None: it is all there is).
    """

    sendings: Mapping[tuple[int, str], Sendings]
    spent_at_s: float | None = None


class Departure:
    """A request of a cost class that is planned, in each window that it counts in: (window, units)."""

    __slots__ = ("_sent", "_windows", "cost", "left_s", "planned_s")

    def __init__(
        self, windows: Sequence[tuple[SlidingWindow | FixedWindow, float]], planned_s: float, cost: str
    ) -> None:
        self._windows = windows
        self.cost = cost
        self.planned_s = planned_s
        self._sent: list[Sent] = []
        self.left_s: float | None = None

    def left(self, now_s: float) -> None:
        """Its bytes are on their way, or will never be. Only the first call counts."""
        if self.left_s is None:
            self.left_s = now_s
            self._sent = [window.left(self.planned_s, now_s, units) for window, units in self._windows]

    def arrived(self, late_s: float) -> None:
        """It was that much longer on its way than others, at most."""
        for (window, _), sent in zip(self._windows, self._sent, strict=True):
            window.arrived(sent, late_s)


class Quickest:
    """The quickest answer of late to requests of one class: what took longer may have been longer on its way there."""

    def __init__(self) -> None:
        self._since_s = -inf
        self._least_s = self._before_s = inf

    def late_s(self, now_s: float, latency_s: float) -> float:
        """By how much an answer was later than the quickest."""
        if now_s - self._since_s > QUICKEST_S:
            self._since_s, self._before_s, self._least_s = now_s, self._least_s, latency_s
        self._least_s = min(self._least_s, latency_s)
        return max(0.0, latency_s - min(self._least_s, self._before_s))


class Pace:
    """All windows of an account. `key` tells the credentials of one account apart. `spent_at_s`: begin as if every
    window had just been used up (after a take-over). `before`: what left before, where that is known.
    """

    def __init__(
        self,
        limits: Sequence[Limit],
        *,
        spent_at_s: float | None = None,
        before: Before | None = None,
    ) -> None:
        self.limits = limits
        self._rate_per_s = _rate_per_s(limits)
        self._before = before or Before({}, spent_at_s)
        self._windows: dict[tuple[int, str], SlidingWindow | FixedWindow] = {}
        self._quickest: dict[str, Quickest] = {}
        self._awaited = False
        self._refused_at_s = -HEELS_S
        self._quiet_at_s = 0.0
        self._in_a_row = 0
        self._ramp_s = 0.0
        self._found = None if limits else FoundRate()

    def next_s(self, now_s: float, cost: str, channel: str, key: str = "") -> float:
        """Now, where a request of this cost class may leave, or when to ask again; infinite while that depends on one
        that is planned and has not left.
        """
        earliest = max(now_s, self._ramp_s, self._found.next_s(now_s) if self._found else now_s)
        for window, units in self._of(cost, channel, key):
            earliest = max(earliest, window.next_s(now_s, units))
        self._awaited |= earliest == inf
        return earliest

    def was_awaited(self) -> bool:
        """Whether somebody was told, since this was asked last, that it depends on a request that had not left."""
        awaited, self._awaited = self._awaited, False
        return awaited

    def plan(self, now_s: float, cost: str, channel: str, key: str = "", *, share: float = 1.0) -> Departure:
        """A request is to leave now; what is returned must be told when it has. `share`: of the pace that may be used
        (after a breaker it grows back), so that the next one keeps a wider distance.
        """
        windows = self._of(cost, channel, key)
        if share < 1 and windows:
            self._ramp_s = now_s + max(units * window.spacing_s() for window, units in windows) / share
        for window, units in windows:
            window.plan(now_s, units)
        if self._found is not None:
            self._found.plan(now_s)
        return Departure(windows, now_s, cost)

    def spend(self, now_s: float, cost: str, channel: str, key: str = "") -> None:
        """A request leaves now."""
        self.plan(now_s, cost, channel, key).left(now_s)

    def answered(self, now_s: float, *, refused: bool, departure: Departure | None = None) -> None:
        """What the vendor thought of our pace, and that it has answered: what took longer than others may have been
        longer on its way there.
        """
        if self._found is not None and refused:
            self._found.refused(now_s, departure.planned_s if departure else now_s)
        elif self._found is not None:
            self._found.taken()
        if refused:
            self._in_a_row = self._in_a_row + 1 if now_s - self._refused_at_s < HEELS_S else 0
            self._refused_at_s = self._quiet_at_s = now_s
            for window in self._windows.values():
                window.refused(WIDER[min(self._in_a_row, len(WIDER) - 1)])
        elif now_s - self._quiet_at_s > QUIET_S:
            self._quiet_at_s = now_s
            for window in self._windows.values():
                window.quiet()
        if departure is not None and departure.left_s is not None and departure.left_s < now_s:
            quickest = self._quickest.setdefault(departure.cost, Quickest())
            departure.arrived(quickest.late_s(now_s, now_s - departure.left_s))

    def sent(self, now_s: float) -> Before:
        """What left in each window by now, for who goes on with the account."""
        sendings, spent_at_s = self._before
        longest_s = max((max(one.per_s, one.burst.per_s if one.burst else 0.0) for one in self.limits), default=0.0)
        is_known = spent_at_s is None or now_s >= spent_at_s + longest_s * (1 + RESERVE)
        told = {**sendings, **{place: window.sendings(now_s) for place, window in self._windows.items()}}
        return Before(told, None if is_known else spent_at_s)

    def rate_per_s(self) -> float | None:
        """Units a second that the tightest window allows to most requests, whose limit is the first; None without
        limits.
        """
        return self._rate_per_s

    def found_per_s(self) -> float | None:
        """Requests per second that the account was found to take, None where limits are declared or none was met."""
        return self._found.per_s if self._found else None

    def _of(self, cost: str, channel: str, key: str) -> list[tuple[SlidingWindow | FixedWindow, float]]:
        found = []
        for index, limit in enumerate(self.limits):
            if limit.classes is not None and cost not in limit.classes:
                continue
            units = (limit.cost or {}).get(cost, 1.0)
            place = (index, {"channel": channel, "key": key}.get(limit.scope, ""))
            if place not in self._windows:
                kind = SlidingWindow if limit.kind == "sliding" else FixedWindow
                before = self._before.sendings.get(place, ())
                self._windows[place] = kind(limit, spent_at_s=self._before.spent_at_s, before=before)
            found.append((self._windows[place], units))
        return found


def _rate_per_s(limits: Sequence[Limit]) -> float | None:
    if not limits:
        return None
    return max(
        min(limit.allow / limit.per_s for limit in limits if limit.classes is None or one in limit.classes)
        for one in limits[0].classes or (None,)
    )
