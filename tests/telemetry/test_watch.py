import asyncio
from typing import Literal

import pytest
from structlog.testing import capture_logs

from gateway.errors import Cause, JournalUnavailable
from gateway.receive.observe import Observer
from gateway.telemetry.metrics import REGISTRY
from gateway.telemetry.watch import ReceiverWatch, watch_loop


class Ticking:
    """A clock that a test moves."""

    now_s = 100.0

    def now_ms(self) -> int:
        return int(self.now_s * 1000)

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def clock() -> Ticking:
    return Ticking()


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_it_is_what_the_receiver_tells(clock: Ticking) -> None:
    observer: Observer = ReceiverWatch(clock)

    observer.committed({"uk-watch": 2}, {"uk-watch": 1}, 0.004)

    assert value("gateway_events_accepted_total", source="uk-watch") == 2
    assert value("gateway_events_duplicate_total", source="uk-watch") == 1


def test_a_refused_request_is_one_line_and_one_count(clock: Ticking) -> None:
    with capture_logs() as lines:
        ReceiverWatch(clock).refused("uk-watch", Cause.SIGNATURE_WRONG, "not signed with a secret", "192.0.2.7", "POST")

    assert [(line["event"], line["source"], line["cause"]) for line in lines] == [
        ("request.refused", "uk-watch", "signature_wrong")
    ]
    assert value("gateway_requests_rejected_total", source="uk-watch", cause="signature_wrong") == 1


def test_sources_that_are_not_configured_share_one_label(clock: Ticking) -> None:
    before = value("gateway_requests_rejected_total", source="(unknown)", cause="unknown_source")

    ReceiverWatch(clock).refused("", Cause.UNKNOWN_SOURCE, "", "192.0.2.7", "POST")

    assert value("gateway_requests_rejected_total", source="(unknown)", cause="unknown_source") == before + 1


def test_a_full_disk_is_one_line_when_it_begins_and_one_when_it_is_over(clock: Ticking) -> None:
    watch = ReceiverWatch(clock)

    with capture_logs() as lines:
        for _ in range(3):
            watch.failed("commit", JournalUnavailable("database or disk is full"))
            watch.committed({}, {}, 0.1)
        clock.now_s += 7.5
        watch.committed({"uk-watch": 1}, {}, 0.1)

    assert [line["event"] for line in lines] == ["journal.unavailable", "journal.recovered"]
    assert lines[0]["reason"] == "database or disk is full"
    assert lines[1]["after_s"] == 7.5


def test_what_should_not_fail_is_told_each_time(clock: Ticking) -> None:
    watch = ReceiverWatch(clock)

    with capture_logs() as lines:
        watch.failed("request", ZeroDivisionError())
        watch.failed("request", ZeroDivisionError())

    assert [line["event"] for line in lines] == ["receiver.failed", "receiver.failed"]


@pytest.mark.parametrize(("accepted", "expected"), [("off", 0), ("sample", 2), ("all", 4)])
def test_accepted_groups_are_told_as_the_configuration_wants(
    clock: Ticking, accepted: Literal["off", "sample", "all"], expected: int
) -> None:
    watch = ReceiverWatch(clock, accepted)

    with capture_logs() as lines:
        for wait_s in (0.0, 0.1, 0.2, 1.5):
            clock.now_s += wait_s
            watch.committed({"uk-watch": 1}, {}, 0.001)

    assert len(lines) == expected


def test_rejections_that_were_not_kept_are_counted(clock: Ticking) -> None:
    before = value("gateway_rejections_unkept_total")

    ReceiverWatch(clock).lost(4)

    assert value("gateway_rejections_unkept_total") == before + 4


class Late(Ticking):
    """A clock that wakes up a quarter of a second late, and for the third time never."""

    woken = 0

    async def sleep(self, seconds: float) -> None:
        self.woken += 1
        if self.woken > 2:
            raise asyncio.CancelledError
        self.now_s += seconds + 0.25


async def test_a_loop_that_wakes_up_late_shows_it() -> None:
    with pytest.raises(asyncio.CancelledError):
        await watch_loop("receiver", Late())

    assert value("gateway_loop_lag_seconds", role="receiver") == 0.25
