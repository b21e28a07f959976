"""Signing as each platform does: the other side of `receive/verify`, written from the platforms' own documents.

`prepare` gives the body as it travels (Adyen's signature stands inside it, Wix' body is a JWT), `sign` the headers that
go with it. Where a platform signs with a private key, a key pair of the sandbox's own stands in for it.
"""

import base64
import binascii
import hashlib
import hmac
import re
import uuid
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from gateway import document
from gateway.clock import Chance
from gateway.config.schema import HmacScheme
from gateway.sandbox.keypair import KeyPair

Pairs = list[tuple[str, str]]

SHOP = "northlight-demo.myshopify.com"
"""The invented shop that signs where the caller names none."""

PAYPAL_CERT_URL = "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-sandbox"
ADOBE_KEY_PATH = "/prod/keys/pub-key-sandbox.pem"

_JSON = ("Content-Type", "application/json")
_ADYEN_FIELDS = ("pspReference", "originalReference", "merchantAccountCode", "merchantReference")


class Names(Struct, frozen=True):
    """Who sends, and by which ids. `shop`: the tenant's domain. `event`: the id that all deliveries of one merchant
    action share. `delivery`: this delivery's own, kept over its retries. What is empty is drawn. `pair` signs where the
    platform has a private key: PayPal, Adobe, Wix, and Saleor where there is no secret.
    """

    shop: str = SHOP
    event: str = ""
    delivery: str = ""
    pair: KeyPair | None = None


