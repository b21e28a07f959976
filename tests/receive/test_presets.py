"""What the presets say beyond signatures: topics, answers, handshakes, envelopes, what is no event."""

import json
import subprocess
import sys
from base64 import b64encode
from typing import Any
from urllib.parse import quote

import pytest

from gateway.config.schema import Config
from gateway.errors import Cause, ConfigurationError
from gateway.receive.door import problems
from gateway.receive.presets import load_presets, shipped
from tests.receive import signers
from tests.receive.knock import Reply, Visitor, opened
from tests.receive.signers import NOW_S, SECRET

EXPECTED = [
    *("adobe-commerce", "adyen", "adyen-platform", "bigcommerce", "cloudevents", "commercetools", "generic", "github"),
    *("octolis", "paypal", "saleor", "shopify", "shopware", "square", "standard-webhooks", "stripe", "wix"),
    "woocommerce",
]


def test_every_platform_has_its_preset() -> None:
    assert sorted(shipped()) == EXPECTED
    assert all(preset.title and preset.topic for preset in shipped().values())


# --- WooCommerce -----------------------------------------------------------------------------------------------------

WOOL = {"shop": {"preset": "woocommerce", "secrets": SECRET}}


async def test_woocommerce_an_unsigned_ping_is_answered_200_and_is_no_event() -> None:
    async with opened(WOOL) as visitor:
        reply = await visitor.post("shop", b"webhook_id=123", {"Content-Type": "application/x-www-form-urlencoded"})
    assert (reply.status, reply.body) == (200, b"")
    assert (visitor.log.events, visitor.told.refusals) == ([], [])


@pytest.mark.parametrize("body", [b"webhook_id=", b"webhook_id=x", b"id=5", b"", b'{"webhook_id": 5}'])
async def test_woocommerce_anything_else_unsigned_is_refused(body: bytes) -> None:
    async with opened(WOOL) as visitor:
        assert (await visitor.post("shop", body)).status == 401


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_woocommerce_a_signed_error_page_is_answered_200_and_kept_as_rejected(status: int) -> None:
    page = {"code": "woocommerce_rest_cannot_view", "message": "Sorry.", "data": {"status": status}}
    body = json.dumps(page).encode()
    async with opened(WOOL) as visitor:
        reply = await visitor.post("shop", body, signers.woocommerce(body, 0).headers)
        order = b'{"id":1,"code":"SUMMER","message":"hi"}'
        await visitor.post("shop", order, signers.woocommerce(order, 0).headers)
    assert reply.status == 200
    assert [offer.body for offer in visitor.log.offers] == [order]
    assert [(one.cause, one.body) for one in visitor.log.rejections] == [("not_an_event", body)]
    assert [cause for _, cause, _ in visitor.told.refusals] == [Cause.NOT_AN_EVENT]


# --- Shopify ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topic", ["customers/redact", "shop/redact", "customers/data_request"])
async def test_shopify_privacy_topics_are_events_that_no_customer_mapping_takes(topic: str) -> None:
    async with opened({"shop": {"preset": "shopify", "secrets": SECRET}}) as visitor:
        headers = {**signers.shopify(b"{}", 0).headers, "X-Shopify-Topic": topic}
        assert (await visitor.post("shop", b"{}", headers)).status == 200
    assert visitor.log.offers[0].topic == topic
    assert shipped()["shopify"].normalise.get(topic) != "shopify/customer"


# --- challenges ------------------------------------------------------------------------------------------------------

META = {
    "meta": {
        "title": "Meta",
        "verify": {"scheme": "hmac", "header": "X-Hub-Signature-256", "prefix": "sha256="},
        "topic": ["json:object"],
        "challenge": {"query": "hub.challenge", "when": {"query:hub.mode": "subscribe"}, "token": "hub.verify_token"},
    }
}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        (b"challenge=abc%2Bd", 200),
        (b"a=1&challenge=abc%2Bd&challenge=other", 200),
        (b"", 400),
        (b"challenge=", 400),
        (b"other=x", 400),
        (b"challenge=" + b"x" * 2000, 400),
    ],
)
async def test_adobe_the_challenge_comes_back_as_text(query: bytes, status: int) -> None:
    async with opened({"shop": {"preset": "adobe-commerce", "client_id": "c"}}) as visitor:
        reply = await visitor.send("GET", "/webhooks/shop", query=query)
    assert reply.status == status
    if status == 200:
        assert (reply.body, reply.headers["content-type"]) == (b"abc+d", "text/plain; charset=utf-8")


