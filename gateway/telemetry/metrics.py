"""Every metric of the gateway, in one file. Names begin with `gateway_`, labels are bounded by the configuration and
by fixed lists, and each metric says what it is.

The rooms count with what stands here; children of a label are bound once and kept (`source(name).accepted.inc()`), so
that counting costs a microsecond. Over several processes each writes files of its own in `PROMETHEUS_MULTIPROC_DIR`
(set before the process starts) and the admin port adds them up: see `processes`. What is read when it is asked for
(lanes, roles, the configuration) is named in `AT_SCRAPE` and filled in by the admin port.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge

from gateway.errors import Cause, Reason

REGISTRY = CollectorRegistry()
"""The metrics of this process."""

UNKNOWN_SOURCE = "(unknown)"
"""The one label of all requests for sources that are not configured. No source can have this name."""

LABEL_VALUES = 2_000
"""Values of a configured label that are kept bound; more are bound anew each time."""


class Histogram(prometheus_client.Histogram):
    """As Prometheus', and takes many amounts at the price of a few."""

    def observe_all(self, amounts: Sequence[float]) -> None:
        """As `observe` with each of them."""
        ascending = sorted(amounts)
        before = 0
        for place, bound in enumerate(self._upper_bounds):
            if before == len(ascending):
                break
            until = bisect_right(ascending, bound, before)
            if until > before:
                self._buckets[place].inc(until - before)
            before = until
        if ascending:
            self._sum.inc(sum(ascending))


_COMMIT_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SEND_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_DELAY_S = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)
_GROUP = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_RECORDS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000)
_BYTES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)

# --- the receiver ----------------------------------------------------------------------------------------------------

events_accepted = Counter("gateway_events_accepted", "Events committed to the journal.", ["source"], registry=REGISTRY)
events_duplicate = Counter(
    "gateway_events_duplicate",
    "Requests recognised as an event accepted before.",
    ["source"],
    registry=REGISTRY,
)
requests_rejected = Counter(
    "gateway_requests_rejected", "Requests refused, by cause.", ["source", "cause"], registry=REGISTRY
)
rejections_unkept = Counter(
    "gateway_rejections_unkept",
    "Refused requests that were counted and not kept: more than 10 a second of one source.",
    registry=REGISTRY,
)
commit_seconds = Histogram(
    "gateway_commit_seconds", "How long the commit of a group took.", buckets=_COMMIT_S, registry=REGISTRY
)
commit_events = Histogram(
    "gateway_commit_events", "Events that were committed together.", buckets=_GROUP, registry=REGISTRY
)
commit_failures = Counter("gateway_commit_failures", "Groups that could not be committed.", registry=REGISTRY)
requests_waiting = Gauge(
    "gateway_requests_waiting",
    "Requests that wait for their commit now.",
    multiprocess_mode="livesum",
    registry=REGISTRY,
)

# --- the dispatcher --------------------------------------------------------------------------------------------------

