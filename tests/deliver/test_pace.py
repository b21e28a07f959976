"""The pace: never faster than a vendor allows, and at least 97 % of it while work waits."""

import random
from collections import deque
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import pairwise
from math import inf
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.deliver.pace import Before, Departure, Pace
from gateway.sandbox.windows import FixedWindow
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
        now_s = free_s(pace, now_s, cost) + late_s[place % len(late_s)]
        pace.spend(free_s(pace, now_s, cost), cost, "orders")
        times.append(now_s)
    return times


def free_s(pace: Pace, now_s: float, cost: str = "default") -> float:
    """When a request may leave, asked again and again as the account's loop does."""
    while (next_s := pace.next_s(now_s, cost, "orders")) > now_s:
        now_s = next_s
    return now_s


@given(late_ms=st.lists(st.floats(0, 4), min_size=1, max_size=50), travel_ms=st.floats(0, 4))
@settings(max_examples=60, deadline=None)
def test_a_strict_vendor_is_never_called_too_often(late_ms: list[float], travel_ms: float) -> None:
    vendor = StrictSlidingWindow(4, 1.0)
    for place, left_s in enumerate(leave(Pace([FOUR_A_SECOND]), 100.0, 200, [one / 1000 for one in late_ms])):
        vendor.arrive(left_s + (travel_ms / 1000 if place % 2 else 0))
    assert vendor.refused == 0


@dataclass(frozen=True)
class Journey:
    """What happens to one request, in seconds: the timer is late, it is longer on its way, the vendor thinks."""

    timer_s: float
    way_s: float
    thinks_s: float


def travel(allow: int, journeys: list[Journey], requests: int) -> tuple[StrictSlidingWindow, list[float]]:
    """Requests sent at the pace to a vendor that is 20 ms away and counts strictly; and when they left. The first one
    is as quick as can be.
    """
    limit, pace, now_s = StrictSlidingWindow(allow, 1.0), Pace([Limit(allow, 1.0)]), 100.0
    answered_after(pace, 50.0, 0.04)
    arrivals: list[float] = []
    left: list[float] = []
    answers: list[tuple[float, int, Departure]] = []
    for place in range(requests):
        one = journeys[place % len(journeys)]
        assert pace.next_s(now_s, "default", "orders") >= 0.0, "it is waited for"
        now_s += one.timer_s
        while (answers and answers[0][0] <= now_s) or pace.next_s(now_s, "default", "orders") > now_s:
            next_s = pace.next_s(now_s, "default", "orders")
            if answers and answers[0][0] <= next_s:
                at_s, _, departure = heappop(answers)
                now_s = max(now_s, at_s)
                pace.answered(now_s, refused=False, departure=departure)
            else:
                now_s = next_s
        departure = pace.plan(now_s, "default", "orders")
        departure.left(now_s)
        left.append(now_s)
        arrivals.append(now_s + 0.02 + one.way_s)
        heappush(answers, (arrivals[-1] + one.thinks_s + 0.02, place, departure))
    for at_s in sorted(arrivals):
        limit.arrive(at_s)
    return limit, left


def journeys(way_s: float, thinks_s: float) -> st.SearchStrategy[list[Journey]]:
    """Timers are late by up to 0.2 s now and then."""
    timer = st.one_of(st.just(0.0), st.floats(0, 0.005), st.floats(0, 0.2))
    return st.lists(st.builds(Journey, timer, st.floats(0, way_s), st.floats(0, thinks_s)), min_size=1, max_size=60)


@given(allow=st.sampled_from([1, 4, 10, 50]), trips=journeys(0.0299, 0.1))
@settings(max_examples=150, deadline=None)
def test_whatever_is_late_by_up_to_three_percent_of_the_window_no_strict_vendor_refuses(
    allow: int, trips: list[Journey]
) -> None:
    assert travel(allow, trips, 8 * allow + 20)[0].refused == 0


@given(allow=st.sampled_from([1, 4, 10, 50]), trips=journeys(0.0099, 3.0))
@settings(max_examples=150, deadline=None)
def test_nor_one_that_answers_only_when_the_window_is_over(allow: int, trips: list[Journey]) -> None:
    assert travel(allow, trips, 8 * allow + 20)[0].refused == 0


def test_nor_one_that_stood_still_for_a_moment() -> None:
    late = [Journey(0.0, max(0.0, 0.2 - place * 0.0102), 0.0) for place in range(20)]
    trips = [*[Journey(0.0, 0.0, 0.0)] * 400, *late, *[Journey(0.0, 0.0, 0.0)] * 580]
    assert travel(100, trips, 2000)[0].refused == 0


