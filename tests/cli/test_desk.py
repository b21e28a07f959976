"""What the journal holds, by command: audit, lanes, dead, events, rejected, backup."""

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from gateway import app
from gateway.journal.base import Journal
from gateway.model import (
    Attempt,
    Counts,
    Group,
    LaneSettle,
    LaneSpec,
    Offer,
    ParkedRow,
    Rejection,
    Settlement,
    State,
)
from tests.cli.conftest import ENV, Run, answer

NOON_MS = 1_768_392_000_000  # 2026-01-14T12:00:00Z
LANE_KEYS = {"source", "destination", "cursor", "waiting", "balanced"}
STATES = {"delivered", "filtered", "superseded", "parked", "dead", "discarded"}


def offer(topic: str, body: bytes) -> Offer:
    headers = (("content-type", "application/json"),)
    return Offer("uk-shop", topic, NOON_MS, 1, "POST", "", headers, body)


def lost(seq: int, number: int) -> ParkedRow:
    """A record that was given up."""
    return ParkedRow(
        seq=seq,
        part=f"order:{number}",
        channel="order",
        key=bytes(15) + bytes([number]),
        state=State.DEAD,
        attempt=3,
        due_at_ms=NOON_MS,
        first_failed_at_ms=NOON_MS,
        at_ms=NOON_MS + 5000,
        reason="gave_up" if number % 2 else "record_refused",
        detail="HTTP 422",
        answer=b'{"error": "no"}',
        record=b'{"id": "A-1"}',
    )


async def filled(journal: Journal) -> None:
    """Five orders: two delivered, two dead, one that waits. One refused request."""
    bodies = [b'{"id": %d, "currency": "GBP", "total_price": "9.50"}' % number for number in range(1, 6)]
    refused = Rejection("uk-shop", NOON_MS, "signature_wrong", "", "POST", "203.0.113.9", (("x-a", "b"),), b"{}")
    await journal.append(Group(b"g" * 16, tuple(offer("orders/create", body) for body in bodies), (refused,)))
    lane, _ = await journal.register([LaneSpec("uk-shop", "crm", start_seq=0), LaneSpec("uk-shop", "bin", start_seq=5)])
    lease = await journal.claim("account", "me", None)
    assert lease is not None
    sent = tuple(Attempt(seq, f"order:{seq}", "delivered", 202, 40) for seq in (1, 2))
    settle = LaneSettle(
        lane.id, lane.version, 4, (), Counts(delivered=2), parked=(lost(3, 3), lost(4, 4)), attempts=sent
    )
    await journal.settle(Settlement(lease, NOON_MS + 5000, (settle,), config="0123456789ab"))


@pytest.fixture
def journal(config: Path) -> Callable[[Callable[[Journal], Awaitable[None]]], None]:
    """Do something to the configuration's journal."""

    def use(what: Callable[[Journal], Awaitable[None]]) -> None:
        async def opened() -> None:
            one = app.open_journal(app.load_config(config, ENV).config.journal.url)
            await one.open()
            try:
                await what(one)
            finally:
                await one.close()

        asyncio.run(opened())

    return use


@pytest.fixture(autouse=True)
def _filled(journal: Callable[[Callable[[Journal], Awaitable[None]]], None]) -> None:
    journal(filled)


# --- audit and lanes -------------------------------------------------------------------------------------------------


def test_audit_says_that_the_books_balance(run: Run) -> None:
    result = run("audit", "--json")
    found = answer(result)
    assert (result.exit_code, found["balanced"]) == (0, True)
    crm = next(lane for lane in found["lanes"] if lane["destination"] == "crm")
    assert crm.keys() >= LANE_KEYS | STATES
    assert [crm[name] for name in ("cursor", "waiting", "delivered", "dead")] == [4, 1, 2, 2]


def test_elsewhere_than_on_a_terminal_tables_are_aligned_lines(run: Run) -> None:
    lines = run("audit").stdout.splitlines()
    assert lines[0].split()[:4] == ["SOURCE", "DESTINATION", "CURSOR", "WAITING"]
    assert lines[0].rstrip().endswith("BALANCED")
    assert any(line.split()[:6] == ["uk-shop", "crm", "4", "1", "2", "0"] for line in lines[1:])
    assert len({line.index("uk-shop") for line in lines[1:]}) == 1


def test_lanes_of_an_account_are_paused(run: Run, config: Path) -> None:
    account = app.destinations_of(app.load_config(config, ENV))["crm"].account
    assert run("lanes", "pause", "--account", "no-such").exit_code == 1
    assert run("lanes", "pause", "--account", account).stdout == "paused uk-shop/crm\n"
    assert [lane["paused"] for lane in answer(run("lanes", "list", "--json"))["lanes"]] == [True, False]


