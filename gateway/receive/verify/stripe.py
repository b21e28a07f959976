"""Stripe: `Stripe-Signature: t=<unix>,v1=<hex>[,v1=...][,v0=...]` over `t.body`, HMAC-SHA256 in hex.

The key is the whole secret as text, `whsec_` included (unlike Standard Webhooks). Any `v1` may fit (rotation); other
versions are passed over. stripe-python looks only at the past; here the time may be off neither way.
"""

import hmac
from typing import Literal

from pydantic import Field

from gateway.config.schema import Source
from gateway.config.values import Seconds
from gateway.errors import Cause, Rejected
from gateway.receive.guards import one_of
from gateway.receive.keys import Keys
from gateway.receive.parts import compile_header
from gateway.receive.verify.base import SIGNATURES_AT_MOST, Fields, Scheme, Verify, signature, unix_ms, within

_HEX_LENGTH = 64


class Stripe(Scheme):
    scheme: Literal["stripe"] = "stripe"
    header: str = Field("Stripe-Signature", description="The header that carries the signature.")
    tolerance: Seconds = Field(300.0, description="How far the signed time may be off, both ways.")

    def verifier(self, source: Source, keys: Keys) -> Verify:  # noqa: ARG002  its keys are the secrets
        keyed = [hmac.new(secret.reveal().encode(), digestmod="sha256") for secret in source.secrets]
        read = compile_header(self.header)
        tolerance_s = self.tolerance

        def verify(body: bytes, fields: Fields, arrived_ms: int) -> None:
            sent, given = _elements(signature(read(fields)))
            signed = sent + b"." + body
            expected = []
            for key in keyed:
                state = key.copy()
                state.update(signed)
                expected.append(state.hexdigest().encode())
            if sum([one_of(one, expected) for one in given]) == 0:
                raise Rejected(Cause.SIGNATURE_WRONG)
            within(unix_ms(sent), arrived_ms, tolerance_s)

        return verify


def _elements(value: bytes) -> tuple[bytes, list[bytes]]:
    """The time and the `v1` signatures in the header. Raises Rejected."""
    times = []
    given = []
    for element in value.split(b",")[: 2 * SIGNATURES_AT_MOST]:
        name, _, text = element.strip().partition(b"=")
        if name == b"t":
            times.append(text)
        elif name == b"v1" and len(text) == _HEX_LENGTH:
            given.append(text)
    if len(times) != 1 or not times[0].isdigit() or not given:
        raise Rejected(Cause.SIGNATURE_MALFORMED)
    return times[0], given[:SIGNATURES_AT_MOST]