def used(allow: int, trips: list[Journey]) -> float:
    """The share of the limit that is used once every window is in use."""
    _, left = travel(allow, trips, 20 * allow)
    return (len(left) - 1 - 2 * allow) / (left[-1] - left[2 * allow]) / allow


def drawn(way_s: float, thinks_s: float, timer_s: float = 0.0) -> list[Journey]:
    """Many journeys that are as late as they come."""
    draw = random.Random(7)
    return [Journey(draw.uniform(0, timer_s), draw.uniform(0, way_s), draw.uniform(0, thinks_s)) for _ in range(997)]


@pytest.mark.parametrize("allow", [4, 100, 1000])
def test_how_much_of_the_limit_is_used_while_work_waits(allow: int) -> None:
    assert used(allow, drawn(0.0, 0.0)) == pytest.approx(0.98, abs=0.001)
    assert used(allow, drawn(0.01, 0.01)) >= 0.978, "latency that varies by less than 2 % of the window"
    assert used(allow, drawn(0.0, 0.05)) >= 0.97, "a vendor that thinks for up to a twentieth of the window"
    assert used(allow, drawn(0.0, 0.2)) >= 0.965, "a vendor that thinks for as long as it likes"
    assert used(allow, [*drawn(0.0, 0.0), Journey(0.04, 0.0, 0.04)]) >= 0.975, "it stands still now and then"


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
    pace.answered(100.0, refused=True)
    assert 0.255 < spacing_after(pace, 101.0) < 0.262


def test_refusals_on_the_heels_of_one_another_slow_it_a_lot_and_quiet_wins_it_back() -> None:
    pace = Pace([FOUR_A_SECOND])
    leave(pace, 100.0, 1, [0.0])
    for place in range(4):
        pace.answered(100.0 + place, refused=True)
    assert spacing_after(pace, 110.0) > 0.6
    for quiet in range(1, 12):
        pace.answered(110.0 + quiet * 16, refused=False)
    assert spacing_after(pace, 400.0) == pytest.approx(0.255, rel=0.01)


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
    assert not pace.was_awaited()
    assert pace.next_s(109.0, "default", "orders") == inf
    assert (pace.was_awaited(), pace.was_awaited()) == (True, False)
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


def answered_after(pace: Pace, left_s: float, latency_s: float) -> None:
    """A request that leaves now and is answered so much later."""
    departure = pace.plan(left_s, "default", "orders")
    departure.left(left_s)
    pace.answered(left_s + latency_s, refused=False, departure=departure)


def test_a_request_that_took_longer_than_others_holds_its_place_for_longer() -> None:
    pace = Pace([FOUR_A_SECOND])
    for place, latency_s in enumerate((0.05, 0.07, 0.05, 0.05)):
        answered_after(pace, 100.0 + place * 0.255, latency_s)
    pace.spend(101.02, "default", "orders")
    assert free_s(pace, 101.1) == pytest.approx(100.255 + 1.0 + 0.02 + 0.001)


def test_a_vendor_that_thinks_for_longer_now_and_then_costs_a_little() -> None:
    pace = Pace([FOUR_A_SECOND])
    answered_after(pace, 90.0, 0.05)
    for place in range(4):
        answered_after(pace, 100.0 + place * 0.01, 0.9)
    free = [free_s(pace, 100.9)]
    for _ in range(3):
        pace.spend(free[-1], "default", "orders")
        free.append(free_s(pace, free[-1]))
    assert free[0] == pytest.approx(100.01 + 1.0 + 0.03 + 0.001 + 0.003)
    assert free[-1] < 100.0 + 3 * 0.255 + 1.0 + 0.03 + 0.001 + 0.08 + 4 * 0.003


def test_what_never_left_says_nothing_of_how_quick_answers_are() -> None:
    pace = Pace([FOUR_A_SECOND])
    known = pace.plan(99.0, "default", "orders")
    known.left(99.5)
    pace.answered(99.5, refused=False, departure=known)
    answered_after(pace, 100.0, 0.3)
    for at_s in (100.255, 100.51):
        pace.spend(at_s, "default", "orders")
    pace.spend(100.765, "default", "orders")
    assert free_s(pace, 100.8) == pytest.approx(101.01)


def test_a_quicker_kind_of_request_says_nothing_of_another() -> None:
    pace = Pace([FOUR_A_SECOND])
    asked = pace.plan(98.0, "data", "orders")
    asked.left(98.0)
    pace.answered(98.001, refused=False, departure=asked)
    answered_after(pace, 100.0, 0.3)
    for at_s in (100.255, 100.51, 100.765):
        pace.spend(at_s, "default", "orders")
    assert free_s(pace, 100.8) == pytest.approx(101.01)


