"""A request as a source's platform would send it: what `send` sends and `try` pretends to have received."""

import re
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import quote

from msgspec import Struct

from gateway import app
from gateway.clock import Chance, SystemChance, SystemClock
from gateway.config.load import Loaded
from gateway.config.schema import Source
from gateway.receive.door import scheme_of
from gateway.receive.parts import header_names
from gateway.receive.presets import Preset
from gateway.receive.verify import AnyScheme
from gateway.receive.verify.hmac import Hmac
from gateway.sandbox import sign
from gateway.sandbox.keypair import KeyPair

Pairs = list[tuple[str, str]]

_ALIKE = frozenset({"stripe", "standard-webhooks", "bigcommerce"})
"""Presets whose signature a preset of one's own may borrow: it stands in headers alone."""

_SHOP_HEADER = "x-shopify-shop-domain"

_SIGNED = re.compile(r"\{header:([^{}]+)\}")
"""A header within what is signed."""

_PINNED = (
    "{0} signs with a key that it keeps to itself, and the receiver takes its public half from the platform's own host "
    "alone: nobody else can sign. `gateway try` shows what would become of a payload"
)
_KEYLESS = (
    "{0} signs with a private key: `gateway sandbox --key PATH` makes one and publishes its public half at /keys, for "
    "the source to name; `send --key PATH` signs with it"
)


class Post(Struct, frozen=True):
    """A request, ready to send."""

    method: str
    url: str
    headers: Pairs
    body: bytes


class CannotSign(ValueError):  # noqa: N818  a fact about a platform
    """The platform's signature cannot be made from the source's secrets."""


