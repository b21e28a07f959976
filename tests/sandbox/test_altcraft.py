import json
from typing import Any

import pytest
import xmltodict

from gateway.sandbox.altcraft import Altcraft, Rules
from gateway.sandbox.faults import ASKED
from tests.sandbox.asgi import Answer, call
from tests.sandbox.clock import KnownChance, ManualClock

BASE = "/api/v1.1/"


class Client:
    """Somebody with a token, a simulated Altcraft, and its clock. Each call has a request id of its own unless told."""

    def __init__(self, **rules: Any) -> None:
        self.clock = ManualClock()
        self.altcraft = Altcraft(self.clock, KnownChance(), Rules(**rules))
        self._calls = 0

    def broken(self) -> dict[str, int]:
        return dict(self.altcraft.witness.broken)

    async def ask(self, method: str, body: Any, request_id: str | None = "", **headers: str) -> Answer:
        self._calls += 1
        if request_id is not None:
            headers["Request-ID"] = request_id or f"r-{self._calls}"
        return await call(self.altcraft, "POST", BASE + method, body=body, headers=headers)

    async def say(self, method: str, **content: Any) -> Any:
        return (await self.ask(method, {"token": "a-token", "db_id": 1, **content})).json()

    async def write(self, email: str, way: str = "import", /, **data: Any) -> Any:
        return await self.say(f"profiles/{way}", email=email, data=data)

    async def read(self, email: str) -> Any:
        return (await self.say("profiles/get", email=email))["data"]


@pytest.fixture
def client() -> Client:
    return Client()


# --- what is looked at first -----------------------------------------------------------------------------------------


async def test_a_good_import_says_so_with_the_profiles_id(client: Client) -> None:
    said = await client.write("ada@example.com", _fname="Ada")
    assert (said["error"], said["error_text"], len(said["profile_id"])) == (0, "Successful operation", 24)


async def test_errors_stand_in_the_body_of_a_200(client: Client) -> None:
    answer = await client.ask("profiles/import", {"db_id": 1, "email": "a@example.com"})
    assert (answer.status, answer.json()["error"], answer.json()["error_text"]) == (200, 401, "Token is required")


async def test_errors_are_mirrored_in_the_status_where_told() -> None:
    client = Client(http_status="mirror")
    assert (await client.ask("profiles/import", {"db_id": 1})).status == 401
    assert (await client.ask("profiles/import", {"token": "t", "db_id": 1, "email": "nobody"})).status == 400
    assert (await client.ask("profiles/import", {"token": "t", "db_id": 1, "email": "a@example.com"})).status == 200


@pytest.mark.parametrize(
    ("method", "content", "code"),
    [
        ("profiles/forget", {"db_id": 1}, 501),
        ("profiles/import", {"db_id": "x"}, 400),
        ("profiles/import", {"db_id": 7}, 404),
        ("profiles/import", {"db_id": 1, "resource_id": 9}, 413),
        ("profiles/delete", {"db_id": 1}, 403),
        ("profiles/import", {"db_id": 1}, 400),
        ("profiles/import", {"db_id": 1, "email": "a@example.com", "matching": "shoe"}, 400),
        ("profiles/import", {"db_id": 1, "email": "a@example.com", "data": []}, 400),
        ("profiles/import", {"db_id": 1, "email": "nobody"}, 450),
        ("profiles/import", {"db_id": 1, "email": "a@example.com", "data": {"phones": ["0207"]}}, 450),
        ("profiles/import", {"db_id": 1, "email": "a@example.com", "data": {"_bdate": "1990-02-22"}}, 450),
        (
            "profiles/import",
            {"db_id": 1, "email": "a@example.com", "data": {"subscriptions": [{"channel": "post"}]}},
            450,
        ),
    ],
)
async def test_each_fault_has_its_code(method: str, content: dict[str, Any], code: int) -> None:
    client = Client(databases=(1,), resources={"3": 1}, denied=("profiles/delete",))
    assert (await client.ask(method, {"token": "t", **content})).json()["error"] == code


async def test_a_content_type_that_is_neither_json_nor_xml_is_a_415(client: Client) -> None:
    answer = await call(
        client.altcraft, "POST", BASE + "profiles/import", raw=b"a=1", headers={"Content-Type": "text/plain"}
    )
    assert answer.json()["error"] == 415


async def test_the_token_may_be_a_bearer_or_in_the_address(client: Client) -> None:
    content = {"db_id": 1, "email": "a@example.com"}
    assert (await client.ask("profiles/import", content, Authorization="Bearer t")).json()["error"] == 0
    assert (await client.ask("profiles/import?token=t", content)).json()["error"] == 0


