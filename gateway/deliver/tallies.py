"""What is counted of sends, kept for a moment before it is written where a scrape finds it: with several processes each
count is a write to a file, and a request has a dozen.
"""

import asyncio
from collections import Counter

from gateway.errors import Reason
from gateway.telemetry import metrics

WRITE_S = 0.1


class Tally:
    """What was counted of one destination and is not written yet."""

    def __init__(self, destination: str) -> None:
        self._meters = metrics.destination(destination)
        self.in_flight = 0
        self._begin()

    def _begin(self) -> None:
        self.seconds: list[float] = []
        self.records: list[int] = []
        self.bytes: list[int] = []
        self.delays_s: list[float] = []
        self.answers: Counter[tuple[int | None, Reason | None]] = Counter()
        self.outcomes: Counter[tuple[str, str]] = Counter()

    def write(self) -> None:
        meters = self._meters
        meters.in_flight.set(self.in_flight)
        meters.seconds.observe_all(self.seconds)
        meters.batch_records.observe_all(self.records)
        meters.batch_bytes.observe_all(self.bytes)
        meters.delay_seconds.observe_all(self.delays_s)
        for (status, failure), count in self.answers.items():
            meters.sent(status, failure, count)
        for (kind, reason), count in self.outcomes.items():
            meters.outcome(kind, reason, count)
        self._begin()


class Tallies:
    """Those of a process. They are written a moment after the first count, and with `write`."""

    def __init__(self) -> None:
        self._all: dict[str, Tally] = {}
        self._changed: set[Tally] = set()
        self._units: Counter[str] = Counter()
        self._writes_in: asyncio.AbstractEventLoop | None = None

    def of(self, destination: str) -> Tally:
        """A destination's, to be counted on."""
        tally = self._all.get(destination)
        if tally is None:
            tally = self._all[destination] = Tally(destination)
        self._changed.add(tally)
        loop = asyncio.get_running_loop()
        if self._writes_in is not loop:
            self._writes_in = loop
            loop.call_later(WRITE_S, self.write)
        return tally

    def unit(self, account: str) -> None:
        """A request leaves for the account."""
        self._units[account] += 1

    def write(self) -> None:
        """What was counted until now is to be seen."""
        self._writes_in = None
        for tally in self._changed:
            tally.write()
        for account, count in self._units.items():
            metrics.account(account).units.inc(count)
        self._changed.clear()
        self._units.clear()