def test_lanes_list_says_until_when_a_lane_is_quiet(run: Run, config: Path) -> None:
    quiet = "{vendor: ometria, quiet: [mon-sat UTC, 'sun 00:00-23:59 UTC'],"
    config.write_text(config.read_text().replace("{vendor: ometria,", quiet))
    crm, other = answer(run("lanes", "list", "--json"))["lanes"]
    assert (crm["quiet_until"][10:], other["quiet_until"]) == ("T23:59:00.000Z", None)
    assert "quiet until" in run("lanes", "list").stdout


def test_lanes_list_has_the_same_rows_with_lag_and_pause(run: Run) -> None:
    crm, other = answer(run("lanes", "list", "--json"))["lanes"]
    assert LANE_KEYS | STATES | {"paused", "lag_seconds"} <= crm.keys()
    assert (crm["destination"], crm["paused"], crm["balanced"]) == ("crm", False, True)
    assert crm["lag_seconds"] > 0
    assert (other["waiting"], other["lag_seconds"]) == (0, 0)


@pytest.mark.parametrize("words", [["crm"], ["uk-shop/crm"], ["uk-shop", "crm"], ["--destination", "crm"]])
def test_a_lane_is_paused_and_resumed_by_name(run: Run, words: list[str]) -> None:
    assert run("lanes", "pause", *words).stdout == "paused uk-shop/crm\n"
    assert [lane["paused"] for lane in answer(run("lanes", "list", "--json"))["lanes"]] == [True, False]
    assert run("lanes", "resume", *words).exit_code == 0
    assert [lane["paused"] for lane in answer(run("lanes", "list", "--json"))["lanes"]] == [False, False]


def test_yaml_pauses_a_lane_as_well(run: Run, config: Path) -> None:
    config.write_text(config.read_text().replace("collection: uk-shop", "collection: uk-shop, paused: true"))
    assert [lane["paused"] for lane in answer(run("lanes", "list", "--json"))["lanes"]] == [True, False]


def test_a_lane_whose_destination_is_gone_is_orphaned(run: Run, config: Path) -> None:
    config.write_text(config.read_text().replace("  crm:", "  crm2:").replace("to: crm}", "to: crm2}"))
    assert [lane["orphaned"] for lane in answer(run("lanes", "list", "--json"))["lanes"]] == [True, False]
    assert "orphaned" in run("lanes", "list").stdout


def test_what_waits_is_skipped_and_the_books_still_balance(run: Run) -> None:
    assert run("lanes", "skip", "crm").exit_code == 0
    found = answer(run("audit", "--json"))
    crm = next(lane for lane in found["lanes"] if lane["destination"] == "crm")
    assert (crm["waiting"], crm["discarded"], found["balanced"]) == (0, 1, True)


def test_a_lane_is_ended(run: Run) -> None:
    assert run("lanes", "end", "crm", "--yes").exit_code == 0
    assert "ended" in run("lanes", "list").stdout
    assert answer(run("audit", "--json"))["balanced"] is True


def test_an_unknown_lane_changes_nothing(run: Run) -> None:
    result = run("lanes", "pause", "crm", "crn")
    assert result.exit_code == 1
    assert "there is no such lane" in result.stderr
    assert not any(lane["paused"] for lane in answer(run("lanes", "list", "--json"))["lanes"])


def test_no_lane_named_is_wrong_use(run: Run) -> None:
    assert run("lanes", "pause").exit_code == 2


# --- dead letters ----------------------------------------------------------------------------------------------------


