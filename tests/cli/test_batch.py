"""`gateway batch full`: the catalogue as the journal knows it, at the simulated Batch API."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway import app, document
from gateway.cli import gateway
from gateway.model import Group, LaneSpec, Offer
from gateway.sandbox.faults import Fault
from tests.cli.conftest import answer
from tests.cli.test_asking import Vendors

AT_MS = 1_767_323_045_000  # 2026-01-02T03:04:05Z
CONFIG = """
journal: {{url: "sqlite:///{folder}/gateway.db"}}
sources: {{uk-shop: {{preset: shopify, secrets: [s], currency: GBP}}}}
destinations:
  catalogue:
    vendor: ometria_batch
    base_url: {url}/ometria_batch
    api_key: "id-1:${{BATCH_SECRET}}"
    domain_key: acme
    location_key: eu
    poll: 100ms
  crm: {{vendor: ometria, base_url: "{url}/ometria/v2", api_key: k}}
routes: [{{to: [catalogue, crm]}}]
"""


@pytest.fixture(scope="module")
def vendors() -> Iterator[Vendors]:
    with Vendors() as vendors:
        yield vendors


@pytest.fixture
def config(vendors: Vendors, tmp_path: Path) -> Path:
    vendors.sandbox.faults.clear()
    vendors.sandbox.ometria_batch.reset()
    vendors.sandbox.ometria_batch.adjust({"process_s": 0.2, "failing": False})
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG.format(url=vendors.url, folder=tmp_path))
    return file


def run(config: Path, *words: str) -> Result:
    result = CliRunner().invoke(
        gateway, ["batch", "full", *words, "--config", str(config)], env={"BATCH_SECRET": "dune"}
    )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def product(number: int, title: str, minute: int = 0) -> dict[str, Any]:
    at = f"2026-01-02T03:{minute:02}:00Z"
    variants = [{"id": 10 * number, "price": "9.50", "sku": f"S{number}"}]
    return {"id": number, "title": title, "status": "active", "updated_at": at, "variants": variants}


def stored(config: Path, *events: tuple[str, dict[str, Any]]) -> None:
    """A journal that holds these events."""

    async def fill() -> None:
        journal = app.open_journal(f"sqlite:///{config.parent}/gateway.db", create=True)
        await journal.open()
        await journal.register([LaneSpec("uk-shop", "catalogue")])
        headers = (("x-shopify-shop-domain", "a.myshopify.com"),)
        offers = [Offer("uk-shop", topic, AT_MS, 0, "POST", "", headers, document.dump(body)) for topic, body in events]
        await journal.append(Group(bytes(16), tuple(offers)))
        await journal.close()

    asyncio.run(fill())


def test_the_newest_state_of_every_product_is_the_whole_catalogue(config: Path, vendors: Vendors) -> None:
    stored(
        config,
        ("products/create", product(1, "A jumper")),
        ("products/create", product(2, "A scarf")),
        ("products/update", product(1, "A red jumper", 5)),
        ("products/update", product(1, "An old jumper", 3)),
        ("products/delete", {"id": 2}),
        ("customers/create", {"id": 5, "email": "ada@example.com"}),
    )
    said = answer(run(config, "catalogue", "--json"))
    batch = vendors.sandbox.ometria_batch
    (receipt,) = batch.view()["receipts"]
    assert (said["products"], said["delivered"], said["refused"]) == (2, 2, [])
    assert (receipt["receipt"], receipt["type"], receipt["state"]) == (said["receipt"], "full", "completed")
    held = {one["id"]: one for one in batch.view()["catalogue"]["products.json"]}
    assert "A red jumper" in document.dump(held["1"]).decode()
    assert held["2"]["enabled"] is False
    assert dict(batch.witness.broken) == {}


def test_its_progress_goes_to_the_other_stream(config: Path) -> None:
    stored(config, ("products/create", product(1, "A jumper")))
    result = run(config, "catalogue")
    assert result.stdout == "1 products, 1 delivered, 0 refused\n"
    for text in ("1 of 1 events read, 1 products", "uploading 1 products", "process ", "report "):
        assert text in result.stderr


def test_a_dry_run_counts_and_sends_nothing(config: Path, vendors: Vendors) -> None:
    stored(config, ("products/create", product(1, "A jumper")))
    assert answer(run(config, "catalogue", "--dry-run", "--json"))["products"] == 1
    assert vendors.sandbox.ometria_batch.witness.statuses.total() == 0


def test_what_ometria_refuses_exits_with_1_and_its_words(config: Path, vendors: Vendors) -> None:
    stored(config, ("products/create", product(1, "A jumper")))
    vendors.sandbox.faults.order(Fault(path="/ometria_batch/*", fault="expired_token"))
    result = run(config, "catalogue")
    assert result.exit_code == 1
    assert "1: key_refused: 401" in result.stdout
    assert "dune" not in result.output


def test_another_vendors_destination_is_wrong_use(config: Path) -> None:
    result = run(config, "crm")
    assert (result.exit_code, "ometria_batch" in result.stderr) == (2, True)
