"""One shop's flood delays no other shop, and one vendor that hangs delays no other vendor."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.sandbox.faults import Fault
from gateway.sandbox.server import Sandbox
from tests.whole.payloads import person
from tests.whole.running import SOURCE, Told, configuration, post, post_all, running, until

pytestmark = [pytest.mark.slow, pytest.mark.alone]

FLOOD = 400
SLOTS = 3
EVENTS = 25
APART_S = 0.1
SOON_S = 1.0


def _two_shops(sandbox_url: str) -> dict[str, Any]:
    """Two shops into one sink that takes four requests a second."""
    settings = configuration(sandbox_url, ometria=None, sink={"limits": [{"allow": 4, "per": "1s"}]})
    settings["sources"]["de-shop"] = settings["sources"][SOURCE]
    return settings


def _two_vendors(sandbox_url: str) -> dict[str, Any]:
    """One shop into two sinks, each an account of its own."""
    settings = configuration(sandbox_url, ometria=None)
    settings["destinations"]["hangs"] = {"vendor": "http", "url": f"{sandbox_url}/sink/hangs"}
    settings["routes"] = [{"to": ["sink", "hangs"]}]
    return settings


async def test_a_flood_of_one_shop_leaves_the_next_slots_to_anothers_event(tmp_path: Path) -> None:
    async with running(tmp_path, _two_shops) as (gateway, sandbox):
        await post_all(gateway.hook, [person(number) for number in range(FLOOD)])
        await until(lambda: len(sandbox.sink.taken) > SLOTS, "the flood is being delivered")
        async with aiohttp.ClientSession() as session:
            told = await post(session, gateway.hook.replace(SOURCE, "de-shop"), person(FLOOD))
        before = len(sandbox.sink.taken)
        assert told.status == 200
        await until(lambda: told.id in _ids(sandbox), "the other shop's event is delivered")
        assert _ids(sandbox).index(told.id) - before < SLOTS
        assert len(sandbox.sink.taken) < FLOOD


async def test_a_vendor_that_hangs_delays_no_other(tmp_path: Path) -> None:
    async with running(tmp_path, _two_vendors) as (gateway, sandbox):
        hangs = sandbox.faults.order(Fault(path="/sink/hangs", fault="hang"))
        waits: list[float] = []
        accepts: list[float] = []
        async with aiohttp.ClientSession() as session:
            for number in range(EVENTS):
                accept_s, wait_s = await _delivered_after_s(session, gateway.hook, sandbox, number)
                accepts.append(accept_s)
                waits.append(wait_s)
                await asyncio.sleep(APART_S)
        assert hangs.met > 0
        assert max(waits) < SOON_S, sorted(waits)
        assert max(accepts) < SOON_S, sorted(accepts)


async def _delivered_after_s(
    session: aiohttp.ClientSession, hook: str, sandbox: Sandbox, number: int
) -> tuple[float, float]:
    """How long an event's accept took, and how long after it the event came to the sink that is well."""
    loop = asyncio.get_running_loop()
    asked_s = loop.time()
    told: Told = await post(session, hook, person(number))
    began_s = loop.time()
    await until(lambda: told.id in _ids(sandbox), "the event is delivered")
    return began_s - asked_s, loop.time() - began_s


def _ids(sandbox: Sandbox) -> list[str]:
    return [json.loads(one.body)["id"] for one in sandbox.sink.taken if one.path != "/hangs"]
