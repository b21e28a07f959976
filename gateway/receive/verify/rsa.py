"""RSA signatures whose key is fetched by a URL in the request: PayPal, Adobe I/O Events, Amazon SNS.

A URL in a request is a stranger's: its host is pinned, it is fetched over TLS only, without redirects, and bounded.
"""

import re
import zlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm
from pydantic import Field

from gateway import document
from gateway.config.schema import Source
from gateway.config.values import Seconds
from gateway.errors import Cause, Rejected
from gateway.receive.keys import KeyNeeded, Keys
from gateway.receive.verify.base import Fields, Scheme, Verify, from_base64, signature
from gateway.receive.verify.certificates import Chain, read_chain
from gateway.receive.verify.jws import read_public_key

URL_BYTES = 512
_ODD = re.compile(r"\.\.|//")


def fits(key: RSAPublicKey, given: bytes, signed: bytes, digest: HashAlgorithm) -> bool:
    """Whether the signature (PKCS #1 v1.5) over the bytes was made with the private half of the key."""
    try:
        key.verify(given, signed, PKCS1v15(), digest)
    except InvalidSignature:
        return False
    return True


def pinned(url: str, host: re.Pattern[str], path: re.Pattern[str]) -> str:
    """The URL, if it is HTTPS at that host and path and nothing else. Raises Rejected."""
    try:
        parts = urlsplit(url)
        plain = parts.port is None and parts.username is None
    except ValueError:
        raise Rejected(Cause.SIGNATURE_MALFORMED, "the key's URL cannot be read") from None
    good = parts.scheme == "https" and plain and not parts.query and not parts.fragment and len(url) <= URL_BYTES
    if not good or not host.fullmatch(parts.netloc) or not path.fullmatch(parts.path) or _ODD.search(parts.path):
        raise Rejected(Cause.SIGNATURE_MALFORMED, "the key's URL is not the platform's")
    return f"https://{parts.netloc}{parts.path}"


# --- PayPal ----------------------------------------------------------------------------------------------------------

_PAYPAL_HOST = re.compile(r"([a-z0-9-]+\.)*paypal\.com")
_PAYPAL_PATH = re.compile(r"/[A-Za-z0-9/_.-]{1,200}")
_PAYPAL_NAMES = re.compile(r"(\*|[a-z0-9-]+)(\.[a-z0-9-]+)*\.paypal\.com")


class PayPal(Scheme):
    """`transmission_id|transmission_time|webhook_id|crc32(body)`, with the certificate at PAYPAL-CERT-URL.

    The certificate comes over TLS from a host under paypal.com, must be in force, made out to one, and lead to a root
    that the web trusts. PayPal tries for three days: what is said to be sent longer ago, or later than now, is refused.
    """

    scheme: Literal["paypal"] = "paypal"
    chain: bool = Field(True, description="Whether the certificate must lead to a root that the web trusts.")
    sent_within: Seconds = Field(4 * 86_400.0, description="How long ago a request may have been sent.")
    ahead: Seconds = Field(300.0, description="How far the sender's clock may be ahead.")

    def faults(self, source: Source) -> Iterator[str]:
        if source.webhook_id is None:
            yield "webhook_id is needed: the webhook's id at PayPal, which is part of what is signed"

    def verifier(self, source: Source, keys: Keys) -> Verify:
        webhook_id = (source.webhook_id or "").encode()
        in_time = self._in_time

        def verify(body: bytes, fields: Fields, arrived_ms: int) -> None:
            given = from_base64(signature(fields.get(b"paypal-transmission-sig")))
            if fields.get(b"paypal-auth-algo", b"").lower() != b"sha256withrsa":
                raise Rejected(Cause.SIGNATURE_MALFORMED, "the algorithm is not SHA256withRSA")
            url = pinned(fields.get(b"paypal-cert-url", b"").decode("latin-1"), _PAYPAL_HOST, _PAYPAL_PATH)
            parts = [fields.get(name, b"") for name in (b"paypal-transmission-id", b"paypal-transmission-time")]
            if not all(parts):
                raise Rejected(Cause.SIGNATURE_MALFORMED)
            sent_ms = _moment_ms(parts[1])
            signed = b"|".join((*parts, webhook_id, b"%d" % zlib.crc32(body)))
            chain: Chain = keys.get(url, read_chain)
            if not fits(chain.key(_PAYPAL_NAMES, arrived_ms), given, signed, SHA256()):
                raise Rejected(Cause.SIGNATURE_WRONG)
            if self.chain:
                chain.prove(_PAYPAL_NAMES, arrived_ms, keys)
            in_time(sent_ms, arrived_ms)

        return verify

    def _in_time(self, sent_ms: int, arrived_ms: int) -> None:
        if not -self.ahead * 1000 <= arrived_ms - sent_ms <= self.sent_within * 1000:
            raise Rejected(Cause.SIGNATURE_EXPIRED)


def _moment_ms(text: bytes) -> int:
    """An ISO 8601 time with its zone, as ms since the epoch. Raises Rejected."""
    try:
        at = datetime.fromisoformat(text.decode())
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise Rejected(Cause.SIGNATURE_MALFORMED, "the transmission time is none")
    return int(at.timestamp() * 1000)


# --- Adobe I/O Events ------------------------------------------------------------------------------------------------

_ADOBE_HOST = re.compile(r"static\.adobeioevents\.com")
_ADOBE_PATH = re.compile(r"/[A-Za-z0-9/_.-]{1,200}")
_ADOBE_PAIRS = tuple(
    (f"x-adobe-digital-signature-{n}".encode(), f"x-adobe-public-key{n}-path".encode()) for n in (1, 2)
)


