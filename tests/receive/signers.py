"""The senders' side of every scheme, written from the platforms' documents, with keys made for the tests."""

import base64
import hashlib
import hmac
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID
from cryptography.x509.verification import Store

NOW_S = 1_795_000_000
SECRET = "a-secret-of-the-shop"
HEX_KEY = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
STANDARD_SECRET = "whsec_" + base64.b64encode(b"twenty-four bytes of key").decode()
BODY = b'{"id":"evt-1","type":"order.created","total":"12.50","name":"\xc3\xa9t\xc3\xa9 <b>"}'

Headers = dict[str, str]


@dataclass(frozen=True)
class Signed:
    """A request as its platform signs it. `names`: the header that is the signature, and the one that is its time."""

    body: bytes
    headers: Headers
    signature: str = ""
    timestamp: str = ""


@dataclass(frozen=True)
class Scheme:
    """One platform: its preset, what its source names, how it signs a body at a time with a key.

    `others`: what the source names for another key. `published`: what stands at the URLs its keys are fetched from.
    `timed`: whether the signature is good for a while only. `whole`: whether every byte of the body is signed.
    """

    preset: str
    source: Mapping[str, Any]
    others: Mapping[str, Any]
    sign: Callable[[bytes, int], Signed]
    published: Mapping[str, bytes] = field(default_factory=dict)
    timed: bool = False
    whole: bool = True
    body: bytes = BODY


def mac(key: bytes, text: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.new(key, text, getattr(hashlib, algorithm)).digest()


def b64(text: bytes) -> str:
    return base64.b64encode(text).decode()


# --- keyed hashes ----------------------------------------------------------------------------------------------------


def shopify(body: bytes, _now_s: int) -> Signed:
    headers = {
        "X-Shopify-Hmac-Sha256": b64(mac(SECRET.encode(), body)),
        "X-Shopify-Topic": "orders/create",
        "X-Shopify-Shop-Domain": "north.myshopify.com",
        "X-Shopify-Event-Id": "98880550-7158-44d4-b7cd-2c97c8a091b5",
        "X-Shopify-Webhook-Id": "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
    }
    return Signed(body, headers, "X-Shopify-Hmac-Sha256")


def woocommerce(body: bytes, _now_s: int) -> Signed:
    headers = {
        "X-WC-Webhook-Signature": b64(mac(SECRET.encode(), body)),
        "X-WC-Webhook-Topic": "order.created",
        "X-WC-Webhook-Source": "https://wool.example/",
        "X-WC-Webhook-ID": "12",
        "X-WC-Webhook-Delivery-ID": "d1",
    }
    return Signed(body, headers, "X-WC-Webhook-Signature")


def square(body: bytes, _now_s: int) -> Signed:
    signature = b64(mac(SECRET.encode(), b"https://in.example/webhooks/pos?x=1" + body))
    return Signed(body, {"x-square-hmacsha256-signature": signature}, "x-square-hmacsha256-signature")


def shopware(body: bytes, _now_s: int) -> Signed:
    return Signed(body, {"shopware-shop-signature": mac(SECRET.encode(), body).hex()}, "shopware-shop-signature")


def github(body: bytes, _now_s: int) -> Signed:
    headers = {
        "X-Hub-Signature-256": "sha256=" + mac(SECRET.encode(), body).hex(),
        "X-GitHub-Event": "issues",
        "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "X-GitHub-Hook-ID": "292430182",
    }
    return Signed(body, headers, "X-Hub-Signature-256")


def adyen_platform(body: bytes, _now_s: int) -> Signed:
    return Signed(body, {"HmacSignature": b64(mac(bytes.fromhex(HEX_KEY), body))}, "HmacSignature")


def slack_like(body: bytes, now_s: int) -> Signed:
    """A generic source: `v0:{timestamp}:{body}` with a prefix, as Slack signs."""
    signature = "v0=" + mac(SECRET.encode(), b"v0:%d:%b" % (now_s, body)).hex()
    return Signed(body, {"X-Sig": signature, "X-Time": str(now_s)}, "X-Sig", "X-Time")


def sha512(body: bytes, _now_s: int) -> Signed:
    return Signed(body, {"X-Sig": b64(mac(SECRET.encode(), body, "sha512"))}, "X-Sig")


def stripe(body: bytes, now_s: int) -> Signed:
    signature = mac(b"whsec_" + SECRET.encode(), b"%d.%b" % (now_s, body)).hex()
    return Signed(body, {"Stripe-Signature": f"t={now_s},v1={signature}"}, "Stripe-Signature")


def standard(body: bytes, now_s: int, key: bytes = b"twenty-four bytes of key", brand: str = "webhook") -> Signed:
    signature = "v1," + b64(mac(key, b"msg_1.%d.%b" % (now_s, body)))
    headers = {f"{brand}-id": "msg_1", f"{brand}-timestamp": str(now_s), f"{brand}-signature": signature}
    return Signed(body, headers, f"{brand}-signature", f"{brand}-timestamp")


def bigcommerce(body: bytes, now_s: int) -> Signed:
    return standard(body, now_s, SECRET.encode())


def svix(body: bytes, now_s: int) -> Signed:
    return standard(body, now_s, brand="svix")


def asymmetric(body: bytes, now_s: int) -> Signed:
    signature = "v1a," + b64(_ed25519().sign(b"msg_1.%d.%b" % (now_s, body)))
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(now_s), "webhook-signature": signature}
    return Signed(body, headers, "webhook-signature", "webhook-timestamp")


