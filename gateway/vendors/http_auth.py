"""How requests of vendor `http` prove who sends them: one credential, and a signature of the body."""

import binascii
import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self
from urllib.parse import quote, quote_plus, urlsplit, urlunsplit

from msgspec import Struct
from pydantic import AfterValidator, Field, model_validator

from gateway.config.schema import Basic, Section
from gateway.config.values import HttpUrl, Secret, Secrets, Url, names_credential
from gateway.vendors import base, oauth
from gateway.vendors.http_places import HEADER_NAME


class Named(Section):
    """A credential under a name of the API's own."""

    name: str = Field(
        pattern=f"^{HEADER_NAME.pattern}$", description="The header or query parameter.", examples=["X-Api-Key"]
    )
    value: Secret = Field(description="The credential.")


class OAuth2(Section):
    """OAuth 2 client credentials: a token is fetched, and fetched again before it runs out."""

    token_url: HttpUrl = Field(
        description="Where tokens are fetched.", examples=["https://auth.example.com/oauth2/token"]
    )
    client_id: str = Field(min_length=1, description="The client's id.", examples=["gateway"])
    client_secret: Secret = Field(description="The client's secret.")
    scope: str | None = Field(None, description="The scopes that are asked for.", examples=["events:write"])
    audience: str | None = Field(
        None, description="For whom the token is, where the server asks.", examples=["https://api.example.com"]
    )
    send: Literal["body", "basic"] = Field("body", description="Where the client's id and secret go.")


def _signing(secrets: list[Secret]) -> list[Secret]:
    for secret in secrets:
        try:
            key_of(secret)
        except (binascii.Error, ValueError):
            raise ValueError("a signing secret is `whsec_` and base64") from None
    return secrets


