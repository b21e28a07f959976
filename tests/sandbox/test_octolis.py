from typing import Any

import pytest

from gateway.sandbox.faults import ASKED
from gateway.sandbox.octolis import Hook, Octolis, Rules
from gateway.sandbox.octolis_dataset import Column, Shape
from tests.sandbox.asgi import Answer, call
from tests.sandbox.clock import KnownChance, ManualClock

HEADERS = {"Accept": "*/*", "Content-Type": "application/json"}
CUSTOMERS = Shape(
    keys=(("email",), ("brand", "loyalty_id")),
    columns={
        "email": Column(),
        "brand": Column(),
        "loyalty_id": Column(),
        "firstname": Column(mandatory=True),
        "country": Column(default="GB"),
        "age": Column(type="int"),
        "spent": Column(type="float"),
        "consent_sms": Column(type="bool"),
        "born": Column(type="datetime"),
        "score": Column(type="int", protected=True),
    },
)


class Client:
    """Somebody with a key, a simulated Octolis with a dataset of customers, and its clock."""

    def __init__(self, **rules: Any) -> None:
        self.clock = ManualClock()
        datasets = {"customers": CUSTOMERS, "report": Shape(kind="sql", columns={})}
        self.octolis = Octolis(self.clock, KnownChance(), Rules(**{"datasets": datasets, **rules}))

    def broken(self) -> dict[str, int]:
        return dict(self.octolis.witness.broken)

    async def ask(self, method: str, path: str, body: Any = None, key: str = "a-key-of-octolis") -> Answer:
        mark = "&" if "?" in path else "?"
        return await call(self.octolis, method, f"/v1/data{path}{mark}api-key={key}", body=body, headers=HEADERS)

    async def upsert(self, *, dataset: str = "customers", **values: Any) -> Answer:
        return await self.ask("POST", f"/datasets/{dataset}/records", values)

    async def batch(self, *records: Any, dataset: str = "customers") -> Answer:
        return await self.ask("POST", f"/datasets/{dataset}/records/batch", list(records))

    async def records(self, query: str = "") -> Any:
        self.clock.move(5.0)
        return (await self.ask("GET", f"/datasets/customers/records?{query}")).json()["records"]


@pytest.fixture
def client() -> Client:
    return Client()


# --- key, headers, points --------------------------------------------------------------------------------------------


async def test_a_request_without_a_key_is_unauthorised(client: Client) -> None:
    answer = await call(client.octolis, "POST", "/v1/data/datasets/x/records", body={"id": "1"}, headers=HEADERS)
    assert (answer.status, answer.json()["status"], client.broken()) == (401, 401, {"unknown_key": 1})


@pytest.mark.parametrize(
    "headers", [{"Content-Type": "application/json"}, {"Accept": "*/*", "Content-Type": "text/plain"}]
)
async def test_both_headers_are_mandatory_reading_included(client: Client, headers: dict[str, str]) -> None:
    target = "/v1/data/datasets/customers/records?api-key=k"
    assert (await call(client.octolis, "GET", target, headers=headers)).status == 400
    assert client.broken() == {"header_missing": 1}


async def minute(client: Client, *keys: str) -> list[int]:
    """Who hammers with all keys for a minute: how many writes get through, second by second."""
    through = [0] * 60
    for second in range(60):
        for _ in range(32):
            for key in keys:
                answer = await client.ask("POST", "/datasets/free/records", {"id": "1"}, key)
                through[second] += answer.status == 200
            client.clock.move(1 / 32)
    return through


async def test_one_key_writes_17_times_in_the_first_second_and_135_times_a_minute(client: Client) -> None:
    through = await minute(client, "a-first-key")
    assert (through[0], sum(through)) == (17, 135)


async def test_two_keys_share_the_accounts_200_writes_a_minute(client: Client) -> None:
    assert sum(await minute(client, "a-first-key", "a-second-key")) == 200


async def test_a_429_says_in_whole_seconds_when_to_come_back(client: Client) -> None:
    answers = [await client.upsert(dataset="free", id="1") for _ in range(18)]
    assert (answers[-1].status, answers[-1].headers["retry-after"]) == (429, "1")
    assert client.broken() == {"rate_limit_key": 1}


async def test_a_read_costs_a_tenth_of_a_write(client: Client) -> None:
    await client.upsert(dataset="free", id="1")
    await client.ask("GET", "/datasets/free/records")
    assert client.octolis.points == {"…olis": 11}


async def test_every_answer_can_be_traced(client: Client) -> None:
    good, bad = await client.upsert(email="a@example.com", firstname="A"), await client.upsert(age="x")
    assert {"apigw-requestid", "traceparent"} <= good.headers.keys() & bad.headers.keys()