VALIDATION = b'{"validationUrl": "https://csm.adobe.io/csm/registrations/validate?id=1&challenge=2"}'


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (VALIDATION, 200),
        (VALIDATION.replace(b"adobe.io", b"evil.example"), 401),
        (VALIDATION.replace(b"https:", b"http:"), 401),
        (b"{}", 401),
        (b"not json", 401),
    ],
)
async def test_adobe_a_url_to_open_is_kept_for_a_person_and_never_called(body: bytes, status: int) -> None:
    fetched: list[str] = []

    async def fetch(url: str) -> bytes:
        fetched.append(url)
        return b""

    async with opened({"shop": {"preset": "adobe-commerce", "client_id": "c"}}, fetch=fetch) as visitor:
        assert (await visitor.post("shop", body)).status == status
    assert (fetched, visitor.log.offers) == ([], [])
    assert len(visitor.log.rejections) == 1


ASKS = {"WebHook-Request-Origin": "eventemitter.example.com"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({**ASKS, "X-Api-Key": "k"}, 200),
        ({**ASKS, "X-Api-Key": "k", "WebHook-Request-Rate": "120"}, 200),
        (ASKS, 401),
        ({**ASKS, "X-Api-Key": "wrong"}, 401),
        ({"X-Api-Key": "k"}, 400),
        ({"X-Api-Key": "k", "WebHook-Request-Origin": "a b"}, 400),
        ({"X-Api-Key": "k", "WebHook-Request-Origin": "a\r\nX: y"}, 400),
        ({"X-Api-Key": "k", "WebHook-Request-Origin": "a" * 300}, 400),
    ],
)
async def test_cloudevents_a_sender_that_asks_whether_it_may_send_is_told(headers: dict[str, str], status: int) -> None:
    async with opened({"shop": {"preset": "cloudevents", "api_key": "k"}}) as visitor:
        reply = await visitor.send("OPTIONS", "/webhooks/shop", headers=headers)
    assert reply.status == status
    if status == 200:
        told = (reply.headers["webhook-allowed-origin"], reply.headers["webhook-allowed-rate"], reply.headers["allow"])
        assert told == ("eventemitter.example.com", "*", "POST")
    assert visitor.log.events == []


async def test_a_preset_of_ones_own_names_the_origins_that_may_send() -> None:
    preset = {"title": "Ours", "topic": ["json:type"], "signature": "open", "origins": ["*.ours.example"]}
    async with opened({"shop": {"preset": "ours"}}, presets={"ours": preset}) as visitor:
        for origin, status in (("bus.ours.example", 200), ("ours.example.evil", 403)):
            asked = {"WebHook-Request-Origin": origin}
            assert (await visitor.send("OPTIONS", "/webhooks/shop", headers=asked)).status == status


async def test_other_presets_know_no_options() -> None:
    async with opened({"shop": {"preset": "stripe", "secrets": "whsec_x"}}) as visitor:
        assert (await visitor.send("OPTIONS", "/webhooks/shop", headers=ASKS)).status == 405


@pytest.mark.parametrize(
    ("query", "status"),
    [
        (b"hub.mode=subscribe&hub.challenge=77&hub.verify_token=s1", 200),
        (b"hub.mode=subscribe&hub.challenge=77&hub.verify_token=s2", 200),
        (b"hub.mode=subscribe&hub.challenge=77&hub.verify_token=wrong", 401),
        (b"hub.mode=subscribe&hub.challenge=77", 401),
        (b"hub.mode=unsubscribe&hub.challenge=77&hub.verify_token=s1", 400),
    ],
)
async def test_a_preset_of_ones_own_may_ask_for_a_token_in_its_challenge(query: bytes, status: int) -> None:
    async with opened({"shop": {"preset": "meta", "secrets": ["s1", "s2"]}}, presets=META) as visitor:
        assert (await visitor.send("GET", "/webhooks/shop", query=query)).status == status
        assert (await visitor.send("DELETE", "/webhooks/shop")).headers["allow"] == "GET, POST"


