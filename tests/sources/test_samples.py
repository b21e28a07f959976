"""`gateway send --sample`: every sample of every platform, signed as there, through the receiver and the packs."""

import json
from typing import Any

import pytest
from cryptography.x509.verification import Store

from gateway.config.schema import Config, Source
from gateway.mapping.book import Book
from gateway.mapping.normalise import Normaliser
from gateway.model import Event, NormalEvent, Offer
from gateway.receive.presets import shipped
from gateway.sandbox import samples, sign
from gateway.sandbox.keypair import KeyPair
from gateway.trial.platform import CannotSign, Platform, Post
from tests.receive.knock import NOW_MS, CountingChance, Reply, Visitor, opened

PAIR = KeyPair.generate()
CHANCE = CountingChance()
BOOK = Book({})
URL = "https://in.example.com/webhooks/shop"
HEX = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
STANDARD = "whsec_bm9ydGhsaWdodC1zdGFuZGFyZC1rZXk="

SOURCES: dict[str, dict[str, Any]] = {
    "shopify": {"secrets": "hush"},
    "woocommerce": {"secrets": "ck & cs"},
    "bigcommerce": {"secrets": "client-secret"},
    "stripe": {"secrets": "whsec_abc"},
    "paypal": {"webhook_id": "5GP028458E2496506"},
    "square": {"secrets": "hush", "notification_url": URL},
    "adyen": {"secrets": HEX},
    "adyen-platform": {"secrets": HEX},
    "commercetools": {"api_key": "bridge"},
    "saleor": {"jwks_url": "http://127.0.0.1:9900/keys/jwks.json"},
    "shopware": {"secrets": "agreed"},
    "adobe-commerce": {"client_id": "4e5f0a1b"},
    "wix": {"public_key": PAIR.public_pem().decode()},
    "github": {"secrets": "It's a Secret"},
    "standard-webhooks": {"secrets": STANDARD},
    "octolis": {"api_key": "key"},
    "cloudevents": {"secrets": "hush"},
    "generic": {
        "secrets": "hush",
        "verify": {"header": "X-Sig", "signed": "{timestamp}.{body}", "timestamp": "header:X-Time"},
        "topic": "header:X-Event-Type",
        "identity": ["header:X-Event-Id"],
    },
}

NOTHING_IDENTIFIES = frozenset({"octolis"})
"""Their presets name no identity: every request is a new event, as the page says."""

ORDERS = {
    "shopify": ("order.created", 4),
    "woocommerce": ("order.created", 1),
    "bigcommerce": ("order.changed", None),
    "stripe": ("order.created", 1),
    "paypal": ("order.completed", 1),
    "square": ("order.changed", None),
    "adyen": ("payment.authorisation", None),
    "adyen-platform": ("balanceplatform.transfer.created", None),
    "commercetools": ("order.created", 1),
    "saleor": ("order.created", 1),
    "shopware": ("order.created", 1),
    "adobe-commerce": ("order.created", 1),
    "wix": ("order.created", 1),
    "github": ("marketplace_purchase.purchased", None),
    "standard-webhooks": ("order.created", None),
    "octolis": ("order.created", None),
    "cloudevents": ("com.example.order.created", None),
    "generic": ("order.created", None),
}
"""The type that a platform's order gets; whether the packs make a whole order of it."""

TYPES = {
    "customer": {
        "adyen-platform": "balanceplatform.accountholder.created",
        "bigcommerce": "customer.changed",
        "cloudevents": "com.example.customer.created",
        "adobe-commerce": "customer.updated",
    },
    "product": {
        "bigcommerce": "product.changed",
        "cloudevents": "com.example.product.updated",
        "shopware": "product.changed",
        "adobe-commerce": "product.updated",
        "generic": "product.updated",
        "octolis": "product.updated",
        "standard-webhooks": "product.updated",
    },
    "refund": {},
    "checkout": {"stripe": "checkout.abandoned", "saleor": "checkout.updated"},
    "fulfillment": {"bigcommerce": "fulfillment.changed", "adobe-commerce": "fulfillment.updated"},
}
"""The types that are not `<entity>.created`."""


async def fetch(url: str) -> bytes:
    """What the platforms publish, were the sandbox's key theirs."""
    if url.startswith("https://api.paypal.com/"):
        return PAIR.chain("messageverificationcerts.paypal.com", NOW_MS)
    return PAIR.jwks() if url.endswith(".json") else PAIR.public_pem()


