"""The gate: what stops an account, for how long, and how it opens again."""

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
