"""Look-ups through real processes: each thin event is whole once, whatever dies in the middle."""

from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway import document
from gateway.clock import SystemChance, SystemClock
from gateway.journal.sqlite import SqliteJournal
from gateway.model import Event
from gateway.sandbox import sign
from gateway.sandbox.faults import Fault
from tests.whole.running import SECRET, SOURCE, Gateway, played, until

pytestmark = pytest.mark.slow

NOTICES = 160
ORDERS = 40
LAST_ID = 36
"""Orders above are not there: their notices are dead."""


def configuration(sandbox_url: str) -> dict[str, Any]:
    return {
        "log": {"format": "json"},
        "sources": {SOURCE: {"preset": "bigcommerce", "secrets": [SECRET], "lookup": "shop-api"}},
        "lookups": {
            "shop-api": {
                "base_url": f"{sandbox_url}/bigcommerce/stores/abc",
                "auth": {"header": {"name": "X-Auth-Token", "value": "whole-test-shop-token"}},
                "urls": {"order.changed": "/v2/orders/{subject}?include=consignments.line_items"},
                "retry": {"first": "100ms", "max": "1s"},
            }
        },
        "destinations": {"sink": {"vendor": "http", "url": f"{sandbox_url}/sink"}},
        "routes": [{"events": ["order.created", "order.updated"], "to": ["sink"]}],
    }


async def notify(session: aiohttp.ClientSession, gateway: Gateway, number: int) -> None:
    """One notice, sent until it is acknowledged."""
    scope = "store/order/created" if number < ORDERS else "store/order/updated"
    data = {"type": "order", "id": number % ORDERS + 1}
    notice = {"scope": scope, "data": data, "hash": str(number), "created_at": 1_774_690_530, "producer": "stores/abc"}
    body = document.dump(notice)
    names = sign.Names(event=str(number), delivery=f"msg-{number}")
    now_ms, chance = SystemClock().now_ms(), SystemChance()
    headers = sign.sign("bigcommerce", body, scope, SECRET, url="", now_ms=now_ms, chance=chance, names=names)
    async with session.post(gateway.hook, data=body, headers=headers) as answer:
        assert answer.status == 200


async def started_again(gateway: Gateway, killed: int) -> None:
    await until(lambda: gateway.children()["dispatcher"] != killed, "it is started again")


async def accepted(gateway: Gateway) -> list[Event]:
    journal = SqliteJournal(gateway.database)
    try:
        found: list[Event] = []
        seen = 0
        while (page := await journal.read(seen)).events:
            found += page.events
            seen = page.read_to
        return found
    finally:
        await journal.close()


async def test_each_notice_is_whole_once_although_the_dispatcher_is_killed_in_the_middle(tmp_path: Path) -> None:
    async with played(tmp_path, configuration) as (gateway, served), aiohttp.ClientSession() as session:
        shop = served.sandbox.bigcommerce
        shop.adjust({"last_id": LAST_ID})
        served.sandbox.faults.order(Fault(path="/bigcommerce/*", fault="status", status=503, rate=0.2))
        served.sandbox.faults.order(Fault(path="/bigcommerce/*", fault="latency", latency_s=0.2))
        await gateway.up()
        for number in range(NOTICES):
            await notify(session, gateway, number)
            if number in (NOTICES // 3, NOTICES * 2 // 3):
                await until(lambda: shop.witness.requests_under_way > 0, "a question is under way")
                await started_again(gateway, gateway.kill("dispatcher"))
        await gateway.settled()

        events = await accepted(gateway)
        thin = [event for event in events if event.derived_from is None]
        whole = [event for event in events if event.derived_from is not None]
        assert len(thin) == NOTICES
        there = {one.id: order for one in thin if (order := document.parse(one.body)["data"]["id"]) <= LAST_ID}
        assert Counter(one.derived_from for one in whole) == dict.fromkeys(there, 1)
        assert {one.derived_from: document.parse(one.body)["id"] for one in whole} == there
        arrived = {document.parse(taken.body.encode())["id"] for taken in served.sandbox.sink.taken}
        assert arrived == {one.id for one in whole}
        rows = await gateway.balanced()
        missing = NOTICES - len(there)
        assert (rows["shop-api"]["delivered"], rows["shop-api"]["dead"]) == (len(there), missing)
        assert rows["shop-api"]["filtered"] == len(whole)
        code, said = await gateway.command("dead", "list")
        assert code == 0
        assert Counter(row["reason"] for row in said["dead"]) == {"not_found": missing}
        assert shop.witness.statuses[503] > 0
        code, said = await gateway.command("events", "show", whole[0].derived_from or "")
        assert (code, said["events"][0]["derived"]) == (0, [whole[0].id])
        assert gateway.failures() == []
