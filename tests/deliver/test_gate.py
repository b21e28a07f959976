"""The gate: what stops an account, for how long, and how it opens again."""

import pytest

from gateway.config.schema import BreakerSetting
from gateway.deliver.gate import Gate, Standing
from gateway.errors import Reason
from gateway.vendors.base import Suspended, Throttled


def test_a_throttled_account_rests_until_its_time() -> None:
    gate = Gate()
    gate.throttle(Throttled(Reason.RATE_LIMITED, 3.0), ("to", "orders"), 100.0)
    assert (gate.opens_s(100.0), gate.standing(100.0)) == (103.0, Standing.THROTTLED)
    assert (gate.opens_s(104.0), gate.standing(104.0)) == (104.0, Standing.OPEN)


def test_a_throttled_channel_leaves_the_account_open() -> None:
    gate = Gate()
    gate.throttle(Throttled(Reason.BUSY, 5.0, scope="channel"), ("to", "customers"), 100.0)
    assert gate.opens_s(100.0) == 100.0
    assert gate.channel_opens_s(("to", "customers"), 100.0) == 105.0
    assert gate.channel_opens_s(("to", "orders"), 100.0) == 100.0


def test_a_vendor_cannot_ask_for_more_than_six_hours() -> None:
    gate = Gate()
    gate.throttle(Throttled(Reason.RATE_LIMITED, 1e9), ("to", "orders"), 0.0)
    assert gate.opens_s(0.0) == 6 * 3600.0


def test_a_suspended_account_is_probed_every_minute_and_opens_when_a_probe_is_taken() -> None:
    gate = Gate()
    assert gate.suspend(Suspended(Reason.KEY_REFUSED), 100.0)
    assert not gate.suspend(Suspended(Reason.KEY_REFUSED), 160.0)
    assert (gate.opens_s(160.0), gate.probing()) == (220.0, True)
    assert gate.succeeded(220.0)
    assert (gate.opens_s(220.0), gate.probing()) == (220.0, False)


def test_the_breaker_opens_on_the_fifth_failure_in_a_row() -> None:
    gate = Gate()
    opened = [gate.failed(Reason.SERVER_ERROR, "500", 100.0) for _ in range(5)]
    assert opened == [False, False, False, False, True]
    assert (gate.standing(100.0), gate.opens_s(100.0)) == (Standing.BROKEN, 130.0)


def test_a_success_in_between_keeps_the_breaker_closed() -> None:
    gate = Gate()
    for _ in range(4):
        gate.failed(Reason.SERVER_ERROR, "500", 100.0)
    gate.succeeded(100.0)
    assert not gate.failed(Reason.SERVER_ERROR, "500", 100.0)


def test_each_failed_probe_doubles_the_wait_up_to_five_minutes() -> None:
    gate, now_s, waits = Gate(), 0.0, []
    for _ in range(5):
        gate.failed(Reason.TIMEOUT, "", now_s)
    for _ in range(5):
        waits.append(gate.opens_s(now_s) - now_s)
        now_s = gate.opens_s(now_s)
        gate.failed(Reason.TIMEOUT, "", now_s)
    assert waits == [30.0, 60.0, 120.0, 240.0, 300.0]


def test_time_at_a_stop_is_known() -> None:
    gate = Gate()
    gate.suspend(Suspended(Reason.KEY_REFUSED), 100.0)
    assert gate.stopped_s(150.0) == 50.0
    gate.succeeded(160.0)
    assert gate.stopped_s(500.0) == 60.0


def test_a_pause_that_is_asked_for_again_doubles_up_to_what_the_vendor_allows() -> None:
    gate, told = Gate(), Throttled(Reason.QUEUE_FULL, 10.0, up_to_s=60.0)
    waits = [gate.throttle(told, ("to", "orders"), 0.0) for _ in range(5)]
    gate.succeeded(1000.0)
    assert (waits, gate.throttle(told, ("to", "orders"), 0.0)) == ([10.0, 20.0, 40.0, 60.0, 60.0], 10.0)


