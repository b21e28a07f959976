"""When the next request may leave: even spacing within every window that the vendor declares.

Pure: the time comes in, in monotonic seconds. A sliding window never holds more than it allows over any stretch of its
length; requests are spaced evenly in it. A fixed window with a burst begins with the first request after the last one.
A request counts from when its bytes left, which may be later than planned (a connection is opened, a process sleeps):
until then it takes its place in every window.
Where no limit is declared it is found: see `found`.
A reserve of 2 % (up to 3 % of the window when latency jitters) absorbs the difference between when a request leaves and
when it arrives: a client that paces at exactly the limit is refused by arrival jitter alone.
"""

from collections import deque
from collections.abc import Sequence
from math import floor, inf

from gateway.deliver.found import FoundRate
from gateway.vendors.base import Limit

RESERVE = 0.02
RESERVE_MAX = 0.03
WIDER = (1.02, 1.1, 1.5)
"""A refusal at a declared limit is mostly jitter; one on its heels says that the limit is not what was declared."""
HEELS_S = 10.0
NARROWER = 0.5
QUIET_S = 15.0
STRETCH_MAX = 16.0


class Sent:
    """A request in one window: when it left, and its units."""

    __slots__ = ("at_s", "units")

    def __init__(self, at_s: float, units: float) -> None:
        self.at_s = at_s
        self.units = units


class Departure:
    """A request that is planned, in each window that it counts in: (window, units)."""

    __slots__ = ("_sent", "_windows", "left_s", "planned_s")

    def __init__(self, windows: Sequence[tuple["SlidingWindow | FixedWindow", float]], planned_s: float) -> None:
        self._windows = windows
        self.planned_s = planned_s
        self._sent: list[Sent] = []
        self.left_s: float | None = None

    def left(self, now_s: float) -> None:
        """Its bytes are on their way, or will never be. Only the first call counts."""
        if self.left_s is None:
            self.left_s = now_s
            for window, units in self._windows:
                self._sent.append(Sent(now_s, units))
                window.left(self.planned_s, self._sent[-1])

    def arrived(self, late_s: float) -> None:
        """It was that much longer on its way than others: it counts from then."""
        for (window, _), sent in zip(self._windows, self._sent, strict=True):
            sent.at_s += min(late_s, RESERVE_MAX * window.limit.per_s)


class SlidingWindow:
    """At most `allow` units in any `per_s` seconds, evenly spaced."""

    def __init__(self, limit: Limit, *, spent_at_s: float | None) -> None:
        self.limit = limit
        self._stretch = 1.0
        self._sent: deque[Sent] = deque()
        self._in_window = 0.0
        self._next_s = 0.0
        if spent_at_s is not None:
            self._next_s = spent_at_s + limit.per_s * (1 + RESERVE)

    def next_s(self, now_s: float, units: float, reserve: float) -> float:
        """The earliest time at which a request of `units` may leave; infinite while that depends on one that is planned
        and has not left.
        """
        length_s = self.limit.per_s * (1 + reserve / 2)
        self._forget(now_s - length_s)
        if self._in_window + units > self.limit.allow:
            return max(self._next_s, self._free_at(units, length_s))
        return self._next_s

    def plan(self, now_s: float, units: float, reserve: float) -> None:
        """A request of `units` is to leave now. One that is late by less than half the reserve does not delay those
        after it: the plan goes on from its own time.
        """
        spacing_s = units * self.limit.per_s / self.limit.allow * (1 + reserve) * self._stretch
        late_s = self.limit.per_s * reserve / 2
        self._next_s = max(self._next_s, now_s - late_s) + spacing_s
        self._in_window += units

    def left(self, planned_s: float, sent: Sent) -> None:  # noqa: ARG002  as FixedWindow's
        """It has left."""
        self._sent.append(sent)

    def spacing_s(self) -> float:
        """How far apart units are at full pace."""
        return self.limit.per_s / self.limit.allow

    def refused(self, wider: float) -> None:
        """The vendor says that it was too fast."""
        self._stretch = min(self._stretch * wider, STRETCH_MAX)

    def quiet(self) -> None:
        """A while without a refusal."""
        self._stretch = 1 + (self._stretch - 1) * NARROWER

    def _forget(self, before_s: float) -> None:
        while self._sent and self._sent[0].at_s <= before_s:
            self._in_window -= self._sent.popleft().units

    def _free_at(self, units: float, length_s: float) -> float:
        over = self._in_window + units - self.limit.allow
        for sent in self._sent:
            over -= sent.units
            if over <= 0:
                return sent.at_s + length_s
        return inf


class FixedWindow:
    """At most `allow` units per window, then `burst` units of a longer window; as many at once as are there."""

    def __init__(self, limit: Limit, *, spent_at_s: float | None) -> None:
        self.limit = limit
        burst = limit.burst
        self._main = _Window(limit.allow, limit.per_s, spent_at_s)
        self._burst = _Window(burst.allow, burst.per_s, spent_at_s) if burst else None

    def next_s(self, now_s: float, units: float, reserve: float) -> float:
        """The earliest time at which a request of `units` may leave."""
        at_s = self._main.free_at(now_s, units, reserve)
        if at_s > now_s and self._burst is not None:
            at_s = min(at_s, self._burst.free_at(now_s, units, reserve))
        return at_s

    def plan(self, now_s: float, units: float, reserve: float) -> None:
        """A request of `units` is to leave now."""
        if self._burst is None or self._main.free_at(now_s, units, reserve) <= now_s:
            self._main.spend(now_s, units)
        else:
            self._burst.spend(now_s, units)

    def left(self, planned_s: float, sent: Sent) -> None:
        """It has left. The vendor's window begins with what comes first."""
        for window in (self._main, self._burst):
            if window is not None:
                window.left(planned_s, sent.at_s)

    def spacing_s(self) -> float:
        """How far apart units are over a window."""
        return self.limit.per_s / self.limit.allow

    def refused(self, wider: float) -> None:  # noqa: ARG002  a window that begins elsewhere is no slower
        """The vendor says that it was too fast: its window is not where ours is."""
        self._main.fill()
        if self._burst is not None:
            self._burst.fill()

    def quiet(self) -> None:
        """Nothing to win back: a refused window ends by itself."""


