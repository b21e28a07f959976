"""What is the same event and what is not: every trap that the platforms lay."""

import json
from typing import Any

import pytest

from gateway.receive.identity import compile_identity
from gateway.receive.request import Request
from tests.receive import signers
from tests.receive.knock import StillClock, Visitor, opened, raw_headers
from tests.receive.signers import HEX_KEY, NOW_S, SECRET, STANDARD_SECRET, Signed

SHOP = {"shop": {"preset": "shopify", "secrets": SECRET}}


async def sent(visitor: Visitor, signed: Signed, source: str = "shop", **headers: str) -> bool:
    """Send it; whether it was recognised."""
    kept = {name: value for name, value in {**signed.headers, **headers}.items() if value}
    reply = await visitor.post(source, signed.body, kept)
    assert reply.status == 200, reply.body
    return bool(reply.json["duplicate"])


def shopify(body: bytes = b'{"id":1}') -> Signed:
    return signers.shopify(body, 0)


async def test_shopify_one_action_sends_many_topics_under_one_event_id_and_all_are_events() -> None:
    async with opened(SHOP) as visitor:
        topics = ("orders/create", "orders/updated", "orders/paid", "orders/create")
        seen = [await sent(visitor, shopify(), **{"X-Shopify-Topic": topic}) for topic in topics]
    assert seen == [False, False, False, True]


async def test_shopify_one_action_sends_several_resources_of_one_topic_and_all_are_events() -> None:
    async with opened(SHOP) as visitor:
        seen = [await sent(visitor, shopify(b'{"id":%d}' % number)) for number in (1, 2, 1)]
    assert seen == [False, False, True]


async def test_shopify_a_retry_with_another_webhook_id_is_recognised() -> None:
    async with opened(SHOP) as visitor:
        assert not await sent(visitor, shopify())
        assert await sent(visitor, shopify(), **{"X-Shopify-Webhook-Id": "changed"})


async def test_shopify_two_shops_behind_one_source_do_not_meet() -> None:
    async with opened(SHOP) as visitor:
        assert not await sent(visitor, shopify())
        assert not await sent(visitor, shopify(), **{"X-Shopify-Shop-Domain": "south.myshopify.com"})


async def test_shopify_without_an_event_id_the_webhook_id_counts() -> None:
    async with opened(SHOP) as visitor:
        assert not await sent(visitor, shopify(), **{"X-Shopify-Event-Id": ""})
        assert await sent(visitor, shopify(), **{"X-Shopify-Event-Id": ""})
        assert not await sent(visitor, shopify(), **{"X-Shopify-Event-Id": "", "X-Shopify-Webhook-Id": "other"})


async def test_shopify_without_any_id_every_request_is_new() -> None:
    async with opened(SHOP) as visitor:
        for _ in range(2):
            assert not await sent(visitor, shopify(), **{"X-Shopify-Event-Id": "", "X-Shopify-Webhook-Id": ""})


async def test_shopify_both_spellings_of_the_headers_are_one_event() -> None:
    plain = {name.replace("X-", ""): value for name, value in shopify().headers.items()}
    async with opened(SHOP) as visitor:
        assert not await sent(visitor, shopify())
        assert await sent(visitor, Signed(shopify().body, plain))
    assert {offer.topic for offer in visitor.log.offers} == {"orders/create"}


async def test_two_sources_do_not_meet() -> None:
    async with opened({**SHOP, "other": SHOP["shop"]}) as visitor:
        assert not await sent(visitor, shopify())
        assert not await sent(visitor, shopify(), "other")
    assert len({offer.identity for offer in visitor.log.offers}) == 2


async def test_a_window_of_the_source_overrides_that_of_the_journal() -> None:
    async with opened({"shop": {**SHOP["shop"], "identity_window": "10m"}, "week": SHOP["shop"]}) as visitor:
        assert not await sent(visitor, shopify())
        visitor.clock.at_ms += 9 * 60_000
        assert await sent(visitor, shopify())
        visitor.clock.at_ms += 2 * 60_000
        assert not await sent(visitor, shopify())
        await sent(visitor, shopify(), "week")
    assert [offer.identity_window_ms for offer in visitor.log.offers] == [600_000, 600_000, 7 * 86_400_000]


async def test_woocommerce_two_orders_of_one_second_share_a_delivery_id_and_both_are_events() -> None:
    async with opened({"shop": {"preset": "woocommerce", "secrets": SECRET}}) as visitor:
        seen = [await sent(visitor, signers.woocommerce(body, 0)) for body in (b'{"id":1}', b'{"id":2}', b'{"id":1}')]
    assert seen == [False, False, True]


async def test_shopware_the_body_and_its_signature_change_with_each_attempt_and_the_event_is_one() -> None:
    def attempt(at: int, event: str = "e1") -> Signed:
        body = {"data": {"payload": [], "event": "product.written"}, "source": {"shopId": "s", "eventId": event}}
        return signers.shopware(json.dumps({**body, "timestamp": at}).encode(), 0)

    async with opened({"shop": {"preset": "shopware", "secrets": SECRET}}) as visitor:
        assert [await sent(visitor, attempt(1)), await sent(visitor, attempt(2))] == [False, True]
        assert not await sent(visitor, attempt(2, "e2"))


