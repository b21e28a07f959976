"""The wall clock jumps by an hour and more, in both directions, under a gateway with events on their way and parked.

libfaketime moves the clocks of the processes while they run; it comes as a wheel, with its library built.
"""

import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from gateway import document
from gateway.sandbox.faults import Fault
from gateway.sandbox.server import Sandbox
from tests.whole.payloads import name_of_order, order
from tests.whole.running import Letter, configuration, played, post_all

HOUR_S = 3600
ORDERS = range(12)
STATES = ("pending", "paid", "fulfilled", "cancelled")
JUMPS_S = (0, -HOUR_S, HOUR_S, 0)
"""How far the clock is off while the orders are in each of their states."""


def _library() -> Path | None:
    spec = find_spec("libfaketime")
    places = spec.submodule_search_locations if spec is not None else None
    return next((found for place in places or () for found in Path(place).rglob("libfaketime.so.1")), None)


def _environment(library: Path, offset: Path) -> dict[str, str]:
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "1",
    }


def _jump(offset: Path, seconds: int) -> None:
    """From now on the clocks are off by so much. Replaced as a whole: the processes read it all the time."""
    part = offset.with_suffix(".part")
    part.write_text(f"{seconds:+d}")
    part.replace(offset)


def _moves(tmp_path: Path) -> Path:
    """The library, where it does move the clock of a process here."""
    library = _library()
    if library is None:
        pytest.skip("there is no libfaketime for this machine")
    _jump(tmp_path / "offset", 5 * HOUR_S)
    environment = {**os.environ, **_environment(library, tmp_path / "offset")}
    asked = (sys.executable, "-c", "import time; print(time.time())")
    told = subprocess.run(asked, env=environment, capture_output=True, check=False, text=True)
    if told.returncode or float(told.stdout) - time.time() < 4 * HOUR_S:
        pytest.skip("libfaketime does not move the clock here")
    return library


@pytest.mark.slow
async def test_clocks_that_jump_by_an_hour_lose_nothing_and_keep_the_order(tmp_path: Path) -> None:
    library, offset = _moves(tmp_path), tmp_path / "offset"
    async with played(tmp_path, partial(_settings, keep="30m")) as (gateway, served):
        gateway.environment = _environment(library, offset)
        _jump(offset, 0)
        await gateway.up()
        processes = gateway.children()
        served.sandbox.faults.order(Fault(path="/sink*", fault="status", status=500, rate=0.4))
        ids: dict[tuple[int, str], str] = {}
        for state, seconds in zip(STATES, JUMPS_S, strict=True):
            _jump(offset, seconds)
            told = await post_all(gateway.hook, _letters(state))
            assert {one.status for one in told} == {200}
            assert not any(one.duplicate for one in told)
            ids |= {(number, state): one.id for number, one in zip(ORDERS, told, strict=True)}
            await gateway.settled(["ometria"])
        served.sandbox.faults.clear()
        _jump(offset, HOUR_S)  # what was parked an hour ahead is due
        await gateway.settled()

        for state in STATES:
            told = await post_all(gateway.hook, _letters(state))
            assert [(one.duplicate, one.id) for one in told] == [(True, ids[number, state]) for number in ORDERS]
        assert _came(served.sandbox) == {
            name_of_order(number).removeprefix("order:"): [ids[number, state] for state in STATES] for number in ORDERS
        }
        rows = await gateway.balanced()
        assert {name: row["delivered"] for name, row in rows.items()} == dict.fromkeys(rows, len(ids))
        assert gateway.children() == processes
        assert await gateway.stop() == 0
        assert gateway.failures() == []


def _settings(url: str, keep: str) -> dict[str, Any]:
    return {**configuration(url), "journal": {"keep": keep}}


def _letters(state: str) -> Sequence[Letter]:
    return [order(number, state, f"order-{number}-{state}") for number in ORDERS]


def _came(sandbox: Sandbox) -> dict[str, list[str]]:
    """The events that came to the sink, by order, each at its first arrival."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for taken in sandbox.sink.taken:
        event = document.parse(taken.body.encode())
        if event["id"] not in found[event["subject"]]:
            found[event["subject"]].append(event["id"])
    return dict(found)
