"""Signatures against vectors worked out apart, with a plain HMAC tool or by the platforms themselves."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from gateway.config.schema import HmacScheme
from gateway.sandbox import sign
from gateway.sandbox.keypair import KeyPair
from gateway.sandbox.samples.woocommerce import WOOCOMMERCE
from tests.sandbox.clock import KnownChance

NOW_MS = 1_614_265_330_000
BODY = b'{"id":1,"name":"caf\\u00e9"}'
URL = "https://gateway.example.com/webhooks/shop"


PAIR = KeyPair.generate()


def headers(preset: str, secret: str, body: bytes = BODY, topic: str = "orders/create", **names: Any) -> dict[str, str]:
    pairs = sign.sign(
        preset, body, topic, secret, url=URL, now_ms=NOW_MS, chance=KnownChance(), names=sign.Names(**names)
    )
    return dict(pairs)


def digest(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, hashlib.sha256).digest()


def test_shopify_signs_the_raw_body_and_names_the_delivery() -> None:
    made = headers("shopify", "hush", event="e-1", delivery="d-1", shop="a.myshopify.com")
    assert made["X-Shopify-Hmac-Sha256"] == base64.b64encode(digest(b"hush", BODY)).decode()
    assert made["X-Shopify-Topic"] == "orders/create"
    assert made["X-Shopify-Shop-Domain"] == "a.myshopify.com"
    assert (made["X-Shopify-Event-Id"], made["X-Shopify-Webhook-Id"]) == ("e-1", "d-1")
    assert made["X-Shopify-Triggered-At"] == "2021-02-25T15:02:10.000Z"


def test_ids_are_drawn_where_none_are_given() -> None:
    made = headers("shopify", "hush")
    assert made["X-Shopify-Event-Id"] != made["X-Shopify-Webhook-Id"]
    assert len(made["X-Shopify-Event-Id"]) == 36


def test_github_signs_as_its_documentation_computes() -> None:
    made = headers("github", "It's a Secret to Everybody", b"Hello, World!", "push")
    assert made["X-Hub-Signature-256"] == ("sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")
    assert made["X-GitHub-Event"] == "push"


def test_standard_webhooks_sign_id_time_and_body_with_the_decoded_secret() -> None:
    made = headers("standard-webhooks", "whsec_" + base64.b64encode(b"k" * 24).decode(), delivery="msg_1")
    expected = base64.b64encode(digest(b"k" * 24, b"msg_1.1614265330." + BODY)).decode()
    assert made["webhook-signature"] == f"v1,{expected}"


def test_a_standard_webhooks_secret_that_is_not_base64_is_refused() -> None:
    with pytest.raises(ValueError, match="base64"):
        headers("standard-webhooks", "whsec_not base64!")


def test_bigcommerce_uses_the_secrets_own_bytes() -> None:
    made = headers("bigcommerce", "client-secret", delivery="m")
    assert (
        made["webhook-signature"]
        == "v1," + base64.b64encode(digest(b"client-secret", b"m.1614265330." + BODY)).decode()
    )


def test_stripe_signs_time_and_body_with_the_whole_secret() -> None:
    made = headers("stripe", "whsec_abc")
    assert made["Stripe-Signature"] == f"t=1614265330,v1={digest(b'whsec_abc', b'1614265330.' + BODY).hex()}"


def test_woocommerce_names_topic_resource_and_event() -> None:
    made = headers("woocommerce", "hush", topic="order.updated")
    assert made["X-WC-Webhook-Signature"] == base64.b64encode(digest(b"hush", BODY)).decode()
    assert (made["X-WC-Webhook-Resource"], made["X-WC-Webhook-Event"]) == ("order", "updated")


def test_two_woocommerce_deliveries_within_a_second_share_their_id() -> None:
    one, two = headers("woocommerce", "s", b"1"), headers("woocommerce", "s", b"2")
    assert one["X-WC-Webhook-Delivery-ID"] == two["X-WC-Webhook-Delivery-ID"]


def test_square_signs_the_address_too() -> None:
    made = headers("square", "hush")
    assert made["x-square-hmacsha256-signature"] == base64.b64encode(digest(b"hush", URL.encode() + BODY)).decode()


def test_shopware_signs_in_hexadecimal() -> None:
    made = headers("shopware", "secret", b"body")
    assert made["shopware-shop-signature"] == "dc46983557fea127b43af721467eb9b3fde2338fe3e14f51952aa8478c13d355"


def test_saleor_signs_in_hexadecimal() -> None:
    assert headers("saleor", "hush")["Saleor-Signature"] == digest(b"hush", BODY).hex()


def test_adyens_platform_webhooks_use_a_hexadecimal_key() -> None:
    made = headers("adyen-platform", "00ff")
    assert made["HmacSignature"] == base64.b64encode(digest(b"\x00\xff", BODY)).decode()
    with pytest.raises(ValueError, match="hexadecimal"):
        headers("adyen-platform", "no key")


def test_adyens_standard_webhooks_carry_a_signature_in_each_item() -> None:
    item = {
        "pspReference": "PSP1",
        "merchantAccountCode": "Northlight:UK",
        "merchantReference": "a\\b",
        "amount": {"value": 1999, "currency": "GBP"},
        "eventCode": "AUTHORISATION",
        "success": "true",
    }
    body = json.dumps({"live": "false", "notificationItems": [{"NotificationRequestItem": item}]}).encode()
    sent = json.loads(sign.prepare("adyen", body, "00ff"))
    text = b"PSP1::Northlight:UK:a\\b:1999:GBP:AUTHORISATION:true"
    [made] = [one["NotificationRequestItem"] for one in sent["notificationItems"]]
    assert made["additionalData"]["hmacSignature"] == base64.b64encode(digest(b"\x00\xff", text)).decode()


def test_other_bodies_travel_as_they_are() -> None:
    assert sign.prepare("shopify", BODY, "hush") is BODY


@pytest.mark.parametrize("preset", sign.PRESETS)
def test_every_preset_sends_a_content_type(preset: str) -> None:
    secret = "whsec_" + base64.b64encode(b"k" * 24).decode() if preset == "standard-webhooks" else "00ff"
    assert "Content-Type" in headers(preset, secret, pair=PAIR)


def test_an_unknown_preset_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        headers("prestashop", "x")


def test_a_scheme_of_ones_own_is_followed() -> None:
    scheme = HmacScheme(
        header="X-Sig",
        algorithm="sha512",
        encoding="base64",
        prefix="v2=",
        signed="{timestamp}.{header:X-Id}.{url}.{body}",
        timestamp="header:X-Time",
    )
    made = dict(sign.sign_with(scheme, BODY, b"hush", url=URL, now_ms=NOW_MS, headers={"x-id": "7"}))
    signed = b"1614265330.7." + URL.encode() + b"." + BODY
    assert made["X-Time"] == "1614265330"
    assert made["X-Sig"] == "v2=" + base64.b64encode(hmac.new(b"hush", signed, "sha512").digest()).decode()


def test_an_item_of_adyen_that_comes_alone_is_signed_in_itself() -> None:
    sent = json.loads(sign.prepare("adyen", b'{"pspReference":"P","eventCode":"CAPTURE","success":"true"}', "00ff"))
    expected = base64.b64encode(digest(b"\x00\xff", b"P::::::CAPTURE:true")).decode()
    assert sent["additionalData"] == {"hmacSignature": expected}


def test_each_topic_of_woocommerce_is_a_webhook_of_its_own() -> None:
    made = [headers("woocommerce", "s", b"1", topic=topic) for topic in WOOCOMMERCE.topics]
    for name in ("X-WC-Webhook-ID", "X-WC-Webhook-Delivery-ID"):
        assert len({one[name] for one in made}) == len(WOOCOMMERCE.topics)


def test_the_ping_of_woocommerce_is_a_form_that_nobody_signs() -> None:
    made = headers("woocommerce", "hush", b"webhook_id=12\n")
    assert made == {"Content-Type": "application/x-www-form-urlencoded"}


def test_an_event_of_adobe_names_the_client_it_is_for() -> None:
    assert json.loads(sign.prepare("adobe-commerce", b'{"id":"1"}', "client-7"))["recipientclientid"] == "client-7"


def test_a_body_of_wix_that_is_a_token_already_stays_one() -> None:
    token = sign.prepare("wix", b'{"slug":"created"}', "", now_ms=NOW_MS, pair=PAIR)
    assert sign.prepare("wix", token, "", now_ms=NOW_MS, pair=PAIR) == token
    claims = json.loads(base64.urlsafe_b64decode(token.split(b".")[1] + b"=="))
    assert json.loads(json.loads(claims["data"])["data"]) == {"slug": "created"}