# --- upserting -------------------------------------------------------------------------------------------------------


async def test_a_new_record_gets_a_master_id_and_defaults(client: Client) -> None:
    record = (await client.upsert(email="ada@example.com", firstname="Ada")).json()["record"]
    assert (record["country"], record["age"]) == ("GB", None)
    assert record["__all_masterids__"] == [record["__masterid__"]]
    assert record["__created_at__"] == record["__modified_at__"] == "2025-10-09 08:53:20.000"


async def test_the_same_key_again_keeps_what_is_omitted_and_erases_what_is_null(client: Client) -> None:
    await client.upsert(email="ada@example.com", firstname="Ada", age=30)
    record = (await client.upsert(email="ada@example.com", firstname=None)).json()["record"]
    assert (record["firstname"], record["age"]) == (None, 30)
    assert len(client.octolis.datasets["customers"]) == 1


async def test_any_complete_set_of_keys_tells_a_record_apart(client: Client) -> None:
    await client.upsert(brand="N", loyalty_id="7", firstname="Ada")
    record = (await client.upsert(brand="N", loyalty_id="7", email="ada@example.com")).json()["record"]
    assert (record["firstname"], record["email"]) == ("Ada", "ada@example.com")


async def test_a_record_that_matches_two_masters_merges_them_into_the_older(client: Client) -> None:
    old = (await client.upsert(email="ada@example.com", firstname="Ada", age=30)).json()["record"]
    client.clock.move(1)
    young = (await client.upsert(brand="N", loyalty_id="7", firstname="A.")).json()["record"]
    record = (await client.upsert(email="ada@example.com", brand="N", loyalty_id="7")).json()["record"]
    assert record["__all_masterids__"] == [old["__masterid__"], young["__masterid__"]]
    assert (record["firstname"], record["age"]) == ("A.", 30)
    client.clock.move(5)
    read = (await client.ask("GET", f"/datasets/customers/records/{young['__masterid__']}")).json()
    assert (read["isMerged"], read["record"]["__masterid__"]) == (True, old["__masterid__"])


async def test_a_protected_column_is_left_alone_with_a_warning(client: Client) -> None:
    said = (await client.upsert(email="ada@example.com", firstname="Ada", score=9)).json()
    assert (said["record"]["score"], said["warnings"]) == (None, {"protected_columns": ["score"]})


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"consent_sms": "yes"}, "consent_sms (#/properties/consent_sms/type) - must be boolean"),
        ({"age": "30"}, "age (#/properties/age/type) - must be integer"),
        ({"age": 2_147_483_648}, "age (#/properties/age/maximum) - must be between -2147483648 and 2147483647"),
        ({"spent": 1.1234567}, "spent (#/properties/spent/multipleOf) - must have a maximum of 6 digits"),
        ({"born": "1978-06-23T00:00:00Z"}, "born (#/properties/born/type) - must be date-time"),
        ({"colour": "red"}, "colour (#/additionalProperties) - is not a column of this dataset"),
    ],
)
async def test_a_value_that_does_not_fit_is_refused_with_its_column(
    client: Client, values: dict[str, Any], error: str
) -> None:
    answer = await client.upsert(email="ada@example.com", firstname="Ada", **values)
    said = answer.json()
    assert (answer.status, said["title"]) == (400, "Validation failed for the provided data")
    assert (said["detail"], said["errors"]) == ("Validation for upsertion request failed", [error])
    assert client.broken()["invalid_values"] == 1


async def test_six_digits_may_mean_significant_ones() -> None:
    client = Client(float_digits="significant")
    assert (await client.upsert(email="a@example.com", firstname="A", spent=12345.67)).status == 400
    assert (await client.upsert(email="a@example.com", firstname="A", spent=1234.56)).status == 200


async def test_missing_mandatory_columns_are_named(client: Client) -> None:
    answer = await client.upsert(email="ada@example.com")
    said = answer.json()
    assert (answer.status, said["missing"]) == (400, ["firstname"])
    assert said["title"] == "Missing mandatory columns from the upsertion data"
    assert said["detail"] == "Missing the following mandatory columns: firstname"


async def test_a_record_without_any_key_misses_its_key(client: Client) -> None:
    assert (await client.upsert(firstname="Ada", brand="N")).json()["missing"] == ["email"]


async def test_an_iso_time_is_noticed_as_something_octolis_does_not_promise_to_read(client: Client) -> None:
    await client.upsert(dataset="free", id="1", placed_at="2026-01-02T03:04:05Z")
    assert client.broken() == {"iso_datetime": 1}


