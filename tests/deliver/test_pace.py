"""The pace: never faster than a vendor allows, and at least 97 % of it while work waits."""

from collections import deque
from itertools import pairwise
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.deliver.pace import Pace
from gateway.vendors.base import Burst, Limit

FOUR_A_SECOND = Limit(allow=4, per_s=1.0)
POINTS = Limit(allow=25, per_s=1.0, kind="fixed", burst=Burst(150, 60.0), cost={"write": 10})


class StrictSlidingWindow:
    """What a vendor does that counts arrivals over any window of its length."""

    def __init__(self, allow: int, per_s: float) -> None:
        self.allow = allow
        self.per_s = per_s
        self.arrivals: deque[float] = deque()
        self.refused = 0

    def arrive(self, at_s: float) -> None:
        while self.arrivals and self.arrivals[0] <= at_s - self.per_s:
            self.arrivals.popleft()
        if len(self.arrivals) >= self.allow:
            self.refused += 1
        else:
            self.arrivals.append(at_s)


def leave(pace: Pace, start_s: float, count: int, late_s: list[float], cost: str = "default") -> list[float]:
    """Send `count` requests as soon as the pace allows, each late by what the timer is late."""
    now_s, times = start_s, []
    for place in range(count):
        now_s = max(now_s, pace.next_s(now_s, cost, "orders")) + late_s[place % len(late_s)]
        pace.spend(now_s, cost, "orders")
        times.append(now_s)
    return times


@given(late_ms=st.lists(st.floats(0, 4), min_size=1, max_size=50), travel_ms=st.floats(0, 4))
@settings(max_examples=60, deadline=None)
def test_a_strict_vendor_is_never_called_too_often(late_ms: list[float], travel_ms: float) -> None:
    vendor = StrictSlidingWindow(4, 1.0)
    for place, left_s in enumerate(leave(Pace([FOUR_A_SECOND]), 100.0, 200, [one / 1000 for one in late_ms])):
        vendor.arrive(left_s + (travel_ms / 1000 if place % 2 else 0))
    assert vendor.refused == 0


def test_at_least_97_percent_of_the_limit_is_used_while_work_waits() -> None:
    times = leave(Pace([FOUR_A_SECOND]), 100.0, 400, [0.001, 0.003, 0.0])
    used = (len(times) - 9) / ((times[-1] - times[8]) * 4)
    assert 0.97 <= used <= 1.0


def test_requests_are_spaced_evenly_instead_of_in_bursts() -> None:
    times = leave(Pace([FOUR_A_SECOND]), 100.0, 20, [0.0])
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert min(gaps) > 0.24
    assert max(gaps) < 0.27


def test_a_thousand_a_second_catches_up_after_a_late_timer() -> None:
    times = leave(Pace([Limit(allow=1000, per_s=1.0)]), 100.0, 3000, [0.0, 0.0, 0.0, 0.0, 0.004])
    assert 3000 / (times[-1] - times[0]) >= 970


def test_the_fixed_window_with_its_burst_sends_seventeen_writes_in_the_first_second() -> None:
    times = leave(Pace([POINTS]), 100.0, 40, [0.0], cost="write")
    assert sum(at_s < 101.0 for at_s in times) == 17


def test_the_fixed_window_with_its_burst_sends_135_writes_in_a_minute() -> None:
    times = leave(Pace([POINTS]), 100.0, 200, [0.0], cost="write")
    assert 131 <= sum(at_s < 160.0 for at_s in times) <= 135


def test_after_a_take_over_the_windows_count_as_used_up() -> None:
    pace = Pace([FOUR_A_SECOND], spent_at_s=100.0)
    assert pace.next_s(100.0, "default", "orders") == pytest.approx(101.02)


def test_a_limit_of_one_class_of_request_leaves_the_others_alone() -> None:
    pace = Pace([Limit(allow=1, per_s=60.0, classes=frozenset({"gdpr"}))])
    leave(pace, 100.0, 1, [0.0], cost="gdpr")
    assert pace.next_s(100.0, "gdpr", "orders") > 150
    assert pace.next_s(100.0, "push", "orders") == 100.0


def test_a_limit_over_a_channel_counts_each_channel_by_itself() -> None:
    pace = Pace([Limit(allow=1, per_s=10.0, scope="channel")])
    pace.spend(100.0, "default", "orders")
    assert pace.next_s(100.0, "default", "orders") > 109
    assert pace.next_s(100.0, "default", "products") == 100.0


