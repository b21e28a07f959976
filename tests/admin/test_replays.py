"""Replays over HTTP: the calls, and the pages with a count before anything begins."""

import re
from typing import Any
from urllib.parse import urlencode

import jsonschema
import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from gateway import document
from gateway.admin import live, replaying
from gateway.admin.api import Call, Room
from gateway.admin.app import build
from gateway.admin.figures import Figures
from gateway.admin.replays import Workshop
from gateway.clock import SystemChance
from gateway.config.schema import Route, Source
from gateway.config.values import Secret
from gateway.deliver.plan import Destination, Planner, Setup
from gateway.deliver.route import Router
from gateway.journal.base import LaneRow
from gateway.journal.memory import MemoryJournal
from gateway.mapping.book import Book
from gateway.mapping.normalise import Normaliser
from gateway.model import Group, event_id
from gateway.vendors.base import Limit
from tests.admin.asgi import Client
from tests.admin.conftest import TOKEN, Gateway
from tests.admin.shelf import LANE, NOW_MS, Still
from tests.admin.test_pages import FORM, Tags, signed_in
from tests.journal.making import Lanehand, by, offer
from tests.simulation.paper import Paper, PaperSettings

GROUP = b"0123456789abcdef"


def _setup() -> Setup:
    settings = PaperSettings(vendor="paper")
    vendor = Paper("ometria-uk", settings)
    one = Destination("ometria-uk", settings, vendor, vendor.account(), "", (Limit(1, 1.0),), vendor.rules())
    book = Book({})
    router = Router([Route(events=["*"], to=["ometria-uk"])])
    planner = Planner({"uk-shop": Normaliser("uk-shop", Source(), {}, book)}, router, book)
    return Setup({"ometria-uk": one}, frozenset({"uk-shop"}), planner, 0)


@pytest.fixture
async def journal() -> MemoryJournal:
    """Ten things that were delivered, the last of them the same as the first."""
    one = MemoryJournal()
    hand = await Lanehand.on(one, "uk-shop", "ometria-uk")
    bodies = [document.dump({"key": f"k{n % 9}", "n": n}) for n in range(10)]
    offers = [offer(source="uk-shop", topic="thing/update", body=body, received_at_ms=NOW_MS) for body in bodies]
    await one.append(Group(GROUP, tuple(offers)))
    await hand.deliver(1, 10)
    return one


@pytest.fixture
def stranger(journal: MemoryJournal, gateway: Gateway, clock: Still) -> Client:
    workshop = Workshop(journal, _setup, SystemChance())
    return Client(build(journal, gateway.status, Secret(TOKEN), clock=clock, workshop=workshop))


@pytest.fixture
def operator(stranger: Client) -> Client:
    return Client(stranger.app, {"authorization": f"Bearer {TOKEN}"})


async def begun(operator: Client, **wanted: Any) -> Any:
    answer = await operator.post("/api/replays", document.dump(wanted))
    assert answer.status == 200, answer.text
    return answer.json["replay"]


# --- the calls -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", replaying.CALLS, ids=lambda call: call.name)
async def test_every_call_wants_the_token_and_answers_as_the_document_promises(
    stranger: Client, operator: Client, call: Call
) -> None:
    made = await begun(operator, source="uk-shop")
    path = "/api" + call.path.replace("{id}", made["id"])
    body = b'{"source": "uk-shop", "dry_run": true}' if call.body else b""
    assert (await stranger.call(call.method, path, body)).status == 401
    described = (await operator.get("/api/openapi.json")).json
    answer = await operator.call(call.method, path, body)
    assert answer.status == 200, answer.text
    promised = described["paths"]["/api" + call.path][call.method.lower()]["responses"]["200"]
    schema = promised["content"]["application/json"]["schema"]
    jsonschema.validate(answer.json, schema | {"components": described["components"]})


async def test_a_dry_run_counts_and_begins_nothing(operator: Client) -> None:
    answer = await operator.post("/api/replays", b'{"source": "uk-shop", "dry_run": true}')
    would = answer.json["would"]
    assert (would["events"], would["records"], would["superseded"], would["whole"]) == (10, 9, 1, True)
    assert would["seconds"] == pytest.approx(2.0)
    assert answer.json["replay"] is None
    assert (await operator.get("/api/replays")).json == {"replays": []}