def every_other_fails(gate: Gate, count: int, every_s: float, fail_of: int = 3) -> int | None:
    """Requests of which each third succeeds; gives the one with which the breaker opened."""
    for place in range(count):
        if place % fail_of == 0:
            gate.succeeded(100.0 + place * every_s)
        elif gate.failed(Reason.SERVER_ERROR, "500", 100.0 + place * every_s):
            return place
    return None


def test_the_breaker_opens_when_more_than_half_of_the_last_minutes_requests_failed() -> None:
    assert every_other_fails(Gate(), 100, 1.0) == 19


def test_what_failed_longer_ago_than_the_window_does_not_count() -> None:
    assert every_other_fails(Gate(), 100, 10.0) is None


def test_half_of_the_requests_is_not_more_than_half() -> None:
    assert every_other_fails(Gate(), 100, 1.0, fail_of=2) is None


def test_the_rule_is_the_configurations() -> None:
    gate = Gate(BreakerSetting.model_validate({"failures": 2, "open": "10s", "max": "15s"}))
    assert [gate.failed(Reason.TIMEOUT, "", 100.0) for _ in range(2)] == [False, True]
    assert gate.opens_s(100.0) == 110.0
    gate.failed(Reason.TIMEOUT, "", 110.0)
    assert gate.opens_s(110.0) == 125.0


def test_without_a_breaker_nothing_opens_it() -> None:
    gate = Gate(None)
    assert not any(gate.failed(Reason.TIMEOUT, "", 100.0) for _ in range(50))
    assert gate.standing(100.0) is Standing.OPEN


def test_without_a_breaker_a_suspended_account_whose_probe_fails_stays_suspended() -> None:
    gate = Gate(None)
    gate.suspend(Suspended(Reason.KEY_REFUSED), 100.0)
    gate.failed(Reason.TIMEOUT, "", 160.0)
    assert (gate.suspended(), gate.opens_s(160.0)) == (True, 220.0)


def test_a_breaker_that_closes_lets_traffic_grow_back() -> None:
    gate = Gate()
    for _ in range(5):
        gate.failed(Reason.TIMEOUT, "", 100.0)
    assert gate.share(130.0) == 1.0
    gate.succeeded(130.0)
    assert [gate.share(at_s) for at_s in (130.0, 132.5, 135.0, 140.0, 500.0)] == pytest.approx([0.1, 0.25, 0.5, 1, 1])


def test_the_failures_before_a_breaker_opened_do_not_open_it_again() -> None:
    gate = Gate()
    assert every_other_fails(gate, 100, 0.1) == 19
    gate.succeeded(135.0)
    assert not gate.failed(Reason.SERVER_ERROR, "500", 135.1)


def test_a_suspended_account_is_tried_at_once_when_its_key_may_have_changed() -> None:
    gate = Gate()
    gate.suspend(Suspended(Reason.KEY_REFUSED), 100.0)
    gate.try_now()
    assert (gate.opens_s(101.0), gate.standing(101.0)) == (101.0, Standing.PROBING)


def test_a_pause_that_the_vendor_asked_for_outlives_a_new_configuration() -> None:
    gate = Gate()
    gate.throttle(Throttled(Reason.RATE_LIMITED, 60.0), ("to", "orders"), 100.0)
    gate.try_now()
    assert gate.opens_s(101.0) == 160.0


def test_what_was_on_its_way_when_the_breaker_opened_neither_closes_it_nor_makes_it_wait_longer() -> None:
    gate = Gate()
    for _ in range(9):
        gate.failed(Reason.TIMEOUT, "", 100.0)
    assert not gate.succeeded(100.1)
    assert (gate.standing(100.1), gate.opens_s(100.1)) == (Standing.BROKEN, 130.0)
