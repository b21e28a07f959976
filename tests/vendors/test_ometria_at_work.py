"""What Ometria drops of what it had taken, through the real dispatcher: it is asked for, now and then, and told."""

import asyncio
import io
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gateway.deliver.standing import AccountStanding
from gateway.sandbox.faults import Fault
from gateway.sandbox.ometria_account import Account
from gateway.telemetry import log, metrics
from tests.simulation.virtual import simulate
from tests.vendors.at_work import ORIGIN, AtWork
from tests.whole.payloads import IDS

KEY = "o-1"
EVERY_S = 60
SETTINGS = {"vendor": "ometria", "base_url": f"{ORIGIN}/ometria/v2", "api_key": KEY, "errors_every": f"{EVERY_S}s"}


@pytest.fixture(autouse=True)
def lines() -> io.StringIO:
    stream = io.StringIO()
    log.configure("json", "info", stream=stream)
    return stream


def dropped(lines: io.StringIO) -> list[dict[str, Any]]:
    said = [json.loads(line) for line in lines.getvalue().splitlines()]
    return [one for one in said if one["event"] == "account.dropped"]


def account(work: AtWork) -> Account:
    (found,) = work.sandbox.ometria.accounts.values()
    return found


def asked_s(work: AtWork) -> list[float]:
    """When the errors were asked for."""
    return [visit.at_s for visit in account(work).witness.visits if visit.path.endswith("/push/_errors")]


def drop(work: AtWork, field: str, count: int) -> None:
    """Ometria drops so many records, whoever sent them."""
    account(work).errors.extend(
        {"error_message": "not a valid value", "error_path": f"root > {field}"} for _ in range(count)
    )


def person(number: int) -> dict[str, Any]:
    return {"id": IDS + number, "email": f"ada{number}@example.com", "first_name": "Ada"}


def shown(standings: Sequence[AccountStanding]) -> list[tuple[int, str]]:
    (one,) = standings
    return [(drop.count, drop.detail) for drop in one.drops]


def test_what_is_dropped_is_told_once_counted_and_shown(tmp_path: Path, lines: io.StringIO) -> None:
    counted: list[float] = []

    async def hour() -> tuple[AtWork, list[list[tuple[int, str]]]]:
        seen = []
        async with AtWork(tmp_path, {"ometria": SETTINGS}) as work:
            await asyncio.sleep(1)
            meter = metrics.account(work.account).dropped
            before = meter._value.get()
            drop(work, "currency", 2)
            drop(work, "email", 1)
            await asyncio.sleep(10 * EVERY_S)
            seen.append(shown(work.standings()))
            drop(work, "currency", 1)
            await asyncio.sleep(10 * EVERY_S)
            seen.append(shown(work.standings()))
            counted.append(meter._value.get() - before)
            return work, seen

    work, seen = simulate(hour())
    wrong = {name: f"root > {name}: not a valid value" for name in ("currency", "email")}
    first = [(2, wrong["currency"]), (1, wrong["email"])]
    assert seen == [first, [(1, wrong["currency"]), *first]]
    assert [(one["level"], one["count"], one["detail"]) for one in dropped(lines)] == [
        ("warning", 3, f"2 {wrong['currency']}; 1 {wrong['email']}"),
        ("warning", 1, f"1 {wrong['currency']}"),
    ]
    assert counted == [4]
    times_s = asked_s(work)
    assert all(EVERY_S <= b - a <= EVERY_S + 10 for a, b in pairwise(times_s))
    assert len(times_s) >= 17


def test_what_was_dropped_before_the_gateway_looked_is_shown_and_no_news(tmp_path: Path, lines: io.StringIO) -> None:
    async def hour() -> list[tuple[int, str]]:
        async with AtWork(tmp_path, {"ometria": SETTINGS}) as work:
            await asyncio.sleep(1)
            drop(work, "email", 100)
            await asyncio.sleep(2 * EVERY_S)
            work.reload()
            await asyncio.sleep(2 * EVERY_S)
            return shown(work.standings())

    assert simulate(hour()) == [(100, "root > email: not a valid value")]
    assert len(dropped(lines)) == 1


