"""One limit's window: when its next request may leave. Pure.

Why a vendor that counts strictly never refuses. Let it allow N in any W. Request k leaves at d and arrives at
d + way + x; request k+N arrives no earlier than the way after it left. So the two arrive more than W apart wherever
k+N leaves later than d + W + x: then no window of W holds more than N, sliding or fixed, whatever the spacing within.
Each request therefore holds its place for W and what x may be: 1 % of W while nothing is known of it; once it is
answered, as much as that took longer than the quickest answer, since it was not later than that on its way there. Up to
3 % of W this holds for every request. Beyond that it may as well be the vendor that thinks for longer: some are
believed (a process or a network stood still for a moment), as many as cost 0.3 % of the pace.
The spacing, 2 % wider than the limit's, is the pace; it is not what keeps the limit, so what is late is caught up.
"""

from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush
from math import inf

from gateway.vendors.base import Limit

RESERVE = 0.02
"""Of a window, by which requests are further apart than the limit asks."""
UNKNOWN = 0.01
"""Of a window, by which a request may arrive late without our knowing."""
CLOCKS = 0.001
"""Of a window, by which a known delay is rounded up: clocks, and the way between the wire and who counts."""
BELIEVED = 0.03
"""Of a window: a delay up to this is believed of every request."""
BELIEVED_MOST = 0.5
BELIEF_EACH = 0.003
BELIEF_MAX = 0.015
"""Beyond that each request brings so much of a window that may be believed of any; it gathers up to this for each
request of a window.
"""
CATCH_UP = 0.2
"""Of a window, by which a request that has been waiting may be late without delaying those after it; one that comes to
an account at rest: by `UNKNOWN`.
"""
NARROWER = 0.5
STRETCH_MAX = 16.0

Sendings = Sequence[tuple[float, float]]
"""When units left, and how many; oldest first."""


class Sent:
    """A request in one window: when it left, its units, and when its place is free for the next window's."""

    __slots__ = ("at_s", "free_s", "units")

    def __init__(self, at_s: float, units: float, free_s: float) -> None:
        self.at_s = at_s
        self.units = units
        self.free_s = free_s

    def __lt__(self, other: "Sent") -> bool:
        return self.free_s < other.free_s


class Belief:
    """How much of a delay is taken for one on the way there. `allow` requests in `per_s` seconds."""

    def __init__(self, allow: float, per_s: float) -> None:
        self._per_s = per_s
        self._most_s = self._left_s = BELIEF_MAX * allow * per_s

    def of(self, late_s: float) -> float:
        """Seconds by which a request that was answered so much later than the quickest may have arrived late."""
        self._left_s = min(self._left_s + BELIEF_EACH * self._per_s, self._most_s)
        surely_s = min(late_s, BELIEVED * self._per_s)
        more_s = min(late_s - surely_s, self._left_s, (BELIEVED_MOST - BELIEVED) * self._per_s)
        self._left_s -= more_s
        return surely_s + more_s + CLOCKS * self._per_s


