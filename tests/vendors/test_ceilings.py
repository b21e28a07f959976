"""What the published limits allow is used, and no more: each vendor's own windows against those of its simulator, in
virtual time, while work waits.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from msgspec import Struct

from gateway.deliver.pace import Pace
from gateway.sandbox.windows import Bursty, FixedWindow, SlidingLog
from tests.vendors.samples import the_vendor

LATE_MS = (0.0, 1.0, 0.3, 2.0, 0.0)
"""A timer's lateness."""
TRAVEL_MS = (1.0, 1.5, 1.0, 3.0)
MINUTES = 5


class Ceiling(Struct, frozen=True):
    """A vendor's limit: the cost class and its points, the window that its simulator keeps (a request every so many
    keys), and what VENDORS says that comes to in records a minute, over how many keys.
    """

    vendor: str
    cost: str
    points: float
    windows: Callable[[], list[Any]]
    records_a_minute: int
    keys: int = 1


CEILINGS: Mapping[str, Ceiling] = {
    "ometria": Ceiling("ometria", "default", 1, lambda: [SlidingLog(4, 1.0)], 24_000),
    "octolis": Ceiling("octolis", "write", 10, lambda: [Bursty(FixedWindow(25, 1.0), FixedWindow(150, 60.0))], 67_500),
    "octolis, a whole account": Ceiling("octolis", "write", 10, lambda: [FixedWindow(2000, 60.0)], 100_000, keys=3),
    "amperity": Ceiling("amperity", "stream", 1, lambda: [SlidingLog(1000, 1.0)], 60_000),
}


def left(ceiling: Ceiling, for_s: float) -> tuple[list[float], int]:
    """When requests left that all had been waiting, and how many of them the vendor refused."""
    pace, windows = Pace(the_vendor(ceiling.vendor).limits()), ceiling.windows()
    times_s: list[float] = []
    now_s, refused = 100.0, 0
    while now_s < 100.0 + for_s:
        keys = [f"key {number}" for number in range(ceiling.keys)]
        at_s, key = min((pace.next_s(now_s, ceiling.cost, "channel", key), key) for key in keys)
        now_s = max(now_s, at_s) + (LATE_MS[len(times_s) % len(LATE_MS)] / 1000 if at_s > now_s else 0.0)
        pace.spend(now_s, ceiling.cost, "channel", key)
        times_s.append(now_s)
        arrives_s = now_s + TRAVEL_MS[len(times_s) % len(TRAVEL_MS)] / 1000
        refused += not all(window.take(arrives_s, ceiling.points) for window in windows)
    return times_s, refused


@pytest.mark.parametrize("name", CEILINGS)
def test_97_percent_of_a_limit_is_used_while_work_waits_and_nothing_is_refused(name: str) -> None:
    ceiling = CEILINGS[name]
    times_s, refused = left(ceiling, 60.0 * (MINUTES if ceiling.vendor == "octolis" else 0.5))
    minutes = (times_s[-1] - times_s[0]) / 60
    records = len(times_s) * the_vendor(ceiling.vendor).rules().records / minutes
    assert refused == 0
    assert 0.97 * ceiling.records_a_minute <= records <= 1.01 * ceiling.records_a_minute


def test_octolis_takes_8500_rows_in_the_first_second() -> None:
    times_s, refused = left(CEILINGS["octolis"], 0.5)
    assert (len(times_s[:-1]) * 500, refused) == (8_500, 0)
