"""`gateway try`: one payload's whole way."""

from pathlib import Path

import pytest
from click.testing import Result

from gateway.clock import SystemClock
from gateway.sandbox import samples
from tests.cli.conftest import ENV, Run, answer


@pytest.fixture
def order(tmp_path: Path) -> Path:
    file = tmp_path / "order.json"
    file.write_bytes(samples.sample("shopify", "order", now_ms=1_760_000_000_000).body)
    return file


def tried(run: Run, file: Path, *words: str) -> Result:
    return run("try", "uk-shop", str(file), "--topic", "orders/create", *words)


def test_it_shows_the_normal_event_the_routes_and_the_exact_requests(run: Run, order: Path) -> None:
    result = tried(run, order, "--json")
    found = answer(result)
    assert result.exit_code == 0
    assert found["outcome"] == "delivered"
    assert found["event"]["type"] == "order.created"
    assert len(found["identity"]) == 32
    assert [(route["route"], route["matched"]) for route in found["routes"]] == [(0, True), (1, False), (2, False)]
    assert [route["why"].partition(":")[0] for route in found["routes"]] == ["", "when", "from"]
    (request,) = found["requests"]
    assert set(request) == {"destination", "method", "url", "headers", "body"}
    assert (request["destination"], request["method"]) == ("crm", "POST")
    assert request["url"] == "https://api.ometria.com/v2/push"
    assert {record["@type"] for record in request["body"]} == {"order"}


def test_it_masks_every_secret(run: Run, order: Path) -> None:
    for words in (["--json"], []):
        result = tried(run, order, *words)
        assert "***" in result.stdout
        assert not [secret for secret in ENV.values() if secret in result.output]


def test_it_tells_people_the_same(run: Run, order: Path) -> None:
    shown = tried(run, order).stdout
    for text in (
        "identity   ",
        "event      order.created",
        "routes[1]  no: when",
        "request    crm: POST",
        "outcome    delivered",
    ):
        assert text in shown


def test_a_destination_that_takes_nothing_of_it_is_named(run: Run, tmp_path: Path, config: Path) -> None:
    config.write_text(config.read_text().replace('events: ["order.*", "customer.*"]', 'events: ["*"]'))
    (tmp_path / "refund.json").write_text('{"id": 1, "order_id": 2}')
    words = ("try", "uk-shop", str(tmp_path / "refund.json"), "--topic", "app/uninstalled")
    assert answer(run(*words, "--json"))["filtered"] == ["crm"]
    assert "filtered   crm: it takes nothing of this" in run(*words).stdout


def test_what_no_route_wants_is_filtered_and_that_is_fine(run: Run, order: Path) -> None:
    result = run("try", "uk-shop", str(order), "--topic", "app/uninstalled", "--json")
    assert (result.exit_code, answer(result)["outcome"], answer(result)["requests"]) == (0, "filtered", [])


def test_only_one_destination_may_be_looked_at(run: Run, order: Path) -> None:
    result = tried(run, order, "--to", "bin", "--json")
    assert (result.exit_code, answer(result)["requests"]) == (0, [])


def test_a_body_that_is_no_json_would_be_rejected(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"id": 1')
    result = tried(run, tmp_path / "bad.json", "--json")
    assert result.exit_code == 1
    assert answer(result)["rejected"]["cause"] == "body_unreadable"
    assert answer(result)["event"] is None


def test_a_missing_topic_is_named(run: Run, order: Path) -> None:
    result = run("try", "uk-shop", str(order))
    assert result.exit_code == 1
    assert "--topic" in result.stderr


def test_what_cannot_be_mapped_would_be_dead(run: Run, tmp_path: Path) -> None:
    (tmp_path / "odd.json").write_text('{"id": 1, "total_price": "a lot", "currency": "GBP"}')
    result = tried(run, tmp_path / "odd.json", "--json")
    found = answer(result)
    assert (result.exit_code, found["outcome"]) == (1, "dead")
    assert found["dead"][0]["reason"] == "mapping_failed"
    assert "a lot" not in result.output


def test_a_header_may_be_given(run: Run, order: Path) -> None:
    plain = answer(tried(run, order, "--header", "X-Shopify-Event-Id: one", "--json"))
    other = answer(tried(run, order, "--header", "X-Shopify-Event-Id: two", "--json"))
    again = answer(tried(run, order, "--header", "x-shopify-event-id:one", "--json"))
    assert plain["identity"] == again["identity"] != other["identity"]


def test_standard_input_is_a_file(run: Run, order: Path) -> None:
    result = run("try", "uk-shop", "-", "--topic", "orders/create", "--json", input=order.read_bytes())
    assert answer(result)["event"]["type"] == "order.created"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["uk-shpo", "{file}"], "did you mean `uk-shop`?"),
        (["uk-shop", "/nonexistent"], "No such file"),
        (["uk-shop", "{file}", "--to", "crn"], "did you mean `crm`?"),
        (["uk-shop", "{file}", "--header", "nonsense"], "is not NAME:VALUE"),
    ],
)
def test_a_mistake_is_a_sentence(run: Run, order: Path, words: list[str], said: str) -> None:
    result = run("try", *(word.format(file=order) for word in words))
    assert result.exit_code == 2
    assert said in result.stderr