@pytest.mark.parametrize("brand", ["webhook", "svix"])
async def test_standard_webhooks_time_and_signature_change_with_each_attempt_and_the_event_is_one(brand: str) -> None:
    async with opened({"shop": {"preset": "standard-webhooks", "secrets": STANDARD_SECRET}}) as visitor:
        for at_s, expected in ((NOW_S - 60, False), (NOW_S, True)):
            assert await sent(visitor, signers.standard(b'{"type":"a"}', at_s, brand=brand)) is expected


async def test_adyen_each_item_of_a_request_is_an_event_and_a_batch_cut_anew_is_recognised() -> None:
    first, second, third = (signers.adyen_item(pspReference=str(number)) for number in range(3))
    async with opened({"shop": {"preset": "adyen", "secrets": HEX_KEY}}) as visitor:
        for items in ((first, second), (second, third), (first,)):
            reply = await visitor.post("shop", signers.adyen_body(*items))
            assert (reply.status, reply.body) == (200, b"[accepted]")
            assert reply.headers["content-type"].startswith("text/plain")
    bodies = [json.loads(offer.body) for offer in visitor.log.offers]
    found = [body["notificationItems"][0]["NotificationRequestItem"]["pspReference"] for body in bodies]
    assert found == ["0", "1", "2"]
    assert all(len(body["notificationItems"]) == 1 and body["live"] == "false" for body in bodies)
    assert {offer.topic for offer in visitor.log.offers} == {"AUTHORISATION"}


async def test_adyen_one_wrong_item_refuses_the_request() -> None:
    good, bad = signers.adyen_item(), signers.adyen_item(pspReference="2")
    bad["NotificationRequestItem"]["success"] = "false"
    async with opened({"shop": {"preset": "adyen", "secrets": HEX_KEY}}) as visitor:
        assert (await visitor.post("shop", signers.adyen_body(good, bad))).status == 401
    assert visitor.log.events == []


async def test_saleor_equal_bodies_are_one_event_for_half_an_hour_only() -> None:
    def event(body: bytes) -> Signed:
        headers = {"Saleor-Event": "order_updated", "Saleor-Api-Url": "https://s.example/graphql/"}
        return Signed(body, {**headers, "Saleor-Signature": signers.mac(SECRET.encode(), body).hex()})

    async with opened({"shop": {"preset": "saleor", "secrets": SECRET}}) as visitor:
        assert [await sent(visitor, event(b"{}")), await sent(visitor, event(b"{}"))] == [False, True]
        assert not await sent(visitor, event(b"{}"), **{"Saleor-Event": "order_paid"})
        visitor.clock.at_ms += 31 * 60_000
        assert not await sent(visitor, event(b"{}"))


async def test_github_a_redelivery_is_recognised_and_two_hooks_of_one_event_are_two() -> None:
    request = signers.github(b'{"action":"opened"}', 0)
    async with opened({"shop": {"preset": "github", "secrets": SECRET}}) as visitor:
        assert [await sent(visitor, request), await sent(visitor, request)] == [False, True]
        assert not await sent(visitor, request, **{"X-GitHub-Hook-ID": "2"})
    assert visitor.log.offers[0].topic == "issues.opened"


async def test_github_a_redelivery_after_a_refusal_is_taken() -> None:
    request = signers.github(b'{"action":"opened"}', 0)
    async with opened({"shop": {"preset": "github", "secrets": SECRET}}) as visitor:
        refused = await visitor.post("shop", b"{}", request.headers)
        assert refused.status == 401
        assert not await sent(visitor, request)


async def test_bigcommerce_goes_by_the_message_id_or_else_by_the_hash() -> None:
    body = b'{"scope":"store/order/created","producer":"stores/abc","hash":"h1","data":{"type":"order","id":7}}'
    async with opened(
        {"shop": {"preset": "bigcommerce", "secrets": SECRET}, "old": {"preset": "bigcommerce", "api_key": "k"}}
    ) as v:
        for expected in (b"", b""):
            assert (await v.post("shop", body, signers.bigcommerce(body, NOW_S).headers)).body == expected
        for text in (body, body, body.replace(b"h1", b"h2")):
            assert (await v.post("old", text, {"X-Api-Key": "k"})).status == 200
    assert [offer.source for offer in v.log.offers] == ["shop", "old", "old"]


SAID = {"notificationType": "Message", "id": "1", "type": "OrderCreated", "version": 1}
DONE = {"notificationType": "ResourceUpdated", "resource": {"typeId": "order", "id": "1"}, "version": 6}
CLOUD = {"specversion": "1.0", "id": "1", "type": "com.commercetools.order.message.OrderCreated"}


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (SAID, {"id": "2"}, False),
        (SAID, {"sequenceNumber": 3}, True),
        (DONE, {}, True),
        (DONE, {"version": 7}, False),
        (DONE, {"notificationType": "ResourceDeleted"}, False),
        (CLOUD, {"sequence": "2"}, True),
    ],
)
async def test_commercetools_messages_and_changes(first: dict[str, Any], second: dict[str, Any], same: bool) -> None:  # noqa: FBT001  a table's column
    async with opened({"shop": {"preset": "commercetools", "api_key": "k"}}) as visitor:
        seen = []
        for body in (first, {**first, **second}):
            reply = await visitor.post("shop", json.dumps(body).encode(), {"X-Api-Key": "k"})
            seen.append(reply.json["duplicate"])
    assert seen == [False, same]


