"""A judged run: a shop's payloads to all five vendors at once, each of which fails in every way it can.

In the end no vendor has a rule broken, everything is delivered, filtered or dead just as without a fault, each record
is at its vendor as it was last, and the books balance.
"""

import asyncio
import signal
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway import app
from gateway.config.load import load
from gateway.journal.sqlite import SqliteJournal
from gateway.model import State
from gateway.sandbox import samples
from gateway.sandbox.faults import Fault
from gateway.sandbox.ometria_account import name_of
from gateway.sandbox.server import Sandbox
from gateway.sandbox.witness import Witness
from gateway.vendors.base import Record
from tests.whole import payloads
from tests.whole.running import OMETRIA_KEY, Gateway, Letter, configuration, post_all, running, until

pytestmark = [pytest.mark.slow, pytest.mark.alone]

NOW_MS = 1_767_323_045_000  # 2026-01-02T03:04:05Z
ORDERS = 12
PEOPLE = 30
WAVES = 24
PAUSE_S = 0.4
SOON: dict[str, Any] = {
    "timeout": "1500ms",
    "retry": {"first": "200ms", "max": "1s"},
    "batch": {"records": 5, "linger": "200ms"},
}
ENTITIES = ("customer", "order", "product", "cart", "refund", "fulfillment")

VENDORS: Mapping[str, dict[str, Any]] = {
    "ometria": {"api_key": OMETRIA_KEY, "collection": "uk-shop", "base_url": "{}/ometria/v2"},
    "ometria_batch": {
        "api_key": "key:secret",
        "domain_key": "acme",
        "location_key": "eu",
        "base_url": "{}/ometria_batch",
        "window": "500ms",
        "poll": "300ms",
    },
    "altcraft": {"token": "whole-test-altcraft", "db_id": 1, "base_url": "{}/altcraft"},
    "octolis": {
        "api_key": "whole-test-octolis",
        "base_url": "{}/octolis/v1/data",
        "datasets": {one: {"id": f"ds-{one}", "keys": [f"{one}_id"]} for one in ENTITIES},
    },
    "amperity": {
        "tenant": "acme",
        "client_id": "whole-test",
        "client_secret": "whole-test-amperity",
        "base_url": "{}/amperity",
        "streams": {one: f"is-{one}" for one in ENTITIES},
    },
}

FAULTS: tuple[dict[str, Any], ...] = (
    {"fault": "status", "status": 500},
    {"fault": "status", "status": 503, "retry_after": 1},
    {"fault": "status", "status": 502, "body": "<html>Bad gateway</html>", "headers": {"Content-Type": "text/html"}},
    {"fault": "latency", "latency_s": 0.8},
    {"fault": "hang"},
    {"fault": "hang_after"},
    {"fault": "reset_before"},
    {"fault": "reset_after"},
    {"fault": "cut"},
    {"fault": "forced_429"},
    {"fault": "busy"},
)
UNACKNOWLEDGED = 3
"""Faults after which a vendor has what it did not acknowledge. What failed together goes again together, under the same
id, but for the second record of one key, which waits for the first: such a batch may be applied twice, as upserts may.
"""
OWN: Mapping[str, tuple[dict[str, Any], ...]] = {
    "ometria": ({"fault": "queue_full"},),
    "amperity": ({"fault": "expired_token"},),
}
KEYS_REFUSED = ("ometria", "ometria_batch", "altcraft", "octolis")
"""Those with a key that cannot be fetched anew: refused once, their account is suspended."""
JITTER = 0.9
"""On one busy machine a request may be seen late, and the next one in time: so much of a window is looked at."""


