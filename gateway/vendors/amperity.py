"""Amperity Streaming Ingest: one flat row a request into a stream, one stream for each entity.

Streams only append, and the API knows no idempotency key: a row may come twice, and carries its event's id so that
Amperity's own rules can tell.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self
from urllib.parse import quote, urlencode

from pydantic import Field, model_validator

from gateway import document
from gateway.config.schema import DestinationSettings
from gateway.config.values import HttpUrl, Secret
from gateway.errors import Reason
from gateway.model import NormalEvent
from gateway.vendors import answers, base, checks, oauth


class AmperitySettings(DestinationSettings):
    """One Amperity tenant."""

    tenant: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*$", description="The tenant's id.", examples=["acme"])
    streams: dict[str, str] = Field(
        min_length=1,
        description="Stream ids by entity.",
        examples=[{"customer": "is-AbCDefGH", "order": "is-IjKLmnOP"}],
    )
    token: Secret | None = Field(None, description="A token as Amperity's pages issue it.")
    client_id: str | None = Field(
        None, description="In place of a token: the API key's id, to fetch tokens with.", examples=["gateway"]
    )
    client_secret: Secret | None = Field(None, description="The API key's secret.")
    token_url: HttpUrl | None = Field(
        None,
        description="Where tokens are fetched. Default: `/api/v0/oauth2/token` at `base_url`.",
        examples=["https://acme.amperity.com/api/v0/oauth2/token"],
    )
    api_version: str = Field("2024-04-01", description="The `api-version` of reads (`/api`).")

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        pair = (self.client_id is not None, self.client_secret is not None)
        if pair != (self.token is None,) * 2:
            raise ValueError("either `token`, or `client_id` and `client_secret`")
        return self


class Amperity:
    """Rows for one tenant. A stream is a channel: it can be wrong alone."""

    name: ClassVar[str] = "amperity"
    Settings: ClassVar[type[DestinationSettings]] = AmperitySettings

    def __init__(self, destination: str, settings: AmperitySettings) -> None:
        self.destination = destination
        self._settings = settings
        self._base_url = (settings.base_url or f"https://{settings.tenant}.amperity.com").rstrip("/")
        self._tenant = (("Amperity-Tenant", settings.tenant), ("X-Amperity-Tenant", settings.tenant))
        self._bearer = base.TOKEN if settings.token is None else settings.token.reveal()
        self._token_request = self._asks_for_token()

    def account(self) -> str:
        place = f"{base.host_of(self._base_url)}/{self._settings.tenant}"
        return base.account_name(self.name, place, self._settings.client_id or self._bearer)

    def secrets(self) -> Sequence[str]:
        held = (self._settings.token, self._settings.client_secret)
        return tuple(secret.reveal() for secret in held if secret is not None)

    # --- limits ------------------------------------------------------------------------------------------------------

    def limits(self) -> Sequence[base.Limit]:
        """1,000 rows a second per tenant into streams, 10 calls a second to the API (Amperity documentation)."""
        return (
            base.Limit(1000, 1.0, classes=frozenset({"stream"})),
            base.Limit(10, 1.0, classes=frozenset({"api"})),
        )

    def rules(self) -> base.BatchRules:
        """One JSON object a request, 1 MB (one place of the documentation says 5: the stricter holds)."""
        return base.BatchRules(records=1, body_bytes=ROW_BYTES, record_bytes=ROW_BYTES)

    # --- records -----------------------------------------------------------------------------------------------------

    def mapping(self, event: NormalEvent) -> str | None:
        if event.entity not in self._settings.streams:
            raise LookupError(event.type)
        if base.verb_of(event) in base.DELETIONS:
            return None
        if event.entity not in base.ENTITIES:
            raise LookupError(event.type)
        return f"amperity/{event.entity}"

    def records(self, event: NormalEvent, documents: Sequence[Any] | None) -> Sequence[base.Draft]:
        """A row for each document, and one that says `deleted` for a deletion. Each row counts: a fact."""
        stream = self._settings.streams.get(event.entity or "")
        if stream is None:
            return ()
        if base.verb_of(event) in base.DELETIONS:
            documents = [{"id": event.subject, "deleted": True}]
        rows = [_row(event, one, number) for number, one in enumerate(documents or (), start=1)]
        return [base.Draft(stream, event.subject or event.id, row, "fact", "stream") for row in rows]

    # --- request -----------------------------------------------------------------------------------------------------

    def request(self, batch: base.Batch) -> base.Request:
        url = f"{self._base_url}/stream/v0/data/{quote(batch.channel, safe='')}"
        headers = (*self._authorised(), ("Content-Type", "application/json"))
        token = self._settings.token is None
        return base.Request("POST", url, headers, batch.records[0].encoded, "stream", token=token)

    def read(self, path: str, next_token: str = "", **parameters: str | int) -> base.Request:
        """A page of a list of the API: `/ingest/jobs`, `/workflow/runs` ... (`next_token`: from the page before)."""
        given = {**parameters, **({"next_token": next_token} if next_token else {})}
        url = f"{self._base_url}/api{path}" + (f"?{urlencode(given, quote_via=quote)}" if given else "")
        headers = (*self._authorised(), ("api-version", self._settings.api_version))
        return base.Request("GET", url, headers, b"", "api", token=self._settings.token is None)

    def _authorised(self) -> tuple[tuple[str, str], ...]:
        return (("Accept", "application/json"), ("Authorization", f"Bearer {self._bearer}"), *self._tenant)

    def token_request(self) -> base.Request:
        """OAuth 2 client credentials. There is no refresh token: it is asked for again."""
        return self._token_request

    def _asks_for_token(self) -> base.Request:
        settings = self._settings
        url = settings.token_url or f"{self._base_url}/api/v0/oauth2/token"
        secret = settings.client_secret.reveal() if settings.client_secret else ""
        form = {"client_id": settings.client_id or "", "client_secret": secret}
        return oauth.token_request(url, form, self._tenant, "api")

    # --- response ----------------------------------------------------------------------------------------------------

    def judge(self, batch: base.Batch, answer: base.Answer) -> base.Verdict:
        if isinstance(answer, base.Failure):
            return base.same(answers.by_status(STATUSES, batch, answer, self.secrets()), batch)
        body = answers.object_of(answers.json_of(answer))
        if answer.status == ACCEPTED or (answer.status // 100 == TAKEN and (body or not answer.body.strip())):
            receipt = answers.text_in(body.get("request_id"))
            return base.same(base.Delivered(answers.bounded(receipt, self.secrets())), batch)
        trace = answers.text_in(body.get("request_id"))
        said = answers.words(answer, "message") + (f" [request_id {trace}]" if trace else "")
        return base.same(answers.by_status(STATUSES, batch, answer, self.secrets(), said), batch)

    def token_of(self, answer: base.Answer) -> base.Token | base.Outcome:
        return oauth.token_of(answer, self.secrets())

    def page_of(self, answer: base.Response) -> tuple[list[Any], str]:
        """A page's items, and the token of the next one (empty: it was the last)."""
        body = answers.object_of(answers.json_of(answer))
        items = body.get("data")
        return (items if isinstance(items, list) else []), answers.text_in(body.get("next_token"), 4096)


def _row(event: NormalEvent, fields: Any, number: int) -> dict[str, Any]:
    """The row with its event's id and time. A mapping may replace any of it."""
    event_id = event.id if number == 1 else f"{event.id}-{number}"
    about = {"event_id": event_id, "event_type": event.type, "event_time": event.time, "event_source": event.source}
    return {**about, **dict(_flat(checks.as_object(fields, "Amperity")))}


def _flat(fields: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Nested objects as `address_city`, lists as JSON text: what is nested needs a query of its own at Amperity."""
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{path}{name}_")
        else:
            yield f"{path}{name}", document.dump(value).decode() if isinstance(value, list) else value


# --- tables ----------------------------------------------------------------------------------------------------------

TAKEN = 2
ACCEPTED = 202
ROW_BYTES = 1_000_000

STATUSES: answers.Statuses = {
    404: answers.throttle(Reason.NOT_FOUND, 60.0, up_to_s=900.0, scope="channel"),
    409: answers.throttle(Reason.BUSY, 60.0, up_to_s=900.0, scope="channel"),
    429: answers.throttle(Reason.RATE_LIMITED, 1.0, up_to_s=60.0),
}
"""By status. A stream that is not there, or takes nothing now, rests alone. 400 and 413 are not tried again."""