SQUARE = {"secrets": SECRET, "notification_url": "https://in.example/webhooks/pos?x=1"}
WIX = {"id": "w1", "entityFqdn": "wix.ecom.v1.order", "slug": "created"}


@pytest.mark.parametrize(
    ("preset", "settings", "sign", "event"),
    [
        ("stripe", {"secrets": "whsec_" + SECRET}, signers.stripe, {"id": "evt_1", "type": "a"}),
        ("square", SQUARE, signers.square, {"event_id": "1", "type": "a", "merchant_id": "m"}),
        ("paypal", {"webhook_id": "WH-CONFIGURED"}, signers.paypal, {"id": "WH-1", "event_type": "a"}),
        ("wix", {"public_key": signers.public_pem()}, signers.wix, WIX),
        ("adobe-commerce", {"client_id": "client-1"}, signers.adobe, json.loads(signers.ADOBE_BODY)),
    ],
)
async def test_an_events_own_id_counts_whatever_else_changes(
    preset: str, settings: dict[str, Any], sign: Any, event: dict[str, Any]
) -> None:
    body, again = json.dumps(event).encode(), json.dumps({**event, "another": "field"}).encode()
    published = {url: text for scheme in signers.SCHEMES.values() for url, text in scheme.published.items()}

    async def fetch(url: str) -> bytes:
        return published[url]

    async with opened({"shop": {"preset": preset, **settings}}, fetch=fetch, roots=signers.roots) as visitor:
        seen = [await sent(visitor, sign(text, at_s)) for text, at_s in ((body, NOW_S - 60), (again, NOW_S))]
    assert seen == [False, True]


async def test_a_generic_source_without_identity_takes_every_request_as_new() -> None:
    async with opened({"erp": {}}) as visitor:
        replies = [await visitor.post("erp", b"{}") for _ in range(3)]
    assert [reply.json["duplicate"] for reply in replies] == [False, False, False]
    assert {offer.identity for offer in visitor.log.offers} == {None}


@pytest.mark.parametrize(
    ("identity", "first", "second", "same"),
    [
        (["json:id"], b'{"id":1}', b'{"id":1,"a":2}', True),
        (["json:id"], b'{"id":1}', b'{"id":2}', False),
        (["json:id"], b'{"id":820982911946154508}', b'{"id":820982911946154509}', False),
        (["json:id"], b'{"a":1}', b'{"a":1}', False),
        (["json:/a~1b/0"], b'{"a/b":["x"]}', b'{"a/b":["x",1]}', True),
        (["json:a.b.1"], b'{"a":{"b":[0,"x"]}}', b'{"a":{"b":[9,"x"]}}', True),
        (["json:a", "json:b"], b'{"a":"1","b":"23"}', b'{"a":"12","b":"3"}', False),
        (["body"], b'{"a":1}', b'{"a":1}', True),
        (["body"], b'{"a":1}', b'{"a": 1}', False),
    ],
)
async def test_a_generic_source_names_its_identity(
    identity: list[str],
    first: bytes,
    second: bytes,
    same: bool,  # noqa: FBT001  a table's column
) -> None:
    async with opened({"erp": {"identity": identity}}) as visitor:
        replies = [await visitor.post("erp", body) for body in (first, second)]
    assert [reply.json["duplicate"] for reply in replies] == [False, same]


async def test_an_identity_may_stand_in_header_and_query() -> None:
    async with opened({"erp": {"identity": ["header:X-Id", "query:n"]}}) as visitor:
        calls = [("1", b"n=1"), ("1", b"n=%31&m=2"), ("1", b"n=2"), ("2", b"n=1"), ("1", b"")]
        replies = [await visitor.post("erp", b"{}", {"X-Id": header}, query=query) for header, query in calls]
    assert [reply.json["duplicate"] for reply in replies] == [False, True, False, False, False]


def test_alternatives_do_not_meet_each_others_keys() -> None:
    identity = compile_identity("s", [["header:a"], ["header:b"]])
    assert identity is not None
    keys = {identity(Request("POST", raw_headers(headers), b"", "", 0)) for headers in ({"a": "1"}, {"b": "1"})}
    assert len(keys) == 2
    assert all(key is not None and len(key) == 16 for key in keys)


def test_a_clock_that_stands_is_no_part_of_an_identity() -> None:
    identity = compile_identity("s", [["body"]])
    assert identity is not None
    requests = [Request("POST", [], b"", "", at_ms) for at_ms in (1, StillClock().now_ms())]
    assert identity(requests[0]) == identity(requests[1])