def test_a_fixed_window_whose_first_request_was_late_ends_later() -> None:
    pace = Pace([Limit(allow=2, per_s=1.0, kind="fixed")])
    answered_after(pace, 90.0, 0.05)
    answered_after(pace, 100.0, 0.08)
    pace.spend(100.1, "default", "orders")
    assert free_s(pace, 100.2) == pytest.approx(100.0 + 1.0 + 0.03 + 0.001)


def test_close_to_the_end_of_a_fixed_window_a_request_leaves_where_it_fits_into_either() -> None:
    pace = Pace([Limit(allow=2, per_s=1.0, kind="fixed")])
    pace.spend(100.0, "default", "orders")
    pace.spend(100.5, "default", "orders")
    assert free_s(pace, 100.99) == pytest.approx(101.02), "nobody knows in which it would be"
    pace.spend(101.02, "default", "orders")
    assert free_s(pace, 102.01) == 102.01, "with one in each, there is room in both"
    pace.spend(102.01, "default", "orders")
    assert free_s(pace, 102.02) == pytest.approx(102.04)
    pace.spend(102.04, "default", "orders")
    assert free_s(pace, 102.05) == pytest.approx(103.03), "where the next window begins is not known either"


@given(
    allow=st.sampled_from([1, 2, 3, 10]),
    steps=st.lists(
        st.tuples(st.sampled_from([0.0, 0.03, 0.2, 0.33, 1.0]), st.floats(0, 0.019)), min_size=1, max_size=60
    ),
)
@settings(max_examples=300, deadline=None)
def test_no_fixed_window_of_a_vendor_is_overrun_however_requests_come(
    allow: int, steps: list[tuple[float, float]]
) -> None:
    pace, vendor = Pace([Limit(allow=allow, per_s=1.0, kind="fixed")]), FixedWindow(allow, 1.0)
    now_s, arrivals = 100.0, []
    for wait_s, way_s in steps * 3:
        now_s = free_s(pace, now_s + wait_s)
        pace.spend(now_s, "default", "orders")
        arrivals.append(now_s + way_s)
    assert [vendor.take(at_s) for at_s in sorted(arrivals)] == [True] * len(arrivals)


@given(
    kind=st.sampled_from(["sliding", "fixed"]),
    allow=st.sampled_from([1, 2, 3, 10, 40]),
    steps=st.lists(st.tuples(st.sampled_from([0.0, 0.03, 0.2, 0.33, 1]), st.booleans()), min_size=1, max_size=60),
    crashed=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_whoever_goes_on_with_a_pace_overruns_no_window_either(
    kind: Literal["sliding", "fixed"], allow: int, steps: list[tuple[float, bool]], *, crashed: bool
) -> None:
    limits = [Limit(allow=allow, per_s=1.0, kind=kind)]
    pace, strict = Pace(limits, spent_at_s=99.9 if crashed else None), StrictSlidingWindow(allow, 1.0)
    vendor = FixedWindow(allow, 1.0)
    now_s, taken = 100.0, []
    for _ in range(allow if crashed else 0):
        strict.arrive(99.9)
        taken.append(vendor.take(99.9))
    for wait_s, hands_over in steps * 3:
        if hands_over:
            pace = Pace(limits, before=pace.sent(now_s))
        now_s = free_s(pace, now_s + wait_s)
        pace.spend(now_s, "default", "orders")
        strict.arrive(now_s)
        taken.append(vendor.take(now_s))
    assert taken == [True] * len(taken)
    assert kind == "fixed" or strict.refused == 0


def test_what_nobody_knows_of_is_handed_over_as_such_while_it_counts() -> None:
    pace = Pace([FOUR_A_SECOND], spent_at_s=100.0)
    assert (pace.sent(100.5), pace.sent(101.1)) == (Before({}, 100.0), Before({}))
    again = Pace([FOUR_A_SECOND], before=pace.sent(100.5))
    assert free_s(again, 100.5) == free_s(pace, 100.5) > 101.0


def test_the_rate_is_that_of_most_requests_whose_limit_is_the_first() -> None:
    stream, calls = (Limit(allow, 1.0, classes=frozenset({name})) for allow, name in ((1000, "stream"), (10, "api")))
    assert Pace([stream, calls]).rate_per_s() == 1000
    assert Pace([calls, stream]).rate_per_s() == 10
    assert Pace([stream, calls, Limit(6000, 60.0)]).rate_per_s() == 100
    assert Pace([]).rate_per_s() is None


def test_without_limits_nothing_waits() -> None:
    assert leave(Pace([]), 100.0, 1000, [0.0])[-1] == 100.0