async def test_an_open_dataset_takes_what_comes_and_tells_records_apart_by_a_usual_key(client: Client) -> None:
    for number in ("1", "2", "1"):
        await client.upsert(dataset="orders", order_id=number, total=9.5)
    assert len(client.octolis.datasets["orders"]) == 2
    assert (await client.upsert(dataset="orders", order_id=6_000_000_000)).status == 400


async def test_a_dataset_that_there_is_not_is_a_404_when_nothing_is_open() -> None:
    client = Client(open=False)
    assert (await client.upsert(dataset="orders", order_id="1")).status == 404
    assert client.broken() == {"unknown_dataset": 1}


async def test_sql_datasets_are_read_only(client: Client) -> None:
    assert (await client.upsert(dataset="report", id="1")).status == 400
    assert client.broken() == {"read_only": 1}


# --- batches and updates ---------------------------------------------------------------------------------------------


async def test_a_batch_has_a_result_for_each_record_in_order(client: Client) -> None:
    answer = await client.batch(
        {"email": "a@example.com", "firstname": "A"},
        {"email": "b@example.com"},
        {"email": "c@example.com", "firstname": "C", "age": "x"},
    )
    first, second, third = answer.json()["results"]
    assert (answer.status, first["written"], second["written"], third["written"]) == (200, True, False, False)
    assert (second["error"]["missing"], second["error"]["status"]) == (["firstname"], 400)
    assert third["error"]["errors"] == ["age (#/properties/age/type) - must be integer"]


async def test_a_batch_of_five_hundred_is_taken_and_one_more_is_not(client: Client) -> None:
    records = [{"id": str(number)} for number in range(501)]
    assert (await client.batch(*records[:500], dataset="free")).status == 200
    assert (await client.batch(*records, dataset="free")).status == 400
    assert client.broken() == {"too_many_records": 1}


async def test_one_key_twice_in_a_batch_is_a_breach(client: Client) -> None:
    await client.batch({"id": "1"}, {"id": "1"}, dataset="free")
    assert client.broken() == {"key_twice_in_batch": 1}


async def test_a_batch_that_is_no_array_is_refused(client: Client) -> None:
    assert (await client.ask("POST", "/datasets/free/records/batch", {"id": "1"})).status == 400


async def test_a_record_is_updated_by_its_master_id(client: Client) -> None:
    name = (await client.upsert(email="ada@example.com", firstname="Ada")).json()["record"]["__masterid__"]
    one = await client.ask("PATCH", f"/datasets/customers/records/{name}", {"age": 31})
    many = await client.ask(
        "PATCH", "/datasets/customers/records/batch", [{"__masterid__": name, "age": 32}, {"age": 1}]
    )
    assert one.json()["record"]["age"] == 31
    assert [result["written"] for result in many.json()["results"]] == [True, False]
    assert (await client.ask("PATCH", "/datasets/customers/records/none", {"age": 31})).status == 404


async def test_an_update_may_not_take_anothers_key(client: Client) -> None:
    await client.upsert(email="a@example.com", firstname="A")
    name = (await client.upsert(email="b@example.com", firstname="B")).json()["record"]["__masterid__"]
    assert (await client.ask("PATCH", f"/datasets/customers/records/{name}", {"email": "a@example.com"})).status == 400


async def test_a_busy_dataset_is_a_423_and_others_are_not(client: Client) -> None:
    client.octolis.adjust({"busy": ["customers"]})
    answer = await client.upsert(email="a@example.com", firstname="A")
    assert (answer.status, answer.json()["title"]) == (423, "Dataset is busy")
    assert (await client.upsert(dataset="free", id="1")).status == 200
    assert client.broken() == {}


@pytest.mark.parametrize(("fault", "status"), [("busy", 423), ("forced_429", 429), ("expired_token", 401)])
async def test_faults_are_played_in_octolis_words_and_are_no_breach(client: Client, fault: str, status: int) -> None:
    async def faulty(scope: Any, receive: Any, send: Any) -> None:
        await client.octolis({**scope, ASKED: fault}, receive, send)

    answer = await call(faulty, "POST", "/v1/data/datasets/x/records?api-key=k", body={"id": "1"}, headers=HEADERS)
    assert (answer.status, answer.json()["status"], client.broken()) == (status, status, {})


# --- reading ---------------------------------------------------------------------------------------------------------