def spacing_after(pace: Pace, at_s: float) -> float:
    times = leave(pace, at_s, 3, [0.0])
    return times[2] - times[1]


def test_one_refusal_slows_the_pace_a_little() -> None:
    pace = Pace([FOUR_A_SECOND])
    leave(pace, 100.0, 1, [0.0])
    pace.answered(100.0, 0.01, refused=True)
    assert 0.255 < spacing_after(pace, 101.0) < 0.262


def test_refusals_on_the_heels_of_one_another_slow_it_a_lot_and_quiet_wins_it_back() -> None:
    pace = Pace([FOUR_A_SECOND])
    leave(pace, 100.0, 1, [0.0])
    for place in range(4):
        pace.answered(100.0 + place, 0.01, refused=True)
    assert spacing_after(pace, 110.0) > 0.6
    for quiet in range(1, 12):
        pace.answered(110.0 + quiet * 16, 0.01, refused=False)
    assert spacing_after(pace, 400.0) == pytest.approx(0.255, rel=0.01)


def test_jitter_widens_the_reserve_but_never_beyond_three_percent() -> None:
    pace = Pace([FOUR_A_SECOND])
    for place in range(64):
        pace.answered(100.0, 0.02 if place % 2 else 0.3, refused=False)
    assert pace.reserve == 0.03


def test_a_request_counts_from_when_it_left_not_from_when_it_was_planned() -> None:
    pace = Pace([FOUR_A_SECOND])
    first = pace.plan(100.0, "default", "orders")
    first.left(100.2)
    for at_s in (100.255, 100.51, 100.765):
        pace.spend(at_s, "default", "orders")
    assert pace.next_s(101.02, "default", "orders") == pytest.approx(101.21)


def test_nothing_leaves_while_a_window_is_full_of_requests_that_have_not_left() -> None:
    pace = Pace([FOUR_A_SECOND])
    stuck = [pace.plan(100.0 + place * 0.255, "default", "orders") for place in range(4)]
    assert pace.next_s(109.0, "default", "orders") == inf
    for one in stuck:
        one.left(110.0)
    assert pace.next_s(110.0, "default", "orders") == pytest.approx(111.01)


def test_one_request_that_does_not_get_away_holds_up_its_own_share_only() -> None:
    pace = Pace([FOUR_A_SECOND])
    pace.plan(100.0, "default", "orders")
    times = leave(pace, 100.0, 31, [0.0])
    assert times[-1] - times[0] == pytest.approx(10.05, abs=0.1)


def test_a_fixed_window_begins_when_its_first_request_has_left() -> None:
    pace = Pace([Limit(allow=2, per_s=1.0, kind="fixed")])
    first = pace.plan(100.0, "default", "orders")
    pace.spend(100.0, "default", "orders")
    first.left(100.4)
    assert pace.next_s(100.5, "default", "orders") == pytest.approx(101.42)


def test_a_departure_is_told_once() -> None:
    pace = Pace([Limit(allow=1, per_s=1.0)])
    one = pace.plan(100.0, "default", "orders")
    one.left(100.1)
    one.left(150.0)
    assert pace.next_s(102.0, "default", "orders") == 102.0


def test_a_request_that_took_longer_than_others_counts_from_later() -> None:
    pace = Pace([FOUR_A_SECOND])
    for place, latency_s in enumerate((0.05, 0.07, 0.05, 0.05)):
        departure = pace.plan(100.0 + place * 0.255, "default", "orders")
        departure.left(100.0 + place * 0.255)
        pace.answered(100.0 + place * 0.255 + latency_s, latency_s, refused=False, departure=departure)
    pace.spend(101.02, "default", "orders")
    assert pace.next_s(101.1, "default", "orders") == pytest.approx(100.255 + 0.02 + 1.01)


def test_a_slow_answer_delays_the_next_window_by_three_percent_at_most() -> None:
    pace = Pace([FOUR_A_SECOND])
    pace.answered(99.0, 0.05, refused=False)
    for place in range(4):
        departure = pace.plan(100.0 + place * 0.01, "default", "orders")
        departure.left(100.0 + place * 0.01)
        pace.answered(100.9, 0.9, refused=False, departure=departure)
    assert pace.next_s(100.9, "default", "orders") == pytest.approx(100.0 + 0.03 + 1.01)


def test_without_limits_nothing_waits() -> None:
    assert leave(Pace([]), 100.0, 1000, [0.0])[-1] == 100.0
