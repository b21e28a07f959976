"""Bodies to send by hand, by platform and name: `gateway send SOURCE --sample order`. One file each platform."""

from collections.abc import Mapping

from msgspec import Struct

from gateway import document
from gateway.sandbox.samples.adobe_commerce import ADOBE_COMMERCE
from gateway.sandbox.samples.adyen import ADYEN, ADYEN_PLATFORM
from gateway.sandbox.samples.bigcommerce import BIGCOMMERCE
from gateway.sandbox.samples.commercetools import COMMERCETOOLS
from gateway.sandbox.samples.github import GITHUB
from gateway.sandbox.samples.paypal import PAYPAL
from gateway.sandbox.samples.plain import CLOUDEVENTS, GENERIC, OCTOLIS, STANDARD_WEBHOOKS
from gateway.sandbox.samples.saleor import SALEOR
from gateway.sandbox.samples.scene import Platform
from gateway.sandbox.samples.shopify import SHOPIFY
from gateway.sandbox.samples.shopware import SHOPWARE
from gateway.sandbox.samples.square import SQUARE
from gateway.sandbox.samples.stripe import STRIPE
from gateway.sandbox.samples.wix import WIX
from gateway.sandbox.samples.woocommerce import WOOCOMMERCE


class Sample(Struct, frozen=True):
    """A body and the topic it goes under."""

    topic: str
    body: bytes


SAMPLES: Mapping[str, Platform] = {
    "shopify": SHOPIFY,
    "woocommerce": WOOCOMMERCE,
    "bigcommerce": BIGCOMMERCE,
    "stripe": STRIPE,
    "paypal": PAYPAL,
    "square": SQUARE,
    "adyen": ADYEN,
    "adyen-platform": ADYEN_PLATFORM,
    "commercetools": COMMERCETOOLS,
    "saleor": SALEOR,
    "shopware": SHOPWARE,
    "adobe-commerce": ADOBE_COMMERCE,
    "wix": WIX,
    "github": GITHUB,
    "standard-webhooks": STANDARD_WEBHOOKS,
    "octolis": OCTOLIS,
    "cloudevents": CLOUDEVENTS,
    "generic": GENERIC,
}
"""By preset."""

_NONE = Platform({}, {})


def names(preset: str) -> tuple[str, ...]:
    """What may be asked for of a platform: short names first, then topics. Empty for a platform without samples."""
    platform = SAMPLES.get(preset, _NONE)
    return (*platform.short, *platform.topics)


def sample(preset: str, name: str, *, now_ms: int, number: int = 1) -> Sample:
    """The n-th sample of that name: another number is another order, customer or product.

    Raises KeyError for a platform or a name that there is not.
    """
    platform = SAMPLES[preset]
    topic = platform.short.get(name, name)
    return Sample(topic, document.dump(platform.topics[topic](number, now_ms)))