class Letter(Struct, frozen=True):
    """What is to be signed, and the names it goes under."""

    body: bytes
    topic: str
    secret: str
    url: str
    now_ms: int
    shop: str
    event: str
    delivery: str
    pair: KeyPair | None = None

    @property
    def seconds(self) -> str:
        """The time of signing, in whole seconds since the Unix epoch."""
        return str(self.now_ms // 1000)

    @property
    def key(self) -> bytes:
        return self.secret.encode()

    @property
    def private(self) -> KeyPair:
        """The key that stands in for the platform's. Raises ValueError where none was given."""
        if self.pair is None:
            raise ValueError("a private key is needed")
        return self.pair

    def iso(self) -> str:
        """The time of signing, RFC 3339 UTC."""
        return datetime.fromtimestamp(self.now_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def sign(
    preset: str,
    body: bytes,
    topic: str,
    secret: str,
    *,
    url: str,
    now_ms: int,
    chance: Chance,
    names: Names = Names(),  # noqa: B008  a frozen value
) -> Pairs:
    """The headers with which the platform would send this body: signature, topic, ids, content type.

    `url` is the address as it is registered at the platform (Square signs it). `secret` is for PayPal the webhook's id.
    Raises KeyError for a preset that is not in `PRESETS`, ValueError for a secret that the scheme cannot use.
    """
    make = _HEADERS[preset]
    event, delivery = names.event or _uuid(chance), names.delivery or _uuid(chance)
    return make(Letter(body, topic, secret, url, now_ms, names.shop, event, delivery, names.pair))


def sign_with(
    scheme: HmacScheme, body: bytes, key: bytes, *, url: str, now_ms: int, headers: Mapping[str, str]
) -> Pairs:
    """The headers of a signature that the configuration describes (`verify` of a source, or of a preset of one's own).
    `headers` are those that the request carries anyway, by lower-case name.
    """
    seconds = str(now_ms // 1000)
    values = {"body": body, "timestamp": seconds.encode(), "url": url.encode()}
    pairs: Pairs = []
    if scheme.timestamp is not None and scheme.timestamp.startswith("header:"):
        pairs.append((scheme.timestamp.removeprefix("header:"), seconds))

    def filled(match: re.Match[str]) -> bytes:
        name = match[1]
        if name.startswith("header:"):
            return headers.get(name.removeprefix("header:").lower(), "").encode()
        return values[name]

    parts = re.split(r"(\{[^{}]+\})", scheme.signed)
    signed = b"".join(
        filled(match) if (match := re.fullmatch(r"\{([^{}]+)\}", part)) else part.encode() for part in parts
    )
    digest = hmac.new(key, signed, scheme.algorithm).digest()
    text = digest.hex() if scheme.encoding == "hex" else base64.b64encode(digest).decode()
    return [*pairs, (scheme.header, scheme.prefix + text)]


def prepare(preset: str, body: bytes, secret: str, *, now_ms: int = 0, pair: KeyPair | None = None) -> bytes:
    """The body as the platform sends it: each of Adyen's items with its signature, an event of Adobe with the client
    (`secret`) it is for, one of Wix as a JWT. Others as they are.
    """
    if preset == "adyen":
        return _with_item_signatures(body, secret)
    if preset == "adobe-commerce":
        return document.dump({**document.parse(body), "recipientclientid": secret})
    if preset == "wix" and pair is not None and not _TOKEN.fullmatch(body.strip()):
        return _as_token(body, now_ms // 1000, pair)
    return body


_TOKEN = re.compile(rb"eyJ[\w-]+\.[\w-]+\.[\w-]+")


def _as_token(body: bytes, now_s: int, pair: KeyPair) -> bytes:
    """Wix, "Webhook structure": the event as JSON in a text, in an envelope that is JSON in a text, in the claims."""
    event = document.parse(body)
    outer = {"eventType": event.get("slug", ""), "instanceId": _WIX_INSTANCE, "data": body.decode(), "identity": "{}"}
    return pair.token({"data": document.dump(outer).decode(), "iat": now_s, "exp": now_s + 3600})


_WIX_INSTANCE = "5b1f43ad-90c4-4b4e-8a1f-2f0a93e1d7c4"


def _uuid(chance: Chance) -> str:
    return str(uuid.UUID(bytes=chance.nonce(16), version=4))


def _hex(key: bytes, text: bytes) -> str:
    return hmac.new(key, text, hashlib.sha256).hexdigest()


def _base64(key: bytes, text: bytes) -> str:
    return base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()


# --- the platforms ---------------------------------------------------------------------------------------------------


def _shopify(letter: Letter) -> Pairs:
    """shopify.dev, "Verify deliveries" and "Delivery structure": base64 over the raw body, the secret as it is."""
    return [
        _JSON,
        ("User-Agent", "Shopify-Captain-Hook"),
        ("X-Shopify-Topic", letter.topic),
        ("X-Shopify-Hmac-Sha256", _base64(letter.key, letter.body)),
        ("X-Shopify-Shop-Domain", letter.shop),
        ("X-Shopify-API-Version", "2025-10"),
        ("X-Shopify-Webhook-Id", letter.delivery),
        ("X-Shopify-Event-Id", letter.event),
        ("X-Shopify-Triggered-At", letter.iso()),
    ]


def _generic(letter: Letter) -> Pairs:
    """No platform's: a hex signature over the raw body, the topic in a header. `sign_with` follows a configuration."""
    return [
        _JSON,
        ("X-Event-Type", letter.topic),
        ("X-Event-Id", letter.event),
        ("X-Signature", _hex(letter.key, letter.body)),
    ]


_WOOCOMMERCE_PING = re.compile(rb"webhook_id=\d+\s?")


def _woocommerce(letter: Letter) -> Pairs:
    """As class-wc-webhook.php: base64 over the body; each topic is a webhook of its own, and its delivery id has the
    resolution of a second. The ping of a webhook that is saved is a form, and says nothing of itself.
    """
    if _WOOCOMMERCE_PING.fullmatch(letter.body):
        return [("Content-Type", "application/x-www-form-urlencoded")]
    resource, _, event = letter.topic.partition(".")
    webhook = str(1 + zlib.crc32(letter.topic.encode()) % 10_000)
    delivery = hashlib.md5(f"{webhook}{letter.seconds}".encode(), usedforsecurity=False).hexdigest()
    return [
        _JSON,
        ("User-Agent", "WooCommerce/10.3.5 Hookshot (WordPress/6.8.3)"),
        ("X-WC-Webhook-Source", f"https://{letter.shop}/"),
        ("X-WC-Webhook-Topic", letter.topic),
        ("X-WC-Webhook-Resource", resource),
        ("X-WC-Webhook-Event", event),
        ("X-WC-Webhook-Signature", _base64(letter.key, letter.body)),
        ("X-WC-Webhook-ID", webhook),
        ("X-WC-Webhook-Delivery-ID", delivery),
    ]


def _stripe(letter: Letter) -> Pairs:
    """stripe-python _webhook.py: hex over `t.body`, the key is the whole secret with its `whsec_`."""
    signed = letter.seconds.encode() + b"." + letter.body
    return [
        ("Content-Type", "application/json; charset=utf-8"),
        ("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)"),
        ("Stripe-Signature", f"t={letter.seconds},v1={_hex(letter.key, signed)}"),
    ]


def _standard_pairs(letter: Letter, key: bytes) -> Pairs:
    signed = f"{letter.delivery}.{letter.seconds}.".encode() + letter.body
    return [
        _JSON,
        ("webhook-id", letter.delivery),
        ("webhook-timestamp", letter.seconds),
        ("webhook-signature", f"v1,{_base64(key, signed)}"),
    ]


def _standard_webhooks(letter: Letter) -> Pairs:
    """standard-webhooks.md: base64 over `id.timestamp.body`; the key is the base64 after `whsec_`."""
    text = letter.secret.removeprefix("whsec_")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise ValueError("a Standard Webhooks secret is base64 after `whsec_`") from None
    return _standard_pairs(letter, key)


def _bigcommerce(letter: Letter) -> Pairs:
    """BigCommerce docs, "HTTPS webhook overview": Standard Webhooks with the client secret's bytes as the key."""
    return _standard_pairs(letter, letter.key)


def _square(letter: Letter) -> Pairs:
    """square-python-sdk webhooks_helper.py: base64 over the notification URL and the body."""
    signature = _base64(letter.key, letter.url.encode() + letter.body)
    return [_JSON, ("square-environment", "Sandbox"), ("x-square-hmacsha256-signature", signature)]


def _adyen(_letter: Letter) -> Pairs:
    """adyen-python-api-library util.py: the signature stands in each item (`prepare`)."""
    return [_JSON]


def _adyen_platform(letter: Letter) -> Pairs:
    """adyen-python-api-library is_valid_hmac_payload: base64 over the body, the key is hexadecimal."""
    return [_JSON, ("HmacSignature", _base64(_unhexed(letter.secret), letter.body)), ("Protocol", "HmacSHA256")]


def _shopware(letter: Letter) -> Pairs:
    """Shopware docs, "Webhook": hex over the body with the secret agreed at registration."""
    return [
        _JSON,
        ("sw-version", "6.7.3.0"),
        ("sw-context-language", "2fbb5fe2e29a4d70aa5854ce7ce3e20b"),
        ("sw-user-language", "en-GB"),
        ("X-Shopware-Event-Id", letter.event.replace("-", "")),
        ("shopware-shop-signature", _hex(letter.key, letter.body)),
    ]


def _github(letter: Letter) -> Pairs:
    """GitHub docs, "Validating webhook deliveries": `sha256=` and hex over the body."""
    return [
        _JSON,
        ("User-Agent", "GitHub-Hookshot/044aadd"),
        ("X-GitHub-Event", letter.topic.partition(".")[0]),
        ("X-GitHub-Delivery", letter.delivery),
        ("X-GitHub-Hook-ID", "292430182"),
        ("X-Hub-Signature-256", f"sha256={_hex(letter.key, letter.body)}"),
    ]


def _saleor(letter: Letter) -> Pairs:
    """As Saleor's webhook/transport/utils.py: hex over the body where the webhook has a secret key, else a JWS."""
    signature = _hex(letter.key, letter.body) if letter.secret else letter.private.detached(letter.body)
    return [
        _JSON,
        ("Saleor-Event", letter.topic),
        ("Saleor-Domain", letter.shop),
        ("Saleor-Api-Url", f"https://{letter.shop}/graphql/"),
        ("Saleor-Signature", signature),
    ]


def _paypal(letter: Letter) -> Pairs:
    """PayPal-Python-SDK notifications.py: RSA over `id|time|webhook id|crc32(body)`."""
    sent = letter.iso().replace(".000Z", "Z")
    signed = f"{letter.delivery}|{sent}|{letter.secret}|{zlib.crc32(letter.body)}"
    return [
        _JSON,
        ("PAYPAL-TRANSMISSION-ID", letter.delivery),
        ("PAYPAL-TRANSMISSION-TIME", sent),
        ("PAYPAL-TRANSMISSION-SIG", letter.private.signature(signed.encode())),
        ("PAYPAL-CERT-URL", PAYPAL_CERT_URL),
        ("PAYPAL-AUTH-ALGO", "SHA256withRSA"),
    ]


def _adobe(letter: Letter) -> Pairs:
    """adobe-io-events, "Signature verification": RSA over the body, twice, with two keys."""
    signature = letter.private.signature(letter.body)
    return [
        ("Content-Type", "application/cloudevents+json"),
        ("User-Agent", "Adobe/1.0"),
        ("x-adobe-event-code", letter.topic),
        ("x-adobe-event-id", letter.event),
        ("x-adobe-delivery-id", letter.delivery),
        ("x-adobe-provider", "commerce_events"),
        ("x-adobe-digital-signature-1", signature),
        ("x-adobe-digital-signature-2", signature),
        ("x-adobe-public-key1-path", ADOBE_KEY_PATH),
        ("x-adobe-public-key2-path", ADOBE_KEY_PATH),
    ]


def _wix(_letter: Letter) -> Pairs:
    """Wix, "Webhook structure": the body proves itself (`prepare`)."""
    return [("Content-Type", "text/plain")]


def _keyed(letter: Letter) -> Pairs:
    """Nothing is signed; the source's key goes beside it (Octolis' webhooks, bridges in front of commercetools)."""
    return [_JSON, ("X-Event-Type", letter.topic)]


def _cloudevents(letter: Letter) -> Pairs:
    """CloudEvents 1.0 over HTTP, structured mode; what is signed is the transport's business."""
    return [("Content-Type", "application/cloudevents+json"), ("X-Signature", _hex(letter.key, letter.body))]


_HEADERS: dict[str, Callable[[Letter], Pairs]] = {
    "shopify": _shopify,
    "generic": _generic,
    "woocommerce": _woocommerce,
    "stripe": _stripe,
    "standard-webhooks": _standard_webhooks,
    "bigcommerce": _bigcommerce,
    "square": _square,
    "adyen": _adyen,
    "adyen-platform": _adyen_platform,
    "shopware": _shopware,
    "github": _github,
    "saleor": _saleor,
    "octolis": _keyed,
    "commercetools": _keyed,
    "cloudevents": _cloudevents,
    "paypal": _paypal,
    "adobe-commerce": _adobe,
    "wix": _wix,
}

PRESETS: tuple[str, ...] = tuple(_HEADERS)
"""The presets that can be signed."""

PRIVATE = frozenset({"paypal", "adobe-commerce", "wix", "saleor"})
"""Those that are signed with a private key; Saleor only where there is no secret."""

PINNED = frozenset({"paypal", "adobe-commerce"})
"""Those whose keys the receiver fetches from the platform's own host and from nowhere else."""


# --- Adyen's items ---------------------------------------------------------------------------------------------------


def _unhexed(secret: str) -> bytes:
    try:
        return bytes.fromhex(secret)
    except ValueError:
        raise ValueError("an Adyen HMAC key is hexadecimal") from None


def adyen_text(item: Mapping[str, object]) -> str:
    """What Adyen signs of one item: eight fields joined by colons, nothing escaped, what is missing is empty."""
    amount = item.get("amount")
    value, currency = (amount.get("value", ""), amount.get("currency", "")) if isinstance(amount, dict) else ("", "")
    parts: Sequence[object] = [item.get(name, "") for name in _ADYEN_FIELDS]
    return ":".join(str(part) for part in (*parts, value, currency, item.get("eventCode", ""), item.get("success", "")))


def _with_item_signatures(body: bytes, secret: str) -> bytes:
    """The items with their signatures; a body that is an item itself is one."""
    key = _unhexed(secret)
    notice = document.parse(body)
    items = [one["NotificationRequestItem"] for one in notice.get("notificationItems", ())]
    for item in items or [notice]:
        signature = _base64(key, adyen_text(item).encode())
        item["additionalData"] = {**(item.get("additionalData") or {}), "hmacSignature": signature}
    return document.dump(notice)