# --- envelopes -------------------------------------------------------------------------------------------------------

BRIDGE = {"shop": {"preset": "commercetools", "api_key": "k"}}
MESSAGE = {"notificationType": "Message", "id": "ct-1", "type": "OrderCreated", "order": {"id": 820982911946154508}}
CHANGE = {"notificationType": "ResourceUpdated", "resource": {"typeId": "order", "id": "o1"}, "version": 3}


async def bridged(visitor: Visitor, body: Any, **headers: str) -> Reply:
    return await visitor.post("shop", json.dumps(body).encode(), {"X-Api-Key": "k", **headers})


@pytest.mark.parametrize("event", [MESSAGE, CHANGE], ids=["message", "change"])
@pytest.mark.parametrize("bridge", ["plain", "pubsub", "eventgrid", "eventbridge", "sns raw"])
async def test_commercetools_every_bridges_envelope_is_taken_off(bridge: str, event: dict[str, Any]) -> None:
    data = b64encode(json.dumps(event).encode()).decode()
    bodies: dict[str, tuple[Any, dict[str, str]]] = {
        "plain": (event, {}),
        "pubsub": ({"message": {"data": data, "messageId": "1"}, "subscription": "projects/p/s"}, {}),
        "eventgrid": (
            [{"id": "g", "eventType": "x", "subject": "s", "data": event, "dataVersion": "1"}],
            {"aeg-event-type": "Notification"},
        ),
        "eventbridge": ({"version": "0", "detail-type": "Order", "source": "aws.partner", "detail": event}, {}),
        "sns raw": (event, {"x-amz-sns-message-type": "Notification", "x-amz-sns-rawdelivery": "true"}),
    }
    body, headers = bodies[bridge]
    async with opened(BRIDGE) as visitor:
        assert (await bridged(visitor, body, **headers)).status == 200
    (offer,) = visitor.log.offers
    assert json.loads(offer.body) == event
    assert offer.topic == ("OrderCreated" if event is MESSAGE else "order.ResourceUpdated")


async def fetched(url: str) -> bytes:
    VISITED.append(url)
    return signers.SCHEMES["sns"].published.get(url, b"")


VISITED: list[str] = []


async def test_commercetools_sns_is_proved_unwrapped_and_its_subscription_confirmed() -> None:
    VISITED.clear()
    confirm = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"
    asked = signers.sns_message("SubscriptionConfirmation", SubscribeURL=confirm, Token="t")
    kind = "x-amz-sns-message-type"
    async with opened(BRIDGE, fetch=fetched, roots=signers.roots) as visitor:
        assert (await bridged(visitor, asked, **{kind: "SubscriptionConfirmation"})).status == 200
        assert (await bridged(visitor, signers.sns_message(), **{kind: "Notification"})).status == 200
        forged = {**asked, "SubscribeURL": "https://sns.eu-west-1.amazonaws.com/?forged"}
        assert (await bridged(visitor, forged, **{kind: "SubscriptionConfirmation"})).status == 401
    assert confirm in VISITED
    assert not any("forged" in url for url in VISITED)
    assert [json.loads(offer.body)["id"] for offer in visitor.log.offers] == ["ct-1"]


@pytest.mark.parametrize(
    "url",
    ["https://evil.example/", "http://sns.eu-west-1.amazonaws.com/", "https://sns.x.amazonaws.com:1/", "", "https://["],
)
async def test_commercetools_a_confirmation_elsewhere_is_never_called(url: str) -> None:
    VISITED.clear()
    asked = signers.sns_message("SubscriptionConfirmation", SubscribeURL=url, Token="t")
    async with opened(BRIDGE, fetch=fetched, roots=signers.roots) as visitor:
        reply = await bridged(visitor, asked, **{"x-amz-sns-message-type": "SubscriptionConfirmation"})
    assert reply.status == 400
    assert VISITED == [signers.SNS_URL, signers.SNS_ISSUER_URL]