async def test_all_vendors_fail_in_every_way_and_no_rule_is_broken(tmp_path: Path) -> None:
    async with running(tmp_path, _five) as (gateway, sandbox):
        sandbox.ometria_batch.adjust({"process_s": 0.6})
        datasets = {f"ds-{one}": {"keys": [[f"{one}_id"]]} for one in ENTITIES}
        sandbox.octolis.adjust({"datasets": datasets, "prep_delay_s": 0.0})  # what came last is read at once
        _order_faults(sandbox)
        for wave in _waves([payloads.BEFORE.letter(), *_letters()]):
            assert {told.status for told in await post_all(gateway.hook, wave)} == {200}
            await asyncio.sleep(PAUSE_S)
        await gateway.settled(within_s=120.0)
        assert [one for one in sandbox.faults.view() if one["met"] == 0] == []

        await _keys_are_refused_once(gateway, sandbox)
        await gateway.settled(within_s=120.0)
        await until(lambda: sandbox.ometria.accounts[OMETRIA_KEY].counts()["queue"] == 0, "Ometria's queue is drained")

        assert _broken(sandbox) == {}
        records = await _as_without_faults(gateway)
        assert _missing(sandbox, records) == []
        assert _stale(sandbox, records) == []
        again = _times(sandbox.altcraft.witness) - Counter(_name("altcraft", one) for one in records["altcraft"])
        assert again.total() <= UNACKNOWLEDGED * (SOON["batch"]["records"] - 1)
        assert sandbox.amperity.tokens_issued == 2
        await gateway.balanced()
        assert await gateway.stop() == 0
        assert gateway.failures() == []


def _five(sandbox_url: str) -> dict[str, Any]:
    settings = configuration(sandbox_url, ometria=None, sink=None)
    for name, more in VENDORS.items():
        base_url = more["base_url"].format(sandbox_url)
        batch = {"batch": {"records": 20}} if name in ("ometria_batch", "octolis") else {}
        settings["destinations"][name] = {"vendor": name, **SOON, **more, "base_url": base_url, **batch}
    del settings["destinations"]["amperity"]["batch"]
    settings["routes"] = [{"to": list(VENDORS)}]
    return settings


def _letters() -> Iterator[Letter]:
    """Every kind of payload; many customers; orders in all their states; what carts and parcels send."""
    yield from (case.letter() for case in payloads.EVERY)
    for state in ("pending", "paid", "fulfilled", "cancelled"):
        yield from (payloads.order(number, state, f"{state}-{number}") for number in range(ORDERS))
    yield from (payloads.person(number) for number in range(PEOPLE))
    for topic in dict.fromkeys(
        samples.sample("shopify", name, now_ms=NOW_MS).topic for name in samples.names("shopify")
    ):
        if topic == "products/create" or topic.partition("/")[0] in ("carts", "checkouts", "refunds", "fulfillments"):
            for number in range(1, 6):
                body = samples.sample("shopify", topic, now_ms=NOW_MS, number=number).body
                yield Letter(topic, body, f"{topic}-{number}", f"{topic}-{number}-1")


