from typing import Any

import pytest

from gateway.sandbox.amperity import Amperity, Rules
from gateway.sandbox.faults import ASKED
from tests.sandbox.asgi import Answer, call
from tests.sandbox.clock import KnownChance, ManualClock

STREAM = "/stream/v0/data/is-cust"
API = {"api-version": "2024-04-01"}


class Client:
    """Somebody with a token, a simulated Amperity, and its clock."""

    def __init__(self, **rules: Any) -> None:
        self.clock = ManualClock()
        self.amperity = Amperity(self.clock, KnownChance(), Rules(**{"tenant": "acme", **rules}))
        self.headers = {"Authorization": "Bearer a-token", "Amperity-Tenant": "acme", "X-Amperity-Tenant": "acme"}

    def broken(self) -> dict[str, int]:
        return dict(self.amperity.witness.broken)

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        return await call(self.amperity, method, path, body=body, headers={**self.headers, **headers})

    async def get(self, path: str) -> Answer:
        return await self.ask("GET", f"/api/{path}", None, **API)

    async def row(self, **row: Any) -> Answer:
        return await self.ask("POST", STREAM, row)

    async def token(self, fields: str = "grant_type=client_credentials&client_id=c&client_secret=s") -> Answer:
        headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Amperity-Tenant": "acme"}
        return await call(self.amperity, "POST", "/api/v0/oauth2/token", raw=fields.encode(), headers=headers)


@pytest.fixture
def client() -> Client:
    return Client()


# --- who is asking ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status", "rule"),
    [
        ({"Amperity-Tenant": "acme"}, 401, "token_missing"),
        ({"Authorization": "Bearer other", "Amperity-Tenant": "acme"}, 401, "unknown_token"),
        ({"Authorization": "Bearer a-token"}, 403, "wrong_tenant"),
        ({"Authorization": "Bearer a-token", "X-Amperity-Tenant": "other"}, 403, "wrong_tenant"),
        ({"Authorization": "Bearer a-token", "Amperity-Tenant": "acme", "X-Amperity-Tenant": "x"}, 403, "wrong_tenant"),
    ],
)
async def test_token_and_tenant_are_looked_at_first(headers: dict[str, str], status: int, rule: str) -> None:
    client = Client(tokens=("a-token",))
    answer = await call(client.amperity, "POST", STREAM, body={"event_id": 1}, headers=headers)
    assert (answer.status, client.broken()) == (status, {rule: 1})
    assert answer.json().keys() == {"status", "message", "request_id", "trace_id"}


@pytest.mark.parametrize("name", ["Amperity-Tenant", "X-Amperity-Tenant"])
async def test_the_tenant_may_stand_in_either_header(client: Client, name: str) -> None:
    client.headers = {"Authorization": "Bearer a-token", name: "acme"}
    assert (await client.row(event_id=1)).status == 202
    assert client.broken() == ({} if name.startswith("X-") else {"tenant_header": 1})


async def test_a_row_without_its_events_id_is_taken_and_a_breach(client: Client) -> None:
    assert (await client.row(id=1)).status == 202
    assert client.broken() == {"row_without_event_id": 1}


async def test_a_fetched_token_that_was_refused_is_not_used_again(client: Client) -> None:
    client.headers["Authorization"] = f"Bearer {(await client.token()).json()['access_token']}"

    async def refusing(scope: Any, receive: Any, send: Any) -> None:
        await client.amperity({**scope, ASKED: "expired_token"}, receive, send)

    refused = await call(refusing, "POST", STREAM, body={"event_id": 1}, headers=client.headers)
    await client.row(event_id=1)
    assert (refused.status, client.broken()) == (401, {})
    client.clock.move(1.0)
    await client.row(event_id=2)
    assert client.broken() == {"refused_token_used": 1}


async def test_tokens_count_on_the_limit_of_the_api(client: Client) -> None:
    assert [(await client.token()).status for _ in range(11)] == [200] * 10 + [429]
    assert client.broken() == {"rate_limit": 1}


@pytest.mark.parametrize("version", ["", "2020-01-01"])
async def test_the_control_plane_wants_a_version_that_it_knows(client: Client, version: str) -> None:
    headers = {"api-version": version} if version else {}
    assert (await client.ask("GET", "/api/segments", None, **headers)).status == 400
    assert client.broken() == {"wrong_version": 1}
    assert (await client.ask("GET", "/api/segments?api_version=2024-04-01")).status == 200


# --- tokens ----------------------------------------------------------------------------------------------------------


