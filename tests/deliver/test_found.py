"""The pace of an account that declares no limits and has some."""

from collections import deque

import pytest

from gateway.deliver.pace import Departure, Pace
from gateway.vendors.base import Limit

LATENCY_S = 0.05
TOGETHER = 8


class Vendor:
    """Takes so many requests in any second, and says 429 to others."""

    def __init__(self, allow: int) -> None:
        self.allow = allow
        self.taken = 0
        self.refused = 0
        self._last: deque[float] = deque()

    def takes(self, at_s: float) -> bool:
        while self._last and self._last[0] <= at_s - 1.0:
            self._last.popleft()
        if len(self._last) >= self.allow:
            self.refused += 1
            return False
        self._last.append(at_s)
        self.taken += 1
        return True


def drive(pace: Pace, vendor: Vendor, from_s: float, to_s: float) -> None:
    """Send as fast as the pace and eight at a time allow; after a 429 everything rests a second."""
    now_s, rest_s, answers = from_s, 0.0, deque[tuple[float, bool, Departure]]()
    while now_s < to_s:
        while answers and answers[0][0] <= now_s:
            at_s, taken, departure = answers.popleft()
            pace.answered(at_s, refused=not taken, departure=departure)
            rest_s = rest_s if taken else at_s + 1.0
        leaves_s = max(now_s, rest_s, pace.next_s(now_s, "default", "one"))
        if len(answers) >= TOGETHER or leaves_s > now_s:
            first = answers[0][0] if answers else leaves_s
            now_s = first if len(answers) >= TOGETHER else min(first, leaves_s)
            continue
        departure = pace.plan(now_s, "default", "one")
        answers.append((now_s + LATENCY_S, vendor.takes(now_s), departure))


@pytest.mark.parametrize("allow", [2, 10, 50])
def test_an_undeclared_limit_is_found_and_kept(allow: int) -> None:
    pace, vendor = Pace([]), Vendor(allow)
    drive(pace, vendor, 100.0, 160.0)
    vendor.taken = vendor.refused = 0
    drive(pace, vendor, 160.0, 460.0)
    assert vendor.taken / (300 * allow) > 0.75
    assert vendor.refused < 0.02 * vendor.taken + 10
    assert pace.found_per_s() == pytest.approx(allow, rel=0.5)


def test_a_limit_that_rises_is_followed() -> None:
    pace, vendor = Pace([]), Vendor(5)
    drive(pace, vendor, 100.0, 200.0)
    vendor.allow = 40
    drive(pace, vendor, 200.0, 400.0)
    found = pace.found_per_s()
    assert found is not None
    assert found > 20


def test_without_a_refusal_nothing_is_found_and_nothing_waits() -> None:
    pace, vendor = Pace([]), Vendor(10_000)
    drive(pace, vendor, 100.0, 110.0)
    assert pace.found_per_s() is None
    assert vendor.taken == pytest.approx(10 / LATENCY_S * TOGETHER, rel=0.01)


def test_refusals_of_one_burst_halve_once() -> None:
    pace = Pace([])
    burst = [pace.plan(100.0 + place / 100, "default", "one") for place in range(20)]
    for departure in burst:
        pace.answered(100.3, refused=True, departure=departure)
    assert pace.found_per_s() == 10.0


def test_a_found_pace_does_not_grow_while_it_is_not_used() -> None:
    pace = Pace([])
    for place in range(20):
        departure = pace.plan(100.0 + place / 100, "default", "one")
    pace.answered(100.3, refused=True, departure=departure)
    for hour in range(1, 200):
        departure = pace.plan(3600.0 * hour, "default", "one")
        pace.answered(3600.0 * hour, refused=False, departure=departure)
    assert pace.found_per_s() == 10.0


def test_a_lone_request_that_is_refused_says_little() -> None:
    pace = Pace([])
    pace.answered(100.1, refused=True, departure=pace.plan(100.0, "default", "one"))
    assert pace.found_per_s() == 1.0


def test_a_declared_limit_is_not_looked_for() -> None:
    pace = Pace([Limit(allow=4, per_s=1.0)])
    pace.answered(100.0, refused=True, departure=pace.plan(100.0, "default", "one"))
    assert pace.found_per_s() is None
