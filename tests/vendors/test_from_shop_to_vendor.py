"""From a shop's payload to a vendor's record: normalised, routed, mapped by the packs that ship, batched by the
vendor's rules, and sent to its simulator, which was written from its documentation and notes every rule that is broken.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway import app, document
from gateway.config.load import load
from gateway.deliver.plan import Death, Destination, Setup
from gateway.model import Event
from gateway.sandbox import samples
from gateway.vendors.base import Batch, BatchRules, Delivered, Outcome, Record
from gateway.vendors.ometria import Ometria
from tests.vendors.test_against_the_sandbox import ORIGIN, World

AT_MS = 1_767_323_045_000  # 2026-01-02T03:04:05Z
OF_EACH = 3
ENTITIES = ("customer", "order", "product", "cart", "refund", "fulfillment")
ALTCRAFT = {"vendor": "altcraft", "base_url": f"{ORIGIN}/altcraft", "token": "t-1", "db_id": 1}
OMETRIA = {"vendor": "ometria", "base_url": f"{ORIGIN}/ometria/v2", "api_key": "k-1"}

DESTINATIONS: Mapping[str, dict[str, Any]] = {
    "ometria": OMETRIA,
    "ometria-all": {**OMETRIA, "collection": "uk-shop", "force_optin": True, "variants": True, "gdpr": True},
    "ometria_batch": {
        "vendor": "ometria_batch",
        "base_url": f"{ORIGIN}/ometria_batch",
        "api_key": "id-1:s-1",
        "domain_key": "acme",
        "location_key": "eu",
    },
    "altcraft": ALTCRAFT,
    "altcraft-xml": {**ALTCRAFT, "content": "xml"},
    "octolis": {
        "vendor": "octolis",
        "base_url": f"{ORIGIN}/octolis/v1/data",
        "api_key": "k-1",
        "datasets": {entity: {"id": f"ds-{entity}", "keys": [f"{entity}_id"]} for entity in ENTITIES},
    },
    "amperity": {
        "vendor": "amperity",
        "base_url": f"{ORIGIN}/amperity",
        "tenant": "acme",
        "client_id": "id-1",
        "client_secret": "s-1",
        "streams": {entity: f"is-{entity}" for entity in ENTITIES},
    },
    "http": {"vendor": "http", "url": f"{ORIGIN}/sink"},
    "http-places": {"vendor": "http", "url": f"{ORIGIN}/sink/{{type}}", "batch": {"records": 50}},
}

each_destination = pytest.mark.parametrize("name", DESTINATIONS)


def destination_of(name: str, preset: str, folder: Path) -> tuple[Setup, Destination]:
    """A destination as a configuration of its own sets it up, every event of one shop routed there. Nothing is received
    here, so that no platform's credentials are asked for.
    """
    file = folder / "gateway.yaml"
    whole = {
        "sources": {"shop": {"preset": preset, "currency": "GBP", "country": "GB"}},
        "destinations": {name: DESTINATIONS[name]},
        "routes": [{"to": [name]}],
    }
    file.write_bytes(document.dump(whole))
    setup = app.setup_of(load(file, replace(app.registry(), checks=()), {}), 1)
    return setup, setup.destinations[name]


def events(preset: str = "shopify") -> Iterator[Event]:
    """Some of each of the sandbox's payloads of a platform, as accepted events."""
    topics = dict.fromkeys(samples.sample(preset, name, now_ms=AT_MS).topic for name in samples.names(preset))
    for seq, topic in enumerate((topic for topic in topics for _ in range(OF_EACH)), start=1):
        number = 1 + (seq - 1) % OF_EACH
        yield Event(
            seq=seq,
            id=f"evt_{seq}",
            source="shop",
            topic=topic,
            received_at_ms=AT_MS,
            revision=1,
            method="POST",
            query="",
            headers=(("x-shopify-shop-domain", "northlight-demo.myshopify.com"),),
            body=samples.sample(preset, topic, now_ms=AT_MS + seq * 1000, number=number).body,
        )


def planned(name: str, folder: Path, preset: str = "shopify") -> tuple[Destination, list[Record], list[Death]]:
    setup, destination = destination_of(name, preset, folder)
    found = [setup.planner.plan(event, destination, lane=1) for event in events(preset)]
    records = [record for one in found for record in one.records]
    return destination, records, [death for one in found for death in one.deaths]