sends = Counter(
    "gateway_sends",
    "Requests to vendors by what came back: 2xx, 3xx, 4xx, 429, 5xx, timeout or connection_failed.",
    ["destination", "result"],
    registry=REGISTRY,
)
send_seconds = Histogram(
    "gateway_send_seconds", "How long requests to vendors took.", ["destination"], buckets=_SEND_S, registry=REGISTRY
)
batch_records = Histogram(
    "gateway_batch_records", "Records in one request.", ["destination"], buckets=_RECORDS, registry=REGISTRY
)
batch_bytes = Histogram(
    "gateway_batch_bytes", "Bytes of a request's body.", ["destination"], buckets=_BYTES, registry=REGISTRY
)
records = Counter(
    "gateway_records",
    "Records by outcome (delivered, retry, throttled, suspended, refused, split) and reason.",
    ["destination", "outcome", "reason"],
    registry=REGISTRY,
)
delivery_delay_seconds = Histogram(
    "gateway_delivery_delay_seconds",
    "From the receipt of an event to the delivery of its record.",
    ["destination"],
    buckets=_DELAY_S,
    registry=REGISTRY,
)
records_in_flight = Gauge(
    "gateway_records_in_flight",
    "Records that are with a vendor now.",
    ["destination"],
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
limit_units = Counter(
    "gateway_limit_units",
    "Units of the account's limit that were used. Its rate over gateway_limit_units_per_second is the utilisation.",
    ["account"],
    registry=REGISTRY,
)
limit_units_per_second = Gauge(
    "gateway_limit_units_per_second",
    "Units a second that the account's limits allow to the class of requests that may go fastest.",
    ["account"],
    multiprocess_mode="livemostrecent",
    registry=REGISTRY,
)
found_requests_per_second = Gauge(
    "gateway_found_requests_per_second",
    "Requests a second that an account without limits was found to take; 0 where it never refused one.",
    ["account"],
    multiprocess_mode="livemostrecent",
    registry=REGISTRY,
)
records_dropped = Counter(
    "gateway_records_dropped",
    "Records that a vendor took and dropped later, at least so many, where it tells (Ometria).",
    ["account"],
    registry=REGISTRY,
)
account_standing = Gauge(
    "gateway_account_standing",
    "1 for what the account is: open, throttled, suspended, broken or probing; 0 for what it is not.",
    ["account", "standing"],
    multiprocess_mode="livemostrecent",
    registry=REGISTRY,
)
account_held = Gauge(
    "gateway_account_held",
    "Processes that hold the account's lease: 1, or 0 for a moment when it moves.",
    ["account"],
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
settle_seconds = Histogram(
    "gateway_settle_seconds", "How long the commit of a settle took.", buckets=_COMMIT_S, registry=REGISTRY
)
settle_conflicts = Counter(
    "gateway_settle_conflicts", "Settles refused because the lane or the lease had changed.", registry=REGISTRY
)
mapping_failures = Counter(
    "gateway_mapping_failures", "Events that a mapping could not map.", ["mapping"], registry=REGISTRY
)
schema_drift = Counter(
    "gateway_schema_drift",
    "Fields of a source's payloads that appeared, vanished or changed their kind, in a sample of them.",
    ["source", "change"],
    registry=REGISTRY,
)
mapping_unfit = Counter(
    "gateway_mapping_unfit",
    "Values that did not fit their type and were left out or kept as they were.",
    ["mapping", "field"],
    registry=REGISTRY,
)

# --- every process ---------------------------------------------------------------------------------------------------

loop_lag_seconds = Gauge(
    "gateway_loop_lag_seconds",
    "How late the event loop woke up last, the worst process of the role.",
    ["role"],
    multiprocess_mode="livemax",
    registry=REGISTRY,
)
configuration_revision = Gauge(
    "gateway_configuration_revision",
    "The configuration's revision in force, the oldest of the role's processes.",
    ["role"],
    multiprocess_mode="livemin",
    registry=REGISTRY,
)
configuration_reloads = Counter(
    "gateway_configuration_reloads",
    "New configurations met, by result: applied or refused.",
    ["result"],
    registry=REGISTRY,
)
log_lines_lost = Counter(
    "gateway_log_lines_lost", "Log lines that could not be written (full disk, closed pipe).", registry=REGISTRY
)

# --- read when it is asked for ---------------------------------------------------------------------------------------


class AtScrape(NamedTuple):
    """A metric whose value is looked up at each scrape."""

    help: str
    labels: tuple[str, ...] = ()
    kind: Literal["gauge", "counter"] = "gauge"


_LANE = ("source", "destination", "kind")
AT_SCRAPE: dict[str, AtScrape] = {
    "gateway_lane_events": AtScrape(
        "Events on the lane by state: waiting, parked, delivered, filtered, superseded, dead, discarded.",
        (*_LANE, "state"),
    ),
    "gateway_lane_lag_seconds": AtScrape("How long the lane's oldest waiting event has been waiting.", _LANE),
    "gateway_lane_paused": AtScrape("1 while the lane is paused.", _LANE),
    "gateway_lane_orphaned": AtScrape("1 while the lane's source or destination is not configured.", _LANE),
    "gateway_lanes_left_out": AtScrape("Lanes beyond the number that is shown one by one."),
    "gateway_journal_readable": AtScrape("1 when the lanes' figures were to be had in time, else 0."),
    "gateway_role_ready": AtScrape("1 while the process can do its role.", ("role",)),
    "gateway_role_restarts": AtScrape("How often the role's process was started again.", ("role",), "counter"),
    "gateway_configuration_info": AtScrape("1, with the configuration in force.", ("digest", "revision")),
    "gateway_configuration_refused": AtScrape("Faults of a newer configuration that was refused, else 0."),
    "gateway_build_info": AtScrape("1, with what runs.", ("version", "python")),
    "gateway_started_timestamp_seconds": AtScrape("When the gateway was started, in seconds since the Unix epoch."),
}
"""Metrics that the admin port looks up: name, what it is, labels. `kind` of a lane: live or replay."""


# --- bound once ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SourceMeters:
    """What is counted of one source, ready to count."""

    accepted: Counter
    duplicate: Counter
    rejected: Mapping[Cause, Counter]


@dataclass(frozen=True, slots=True)
class DestinationMeters:
    """What is counted of one destination, ready to count."""

    name: str
    seconds: Histogram
    batch_records: Histogram
    batch_bytes: Histogram
    delay_seconds: Histogram
    in_flight: Gauge

    def sent(self, status: int | None, failure: Reason | None = None, count: int = 1) -> None:
        """Count requests by what came back: an HTTP status, or the reason why nothing did."""
        sends.labels(self.name, _result(status, failure)).inc(count)

    def outcome(self, outcome: str, reason: Reason | str = "", count: int = 1) -> None:
        """Count records by outcome; the reason is one of `errors.Reason`, or none."""
        _outcome(self.name, outcome, str(reason)).inc(count)


@dataclass(frozen=True, slots=True)
class AccountMeters:
    """What is counted of one account, ready to count."""

    name: str
    units: Counter
    units_per_second: Gauge
    found_per_second: Gauge
    held: Gauge
    dropped: Counter

    def stands(self, standing: str) -> None:
        """The account is this now, and nothing else."""
        for each in STANDINGS:
            account_standing.labels(self.name, each).set(each == standing)


STANDINGS = ("open", "throttled", "suspended", "broken", "probing")
"""What an account can be."""


@lru_cache(LABEL_VALUES)
def source(name: str) -> SourceMeters:
    """The meters of a source; `UNKNOWN_SOURCE` for all that are not configured."""
    return SourceMeters(
        accepted=events_accepted.labels(name),
        duplicate=events_duplicate.labels(name),
        rejected=_Rejected(name),
    )


@lru_cache(LABEL_VALUES)
def destination(name: str) -> DestinationMeters:
    """The meters of a destination."""
    return DestinationMeters(
        name=name,
        seconds=send_seconds.labels(name),
        batch_records=batch_records.labels(name),
        batch_bytes=batch_bytes.labels(name),
        delay_seconds=delivery_delay_seconds.labels(name),
        in_flight=records_in_flight.labels(name),
    )


@lru_cache(LABEL_VALUES)
def account(name: str) -> AccountMeters:
    """The meters of an account."""
    return AccountMeters(
        name=name,
        units=limit_units.labels(name),
        units_per_second=limit_units_per_second.labels(name),
        found_per_second=found_requests_per_second.labels(name),
        held=account_held.labels(name),
        dropped=records_dropped.labels(name),
    )


@lru_cache(4 * LABEL_VALUES)
def _outcome(name: str, outcome: str, reason: str) -> Counter:
    return records.labels(name, outcome, reason)


class _Rejected(dict[Cause, Counter]):
    """Counters by cause, bound when a cause is first met: most never are."""

    def __init__(self, source_name: str) -> None:
        super().__init__()
        self._source = source_name

    def __missing__(self, cause: Cause) -> Counter:
        self[cause] = requests_rejected.labels(self._source, str(cause))
        return self[cause]


def _result(status: int | None, failure: Reason | None) -> str:
    if status is None:
        return str(failure or Reason.CONNECTION_FAILED)
    return "429" if status == 429 else f"{status // 100}xx"  # noqa: PLR2004  the status that limits are told by
