"""`gateway test`: cases beside the configuration, and one recorded from a stored event."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from gateway import document
from gateway.cli.comparing import ABSENT, compare
from gateway.journal.sqlite import SqliteJournal
from gateway.model import Group, Offer
from tests.cli.conftest import ENV, Run, answer

ORDER = """
- name: an order is a sale
  source: uk-shop
  topic: orders/create
  payload: {id: 5, name: "#5", total_price: "12.50", currency: GBP, created_at: "2026-01-02T03:04:05Z"}
  expect: EXPECT
"""


DATA = "{id: '5', number: '#5', currency: GBP, total: 12.5, placed_at: '2026-01-02T03:04:05Z'}"


def write(config: Path, text: str, name: str = "orders.yaml") -> Path:
    file = config.parent / "tests" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file


def expecting(config: Path, expect: str) -> Path:
    return write(config, ORDER.replace("EXPECT", expect))


@pytest.mark.parametrize(
    "expect",
    [
        "{outcome: delivered}",
        "{event: {type: order.created, subject: '5'}}",
        "{event: {data: {total: 12.5, currency: GBP}}}",
        "{events: [{data: {number: '#5'}}]}",
        "{records: {crm: {'@type': order, grand_total: 12.50}}}",
        "{records: {crm: [{id: '5'}], bin: null}}",
        "{absent: [event.data.phone, 'records.crm[0].discount', records.bin]}",
        "{exact: true, event: {data: " + DATA + "}}",
    ],
)
def test_what_is_as_expected_is_ok(run: Run, config: Path, expect: str) -> None:
    expecting(config, expect)
    result = run("test")
    assert (result.exit_code, result.stdout.startswith("ok  an order is a sale  ")) == (0, True)


@pytest.mark.parametrize(
    ("expect", "path", "expected", "found"),
    [
        ("{outcome: filtered}", "outcome", "filtered", "delivered"),
        ("{event: {type: order.paid}}", "event.type", "order.paid", "order.created"),
        ("{event: {data: {total: 13}}}", "event.data.total", 13, 12.5),
        ("{event: {data: {total: '12.50'}}}", "event.data.total", "12.50", 12.5),
        ("{records: {crm: null}}", "records.crm[0]", None, {}),
        ("{records: {bin: {id: '5'}}}", "records.bin[0]", {"id": "5"}, None),
        ("{absent: event.data.total}", "event.data.total", None, 12.5),
        ("{dead: {crm: incomplete}}", "dead.crm", "incomplete", None),
        ("{exact: true, records: {bin: null}}", "records.crm[0]", None, {}),
    ],
)
def test_what_is_not_as_expected_is_told(
    run: Run, config: Path, expect: str, path: str, expected: Any, found: Any
) -> None:
    expecting(config, expect)
    result = run("test", "--json")
    assert result.exit_code == 1
    (case,) = answer(result)["cases"]
    (difference,) = case["differences"]
    assert (case["ok"], difference["path"], difference.get("expected")) == (False, path, expected)
    told = difference.get("found")
    assert (type(told) is dict) if found == {} else told == found


def test_a_difference_is_shown_as_what_was_expected_and_what_was_found(run: Run, config: Path) -> None:
    expecting(config, "{event: {data: {total: 13, email: x}}}")
    lines = [line.strip() for line in run("test").stdout.splitlines()]
    assert lines[2:8] == ["event.data.total", "- 13", "+ 12.50", "event.data.email", '- "x"', "+ (nothing)"]
    assert lines[-1].startswith("1 cases, 1 not as expected")


def test_a_death_that_is_not_expected_is_told(run: Run, config: Path) -> None:
    write(config, ORDER.replace("12.50", "a lot").replace("EXPECT", "{event: {type: order.created}}"))
    paths = [one["path"] for one in answer(run("test", "--json"))["cases"][0]["differences"]]
    assert paths == ["event", "dead.*"]


def test_a_death_can_be_expected(run: Run, config: Path) -> None:
    write(config, ORDER.replace("12.50", "a lot").replace("EXPECT", "{dead: {'*': 'shopify/order: total'}}"))
    assert run("test").exit_code == 0


def test_without_a_topic_the_payload_goes_through_the_door(run: Run, config: Path) -> None:
    case = (
        "- {name: in, source: erp, headers: {X-Event-Type: stock.changed}, payload: {id: 1}, expect:"
        " {event: {type: stock.changed}, records: {bin: {data: {id: 1}}}}}\n"
        "- {name: out, source: erp, payload: '{broken', expect: {rejected: body_unreadable}}\n"
    )
    write(config, case)
    assert [row["ok"] for row in answer(run("test", "--json"))["cases"]] == [True, True]


def test_a_payload_may_be_a_file_beside_the_case(run: Run, config: Path) -> None:
    write(config, '{"id": 7, "currency": "GBP", "total_price": "1", "created_at": "2026-01-02"}', "order.json")
    write(config, "- {name: f, source: uk-shop, topic: orders/paid, file: order.json, expect: {event: {subject: '7'}}}")
    assert run("test").exit_code == 0


def test_cases_need_no_secrets(run: Run, config: Path) -> None:
    expecting(config, "{outcome: delivered}")
    bare = dict.fromkeys(ENV)
    assert run("check", env=bare).exit_code == 1
    assert run("test", env=bare).exit_code == 0


def test_a_file_has_cases_of_its_own_name(run: Run, config: Path) -> None:
    expecting(config, "{outcome: dead}")
    write(config, ORDER.replace("EXPECT", "{outcome: delivered}"), "gateway.yaml")
    assert len(answer(run("test", "--json"))["cases"]) == 1
    assert run("test", str(config.parent / "tests")).exit_code == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- {nam: x, source: uk-shop, expect: {}}", "1:4: nam: unknown key `nam` (did you mean `name`?)"),
        ("name: x", "1:1: (top level): a list of cases is wanted"),
        (
            "- {name: x, source: uk-shpo, topic: t, expect: {}}",
            "there is no source `uk-shpo` (did you mean `uk-shop`?)",
        ),
        ("- {name: x, source: erp, topic: t, file: no.json, expect: {}}", "no such file or directory"),
        ("- {name: x, source: erp, received_at: '2026-01-01', expect: {}}", "a time with its zone is wanted"),
        ("- {name: [", "1:"),
        ("- 5", "1:3: (top level): "),
    ],
)
def test_a_mistake_in_a_case_has_a_place(run: Run, config: Path, text: str, said: str) -> None:
    file = write(config, text)
    result = run("test")
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert str(file) in result.stderr


def test_no_cases_are_wrong_use(run: Run) -> None:
    result = run("test")
    assert result.exit_code == 2
    assert "there are no cases" in result.stderr


# --- comparing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "found", "paths"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, []),
        ([{"a": 1}], [{"a": 1, "b": 2}], []),
        ([1], [1, 2], ["it[1]"]),
        ([1, 2], [1], ["it[1]"]),
        (1, 1.0, []),
        (1, True, ["it"]),
        (0, False, ["it"]),
        ("1", 1, ["it"]),
        (None, ABSENT, ["it"]),
        (None, None, []),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ["it.a.b"]),
    ],
)
def test_objects_may_hold_more_and_lists_may_not(expected: Any, found: Any, paths: list[str]) -> None:
    assert [one.path for one in compare("it", expected, found, exact=False)] == paths


def test_exactly_means_nothing_more() -> None:
    assert [one.path for one in compare("it", {"a": {}}, {"a": {"b": 2}, "c": 3}, exact=True)] == ["it.a.b", "it.c"]


# --- recording -------------------------------------------------------------------------------------------------------

BODY = {
    "id": 820982911946154508,
    "total_price": "12.50",
    "currency": "GBP",
    "created_at": "2026-01-02T03:04:05Z",
    "email": "wilma@harbour.example",
    "customer": {"id": 3, "first_name": "Wilma", "last_name": "Flint", "note": "NO"},
}


def stored(
    folder: Path, body: bytes, media: str = "application/json", topic: str = "orders/create", of: str | None = None
) -> str:
    """The id of an event in the journal."""
    headers = (("content-type", media), ("x-shopify-hmac-sha256", "c2ln"), ("x-shopify-shop-domain", "uk.example"))
    offer = Offer("uk-shop", topic, 1_767_323_045_000, 0, "POST", "", headers, body, derived_from=of)

    async def append() -> str:
        journal = SqliteJournal(folder / "gateway.db")
        await journal.open()
        (receipt,) = await journal.append(Group(b"0123456789abcdef", (offer,)))
        await journal.close()
        return receipt.id

    return asyncio.run(append())


def test_a_case_is_recorded_from_a_stored_event_and_passes(run: Run, config: Path) -> None:
    id_ = stored(config.parent, document.dump(BODY))
    result = run("test", "--record", id_)
    file = config.parent / "tests" / "uk-shop-orders-create-1.yaml"
    assert (result.exit_code, str(file) in result.stdout) == (0, True)
    text = file.read_text()
    assert id_ in text.splitlines()[0]
    assert not [word for word in ("wilma", "flint", "hmac") if word in text.lower()]
    (case,) = YAML(typ="safe", pure=True).load(text)
    assert case["payload"]["id"] == BODY["id"]
    assert "derived" not in case
    assert case["expect"]["records"]["crm"][0]["customer"]["email"] == "person1@example.com"
    assert run("test").exit_code == 0


def test_what_a_look_up_found_is_recorded_as_such(run: Run, config: Path) -> None:
    file = config.parent / "tests" / "uk-shop-orders-create-1.yaml"
    assert run("test", "--record", stored(config.parent, document.dump(BODY), of="evt_thin")).exit_code == 0
    (case,) = YAML(typ="safe", pure=True).load(file.read_text())
    assert case["derived"] is True
    assert run("test").exit_code == 0


def test_another_recording_goes_behind_the_first(run: Run, config: Path) -> None:
    id_ = stored(config.parent, document.dump(BODY))
    into = config.parent / "tests" / "all.yaml"
    for _ in range(2):
        assert run("test", "--record", id_, "--into", str(into)).exit_code == 0
    assert len(answer(run("test", "--json"))["cases"]) == 2


def test_a_form_is_recorded_as_a_text(run: Run, config: Path) -> None:
    body = b"id=7&email=wilma%40harbour.example"
    id_ = stored(config.parent, body, "application/x-www-form-urlencoded", "stock/changed")
    assert run("test", "--record", id_).exit_code == 0
    (case,) = YAML(typ="safe", pure=True).load(next((config.parent / "tests").iterdir()).read_text())
    assert case["payload"] == "id=7&email=person1%40example.com"
    assert run("test").exit_code == 0


def test_what_cannot_be_looked_through_is_not_recorded(run: Run, config: Path) -> None:
    id_ = stored(config.parent, b"<order/>", "text/xml")
    result = run("test", "--record", id_)
    assert (result.exit_code, "neither JSON nor a form" in result.stderr) == (2, True)


def test_an_unknown_event_is_a_sentence(run: Run, config: Path) -> None:
    stored(config.parent, b"{}")
    for id_ in ("evt_nonsense", "evt_0000000000014or4clj0"):
        result = run("test", "--record", id_)
        assert (result.exit_code, "there is no event" in result.stderr) == (2, True)
