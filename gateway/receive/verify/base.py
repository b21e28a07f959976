"""The contract of a signature scheme: what stands in a preset, and the check it becomes.

A scheme file holds one model (its keys in a preset) whose `verifier` binds a source's secrets once, so that a request
costs only the hash itself. The check is pure: body as it came on the wire, header values by lower-case name, and when
the request arrived. It returns nothing, or raises Rejected with a signature cause (401, never more), whatever it is
given; where a published key is not there yet it raises `keys.KeyNeeded`, and is asked again.
"""

import binascii
from collections.abc import Callable, Iterator, Mapping

from gateway.config.schema import Section, Source
from gateway.errors import Cause, Rejected
from gateway.receive.keys import Keys

Fields = Mapping[bytes, bytes]
Verify = Callable[[bytes, Fields, int], None]
"""(body on the wire, header values, arrived_ms) -> None, or raises Rejected."""

SIGNATURES_AT_MOST = 16
"""Signatures in one header that are looked at: each costs a hash."""

SIGNATURE_BYTES = 8192
"""A longer signature header is malformed."""


class Scheme(Section):
    """The base of the schemes' models."""

    def faults(self, source: Source) -> Iterator[str]:
        """What the source lacks for this scheme, each a sentence."""
        if not source.secrets:
            yield "secrets are needed: what requests are signed with"

    def verifier(self, source: Source, keys: Keys) -> Verify:
        """The check, with the source's secrets bound. Raises ValueError for a secret that cannot be a key."""
        raise NotImplementedError


def within(time_ms: int, arrived_ms: int, tolerance_s: float) -> None:
    """Raise Rejected when a signature's time is further off than the tolerance, either way."""
    if abs(arrived_ms - time_ms) > tolerance_s * 1000:
        raise Rejected(Cause.SIGNATURE_EXPIRED)


_MILLISECONDS_FROM = 100_000_000_000
"""Numbers from here on (the year 5138 in seconds) are milliseconds."""


def unix_ms(text: bytes) -> int:
    """A Unix time in seconds or milliseconds, as ms. Raises Rejected."""
    if not text.isdigit() or len(text) > 15:  # noqa: PLR2004  milliseconds for the next 30,000 years
        raise Rejected(Cause.SIGNATURE_MALFORMED, "the signature's time is no Unix time")
    number = int(text)
    return number if number >= _MILLISECONDS_FROM else number * 1000


def signature(value: bytes | None) -> bytes:
    """A signature header that is there and of a size. Raises Rejected."""
    if not value:
        raise Rejected(Cause.SIGNATURE_MISSING)
    if len(value) > SIGNATURE_BYTES:
        raise Rejected(Cause.SIGNATURE_MALFORMED)
    return value


def from_base64(text: bytes) -> bytes:
    """The bytes of a base64 text that is written as encoders write it. Raises Rejected."""
    try:
        value = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        raise Rejected(Cause.SIGNATURE_MALFORMED) from None
    if not value or binascii.b2a_base64(value, newline=False) != text:
        raise Rejected(Cause.SIGNATURE_MALFORMED)
    return value
