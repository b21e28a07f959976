from typing import Any

import pytest

from gateway.sandbox.ometria import Ometria
from gateway.sandbox.ometria_account import Account, Rules
from tests.sandbox.asgi import Answer, call
from tests.sandbox.clock import ManualClock

KEY = "an-api-key-of-a-test"


class Client:
    """Somebody with a key, a simulated Ometria, and its clock."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.clock = ManualClock()
        self.ometria = Ometria(self.clock, rules)

    @property
    def account(self) -> Account:
        return self.ometria.accounts[KEY]

    def broken(self) -> dict[str, int]:
        return dict(self.account.witness.broken)

    async def push(self, *records: Any) -> Answer:
        return await call(self.ometria, "POST", "/v2/push", body=list(records), headers={"X-Ometria-Auth": KEY})

    async def get(self, path: str) -> Answer:
        return await call(self.ometria, "GET", f"/v2{path}", headers={"X-Ometria-Auth": KEY})

    async def post(self, path: str, body: Any) -> Answer:
        return await call(self.ometria, "POST", f"/v2{path}", body=body, headers={"X-Ometria-Auth": KEY})

    async def applied(self, *records: Any) -> None:
        """Push and let the queue drain."""
        assert (await self.push(*records)).status == 202
        self.clock.move(1.0)


@pytest.fixture
def client() -> Client:
    return Client()


def contact(**fields: Any) -> dict[str, Any]:
    return {"@type": "contact", "@collection": "uk", "id": "c1", "email": "ada@example.com", **fields}


def order(**fields: Any) -> dict[str, Any]:
    whole = {"timestamp": "2026-01-02T03:04:05Z", "grand_total": 30.5, "currency": "GBP"}
    return {"@type": "order", "id": "o1", **whole, **fields}


def product(**fields: Any) -> dict[str, Any]:
    return {"@type": "product", "id": "p1", "title": "A jumper", "price": 49.5, **fields}


def event(**fields: Any) -> dict[str, Any]:
    whole = {"event_type": "visit", "timestamp": "2026-01-02T03:04:05+00:00", "profile_id": "x"}
    return {"@type": "custom_event", "id": "e1", **whole, **fields}


# --- the key ---------------------------------------------------------------------------------------------------------


async def test_a_request_without_a_key_is_refused(client: Client) -> None:
    answer = await call(client.ometria, "POST", "/v2/push", body=[contact()])
    assert answer.status == 403
    assert answer.json() == {"status": "ERROR", "message": "API key is not authorised to access this resource"}
    assert client.ometria.refused_keys == 1


async def test_an_unknown_key_is_refused_where_keys_are_given() -> None:
    ometria = Ometria(ManualClock(), keys=["another"])
    answer = await call(ometria, "POST", "/v2/push", body=[contact()], headers={"X-Ometria-Auth": KEY})
    assert answer.status == 403


async def test_each_key_has_its_own_limits_and_records(client: Client) -> None:
    for _ in range(4):
        await client.push(contact())
    other = await call(client.ometria, "POST", "/v2/push", body=[contact()], headers={"X-Ometria-Auth": "other-key-9"})
    assert other.status == 202
    assert [one["counts"]["received"] for one in client.ometria.view()["accounts"]] == [4, 1]


def test_the_view_shows_no_key() -> None:
    client = Client()
    client.ometria.accounts[KEY] = Account(KEY, client.clock, client.ometria.rules)
    assert KEY not in str(client.ometria.view())


# --- the limits ------------------------------------------------------------------------------------------------------


async def test_the_fifth_push_within_a_second_is_a_429_and_a_breach(client: Client) -> None:
    statuses = [(await client.push(contact())).status for _ in range(5)]
    assert statuses == [202, 202, 202, 202, 429]
    assert client.broken() == {"rate_limit": 1}


async def test_a_429_has_the_queue_headers_and_takes_no_place_in_the_queue(client: Client) -> None:
    for _ in range(4):
        await client.push(contact())
    answer = await client.push(contact())
    assert answer.json() == {"status": "ERROR", "message": "Too many requests"}
    assert (answer.headers["x-queuesize-limit"], answer.headers["x-queuesize-remaining"]) == ("50000", "49996")


async def test_pushes_at_exactly_four_a_second_are_never_refused(client: Client) -> None:
    for _ in range(40):
        assert (await client.push(contact())).status == 202
        client.clock.move(0.25)
    assert client.broken() == {}


async def test_push_and_the_other_calls_have_buckets_of_their_own(client: Client) -> None:
    for _ in range(4):
        await client.push(contact())
    assert [(await client.get("/orders")).status for _ in range(5)] == [200, 200, 200, 200, 429]


async def test_deletions_are_six_a_minute(client: Client) -> None:
    body = {"action": "anonymise", "identities": [{"email": "ada@example.com"}]}
    statuses = [(await client.post("/data-deletion-requests", body)).status for _ in range(7)]
    assert statuses == [200] * 6 + [429]
    client.clock.move(60.0)
    assert (await client.get("/data-deletion-requests/1")).json()["action"] == "anonymise"


async def test_emails_are_ten_a_second_and_each_repetition_is_seen(client: Client) -> None:
    body = {"to": {"email": "a@example.com"}, "from": {"email": "b@example.com"}, "subject": "Hi", "template_id": 1}
    statuses = [(await client.post("/transactional-email/send", body)).status for _ in range(11)]
    assert statuses == [200] * 10 + [429]
    assert [seen.times for seen in client.account.witness.received.values()] == [10]


# --- what a push must look like --------------------------------------------------------------------------------------


async def test_a_push_is_answered_with_202_before_anything_is_stored(client: Client) -> None:
    answer = await client.push(contact())
    said = answer.json()
    assert (answer.status, answer.headers["x-queuesize-remaining"]) == (202, "49999")
    assert {name: said[name] for name in ("status", "accepted", "rejected", "skipped")} == {
        "status": "OK",
        "accepted": 1,
        "rejected": 0,
        "skipped": 0,
    }
    assert (await client.get("/contacts/uk/c1")).status == 404


@pytest.mark.parametrize(
    ("raw", "rule"),
    [
        (b'{"@type":"contact","id":"1"}', "not_an_array"),
        (b"[]", "not_an_array"),
        (b"[", "unreadable"),
        (b"", "unreadable"),
    ],
)
async def test_what_is_not_an_array_of_records_is_a_400(client: Client, raw: bytes, rule: str) -> None:
    answer = await call(client.ometria, "POST", "/v2/push", raw=raw, headers={"X-Ometria-Auth": KEY})
    assert (answer.status, client.broken()) == (400, {rule: 1})


async def test_a_hundred_records_are_taken_and_a_hundred_and_one_are_not(client: Client) -> None:
    assert (await client.push(*[contact(id=f"c{n}") for n in range(100)])).status == 202
    assert (await client.push(*[contact(id=f"c{n}") for n in range(101)])).status == 400
    assert client.broken() == {"too_many_records": 1}


async def test_two_types_in_one_call_are_refused_when_strict(client: Client) -> None:
    assert (await client.push(contact(), order())).status == 400
    assert client.broken() == {"mixed_types": 1}


async def test_two_types_in_one_call_pass_when_lenient() -> None:
    client = Client(Rules(strict=False))
    assert (await client.push(contact(), order())).status == 202


async def test_a_record_over_the_size_refuses_the_whole_request(client: Client) -> None:
    answer = await client.push(contact(), contact(id="c2", properties={"x": "y" * 61_500}))
    assert (answer.status, answer.json()["message"]) == (400, "Payload invalid: Record is too large.")
    client.clock.move(1)
    assert (await client.get("/contacts/uk/c1")).status == 404


async def test_sizes_are_bytes_of_compact_json(client: Client) -> None:
    def sized(size: int) -> dict[str, Any]:
        empty = len('{"@type":"contact","id":"c1","email":"a@example.com","p":""}')
        return {"@type": "contact", "id": "c1", "email": "a@example.com", "p": "é" * ((size - empty) // 2)}

    assert (await client.push(sized(61_440))).status == 202
    assert (await client.push(sized(61_442))).status == 400


async def test_malformed_records_are_counted_as_rejected_and_the_rest_is_taken(client: Client) -> None:
    strange = [{"@type": "contact"}, {"@type": "contact", "id": True}, "text"]
    said = (await client.push(contact(), *strange)).json()
    assert (said["accepted"], said["rejected"], client.broken()) == (1, 3, {"malformed_record": 1})


async def test_an_unknown_type_is_rejected(client: Client) -> None:
    said = (await client.push({"@type": "basket", "id": "1"})).json()
    assert (said["accepted"], said["rejected"]) == (0, 1)


# --- the queue -------------------------------------------------------------------------------------------------------


async def test_the_queue_is_drained_in_order_at_its_rate() -> None:
    client = Client(Rules(drain_per_s=100))
    await client.push(*[contact(id=f"c{n}") for n in range(100)])
    client.clock.move(0.5)
    assert (len(client.account.of("contact:")), client.account.room()) == (50, 49_950)
    client.clock.move(0.5)
    assert len(client.account.of("contact:")) == 100


async def test_a_queue_that_is_looked_at_often_drains_no_slower() -> None:
    client = Client(Rules(drain_per_s=10))
    await client.push(*[contact(id=f"c{n}") for n in range(10)])
    for _ in range(100):
        client.clock.move(0.01)
        client.account.drain()
    assert client.account.room() == 50_000


async def test_a_batch_that_does_not_fit_into_the_queue_is_refused_whole() -> None:
    client = Client(Rules(queue=150, drain_per_s=0))
    hundred = [contact(id=f"c{n}") for n in range(100)]
    assert (await client.push(*hundred)).headers["x-queuesize-remaining"] == "50"
    answer = await client.push(*hundred)
    assert (answer.status, answer.headers["x-queuesize-remaining"]) == (429, "50")
    assert client.broken() == {"queue_full": 1}


async def test_a_standing_queue_moves_again_when_the_rate_is_changed() -> None:
    client = Client(Rules(drain_per_s=0))
    await client.push(contact())
    client.clock.move(10)
    client.ometria.adjust({"drain_per_s": 1000})
    client.clock.move(0.1)
    assert client.account.room() == 50_000


# --- merge and null --------------------------------------------------------------------------------------------------


async def stored(client: Client, path: str = "/contacts/uk/c1") -> Any:
    answer = await client.get(path)
    assert answer.status == 200
    return answer.json()


async def test_merging_keeps_what_was_not_sent(client: Client) -> None:
    await client.applied(contact(firstname="Ada", lastname="Penhale"))
    await client.applied(contact(**{"@merge": True, "lastname": "Oakhill"}))
    kept = await stored(client)
    assert (kept["firstname"], kept["lastname"]) == ("Ada", "Oakhill")
    assert "@merge" not in kept


async def test_without_merge_the_record_is_replaced(client: Client) -> None:
    await client.applied(contact(firstname="Ada"))
    await client.applied(contact(lastname="Oakhill"))
    assert "firstname" not in await stored(client)


async def test_without_merge_it_is_merged_where_the_documents_are_read_that_way() -> None:
    client = Client(Rules(replace=False))
    await client.applied(contact(firstname="Ada"))
    await client.applied(contact(lastname="Oakhill"))
    assert (await stored(client))["firstname"] == "Ada"


async def test_a_null_deletes_what_is_stored(client: Client) -> None:
    await client.applied(contact(lastname="Oakhill"))
    await client.applied(contact(**{"@merge": True, "lastname": None}))
    assert "lastname" not in await stored(client)


async def test_a_products_attributes_are_never_merged(client: Client) -> None:
    await client.applied(product(attributes=[{"type": "brand", "id": "n", "label": "Northlight"}], sku="S"))
    await client.applied({"@type": "product", "id": "p1", "@merge": True, "is_in_stock": True})
    kept = await stored(client, "/products/p1")
    assert ("attributes" in kept, kept["sku"], kept["is_in_stock"]) == (False, "S", True)


async def test_a_status_alone_updates_an_order_by_merging(client: Client) -> None:
    await client.applied(order())
    await client.applied({"@type": "order", "id": "o1", "@merge": True, "status": "cancelled", "is_valid": False})
    kept = await stored(client, "/orders/o1")
    assert (kept["status"], kept["is_valid"], kept["grand_total"]) == ("cancelled", False, 30.5)


async def test_contacts_of_two_collections_are_two_contacts(client: Client) -> None:
    await client.applied(contact(firstname="Ada"), contact(**{"@collection": "de", "firstname": "Bea"}))
    assert [one["id"] for one in (await client.get("/contacts")).json()] == ["uk", "de"]
    assert (await stored(client, "/contacts/de/c1"))["firstname"] == "Bea"


async def test_lists_are_added_and_removed(client: Client) -> None:
    await client.applied(contact(**{"@add_to_lists": [3, 1]}))
    await client.applied(contact(**{"@merge": True, "@add_to_lists": [2], "@remove_from_lists": [3]}))
    assert (await stored(client))["@lists"] == [1, 2]


async def test_big_integers_stay_exact(client: Client) -> None:
    await client.applied(order(id=9_007_199_254_740_993))
    assert (await stored(client, "/orders/9007199254740993"))["id"] == 9_007_199_254_740_993


# --- validation, after the fact --------------------------------------------------------------------------------------

FAULTY = [
    (contact(email="nobody"), "root > email"),
    (contact(marketing_optin="YES"), "root > marketing_optin"),
    (contact(gender="x"), "root > gender"),
    (contact(date_of_birth="02/03/1980"), "root > date_of_birth"),
    (contact(country_id="gbr"), "root > country_id"),
    (contact(phone_number="0207 946 0123"), "root > phone_number"),
    (contact(timestamp_subscribed="2026-01-02 03:04:05"), "root > timestamp_subscribed"),
    (contact(channels={"sms": {"allow_marketing": "yes"}}), "root > channels > sms > allow_marketing"),
    (contact(properties=[]), "root > properties"),
    (order(currency="gbp"), "root > currency"),
    (order(grand_total="30.50"), "root > grand_total"),
    (order(timestamp="2026-13-02T03:04:05Z"), "root > timestamp"),
    (order(is_valid="true"), "root > is_valid"),
    (order(lineitems=[{"product_id": "p", "quantity": "1", "subtotal": 1}]), "root > lineitems > 0 > quantity"),
    (order(shipping_address={"country_code": "United Kingdom"}), "root > shipping_address > country_code"),
    (product(price="49.50"), "root > price"),
    (product(is_active=1), "root > is_active"),
    (event(timestamp="yesterday"), "root > timestamp"),
]


@pytest.mark.parametrize(("record", "path"), FAULTY, ids=[path.removeprefix("root > ") for _, path in FAULTY])
async def test_a_value_that_is_not_valid_shows_in_errors_and_the_record_is_not_stored(
    client: Client, record: dict[str, Any], path: str
) -> None:
    assert (await client.push(record)).json()["accepted"] == 1
    client.clock.move(1)
    assert (await client.get("/push/_errors")).json() == [{"error_message": "not a valid value", "error_path": path}]
    assert not client.account.stored
    assert client.broken() == {"invalid_field": 1}


INCOMPLETE = [
    ({"@type": "contact", "id": "c1"}, "root > email"),
    ({"@type": "order", "id": "o1", "status": "complete"}, "root > timestamp"),
    (order(lineitems=[{"product_id": "p", "quantity": 1}]), "root > lineitems > 0 > unit_price"),
    ({"@type": "product", "id": "p1", "price": 1}, "root > title"),
    ({"@type": "custom_event", "id": "e", "event_type": "x", "profile_id": "y"}, "root > timestamp"),
]


@pytest.mark.parametrize(("record", "path"), INCOMPLETE, ids=[path.removeprefix("root > ") for _, path in INCOMPLETE])
async def test_what_is_required_is_missed_when_strict(client: Client, record: dict[str, Any], path: str) -> None:
    await client.applied(record)
    assert {"error_message": "required key not provided", "error_path": path} in (
        await client.get("/push/_errors")
    ).json()


async def test_what_is_required_may_be_missing_when_lenient() -> None:
    client = Client(Rules(strict=False))
    await client.applied({"@type": "order", "id": "o1", "grand_total": "30.50"})
    assert (await stored(client, "/orders/o1"))["grand_total"] == "30.50"


async def test_a_contact_with_a_phone_alone_is_taken(client: Client) -> None:
    await client.applied({"@type": "contact", "id": "c1", "@collection": "uk", "phone_number": "+442079460123"})
    assert (await stored(client))["phone_number"] == "+442079460123"


async def test_only_the_latest_hundred_errors_are_kept(client: Client) -> None:
    await client.applied(*[contact(id=f"c{n}", gender="x") for n in range(100)])
    await client.applied(contact(date_of_birth=7))
    errors = (await client.get("/push/_errors")).json()
    assert (len(errors), errors[-1]["error_path"]) == (100, "root > date_of_birth")


# --- habits that are noticed, not refused ----------------------------------------------------------------------------


async def test_an_email_address_as_an_id_is_a_breach(client: Client) -> None:
    assert (await client.push(contact(id="ada@example.com"))).status == 202
    assert client.broken() == {"pii_in_id": 1}


async def test_a_forced_optin_without_one_is_a_breach(client: Client) -> None:
    await client.push(contact(**{"@force_optin": True}))
    assert client.broken() == {"force_optin_alone": 1}


async def test_a_long_event_type_is_cut_and_a_breach(client: Client) -> None:
    await client.applied(event(event_type="x" * 40))
    client.account.drain()
    assert client.account.stored["custom_event:e1"].document["event_type"] == "x" * 32
    assert client.broken() == {"event_type_truncated": 1}


# --- reading ---------------------------------------------------------------------------------------------------------


async def test_products_are_paged_and_filtered(client: Client) -> None:
    await client.applied(*[product(id=f"p{n}", is_active=n % 2 == 0, is_variant=n == 4) for n in range(30)])
    assert len((await client.get("/products")).json()) == 10
    assert [one["id"] for one in (await client.get("/products?limit=2&offset=1&active=true")).json()] == ["p2", "p6"]
    assert len((await client.get("/products?limit=250&includeVariants=true")).json()) == 30


async def test_a_list_is_sorted_by_change_when_asked(client: Client) -> None:
    await client.applied(order(id="a"), order(id="b"))
    await client.applied(order(id="a"))
    ids = [one["id"] for one in (await client.get("/orders?orderby=timestamp_update")).json()]
    assert ids == ["b", "a"]


async def test_a_profile_joins_the_contacts_of_an_email(client: Client) -> None:
    await client.applied(contact(), contact(**{"@collection": "de", "email": "ADA@example.com"}))
    [profile] = (await client.get("/profiles?email=ada@example.com")).json()
    assert len(profile["listings"]) == 2


async def test_single_records_are_written_at_once(client: Client) -> None:
    assert (await client.post("/contacts/uk/c9", {"email": "ada@example.com"})).status == 200
    assert (await stored(client, "/contacts/uk/c9"))["id"] == "c9"


async def test_what_there_is_not_is_a_404(client: Client) -> None:
    assert (await client.get("/orders/none")).status == 404
    assert (await client.get("/nothing")).status == 404


# --- what it remembers of its client ---------------------------------------------------------------------------------


async def test_it_tells_how_often_each_record_came_and_when(client: Client) -> None:
    await client.push(contact(), contact(id="c2"))
    client.clock.move(0.5)
    await client.push(contact())
    view = client.ometria.view()["accounts"][0]
    assert view["received"] == {"contact:uk:c1": 2, "contact:uk:c2": 1}
    assert [(one["at_s"], one["records"], one["status"]) for one in view["requests"]] == [(0.0, 2, 202), (0.5, 1, 202)]
    assert (view["counts"]["received_again"], view["repeats"]) == (1, 1)


async def test_resetting_forgets_everything_but_the_rules(client: Client) -> None:
    client.ometria.adjust({"queue": 7})
    await client.push(contact())
    client.ometria.reset()
    assert (client.ometria.accounts, client.ometria.rules.queue) == ({}, 7)


def test_an_unknown_rule_cannot_be_changed(client: Client) -> None:
    with pytest.raises(ValueError, match="speed"):
        client.ometria.adjust({"speed": 3})


async def test_a_phone_number_as_an_id_is_a_breach(client: Client) -> None:
    await client.push(contact(id="+447700900123", phone_number="+447700900123"))
    assert client.broken() == {"pii_in_id": 1}


@pytest.mark.parametrize("value", ["x" * 513, {"nested": 1}, [1]])
async def test_a_property_that_cannot_be_segmented_by_is_a_breach(client: Client, value: Any) -> None:
    await client.push(event(properties={"note": value}))
    assert client.broken() == {"property_not_segmentable": 1}


async def test_the_same_email_twice_is_a_breach(client: Client) -> None:
    email = {"to": {"email": "a@example.com"}, "from": {"email": "b@example.com"}, "subject": "Hello"}
    for text in ("one", "two", "two"):
        await client.post("/transactional-email/send", {**email, "content": {"text": text}})
    assert client.broken() == {"email_twice": 1}


@pytest.mark.parametrize("wrong", [{"to": "a@example.com"}, {"from": {}}, {"subject": ""}, {"content": None}])
async def test_an_email_without_its_parts_is_refused(client: Client, wrong: dict[str, Any]) -> None:
    email = {
        "to": {"email": "a@example.com"},
        "from": {"email": "b@example.com"},
        "subject": "H",
        "content": {"text": ""},
    }
    assert (await client.post("/transactional-email/send", {**email, **wrong})).status == 400


async def test_nobody_without_an_email_can_be_forgotten(client: Client) -> None:
    asked = {"action": "anonymise", "identities": ["a@example.com"]}
    assert (await client.post("/data-deletion-requests", asked)).status == 400


async def test_a_body_of_another_type_is_a_breach(client: Client) -> None:
    headers = {"X-Ometria-Auth": KEY, "Content-Type": "text/plain"}
    await call(client.ometria, "POST", "/v2/push", body=[contact()], headers=headers)
    assert client.broken() == {"content_type": 1}