def batches(destination: Destination, records: Sequence[Record]) -> Iterator[Batch]:
    """The records in order, as full as a request may be."""
    waiting: dict[str, list[Record]] = {}
    for record in records:
        some = waiting.setdefault(record.draft.channel, [])
        if some and not fits(record, some, destination.rules):
            yield batch_of(destination, some)
            some.clear()
        some.append(record)
    yield from (batch_of(destination, some) for some in waiting.values())


def fits(record: Record, some: Sequence[Record], rules: BatchRules) -> bool:
    if len(some) >= rules.records or record.draft.alone or some[-1].draft.alone:
        return False
    if sum(one.size + 1 for one in (*some, record)) > rules.body_bytes:
        return False
    return not rules.one_per_key or all(one.draft.key_hash != record.draft.key_hash for one in some)


def batch_of(destination: Destination, some: Sequence[Record]) -> Batch:
    return Batch(destination.name, some[0].draft.channel, tuple(some), AT_MS)


async def delivered(world: World, destination: Destination, records: Sequence[Record]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for batch in batches(destination, records):
        verdict = await world.deliver(destination.vendor, batch)
        outcomes += verdict.outcomes
        world.clock.move(1.0)
    return outcomes


def breaches(world: World, vendor: str) -> list[Any]:
    view = world.sandbox.simulators["sink" if vendor == "http" else vendor].view()
    return [breach for one in view.get("accounts", [view]) for breach in one["breaches"]["latest"]]


@each_destination
async def test_every_payload_is_a_record_that_the_vendor_takes_and_no_rule_is_broken(name: str, tmp_path: Path) -> None:
    destination, records, deaths = planned(name, tmp_path)
    world = World()
    outcomes = await delivered(world, destination, records)
    assert deaths == []
    assert len(records) >= OF_EACH
    assert len(outcomes) == len(records)
    assert [outcome for outcome in outcomes if not isinstance(outcome, Delivered)] == []
    assert breaches(world, destination.vendor.name) == []


@pytest.mark.parametrize("preset", sorted(samples.SAMPLES))
async def test_every_platforms_payloads_are_taken_by_every_vendor(preset: str, tmp_path: Path) -> None:
    for name in ("ometria-all", "altcraft", "octolis", "amperity", "http"):
        destination, records, deaths = planned(name, tmp_path, preset)
        # Taking a product off sale that was never put on it is right, and means nothing to Ometria.
        known = [record for record in records if not record.event_type.endswith(".deleted")]
        world = World()
        outcomes = await delivered(world, destination, known)
        assert deaths == [], name
        assert [outcome for outcome in outcomes if not isinstance(outcome, Delivered)] == [], name
        assert breaches(world, destination.vendor.name) == [], name


@pytest.mark.parametrize("name", ["ometria", "ometria-all"])
async def test_ometria_has_nothing_to_say_of_records_that_it_took_unseen(name: str, tmp_path: Path) -> None:
    destination, records, _ = planned(name, tmp_path)
    world = World()
    await delivered(world, destination, records)
    world.clock.move(600.0)
    assert isinstance(destination.vendor, Ometria)
    answer = await world.send(destination.vendor.errors())
    assert (answer.status, document.parse(answer.body)) == (200, [])


@each_destination
def test_every_record_says_which_event_it_comes_from(name: str, tmp_path: Path) -> None:
    _, records, _ = planned(name, tmp_path)
    assert {record.event_id.partition(".")[0] for record in records} <= {event.id for event in events()}
    assert len({(record.seq, record.part) for record in records}) == len(records)


@each_destination
def test_no_record_waits_for_one_of_another_key(name: str, tmp_path: Path) -> None:
    _, records, _ = planned(name, tmp_path)
    assert len({record.draft.key_hash for record in records}) == len({record.draft.part for record in records})


@pytest.mark.parametrize(("name", "packs"), [("ometria", {"ometria/order", "ometria/customer"}), ("http", {""})])
def test_a_record_tells_which_mapping_made_it(name: str, packs: set[str], tmp_path: Path) -> None:
    _, records, _ = planned(name, tmp_path)
    assert packs <= {record.mapping for record in records}
