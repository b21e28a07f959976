"""A configuration that changes while the gateway works: no request fails, and a wrong one changes nothing."""

import json
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.whole.running import Gateway, running, until
from tests.whole.traffic import Traffic

pytestmark = pytest.mark.slow


def rewrite(gateway: Gateway, **destinations: dict[str, Any]) -> None:
    """Put other destinations into the file, and route everything to them."""
    settings = json.loads(gateway.config.read_text())
    settings["destinations"].update(destinations)
    settings["routes"] = [{"to": list(settings["destinations"])}]
    gateway.config.write_text(json.dumps(settings))


async def readiness(gateway: Gateway) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session, session.get(f"{gateway.admin_url}/readyz") as answer:
        found: dict[str, Any] = await answer.json()
        return found


async def test_a_new_destination_is_served_without_a_restart_and_no_request_fails(tmp_path: Path) -> None:
    async with running(tmp_path) as (gateway, sandbox):
        before = gateway.children()
        digests = [await _digest(gateway)]
        async with Traffic(gateway.hook) as traffic:
            await traffic.more(50)
            rewrite(gateway, second={"vendor": "http", "url": str(_sink(gateway)) + "/second"})
            await until(lambda: _has(gateway, "second"), "the new lane is there", 10.0)
            await traffic.more(50)
            await traffic.finish()
        await gateway.settled(["ometria", "sink", "second"])
        lanes = await gateway.balanced()
        assert set(traffic.statuses) == {200}
        assert gateway.children() == before
        assert lanes["sink"]["delivered"] == len(traffic.acknowledged)
        assert 0 < lanes["second"]["delivered"] < lanes["sink"]["delivered"]
        assert sandbox.sink.view()["counts"]["received"] >= lanes["sink"]["delivered"]
        digests.append(await _digest(gateway))
        assert len(set(digests)) == len(digests)
        assert [await _tried_under(gateway, seq) for seq in (1, lanes["sink"]["cursor"])] == digests


async def test_a_wrong_file_leaves_the_old_configuration_in_force_and_says_so(tmp_path: Path) -> None:
    async with running(tmp_path) as (gateway, _):
        sound = await readiness(gateway)
        good = gateway.config.read_text()
        gateway.config.write_text(good.replace('"vendor": "http"', '"vendor": "htp"'))
        await until(lambda: _refused(gateway), "the fault shows", 10.0)
        now = await readiness(gateway)
        assert (now["ready"], now["configuration"]["digest"]) == (True, sound["configuration"]["digest"])
        assert "http" in now["configuration"]["refused"][0]["hint"]

        gateway.kill("dispatcher")
        await until(lambda: len(gateway.children()) == len(("receiver", "dispatcher")), "it is started again", 30.0)
        await gateway.ready()

        gateway.config.write_text(good)
        await until(lambda: _sound(gateway), "the fault is gone", 10.0)


async def test_sighup_reads_the_configuration_again(tmp_path: Path) -> None:
    async with running(tmp_path) as (gateway, _):
        assert gateway.process is not None
        gateway.process.send_signal(signal.SIGHUP)
        await until(lambda: len(gateway.lines("configuration.loaded")) > 1, "it was read again", 10.0)


def _sink(gateway: Gateway) -> str:
    url: str = json.loads(gateway.config.read_text())["destinations"]["sink"]["url"]
    return url


async def _has(gateway: Gateway, destination: str) -> bool:
    return destination in await gateway.lanes()


async def _digest(gateway: Gateway) -> str:
    digest: str = (await readiness(gateway))["configuration"]["digest"]
    return digest


async def _tried_under(gateway: Gateway, seq: int) -> str:
    """The one configuration under which everything of an event was tried."""
    code, found = await gateway.command("events", "show", str(seq))
    assert code == 0
    (config,) = {one["config"] for lane in found["events"][0]["lanes"] for one in lane["attempts"]}
    assert isinstance(config, str)
    return config


async def _refused(gateway: Gateway) -> bool:
    return bool((await readiness(gateway))["configuration"]["refused"])


async def _sound(gateway: Gateway) -> bool:
    return not await _refused(gateway)