async def test_a_body_over_ten_megabytes_is_an_http_413(client: Client) -> None:
    answer = await call(client.altcraft, "POST", BASE + "profiles/import", raw=b" " * 10_000_001)
    assert (answer.status, client.broken()) == (413, {"body_too_large": 1})


async def test_a_limiter_answers_an_http_429_where_one_is_set() -> None:
    client = Client(requests_per_s=1)
    await client.write("a@example.com")
    answer = await client.ask("profiles/import", {})
    assert (answer.status, client.broken()) == (429, {"rate_limit": 1})


async def test_the_tariff_is_used_up() -> None:
    client = Client(tariff=1)
    assert [(await client.write(f"{n}@example.com"))["error"] for n in range(2)] == [0, 402]


@pytest.mark.parametrize(
    ("fault", "status", "code"), [("busy", 200, 500), ("expired_token", 200, 401), ("forced_429", 429, 429)]
)
async def test_faults_are_played_in_altcrafts_words(client: Client, fault: str, status: int, code: int) -> None:
    async def faulty(scope: Any, receive: Any, send: Any) -> None:
        await client.altcraft({**scope, ASKED: fault}, receive, send)

    content = {"token": "t", "db_id": 1, "email": "a@example.com"}
    answer = await call(faulty, "POST", BASE + "profiles/import", body=content, headers={"Request-ID": "r-1"})
    assert (answer.status, answer.json()["error"], client.broken()) == (status, code, {})


# --- matching --------------------------------------------------------------------------------------------------------


async def test_import_creates_once_and_updates_then(client: Client) -> None:
    first = await client.write("ada@example.com", _fname="Ada", _city="Leeds")
    second = await client.write("ADA@example.com", _fname="A.")
    assert first["profile_id"] == second["profile_id"]
    kept = await client.read("ada@example.com")
    assert (kept["_fname"], kept["_city"]) == ("A.", "Leeds")


async def test_update_wants_an_existing_profile_and_add_a_new_one(client: Client) -> None:
    assert (await client.write("a@example.com", "update"))["error"] == 404
    assert (await client.write("a@example.com", "add"))["error"] == 0
    assert (await client.write("a@example.com", "add"))["error"] == 409
    assert (await client.write("a@example.com", "update", _city="Leeds"))["error"] == 0


async def test_email_matches_subscriptions_as_well_and_email_profile_does_not(client: Client) -> None:
    subscription = {"channel": "email", "resource_id": 3, "email": "news@example.com"}
    first = await client.write("ada@example.com", subscriptions=[subscription])
    by_email = await client.say("profiles/import", email="news@example.com", data={"_city": "Leeds"})
    by_profile = await client.say("profiles/import", email="news@example.com", matching="email_profile", data={})
    assert by_email["profile_id"] == first["profile_id"]
    assert by_profile["profile_id"] != first["profile_id"]


async def test_phones_of_profile_and_subscription_match(client: Client) -> None:
    first = await client.write("ada@example.com", phones=["+442079460101"])
    second = await client.say("profiles/import", matching="phone", phone="+442079460101", data={})
    assert first["profile_id"] == second["profile_id"]


async def test_a_profile_is_found_by_its_id_but_never_made_by_one(client: Client) -> None:
    name = (await client.write("ada@example.com"))["profile_id"]
    found = await client.say("profiles/import", matching="profile_id", profile_id=name, data={"_city": "Leeds"})
    missed = await client.say("profiles/import", matching="profile_id", profile_id="0" * 24, data={})
    assert (found["error"], missed["error"]) == (0, 404)


async def test_a_custom_field_matches_profiles_written_before_and_after(client: Client) -> None:
    first = await client.write("ada@example.com", shop_id="77")
    by_field = {"matching": "custom", "field_name": "shop_id"}
    second = await client.say("profiles/import", **by_field, field_value=77, data={"_city": "Leeds"})
    third = await client.say("profiles/import", **by_field, field_value="78", data={})
    fourth = await client.say("profiles/import", **by_field, field_value="78", data={})
    assert first["profile_id"] == second["profile_id"]
    assert third["profile_id"] == fourth["profile_id"] != first["profile_id"]


async def test_a_search_that_finds_several_is_ambiguous(client: Client) -> None:
    for email in ("a@example.com", "b@example.com"):
        await client.write(email, phones=["+442079460101"])
    said = await client.say("profiles/import", matching="phone", phone="+442079460101", data={})
    assert (said["error"], client.broken()) == (435, {"ambiguous": 1})


async def test_a_unique_value_of_another_profile_is_a_409(client: Client) -> None:
    await client.write("a@example.com")
    await client.write("b@example.com")
    assert (await client.write("b@example.com", email="a@example.com"))["error"] == 409


