import json

import jsonschema
import pytest
from structlog.testing import capture_logs

from gateway.admin import api, openapi
from gateway.admin.api import CALLS
from gateway.config.schema import DestinationSettings
from gateway.config.values import Secret
from gateway.deliver.drops import Drop
from gateway.deliver.lessons import Trouble
from gateway.deliver.standing import AccountStanding
from gateway.journal.base import DeadFilter, DeadRow
from tests.admin.asgi import Client
from tests.admin.conftest import TOKEN, Gateway, Making
from tests.admin.shelf import DEAD, EVENT, LANE, NOW_MS, Shelf

WHERE = {"{id:int}": "1", "{id}": EVENT.id}


def path(call: api.Call) -> str:
    where = "/dead/dl_1" if call.path == "/dead/{id}" else call.path
    for name, value in WHERE.items():
        where = where.replace(name, value)
    return "/api" + where


BODIES = {
    "/lanes/pause": b'{"all": true}',
    "/lanes/resume": b'{"all": true}',
    "/dead/retry": b'{"ids":["dl_1"]}',
    "/dead/discard": b'{"reason":"record_refused"}',
}


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
async def test_no_call_answers_without_the_token(stranger: Client, desk: Shelf, call: api.Call) -> None:
    with capture_logs() as lines:
        answer = await stranger.call(call.method, path(call), BODIES.get(call.path, b""))

    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"
    assert desk.changes == []
    assert [line["event"] for line in lines] == ["admin.refused"]


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer wrong",
        f"Bearer {TOKEN}x",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer ",
        "",
        "Bearer \udcff",
        f"Bearer {TOKEN[:-1]}",
    ],
)
async def test_a_wrong_token_is_refused(stranger: Client, authorization: str) -> None:
    answer = await stranger.get("/api/lanes", {"authorization": authorization.encode("utf-8", "replace").decode()})

    assert answer.status == 401


async def test_without_a_configured_token_the_api_is_closed(with_token: Making) -> None:
    answer = await with_token(None).get("/api/lanes", {"authorization": "Bearer "})

    assert answer.status == 401
    assert "no admin.token is configured" in answer.json["detail"]


