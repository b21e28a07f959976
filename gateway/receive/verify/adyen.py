"""Adyen's standard webhooks: a signature inside each item, over eight of its fields.

`additionalData.hmacSignature` is base64 of HMAC-SHA256, keyed with the hex-decoded secret, over
`pspReference:originalReference:merchantAccountCode:merchantReference:value:currency:eventCode:success`; what is missing
is empty and nothing is escaped. Only these fields are proved: `reason`, `eventDate` and other `additionalData` are not.
One wrong item refuses the request.
"""

import binascii
import hmac
from collections.abc import Sequence
from typing import Any, Literal

from gateway import document
from gateway.config.schema import Source
from gateway.errors import Cause, Rejected
from gateway.receive.guards import one_of
from gateway.receive.keys import Keys
from gateway.receive.parts import walk
from gateway.receive.verify.base import Fields, Scheme, Verify

ITEMS_AT_MOST = 500

_FIELDS: tuple[tuple[str, ...], ...] = (
    ("pspReference",),
    ("originalReference",),
    ("merchantAccountCode",),
    ("merchantReference",),
    ("amount", "value"),
    ("amount", "currency"),
    ("eventCode",),
    ("success",),
)


class AdyenItems(Scheme):
    scheme: Literal["adyen-items"] = "adyen-items"

    def verifier(self, source: Source, keys: Keys) -> Verify:  # noqa: ARG002  its keys are the secrets
        keyed = [hmac.new(_key(secret.reveal()), digestmod="sha256") for secret in source.secrets]

        def verify(body: bytes, _fields: Fields, _arrived_ms: int) -> None:
            for item in _items(body):
                _prove(item, keyed)

        return verify


def _key(secret: str) -> bytes:
    try:
        return bytes.fromhex(secret)
    except ValueError:
        raise ValueError("a secret is not hex digits, as Adyen shows them") from None


def _items(body: bytes) -> list[Any]:
    """The items in a body; a body that is an item itself is one."""
    try:
        whole = document.parse(body)
    except document.Unreadable:
        raise Rejected(Cause.SIGNATURE_MALFORMED, "the signatures stand in the body, which is not JSON") from None
    if walk(whole, ("additionalData", "hmacSignature")) is not None:
        return [whole]
    found = walk(whole, ("notificationItems",))
    if not isinstance(found, list) or not found:
        raise Rejected(Cause.SIGNATURE_MISSING, "the body has no items")
    if len(found) > ITEMS_AT_MOST:
        raise Rejected(Cause.SIGNATURE_MALFORMED, "the body has too many items")
    return [walk(item, ("NotificationRequestItem",)) for item in found]


def _prove(item: Any, keyed: Sequence[Any]) -> None:
    given = walk(item, ("additionalData", "hmacSignature"))
    if not given:
        raise Rejected(Cause.SIGNATURE_MISSING, "an item is not signed")
    if not isinstance(given, str) or not given.isascii():
        raise Rejected(Cause.SIGNATURE_MALFORMED)
    signed = ":".join([_text(walk(item, path)) for path in _FIELDS]).encode()
    expected = []
    for key in keyed:
        state = key.copy()
        state.update(signed)
        expected.append(binascii.b2a_base64(state.digest(), newline=False))
    if not one_of(given.encode(), expected):
        raise Rejected(Cause.SIGNATURE_WRONG)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        raise Rejected(Cause.SIGNATURE_MALFORMED)
    return "" if value is None else str(value)