async def test_a_replay_begins_and_says_who_and_why(operator: Client, journal: MemoryJournal) -> None:
    made = await begun(operator, states=["delivered"], every_state=True, note="the CRM lost a day", **{"from": "365d"})
    (listed,) = (await operator.get("/api/replays")).json["replays"]
    assert listed == made
    assert (made["status"], made["total"], made["note"]) == ("running", 10, "the CRM lost a day")
    assert (made["who"], made["every_state"]) == ("admin from 192.0.2.9", True)
    assert [lane.kind for lane in await journal.lanes()] == ["live", made["id"]]


async def test_a_replay_is_paused_resumed_and_cancelled(operator: Client) -> None:
    name = (await begun(operator, source="uk-shop"))["id"]
    for what, status in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
        answer = await operator.post(f"/api/replays/{name}/{what}")
        assert [one["status"] for one in answer.json["replays"]] == [status]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({}, "say which"),
        ({"source": "nobody"}, "there is no source nobody"),
        ({"from": "yesterday"}, "is no time"),
        ({"when": "data ="}, "when: "),
        ({"ids": [event_id(99, GROUP)]}, "there is no event"),
        ({"types": ["order.*"]}, "no event that has come to an end"),
        ({"states": ["parked"]}, "$.states[0]"),
        ({"form": "2h"}, "unknown field"),
    ],
)
async def test_what_cannot_be_begun_says_why(operator: Client, wanted: dict[str, Any], said: str) -> None:
    answer = await operator.post("/api/replays", document.dump(wanted))
    assert answer.status == 400
    assert said in answer.json["detail"]


async def test_a_replay_that_is_not_there_is_a_404(operator: Client) -> None:
    assert (await operator.get("/api/replays/rpl_none")).status == 404
    assert (await operator.post("/api/replays/rpl_none/pause")).status == 404


# --- the pages -------------------------------------------------------------------------------------------------------


async def _ask(browser: Client, what: str, **fields: str) -> Any:
    return await browser.post("/replays", urlencode({"what": what, **fields}).encode(), FORM)


async def test_the_pages_are_whole_html_without_script_or_style_in_them(stranger: Client, operator: Client) -> None:
    name = (await begun(operator, source="uk-shop", note="<b>why</b>"))["id"]
    browser = await signed_in(stranger)
    counted = await _ask(browser, "count", source="uk-shop", when="data.n > `3`")
    for answer in (await browser.get("/replays"), await browser.get(f"/replays/{name}"), counted):
        tags = Tags(answer.text)
        assert answer.status == 200
        assert tags.open == []
        assert [tag for tag, given in tags.seen if tag == "style" or "style" in given] == []
        assert [given.get("src") for tag, given in tags.seen if tag == "script"] == ["/static/admin.js"]
        assert "<b>why" not in answer.text
        for field in re.findall(r"<input[^>]*>", answer.text):
            assert re.search(rf"<label[^>]*>[^<]*{re.escape(field)}", answer.text), field
    assert 'href="/replays" aria-current="page"' in counted.text


async def test_a_form_is_counted_first_and_keeps_what_was_filled_in(stranger: Client, journal: MemoryJournal) -> None:
    browser = await signed_in(stranger)
    text = (await browser.get("/replays")).text
    assert 'value="begin"' not in text
    text = (await _ask(browser, "count", source="uk-shop", states="delivered", note="again")).text
    assert "10 events would become 9 records" in text
    assert "About 2 s" in text
    assert 'name="source" value="uk-shop"' in text
    assert 'value="delivered" checked' in text
    assert 'value="begin"' in text
    assert await journal.replays() == ()


async def test_a_form_begins_a_replay_and_leads_to_it(stranger: Client, journal: MemoryJournal) -> None:
    browser = await signed_in(stranger)
    answer = await _ask(browser, "begin", ids=event_id(3, GROUP), every="yes", note="again")
    (made,) = await journal.replays()
    assert (answer.status, answer.headers["location"]) == (303, f"/replays/{made.id}")
    assert (made.every_state, made.note, made.picked[0].seqs) == (True, "again", ((3, 3),))
    shown = await browser.get(f"/replays/{made.id}")
    assert "0 of 1 events" in shown.text
    assert 'http-equiv="refresh"' in shown.text


async def test_a_form_that_cannot_be_read_is_shown_again_with_the_reason(
    stranger: Client, journal: MemoryJournal
) -> None:
    browser = await signed_in(stranger)
    for fields, said in (({"from": "noon"}, "is no time"), ({}, "say which"), ({"states": "lost"}, "Invalid enum")):
        answer = await _ask(browser, "begin", **fields)
        assert answer.status == 400
        assert said in answer.text
    assert await journal.replays() == ()