def test_asking_counts_on_the_limit_and_never_waits_for_a_quiet_moment(tmp_path: Path) -> None:
    async def rush() -> AtWork:
        async with AtWork(tmp_path, {"ometria": {**SETTINGS, "batch": {"records": 1}, "errors_every": "5s"}}) as work:
            await work.sent("customers/create", *(person(number) for number in range(400)))
            await work.settled()
            return work

    work = simulate(rush())
    assert dict(account(work).witness.broken) == {}
    times_s = sorted(visit.at_s for visit in account(work).witness.visits)
    assert min(b - a for a, b in zip(times_s, times_s[4:], strict=False)) >= 1.0
    assert len(asked_s(work)) >= (times_s[-1] - times_s[0]) // 6


def test_only_who_holds_the_account_asks(tmp_path: Path) -> None:
    async def hour() -> AtWork:
        async with AtWork(tmp_path, {"ometria": SETTINGS}, dispatchers=3) as work:
            await asyncio.sleep(60 * EVERY_S)
            return work

    assert 50 <= len(asked_s(simulate(hour()))) <= 61


def test_nothing_is_asked_where_it_is_not_wanted_or_under_a_refused_key(tmp_path: Path) -> None:
    async def hour(every: str, *, refused: bool) -> list[float]:
        async with AtWork(tmp_path, {"ometria": {**SETTINGS, "errors_every": every}}) as work:
            await work.sent("customers/create", person(1))
            await work.settled()
            if refused:
                work.sandbox.faults.order(Fault(path="/ometria/v2/push", fault="expired_token", method="POST"))
                await work.sent("customers/create", person(2))
            await asyncio.sleep(EVERY_S)
            began_s = work.clock.monotonic_s()
            await asyncio.sleep(20 * EVERY_S)
            return [at_s for at_s in asked_s(work) if at_s > began_s]

    assert len(simulate(hour("60s", refused=False))) >= 18
    assert simulate(hour("60s", refused=True)) == []
    assert simulate(hour("0s", refused=False)) == []


@pytest.mark.parametrize("status", [403, 404, 500, 429])
def test_a_key_that_may_not_ask_still_pushes(tmp_path: Path, lines: io.StringIO, status: int) -> None:
    async def hour() -> str:
        async with AtWork(tmp_path, {"ometria": SETTINGS}) as work:
            work.sandbox.faults.order(Fault(path="/ometria/v2/push/_errors", fault="status", status=status))
            await asyncio.sleep(3 * EVERY_S)
            await work.sent("customers/create", person(1))
            await work.settled(60)
            (one,) = work.standings()
            assert one.standing == "open"
            return one.drops_unknown

    assert str(status) in simulate(hour())
    said = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [one["event"] for one in said].count("account.drops_unknown") == 1


def test_a_pause_that_ometria_asked_for_outlives_the_dispatcher(tmp_path: Path) -> None:
    async def day() -> AtWork:
        async with AtWork(tmp_path, {"crm": {**SETTINGS, "errors_every": "0s"}}) as work:
            work.sandbox.faults.order(Fault(path="*/push", fault="status", status=429, retry_after=600.0, count=1))
            await work.sent("customers/update", person(1))
            for _ in range(3):
                await asyncio.sleep(20.0)
                await work.restart()
            await work.settled()
            return work

    refused, taken = account(simulate(day())).witness.visits
    assert 600.0 <= taken.at_s - refused.at_s < 605.0


def test_a_key_that_was_changed_makes_no_account_faster(tmp_path: Path) -> None:
    """The limit is the account's: the new key goes on where the old one was."""
    settings = {**SETTINGS, "errors_every": "0s", "batch": {"records": 1}}

    async def minute() -> AtWork:
        async with AtWork(tmp_path, {"ometria": settings}) as work:
            await work.sent("customers/update", *map(person, range(60)))
            await asyncio.sleep(3.0)
            work.reload({"ometria": {**settings, "api_key": "o-2"}})
            await work.settled()
            return work

    accounts = simulate(minute()).sandbox.ometria.accounts
    times_s = sorted(visit.at_s for one in accounts.values() for visit in one.witness.visits)
    assert len(accounts) == 2
    assert len(times_s) >= 60
    assert [later for earlier, later in zip(times_s, times_s[4:], strict=False) if later - earlier < 1.0] == []