async def test_commercetools_event_grids_handshake_is_answered() -> None:
    asked = [
        {"id": "1", "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "512d"}}
    ]
    async with opened(BRIDGE) as visitor:
        reply = await bridged(visitor, asked, **{"aeg-event-type": "SubscriptionValidation"})
    assert (reply.status, reply.json) == (200, {"validationResponse": "512d"})
    assert visitor.log.events == []


@pytest.mark.parametrize(
    "body",
    [
        {"message": {"data": "!!!"}, "subscription": "s"},
        {"message": {"data": "/w=="}, "subscription": "s"},
        {"message": {"data": 7}, "subscription": "s"},
    ],
)
async def test_a_broken_envelope_is_400(body: Any) -> None:
    async with opened(BRIDGE) as visitor:
        assert (await bridged(visitor, body)).status == 400


async def test_a_list_of_events_is_one_event_each_and_an_empty_one_none() -> None:
    listed = [{"specversion": "1.0", "id": str(n), "source": "/s", "type": "a.b"} for n in range(3)]
    headers = {"Content-Type": "application/cloudevents-batch+json"}
    async with opened({"shop": {"preset": "cloudevents"}}) as visitor:
        replies = [await visitor.post("shop", json.dumps(body).encode(), headers) for body in (listed, listed, [])]
        too_many = await visitor.post("shop", json.dumps(listed * 200).encode(), headers)
    assert [reply.status for reply in replies] == [200, 200, 200]
    assert [replies[0].json["duplicate"], replies[1].json["duplicate"], replies[2].body] == [False, True, b""]
    assert len(visitor.log.events) == 3
    assert too_many.status == 413


async def test_cloudevents_in_both_modes() -> None:
    binary = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "order.paid"}
    structured = {"specversion": "1.0", "id": "2", "source": "/s", "type": "order.paid", "data": {"id": 1}}
    async with opened({"shop": {"preset": "cloudevents"}}) as visitor:
        await visitor.post("shop", b'{"id":1}', {**binary, "Content-Type": "application/json"})
        await visitor.post("shop", json.dumps(structured).encode(), {"Content-Type": "application/cloudevents+json"})
    assert [offer.topic for offer in visitor.log.offers] == ["order.paid", "order.paid"]
    assert ("ce-source", "/s") in visitor.log.offers[0].headers


async def test_wix_what_is_kept_is_the_event_inside_the_token() -> None:
    event = b'{"id":"w1","entityFqdn":"wix.ecom.v1.order","slug":"created","createdEvent":{"entity":{"n":1.50}}}'
    request = signers.wix(event, NOW_S)
    async with opened({"shop": {"preset": "wix", "public_key": signers.public_pem()}}) as visitor:
        assert (await visitor.post("shop", request.body, request.headers)).status == 200
    (offer,) = visitor.log.offers
    assert (offer.topic, offer.body) == ("wix.ecom.v1.order_created", event)


async def test_github_a_form_is_signed_as_it_travels_and_kept_as_its_payload() -> None:
    payload = '{"action":"opened","n":1.0}'
    body = f"payload={quote(payload)}".encode()
    headers = {**signers.github(body, 0).headers, "Content-Type": "application/x-www-form-urlencoded"}
    async with opened({"shop": {"preset": "github", "secrets": SECRET}}) as visitor:
        assert (await visitor.post("shop", body, headers)).status == 200
    (offer,) = visitor.log.offers
    assert (offer.topic, offer.body) == ("issues.opened", payload.encode())
    assert ("content-type", "application/json") in offer.headers


