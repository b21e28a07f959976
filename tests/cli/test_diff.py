"""`gateway diff`: stored events under two configurations, and what would change for each destination."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway import document
from gateway.journal.sqlite import SqliteJournal
from gateway.model import Group, Offer
from tests.cli.conftest import Run, answer

JSON = (("content-type", "application/json"),)


def order(number: int, **more: Any) -> tuple[str, str, dict[str, Any]]:
    body = {"id": number, "name": f"#{number}", "total_price": "12.50", "currency": "GBP", "created_at": "2026-01-02"}
    return "uk-shop", "orders/create", {**body, **more}


@pytest.fixture
def new(config: Path) -> Path:
    """The new configuration: the old one, until a test changes it."""
    file = config.with_name("new.yaml")
    file.write_text(config.read_text())
    events = [order(1), order(2), order(3, total_price="5000"), ("erp", "stock.changed", {"id": 1})]
    offers = tuple(
        Offer(source, topic, 1_767_323_045_000, 0, "POST", "", JSON, document.dump(body))
        for source, topic, body in events
    )

    async def append() -> None:
        journal = SqliteJournal(config.parent / "gateway.db")
        await journal.open()
        await journal.append(Group(b"0123456789abcdef", offers))
        await journal.close()

    asyncio.run(append())
    return file


def change(file: Path, *pairs: tuple[str, str]) -> None:
    text = file.read_text()
    for old, replacement in pairs:
        assert old in text
        text = text.replace(old, replacement)
    file.write_text(text)


def found(run: Run, new: Path, *words: str) -> Any:
    return answer(run("diff", "--config", str(new), "--json", *words))


def test_the_same_configuration_changes_nothing(run: Run, new: Path) -> None:
    assert found(run, new) == {"events": 4, "same": 4, "changes": [], "moved": []}
    assert run("diff", "--config", str(new)).stdout == "4 events, 4 the same\n"


def test_a_route_more_is_told_by_what_it_sends(run: Run, new: Path) -> None:
    change(new, ('when: "data.total > `1000`", ', ""))
    (one,) = found(run, new)["changes"]
    assert (one["destination"], one["kind"], one["type"], one["count"]) == ("bin", "added", "order.created", 2)
    assert one["example"].startswith("evt_")


def test_a_route_less_is_told_by_what_it_no_longer_sends(run: Run, new: Path) -> None:
    change(new, ("  - {from: erp, to: bin}\n", ""))
    (one,) = found(run, new)["changes"]
    assert (one["destination"], one["kind"], one["type"], one["count"]) == ("bin", "removed", "stock.changed", 1)


def test_a_changed_mapping_is_told_by_its_fields_once_for_all_events(run: Run, new: Path) -> None:
    change(
        new,
        ("to: crm", "to: {destination: crm, map: mine}"),
        ("routes:", "mappings: {mine: {extends: ometria/order, drop: [web_id], fields: {store: {value: X}}}}\nroutes:"),
    )
    report = found(run, new)
    (one,) = report["changes"]
    assert (one["kind"], one["count"], report["same"]) == ("changed", 3, 1)
    assert {row["path"]: (row["before"], row.get("after", "gone")) for row in one["fields"]} == {
        "web_id": ("#3", "gone"),
        "store": ("uk-shop", "X"),
    }


def test_what_would_die_is_a_no(run: Run, new: Path) -> None:
    change(
        new,
        ("to: crm", "to: {destination: crm, map: mine}"),
        ("routes:", "mappings: {mine: {extends: ometria/order, fields: {x: {from: data.y, required: true}}}}\nroutes:"),
    )
    result = run("diff", "--config", str(new))
    assert result.exit_code == 1
    assert "    3  order.created would be dead: mapping_failed: mine: x: required" in result.stdout


def test_a_destination_that_is_renamed_is_the_same(run: Run, new: Path) -> None:
    change(new, ("bin: {vendor: http,", "dustbin: {vendor: http, was: [bin],"), ("to: bin", "to: dustbin"))
    assert found(run, new)["same"] == 4


def test_requests_that_go_elsewhere_are_told(run: Run, new: Path) -> None:
    change(new, ("https://example.com/in", "https://example.com/out"))
    report = found(run, new)
    assert report["same"] == 4
    assert report["moved"] == [
        {"destination": "bin", "before": "POST https://example.com/in", "after": "POST https://example.com/out"}
    ]


def test_a_source_that_is_gone_sends_nothing(run: Run, new: Path) -> None:
    text = new.read_text()
    start, end = text.index("  erp:"), text.index("destinations:")
    new.write_text((text[:start] + text[end:]).replace("  - {from: erp, to: bin}\n", ""))
    (one,) = found(run, new)["changes"]
    assert (one["kind"], one["type"]) == ("removed", "stock.changed")


def test_only_the_last_events_of_a_source_may_be_looked_at(run: Run, new: Path) -> None:
    assert found(run, new, "--last", "1")["events"] == 1
    assert found(run, new, "--source", "erp")["events"] == 1


def test_a_faulty_configuration_is_told_and_nothing_is_run(run: Run, new: Path) -> None:
    new.write_text("receivr: {}\n")
    result = run("diff", "--config", str(new))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "unknown key `receivr`" in result.stderr


def test_a_difference_shows_a_value_before_and_after(run: Run, new: Path) -> None:
    change(
        new,
        ("to: crm", "to: {destination: crm, map: mine}"),
        ("routes:", "mappings: {mine: {extends: ometria/order, fields: {store: {value: X}}}}\nroutes:"),
    )
    lines = [line.strip() for line in run("diff", "--config", str(new)).stdout.splitlines()]
    assert lines[2:5] == ["crm", "3  order.created would change: store", 'store: "uk-shop" > "X"']
