"""What stands still and goes on again under a real gateway: a refused key, a held event, lanes paused by account."""

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.clock import SystemClock
from gateway.sandbox.faults import Fault
from tests.whole.payloads import person
from tests.whole.running import TOKEN, Gateway, account, configuration, post_all, running, until
from tests.whole.traffic import people

pytestmark = [pytest.mark.slow, pytest.mark.alone]

EVENTS = 5
HOLD_S = 8.0
AT_ONCE_S = 20.0
"""Well below the minute between two probes, however busy the machine."""


async def test_a_suspended_account_is_shown_and_goes_on_when_the_configuration_changes(tmp_path: Path) -> None:
    async with running(tmp_path, lambda url: configuration(url, sink=None)) as (gateway, sandbox):
        sandbox.faults.order(Fault(path="/ometria/*", fault="expired_token"))
        await post_all(gateway.hook, [person(number) for number in range(EVENTS)])
        await until(lambda: _stands(gateway, "suspended"), "the account is shown as suspended")
        assert 'standing="suspended"} 1.0' in await _metrics(gateway)

        sandbox.faults.clear()
        settings = json.loads(gateway.config.read_text())
        settings["destinations"]["ometria"]["timeout"] = "20s"
        gateway.config.write_text(json.dumps(settings))
        await gateway.settled(within_s=AT_ONCE_S)
        assert set(account(sandbox).witness.received) == people(EVENTS)
        await until(lambda: _stands(gateway, "open"), "the account is shown as open")
        assert 'gateway_configuration_reloads_total{result="applied"} 1.0' in await _metrics(gateway)


async def test_a_held_event_is_delivered_after_its_hold_whatever_dies_meanwhile(tmp_path: Path) -> None:
    async with running(tmp_path, _held) as (gateway, sandbox):
        before_ms = SystemClock().now_ms()
        (told,) = await post_all(gateway.hook, [person(0)])
        await until(lambda: _is_held(gateway, told.id), "it is parked, as held")
        await gateway.kill_all()
        await gateway.up()
        assert len(sandbox.sink.taken) == 0
        await gateway.settled()
        (taken,) = sandbox.sink.taken
        assert taken.at_ms >= before_ms + HOLD_S * 1000
        await gateway.balanced()


async def test_the_lanes_of_an_account_stand_still_until_they_are_resumed(tmp_path: Path) -> None:
    async with running(tmp_path) as (gateway, sandbox):
        accounts = (await _call(gateway, "GET", "accounts"))["accounts"]
        (which,) = [one["account"] for one in accounts if one["destinations"] == ["sink"]]
        await _call(gateway, "POST", "lanes/pause", {"account": which})
        await post_all(gateway.hook, [person(number) for number in range(EVENTS)])
        await gateway.settled(["ometria"])
        lanes = {lane["destination"]: lane for lane in (await _call(gateway, "GET", "lanes"))["lanes"]}
        assert (lanes["sink"]["paused"], lanes["sink"]["waiting"], len(sandbox.sink.taken)) == (True, EVENTS, 0)
        assert lanes["sink"]["lag_seconds"] > 0

        code, _ = await gateway.command("lanes", "resume", "--account", which)
        assert code == 0
        await gateway.settled()
        assert len(sandbox.sink.taken) == EVENTS


def _held(sandbox_url: str) -> dict[str, Any]:
    """The shop into the sink, each event held."""
    return {**configuration(sandbox_url, ometria=None), "routes": [{"to": "sink", "hold": f"{HOLD_S:g}s"}]}


async def _stands(gateway: Gateway, standing: str) -> bool:
    accounts = (await _call(gateway, "GET", "accounts"))["accounts"]
    return [one["standing"] for one in accounts] == [standing]


async def _is_held(gateway: Gateway, event: str) -> bool:
    (shown,) = (await _call(gateway, "GET", f"events/{event}"))["events"]
    return [part["reason"] for lane in shown["lanes"] for part in lane["parts"]] == ["held"]


async def _call(gateway: Gateway, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, f"{gateway.admin_url}/api/{path}", json=body) as answer,
    ):
        assert answer.status == 200, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


async def _metrics(gateway: Gateway) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"{gateway.admin_url}/metrics") as answer:
        return await answer.text()
