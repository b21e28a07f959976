"""The example configurations for APIs that need no code: sound as they are, and they send what those APIs take."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway import app, document
from gateway.config.load import Loaded
from gateway.model import Event
from gateway.sandbox import samples
from gateway.vendors.base import Batch, Delivered, Request, Verdict
from tests.vendors.test_against_the_sandbox import ORIGIN, World

EXAMPLES = Path(__file__).parents[2] / "config" / "examples"
AT_MS = 1_767_323_045_000  # 2026-01-02T03:04:05Z
ENV = {
    "GATEWAY_ADMIN_TOKEN": "tide-pool",
    "UK_SHOP_SECRET": "fell-moor",
    "KLAVIYO_KEY": "pk_kiln",
    "SEGMENT_WRITE_KEY_BASE64": "d3Jlbjo=",
    "SLACK_HOOK": "T000/B000/wren",
}
HOSTS = {
    "klaviyo": "https://a.klaviyo.com/api",
    "segment": "https://api.segment.io/v1",
    "slack": "https://hooks.slack.com/services",
}

each_example = pytest.mark.parametrize("name", HOSTS)


class Sent(NamedTuple):
    """A request of an example, and what the sink's answer to it means."""

    request: Request
    verdict: Verdict

    @property
    def body(self) -> Any:
        return document.parse(self.request.body)


def loaded(name: str) -> Loaded:
    return app.load_config(EXAMPLES / f"{name}.yaml", ENV)


def events(*topics: str) -> list[Event]:
    """The sandbox's Shopify payloads as accepted events, two of each topic."""
    made = [samples.sample("shopify", topic, now_ms=AT_MS, number=number) for topic in topics for number in (1, 2)]
    return [
        Event(
            seq=seq,
            id=f"evt_{seq}",
            source="uk-shop",
            topic=one.topic,
            received_at_ms=AT_MS,
            revision=1,
            method="POST",
            query="",
            headers=(("x-shopify-shop-domain", "northlight-demo.myshopify.com"),),
            body=one.body,
        )
        for seq, one in enumerate(made, start=1)
    ]


async def sent(name: str, *topics: str, answer: str = '{"status":"ok"}') -> list[Sent]:
    """What an example sends for payloads, to the sandbox's sink in the API's place."""
    world = World()
    world.sandbox.sink.adjust({"body": answer})
    found = []
    for vendor, batch in batches(name, events(*topics)):
        request = vendor.request(batch)
        assert request.url.startswith(HOSTS[name])
        there = Request(request.method, f"{ORIGIN}/sink/{name}", request.headers, request.body)
        found.append(Sent(request, vendor.judge(batch, await world.send(there))))
    return found


def batches(name: str, given: list[Event]) -> Iterator[tuple[Any, Batch]]:
    setup = app.setup_of(loaded(name), 1)
    for destination in setup.destinations.values():
        planned = [setup.planner.plan(event, destination, lane=1) for event in given]
        assert [death for one in planned for death in one.deaths] == []
        records = [record for one in planned for record in one.records]
        most = destination.rules.records
        for start in range(0, len(records), most):
            some = tuple(records[start : start + most])
            yield destination.vendor, Batch(destination.name, some[0].draft.channel, some, AT_MS)


def at(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value[int(part)] if part.isdigit() else value[part]
    return value


def holds(expected: Mapping[str, Any], found: Any) -> bool:
    return {path: at(found, path) for path in expected} == dict(expected)


@each_example
def test_an_example_is_sound_and_leaves_nothing_to_warn_of(name: str) -> None:
    assert loaded(name).warnings == ()


@each_example
def test_an_examples_secrets_are_masked(name: str) -> None:
    (destination, *_) = app.destinations_of(loaded(name)).values()
    secrets = {"klaviyo": "pk_kiln", "segment": "d3Jlbjo=", "slack": "T000/B000/wren"}
    assert secrets[name] in destination.vendor.secrets()


@each_example
async def test_every_sample_is_taken_by_an_endpoint_that_says_yes(name: str) -> None:
    topics = [topic for topic in samples.names("shopify") if "/" in topic]
    said = "ok" if name == "slack" else "{}"
    found = await sent(name, *topics, answer=said)
    assert found
    assert {type(outcome) for one in found for outcome in one.verdict.outcomes} == {Delivered}


async def test_klaviyo_gets_an_order_as_an_event_of_its_customer() -> None:
    first, _ = await sent("klaviyo", "orders/create")
    headers = dict(first.request.headers)
    assert first.request.url == "https://a.klaviyo.com/api/events"
    assert headers["authorization"] == "Klaviyo-API-Key pk_kiln"
    assert (headers["revision"], headers["content-type"]) == ("2024-10-15", "application/vnd.api+json")
    assert holds(
        {
            "data.type": "event",
            "data.attributes.unique_id": "evt_1",
            "data.attributes.metric.data.attributes.name": "Placed Order",
            "data.attributes.profile.data.attributes.email": "maren.oakhill@example.com",
            "data.attributes.value_currency": "GBP",
            "data.attributes.properties.Items.0.Quantity": 1,
        },
        first.body,
    )


async def test_klaviyo_gets_customers_in_one_job() -> None:
    (job,) = await sent("klaviyo", "customers/create", "customers/update")
    assert job.request.url == "https://a.klaviyo.com/api/profile-bulk-import-jobs"
    profiles = at(job.body, "data.attributes.profiles.data")
    assert job.body["data"]["type"] == "profile-bulk-import-job"
    assert [one["type"] for one in profiles] == ["profile"] * 4
    assert profiles[0]["attributes"]["email"] == "maren.oakhill@example.com"


async def test_segment_gets_calls_in_a_batch() -> None:
    (batch,) = await sent("segment", "customers/create", "orders/create", "orders/cancelled")
    assert batch.request.url == "https://api.segment.io/v1/batch"
    assert dict(batch.request.headers)["authorization"] == "Basic d3Jlbjo="
    calls = batch.body["batch"]
    assert [call.get("event", call["type"]) for call in calls] == [
        *["identify"] * 2,
        *["Order Completed"] * 2,
        *["Order Cancelled"] * 2,
    ]
    assert len({call["messageId"] for call in calls}) == len(calls)
    assert holds({"properties.currency": "GBP", "properties.products.0.quantity": 1}, calls[2])
    assert calls[0]["userId"] == calls[2]["userId"]


async def test_slack_gets_a_line_about_large_orders_alone() -> None:
    found = await sent("slack", "orders/create", "customers/create", answer="ok")
    assert [one.request.url for one in found] == ["https://hooks.slack.com/services/T000/B000/wren"] * len(found)
    assert all(list(one.body) == ["text"] for one in found)


async def test_slack_is_not_taken_at_its_status() -> None:
    found = await sent("slack", "orders/create", answer="no_service")
    assert found
    assert not any(isinstance(outcome, Delivered) for one in found for outcome in one.verdict.outcomes)