class Adobe(Scheme):
    """RSA-SHA256 over the raw body in two headers, of which one has to fit; and the event is for our `client_id`."""

    scheme: Literal["adobe"] = "adobe"

    def faults(self, source: Source) -> Iterator[str]:
        if source.client_id is None:
            yield "client_id is needed: the id that events are addressed to, or another's events would be taken"

    def verifier(self, source: Source, keys: Keys) -> Verify:
        client_id = source.client_id or ""

        def verify(body: bytes, fields: Fields, _arrived_ms: int) -> None:
            pairs = [(fields[given], fields.get(path, b"")) for given, path in _ADOBE_PAIRS if fields.get(given)]
            if not pairs:
                raise Rejected(Cause.SIGNATURE_MISSING)
            if not _any_fits(pairs, body, keys):
                raise Rejected(Cause.SIGNATURE_WRONG)
            if client_id not in _recipients(body):
                raise Rejected(Cause.SIGNATURE_WRONG, "the event is addressed to another client")

        return verify


def _any_fits(pairs: list[tuple[bytes, bytes]], body: bytes, keys: Keys) -> bool:
    """Whether one of two signatures fits; a key that is missing counts only where the other does not fit."""
    missing: Exception | None = None
    malformed: Exception | None = None
    for text, path in pairs:
        try:
            given = from_base64(signature(text))
            url = pinned(f"https://static.adobeioevents.com{path.decode('latin-1')}", _ADOBE_HOST, _ADOBE_PATH)
            if fits(keys.get(url, read_public_key), given, body, SHA256()):
                return True
        except KeyNeeded as needed:
            missing = needed
        except Rejected as rejected:
            if rejected.cause is Cause.KEY_UNAVAILABLE:
                missing = missing or rejected
            else:
                malformed = rejected
    if missing or malformed:
        raise missing or malformed or Rejected(Cause.SIGNATURE_WRONG)
    return False


def _recipients(body: bytes) -> tuple[Any, ...]:
    try:
        found = document.parse(body)
    except document.Unreadable:
        return ()
    return (found.get("recipientclientid"), found.get("recipient_client_id")) if isinstance(found, dict) else ()


# --- Amazon SNS ------------------------------------------------------------------------------------------------------

_SNS_HOST = re.compile(r"sns\.[a-z0-9-]{3,32}\.amazonaws\.com(\.cn)?")
_SNS_PATH = re.compile(r"/SimpleNotificationService-[A-Za-z0-9]{1,64}\.pem")
_SNS_NAMES = re.compile(
    r"(sns|sns\.[a-z0-9-]+|sns-signing\.[a-z0-9-]+|sns-(cn|us-gov)-[a-z0-9-]+)\.amazonaws\.com(\.cn)?"
)
"""One name for the older regions, one for each newer one, and for those of China and of the US government."""
_SNS_FIELDS = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
_SNS_DIGESTS: dict[str, HashAlgorithm] = {
    "1": SHA1(),  # noqa: S303  SNS signs so unless a topic says otherwise
    "2": SHA256(),
}


class Sns(Scheme):
    """Amazon SNS, where a request is SNS's; others pass, and are proved by what the source asks for beside this.

    The certificate comes over TLS from a host of SNS, must be in force, made out to SNS, and lead to a root that the
    web trusts. SNS publishes it alone: its issuer is fetched from where the certificate says.
    """

    scheme: Literal["sns"] = "sns"
    chain: bool = Field(True, description="Whether the certificate must lead to a root that the web trusts.")

    def faults(self, source: Source) -> Iterator[str]:
        if not (source.api_key or source.basic or source.bearer):
            yield "api_key (or basic, or bearer) is needed: only SNS signs, the other ways in sign nothing"

    def verifier(self, source: Source, keys: Keys) -> Verify:  # noqa: ARG002  nothing of the source is signed
        def verify(body: bytes, fields: Fields, arrived_ms: int) -> None:
            if b"x-amz-sns-message-type" not in fields or fields.get(b"x-amz-sns-rawdelivery") == b"true":
                return
            message = _message(body)
            kind = str(message.get("Type"))
            digest = _SNS_DIGESTS.get(str(message.get("SignatureVersion")))
            if kind not in _SNS_FIELDS or digest is None:
                raise Rejected(Cause.SIGNATURE_MALFORMED)
            given = from_base64(signature(str(message.get("Signature") or "").encode()))
            url = pinned(str(message.get("SigningCertURL")), _SNS_HOST, _SNS_PATH)
            chain: Chain = keys.get(url, read_chain)
            if not fits(chain.key(_SNS_NAMES, arrived_ms), given, _signed(message, kind), digest):
                raise Rejected(Cause.SIGNATURE_WRONG)
            if self.chain:
                chain.prove(_SNS_NAMES, arrived_ms, keys)

        return verify


def _message(body: bytes) -> dict[str, Any]:
    try:
        found = document.parse(body)
    except document.Unreadable:
        raise Rejected(Cause.SIGNATURE_MALFORMED, "the signature stands in the body, which is not JSON") from None
    if not isinstance(found, dict):
        raise Rejected(Cause.SIGNATURE_MALFORMED)
    return found


def _signed(message: dict[str, Any], kind: str) -> bytes:
    """The names and values that SNS signs, each on a line; a subject only where there is one."""
    pairs = [(name, message.get(name)) for name in _SNS_FIELDS[kind]]
    return "".join(f"{name}\n{value}\n" for name, value in pairs if value is not None).encode()
