"""How requests are proved to be their platform's: one file per signature scheme behind one contract (`base`)."""

from typing import Annotated

from pydantic import Field

from gateway.receive.verify.adyen import AdyenItems
from gateway.receive.verify.hmac import Hmac
from gateway.receive.verify.jws import Jws, JwtBody
from gateway.receive.verify.rsa import Adobe, PayPal, Sns
from gateway.receive.verify.standard_webhooks import StandardWebhooks
from gateway.receive.verify.stripe import Stripe

AnyScheme = Annotated[
    Hmac | StandardWebhooks | Stripe | AdyenItems | Jws | JwtBody | PayPal | Adobe | Sns, Field(discriminator="scheme")
]
"""What may stand under `verify` in a preset."""
