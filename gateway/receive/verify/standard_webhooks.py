"""Standard Webhooks (https://www.standardwebhooks.com), as Svix, BigCommerce and many others sign.

`webhook-id`, `webhook-timestamp`, `webhook-signature` (or `svix-...`); signed is `id.timestamp.body`; the signature is
a list of `v1,<base64>` (HMAC-SHA256) and `v1a,<base64>` (Ed25519), versions not known are passed over. Time and
signature are new on each attempt, the id stays.
"""

import binascii
import hmac
from collections.abc import Sequence
from typing import Any, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import Field

from gateway.config.schema import Source
from gateway.config.values import Seconds
from gateway.errors import Cause, Rejected
from gateway.receive.guards import one_of
from gateway.receive.keys import Keys
from gateway.receive.verify.base import SIGNATURES_AT_MOST, Fields, Scheme, Verify, signature, unix_ms, within

_HEADERS = tuple(
    tuple(f"{brand}-{name}".encode() for name in ("id", "timestamp", "signature")) for brand in ("webhook", "svix")
)
_PUBLIC_KEY_BYTES = 32


class StandardWebhooks(Scheme):
    """`key`: secrets are `whsec_` and base64, or `whpk_` and an Ed25519 public key; or the text as it is."""

    scheme: Literal["standard-webhooks"] = "standard-webhooks"
    key: Literal["base64", "text"] = Field("base64", description="How a secret becomes a key.")
    tolerance: Seconds = Field(300.0, description="How far the signed time may be off, both ways.")

    def verifier(self, source: Source, keys: Keys) -> Verify:  # noqa: ARG002  its keys are the secrets
        secrets = [secret.reveal() for secret in source.secrets]
        public = [_public(text) for text in secrets if text.startswith("whpk_")]
        keyed = [hmac.new(self._key(text), digestmod="sha256") for text in secrets if not text.startswith("whpk_")]
        tolerance_s = self.tolerance

        def verify(body: bytes, fields: Fields, arrived_ms: int) -> None:
            message_id, sent, given = _headers(fields)
            signed = b"%b.%b.%b" % (message_id, sent, body)
            if not _shared(keyed, signed, given) and not _asymmetric(public, signed, given):
                raise Rejected(Cause.SIGNATURE_WRONG)
            within(unix_ms(sent), arrived_ms, tolerance_s)

        return verify

    def _key(self, secret: str) -> bytes:
        if self.key == "text":
            return secret.encode()
        return _decode(secret.removeprefix("whsec_"))


def _headers(fields: Fields) -> tuple[bytes, bytes, list[bytes]]:
    """The message's id, its time, and the signatures it came with. Raises Rejected."""
    for names in _HEADERS:
        if names[2] in fields:
            message_id, sent, value = (fields.get(name, b"") for name in names)
            given = signature(value).split(b" ")[:SIGNATURES_AT_MOST]
            if not message_id or not sent or not any(b"," in entry for entry in given):
                raise Rejected(Cause.SIGNATURE_MALFORMED)
            return message_id, sent, given
    raise Rejected(Cause.SIGNATURE_MISSING)


def _shared(keyed: Sequence[Any], signed: bytes, given: Sequence[bytes]) -> bool:
    """Whether one of the `v1` signatures was made with one of the secrets."""
    expected = []
    for key in keyed:
        state = key.copy()
        state.update(signed)
        expected.append(b"v1," + binascii.b2a_base64(state.digest(), newline=False))
    return sum([one_of(entry, expected) for entry in given]) > 0


def _asymmetric(public: Sequence[Ed25519PublicKey], signed: bytes, given: Sequence[bytes]) -> bool:
    """Whether one of the `v1a` signatures was made with the private half of one of the keys."""
    return any(_fits(key, entry[4:], signed) for key in public for entry in given if entry.startswith(b"v1a,"))


def _fits(key: Ed25519PublicKey, text: bytes, signed: bytes) -> bool:
    try:
        key.verify(binascii.a2b_base64(text, strict_mode=True), signed)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _public(secret: str) -> Ed25519PublicKey:
    key = _decode(secret.removeprefix("whpk_"))
    if len(key) != _PUBLIC_KEY_BYTES:
        raise ValueError("a whpk_ secret is not an Ed25519 public key of 32 bytes")
    return Ed25519PublicKey.from_public_bytes(key)


def _decode(text: str) -> bytes:
    """Base64, padded or not, as the libraries take it."""
    try:
        key = binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ValueError("a secret is not whsec_ and base64")
    return key