class Auth(Section):
    """How requests prove who sends them: at most one of the credentials, and `standard_webhooks` alone or beside it."""

    bearer: Secret | None = Field(None, description="`Authorization: Bearer` with this token.")
    basic: Basic | None = Field(None, description="`Authorization: Basic` with this user and password.")
    header: Named | None = Field(
        None, description="A header of the API's own.", examples=[{"name": "X-Api-Key", "value": "${KEY}"}]
    )
    query: Named | None = Field(
        None, description="A query parameter.", examples=[{"name": "api-key", "value": "${KEY}"}]
    )
    path: Secret | None = Field(
        None, description="The end of the URL's path, where that is what nobody else may know (`T000/B000/...`)."
    )
    oauth2: OAuth2 | None = Field(
        None, description="OAuth 2 client credentials: `Authorization: Bearer` with a token that is fetched."
    )
    standard_webhooks: Annotated[Secrets, AfterValidator(_signing)] = Field(
        [],
        description="Sign each request (Standard Webhooks) with this secret, `whsec_` and base64. Several: with each.",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = (self.bearer, self.basic, self.header, self.query, self.path, self.oauth2)
        count = sum(value is not None for value in given)
        if count > 1 or (count == 0 and not self.standard_webhooks):
            raise ValueError("one of bearer, basic, header, query, path and oauth2; and standard_webhooks")
        return self


class Credentials(Struct, frozen=True):
    """What `auth` comes to: headers (names in lower case), a parameter, an end of the path, keys; and what of it must
    never be shown.
    """

    headers: dict[str, str] = {}
    query: tuple[str, str] | None = None
    path: str = ""
    keys: tuple[bytes, ...] = ()
    secrets: tuple[str, ...] = ()
    oauth2: OAuth2 | None = None

    def url(self, url: str) -> str:
        """The URL with the parameter and the end of the path that `auth` adds."""
        if self.query is None and not self.path:
            return url
        parts = urlsplit(url)
        query = parts.query
        if self.query is not None:
            pair = "=".join(quote(text, safe="") for text in self.query)
            query = f"{query}&{pair}" if query else pair
        path = f"{parts.path.rstrip('/')}/{self.path}" if self.path else parts.path
        return urlunsplit(parts._replace(path=path, query=query, fragment=""))

    def signed(self, batch: base.Batch, body: bytes) -> dict[str, str]:
        """The headers of a signature (Standard Webhooks): the id stays over a request's attempts, the time is each
        attempt's own.
        """
        if not self.keys:
            return {}
        key, at = batch.key, str(batch.sent_at_ms // 1000)
        content = b"%b.%b.%b" % (key.encode(), at.encode(), body)
        digests = (hmac.new(one, content, hashlib.sha256).digest() for one in self.keys)
        signatures = " ".join(f"v1,{b64encode(digest).decode()}" for digest in digests)
        return {"webhook-id": key, "webhook-timestamp": at, "webhook-signature": signatures}

    def token_request(self) -> base.Request:
        """The request that fetches a token. Only for oauth2."""
        client = self.oauth2
        if client is None:
            raise LookupError("no token is fetched")
        secret = client.client_secret.reveal()
        asked = {"scope": client.scope, "audience": client.audience}
        form = {name: text for name, text in asked.items() if text is not None}
        if client.send == "body":
            return oauth.token_request(
                client.token_url, {**form, "client_id": client.client_id, "client_secret": secret}
            )
        pair = f"{quote_plus(client.client_id)}:{quote_plus(secret)}"  # RFC 6749, 2.3.1
        return oauth.token_request(client.token_url, form, [("Authorization", _basic(pair))])


def credentials(auth: Auth | None) -> Credentials:
    """What `auth` comes to."""
    if auth is None:
        return Credentials()
    headers: dict[str, str] = {}
    secrets = [secret.reveal() for secret in (auth.bearer, auth.path) if secret is not None]
    if auth.bearer is not None:
        headers["authorization"] = f"Bearer {auth.bearer.reveal()}"
    if auth.basic is not None:
        password = auth.basic.password.reveal()
        headers["authorization"] = _basic(f"{auth.basic.user}:{password}")
        secrets += [headers["authorization"].removeprefix("Basic "), password]
    if auth.header is not None:
        value = auth.header.value.reveal()
        headers[auth.header.name.lower()] = value
        secrets += [value, value.rpartition(" ")[2]]  # `Key abc`: the API may repeat `abc` alone
    if auth.oauth2 is not None:
        headers["authorization"] = f"Bearer {base.TOKEN}"
        secrets.append(auth.oauth2.client_secret.reveal())
    if auth.query is not None:
        secrets.append(auth.query.value.reveal())
    secrets += _texts(auth.standard_webhooks)
    return Credentials(
        headers=headers,
        query=(auth.query.name, auth.query.value.reveal()) if auth.query else None,
        path=auth.path.reveal().strip("/") if auth.path else "",
        keys=tuple(map(key_of, auth.standard_webhooks)),
        secrets=tuple(secrets),
        oauth2=auth.oauth2,
    )


def unmarked(url: Url, headers: Mapping[str, str]) -> list[str]:
    """Credentials that stand in the URL or among the headers although `auth` is their place. A place (`{subject}`) is
    the event's.
    """
    named = (value for name, value in headers.items() if names_credential(name))
    found = [one for text in (*url.credentials(), *named) for one in (text, text.rpartition(" ")[2])]
    return [text for text in found if text and "{" not in text]


def key_of(secret: Secret) -> bytes:
    """The key that a signing secret stands for. Raises ValueError where it is none."""
    key = b64decode(secret.reveal().removeprefix("whsec_"), validate=True)
    if not key:
        raise ValueError("no key")
    return key


def _texts(secrets: Sequence[Secret]) -> list[str]:
    """Signing secrets as they may be written: with their prefix, and without."""
    texts = [secret.reveal() for secret in secrets]
    return [form for text in texts for form in (text, text.removeprefix("whsec_"))]


def _basic(pair: str) -> str:
    return f"Basic {b64encode(pair.encode()).decode()}"