class _Window:
    """One fixed window: begins with the first spending, ends `per_s` (and a reserve) later."""

    def __init__(self, allow: float, per_s: float, spent_at_s: float | None) -> None:
        self._allow = allow
        self._per_s = per_s
        self._start_s = -1e18 if spent_at_s is None else spent_at_s
        self._spent = 0.0 if spent_at_s is None else allow

    def free_at(self, now_s: float, units: float, reserve: float) -> float:
        end_s = self._start_s + self._per_s * (1 + reserve)
        if now_s >= end_s or self._spent + units <= self._allow:
            return now_s
        return end_s

    def spend(self, now_s: float, units: float) -> None:
        if now_s >= self._start_s + self._per_s:
            self._start_s, self._spent = now_s, 0.0
        self._spent += units

    def left(self, planned_s: float, now_s: float) -> None:
        """The request that was to begin the window has left."""
        if self._start_s == planned_s:
            self._start_s = now_s

    def fill(self) -> None:
        self._spent = self._allow


class Pace:
    """All windows of an account. `key` tells the credentials of one account apart. `spent_at_s`: begin as if every
    window had just been used up (after a take-over).
    """

    def __init__(self, limits: Sequence[Limit], *, spent_at_s: float | None = None) -> None:
        self._limits = limits
        self._spent_at_s = spent_at_s
        self._windows: dict[tuple[int, str], SlidingWindow | FixedWindow] = {}
        self._reserve = RESERVE
        self._latencies: deque[float] = deque(maxlen=64)
        self._refused_at_s = -HEELS_S
        self._quiet_at_s = 0.0
        self._in_a_row = 0
        self._ramp_s = 0.0
        self._found = None if limits else FoundRate()

    @property
    def reserve(self) -> float:
        """The share of each window that is left unused."""
        return self._reserve

    def next_s(self, now_s: float, cost: str, channel: str, key: str = "") -> float:
        """The earliest time, at or after now, at which a request of this cost class may leave; infinite while that
        depends on one that is planned and has not left.
        """
        earliest = max(now_s, self._ramp_s, self._found.next_s(now_s) if self._found else now_s)
        for window, units in self._of(cost, channel, key):
            earliest = max(earliest, window.next_s(now_s, units, self._reserve))
        return earliest

    def plan(self, now_s: float, cost: str, channel: str, key: str = "", *, share: float = 1.0) -> Departure:
        """A request is to leave now; what is returned must be told when it has. `share`: of the pace that may be used
        (after a breaker it grows back), so that the next one keeps a wider distance.
        """
        windows = self._of(cost, channel, key)
        if share < 1 and windows:
            self._ramp_s = now_s + max(units * window.spacing_s() for window, units in windows) / share
        for window, units in windows:
            window.plan(now_s, units, self._reserve)
        if self._found is not None:
            self._found.plan(now_s)
        return Departure(windows, now_s)

    def spend(self, now_s: float, cost: str, channel: str, key: str = "") -> None:
        """A request leaves now."""
        self.plan(now_s, cost, channel, key).left(now_s)

    def answered(self, now_s: float, latency_s: float, *, refused: bool, departure: Departure | None = None) -> None:
        """What the vendor thought of our pace, and how long it took: jitter and refusals widen the reserve. What took
        longer than others may have been longer on its way there.
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
        if departure is not None and departure.left_s is not None:
            latency_s = now_s - departure.left_s
            departure.arrived(max(0.0, latency_s - min(self._latencies, default=latency_s)))
        self._latencies.append(latency_s)
        self._reserve = self._reserve_for_jitter()

    def rate_per_s(self) -> float | None:
        """Requests per second that the tightest window allows, None without limits."""
        rates = [limit.allow / limit.per_s for limit in self._limits]
        return min(rates) if rates else None

    def found_per_s(self) -> float | None:
        """Requests per second that the account was found to take, None where limits are declared or none was met."""
        return self._found.per_s if self._found else None

    def _reserve_for_jitter(self) -> float:
        windows = [limit.per_s for limit in self._limits if limit.kind == "sliding"]
        if not windows or len(self._latencies) < 8:  # noqa: PLR2004  too few to tell jitter
            return self._reserve
        ordered = sorted(self._latencies)
        jitter_s = ordered[floor(len(ordered) * 0.9)] - ordered[0]
        return min(max(RESERVE, jitter_s / min(windows)), RESERVE_MAX)

    def _of(self, cost: str, channel: str, key: str) -> list[tuple[SlidingWindow | FixedWindow, float]]:
        found = []
        for index, limit in enumerate(self._limits):
            if limit.classes is not None and cost not in limit.classes:
                continue
            units = (limit.cost or {}).get(cost, 1.0)
            place = (index, {"channel": channel, "key": key}.get(limit.scope, ""))
            if place not in self._windows:
                kind = SlidingWindow if limit.kind == "sliding" else FixedWindow
                self._windows[place] = kind(limit, spent_at_s=self._spent_at_s)
            found.append((self._windows[place], units))
        return found