def roots() -> Store:
    return Store([PAIR.root(NOW_MS)])


def posted(preset: str, name: str, number: int = 1, at_ms: int = NOW_MS) -> Post:
    """The request that `gateway send --sample` makes; of the platforms that keep their key, what they would send."""
    settings = {"preset": preset, **SOURCES[preset]}
    source = Config.model_validate({"sources": {"shop": settings}}).sources["shop"]
    made = samples.sample(preset, name, now_ms=at_ms, number=number)
    platform = Platform(source, shipped()[preset], URL, CHANCE, PAIR, pretends=preset in sign.PINNED)
    return platform.post(made.body, made.topic, at_ms, [])


async def sent(visitor: Visitor, post: Post) -> Reply:
    path, _, query = post.url.removeprefix("https://in.example.com").partition("?")
    return await visitor.send(post.method, path, post.body, wire(post), query=query.encode())


def wire(post: Post) -> list[tuple[bytes, bytes]]:
    """The headers as they travel: one that stands twice comes twice."""
    return [(name.encode(), value.encode()) for name, value in post.headers]


def normals(preset: str, offer: Offer) -> tuple[NormalEvent, ...]:
    """What the packs make of an accepted event."""
    event = Event(1, "evt_1", "shop", offer.topic, NOW_MS, 1, offer.method, offer.query, offer.headers, offer.body)
    source = Source.model_validate({"currency": "GBP"})
    return Normaliser("shop", source, shipped()[preset].normalise, BOOK).normal(event)


def every_sample() -> list[tuple[str, str]]:
    return [(preset, topic) for preset, platform in samples.SAMPLES.items() for topic in platform.topics]


def test_every_preset_has_samples_and_among_them_an_order() -> None:
    assert set(shipped()) == set(samples.SAMPLES) == set(sign.PRESETS) == set(SOURCES) == set(ORDERS)
    assert [preset for preset in samples.SAMPLES if "order" not in samples.names(preset)] == []


@pytest.mark.parametrize(("preset", "topic"), every_sample())
async def test_a_sample_is_accepted_its_retry_recognised_and_the_next_one_is_another(preset: str, topic: str) -> None:
    post = posted(preset, topic)
    settings = {"shop": {"preset": preset, **SOURCES[preset]}}
    async with opened(settings, fetch=fetch, roots=roots) as visitor:
        replies = [await sent(visitor, post), await sent(visitor, post), await sent(visitor, posted(preset, topic, 2))]
    wanted = shipped()[preset].answers.body
    assert [reply.status for reply in replies] == [200, 200, 200]
    assert len({name.lower() for name, _ in post.headers}) == len(post.headers)
    if wanted is not None:
        assert [reply.body.decode() for reply in replies] == [wanted] * 3
    assert len(visitor.log.events) == (3 if preset in NOTHING_IDENTIFIES else 2)
    assert visitor.log.rejections == []
    assert [offer.topic for offer in visitor.log.offers] == [topic] * len(visitor.log.offers)
    for offer in visitor.log.offers:
        assert normals(preset, offer)


@pytest.mark.parametrize("preset", samples.SAMPLES)
async def test_the_order_of_every_platform_has_its_type_and_its_facts(preset: str) -> None:
    settings = {"shop": {"preset": preset, **SOURCES[preset]}}
    async with opened(settings, fetch=fetch, roots=roots) as visitor:
        await sent(visitor, posted(preset, "order"))
    (event,) = normals(preset, visitor.log.offers[0])
    wanted, whole = ORDERS[preset]
    assert event.type == wanted
    if whole is None:
        return
    data = event.data
    assert data["id"] == event.subject
    assert data["currency"] == "GBP"
    assert data["customer"]["email"] == ("maren.oakhill@example.com")
    assert len(data["items"]) == 2
    assert data["placed_at"].endswith("Z")
    assert sum(one.get("total", one["unit_price"] * one["quantity"]) for one in data["items"]) > 0
    assert float(data["total"]) > 0
    assert event.time.endswith("Z")


@pytest.mark.parametrize(
    ("preset", "name"),
    [(preset, name) for preset in samples.SAMPLES for name in TYPES if name in samples.SAMPLES[preset].short],
)
async def test_customers_products_refunds_and_parcels_have_their_types(preset: str, name: str) -> None:
    settings = {"shop": {"preset": preset, **SOURCES[preset]}}
    async with opened(settings, fetch=fetch, roots=roots) as visitor:
        await sent(visitor, posted(preset, name))
    (event,) = normals(preset, visitor.log.offers[0])
    assert event.type == TYPES[name].get(preset, f"{name}.created")