async def test_a_replay_is_paused_and_only_surely_cancelled_from_its_page(
    stranger: Client, operator: Client, journal: MemoryJournal
) -> None:
    name = (await begun(operator, source="uk-shop"))["id"]
    browser = await signed_in(stranger)
    assert (await browser.post(f"/replays/{name}", b"what=pause", FORM)).headers["location"] == f"/replays/{name}"
    assert "Resume" in (await browser.get(f"/replays/{name}")).text
    assert (await browser.post(f"/replays/{name}", b"what=end", FORM)).status == 400
    assert [lane.ended for lane in await journal.lanes()] == [False, False]
    await browser.post(f"/replays/{name}", b"what=end&sure=yes", FORM)
    assert [lane.ended for lane in await journal.lanes()] == [False, True]


async def test_the_page_of_a_replay_is_live_while_it_goes_on(
    stranger: Client, operator: Client, journal: MemoryJournal, gateway: Gateway
) -> None:
    name = (await begun(operator, source="uk-shop"))["id"]
    browser = await signed_in(stranger)
    text = (await browser.get(f"/replays/{name}")).text
    assert f'data-live="whole" data-from="/live/replays/{name}"' in text
    assert re.findall(r"<(\w+)><meta http-equiv", text) == ["noscript"]
    room = Room(journal, gateway.status, Still())
    stream = live.replay(room, live.Streams(), journal, name)
    assert "0 of 10 events" in await anext(stream)
    await browser.post(f"/replays/{name}", b"what=end&sure=yes", FORM)
    assert "cancelled" in await anext(stream)
    assert "data-live" not in (await browser.get(f"/replays/{name}")).text
    assert (await browser.get("/replays/rpl_unknown")).status == 404


async def test_an_events_page_leads_to_the_form_with_its_id(stranger: Client) -> None:
    browser = await signed_in(stranger)
    name = event_id(3, GROUP)
    assert f'href="/replays?id={name}"' in (await browser.get(f"/events/{name}")).text
    assert f'name="ids" value="{name}"' in (await browser.get(f"/replays?id={name}")).text


async def test_a_foreign_form_begins_nothing(stranger: Client, journal: MemoryJournal) -> None:
    browser = await signed_in(stranger)
    answer = await browser.post("/replays", b"what=begin&source=uk-shop", FORM | {"origin": "https://evil.example"})
    assert answer.status == 403
    assert await journal.replays() == ()


async def test_metrics_of_many_replays_are_one_and_the_live_lane_is_never_left_out(
    stranger: Client, operator: Client, journal: MemoryJournal
) -> None:
    for _ in range(3):
        await begun(operator, source="uk-shop")
    await journal.change_lane((await journal.lanes())[1].id, by("end"))
    text = (await stranger.get("/metrics")).text
    lines = [
        line for line in text.splitlines() if line.startswith("gateway_lane_events{") and 'state="waiting"' in line
    ]
    assert len(lines) == 2
    assert [line.rpartition(" ")[2] for line in lines if 'kind="replay"' in line] == ["20.0"]
    assert "rpl_" not in text


async def test_finished_replays_clutter_no_list_and_pause_nothing(stranger: Client, operator: Client) -> None:
    name = (await begun(operator, source="uk-shop"))["id"]
    assert name in (await (await signed_in(stranger)).get("/")).text
    await operator.post(f"/api/replays/{name}/pause")
    await operator.post(f"/api/replays/{name}/cancel")
    assert name not in (await (await signed_in(stranger)).get("/")).text
    assert [lane["kind"] for lane in (await operator.get("/api/lanes")).json["lanes"]] == ["live"]
    assert [lane["kind"] for lane in (await operator.get("/api/lanes?all=true")).json["lanes"]] == ["live", name]
    text = (await stranger.get("/metrics")).text
    assert 'gateway_lane_paused{destination="ometria-uk",kind="replay",source="uk-shop"} 0.0' in text


def test_live_lanes_are_shown_before_any_replay(gateway: Gateway) -> None:
    over = [replace(LANE, id=n, kind=f"rpl_{n}", end_seq=7, source=f"old-{n}") for n in range(5)]
    rows = [LaneRow(lane, 0, None) for lane in (*over, replace(LANE, id=99))]
    registry = CollectorRegistry()
    registry.register(Figures(rows, gateway.status(), NOW_MS, most=2))
    labels = {"source": LANE.source, "destination": LANE.destination, "kind": "live"}
    assert registry.get_sample_value("gateway_lane_lag_seconds", labels) == 0
    assert registry.get_sample_value("gateway_lanes_left_out") == 4