async def test_client_credentials_get_a_token_that_works_until_it_expires(client: Client) -> None:
    said = (await client.token()).json()
    assert (said["token_type"], said["expires_in"]) == ("Bearer", 3600)
    client.headers["Authorization"] = f"Bearer {said['access_token']}"
    client.clock.move(3599)
    assert (await client.row(event_id=1)).status == 202
    client.clock.move(1)
    assert (await client.row(event_id=1)).status == 401
    assert client.broken() == {"expired_token": 1}


async def test_a_token_is_refused_once_it_is_revoked(client: Client) -> None:
    client.headers["Authorization"] = f"Bearer {(await client.token()).json()['access_token']}"
    client.amperity.adjust({"revoked_before_ms": client.clock.now_ms() + 1})
    assert (await client.row(event_id=1)).status == 401


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ("grant_type=password&client_id=c&client_secret=s", 400),
        ("grant_type=client_credentials&client_id=c&client_secret=wrong", 401),
        ("grant_type=client_credentials&client_id=nobody", 401),
    ],
)
async def test_wrong_credentials_get_none(fields: str, status: int) -> None:
    client = Client(clients={"c": "s"})
    assert (await client.token(fields)).status == status
    assert (await client.token()).status == 200
    assert client.amperity.tokens_issued == 1


async def test_credentials_are_a_form(client: Client) -> None:
    answer = await client.ask("POST", "/api/v0/oauth2/token", {"grant_type": "client_credentials"})
    assert (answer.status, client.broken()) == (400, {"content_type": 1})


# --- streaming -------------------------------------------------------------------------------------------------------


async def test_a_row_is_taken_with_an_empty_202_and_repetitions_are_kept(client: Client) -> None:
    for _ in range(2):
        answer = await client.row(event_id="e1", email="ada@example.com")
        assert (answer.status, answer.body) == (202, b"")
    assert client.amperity.streams["is-cust"].count == 2
    assert client.amperity.view()["received"] == {"is-cust:e1": 2}


@pytest.mark.parametrize("raw", [b'[{"id":1}]', b'{"id":1}\n{"id":2}', b"{", b""])
async def test_only_one_json_object_is_taken_at_a_time(client: Client, raw: bytes) -> None:
    assert (await call(client.amperity, "POST", STREAM, raw=raw, headers=client.headers)).status == 400


async def test_a_megabyte_is_taken_and_a_byte_more_is_not(client: Client) -> None:
    shell = len(b'{"event_id":""}')
    for size, status in ((1 << 20, 202), ((1 << 20) + 1, 413)):
        raw = b'{"event_id":"' + b"x" * (size - shell) + b'"}'
        assert (await call(client.amperity, "POST", STREAM, raw=raw, headers=client.headers)).status == status
    assert client.broken() == {"record_too_large": 1}


async def test_a_thousand_rows_a_second_are_taken_and_one_more_is_not(client: Client) -> None:
    statuses = [(await client.row(event_id=number)).status for number in range(1001)]
    assert (statuses.count(202), statuses[-1]) == (1000, 429)
    client.clock.move(1)
    assert (await client.row(event_id=1)).status == 202


async def test_a_429_has_no_retry_after(client: Client) -> None:
    client.amperity.adjust({"stream_per_s": 1})
    await client.row(event_id=1)
    answer = await client.row(event_id=2)
    assert (answer.status, "retry-after" in answer.headers) == (429, False)


async def test_records_in_xml_are_many_rows(client: Client) -> None:
    raw = b"<records><record><id>1</id></record><record><id>2</id></record></records>"
    headers = {**client.headers, "Content-Type": "application/xml"}
    assert (await call(client.amperity, "POST", STREAM, raw=raw, headers=headers)).status == 202
    assert (await call(client.amperity, "POST", STREAM, raw=b"<records>", headers=headers)).status == 202
    assert client.amperity.streams["is-cust"].count == 3
    assert (await client.row(event_id=1)).status == 400
    assert client.broken() == {"mixed_types": 1}


async def test_nested_rows_are_noticed(client: Client) -> None:
    await client.row(event_id=1, address={"city": "Leeds"})
    assert client.broken() == {"nested_row": 1}


async def test_unknown_streams_and_types_are_refused() -> None:
    client = Client(streams=("is-ord",))
    assert (await client.row(event_id=1)).status == 400
    answer = await client.ask("POST", "/stream/v0/data/is-ord", {}, **{"Content-Type": "text/csv"})
    assert (answer.status, client.broken()) == (400, {"unknown_stream": 1, "content_type": 1})


