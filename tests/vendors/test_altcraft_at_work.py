"""Altcraft's memory and its tariff, through the real dispatcher: hours of virtual time against the simulator."""

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.sandbox.faults import Fault, Kind
from gateway.telemetry import log
from tests.simulation.virtual import simulate
from tests.vendors.at_work import ORIGIN, AtWork
from tests.whole.payloads import IDS

SETTINGS = {"vendor": "altcraft", "base_url": f"{ORIGIN}/altcraft", "token": "t-1", "db_id": 1, "timeout": "5s"}
HOUR_S = 3600.0


@pytest.fixture(autouse=True)
def lines() -> io.StringIO:
    stream = io.StringIO()
    log.configure("json", "info", stream=stream)
    return stream


def customer(name: str, number: int = 1) -> dict[str, Any]:
    return {
        "id": IDS + number,
        "email": f"ada{number}@example.com",
        "first_name": name,
        "created_at": "2026-01-02T03:04:05Z",
        "updated_at": "2026-01-02T03:04:05Z",
    }


def names(work: AtWork) -> dict[str, str]:
    return {one["email"]: one["_fname"] for _, one in work.sandbox.altcraft.databases[1].items()}


@pytest.mark.parametrize("people", [1, 3])
@pytest.mark.parametrize("fault", [None, "reset_after", "hang_after", "hang", "busy"])
def test_a_change_and_back_within_a_day_is_applied_each_time(tmp_path: Path, people: int, fault: Kind | None) -> None:
    async def day() -> AtWork:
        async with AtWork(tmp_path, {"altcraft": SETTINGS}) as work:
            for name in ("Ada", "Bea", "Ada"):
                if fault:
                    work.sandbox.faults.order(Fault(path="/altcraft/*", fault=fault, count=1))
                await work.sent("customers/update", *(customer(name, number) for number in range(people)))
                await work.settled()
                assert set(names(work).values()) == {name}
                await asyncio.sleep(HOUR_S)
            return work

    witness = simulate(day()).sandbox.altcraft.witness
    assert dict(witness.broken) == {}
    assert {seen.times for seen in witness.received.values()} == {3}


def test_a_tariff_that_is_used_up_rests_the_account_for_hours_and_says_so(tmp_path: Path, lines: io.StringIO) -> None:
    async def day() -> AtWork:
        async with AtWork(tmp_path, {"altcraft": SETTINGS}) as work:
            altcraft = work.sandbox.altcraft
            altcraft.adjust({"tariff": 1})
            await work.sent("customers/update", customer("Ada"))
            await work.settled()
            await work.sent("customers/update", customer("Bea"), customer("Cem", 2))
            await asyncio.sleep(10 * HOUR_S)
            row = await work.row("altcraft")
            assert (row.waiting, row.lane.counts.parked, row.lane.counts.dead) == (2, 0, 0)
            altcraft.adjust({"tariff": None})
            await work.settled(7 * HOUR_S)
            assert set(names(work).values()) == {"Bea", "Cem"}
            return work

    witness = simulate(day()).sandbox.altcraft.witness
    said = [json.loads(line) for line in lines.getvalue().splitlines()]
    told = [(one["level"], one["reason"], one["for_s"]) for one in said if one["event"] == "account.throttled"]
    assert told == [("warning", "quota_exhausted", hours * HOUR_S) for hours in (1, 2, 4, 6)]
    assert dict(witness.broken) == {}
    assert witness.statuses.total() == 1 + len(told) + 1


@pytest.mark.parametrize("fault", ["reset_after", "hang_after"])
@pytest.mark.parametrize("seed", range(4))
def test_batches_that_nobody_acknowledged_go_again_as_they_were(tmp_path: Path, fault: Kind, seed: int) -> None:
    async def day() -> AtWork:
        async with AtWork(tmp_path, {"altcraft": {**SETTINGS, "batch": {"records": 3}}}, chance=seed) as work:
            work.sandbox.faults.order(Fault(path="/altcraft/*", fault=fault, count=4))
            for first in (0, 2, 4, 7):
                await work.sent("customers/update", *(customer("Ada", number) for number in range(first, first + 2)))
                await asyncio.sleep(1.1)
            await work.settled()
            return work

    witness = simulate(day()).sandbox.altcraft.witness
    assert {seen.times for seen in witness.received.values()} == {1}


@pytest.mark.parametrize("fault", ["reset_after", "hang_after", "cut"])
def test_changes_of_one_profile_at_once_are_applied_once_each(tmp_path: Path, fault: Kind) -> None:
    async def day() -> AtWork:
        async with AtWork(tmp_path, {"altcraft": SETTINGS}) as work:
            work.sandbox.faults.order(Fault(path="/altcraft/*", fault=fault, count=2))
            await work.sent(
                "customers/update", customer("Ada"), customer("Cem", 2), customer("Bea"), customer("Dag", 2)
            )
            await work.settled()
            assert set(names(work).values()) == {"Bea", "Dag"}
            return work

    witness = simulate(day()).sandbox.altcraft.witness
    assert dict(witness.broken) == {}
    assert {seen.times for seen in witness.received.values()} == {2}  # two changes of each


def test_many_changes_of_one_profile_wait_for_each_other_and_for_nothing_else(tmp_path: Path) -> None:
    async def day() -> float:
        async with AtWork(tmp_path, {"altcraft": SETTINGS}) as work:
            await work.sent("customers/update", *(customer(f"Ada {number}") for number in range(50)))
            began_s = asyncio.get_running_loop().time()
            await work.settled()
            assert set(names(work).values()) == {"Ada 49"}
            return asyncio.get_running_loop().time() - began_s

    assert simulate(day()) < 5


@pytest.mark.parametrize("failures", range(2, 8))
def test_a_request_that_was_perhaps_heard_goes_again_under_its_id_however_often_it_has_failed(
    tmp_path: Path, failures: int
) -> None:
    async def day() -> AtWork:
        async with AtWork(tmp_path, {"altcraft": {**SETTINGS, "breaker": None}}) as work:
            work.sandbox.faults.order(Fault(path="/altcraft/*", fault="status", status=502, count=failures))
            work.sandbox.faults.order(Fault(path="/altcraft/*", fault="reset_after", count=1))
            await work.sent("customers/update", customer("Ada"), customer("Cem", 2))
            await work.settled(24 * HOUR_S)
            return work

    witness = simulate(day()).sandbox.altcraft.witness
    assert dict(witness.broken) == {}
    assert {seen.times for seen in witness.received.values()} == {1}