def adyen_item(**changes: Any) -> dict[str, Any]:
    item: dict[str, Any] = {
        "pspReference": "7914073381342284",
        "originalReference": "",
        "merchantAccountCode": "NorthShop",
        "merchantReference": "order:12\\x",
        "amount": {"value": 1130, "currency": "EUR"},
        "eventCode": "AUTHORISATION",
        "success": "true",
        "reason": "not signed",
        **changes,
    }
    amount = item["amount"]
    parts = [
        *(item["pspReference"], item["originalReference"], item["merchantAccountCode"], item["merchantReference"]),
        *(str(amount["value"]), amount["currency"], item["eventCode"], item["success"]),
    ]
    signature = b64(mac(bytes.fromhex(HEX_KEY), ":".join(parts).encode()))
    return {"NotificationRequestItem": {**item, "additionalData": {"hmacSignature": signature}}}


def adyen_body(*items: dict[str, Any]) -> bytes:
    return json.dumps({"live": "false", "notificationItems": list(items)}).encode()


def adyen(body: bytes, _now_s: int) -> Signed:
    return Signed(body, {})


# --- public keys -----------------------------------------------------------------------------------------------------


_keys: dict[str, rsa.RSAPrivateKey] = {}
_edwards: dict[str, ed25519.Ed25519PrivateKey] = {}


def rsa_key(name: str = "ours") -> rsa.RSAPrivateKey:
    """The key of this name, made when first asked for."""
    if name not in _keys:
        _keys[name] = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return _keys[name]


def _ed25519(name: str = "ours") -> ed25519.Ed25519PrivateKey:
    return _edwards.setdefault(name, ed25519.Ed25519PrivateKey.generate())


def ed25519_secret(name: str = "ours") -> str:
    raw = _ed25519(name).public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return "whpk_" + b64(raw)


def public_pem(name: str = "ours") -> str:
    key = rsa_key(name).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def jwks(*names: str) -> bytes:
    listed = []
    for name in names:
        key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa_key(name).public_key()))
        listed.append({**key, "kid": name, "use": "sig", "alg": "RS256"})
    return json.dumps({"keys": [{"kty": "EC", "kid": "other"}, *listed]}).encode()


@dataclass(frozen=True)
class Issued:
    """How a certificate is made out: for how long, by whom, whether its issuer comes with it, or is to be had where."""

    days: int = 30
    issuer: str = "trusted"
    whole: bool = True
    alternative: bool = True
    issuer_url: str = ""


@cache
def certificate(host: str, issued: Issued = Issued(), name: str = "ours") -> bytes:
    """A certificate for a key under a host's name, with the one that issued it, PEM."""
    made = _issued(host, rsa_key(name).public_key(), issued.issuer, issued.days)
    if issued.alternative:
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    if issued.issuer_url:
        place = x509.UniformResourceIdentifier(issued.issuer_url)
        told = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, place)
        made = made.add_extension(x509.AuthorityInformationAccess([told]), critical=False)
    leaf = made.sign(_ec(issued.issuer), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return leaf + (authority(issued.issuer).public_bytes(serialization.Encoding.PEM) if issued.whole else b"")


@cache
def authority(name: str = "trusted") -> x509.Certificate:
    """Who issues: an intermediate that the root of its name has signed."""
    key = _ec(name).public_key()
    return _authority(_issued(f"{name} issuer", key, f"{name} root")).sign(_ec(f"{name} root"), hashes.SHA256())


def issuer_der(name: str = "trusted") -> bytes:
    """An intermediate as its authority publishes it."""
    return authority(name).public_bytes(serialization.Encoding.DER)


@cache
def root(name: str = "trusted") -> x509.Certificate:
    key = _ec(f"{name} root").public_key()
    return _authority(_issued(f"{name} root", key, f"{name} root")).sign(_ec(f"{name} root"), hashes.SHA256())


def roots() -> Store:
    """What the web trusts, in the tests."""
    return Store([root()])


@cache
def _ec(name: str) -> ec.EllipticCurvePrivateKey:
    assert name
    return ec.generate_private_key(ec.SECP256R1())


def _issued(
    subject: str, key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, issuer: str, days: int = 30
) -> x509.CertificateBuilder:
    now = datetime.fromtimestamp(NOW_S, UTC)
    by = issuer if issuer.endswith(" root") else f"{issuer} issuer"
    authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(_ec(issuer).public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, by)]))
        .public_key(key)
        .serial_number(7)
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(authority_key, critical=False)
    )