async def test_orders_of_the_same_scene_have_the_same_total_on_every_platform() -> None:
    totals = {}
    for preset, (_, whole) in ORDERS.items():
        if whole != 1:
            continue
        async with opened({"shop": {"preset": preset, **SOURCES[preset]}}, fetch=fetch, roots=roots) as visitor:
            await sent(visitor, posted(preset, "order"))
        (event,) = normals(preset, visitor.log.offers[0])
        totals[preset] = (float(event.data["total"]), event.data["placed_at"])
    assert set(totals.values()) == {(112.0, "2026-11-18T11:05:40Z")}, totals


@pytest.mark.parametrize("preset", sorted(sign.PINNED))
def test_what_only_the_platform_can_sign_is_said_plainly(preset: str) -> None:
    source = Source.model_validate({"preset": preset, **SOURCES[preset]})
    platform = Platform(source, shipped()[preset], URL, CountingChance(), PAIR)
    with pytest.raises(CannotSign, match="from the platform's own host alone"):
        platform.post(b"{}", "x", NOW_MS, [])


@pytest.mark.parametrize("preset", ["wix", "saleor"])
def test_without_a_key_it_is_said_how_to_make_one(preset: str) -> None:
    source = Source.model_validate({"preset": preset, **SOURCES[preset]})
    platform = Platform(source, shipped()[preset], URL, CountingChance())
    with pytest.raises(CannotSign, match="gateway sandbox --key PATH"):
        platform.post(b"{}", "x", NOW_MS, [])


async def test_saleor_with_a_secret_is_signed_by_it() -> None:
    source = Source.model_validate({"preset": "saleor", "secrets": "old"})
    made = samples.sample("saleor", "order", now_ms=NOW_MS)
    post = Platform(source, shipped()["saleor"], URL, CountingChance()).post(made.body, made.topic, NOW_MS, [])
    async with opened({"shop": {"preset": "saleor", "secrets": "old"}}) as visitor:
        assert (await sent(visitor, post)).status == 200


async def test_several_items_of_adyen_are_an_event_each() -> None:
    first, second = (json.loads(posted("adyen", "order", number).body) for number in (1, 2))
    body = json.dumps({**first, "notificationItems": [*first["notificationItems"], *second["notificationItems"]]})
    async with opened({"shop": {"preset": "adyen", **SOURCES["adyen"]}}) as visitor:
        assert (await visitor.post("shop", body.encode())).body == b"[accepted]"
    assert len(visitor.log.events) == 2


@pytest.mark.parametrize(
    ("kind", "payload", "type_"),
    [
        ("order", "OrderCreated", "order.changed"),
        ("order", "OrderDeleted", "order.deleted"),
        ("customer", "CustomerCreated", "customer.changed"),
        ("product", "ProductPublished", "product.changed"),
        ("product", "ProductDeleted", "product.deleted"),
        ("cart", "CartCreated", "cart.notincluded.cartcreated"),
    ],
)
@pytest.mark.parametrize("is_cloud_event", [False, True])
async def test_commercetools_a_message_whose_content_was_too_large_makes_its_entity_to_look_up(
    *, kind: str, payload: str, type_: str, is_cloud_event: bool
) -> None:
    left_out = {"reason": "Payload too large", "payloadType": payload}
    message = {"notificationType": "Message", "id": "m1", "type": payload, "resource": {"typeId": kind, "id": "r1"}}
    body: dict[str, Any] = {**message, "createdAt": "2026-01-02T03:04:05Z", "payloadNotIncluded": left_out}
    if is_cloud_event:
        name = f"com.commercetools.{kind}.message.{payload}"
        body = {"specversion": "1.0", "id": "m1", "type": name, "source": "/p", "data": body}
    headers = [(b"x-api-key", b"bridge"), (b"content-type", b"application/json")]
    async with opened({"shop": {"preset": "commercetools", "api_key": "bridge"}}) as visitor:
        reply = await visitor.send("POST", "/webhooks/shop", json.dumps(body).encode(), headers)
    assert reply.status == 200
    (offer,) = visitor.log.offers
    (normal,) = normals("commercetools", offer)
    assert (normal.type, normal.subject) == (type_, "r1" if normal.entity else "m1")
