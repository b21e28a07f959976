"""When an account that fails is left alone: failures in a row, or too large a share of the last requests. Pure."""

from collections import deque

from gateway.config.schema import BreakerSetting

RATE_OF = 20
"""Requests in the window from which on their share of failures says something."""
SLICES = 60
"""Parts of the window: what is counted together is forgotten together."""
RAMP_FROM = 0.1


class Breaker:
    """Counts an account's requests that failed as a whole, and knows how long it rests."""

    def __init__(self, rule: BreakerSetting) -> None:
        self._rule = rule
        self._in_a_row = 0
        self._slices: deque[tuple[int, list[int]]] = deque()
        self._open_s = rule.open
        self._closed_at_s: float | None = None

    def failed(self, now_s: float) -> bool:
        """A request failed as a whole. Whether that is too much."""
        self._in_a_row += 1
        self._count(now_s, failed=1)
        requests = sum(counts[0] for _, counts in self._slices)
        failures = sum(counts[1] for _, counts in self._slices)
        too_many = requests >= RATE_OF and failures > self._rule.rate * requests
        return too_many or self._in_a_row >= self._rule.failures

    def took(self, now_s: float) -> None:
        """A request was taken."""
        self._in_a_row = 0
        self._count(now_s, failed=0)

    def open(self) -> float:
        """It opens: seconds until the first try."""
        return self._open_s

    def longer(self) -> float:
        """A try failed: seconds until the next one."""
        self._open_s = min(self._open_s * 2, self._rule.max)
        return self._open_s

    def close(self, now_s: float) -> None:
        """A try succeeded. What failed before is forgotten."""
        self._in_a_row = 0
        self._slices.clear()
        self._open_s = self._rule.open
        self._closed_at_s = now_s

    def share(self, now_s: float) -> float:
        """The share of pace and concurrency that may be used: it grows to 1 after the breaker has closed."""
        if self._closed_at_s is None or now_s >= self._closed_at_s + self._rule.ramp:
            return 1.0
        return max(RAMP_FROM, (now_s - self._closed_at_s) / self._rule.ramp)

    def _count(self, now_s: float, *, failed: int) -> None:
        number = int(now_s / self._rule.window * SLICES)
        if not self._slices or self._slices[-1][0] != number:
            self._slices.append((number, [0, 0]))
        counts = self._slices[-1][1]
        counts[0] += 1
        counts[1] += failed
        while self._slices[0][0] <= number - SLICES:
            self._slices.popleft()