async def test_a_changed_address_is_found_and_the_old_one_is_not(client: Client) -> None:
    await client.write("old@example.com", email="new@example.com")
    await client.write("new@example.com", email="newer@example.com")
    assert (await client.say("profiles/get", email="new@example.com"))["error"] == 404
    assert (await client.read("newer@example.com"))["email"] == "newer@example.com"


async def test_a_null_is_noticed(client: Client) -> None:
    await client.write("a@example.com", _city=None)
    assert client.broken() == {"null_value": 1}


async def test_profiles_are_listed_and_deleted(client: Client) -> None:
    for number in range(3):
        await client.write(f"{number}@example.com")
    listed = (await client.say("profiles/list", limit=2))["data"]
    rest = (await client.say("profiles/list", from_id=listed[-1]["_id"]))["data"]
    assert (len(listed), len(rest)) == (2, 1)
    assert (await client.say("profiles/delete", email="0@example.com"))["error"] == 0
    assert (await client.say("databases/list"))["data"] == [{"id": 1, "profiles": 2}]


# --- batches ---------------------------------------------------------------------------------------------------------


async def test_a_batch_has_a_result_for_each_profile_in_order(client: Client) -> None:
    items = [{"email": "a@example.com", "data": {"_city": "Leeds"}}, {"email": "x", "data": {}}, {"data": {}}]
    said = await client.say("profiles/import_batch", matching="email", data=items)
    assert said["error"] == 0
    assert [one["error"] for one in said["result"]] == [0, 450, 400]


async def test_a_batch_without_a_list_is_an_incorrect_request(client: Client) -> None:
    assert (await client.say("profiles/import_batch", data=[]))["error"] == 400


# --- the memory of requests ------------------------------------------------------------------------------------------


def content(city: str) -> dict[str, Any]:
    return {"token": "t", "db_id": 1, "email": "a@example.com", "data": {"_city": city}}


async def test_a_repetition_by_its_id_gets_the_first_answer_and_is_not_applied(client: Client) -> None:
    first = await client.ask("profiles/import", content("Leeds"), "r1")
    await client.ask("profiles/import", content("York"), "r2")
    again = await client.ask("profiles/import", content("Leeds"), "r1")
    assert again.json() == first.json()
    assert again.headers["duplicate-request"] == again.headers["x-duplicate-request"] == "true"
    assert again.headers["duplicate-key"] == again.headers["x-duplicate-key"]
    assert (await client.read("a@example.com"))["_city"] == "York"
    assert (client.altcraft.swallowed, client.broken()) == (1, {})


async def test_without_an_id_a_third_update_like_the_first_is_lost(client: Client) -> None:
    for city in ("Leeds", "York", "Leeds"):
        await client.ask("profiles/import", content(city), None)
    assert (await client.read("a@example.com"))["_city"] == "York"
    assert client.broken() == {"request_id_missing": 3, "dropped_as_duplicate": 1}


async def test_with_fresh_ids_all_three_apply(client: Client) -> None:
    for city in ("Leeds", "York", "Leeds"):
        await client.ask("profiles/import", content(city))
    assert (await client.read("a@example.com"))["_city"] == "Leeds"


async def test_an_id_used_for_another_request_loses_it(client: Client) -> None:
    await client.ask("profiles/import", content("Leeds"), "r1")
    await client.ask("profiles/import", content("York"), "r1")
    assert (await client.read("a@example.com"))["_city"] == "Leeds"
    assert client.broken() == {"request_id_reused": 1}


async def test_a_request_is_forgotten_a_day_after_it_first_came(client: Client) -> None:
    await client.ask("profiles/import", content("Leeds"), "r1")
    client.clock.move(86_399)
    assert "duplicate-request" in (await client.ask("profiles/import", content("Leeds"), "r1")).headers
    client.clock.move(1)
    assert "duplicate-request" not in (await client.ask("profiles/import", content("Leeds"), "r1")).headers


async def test_an_error_is_repeated_from_memory_too_unless_told(client: Client) -> None:
    bad = {**content("Leeds"), "data": {"_sex": 7}}
    lenient = Client(replay_errors=False)
    for one in (client, lenient):
        await one.ask("profiles/import", bad, "r1")
        await one.ask("profiles/import", bad, "r1")
    assert (client.altcraft.swallowed, lenient.altcraft.swallowed) == (1, 0)


async def test_the_header_counts_in_the_spelling_of_its_time() -> None:
    client = Client(header_era="old")
    for city in ("Leeds", "York"):
        await client.ask("profiles/import", content(city), None, **{"X-Request-ID": "r1", "Request-ID": city})
    assert client.broken() == {"request_id_reused": 1}