async def test_a_token_of_any_letters_works(with_token: Making) -> None:
    answer = await with_token(Secret("schlüssel")).get("/api/lanes", {"authorization": "Bearer schlüssel"})

    assert answer.status in (200, 401), "never a fault: headers are latin-1 on some wires and UTF-8 on others"


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
async def test_every_call_answers_in_the_shape_that_the_document_promises(operator: Client, call: api.Call) -> None:
    document = (await operator.get("/api/openapi.json")).json
    described = document["paths"][_described(call)][call.method.lower()]

    answer = await operator.call(call.method, path(call), BODIES.get(call.path, b""))

    assert answer.status == 200, answer.text
    schema = described["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.validate(answer.json, schema | {"components": document["components"]})


def _described(call: api.Call) -> str:
    return "/api" + call.path.replace(":int", "")


async def test_the_document_names_every_call_and_every_refusal(operator: Client) -> None:
    document = (await operator.get("/api/openapi.json")).json

    assert document["openapi"] == "3.1.0"
    assert {(_described(call), call.method.lower()) for call in openapi.CALLS} == {
        (where, method) for where, methods in document["paths"].items() for method in methods
    }
    assert set(document["paths"]["/api/dead"]["get"]["responses"]) == {"200", "400", "401", "404", "503"}


async def test_a_call_with_a_body_may_be_told_that_it_is_too_large(operator: Client) -> None:
    paths = (await operator.get("/api/openapi.json")).json["paths"]
    bodied = [methods["post"] for methods in paths.values() if "requestBody" in methods.get("post", {})]
    assert len(bodied) >= 6
    assert all("413" in one["responses"] for one in bodied)


async def test_destinations_are_told_with_their_lanes_and_what_was_given_up(operator: Client) -> None:
    (one,) = (await operator.get("/api/destinations")).json["destinations"]
    assert (one["name"], one["vendor"], one["paused"]) == ("ometria-uk", "ometria", False)
    assert [lane["source"] for lane in one["lanes"]] == ["uk-shop"]
    assert one["dead"][0]["letters"] == 1
    assert one["account"]["account"] == "ometria:abc"


async def test_lanes_are_the_ledger_with_lag_and_standing(operator: Client) -> None:
    lanes = (await operator.get("/api/lanes")).json["lanes"]

    assert lanes[0] == {
        "id": 1,
        "source": "uk-shop",
        "destination": "ometria-uk",
        "kind": "live",
        "cursor": 7,
        "waiting": 2,
        "delivered": 5,
        "filtered": 1,
        "superseded": 0,
        "parked": 1,
        "dead": 1,
        "discarded": 0,
        "paused": False,
        "ended": False,
        "orphaned": False,
        "paused_by": None,
        "quiet_until": None,
        "lag_seconds": 90.0,
    }
    assert lanes[1]["orphaned"] is True


async def test_an_audit_names_the_lane_that_does_not_balance(operator: Client, desk: Shelf) -> None:
    desk.balanced = False

    audit = (await operator.get("/api/audit")).json

    assert audit["balanced"] is False
    assert (audit["lanes"][0]["destination"], audit["lanes"][0]["why"]) == (
        "ometria-uk",
        "delivered: 5 booked, 4 found",
    )


async def test_events_are_listed_with_what_they_are_on_each_lane(operator: Client) -> None:
    events = (await operator.get("/api/events?source=uk-shop&limit=10")).json["events"]

    assert events == [
        {
            "id": EVENT.id,
            "seq": 4,
            "source": "uk-shop",
            "topic": "orders/paid",
            "type": "order.paid",
            "received_at": "2026-01-31T08:59:00.000Z",
            "lanes": [{"destination": "ometria-uk", "kind": "live", "state": "dead", "parts": [], "attempts": []}],
        }
    ]
    assert (await operator.get("/api/events?topic=orders/other")).json == {"events": []}
    assert (await operator.get("/api/events?contains=820982911946154508")).json["events"] == events
    assert (await operator.get("/api/events?contains=1001")).json == {"events": []}


async def test_an_event_is_shown_with_its_body_its_parts_and_its_attempts(operator: Client) -> None:
    event = (await operator.get(f"/api/events/{EVENT.id}")).json["events"][0]

    assert event["body"] == EVENT.body.decode()
    assert event["lanes"][0]["parts"][0]["reason"] == "record_refused"
    assert event["lanes"][0]["attempts"][0] | {"at": ""} == {
        "at": "",
        "part": DEAD.part,
        "outcome": "dead",
        "status": 400,
        "latency_ms": 81,
        "reason": "record_refused",
        "receipt": "",
        "answer": "no",
        "config": "0123456789ab",
    }


@pytest.mark.parametrize("event", ["evt_nonsense", EVENT.id[:-3] + "000", "4", "evt_" + "0" * 20])
async def test_an_event_that_is_not_there_is_a_404(operator: Client, event: str) -> None:
    assert (await operator.get(f"/api/events/{event}")).status == 404


async def test_dead_letters_are_listed_and_shown_with_the_exact_record(operator: Client) -> None:
    listed = (await operator.get("/api/dead")).json
    shown = await operator.get("/api/dead/dl_1")

    assert listed["more"] is False
    assert listed["dead"][0]["event_id"] == EVENT.id
    assert '"total":0.30' in shown.text, "numbers keep the digits they have"
    assert "820982911946154508" in shown.text
    assert (await operator.get("/api/dead/dl_2")).status == 404


async def test_a_list_that_is_cut_says_so(operator: Client, desk: Shelf) -> None:
    desk.letters = [DeadRow(f"dl_{number}", LANE, DEAD, EVENT.id) for number in range(3)]

    listed = (await operator.get("/api/dead?limit=2")).json

    assert (len(listed["dead"]), listed["more"]) == (2, True)


@pytest.mark.parametrize("what", ["retry", "discard"])
async def test_dead_letters_are_retried_or_discarded_and_it_is_written_down(
    operator: Client, desk: Shelf, what: str
) -> None:
    with capture_logs() as lines:
        answer = await operator.post(f"/api/dead/{what}", b'{"source":"uk-shop","reason":"record_refused"}')

    assert answer.json == {"count": 1, "more": False}
    which, by = desk.changes[0]
    assert which == DeadFilter(source="uk-shop", reason="record_refused", limit=1000)
    assert (by.what, by.who, by.at_ms) == (what, "admin from 192.0.2.9", NOW_MS)
    assert [line["event"] for line in lines] == ["operation.done"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"all": true, "source": "uk-shop"}',
        b'{"reason": "because"}',
        b'{"idz": ["dl_1"]}',
        b"\xff",
        b'{"ids": "dl_1"}',
    ],
)
async def test_a_slip_changes_nothing(operator: Client, desk: Shelf, body: bytes) -> None:
    answer = await operator.post("/api/dead/discard", body)

    assert answer.status == 400
    assert desk.changes == []


async def test_all_dead_letters_are_meant_only_when_it_is_said(operator: Client, desk: Shelf) -> None:
    await operator.post("/api/dead/retry", b'{"all": true}')

    assert desk.changes[0][0] == DeadFilter(limit=1000)


async def test_a_body_has_a_limit(operator: Client) -> None:
    ids = json.dumps({"ids": ["x" * 100] * 1000}).encode()

    assert (await operator.post("/api/dead/retry", ids)).status == 413


async def test_a_lane_is_paused_and_goes_on(operator: Client, desk: Shelf) -> None:
    paused = (await operator.post("/api/lanes/1/pause")).json["lanes"]
    resumed = (await operator.post("/api/lanes/1/resume")).json["lanes"]

    assert [lane["paused"] for lane in (*paused, *resumed)] == [True, False]
    assert [change[1].what for change in desk.changes] == ["pause", "resume"]