# --- content ---------------------------------------------------------------------------------------------------------

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("media", "body", "topic"),
    [
        ("application/json", b'{"kind":"j"}', "j"),
        ("", b'{"kind":"j"}', "j"),
        (FORM, b"kind=f&a=1&a=2", "f"),
        (f"{FORM}; charset=utf-8", b"kind=%C3%A9", "é"),
        (FORM, b'{"kind":"j"}', "j"),
        ("text/xml", b"<?xml version='1.0'?><kind>x</kind>", "x"),
        ("application/soap+xml; charset=utf-8", b"<kind at='1'>x</kind>", '{"@at":"1","#text":"x"}'),
    ],
)
async def test_a_generic_source_takes_json_forms_and_xml_and_keeps_them_as_they_came(
    media: str, body: bytes, topic: str
) -> None:
    async with opened({"erp": {"topic": "json:kind"}}) as visitor:
        reply = await visitor.post("erp", body, {"Content-Type": media} if media else {})
    assert reply.status == 200, reply.body
    (offer,) = visitor.log.offers
    assert (offer.body, offer.topic) == (body, topic)


async def test_json_that_is_called_a_form_is_kept_as_json() -> None:
    async with opened({"erp": {}}) as visitor:
        await visitor.post("erp", b'{"a":1}', {"Content-Type": FORM})
    assert visitor.log.offers[0].headers == (("content-type", "application/json"),)


BOMB = b'<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;&b;">]><a>&c;</a>'


@pytest.mark.parametrize(
    ("media", "body"),
    [
        (FORM, b"\xff=1"),
        (FORM, b"a"),
        (FORM, b""),
        (FORM, b"&".join(b"a=%d" % n for n in range(2000))),
        ("text/xml", b""),
        ("text/xml", b"<a>"),
        ("text/xml", b"<a></b>"),
        ("text/xml", b"{}"),
        ("text/xml", BOMB),
        ("text/xml", b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>'),
        ("text/xml", b"<a>" * 300 + b"</a>" * 300),
        ("text/xml", b"<?xml version='1.0' encoding='nonsense'?><a/>"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n--x--"),
        ("text/plain", b"hello"),
    ],
)
async def test_a_body_that_is_not_what_its_type_says_is_400(media: str, body: bytes) -> None:
    async with opened({"erp": {}}) as visitor:
        reply = await visitor.post("erp", body, {"Content-Type": media})
    assert (reply.status, reply.cause) == (400, "body_unreadable")


async def test_a_preset_may_take_forms_alone() -> None:
    preset = {"forms": {"title": "Forms", "content": ["form", "xml"], "topic": ["json:kind"], "signature": "open"}}
    async with opened({"erp": {"preset": "forms"}}, presets=preset) as visitor:
        assert (await visitor.post("erp", b"kind=a", {"Content-Type": FORM})).status == 200
        assert (await visitor.post("erp", b"{}", {"Content-Type": "application/json"})).status == 415


async def test_octolis_takes_post_and_put_with_its_key_in_the_query() -> None:
    async with opened({"erp": {"preset": "octolis", "api_key": "k"}}) as visitor:
        statuses = [
            (await visitor.send(method, "/webhooks/erp", b"{}", {"X-Event-Type": "a"}, query=query)).status
            for method, query in (("POST", b"api-key=k"), ("PUT", b"api-key=k"), ("PUT", b""), ("PATCH", b"api-key=k"))
        ]
    assert statuses == [200, 200, 401, 405]
    assert [(offer.topic, offer.query) for offer in visitor.log.offers] == [("a", ""), ("a", "")]


# --- the configuration's faults --------------------------------------------------------------------------------------


def found(sources: dict[str, Any], presets: dict[str, Any] | None = None) -> list[str]:
    config = Config.model_validate({"sources": sources, "presets": presets or {}})
    return [f"{'.'.join(map(str, problem.path))}: {problem.cause}" for problem in problems(config)]


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ({"preset": "shopify"}, "sources.s.preset: secrets are needed"),
        ({"preset": "square", "secrets": "x"}, "sources.s.preset: notification_url is needed"),
        ({"preset": "saleor"}, "sources.s.preset: api_url or jwks_url is needed"),
        ({"preset": "paypal"}, "sources.s.preset: webhook_id is needed"),
        ({"preset": "wix"}, "sources.s.preset: public_key is needed"),
        ({"preset": "wix", "public_key": "x"}, "sources.s.secrets: "),
        ({"preset": "adobe-commerce"}, "sources.s.preset: client_id is needed"),
        ({"preset": "octolis"}, "sources.s.preset: api_key is needed"),
        ({"preset": "commercetools"}, "sources.s.preset: api_key"),
        ({"preset": "github"}, "sources.s.secrets: nothing proves who sends"),
        ({"preset": "adyen", "secrets": "xyz"}, "sources.s.secrets: a secret is not hex"),
        ({"preset": "adyen-platform", "secrets": "xyz"}, "sources.s.secrets: a secret is not hex"),
        ({"preset": "standard-webhooks", "secrets": "whsec_?"}, "sources.s.secrets: a secret is not whsec_"),
        ({"preset": "octolis", "api_key": "k", "secrets": "s"}, "sources.s.secrets: Octolis signs nothing"),
        (
            {"preset": "shopify", "secrets": "s", "allow": {"ips": "published"}},
            "sources.s.allow.ips: no addresses of Shopify are shipped",
        ),
    ],
)
def test_a_source_that_could_not_be_served_is_a_fault_of_the_configuration(source: dict[str, Any], fault: str) -> None:
    faults = found({"s": source})
    assert any(one.startswith(fault) for one in faults), faults