def letters(run: Run, *words: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = answer(run("dead", "list", "--json", *words))["dead"]
    return found


def test_dead_letters_are_listed_and_filtered(run: Run) -> None:
    first, second = letters(run)
    keys = {"id", "event_id", "seq", "source", "destination", "part", "reason", "detail", "attempts", "at"}
    assert keys <= first.keys()
    assert (first["seq"], second["seq"], first["attempts"]) == (3, 4, 3)
    assert first["at"] == "2026-01-14T12:00:05.000Z"
    assert [letter["seq"] for letter in letters(run, "--reason", "gave_up")] == [3]
    assert letters(run, "--destination", "bin") == []
    assert len(letters(run, "--limit", "1")) == 1


def test_a_dead_letter_is_shown_whole(run: Run) -> None:
    name = str(letters(run)[0]["id"])
    (shown,) = answer(run("dead", "show", name, "--json"))["dead"]
    assert (shown["answer"], shown["record"]) == ('{"error": "no"}', {"id": "A-1"})
    assert '"A-1"' in run("dead", "show", name).stdout
    assert run("dead", "show", "nothing").exit_code == 1


def test_a_dry_run_counts_by_reason_and_changes_nothing(run: Run) -> None:
    head, *rows, last = run("dead", "retry", "--all", "--dry-run").stdout.splitlines()
    assert head.split() == ["REASON", "SOURCE", "DESTINATION", "LETTERS", "FIRST", "LAST"]
    assert {tuple(row.split()[:4]) for row in rows} == {
        ("gave_up", "uk-shop", "crm", "1"),
        ("record_refused", "uk-shop", "crm", "1"),
    }
    assert last == "2 dead letters would be retried"
    at = "2026-01-14T12:00:05.000Z"
    group = {
        "reason": "gave_up",
        "source": "uk-shop",
        "destination": "crm",
        "letters": 1,
        "first_at": at,
        "last_at": at,
    }
    found = answer(run("dead", "discard", "--reason", "gave_up", "--dry-run", "--json"))
    assert found == {"dead": 1, "dry_run": True, "groups": [group]}
    assert run("dead", "discard", "--reason", "timeout", "--dry-run").stdout == "0 dead letters would be discarded\n"
    assert len(letters(run)) == 2


def test_dead_letters_are_retried_by_id(run: Run) -> None:
    name = str(letters(run)[0]["id"])
    assert run("dead", "retry", name).stdout == "retried 1 dead letter\n"
    assert [letter["seq"] for letter in letters(run)] == [4]
    assert answer(run("audit", "--json"))["balanced"] is True


def test_dead_letters_are_retried_even_over_newer_states_when_told_so(run: Run, config: Path) -> None:
    name = str(letters(run)[0]["id"])
    assert run("dead", "retry", name, "--every-state").stdout == "retried 1 dead letter\n"
    with closing(sqlite3.connect(config.parent / "gateway.db")) as db:
        assert db.execute("SELECT every_state FROM parked WHERE state = 'parked' AND record IS NULL").fetchall() == [
            (1,)
        ]
    assert run("dead", "discard", "--all", "--every-state").exit_code == 2


def test_dead_letters_are_discarded_by_filter(run: Run) -> None:
    assert answer(run("dead", "discard", "--source", "uk-shop", "--json")) == {"discarded": 2}
    assert run("dead", "list").stdout == "no dead letters\n"
    assert answer(run("audit", "--json"))["balanced"] is True


def test_the_note_on_a_decision_is_kept_with_it(run: Run, config: Path) -> None:
    run("dead", "discard", "--all", "--note", "the shop was a test")
    with closing(sqlite3.connect(config.parent / "gateway.db")) as db:
        (kept,) = db.execute("SELECT what, subject, count, note FROM operations")
    assert kept == ("discard", "all", 2, "the shop was a test")


def test_deciding_about_everything_must_be_said(run: Run) -> None:
    result = run("dead", "discard")
    assert result.exit_code == 2
    assert "say --all" in result.stderr


def test_an_unknown_dead_letter_is_the_answer_no(run: Run) -> None:
    assert run("dead", "retry", "nothing").exit_code == 1


def test_what_waits_for_its_next_attempt_is_listed(run: Run) -> None:
    assert run("parked", "list").stdout == "nothing waits for another attempt\n"
    assert answer(run("parked", "list", "--json")) == {"parked": [], "more": False}


# --- events ----------------------------------------------------------------------------------------------------------


def test_events_are_listed_newest_first_with_their_type_and_lanes(run: Run) -> None:
    found = answer(run("events", "list", "--json"))["events"]
    assert [event["seq"] for event in found] == [5, 4, 3, 2, 1]
    assert {"id", "seq", "source", "topic", "type", "received_at", "lanes"} <= found[0].keys()
    assert {event["type"] for event in found} == {"order.created"}
    assert found[0]["received_at"] == "2026-01-14T12:00:00.000Z"
    states = [lane["state"] for event in found for lane in event["lanes"] if lane["destination"] == "crm"]
    assert states == ["waiting", "dead", "dead", "delivered", "delivered"]


def test_events_are_filtered_and_paged(run: Run) -> None:
    def seqs(*words: str) -> list[int]:
        return [event["seq"] for event in answer(run("events", "list", "--json", *words))["events"]]

    assert seqs("--limit", "2") == [5, 4]
    assert seqs("--before", "3") == [2, 1]
    assert seqs("--topic", "orders/paid") == []
    assert seqs("--source", "uk-shop", "--from", "2026-01-14T12:00:00Z") == [5, 4, 3, 2, 1]
    assert seqs("--to", "2026-01-14T11:59:59Z") == []
    assert seqs("--from", "1s") == []
    assert seqs("--contains", '"ID": 3') == [3]


def test_what_would_be_sent_of_a_stored_event_is_shown(run: Run) -> None:
    event = answer(run("events", "list", "--json"))["events"][-1]
    result = run("events", "try", event["id"], "--to", "crm", "--json")
    way = answer(result)
    assert (result.exit_code, way["outcome"], way["event"]["type"]) == (1, "dead", "order.created")
    assert [(one["destination"], one["reason"]) for one in way["dead"]] == [("crm", "incomplete")]
    assert "order: timestamp is missing" in run("events", "try", "1").stdout
    assert run("events", "try", "99").exit_code == 1
    assert run("events", "try", "1", "--to", "nowhere").exit_code == 2


def test_an_event_is_shown_whole_by_id_or_seq(run: Run) -> None:
    listed = answer(run("events", "list", "--json"))["events"][-1]
    (shown,) = answer(run("events", "show", listed["id"], "--json"))["events"]
    assert (shown["seq"], json.loads(shown["body"])["id"]) == (1, 1)
    lane = next(lane for lane in shown["lanes"] if lane["destination"] == "crm")
    (attempt,) = lane["attempts"]
    assert (attempt["outcome"], attempt["status"], attempt["config"]) == ("delivered", 202, "0123456789ab")
    text = run("events", "show", "1").stdout
    assert "content-type: application/json" in text
    assert "uk-shop > crm: delivered" in text
    assert "40 ms (configuration 0123456789ab)" in text


@pytest.mark.parametrize(("name", "code"), [("evt_nonsense", 2), ("99", 1), ("evt_00000000000g0000000g", 1)])
def test_an_unknown_event_is_a_sentence(run: Run, name: str, code: int) -> None:
    result = run("events", "show", name)
    assert result.exit_code == code
    assert result.stderr


def test_a_source_that_is_gone_has_events_without_a_type(run: Run, config: Path) -> None:
    config.write_text(
        "\n".join(
            line for line in config.read_text().splitlines() if "uk-shop:" not in line and "from: uk-shop" not in line
        )
    )
    assert {event["type"] for event in answer(run("events", "list", "--json"))["events"]} == {None}


# --- rejected, backup ------------------------------------------------------------------------------------------------


def test_what_was_refused_is_listed(run: Run) -> None:
    (one,) = answer(run("rejected", "list", "--json"))["rejected"]
    assert (one["cause"], one["client"], one["body"]) == ("signature_wrong", "203.0.113.9", "{}")
    assert "signature_wrong" in run("rejected", "list").stdout
    assert answer(run("rejected", "list", "--source", "erp", "--json")) == {"rejected": []}


def test_a_backup_opens_as_a_journal(run: Run, config: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    assert answer(run("backup", str(copy), "--json")) == {"file": str(copy), "bytes": copy.stat().st_size}
    config.write_text(config.read_text().replace("gateway.db", "copy.db"))
    assert len(answer(run("events", "list", "--json"))["events"]) == 5


def test_a_backup_replaces_nothing(run: Run, config: Path, tmp_path: Path) -> None:
    for file in (config, tmp_path / "nowhere" / "copy.db"):
        assert run("backup", str(file)).exit_code == 2
    assert "sources:" in config.read_text()


# --- a journal that cannot be read -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [["audit"], ["lanes", "list"], ["dead", "list"], ["events", "list"], ["rejected", "list"]]
)
def test_a_journal_that_is_not_there_is_a_sentence_and_is_not_made(run: Run, config: Path, words: list[str]) -> None:
    config.write_text(config.read_text().replace("gateway.db", "other.db"))
    result = run(*words)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: there is no journal at ")
    assert not (config.parent / "other.db").exists()


def test_a_file_that_is_no_journal_is_a_sentence(run: Run, config: Path) -> None:
    (config.parent / "other.db").write_bytes(b"not a database at all, but long enough to be looked at" * 100)
    config.write_text(config.read_text().replace("gateway.db", "other.db"))
    result = run("audit")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")


def test_what_came_from_outside_cannot_move_the_cursor(run: Run, journal: Callable[[object], None]) -> None:
    async def hostile(one: Journal) -> None:
        await one.append(Group(b"h" * 16, (offer("orders/\x1b[2J", b"\x1b[2J\n{}"),)))

    journal(hostile)
    assert "\x1b" not in run("events", "list").stdout
    assert "\x1b" not in run("events", "show", "6").stdout