def test_time_is_not_waited_for(run: Run, order: Path) -> None:
    before_s = SystemClock().monotonic_s()
    tried(run, order)
    assert SystemClock().monotonic_s() - before_s < 5


def test_it_masks_a_key_that_stands_in_a_url(run: Run, order: Path, config: Path) -> None:
    config.write_text(
        config.read_text().replace(
            "destinations:\n",
            "destinations:\n  keyed: {vendor: http, url: 'https://x.example/in?v=2&key=h1dden-key'}\n",
        )
        + "\n  - to: [keyed]\n"
    )
    result = tried(run, order, "--to", "keyed")
    assert "https://x.example/in?v=2&key=***" in result.stdout
    assert "h1dden-key" not in result.output


# --- look-ups --------------------------------------------------------------------------------------------------------

LOOKED_UP = """
sources:
  shop: {preset: bigcommerce, secrets: "${UK_SHOP_SECRET}", lookup: bc}
lookups:
  bc:
    urls: {"order.*": "https://api.shop.test/v2/orders/{subject}"}
    auth: {header: {name: X-Auth-Token, value: "${ERP_KEY}"}}
destinations:
  crm: {vendor: ometria, api_key: "${CRM_KEY}", collection: uk-shop}
routes:
  - {events: order.updated, to: crm}
"""
NOTICE = b'{"scope":"store/order/updated","data":{"type":"order","id":250},"hash":"aa","created_at":1,"producer":"s"}'
WHOLE = (
    b'{"id":250,"status_id":11,"currency_code":"GBP","total_inc_tax":"5.0000","date_created":"2026-01-02T03:04:05Z",'
    b'"billing_address":{"email":"ada@example.com"}}'
)


@pytest.fixture
def looked_up(config: Path) -> Path:
    config.write_text(LOOKED_UP)
    return config.parent / "body.json"


def test_it_shows_what_a_look_up_would_ask(run: Run, looked_up: Path) -> None:
    looked_up.write_bytes(NOTICE)
    found = answer(run("try", "shop", str(looked_up), "--json"))
    assert found["outcome"] == "delivered"
    (request,) = found["requests"]
    assert (request["destination"], request["method"], request["body"]) == ("bc", "GET", "")
    assert request["url"] == "https://api.shop.test/v2/orders/250"
    assert request["headers"] == {"accept": "application/json", "x-auth-token": "***"}


def test_it_shows_what_becomes_of_what_a_look_up_found(run: Run, looked_up: Path) -> None:
    looked_up.write_bytes(WHOLE)
    found = answer(run("try", "shop", str(looked_up), "--derived", "--topic", "lookup/store/order/updated", "--json"))
    assert found["event"]["type"] == "order.updated"
    assert [request["destination"] for request in found["requests"]] == ["crm"]


def test_what_a_look_up_found_came_under_a_topic(run: Run, looked_up: Path) -> None:
    looked_up.write_bytes(WHOLE)
    result = run("try", "shop", str(looked_up), "--derived")
    assert (result.exit_code, "--topic" in result.stderr) == (2, True)


def test_a_body_that_is_not_json_says_where(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "order.json"
    file.write_text('{"id": 1,\n "email": x}')
    result = run("try", "uk-shop", str(file), "--topic", "orders/create")
    assert result.exit_code == 1
    assert f"{file}:2:11: Expecting value" in result.stderr


def test_a_destination_that_there_is_not_is_named(run: Run, order: Path) -> None:
    assert "there is no destination `cmr`: did you mean `crm`?" in tried(run, order, "--to", "cmr").stderr