def test_sources_that_can_be_served_have_no_faults() -> None:
    sources = {name: {"preset": scheme.preset, **scheme.source} for name, scheme in signers.SCHEMES.items()}
    assert found({**sources, "hooked": {"preset": "github", "api_key": "k"}, "open": {}}) == []


@pytest.mark.parametrize(
    "preset",
    [
        {},
        {"title": "X"},
        {"title": "X", "topic": []},
        {"title": "X", "topic": ["nonsense"]},
        {"title": "X", "topic": ["json:a"], "identity": [["nonsense:a"]]},
        {"title": "X", "topic": ["json:a"], "unknown": 1},
        {"title": "X", "topic": ["json:a"], "verify": {"scheme": "rot13"}},
        {"title": "X", "topic": ["json:a"], "asides": [{"when": {"what": "*"}}]},
        {"title": "X", "topic": ["header:"]},
        {"title": "X", "topic": ["json:a"], "verify": {"scheme": "hmac", "header": "X", "signed": "{header:a}"}},
        {"title": "X", "topic": ["json:a"], "verify": {"scheme": "hmac", "header": "X", "timestamp": "json:a"}},
    ],
)
def test_a_preset_of_ones_own_with_a_fault_is_refused(preset: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        load_presets({"mine": preset})
    assert found({}, {"mine": preset})


async def test_a_preset_of_ones_own_is_written_with_the_same_keys() -> None:
    presets = {
        "mine": {
            "title": "Mine",
            "methods": ["PUT"],
            "headers": {"X-Tenant": "*"},
            "verify": {"scheme": "hmac", "header": "X-Sig", "signed": "{header:X-Nonce}.{body}"},
            "topic": ["{header:X-Kind}.{json:verb}"],
            "identity": [["json:id"]],
            "window": "1h",
            "drop_headers": ["X-Nonce"],
            "answers": {"body": '{"ok":true}'},
        }
    }
    body = b'{"verb":"made","id":1}'
    headers = {"X-Tenant": "t", "X-Nonce": "n", "X-Kind": "thing", "X-Sig": signers.mac(b"s", b"n." + body).hex()}
    async with opened({"erp": {"preset": "mine", "secrets": "s"}}, presets=presets) as visitor:
        reply = await visitor.send("PUT", "/webhooks/erp", body, headers)
        without = {name: value for name, value in headers.items() if name != "X-Nonce"}
        assert (await visitor.send("PUT", "/webhooks/erp", body, without)).status == 401
    assert (reply.status, reply.body) == (200, b'{"ok":true}')
    (offer,) = visitor.log.offers
    assert (offer.topic, offer.identity_window_ms) == ("thing.made", 3_600_000)
    assert "x-nonce" not in dict(offer.headers)


def test_a_preset_that_nobody_names_is_not_read() -> None:
    code = (
        "from gateway.receive import presets\n"
        "found = presets.load_presets({})\n"
        "assert 'stripe' in found and 'strape' not in found and len(found) > 15\n"
        "found['shopify']\n"
        "print(presets._read.cache_info().currsize)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "1\n"
