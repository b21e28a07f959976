"""The main job: what a Shopify shop sends is at Ometria and at the sink, each once, right in its fields."""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from gateway import document
from gateway.children import GIVES_WAY
from gateway.sandbox.server import Sandbox
from tests.whole import payloads
from tests.whole.payloads import EVERY, SENT, Case
from tests.whole.running import Told, account, post_all, running, until

pytestmark = pytest.mark.slow

COPIES = 5


async def test_every_kind_of_payload_arrives_once_however_often_it_is_sent(tmp_path: Path) -> None:
    async with running(tmp_path) as (gateway, sandbox):
        await post_all(gateway.hook, [payloads.BEFORE.letter()])
        await gateway.settled()
        first = await _send_copies(gateway.hook, "first")
        await gateway.settled()
        assert await gateway.stop() == 0
        await gateway.up()
        again = await _send_copies(gateway.hook, "again")
        await gateway.settled()

        for case in EVERY:
            assert {told.status for told in first[case.name] + again[case.name]} == {200}, case.name
            assert len({told.id for told in first[case.name] + again[case.name]}) == 1, case.name
            assert [told.duplicate for told in first[case.name]].count(False) == 1, case.name
            assert all(told.duplicate for told in again[case.name]), case.name
        await until(lambda: account(sandbox).counts()["queue"] == 0, "Ometria has drained its queue")
        assert _wrong_fields(sandbox, SENT) == {}
        assert _at_ometria(sandbox) == Counter(case.record for case in (payloads.BEFORE, *SENT))
        assert list(account(sandbox).witness.breaches) == []
        assert [seen.times for seen in sandbox.sink.witness.received.values()] == [1] * (1 + len(EVERY))
        rows = await gateway.balanced()
        assert rows["ometria"]["delivered"] == 1 + len(SENT)
        assert rows["ometria"]["filtered"] == len(payloads.NOT_FOR_OMETRIA)
        assert rows["ometria"]["dead"] == len(payloads.DEAD_AT_OMETRIA)
        assert rows["sink"]["delivered"] == 1 + len(EVERY)
        assert await gateway.stop() == 0
        assert gateway.failures() == []


async def test_delivering_gives_way_to_accepting_where_they_share_a_core(tmp_path: Path) -> None:
    async with running(tmp_path) as (gateway, _):
        nice = {role: os.getpriority(os.PRIO_PROCESS, gateway.pid(role)) for role in ("receiver", "dispatcher")}
        assert nice["dispatcher"] == min(nice["receiver"] + GIVES_WAY, 19)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere niceness is that of a process")
async def test_who_commits_deliveries_gives_way_to_nobody_for_accepting_waits_for_it(tmp_path: Path) -> None:
    async with running(tmp_path) as (gateway, _):
        nice = {os.getpriority(os.PRIO_PROCESS, thread) for thread in _threads(gateway.pid("dispatcher"))}
        assert min(nice) == os.getpriority(os.PRIO_PROCESS, gateway.pid("receiver"))


def _threads(pid: int) -> list[int]:
    return [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()]


async def test_what_ometria_would_refuse_is_dead_with_the_reason_and_nothing_else_is(tmp_path: Path) -> None:
    async with running(tmp_path) as (gateway, _):
        await post_all(gateway.hook, [case.letter() for case in payloads.DEAD_AT_OMETRIA])
        await gateway.settled()

        _, said = await gateway.command("dead", "list")
        by_event = {row["event_id"]: row for row in said["dead"]}
        found = {}
        for case in payloads.DEAD_AT_OMETRIA:
            (told,) = await post_all(gateway.hook, [case.letter()])
            row = by_event.pop(told.id)
            found[case.name] = (row["destination"], row["reason"])
        assert found == {case.name: ("ometria", case.dead) for case in payloads.DEAD_AT_OMETRIA}
        assert by_event == {}


async def test_the_states_of_an_order_arrive_in_the_order_in_which_they_happened(tmp_path: Path) -> None:
    states = ("pending", "paid", "fulfilled", "cancelled")
    orders = range(40)
    async with running(tmp_path) as (gateway, sandbox):
        for state in states:
            letters = [payloads.order(number, state, f"{state}-{number}") for number in orders]
            assert {told.status for told in await post_all(gateway.hook, letters)} == {200}
        await gateway.settled()
        await until(lambda: account(sandbox).counts()["queue"] == 0, "Ometria has drained its queue")

        names = [payloads.name_of_order(number) for number in orders]
        held = account(sandbox)
        assert {held.witness.received[name].times for name in names} == {len(states)}
        assert {held.stored[name].document["status"] for name in names} == {"cancelled"}
        assert list(held.witness.breaches) == []
        assert _order_of_arrival(sandbox) == {number: list(states) for number in orders}


async def _send_copies(hook: str, which: str) -> dict[str, list[Told]]:
    """Every case, each five times at once: with one delivery id, or as the deliveries of two subscriptions."""
    letters = [
        case.letter(which if copy < COPIES - 2 else f"{which}-{copy}") for case in EVERY for copy in range(COPIES)
    ]
    answers = await post_all(hook, letters)
    return {case.name: answers[place * COPIES : (place + 1) * COPIES] for place, case in enumerate(EVERY)}


def _at_ometria(sandbox: Sandbox) -> dict[str, int]:
    return {name: seen.times for name, seen in account(sandbox).witness.received.items()}


def _wrong_fields(sandbox: Sandbox, cases: Iterable[Case]) -> dict[str, Any]:
    """By case: the fields that are not as they should be, as (expected, found)."""
    wrong = {}
    for case in cases:
        stored = account(sandbox).get(case.record)
        found = json.loads(document.dump(stored.document)) if stored else {}
        differ = {
            name: (value, found.get(name)) for name, value in case.has.items() if not _fits(value, found.get(name))
        }
        differ |= {name: ("nothing", found[name]) for name in case.lacks if name in found}
        if differ:
            wrong[case.name] = differ
    return wrong


def _fits(expected: Any, found: Any) -> bool:
    """Equal; of objects inside, what is expected is there."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(_fits(value, found.get(name)) for name, value in expected.items())
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) == len(expected) and all(map(_fits, expected, found))
    return bool(expected == found) and isinstance(found, bool) == isinstance(expected, bool)


def _order_of_arrival(sandbox: Sandbox) -> dict[int, list[str]]:
    """By order: the states in which it came to the sink."""
    names = {"orders/create": "pending", "orders/paid": "paid", "orders/fulfilled": "fulfilled"}
    came: dict[int, list[str]] = {}
    for taken in sandbox.sink.taken:
        event = json.loads(taken.body)
        number = int(event["subject"]) - payloads.IDS - 2_000
        came.setdefault(number, []).append(names.get(event["topic"], "cancelled"))
    return came