class SlidingWindow:
    """At most `allow` units in any `per_s` seconds, evenly spaced."""

    def __init__(self, limit: Limit, *, spent_at_s: float | None, before: Sendings = ()) -> None:
        self.limit = limit
        self._stretch = 1.0
        self._sent: deque[Sent] = deque()
        self._late: list[Sent] = []
        self._held_s = limit.per_s * (1 + UNKNOWN)
        self._in_window = 0.0
        self._belief = Belief(limit.allow, limit.per_s)
        self._next_s = 0.0
        self._waited_for = False
        if spent_at_s is not None:
            self._next_s = spent_at_s + limit.per_s * (1 + RESERVE)
        for at_s, units in before:
            self.left(at_s, at_s, units)
            self._in_window += units
            self._next_s = at_s + self.spacing_s() * (1 + RESERVE)

    def next_s(self, now_s: float, units: float) -> float:
        """When to ask again, or now: a request of `units` may leave. Infinite while that depends on one that is planned
        and has not left.
        """
        self._forget(now_s)
        full = self._in_window + units > self.limit.allow
        next_s = max(self._next_s, self._free_s()) if full else self._next_s
        self._waited_for |= next_s > now_s
        return next_s

    def plan(self, now_s: float, units: float) -> None:
        """A request of `units` is to leave now. One that is late does not delay those after it: the plan goes on from
        its own time.
        """
        spacing_s = units * self.limit.per_s / self.limit.allow * (1 + RESERVE) * self._stretch
        late_s = self.limit.per_s * (CATCH_UP if self._waited_for else UNKNOWN)
        self._next_s = max(self._next_s, now_s - late_s) + spacing_s
        self._waited_for &= self._next_s <= now_s
        self._in_window += units

    def left(self, planned_s: float, at_s: float, units: float) -> Sent:  # noqa: ARG002  as FixedWindow's
        """It has left."""
        sent = Sent(at_s, units, at_s + self._held_s)
        self._sent.append(sent)
        return sent

    def arrived(self, sent: Sent, late_s: float) -> None:
        """It may have arrived so much later than others; one whose place is taken again already stays forgotten."""
        sent.free_s = max(sent.free_s, sent.at_s + self.limit.per_s + self._belief.of(late_s))

    def sendings(self, now_s: float) -> Sendings:
        """What counts in the window by now, also what has not left; oldest first."""
        self._forget(now_s)
        sent = sorted((max(one.at_s, one.free_s - self._held_s), one.units) for one in (*self._sent, *self._late))
        planned = self._in_window - sum(units for _, units in sent)
        return _together([*sent, (now_s, planned)] if planned > 0 else sent, self.limit.per_s)

    def spacing_s(self) -> float:
        """How far apart units are at full pace."""
        return self.limit.per_s / self.limit.allow

    def refused(self, wider: float) -> None:
        """The vendor says that it was too fast."""
        self._stretch = min(self._stretch * wider, STRETCH_MAX)

    def quiet(self) -> None:
        """A while without a refusal."""
        self._stretch = 1 + (self._stretch - 1) * NARROWER

    def _forget(self, now_s: float) -> None:
        """Places that are free again. One that has to be held for longer makes way for those behind it."""
        while self._sent and self._sent[0].at_s + self._held_s <= now_s:
            heappush(self._late, self._sent.popleft())
        while self._late and self._late[0].free_s <= now_s:
            self._in_window -= heappop(self._late).units

    def _free_s(self) -> float:
        """When the next place is free, or earlier."""
        first_s = self._sent[0].at_s + self._held_s if self._sent else inf
        return min(first_s, self._late[0].free_s if self._late else inf)


class FixedWindow:
    """At most `allow` units per window, then `burst` units of a longer window; as many at once as are there."""

    def __init__(self, limit: Limit, *, spent_at_s: float | None, before: Sendings = ()) -> None:
        self.limit = limit
        burst = limit.burst
        self._main = _Window(limit.allow, limit.per_s, spent_at_s, before)
        self._burst = _Window(burst.allow, burst.per_s, spent_at_s, before) if burst else None

    def next_s(self, now_s: float, units: float) -> float:
        """The earliest time at which a request of `units` may leave."""
        at_s = self._main.free_at(now_s, units)
        if at_s > now_s and self._burst is not None:
            at_s = min(at_s, self._burst.free_at(now_s, units))
        return at_s

    def plan(self, now_s: float, units: float) -> None:
        """A request of `units` is to leave now."""
        if self._burst is None or self._main.free_at(now_s, units) <= now_s:
            self._main.spend(now_s, units)
        else:
            self._burst.spend(now_s, units)

    def left(self, planned_s: float, at_s: float, units: float) -> Sent:
        """It has left. The vendor's window begins with what comes first."""
        for window in (self._main, self._burst):
            if window is not None:
                window.left(planned_s, at_s)
        return Sent(at_s, units, at_s)

    def arrived(self, sent: Sent, late_s: float) -> None:
        """It may have arrived so much later than others, and a window begun so much later."""
        for window in (self._main, self._burst):
            if window is not None:
                window.arrived(sent.at_s, late_s)

    def sendings(self, now_s: float) -> Sendings:
        """What may count in a window by now, oldest first. With a burst, all of it in both windows."""
        found = [one for window in (self._main, self._burst) if window is not None for one in window.sendings(now_s)]
        return _together(sorted(found), (self.limit.burst or self.limit).per_s)

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


class _Sendings:
    """What left within a stretch of time: from when to when, and how many units."""

    __slots__ = ("from_s", "to_s", "units")

    def __init__(self, at_s: float, units: float) -> None:
        self.from_s = self.to_s = at_s
        self.units = units


