"""Vendors that fail in every way, some after they have applied what they do not acknowledge.

Everything is delivered in the end, or dead with the reason, and the books balance.
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from gateway.sandbox.faults import Fault
from gateway.sandbox.server import Sandbox
from tests.whole.payloads import person
from tests.whole.running import (
    Gateway,
    account,
    configuration,
    played,
    post_all,
    rules_broken,
    running,
    until,
)
from tests.whole.traffic import people

pytestmark = pytest.mark.slow

EVENTS = 30
TIMES = 3
"""How often each fault strikes: fewer than open the breaker."""
SOON = {"timeout": "1s", "retry": {"first": "200ms", "max": "1s"}}

FAULTS: dict[str, Fault] = {
    "internal-error": Fault(fault="status", status=500, count=TIMES),
    "unavailable": Fault(fault="status", status=503, retry_after=1, count=TIMES),
    "too-many": Fault(fault="status", status=429, retry_after=1, count=1),
    "too-many-without-a-word": Fault(fault="forced_429", count=1),
    "elsewhere": Fault(fault="status", status=302, headers={"Location": "http://127.0.0.1:9/"}, count=TIMES),
    "asleep": Fault(fault="hang", count=TIMES),
    "asleep-after-work": Fault(fault="hang_after", count=TIMES),
    "reset": Fault(fault="reset_before", count=TIMES),
    "reset-after-work": Fault(fault="reset_after", count=TIMES),
    "cut-off": Fault(fault="cut", count=TIMES),
    "slow": Fault(fault="latency", latency_s=0.5, count=TIMES),
}
APPLIED = {"asleep-after-work", "reset-after-work", "cut-off"}
"""Those after which the vendor has what it did not acknowledge: it comes again, under the same key."""

AT_OMETRIA = (
    Fault(path="/ometria/*", fault="status", status=500, count=1),
    Fault(path="/ometria/*", fault="reset_before", count=1),
    Fault(path="/ometria/*", fault="status", status=502, body="<html>Bad gateway</html>", count=1),
)

REFUSALS = {"refuses": (400, "payload_refused"), "knows-nothing": (404, "not_found"), "is-full": (413, "too_large")}


def _many_sinks(names: list[str], sandbox_url: str) -> dict[str, Any]:
    """The shop into Ometria, and into a sink for each of the names."""
    settings = configuration(sandbox_url, sink=None, ometria=SOON)
    for name in names:
        sink = {"vendor": "http", "url": f"{sandbox_url}/sink/{name}", "idempotency_header": "Idempotency-Key", **SOON}
        settings["destinations"][name] = sink
    settings["routes"] = [{"to": list(settings["destinations"])}]
    return settings


async def test_whatever_a_vendor_does_everything_is_delivered_in_the_end(tmp_path: Path) -> None:
    async with running(tmp_path, lambda url: _many_sinks(list(FAULTS), url)) as (gateway, sandbox):
        for name, fault in FAULTS.items():
            order = {**_plain(fault), "path": f"/sink/{name}"}
            sandbox.faults.order(Fault(**order))
        for fault in AT_OMETRIA:
            sandbox.faults.order(fault)
        told = await post_all(gateway.hook, [person(number) for number in range(EVENTS)])
        await gateway.settled()

        ids = {one.id for one in told}
        assert [one for one in sandbox.faults.view() if one["met"] == 0] == []
        by_path = _arrivals(sandbox)
        assert {name: set(by_path[name]) for name in FAULTS} == dict.fromkeys(FAULTS, ids)
        assert {name for name in FAULTS if any(len(set(keys)) > 1 for keys in by_path[name].values())} == set()
        assert {name for name in FAULTS if any(len(keys) > 1 for keys in by_path[name].values())} == APPLIED
        assert set(account(sandbox).witness.received) == people(EVENTS)
        assert rules_broken(sandbox) == {}
        rows = await gateway.balanced()
        assert {name: (row["delivered"], row["dead"]) for name, row in rows.items()} == dict.fromkeys(rows, (EVENTS, 0))
        assert gateway.failures() == []


async def test_what_a_vendor_refuses_is_dead_with_the_reason_and_can_be_tried_again(tmp_path: Path) -> None:
    async with running(tmp_path, lambda url: _many_sinks(list(REFUSALS), url)) as (gateway, sandbox):
        for name, (status, _) in REFUSALS.items():
            sandbox.faults.order(Fault(path=f"/sink/{name}", fault="status", status=status, count=TIMES))
        await post_all(gateway.hook, [person(number) for number in range(EVENTS)])
        await gateway.settled()

        _, said = await gateway.command("dead", "list")
        reasons = [(row["destination"], row["reason"]) for row in said["dead"]]
        assert sorted(reasons) == sorted([(name, reason) for name, (_, reason) in REFUSALS.items()] * TIMES)
        rows = await gateway.balanced()
        assert {(rows[name]["delivered"], rows[name]["dead"]) for name in REFUSALS} == {(EVENTS - TIMES, TIMES)}

        code, _ = await gateway.command("dead", "retry", "--all")
        assert code == 0
        await until(lambda: _everywhere(sandbox), "the dead are delivered")
        await gateway.settled()
        rows = await gateway.balanced()
        assert {(row["delivered"], row["dead"]) for row in rows.values()} == {(EVENTS, 0)}


async def test_a_full_queue_at_ometria_is_waited_for_and_nothing_is_parked(tmp_path: Path) -> None:
    async with running(tmp_path, lambda url: configuration(url, sink=None)) as (gateway, sandbox):
        sandbox.faults.order(Fault(path="/ometria/*", method="POST", fault="queue_full", retry_after=1, count=1))
        sandbox.faults.order(Fault(path="/ometria/*", method="POST", fault="forced_429", retry_after=1, count=1))
        await post_all(gateway.hook, [person(number) for number in range(EVENTS)])
        await until(lambda: bool(gateway.lines("account.throttled")), "the account is throttled")
        assert (await gateway.lanes())["ometria"].lane.counts.parked == 0
        await gateway.settled()

        assert {line["reason"] for line in gateway.lines("account.throttled")} == {"queue_full", "rate_limited"}
        assert set(account(sandbox).witness.received) == people(EVENTS)
        assert account(sandbox).counts()["received_again"] == 0
        await gateway.balanced()


async def test_a_refused_key_stops_the_account_and_nothing_is_lost_or_counted_against_a_record(tmp_path: Path) -> None:
    async with played(tmp_path) as (gateway, served):
        sandbox = served.sandbox
        await gateway.up()
        refused = sandbox.faults.order(Fault(path="/ometria/*", method="POST", fault="expired_token"))
        await post_all(gateway.hook, [person(number) for number in range(EVENTS)])
        await until(lambda: bool(gateway.lines("account.suspended")), "the account is suspended")
        await gateway.settled(["sink"])
        row = (await gateway.lanes())["ometria"]
        assert (row.waiting, row.lane.counts.parked, row.lane.counts.dead) == (EVENTS, 0, 0)
        assert refused.met == 1
        assert await gateway.stop() == 0

        sandbox.faults.clear()
        await gateway.up()
        await gateway.settled()
        assert set(account(sandbox).witness.received) == people(EVENTS)
        await _attempts_are(gateway, 1)
        await gateway.balanced()


async def _attempts_are(gateway: Gateway, count: int) -> None:
    """So many attempts at each event on the lane to Ometria are written down."""
    _, said = await gateway.command("events", "list")
    event = said["events"][0]["id"]
    _, shown = await gateway.command("events", "show", event)
    (lane,) = [one for one in shown["events"][0]["lanes"] if one["destination"] == "ometria"]
    assert len(lane["attempts"]) == count


def _plain(fault: Fault) -> dict[str, Any]:
    return {name: getattr(fault, name) for name in fault.__struct_fields__}


def _arrivals(sandbox: Sandbox) -> dict[str, dict[str, list[str]]]:
    """By sink: the events that came to it, and the idempotency keys of each time."""
    found: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for taken in sandbox.sink.taken:
        found[taken.path.removeprefix("/")][json.loads(taken.body)["id"]].append(taken.key)
    return {name: dict(events) for name, events in found.items()}


def _everywhere(sandbox: Sandbox) -> bool:
    by_path = _arrivals(sandbox)
    return all(len(by_path.get(name, {})) == EVENTS for name in REFUSALS)