def _waves(letters: Iterable[Letter]) -> Iterator[list[Letter]]:
    """In order, in some waves: vendors get many requests, and faults meet some of each kind."""
    whole = list(letters)
    size = -(-len(whole) // WAVES)
    return (whole[start : start + size] for start in range(0, len(whole), size))


def _order_faults(sandbox: Sandbox) -> None:
    """Every other request of each vendor fails until each fault had its turn: never so many in a row that a breaker
    opens.
    """
    for vendor in VENDORS:
        for place, fault in enumerate((*FAULTS, *OWN.get(vendor, ()))):
            sandbox.faults.order(Fault(path=f"/{vendor}/*", count=1, skip=place + 1, **fault))


async def _keys_are_refused_once(gateway: Gateway, sandbox: Sandbox) -> None:
    """Each key is refused once, and the account suspended. A configuration that is read again lets it try again."""
    for vendor in KEYS_REFUSED:
        sandbox.faults.order(Fault(path=f"/{vendor}/*", fault="expired_token", count=1))
    late = [payloads.person(PEOPLE + number) for number in range(5)]
    late += [replace(case, name=f"{case.name}-late").letter() for case in payloads.PRODUCTS[:1]]
    await post_all(gateway.hook, late)
    suspended = len(KEYS_REFUSED)
    await until(lambda: len(gateway.lines("account.suspended")) == suspended, "every account is suspended")
    assert gateway.process is not None
    gateway.config.write_text(gateway.config.read_text() + "\n")
    gateway.process.send_signal(signal.SIGHUP)


# --- the judgement ---------------------------------------------------------------------------------------------------


def _broken(sandbox: Sandbox) -> dict[str, Any]:
    """The rules that were broken, by vendor. Ometria's four requests a second are counted from when they came, as the
    sandbox's own clock stops while this process sends.
    """
    ometria = sandbox.ometria.accounts[OMETRIA_KEY].witness
    found: dict[str, Any] = {"ometria": {rule: n for rule, n in ometria.broken.items() if rule != "rate_limit"}}
    for one in (sandbox.ometria_batch, sandbox.altcraft, sandbox.octolis, sandbox.amperity):
        found[one.name] = dict(one.witness.broken)
    times_s = sorted(visit.at_s for visit in ometria.visits)
    found["too fast"] = [b - a for a, b in zip(times_s, times_s[4:], strict=False) if b - a < JITTER]
    return {name: rules for name, rules in found.items() if rules}


async def _as_without_faults(gateway: Gateway) -> dict[str, list[Record]]:
    """Every event is on each lane what it is when nothing fails: delivered, filtered, or dead for the same reasons.
    Gives the records that were delivered, by destination, in their order.
    """
    setup = app.setup_of(load(gateway.config, app.registry(), {}), 1)
    _, said = await gateway.command("dead", "list")
    dead: defaultdict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    for row in said["dead"]:
        dead[row["destination"], row["seq"]][row["reason"]] += 1
    journal = SqliteJournal(gateway.database)
    wrong: list[Any] = []
    records: defaultdict[str, list[Record]] = defaultdict(list)
    try:
        for seq in range(1, (await journal.head()).seq + 1):
            view = await journal.view(seq)
            assert view is not None
            for lane, state, *_ in view.lanes:
                planned = setup.planner.plan(view.event, setup.destinations[lane.destination], lane.id)
                reasons = Counter(str(death.reason) for death in planned.deaths)
                usual = State.DEAD if reasons else State.DELIVERED if planned.records else State.FILTERED
                if (state, dead[lane.destination, seq]) != (usual, reasons):
                    wrong.append((lane.destination, seq, view.event.topic, state, dead[lane.destination, seq], reasons))
                records[lane.destination].extend(planned.records)
    finally:
        await journal.close()
    assert wrong == []
    assert records.keys() == VENDORS.keys()
    return records


def _name(vendor: str, record: Record) -> str:
    """What the vendor's simulator calls a record."""
    draft = record.draft
    return {
        "ometria": lambda: name_of(draft.data),
        "ometria_batch": lambda: f"products:{draft.key}",
        "altcraft": lambda: f"1:email:{draft.key}",
        "octolis": lambda: f"{draft.channel}:{draft.key}",
        "amperity": lambda: f"{draft.channel}:{draft.data['event_id']}",
    }[vendor]()


def _times(witness: Witness) -> Counter[str]:
    """How often each record was applied."""
    return Counter({name: seen.times for name, seen in witness.received.items()})


def _missing(sandbox: Sandbox, records: Mapping[str, list[Record]]) -> list[tuple[str, str]]:
    """Records that are said to be delivered and never came."""
    others = (sandbox.ometria_batch, sandbox.altcraft, sandbox.octolis, sandbox.amperity)
    received = {one.name: one.witness.received for one in others}
    received["ometria"] = sandbox.ometria.accounts[OMETRIA_KEY].witness.received
    named = ((vendor, _name(vendor, record)) for vendor, some in records.items() for record in some)
    return [(vendor, name) for vendor, name in named if name not in received[vendor]]


def _stale(sandbox: Sandbox, records: Mapping[str, list[Record]]) -> list[tuple[str, str, Any, Any]]:
    """Records that are at a vendor in another state than their last: (vendor, record, expected, found)."""
    held = {
        "ometria": {name: one.document for name, one in sandbox.ometria.accounts[OMETRIA_KEY].stored.items()},
        "ometria_batch": {
            f"products:{key}": item for key, item in sandbox.ometria_batch.catalogue["products.json"].items()
        },
        "altcraft": {f"1:email:{one['email'].lower()}": one for _, one in sandbox.altcraft.databases[1].items()},
        "octolis": {
            f"ds-{entity}:{row[f'{entity}_id']}": row
            for entity in ENTITIES
            if f"ds-{entity}" in sandbox.octolis.datasets
            for row in sandbox.octolis.datasets[f"ds-{entity}"].all_prepared()
        },
    }
    found = []
    for vendor, rows in held.items():
        last = {_name(vendor, record): record.draft.data for record in records[vendor]}
        for name, data in last.items():
            wanted = data["data"] if vendor == "altcraft" else data
            wanted = {key: value for key, value in wanted.items() if not key.startswith("@") and value is not None}
            row = rows.get(name, {})
            if differ := {key: (value, row.get(key)) for key, value in wanted.items() if row.get(key) != value}:
                found.append((vendor, name, data, differ))
    return found
