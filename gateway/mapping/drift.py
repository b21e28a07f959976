"""Schema drift as it happens: a sample of each source's payloads is held against what its first ones looked like.

What is learned lives in the process, whatever becomes of its configuration, and is recalled from the journal when the
next one starts. `gateway coverage` looks back further.
"""

from collections import OrderedDict
from typing import Any

from gateway.clock import Clock, SystemClock
from gateway.document import read
from gateway.mapping.shape import Drift, Shape, dotted, drift
from gateway.telemetry import log as logs
from gateway.telemetry import metrics

LEARNED = 50
"""Payloads of a topic that are looked at before anything is said of the next."""
ROUND = 20
"""Payloads that are held together against what was learned."""
PAUSE_S = 0.5
"""Between two looks at a topic, once it is learned: a look at a large order takes about 0.7 ms."""
TOPICS_MAX = 100
"""Topics of a source that are watched; the one that was silent longest makes room."""
TOLD_MAX = 20
"""Fields that are named in the log in one round; all are counted."""

log = logs.get("mapping")


class Watch:
    """Watches the payloads of one source. While it is `recalling`, it only learns from those of before."""

    def __init__(self, source: str, clock: Clock | None = None, *, recalling: bool = False) -> None:
        self.recalling = recalling
        self._source = source
        self._clock = clock or SystemClock()
        self._topics: OrderedDict[str, _Topic] = OrderedDict()

    def look(self, topic: str, body: Any) -> None:
        """One payload more, as a document or its text. Where many come, most are passed over."""
        if self.recalling:
            return
        watched = self._topic(topic)
        if watched.wants(self._clock.monotonic_s()) and watched.add(read(body)):
            self._tell(topic, watched)

    def recall(self, topic: str, body: Any) -> None:
        """One payload of before: learned from, where that is not enough yet."""
        self._topic(topic).recall(body)

    def _topic(self, topic: str) -> "_Topic":
        watched = self._topics.get(topic)
        if watched is None:
            watched = self._topics[topic] = _Topic()
            if len(self._topics) > TOPICS_MAX:
                self._topics.popitem(last=False)
        self._topics.move_to_end(topic)
        return watched

    def _tell(self, topic: str, watched: "_Topic") -> None:
        for number, one in enumerate(watched.drift()):
            metrics.schema_drift.labels(self._source, one.change).inc()
            if number < TOLD_MAX:
                log.warning(
                    "schema.drift",
                    source=self._source,
                    topic=topic,
                    field=dotted(one.path),
                    change=one.change,
                    before=", ".join(one.before),
                    after=", ".join(one.after),
                )


class Watches:
    """The watches of all sources. They outlive a configuration; with `recalling` they begin when all is recalled."""

    def __init__(self, clock: Clock | None = None, *, recalling: bool = False) -> None:
        self._clock = clock or SystemClock()
        self._recalling = recalling
        self._watches: dict[str, Watch] = {}

    def of(self, source: str) -> Watch:
        """The watch of a source."""
        if source not in self._watches:
            self._watches[source] = Watch(source, self._clock, recalling=self._recalling)
        return self._watches[source]

    def recalled(self) -> None:
        """All is known that can be: from now on every payload is looked at."""
        self._recalling = False
        for watch in self._watches.values():
            watch.recalling = False


class _Topic:
    """What the payloads of a topic look like: those that were learned from, and those of this round."""

    def __init__(self) -> None:
        self._known = Shape()
        self._round = Shape()
        self._looked_s = float("-inf")

    def wants(self, now_s: float) -> bool:
        """Whether the next payload is to be looked at."""
        if self._known.payloads >= LEARNED and now_s < self._looked_s + PAUSE_S:
            return False
        self._looked_s = now_s
        return True

    def recall(self, body: Any) -> None:
        """Learn from a payload of before."""
        if self._known.payloads < LEARNED:
            self._known.add(body)

    def add(self, body: Any) -> bool:
        """Look at a payload; whether a round is full."""
        if self._known.payloads < LEARNED:
            self._known.add(body)
            return False
        self._round.add(body)
        return self._round.payloads >= ROUND

    def drift(self) -> list[Drift]:
        """What has changed in this round. It is known from now on, and told once."""
        found = list(drift(self._known, self._round))
        for one in found:
            if one.change == "vanished":
                self._known.forget(one.path)
        self._known.learn(self._round)
        self._round = Shape()
        return found