@pytest.mark.parametrize(("fault", "status"), [("busy", 503), ("expired_token", 401), ("forced_429", 429)])
async def test_faults_are_played_in_amperitys_words(client: Client, fault: str, status: int) -> None:
    async def faulty(scope: Any, receive: Any, send: Any) -> None:
        await client.amperity({**scope, ASKED: fault}, receive, send)

    answer = await call(faulty, "POST", STREAM, body={"event_id": 1}, headers=client.headers)
    assert (answer.status, answer.json()["status"], client.broken()) == (status, status, {})


# --- real-time events ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "headers", "status"),
    [
        ("open", {"Content-Length": "8"}, 202),
        ("dropping", {"Content-Length": "8"}, 204),
        ("closed", {"Content-Length": "8"}, 409),
        ("unknown", {"Content-Length": "8"}, 404),
        ("open", {}, 411),
        ("open", {"Content-Length": "65537"}, 413),
        ("open", {"Content-Length": "8", "Content-Type": "text/plain"}, 415),
    ],
)
async def test_real_time_events_have_their_own_answers(stream: str, headers: dict[str, str], status: int) -> None:
    client = Client(streams=("open", "dropping", "closed"), closed=("closed",), dropping=("dropping",))
    assert (await client.ask("POST", f"/prof/events/{stream}", {"id": 1}, **headers)).status == status


# --- the control plane -----------------------------------------------------------------------------------------------


async def test_the_control_plane_takes_ten_calls_a_second(client: Client) -> None:
    statuses = [(await client.get("campaigns")).status for _ in range(11)]
    assert statuses == [200] * 10 + [429]
    assert (await client.row(event_id=1)).status == 202


async def test_lists_are_read_by_cursor_to_their_end(client: Client) -> None:
    path = "segments?limit=20&with_total=true"
    ids: list[str] = []
    while path:
        page = (await client.get(path)).json()
        ids.extend(one["id"] for one in page["data"])
        path = f"segments?limit=20&next_token={page['next_token']}" if "next_token" in page else ""
    assert (len(ids), len(set(ids))) == (45, 45)


async def test_a_cursor_expires_and_is_for_its_list_alone(client: Client) -> None:
    cursor = (await client.get("segments")).json()["next_token"]
    assert (await client.get(f"audit-events?next_token={cursor}")).status == 400
    assert (await client.get("segments?next_token=null")).status == 400
    client.clock.move(301)
    assert (await client.get(f"segments?next_token={cursor}")).status == 400


async def test_jobs_want_a_window_of_at_most_seven_days(client: Client) -> None:
    good = "ingest/jobs?created_from=2026-01-01T00:00:00Z&created_to=2026-01-08T00:00:00Z"
    assert len((await client.get(good)).json()["data"]) == 7
    assert (await client.get("ingest/jobs")).status == 400
    assert (await client.get(good.replace("08T", "09T"))).status == 400
    assert (await client.get("ingest/jobs/jb-001")).json()["state"] == "succeeded"
    assert (await client.get("ingest/jobs/none")).status == 404


async def test_a_workflow_runs_by_the_clock_and_each_start_is_another(client: Client) -> None:
    started = [(await client.ask("POST", "/api/workflow/runs", {"config_id": "cg-1"}, **API)).json() for _ in range(2)]
    name = started[0]["id"]
    states = [started[0]["state"]]
    for seconds in (2, 8):
        client.clock.move(seconds)
        states.append((await client.get(f"workflow/runs/{name}")).json()["state"])
    assert states == ["scheduled", "running", "succeeded"]
    assert started[0]["id"] != started[1]["id"]
    assert len((await client.get("workflow/runs")).json()["data"]) == 2


async def test_a_workflow_is_stopped_until_it_has_ended(client: Client) -> None:
    name = (await client.ask("POST", "/api/workflow/runs", {"config_id": "cg-1"}, **API)).json()["id"]
    stop = f"/api/workflow/runs/{name}/stop"
    assert (await client.ask("POST", stop, None, **API)).json()["state"] == "stopped"
    assert (await client.ask("POST", stop, None, **API)).status == 409
    assert (await client.ask("POST", "/api/workflow/runs", {}, **API)).status == 400


async def test_what_there_is_not_is_a_404(client: Client) -> None:
    assert (await client.get("nothing")).status == 404
    assert (await client.get("workflow/runs/none")).status == 404


def test_the_view_shows_neither_tokens_nor_secrets() -> None:
    client = Client(tokens=("very-secret-token",), clients={"c": "very-secret"})
    assert "very-secret" not in str(client.amperity.view())
