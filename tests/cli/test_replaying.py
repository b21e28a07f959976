"""`gateway replay` and `gateway replays`: what was settled goes again, counted, begun, changed."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway import app
from gateway.admin.replays import read
from gateway.cli.replaying import _follow, span
from gateway.journal.base import Journal
from gateway.model import Attempt, Counts, Group, LaneSettle, LaneSpec, Replay, Settlement, State
from tests.cli.conftest import ENV, Run, answer
from tests.cli.test_desk import NOON_MS, offer
from tests.journal.making import Lanehand, row, tried
from tests.whole.payloads import person

EARLY = "2026-01-14T11:00:00Z"


@pytest.fixture
def journal(config: Path) -> Any:
    """Do something to the configuration's journal."""

    def use(what: Any) -> None:
        async def opened() -> None:
            one = app.open_journal(app.load_config(config, ENV).config.journal.url)
            await one.open()
            try:
                await what(one)
            finally:
                await one.close()

        asyncio.run(opened())

    return use


async def _filled(journal: Journal) -> None:
    bodies = [person(number).body for number in (1, 2, 3, 1, 4)]
    await journal.append(Group(b"g" * 16, tuple(offer("customers/update", body) for body in bodies)))
    hand = await Lanehand.on(journal, "uk-shop", "crm", start_seq=0)
    await journal.register([LaneSpec("uk-shop", "bin", start_seq=5)])
    dead = [row(seq, state=State.DEAD) for seq in (3, 4)]
    await hand.settle(4, counts=Counts(delivered=2), parked=dead, attempts=[tried(1), tried(2)], at_ms=NOON_MS)


@pytest.fixture(autouse=True)
def _events(journal: Any) -> None:
    """Five customers from uk-shop, the first and the fourth the same: at crm two delivered, two dead, one waits."""
    journal(_filled)


def begun(run: Run, *words: str) -> str:
    """The id of a replay that began."""
    result = run("replay", *words)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def listed(run: Run) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answer(run("replays", "list", "--json"))["replays"]
    return found


async def _done(journal: Journal) -> None:
    """Whatever replays there are, their lanes have delivered what they have."""
    for lane in await journal.lanes():
        if lane.kind == "live" or lane.ended:
            continue
        leases = {one.account: one for one in await journal.leases()}
        lease = await journal.claim("again", "me", leases.get("again"))
        assert lease is not None
        assert lane.end_seq is not None
        number = lane.end_seq - lane.start_seq
        tried = tuple(Attempt(lane.start_seq + n, "order", "delivered", 202, 9) for n in range(1, number + 1))
        step = LaneSettle(lane.id, lane.version, lane.end_seq, (), Counts(delivered=number), attempts=tried)
        await journal.settle(Settlement(lease, NOON_MS + 9000, (step,)))


def test_a_replay_prints_its_id_and_has_lanes_of_its_own(run: Run) -> None:
    name = begun(run, "--from", EARLY, "--note", "the CRM lost a day")
    assert name.startswith("rpl_")
    assert len(name) == 20
    (one,) = listed(run)
    assert (one["id"], one["status"], one["why"], one["note"]) == (name, "running", "replay", "the CRM lost a day")
    assert one["who"].startswith("cli:")
    assert (one["from"], one["to"]) == ("2026-01-14T11:00:00.000Z", None)
    assert [(lane["destination"], lane["total"], lane["settled"]) for lane in one["lanes"]] == [
        ("crm", 4, 0),
        ("bin", 5, 0),
    ]


@pytest.mark.parametrize(
    ("words", "total"),
    [
        (["--state", "dead"], 2),
        (["--state", "delivered", "--state", "dead"], 4),
        (["--destination", "crm"], 4),
        (["--source", "uk-shop", "--destination", "crm", "--state", "delivered"], 2),
        (["--type", "customer.*", "--when", "subject", "--destination", "crm"], 4),
    ],
)
def test_what_is_selected_is_the_replays_range(run: Run, words: list[str], total: int) -> None:
    begun(run, *words)
    assert [one["total"] for one in listed(run)] == [total]


def test_events_go_again_by_id(run: Run) -> None:
    events = answer(run("events", "list", "--json"))["events"]
    seconds = [event["id"] for event in events if event["seq"] in (2, 3)]
    begun(run, "--id", seconds[0], "--id", seconds[1], "--destination", "crm")
    assert [one["total"] for one in listed(run)] == [2]


def test_a_dry_run_counts_and_writes_nothing(run: Run) -> None:
    result = run("replay", "--from", EARLY, "--destination", "crm", "--dry-run", "--json")
    found = answer(result)
    assert result.exit_code == 0
    assert (found["events"], found["records"], found["superseded"], found["whole"]) == (4, 3, 1, True)
    assert found["seconds"] > 0
    assert [(one["destination"], one["events"], one["records"]) for one in found["destinations"]] == [("crm", 4, 3)]
    assert listed(run) == []
    told = run("replay", "--from", EARLY, "--dry-run").stdout
    assert "5 events would become 3 records: under 1 s at the vendors' pace" in told


