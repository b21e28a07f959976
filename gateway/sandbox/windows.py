"""How vendors count: the windows that the simulators hold their clients to. Times are seconds of a monotonic clock."""

from collections import deque


class SlidingLog:
    """At most `allow` units in any `per_s` seconds, counted from a log of what was let through.

    What is refused is not counted. A unit taken exactly `per_s` ago is free again.
    """

    def __init__(self, allow: float, per_s: float) -> None:
        self.allow = allow
        self.per_s = per_s
        self._log: deque[tuple[float, float]] = deque()
        self._used = 0.0

    def take(self, now_s: float, cost: float = 1.0) -> bool:
        """Whether `cost` units may be used now; if so they are."""
        self._forget(now_s)
        if self._used + cost > self.allow:
            return False
        self._log.append((now_s, cost))
        self._used += cost
        return True

    def used(self, now_s: float) -> float:
        """Units used in the window that ends now."""
        self._forget(now_s)
        return self._used

    def wait_s(self, now_s: float) -> float:
        """Seconds until the oldest unit is free again; 0 when none is used."""
        self._forget(now_s)
        return self._log[0][0] + self.per_s - now_s if self._log else 0.0

    def _forget(self, now_s: float) -> None:
        while self._log and now_s - self._log[0][0] >= self.per_s:
            self._used -= self._log.popleft()[1]


class FixedWindow:
    """Windows of `per_s` seconds, each begun by the first unit after the last one's end.

    As `rate-limiter-flexible` counts: what is refused is counted as well, which changes nothing, since windows do not
    move.
    """

    def __init__(self, allow: float, per_s: float) -> None:
        self.allow = allow
        self.per_s = per_s
        self._began_s: float | None = None
        self._used = 0.0

    def take(self, now_s: float, cost: float = 1.0) -> bool:
        """Whether `cost` units fit into the window in force; they are counted in any case."""
        if self._began_s is None or now_s - self._began_s >= self.per_s:
            self._began_s = now_s
            self._used = 0.0
        self._used += cost
        return self._used <= self.allow

    def used(self, now_s: float) -> float:
        """Units asked for in the window in force."""
        return 0.0 if self.wait_s(now_s) == 0 else self._used

    def wait_s(self, now_s: float) -> float:
        """Seconds until the window in force ends; 0 when none is."""
        if self._began_s is None:
            return 0.0
        return max(0.0, self._began_s + self.per_s - now_s)


class Bursty:
    """A window, and a longer one to draw on when the first is used up (`rate-limiter-flexible` BurstyRateLimiter)."""

    def __init__(self, main: FixedWindow, burst: FixedWindow) -> None:
        self.main = main
        self.burst = burst

    def take(self, now_s: float, cost: float = 1.0) -> bool:
        """Whether the units fit into the window in force, or else into the burst's."""
        return self.main.take(now_s, cost) or self.burst.take(now_s, cost)

    def wait_s(self, now_s: float) -> float:
        """Seconds until the nearer of the two windows ends."""
        return min(self.main.wait_s(now_s), self.burst.wait_s(now_s))