async def test_readers_see_a_record_only_once_it_is_prepared(client: Client) -> None:
    name = (await client.upsert(email="a@example.com", firstname="A")).json()["record"]["__masterid__"]
    path = f"/datasets/customers/records/{name}"
    assert (await client.ask("GET", path)).status == 404
    client.clock.move(2)
    await client.upsert(email="a@example.com", firstname="B")
    assert (await client.ask("GET", path)).json()["record"]["firstname"] == "A"
    client.clock.move(2)
    assert (await client.ask("GET", path)).json()["record"]["firstname"] == "B"


async def test_lists_are_filtered_selected_paged_and_the_latest_first(client: Client) -> None:
    for number in range(4):
        await client.upsert(email=f"{number}@example.com", firstname="AB"[number % 2])
        client.clock.move(1)
    newest = await client.records("selection=email&pageSize=1")
    second = await client.records("selection=email&pageSize=1&page=2&order=asc")
    of_b = await client.records("filter=firstname:B&selection=email")
    both = await client.records("filter=firstname:A,firstname:B,country:GB")
    assert newest == [{"email": "3@example.com"}]
    assert second == [{"email": "1@example.com"}]
    assert [one["email"] for one in of_b] == ["3@example.com", "1@example.com"]
    assert len(both) == 4


async def test_counts_and_csv(client: Client) -> None:
    await client.upsert(email="a@example.com", firstname="A")
    client.clock.move(3)
    count = await client.ask("GET", "/datasets/customers/records/count?filter=firstname:A")
    text = await client.ask("GET", "/datasets/customers/records?format=csv&header=true&selection=email,firstname")
    assert count.json() == {"count": 1}
    assert text.body.decode().splitlines() == ["email,firstname", "a@example.com,A"]


# --- webhooks --------------------------------------------------------------------------------------------------------


async def test_a_webhook_takes_any_json_without_points(client: Client) -> None:
    for _ in range(30):
        assert (await client.ask("PUT", "/webhook/w1", [1, {"any": "thing"}])).json() == {}
    assert client.octolis.points == {}


async def test_a_webhooks_guards_discard_what_does_not_fit() -> None:
    client = Client(hooks={"w1": Hook(methods=("POST",), headers={"X-Shop": "uk"})})
    assert (await client.ask("POST", "/webhook/w1", {})).status == 403
    assert (await client.ask("PUT", "/webhook/w1", {})).status == 403
    assert client.broken() == {"not_allowed": 2}


# --- what it remembers -----------------------------------------------------------------------------------------------


async def test_it_tells_how_often_each_record_came(client: Client) -> None:
    await client.batch({"id": "1"}, {"id": "2"}, dataset="free")
    await client.upsert(dataset="free", id="1")
    view = client.octolis.view()
    assert view["received"] == {"free:1": 2, "free:2": 1}
    assert view["datasets"] == {"free": {"keys": (("id",),), "records": 2}}


def test_a_dataset_is_set_up_anew(client: Client) -> None:
    client.octolis.adjust({"datasets": {"orders": {"keys": [["order_id"]], "columns": {"order_id": {"type": "text"}}}}})
    assert client.octolis.rules.datasets["orders"].keys == (("order_id",),)
    with pytest.raises(ValueError, match="colour"):
        client.octolis.adjust({"datasets": {"orders": {"colour": 1}}})


# --- what was asked for in an answer ---------------------------------------------------------------------------------


async def test_a_busy_dataset_is_left_alone_and_another_is_not() -> None:
    client = Client(busy=("customers",))
    assert (await client.upsert(email="a@example.com")).status == 423
    client.clock.move(2.0)
    assert (await client.upsert(dataset="orders", order_id="1")).status == 200
    assert client.broken() == {}
    await client.upsert(email="a@example.com")
    assert client.broken() == {"came_back_early": 1}
    client.clock.move(5.0)
    await client.upsert(email="a@example.com")
    assert client.broken() == {"came_back_early": 1}


async def test_a_key_that_was_told_to_wait_and_does_not_breaks_a_rule_once_more(client: Client) -> None:
    for _ in range(18):
        await client.upsert(email="a@example.com", firstname="Ada")
    assert client.broken() == {"rate_limit_key": 1}
    client.clock.move(0.6)
    await client.upsert(email="a@example.com", firstname="Ada")
    assert client.broken() == {"rate_limit_key": 2, "came_back_early": 1}


async def test_a_column_of_an_open_dataset_keeps_the_type_of_its_first_value(client: Client) -> None:
    assert (await client.upsert(dataset="orders", order_id="1", total=3)).status == 200
    assert (await client.upsert(dataset="orders", order_id="2", total=3.5)).status == 200
    assert (await client.upsert(dataset="orders", order_id="3", total="3.5")).status == 400
    assert (await client.upsert(dataset="orders", order_id=4, total=1)).status == 400
