"""Who watches the work: the receiver's observer, and how late the event loop is. Delivery counts for itself."""

from collections.abc import Mapping
from typing import Literal

from gateway.clock import Clock
from gateway.errors import Cause, JournalUnavailable
from gateway.telemetry import log as logs
from gateway.telemetry import metrics

SAMPLE_EVERY_S = 1.0
"""`log.accepted: sample` writes at most one line in this long."""

log = logs.get("receive")


class ReceiverWatch:
    """The receiver's observer: every refusal is a line and a count, every commit a count; a journal that cannot commit
    is one line when it begins and one when it is over, however many requests it turns away.
    """

    def __init__(self, clock: Clock, accepted: Literal["off", "sample", "all"] = "off") -> None:
        self._clock = clock
        self._accepted = accepted
        self._told_s: float | None = None
        self._failing_since_s: float | None = None

    def refused(self, source: str, cause: Cause, detail: str, client: str, method: str) -> None:
        """One request was refused. `source` is empty for one that is not configured."""
        metrics.source(source or metrics.UNKNOWN_SOURCE).rejected[cause].inc()
        log.info("request.refused", source=source, cause=str(cause), detail=detail, client=client, method=method)

    def committed(self, accepted: Mapping[str, int], duplicates: Mapping[str, int], took_s: float) -> None:
        """A group is done with: its events by source, and how long the commit took."""
        for name, count in accepted.items():
            metrics.source(name).accepted.inc(count)
        for name, count in duplicates.items():
            metrics.source(name).duplicate.inc(count)
        metrics.commit_seconds.observe(took_s)
        if not accepted and not duplicates:
            return  # nothing of it was taken
        metrics.commit_events.observe(sum(accepted.values()) + sum(duplicates.values()))
        self._recovered()
        if self._accepted != "off":
            self._tell(accepted, duplicates, took_s)

    def failed(self, what: str, error: BaseException) -> None:
        """Something failed that should not: a commit, or the receiver itself."""
        if not isinstance(error, JournalUnavailable | TimeoutError):
            log.error("receiver.failed", what=what, exc_info=error)
            return
        metrics.commit_failures.inc()
        if self._failing_since_s is None:
            self._failing_since_s = self._clock.monotonic_s()
            log.error("journal.unavailable", reason=str(error) or "the commit takes too long")

    def lost(self, rejections: int) -> None:
        """So many rejected requests were counted but not kept."""
        metrics.rejections_unkept.inc(rejections)

    def _recovered(self) -> None:
        if self._failing_since_s is not None:
            after_s = self._clock.monotonic_s() - self._failing_since_s
            self._failing_since_s = None
            log.warning("journal.recovered", after_s=round(after_s, 3))

    def _tell(self, accepted: Mapping[str, int], duplicates: Mapping[str, int], took_s: float) -> None:
        now_s = self._clock.monotonic_s()
        if self._accepted == "sample" and self._told_s is not None and now_s - self._told_s < SAMPLE_EVERY_S:
            return
        self._told_s = now_s
        took_ms = round(took_s * 1000, 3)
        log.info("group.committed", accepted=dict(accepted), duplicates=dict(duplicates), took_ms=took_ms)


async def watch_loop(role: str, clock: Clock, every_s: float = 1.0) -> None:
    """Show how late this process's event loop wakes up, for ever: a loop that lags serves everybody late."""
    lag = metrics.loop_lag_seconds.labels(role)
    while True:
        began_s = clock.monotonic_s()
        await clock.sleep(every_s)
        lag.set(max(0.0, clock.monotonic_s() - began_s - every_s))