def _authority(made: x509.CertificateBuilder) -> x509.CertificateBuilder:
    flags = dict.fromkeys(
        [
            *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
            *("key_agreement", "encipher_only", "decipher_only", "crl_sign"),
        ],
        False,
    )
    public = made._public_key
    assert public is not None
    return (
        made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(key_cert_sign=True, **flags), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def rsa_sign(text: bytes, name: str = "ours", digest: hashes.HashAlgorithm | None = None) -> str:
    return b64(rsa_key(name).sign(text, PKCS1v15(), digest or hashes.SHA256()))


JWKS_URL = "https://shop.example/.well-known/jwks.json"
PAYPAL_URL = "https://api.paypal.com/v1/notifications/certs/CERT-360caa42"
ADOBE_PATHS = ("/prod/keys/pub-key-1.pem", "/prod/keys/pub-key-2.pem")
SNS_URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-abc123.pem"
SNS_ISSUER_URL = "http://crt.r2m01.trust.example/r2m01.cer"
SNS_ISSUED = Issued(whole=False, issuer_url=SNS_ISSUER_URL)
"""As SNS publishes it: alone, and telling where its issuer is."""


def saleor(body: bytes, _now_s: int) -> Signed:
    token = jwt.PyJWS(algorithms=["RS256"]).encode(
        body, rsa_key(), algorithm="RS256", headers={"kid": "ours", "crit": ["b64"]}, is_payload_detached=True
    )
    headers = {
        "Saleor-Signature": token,
        "Saleor-Event": "order_created",
        "Saleor-Api-Url": "https://shop.example/graphql/",
    }
    return Signed(body, headers, "Saleor-Signature")


def wix(event: bytes, now_s: int, **claims: Any) -> Signed:
    outer = {"eventType": "wix.ecom.v1.order_created", "instanceId": "inst-1", "data": event.decode()}
    token = jwt.encode({"data": json.dumps(outer), "iat": now_s, "exp": now_s + 300, **claims}, rsa_key(), "RS256")
    return Signed(token.encode(), {"content-type": "text/plain"})


def paypal(body: bytes, _now_s: int) -> Signed:
    sent = "2026-11-18T10:00:00Z"
    signed = f"69cd13f0|{sent}|WH-CONFIGURED|{zlib.crc32(body)}".encode()
    headers = {
        "PAYPAL-TRANSMISSION-ID": "69cd13f0",
        "PAYPAL-TRANSMISSION-TIME": sent,
        "PAYPAL-TRANSMISSION-SIG": rsa_sign(signed),
        "PAYPAL-CERT-URL": PAYPAL_URL,
        "PAYPAL-AUTH-ALGO": "SHA256withRSA",
    }
    return Signed(body, headers, "PAYPAL-TRANSMISSION-SIG", "PAYPAL-TRANSMISSION-TIME")


def adobe(body: bytes, _now_s: int) -> Signed:
    headers = {
        "x-adobe-digital-signature-1": rsa_sign(body),
        "x-adobe-public-key1-path": ADOBE_PATHS[0],
        "x-adobe-event-code": "com.adobe.commerce.order",
        "x-adobe-event-id": "adobe-1",
    }
    return Signed(body, headers, "x-adobe-digital-signature-1")


ADOBE_BODY = b'{"recipientclientid":"client-1","id":"adobe-1","source":"urn:x","data":{"entity_id":"3"}}'


def sns_message(kind: str = "Notification", **fields: str) -> dict[str, str]:
    """A message as SNS signs it (version 1: SHA-1, unless told)."""
    message = {
        "Type": kind,
        "MessageId": "m-1",
        "TopicArn": "arn:aws:sns:eu-west-1:1:orders",
        "Message": json.dumps({"notificationType": "Message", "id": "ct-1", "type": "OrderCreated"}),
        "Timestamp": "2026-11-18T10:00:00.000Z",
        "SignatureVersion": "1",
        "SigningCertURL": SNS_URL,
        **fields,
    }
    names = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    text = "".join(f"{name}\n{message[name]}\n" for name in names if name in message)
    digest = hashes.SHA1() if message["SignatureVersion"] == "1" else hashes.SHA256()  # noqa: S303  as SNS does
    return {**message, "Signature": rsa_sign(text.encode(), digest=digest)}


def sns(body: bytes, _now_s: int) -> Signed:
    return Signed(body, {"x-amz-sns-message-type": "Notification", "X-Api-Key": "bridge"})


SCHEMES: dict[str, Scheme] = {
    "shopify": Scheme("shopify", {"secrets": SECRET}, {"secrets": "another"}, shopify),
    "woocommerce": Scheme("woocommerce", {"secrets": SECRET}, {"secrets": "another"}, woocommerce),
    "square": Scheme(
        "square",
        {"secrets": SECRET, "notification_url": "https://in.example/webhooks/pos?x=1"},
        {"secrets": "another", "notification_url": "https://in.example/webhooks/pos?x=1"},
        square,
    ),
    "shopware": Scheme("shopware", {"secrets": SECRET}, {"secrets": "another"}, shopware),
    "github": Scheme("github", {"secrets": SECRET}, {"secrets": "another"}, github),
    "adyen-platform": Scheme("adyen-platform", {"secrets": HEX_KEY}, {"secrets": "00" * 32}, adyen_platform),
    "generic-timed": Scheme(
        "generic",
        {
            "secrets": SECRET,
            "verify": {
                "header": "X-Sig",
                "prefix": "v0=",
                "signed": "v0:{timestamp}:{body}",
                "timestamp": "header:X-Time",
            },
        },
        {"secrets": "another", "verify": {"header": "X-Sig", "prefix": "v0=", "signed": "{body}"}},
        slack_like,
        timed=True,
    ),
    "generic-sha512": Scheme(
        "generic",
        {"secrets": SECRET, "verify": {"header": "X-Sig", "algorithm": "sha512", "encoding": "base64"}},
        {"secrets": "another", "verify": {"header": "X-Sig", "algorithm": "sha512", "encoding": "base64"}},
        sha512,
    ),
    "stripe": Scheme("stripe", {"secrets": "whsec_" + SECRET}, {"secrets": SECRET}, stripe, timed=True),
    "standard-webhooks": Scheme(
        "standard-webhooks", {"secrets": STANDARD_SECRET}, {"secrets": "whsec_" + b64(b"x" * 24)}, standard, timed=True
    ),
    "svix": Scheme(
        "standard-webhooks", {"secrets": STANDARD_SECRET}, {"secrets": "whsec_" + b64(b"x" * 24)}, svix, timed=True
    ),
    "bigcommerce": Scheme("bigcommerce", {"secrets": SECRET}, {"secrets": "another"}, bigcommerce, timed=True),
    "adyen": Scheme(
        "adyen", {"secrets": HEX_KEY}, {"secrets": "00" * 32}, adyen, whole=False, body=adyen_body(adyen_item())
    ),
    "ed25519": Scheme(
        "standard-webhooks",
        {"secrets": ed25519_secret()},
        {"secrets": ed25519_secret("another")},
        asymmetric,
        timed=True,
    ),
    "saleor": Scheme(
        "saleor",
        {"api_url": "https://shop.example/graphql/"},
        {"jwks_url": "https://other.example/jwks.json"},
        saleor,
        {JWKS_URL: jwks("ours"), "https://other.example/jwks.json": jwks("another")},
    ),
    "wix": Scheme("wix", {"public_key": public_pem()}, {"public_key": public_pem("another")}, wix, timed=True),
    "paypal": Scheme(
        "paypal",
        {"webhook_id": "WH-CONFIGURED"},
        {"webhook_id": "WH-ANOTHER"},
        paypal,
        {PAYPAL_URL: certificate("messageverificationcerts.paypal.com")},
        body=b'{"id":"WH-1","event_type":"PAYMENT.SALE.COMPLETED","resource":{"id":"7"}}',
    ),
    "adobe-commerce": Scheme(
        "adobe-commerce",
        {"client_id": "client-1"},
        {"client_id": "client-2"},
        adobe,
        {f"https://static.adobeioevents.com{path}": public_pem().encode() for path in ADOBE_PATHS},
        body=ADOBE_BODY,
    ),
    "sns": Scheme(
        "commercetools",
        {"api_key": "bridge"},
        {"api_key": "another"},
        sns,
        {SNS_URL: certificate("sns.amazonaws.com", SNS_ISSUED), SNS_ISSUER_URL: issuer_der()},
        whole=False,
        body=json.dumps(sns_message()).encode(),
    ),
}
