"""How far ahead of its sends an account plans: what its windows let leave at once leaves at once."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.deliver import ahead, loop
from gateway.deliver.plan import Destination
from gateway.model import NormalEvent
from gateway.vendors.base import Answer, Batch, BatchRules, Burst, Draft, Limit, Request, Verdict
from tests.deliver.making import account, destination, feed, now, record, work
from tests.deliver.town import Town
from tests.simulation.paper import Paper, PaperSettings
from tests.simulation.virtual import simulate
from tests.vendors.samples import the_vendor

POINTS = Limit(25, 1.0, "fixed", Burst(150, 60.0), cost={"default": 10})
AT_ONCE = 17
"""Two in a second of 25 points, and 15 in a minute of 150."""
OCTOLIS = destination(rules=BatchRules(5, 100_000, 10_000), limits=(POINTS,))


@pytest.mark.parametrize(
    ("limits", "requests"),
    [
        ((), 0),
        ((Limit(1000, 1.0),), 1),
        ((POINTS,), AT_ONCE),
        ((POINTS, Limit(40, 60.0, "fixed", cost={"default": 10})), 4),
        ((POINTS, Limit(4, 1.0)), 1),
        ((Limit(5, 1.0, "fixed", cost={"a": 1, "b": 2}, classes=frozenset("ab")),), 2),
        (tuple(the_vendor("octolis").limits()), AT_ONCE),
    ],
)
def test_what_windows_let_leave_at_once(limits: Sequence[Limit], requests: int) -> None:
    assert ahead.at_once(limits) == requests


def test_a_lane_plans_as_many_batches_as_may_leave_at_once() -> None:
    one = work(to=OCTOLIS)
    assert account(one, limits=(POINTS,)).enough(one) == 5 * AT_ONCE


def test_lanes_of_a_destination_plan_them_together_and_a_few_batches_each() -> None:
    one, other = work(1, to=OCTOLIS), work(2, to=OCTOLIS)
    made = account(one, other, limits=(POINTS,))
    feed(made, one, *(record(seq) for seq in range(1, 81)))
    assert (made.enough(one), made.enough(other)) == (5 * AT_ONCE, ahead.FEW_RECORDS)
    assert one.wants_more(made.enough(one))
    feed(made, other, *(record(seq, number=2) for seq in range(101, 106)))
    assert not one.wants_more(made.enough(one))
    assert other.wants_more(made.enough(other))


def test_no_more_is_planned_than_may_be_in_flight() -> None:
    one = work(to=replace(OCTOLIS, settings=PaperSettings(vendor="paper", concurrency=14)))
    assert account(one, limits=(POINTS,)).enough(one) == 5 * 14


def test_large_records_are_not_planned_far_ahead() -> None:
    one = work(to=destination(rules=BatchRules(50, 10**8, 10**7), limits=(POINTS,)))
    made = account(one, limits=(POINTS,))
    assert made.enough(one) == 50 * AT_ONCE
    feed(made, one, *(record(seq, size=ahead.BYTES // 20) for seq in range(1, 21)))
    assert made.enough(one) == 50 * ahead.FEW_BATCHES
    assert made.next_batch(now(100.0))
    assert made.enough(one) == 50 * AT_ONCE


class Telling(Paper):
    """A vendor that tells what it does."""

    def __init__(self, log: list[str]) -> None:
        super().__init__("crm", PaperSettings(vendor="paper"))
        self._log = log
        self._under_way = 0
        self.waited = 0
        """Batches that were filled and not yet written as a request when another one was, at most."""

    def records(self, event: NormalEvent, documents: Sequence[Any] | None) -> Sequence[Draft]:
        self._log.append("planned")
        return super().records(event, documents)

    def request(self, batch: Batch) -> Request:
        self._log.append("sent")
        self._under_way += 1
        filled = [getattr(task.get_coro(), "__name__", "") for task in asyncio.all_tasks()].count("_deliver")
        self.waited = max(self.waited, filled - self._under_way)
        return super().request(batch)

    def judge(self, batch: Batch, answer: Answer) -> Verdict:
        self._under_way -= 1
        return super().judge(batch, answer)


def telling(town: Town, log: list[str]) -> Telling:
    """The town's vendor tells what it does from now on."""
    before: Destination = town.setup.destinations["crm"]
    vendor = Telling(log)
    town.setup = replace(town.setup, destinations={"crm": replace(before, vendor=vendor)})
    return vendor


async def sends(log: list[str], town: Town, for_s: float) -> list[tuple[int, bool]]:
    """The requests of each moment in which some left, and whether something was planned between them."""
    town.world.left.clear()
    found: dict[float, tuple[int, bool]] = {}
    end_s = asyncio.get_running_loop().time() + for_s
    while asyncio.get_running_loop().time() < end_s:
        log.clear()
        await asyncio.sleep(0.25)
        said = "".join(one[0] for one in log).strip("p")
        found[asyncio.get_running_loop().time()] = (said.count("s"), "p" in said)
    return [one for one in found.values() if one[0]]


def test_when_the_minutes_burst_is_there_again_what_it_takes_leaves_without_planning_in_between() -> None:
    async def act() -> None:
        log: list[str] = []
        town = Town(POINTS, batch={"records": 10})
        telling(town, log)
        async with town:
            await town.events(*({"key": f"k{n}", "n": n} for n in range(4000)))
            first, *later = await sends(log, town, 65.0)
            assert first == (AT_ONCE, True)
            assert max(later) == (AT_ONCE, False)

    simulate(act())


@pytest.mark.parametrize(("together", "most"), [(1, 1), (20, 2), (1000, 14)])
def test_of_many_records_that_may_leave_some_are_sent_before_the_others_are_filled_in(
    monkeypatch: pytest.MonkeyPatch, together: int, most: int
) -> None:
    async def act() -> None:
        monkeypatch.setattr(loop, "TOGETHER", together)
        town = Town(POINTS, batch={"records": 10})
        vendor = telling(town, [])
        async with town:
            await town.events(*({"key": f"k{n}", "n": n} for n in range(2000)))
            await asyncio.sleep(65.0)
        assert most / 2 <= vendor.waited <= most

    simulate(act())