async def test_two_spellings_with_two_values_are_a_breach(client: Client) -> None:
    await client.ask("profiles/import", content("Leeds"), "r1", **{"X-Request-ID": "r2"})
    assert client.broken() == {"request_ids_differ": 1}


async def test_ids_of_two_tokens_are_apart(client: Client) -> None:
    await client.ask("profiles/import", content("Leeds"), "r1")
    await client.ask("profiles/import", {**content("York"), "token": "another"}, "r1")
    assert client.altcraft.swallowed == 0


async def test_reading_is_never_swallowed(client: Client) -> None:
    await client.write("a@example.com")
    for _ in range(2):
        answer = await client.ask("profiles/get", {"token": "t", "db_id": 1, "email": "a@example.com"}, "r9")
        assert "duplicate-request" not in answer.headers


# --- XML -------------------------------------------------------------------------------------------------------------


async def test_a_request_in_xml_is_answered_in_xml_when_asked(client: Client) -> None:
    text = (
        "<xml><token>T</token><db_id>1</db_id><matching>email</matching><email>a@example.com</email>"
        "<data><_fname>Ji &amp; m</_fname></data></xml>"
    )
    headers = {"Content-Type": "application/xml", "Accept": "application/xml"}
    answer = await call(client.altcraft, "POST", BASE + "profiles/import", raw=text.encode(), headers=headers)
    assert answer.headers["content-type"] == "application/xml"
    assert xmltodict.parse(answer.body)["xml"]["error"] == "0"
    assert (await client.read("a@example.com"))["_fname"] == "Ji & m"


async def test_a_batch_in_xml_repeats_its_elements(client: Client) -> None:
    items = "".join(f"<data><email>{n}@example.com</email><data><_city>Leeds</_city></data></data>" for n in range(2))
    text = f"<xml><token>T</token><db_id>1</db_id>{items}</xml>"
    for raw in (text, text.replace(items, items[: len(items) // 2])):
        headers = {"Content-Type": "application/xml"}
        answer = await call(client.altcraft, "POST", BASE + "profiles/import_batch", raw=raw.encode(), headers=headers)
        assert {one["error"] for one in json.loads(answer.body)["result"]} == {0}


@pytest.mark.parametrize("text", ["<a>", "", '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'])
async def test_xml_that_is_broken_or_dangerous_is_not_read(client: Client, text: str) -> None:
    headers = {"Content-Type": "application/xml"}
    answer = await call(client.altcraft, "POST", BASE + "profiles/import", raw=text.encode(), headers=headers)
    assert (answer.json()["error"], client.broken()) == (400, {"unreadable": 1})


async def test_a_list_of_one_in_xml_is_a_list(client: Client) -> None:
    text = (
        "<xml><token>T</token><db_id>1</db_id><matching>email</matching><email>a@example.com</email>"
        "<data><phones>+447700900123</phones></data></xml>"
    )
    headers = {"Content-Type": "application/xml"}
    answer = await call(client.altcraft, "POST", BASE + "profiles/import", raw=text.encode(), headers=headers)
    assert answer.json()["error"] == 0
    assert (await client.read("a@example.com"))["phones"] == ["+447700900123"]


async def test_who_comes_back_while_the_tariff_is_used_up_breaks_a_rule() -> None:
    client = Client(tariff=1)
    codes = [(await client.write("a@example.com", _fname=name))["error"] for name in ("Ada", "Bea")]
    client.clock.move(600.0)
    codes.append((await client.write("a@example.com", _fname="Cem"))["error"])
    assert (codes, client.broken()) == ([0, 402, 402], {"came_back_early": 1})
    client.clock.move(3_600.0)
    await client.write("a@example.com", _fname="Dan")
    assert client.broken() == {"came_back_early": 1}


async def test_a_token_in_the_url_is_a_breach(client: Client) -> None:
    await client.ask("profiles/import?token=t", {"db_id": 1, "email": "a@example.com", "data": {}})
    assert client.broken() == {"token_in_url": 1}


@pytest.mark.parametrize(
    "data",
    [
        {"_status": "new"},
        {"_country": "United Kingdom"},
        {"_city": ["Leeds"]},
        {"_fname": True},
        {"subscriptions": [{"channel": "email", "resource_id": 1, "email": "nobody"}]},
        {"subscriptions": [{"channel": "sms", "resource_id": 1}]},
    ],
)
async def test_a_system_field_of_another_form_is_invalid(client: Client, data: dict[str, Any]) -> None:
    assert (await client.write("a@example.com", **data))["error"] == 450