class Platform:
    """One configured source, seen from the other side.

    `pair`: the private key that stands in for the platform's. One that only `pretends` asks for none: nobody looks at
    its signatures.
    """

    def __init__(
        self,
        source: Source,
        preset: Preset,
        url: str,
        chance: Chance,
        pair: KeyPair | None = None,
        *,
        pretends: bool = False,
    ) -> None:
        self._source = source
        self._preset = preset
        self._url = url
        self._chance = chance
        self._pair = pair
        self._pretends = pretends

    def post(self, body: bytes, topic: str | None, now_ms: int, more: Pairs) -> Post:
        """The request that carries this body. `more` headers replace those of the same name. Raises CannotSign."""
        method = (self._source.allow.methods or self._preset.methods)[0]
        url = self._with_topic(topic)
        try:
            body, headers = self._signed(body, topic, now_ms, more)
        except CannotSign:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CannotSign(f"this body cannot be signed as {self._source.preset} does: {error}") from None
        given = {name.lower() for name, _ in more}
        kept = [pair for pair in (*headers, *self._shown(headers)) if pair[0].lower() not in given]
        return Post(method, url, [*kept, *more], body)

    def _signed(self, body: bytes, topic: str | None, now_ms: int, more: Pairs) -> tuple[bytes, Pairs]:
        """The body as it travels, and the platform's headers."""
        name, secret = self._source.preset, self._secret()
        if name == "generic" or name not in sign.PRESETS:
            return body, self._own(body, topic, now_ms, more)
        pair = self._key(name)
        body = sign.prepare(name, body, secret, now_ms=now_ms, pair=pair)
        names = sign.Names(shop=self._allowed().get(_SHOP_HEADER, sign.SHOP), pair=pair)
        url = self._source.notification_url or self._url
        made = sign.sign(name, body, topic or "", secret, url=url, now_ms=now_ms, chance=self._chance, names=names)
        return body, made

    def _secret(self) -> str:
        """What the platform and the source share. PayPal and Adobe put an id in its place."""
        source = self._source
        shared = source.secrets[0].reveal() if source.secrets else ""
        return {"paypal": source.webhook_id, "adobe-commerce": source.client_id}.get(source.preset) or shared

    def _key(self, name: str) -> KeyPair | None:
        """The key that the platform signs with, if it signs with one. Raises CannotSign where it cannot be had."""
        if name not in sign.PRIVATE or (name == "saleor" and self._source.secrets):
            return None
        if self._pretends:
            self._pair = self._pair or KeyPair.generate()
            return self._pair
        if name in sign.PINNED:
            raise CannotSign(_PINNED.format(self._preset.title))
        if self._pair is None:
            raise CannotSign(_KEYLESS.format(self._preset.title))
        return self._pair

    def _own(self, body: bytes, topic: str | None, now_ms: int, more: Pairs) -> Pairs:
        """A source or a preset that says itself where topic, identity and signature stand. `more` is signed as it is
        sent.
        """
        headers: Pairs = [("Content-Type", "application/json")]
        if topic is not None and (name := _header_in(self._topic_places())):
            headers.append((name, topic))
        places = list(self._source.identity or (part for way in self._preset.identity[:1] for part in way))
        places += [f"header:{name}" for name in _SIGNED.findall(getattr(self._scheme(), "signed", ""))]
        held = {name.lower() for name, _ in (*headers, *more)}
        missing = {name.lower(): name for name in _headers_in(places) if name.lower() not in held}
        headers += [(name, self._chance.nonce(16).hex()) for name in missing.values()]
        return [*headers, *self._proof(body, now_ms, [*headers, *more])]

    def _scheme(self) -> AnyScheme | None:
        return None if self._pretends else scheme_of(self._source, self._preset)

    def _proof(self, body: bytes, now_ms: int, headers: Pairs) -> Pairs:
        """The signature that the source, or the preset of one's own, describes. Raises CannotSign."""
        scheme = self._scheme()
        if scheme is None:
            return []
        url, secret = self._source.notification_url or self._url, self._secret()
        if isinstance(scheme, Hmac):
            table = {name.lower(): value for name, value in headers}
            return sign.sign_with(scheme, body, scheme.keys(secret)[0], url=url, now_ms=now_ms, headers=table)
        alike = "bigcommerce" if getattr(scheme, "key", "") == "text" else scheme.scheme
        if alike not in _ALIKE:
            raise CannotSign(f"{self._preset.title} signs by {scheme.scheme}, which is not played here")
        held = {name.lower() for name, _ in headers}
        made = sign.sign(alike, body, "", secret, url=url, now_ms=now_ms, chance=self._chance)
        return [pair for pair in made if pair[0].lower() not in held]

    def _shown(self, headers: Pairs) -> Pairs:
        """What the source asks for beside the signature: headers, API key, credentials."""
        held = {name.lower() for name, _ in headers}
        shown = [(name, value) for name, value in self._allowed().items() if name not in held]
        if self._source.api_key:
            shown.append(("X-Api-Key", self._source.api_key[0].reveal()))
        if self._source.bearer is not None:
            shown.append(("Authorization", f"Bearer {self._source.bearer.reveal()}"))
        if self._source.basic is not None:
            pair = f"{self._source.basic.user}:{self._source.basic.password.reveal()}"
            shown.append(("Authorization", f"Basic {b64encode(pair.encode()).decode()}"))
        return shown

    def _allowed(self) -> Mapping[str, str]:
        """A value for each header that must be there."""
        wanted = {**self._preset.headers, **self._source.allow.headers}
        return {name.lower(): "1" if values[0] == "*" else values[0] for name, values in wanted.items() if values}

    def _topic_places(self) -> list[str]:
        return self._preset.topic if self._source.topic is None else [self._source.topic]

    def _with_topic(self, topic: str | None) -> str:
        """The URL, with the topic in it where it stands there."""
        name = next((place[6:] for place in self._topic_places() if place.startswith("query:")), None)
        if topic is None or name is None:
            return self._url
        return f"{self._url}{'&' if '?' in self._url else '?'}{quote(name)}={quote(topic)}"


def _headers_in(places: list[str]) -> list[str]:
    return [header_names(place[7:])[0].decode() for place in places if place.startswith("header:")]


def _header_in(places: list[str]) -> str | None:
    return next(iter(_headers_in(places)), None)


def pretended(loaded: Loaded, source: str, url: str, body: bytes, topic: str | None, more: Pairs) -> Post:
    """The request that a source's platform would make of a body; nobody looks at its signature."""
    settings = loaded.config.sources[source]
    platform = Platform(settings, app.presets_of(loaded)[settings.preset], url, SystemChance(), pretends=True)
    try:
        return platform.post(body, topic, SystemClock().now_ms(), more)
    except CannotSign:  # a body that is no JSON, a key that is none: the door says so
        return Post("POST", url, [("Content-Type", "application/json"), *more], body)