async def test_the_lanes_of_an_account_are_paused_and_go_on(operator: Client, desk: Shelf) -> None:
    paused = (await operator.post("/api/lanes/pause", b'{"account": "ometria:abc"}')).json["lanes"]
    resumed = (await operator.post("/api/lanes/resume", b'{"destination": "ometria-uk"}')).json["lanes"]

    assert [(lane["id"], lane["paused"]) for lane in (*paused, *resumed)] == [(1, True), (1, False)]
    assert [change[1].subject for change in desk.changes] == [
        "lanes account=ometria:abc",
        "lanes destination=ometria-uk",
    ]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{}", 400),
        (b'{"source": "uk-shop", "all": true}', 400),
        (b'{"lane": 1}', 400),
        (b'{"source": "de-shop"}', 404),
        (b'{"account": "gone"}', 404),
    ],
)
async def test_lanes_that_are_not_meant_clearly_do_not_change(
    operator: Client, desk: Shelf, body: bytes, status: int
) -> None:
    assert (await operator.post("/api/lanes/pause", body)).status == status
    assert desk.changes == []


async def test_a_lane_in_its_quiet_hours_says_when_they_end(operator: Client, gateway: Gateway) -> None:
    gateway.settings = DestinationSettings(vendor="ometria", quiet=["08:00-17:00 UTC"])
    lanes = (await operator.get("/api/lanes")).json["lanes"]
    assert [lane["quiet_until"] for lane in lanes] == ["2026-01-31T17:00:00.000Z", None]


async def test_a_lane_that_the_configuration_pauses_is_paused(operator: Client, gateway: Gateway) -> None:
    gateway.settings = DestinationSettings(vendor="ometria", paused=True)
    assert (await operator.get("/api/lanes")).json["lanes"][0]["paused"] is True


DROPS = (Drop(NOW_MS // 1000 - 10, 2, "root > email: not a valid value"),)
TROUBLE = Trouble(NOW_MS // 1000 - 5, "ometria-uk", "timeout", "30 s")


async def test_accounts_say_how_they_stand(operator: Client, gateway: Gateway) -> None:
    (unknown,) = (await operator.get("/api/accounts")).json["accounts"]
    gateway.standings = (
        AccountStanding(
            "ometria:abc", "broken", "server_error", "500", NOW_MS // 1000 + 30, 4.0, None, 3, (TROUBLE,), DROPS
        ),
    )
    (broken,) = (await operator.get("/api/accounts")).json["accounts"]
    assert (unknown["standing"], broken["standing"]) == ("", "broken")
    assert broken == {
        "account": "ometria:abc",
        "destinations": ["ometria-uk"],
        "standing": "broken",
        "reason": "server_error",
        "detail": "500",
        "opens_at": "2026-01-31T09:00:30.000Z",
        "allowed_per_s": 4.0,
        "found_per_s": None,
        "in_flight": 3,
        "troubles": [
            {"at": "2026-01-31T08:59:55.000Z", "destination": "ometria-uk", "reason": "timeout", "detail": "30 s"}
        ],
        "drops": [{"at": "2026-01-31T08:59:50.000Z", "count": 2, "detail": "root > email: not a valid value"}],
        "drops_unknown": "",
    }


async def test_a_lane_that_is_not_there_is_a_404(operator: Client, desk: Shelf) -> None:
    assert (await operator.post("/api/lanes/99/pause")).status == 404
    assert desk.changes == []


async def test_refused_requests_are_listed_and_bytes_are_base64(operator: Client) -> None:
    rejected = (await operator.get("/api/rejected?source=uk-shop")).json["rejected"]

    assert rejected[0]["cause"] == "signature_wrong"
    assert (rejected[0]["body"], rejected[0]["body_encoding"]) == ("//4=", "base64")


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=x", "limit=" + "9" * 40, "from=yesterday", "from=2026-01-31", "before=-1"],
)
async def test_a_query_that_makes_no_sense_is_told_so(operator: Client, query: str) -> None:
    answer = await operator.get(f"/api/events?{query}")

    assert answer.status == 400
    assert query.split("=", maxsplit=1)[0] in answer.json["detail"]


@pytest.mark.parametrize("text", ["2026-01-31T09:00:00Z", "2026-01-31T10:00:00+01:00", "2026-01-31T10:00:00%2B01:00"])
async def test_times_are_taken_with_any_zone(operator: Client, text: str) -> None:
    assert (await operator.get(f"/api/events?from={text}")).status == 200


async def test_a_journal_that_does_not_answer_is_a_503(operator: Client, desk: Shelf) -> None:
    desk.broken = True

    answer = await operator.get("/api/lanes")

    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json["cause"] == "journal_unavailable"


async def test_unknown_paths_and_methods_are_problems_too(operator: Client) -> None:
    assert (await operator.get("/api/nothing")).json["status"] == 404
    assert (await operator.post("/api/lanes")).json["status"] == 405


async def test_nothing_is_cached_or_framed(operator: Client) -> None:
    headers = (await operator.get("/api/lanes")).headers

    assert headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