def test_with_json_a_replay_is_told_as_the_list_tells_it(run: Run) -> None:
    told = answer(run("replay", "--state", "dead", "--json"))
    assert listed(run) == [told]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "say what: --from 2h"),
        (["--every-state"], "say what"),
        (["--source", "uk-shp"], "there is no source uk-shp: did you mean `uk-shop`?"),
        (["--destination", "nobody"], "there is no destination nobody"),
        (["--when", "data.id =="], "when: "),
        (["--state", "parked"], "'parked' is not one of"),
        (["--from", "yesterday"], "is no time"),
        (["--id", "evt_x"], "is no event's id"),
        (["--from", "1h", "--to", "2h"], "`from` is not before `to`"),
    ],
)
def test_what_cannot_be_read_is_wrong_use(run: Run, words: list[str], said: str) -> None:
    result = run("replay", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


@pytest.mark.parametrize(
    "words", [["--from", "1m"], ["--state", "filtered"], ["--type", "order.*"], ["--source", "erp"]]
)
def test_an_empty_selection_is_the_answer_no(run: Run, words: list[str]) -> None:
    result = run("replay", *words)
    assert result.exit_code == 1
    assert "nothing is selected" in result.stderr
    assert listed(run) == []


def test_a_replay_is_paused_resumed_and_cancelled(run: Run) -> None:
    name = begun(run, "--from", EARLY)
    assert run("replays", "pause", name).stdout == f"paused {name} (2 lanes)\n"
    assert [one["status"] for one in listed(run)] == ["paused"]
    assert run("replays", "pause", name).exit_code == 1
    assert run("replays", "resume", name).exit_code == 0
    assert [one["status"] for one in listed(run)] == ["running"]
    assert run("replays", "cancel", name, "--note", "wrong day").exit_code == 0
    (one,) = listed(run)
    assert (one["status"], one["discarded"]) == ("cancelled", 9)
    assert answer(run("audit", "--json"))["balanced"] is True
    lanes = answer(run("lanes", "list", "--json"))["lanes"]
    assert [lane["kind"] for lane in lanes] == ["live", "live"]


def test_a_replay_that_is_not_there_is_a_sentence(run: Run) -> None:
    for words in (["show"], ["pause"], ["cancel"]):
        result = run("replays", *words, "rpl_none")
        assert result.exit_code == 2
        assert "there is no replay rpl_none" in result.stderr


def test_a_replay_that_is_over_is_done_and_clutters_no_list(run: Run, journal: Any) -> None:
    name = begun(run, "--destination", "crm")
    assert [lane["kind"] for lane in answer(run("lanes", "list", "--json"))["lanes"]] == ["live", "live", name]
    assert name in run("lanes", "list").stdout
    journal(_done)
    (one,) = listed(run)
    assert (one["status"], one["settled"], one["delivered"]) == ("done", 4, 4)
    assert name not in run("lanes", "list").stdout
    assert name in run("lanes", "list", "--all").stdout
    assert name in run("audit").stdout
    assert run("replays", "cancel", name).exit_code == 1
    event = answer(run("events", "list", "--json"))["events"][-1]
    assert [(lane["kind"], lane["state"]) for lane in event["lanes"]] == [
        ("live", "delivered"),
        (name, "delivered"),
    ]
    assert f"uk-shop > crm ({name}): delivered" in run("events", "show", event["id"]).stdout


def test_ending_a_lane_leaves_what_is_over_alone(run: Run, journal: Any) -> None:
    name = begun(run, "--destination", "crm")
    journal(_done)
    assert run("lanes", "end", "crm", "--yes").stdout == "ended uk-shop/crm\n"
    assert [one["status"] for one in listed(run)] == ["done"]
    assert name in run("replays", "list").stdout


def test_a_replay_is_shown_lane_by_lane(run: Run) -> None:
    name = begun(run, "--from", EARLY, "--type", "customer.*", "--every-state")
    told = run("replays", "show", name).stdout
    assert "customer.*" in told
    assert any(line.split()[:3] == ["uk-shop", "crm", "running"] for line in told.splitlines())
    assert answer(run("replays", "show", name, "--json"))["replays"] == listed(run)


def test_whoever_follows_sees_how_it_ends(run: Run, journal: Any) -> None:
    begun(run, "--destination", "crm")

    async def follow(one: Journal) -> None:
        (first,) = (await read(one)).replays
        following = asyncio.create_task(_follow(one, first))
        await asyncio.sleep(0)
        await _done(one)
        last = await following
        assert (first.settled, last.status, last.settled, last.delivered) == (0, "done", 4, 4)

    journal(follow)


def test_a_backfill_is_listed_too(run: Run, journal: Any) -> None:
    async def backfilled(one: Journal) -> None:
        past = Replay("rpl_b", NOON_MS, "gateway", why="backfill")
        await one.register([LaneSpec("uk-shop", "lake", start_seq=0, backfill=past)])

    journal(backfilled)
    (one,) = listed(run)
    assert (one["why"], one["status"], one["total"]) == ("backfill", "running", 5)


def test_dead_letters_of_a_replay_are_seen_on_it(run: Run, journal: Any) -> None:
    begun(run, "--destination", "crm", "--state", "delivered")

    async def died(one: Journal) -> None:
        (lane,) = [lane for lane in await one.lanes() if lane.kind != "live"]
        lease = await one.claim("again", "me", None)
        assert lease is not None
        hand = Lanehand(one, lane, lease)
        await hand.settle(2, parked=[row(seq, state=State.DEAD) for seq in (1, 2)])

    journal(died)
    (one,) = listed(run)
    assert (one["status"], one["dead"]) == ("done", 2)


def test_lengths_of_time_are_told_as_people_say_them() -> None:
    assert [span(seconds) for seconds in (0.4, 59, 61, 7_322)] == ["under 1 s", "59 s", "1 min 1 s", "2 h 2 min"]
