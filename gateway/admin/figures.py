"""What a scrape looks up: lanes from the journal, roles and configuration from the supervisor, counts of all processes.

The journal is asked by one scrape at a time and for at most `TIMEOUT_S`, and its answer serves every scrape within
`FRESH_S`: a scraper that comes too often, or a journal that is slow, costs nobody anything. Without an answer the rest
is given, and `gateway_journal_readable` is 0.
"""

import asyncio
import platform
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from gateway.admin.status import Status
from gateway.admin.views import is_orphaned
from gateway.clock import Clock
from gateway.deliver.lane import is_history
from gateway.errors import JournalError
from gateway.journal.base import Desk, LaneRow
from gateway.model import LIVE
from gateway.telemetry import log as logs
from gateway.telemetry.metrics import AT_SCRAPE
from gateway.telemetry.processes import Processes

LANES = 1_000
"""Lanes that are shown one by one, at most."""
TIMEOUT_S = 2.0
FRESH_S = 1.0
VERSION = version("webhook-gateway")

log = logs.get("admin")


class LaneFigures:
    """The lanes' rows, asked for seldom."""

    def __init__(self, desk: Desk, clock: Clock, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._desk = desk
        self._clock = clock
        self._asking = asyncio.Lock()
        self._rows: tuple[LaneRow, ...] | None = None
        self._asked_s: float | None = None

    async def rows(self) -> tuple[LaneRow, ...] | None:
        """Every lane, at most a second old; None when the journal does not answer in time."""
        try:
            async with asyncio.timeout(self._timeout_s), self._asking:
                if self._asked_s is None or self._clock.monotonic_s() - self._asked_s > FRESH_S:
                    self._rows = await self._desk.lane_rows()
                    self._asked_s = self._clock.monotonic_s()
        except (JournalError, TimeoutError) as error:
            log.warning("metrics.incomplete", reason=str(error) or f"no answer within {self._timeout_s:g} s")
            return None
        return self._rows


class Figures:
    """The collector of what is looked up, for one scrape."""

    def __init__(self, rows: Sequence[LaneRow] | None, status: Status, now_ms: int, most: int = LANES) -> None:
        self._most = most
        self._rows = rows
        self._status = status
        self._now_ms = now_ms

    def collect(self) -> Iterator[Metric]:
        yield _gauge("gateway_journal_readable", [((), self._rows is not None)])
        if self._rows is not None:
            yield from self._lanes(sorted(self._rows, key=lambda row: row.lane.id))
        yield from self._roles()
        digest = (self._status.digest, str(self._status.revision))
        yield _gauge("gateway_configuration_info", [(digest, 1)])
        yield _gauge("gateway_configuration_refused", [((), len(self._status.refused))])
        yield _gauge("gateway_build_info", [((VERSION, platform.python_version()), 1)])
        yield _gauge("gateway_started_timestamp_seconds", [((), self._status.started_at_ms / 1000)])

    def _roles(self) -> Iterator[Metric]:
        yield _gauge("gateway_role_ready", [((role.name,), role.ready) for role in self._status.roles])
        restarts = CounterMetricFamily(
            "gateway_role_restarts", AT_SCRAPE["gateway_role_restarts"].help, labels=["role"]
        )
        for role in self._status.roles:
            restarts.add_metric([role.name], role.restarts)
        yield restarts

    def _lanes(self, rows: Sequence[LaneRow]) -> Iterator[Metric]:
        """Replays of one lane are one: each has an id of its own, and labels must be bounded. Live lanes go first."""
        events: defaultdict[tuple[str, ...], int] = defaultdict(int)
        lag_s: defaultdict[tuple[str, ...], float] = defaultdict(float)
        paused: defaultdict[tuple[str, ...], bool] = defaultdict(bool)
        orphaned: defaultdict[tuple[str, ...], bool] = defaultdict(bool)
        left_out = 0
        for row in sorted(rows, key=lambda row: row.lane.kind != LIVE):
            labels = (row.lane.source, row.lane.destination, LIVE if row.lane.kind == LIVE else "replay")
            if labels not in lag_s and len(lag_s) >= self._most:
                left_out += 1
                continue
            oldest_ms = row.oldest_waiting_at_ms
            lag_s[labels] = max(lag_s[labels], 0 if oldest_ms is None else (self._now_ms - oldest_ms) / 1000)
            paused[labels] |= row.lane.paused and not is_history(row.lane)
            orphaned[labels] |= is_orphaned(row.lane, self._status)
            for state, count in _by_state(row):
                events[*labels, state] += count
        yield _gauge("gateway_lane_events", events.items())
        yield _gauge("gateway_lane_lag_seconds", lag_s.items())
        yield _gauge("gateway_lane_paused", paused.items())
        yield _gauge("gateway_lane_orphaned", orphaned.items())
        yield _gauge("gateway_lanes_left_out", [((), left_out)])


async def exposition(figures: Figures, folder: Path | None, accept: str) -> tuple[bytes, str]:
    """The text of a scrape and its content type, of everything that is counted and looked up."""
    registry = CollectorRegistry()
    registry.register(Processes(folder))
    registry.register(figures)
    encoder, content_type = choose_encoder(accept)
    return await asyncio.to_thread(encoder, registry), content_type


def _by_state(row: LaneRow) -> tuple[tuple[str, int], ...]:
    counts = row.lane.counts
    return (
        ("waiting", row.waiting),
        ("parked", counts.parked),
        ("delivered", counts.delivered),
        ("filtered", counts.filtered),
        ("superseded", counts.superseded),
        ("dead", counts.dead),
        ("discarded", counts.discarded),
    )


def _gauge(name: str, values: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    known = AT_SCRAPE[name]
    family = GaugeMetricFamily(name, known.help, labels=known.labels)
    for labels, value in values:
        family.add_metric(labels, float(value))
    return family
