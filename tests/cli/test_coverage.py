"""`gateway coverage`: what of the stored payloads is read, filled and new. Values are never shown."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway import document
from gateway.journal.sqlite import SqliteJournal
from gateway.model import Group, Offer
from tests.cli.conftest import Run, answer

JSON = (("content-type", "application/json"),)


def order(number: int, **more: Any) -> dict[str, Any]:
    body = {"id": number, "total_price": "12.50", "currency": "GBP", "created_at": "2026-01-02", "admin_note": "wilma"}
    return {**body, "device": {"kind": "phone", "age": 3}, **more}


def body_of(body: Any) -> bytes:
    return body if isinstance(body, bytes) else document.dump(body)


def store(config: Path, *events: tuple[str, str, Any]) -> None:
    offers = tuple(
        Offer(source, topic, 1_767_323_045_000 + place, 0, "POST", "", JSON, body_of(body))
        for place, (source, topic, body) in enumerate(events)
    )

    async def append() -> None:
        journal = SqliteJournal(config.parent / "gateway.db")
        await journal.open()
        await journal.append(Group(b"0123456789abcdef", offers))
        await journal.close()

    asyncio.run(append())


@pytest.fixture
def stocked(config: Path) -> Path:
    """Ten orders, of which the last two are not as the others."""
    orders = [("uk-shop", "orders/create", order(number)) for number in range(1, 9)]
    new = {**order(9, gift=True), "total_price": 12.5}
    del new["device"]
    other = ("erp", "stock.changed", {"id": 1})
    store(config, *orders, *(("uk-shop", "orders/create", new) for _ in range(2)), other)
    return config


def found(run: Run, *words: str) -> Any:
    return answer(run("coverage", "uk-shop", "--json", *words))


@pytest.mark.usefixtures("stocked")
def test_fields_that_no_mapping_reads_are_named_objects_as_one(run: Run) -> None:
    report = found(run)
    (topic,) = report["topics"]
    assert (report["events"], topic["topic"], topic["mapping"]) == (10, "orders/create", "shopify/order")
    unread = {row["path"]: (row["fields"], row["payloads"]) for row in topic["unread"]}
    assert unread == {"admin_note": (1, 10), "device": (2, 8), "gift": (1, 2)}


@pytest.mark.usefixtures("stocked")
def test_what_changed_lately_is_told(run: Run) -> None:
    (topic,) = found(run)["topics"]
    assert {(row["path"], row["change"]) for row in topic["drift"]} == {
        ("gift", "appeared"),
        ("total_price", "changed"),
        ("device", "vanished"),
    }


@pytest.mark.usefixtures("stocked")
def test_what_lately_means_can_be_said(run: Run) -> None:
    (topic,) = found(run, "--since", "2026-01-02T03:04:06Z")["topics"]
    assert (topic["lately"], topic["drift"]) == (0, [])


@pytest.mark.usefixtures("stocked")
def test_fields_that_nothing_fills_are_named_in_the_normal_form_and_in_records(run: Run) -> None:
    report = found(run)
    (normal,) = report["normal"]
    assert normal["entity"] == "order"
    assert {"coupons", "billing_address", "cancelled_at"} < set(normal["unfilled"])
    assert not {"total", "billing_address.city"} & set(normal["unfilled"])
    (crm,) = report["destinations"]
    assert (crm["destination"], crm["entity"], crm["mapping"], crm["records"]) == ("crm", "order", "ometria/order", 10)
    assert "coupon_code" in crm["unfilled"]
    assert "grand_total" not in crm["unfilled"]


@pytest.mark.usefixtures("stocked")
def test_fields_that_a_mapping_of_ones_own_leaves_out_are_not_filled(run: Run, config: Path) -> None:
    text = config.read_text().replace("to: crm", "to: {destination: crm, map: mine}")
    config.write_text(text.replace("routes:", "mappings: {mine: {extends: ometria/order, drop: [store]}}\nroutes:"))
    (crm,) = found(run)["destinations"]
    assert (crm["mapping"], "store" in crm["unfilled"]) == ("mine", True)


@pytest.mark.usefixtures("stocked")
def test_a_topic_that_nothing_normalises_is_passed_on_as_it_is(run: Run) -> None:
    (topic,) = answer(run("coverage", "erp", "--json"))["topics"]
    assert (topic["mapping"], topic["unread"]) == (None, [])


@pytest.mark.usefixtures("stocked")
def test_it_is_told_to_people_without_a_value(run: Run) -> None:
    shown = run("coverage", "uk-shop").stdout
    for text in (
        "10 events of uk-shop",
        "never read: device (2 fields), admin_note, gift",
        "lately gift appeared (boolean)",
        "lately total_price changed (text > number)",
        "crm order by ometria/order: never filled in 10 records: ",
    ):
        assert text in shown
    assert "wilma" not in shown


def test_a_body_that_cannot_be_read_is_passed_over(run: Run, config: Path) -> None:
    store(config, ("uk-shop", "orders/create", b"{broken"), ("uk-shop", "orders/create", order(1)))
    (topic,) = found(run)["topics"]
    assert topic["events"] == 1


@pytest.mark.usefixtures("stocked")
def test_an_unknown_source_is_a_sentence(run: Run) -> None:
    result = run("coverage", "uk-shpo")
    assert (result.exit_code, "did you mean `uk-shop`?" in result.stderr) == (2, True)