class _Window:
    """One fixed window: begins with the first spending, ends `per_s` (and a reserve) later.

    Close to its end nobody knows in which window of the vendor's a request would be. One leaves then where no more than
    `allow` units have left in any `per_s`: right wherever the vendor's windows are. From then on this is the rule,
    until nothing has left for as long as a window lasts.
    """

    def __init__(self, allow: float, per_s: float, spent_at_s: float | None, before: Sendings) -> None:
        self._allow = allow
        self._per_s = per_s
        self._start_s = -1e18 if spent_at_s is None else spent_at_s
        self._late_s = 0.0
        self._spent = 0.0 if spent_at_s is None else allow
        self._belief = Belief(1, per_s)
        self._sent: deque[_Sendings] = deque()
        self._sent_units = 0.0
        self._is_unsure = bool(before)
        for at_s, units in before or ([] if spent_at_s is None else [(spent_at_s, allow)]):
            self._note(at_s, units)

    def free_at(self, now_s: float, units: float) -> float:
        """When a request of `units` may leave: now, when the next window surely begins, or when any has room."""
        end_s = self._start_s + self._held_s()
        if not self._is_unsure:
            if now_s >= end_s or (self._spent + units <= self._allow and now_s < self._close_s()):
                return now_s
            return min(end_s, self._room_s(now_s, units))
        return self._room_s(now_s, units)

    def spend(self, now_s: float, units: float) -> None:
        self._forget(now_s)
        if not self._sent or (not self._is_unsure and now_s >= self._start_s + self._held_s()):
            self._start_s, self._late_s, self._spent, self._is_unsure = now_s, 0.0, 0.0, False
        self._is_unsure |= now_s >= self._close_s()
        self._spent += units
        self._note(now_s, units)

    def left(self, planned_s: float, now_s: float) -> None:
        """The request that was planned for then has left; perhaps it was to begin the window."""
        if self._start_s == planned_s:
            self._start_s = now_s
        for one in reversed(self._sent):
            if one.from_s <= planned_s:
                one.to_s = max(one.to_s, now_s)
                break

    def arrived(self, at_s: float, late_s: float) -> None:
        """The request that left then may have been late: so was the window, if it began it."""
        if self._start_s == at_s:
            self._late_s = max(0.0, self._belief.of(late_s) - RESERVE * self._per_s)

    def fill(self) -> None:
        self._spent = self._allow
        if self._sent:
            self._note(self._sent[-1].to_s, self._allow)

    def sendings(self, now_s: float) -> Sendings:
        """What may count by now, oldest first."""
        self._forget(now_s)
        return [(one.to_s + self._late_s, one.units) for one in self._sent]

    def _close_s(self) -> float:
        return self._start_s + self._per_s * (1 - RESERVE)

    def _held_s(self) -> float:
        return self._per_s * (1 + RESERVE) + self._late_s

    def _note(self, at_s: float, units: float) -> None:
        """What leaves within a thousandth of the window is kept together: however much it allows, that is little."""
        self._sent_units += units
        if self._sent and at_s - self._sent[-1].from_s < self._per_s / 1000:
            self._sent[-1].to_s = max(self._sent[-1].to_s, at_s)
            self._sent[-1].units += units
        else:
            self._sent.append(_Sendings(at_s, units))

    def _forget(self, now_s: float) -> None:
        while self._sent and self._sent[0].to_s + self._held_s() <= now_s:
            self._sent_units -= self._sent.popleft().units

    def _room_s(self, now_s: float, units: float) -> float:
        """When so many units fit beside all that left in the time of a window."""
        self._forget(now_s)
        over = self._sent_units + units - self._allow
        at_s = now_s
        for one in self._sent:
            if over <= 0:
                break
            over -= one.units
            at_s = max(at_s, one.to_s + self._held_s())
        return at_s


def _together(sendings: Sendings, per_s: float) -> Sendings:
    """The same, what left within a twentieth of the window told as one, of the last of it."""
    found: list[tuple[float, float]] = []
    first_s = -inf
    for at_s, units in sendings:
        if at_s - first_s < per_s / 20:
            found[-1] = (at_s, found[-1][1] + units)
        else:
            first_s = at_s
            found.append((at_s, units))
    return found
