"""What a simulator saw of its client: every request with its time and size, every rule that was broken, what was under
way at once, and how often each record came. All of it bounded.
"""

import hashlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from msgspec import Struct

from gateway.clock import Clock

VISITS_KEPT = 20_000
BREACHES_KEPT = 1_000
RECORDS_KEPT = 1_000_000
RESTS_KEPT = 1_000
ON_ITS_WAY_S = 0.5
"""What left before the answer arrived that asks for a rest."""


class Arrival(Struct, frozen=True, gc=False):
    """When a request came: wall clock, and monotonic seconds."""

    at_ms: int
    at_s: float


class Visit(Struct, frozen=True, gc=False):
    """One request: when it came (wall clock, and monotonic seconds for pacing), what it was, and what it got."""

    at_ms: int
    at_s: float
    method: str
    path: str
    status: int
    records: int
    bytes: int
    what: str = ""


class Breach(Struct, frozen=True, gc=False):
    """A rule that the client broke. `rule` is one of the simulator's fixed names."""

    at_ms: int
    rule: str
    detail: str


class Seen(Struct):
    """How often a record came, and how many of those times it was the same as the time before, byte for byte."""

    times: int = 0
    repeats: int = 0
    last: bytes = b""


class Witness:
    """The memory of one account's client."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.visits: deque[Visit] = deque(maxlen=VISITS_KEPT)
        self.breaches: deque[Breach] = deque(maxlen=BREACHES_KEPT)
        self.broken: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.received: dict[str, Seen] = {}
        self.under_way: Counter[str] = Counter()
        self._rests: dict[str, tuple[float, float]] = {}
        self.requests_under_way = 0
        self.requests_at_once = 0

    def visit(self, arrival: Arrival, method: str, path: str, status: int, sizes: tuple[int, int], what: str) -> None:
        """A request was answered. `sizes`: its records, and its body's bytes."""
        records, size = sizes
        self.visits.append(Visit(arrival.at_ms, arrival.at_s, method, path, status, records, size, what))
        self.statuses[status] += 1

    def breach(self, rule: str, detail: str = "") -> None:
        """The client broke a rule."""
        self.broken[rule] += 1
        self.breaches.append(Breach(self._clock.now_ms(), rule, detail[:500]))

    def rest(self, what: str, for_s: float) -> None:
        """The client is told to leave something alone for so long: what comes before that is a breach."""
        now_s = self._clock.monotonic_s()
        if len(self._rests) >= RESTS_KEPT:
            del self._rests[next(iter(self._rests))]
        self._rests[what] = (now_s + ON_ITS_WAY_S, now_s + for_s)

    def back(self, what: str, rule: str = "came_back_early") -> None:
        """The client uses something again."""
        since_s, until_s = self._rests.get(what, (0.0, 0.0))
        now_s = self._clock.monotonic_s()
        if since_s <= now_s < until_s:
            self.breach(rule, f"{what}: {until_s - now_s:.1f} s early")

    def came(self, key: str, encoded: bytes) -> None:
        """A record was taken."""
        seen = self.received.get(key)
        if seen is None:
            if len(self.received) >= RECORDS_KEPT:
                del self.received[next(iter(self.received))]
            seen = self.received[key] = Seen()
        digest = hashlib.blake2b(encoded, digest_size=8).digest()
        seen.repeats += digest == seen.last
        seen.times += 1
        seen.last = digest

    def repeats(self, key: str) -> int:
        """How often a record came again as it was."""
        return self.received[key].repeats if key in self.received else 0

    @contextmanager
    def handling(self) -> Iterator[Arrival]:
        """A request is under way from its arrival until its answer has left."""
        self.requests_under_way += 1
        self.requests_at_once = max(self.requests_at_once, self.requests_under_way)
        try:
            yield Arrival(self._clock.now_ms(), self._clock.monotonic_s())
        finally:
            self.requests_under_way -= 1

    def enter(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Records are under way; those that were already are a breach. Returns what `leave` is to be given."""
        entered = tuple(dict.fromkeys(keys))
        for key in entered:
            if self.under_way[key]:
                self.breach("two_in_flight", key)
            self.under_way[key] += 1
        return entered

    def leave(self, keys: Iterable[str]) -> None:
        """The answer about these records has left."""
        for key in keys:
            self.under_way[key] -= 1
            if not self.under_way[key]:
                del self.under_way[key]

    def view(self) -> dict[str, Any]:
        """Everything, as JSON shows it."""
        return {
            "requests": msgspec.to_builtins(list(self.visits)),
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "requests_at_once": self.requests_at_once,
            "received": {key: seen.times for key, seen in self.received.items()},
            "repeats": sum(seen.repeats for seen in self.received.values()),
            "breaches": {
                "total": self.broken.total(),
                "by_rule": dict(self.broken),
                "latest": msgspec.to_builtins(list(self.breaches)),
            },
        }
