"""Any HTTP API, described by YAML alone: where requests go, what they carry, how they prove who sends them, what the
answers mean. Without a word more than a URL: one event a request, as a CloudEvent.

Its parts: `http_places` (method, URL and headers), `http_bodies`, `http_auth`, `http_answers`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self
from urllib.parse import quote

from pydantic import Field, model_validator

from gateway import document
from gateway.config.schema import DestinationSettings
from gateway.model import NormalEvent
from gateway.vendors import base, oauth
from gateway.vendors.http_answers import Codes, Meaning, Results, range_of
from gateway.vendors.http_auth import Auth, credentials, unmarked
from gateway.vendors.http_bodies import CLOUDEVENTS_TYPES, CONTENT_TYPES, Body, Envelope, body_of, ce_headers
from gateway.vendors.http_places import HEADER_NAME, ExpressionText, Head, HeaderTexts, MethodText, UrlText


class HttpSettings(DestinationSettings):
    """One API. `{expression}` in the method, the URL and the headers is a place for what an event says."""

    url: UrlText = Field(
        description="Where events are sent.",
        examples=["https://example.com/in", "https://example.com/people/{subject}"],
    )
    method: MethodText = Field("POST", description="The method.")
    headers: HeaderTexts = Field(
        {}, description="Headers of every request. Credentials belong under `auth`.", examples=[{"X-Team": "crm"}]
    )
    body: str | None = Field(
        None, description="The mapping that makes the records, where a route names none.", examples=["my-record"]
    )
    format: Literal["cloudevents", "cloudevents-binary", "data"] | None = Field(
        None,
        description="The event as one JSON object, its data with the rest in `ce-` headers, or its data alone. "
        "Default: `cloudevents`; `data` with `body`, `wrap` or another `content` than JSON.",
    )
    content: Literal["json", "form", "xml", "ndjson"] = Field("json", description="How records are written.")
    wrap: Envelope | None = Field(
        None,
        description="What a list of records stands in: a key, or an object with `{records}` in their place. In XML the "
        "outer element.",
        examples=["batch"],
    )
    element: str = Field(
        "record", pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$", description="The XML element of a record.", examples=["order"]
    )
    auth: Auth | None = Field(None, description="How requests prove who sends them.")
    success: Codes = Field(["200-299"], description="Statuses that mean delivered.", examples=[["200-299", "409"]])
    success_when: ExpressionText | None = Field(
        None,
        description="What must hold as well, over `status`, `headers` and `body`; where not, records are refused.",
        examples=["body.status == 'ok'"],
    )
    retry_when: ExpressionText | None = Field(
        None, description="When an answer means: again, later.", examples=["body.error.code == 'busy'"]
    )
    error: ExpressionText | None = Field(
        None, description="The API's words in an answer.", examples=["body.errors[0].detail"]
    )
    results: Results | None = Field(None, description="What became of each record, where the answer says.")
    idempotency_header: str | None = Field(
        None,
        pattern=HEADER_NAME.pattern,
        description="A header that is the same for each attempt at a record, or at a batch of the same records.",
        examples=["Idempotency-Key"],
    )

    @property
    def is_list(self) -> bool:
        """Whether records travel as a list, even where there is one."""
        return self.batch.records is not None or self.wrap is not None

    @property
    def shape(self) -> str:
        """The format, given or not."""
        plain = self.body is not None or self.wrap is not None or self.content != "json"
        return self.format or ("data" if plain else "cloudevents")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        """Raises ValueError for what cannot be written."""
        shape, content = self.shape, self.content
        several = self.is_list or content != "json"
        for holds, cause in (
            (shape == "cloudevents-binary" and several, "`format: cloudevents-binary` is one event a request in JSON"),
            (shape != "data" and content in ("form", "xml"), f"`content: {content}` is `format: data`"),
            (content == "form" and self.is_list, "`content: form` holds one record: no `batch.records`, no `wrap`"),
            (content == "ndjson" and self.wrap is not None, "`content: ndjson` is lines: nothing goes around them"),
            (content == "xml" and isinstance(self.wrap, dict), "`wrap` is an element's name in XML"),
        ):
            if holds:
                raise ValueError(cause)
        return self


class Http:
    """One API. Without limits and one record a request, unless the configuration says otherwise."""

    name: ClassVar[str] = "http"
    Settings: ClassVar[type[DestinationSettings]] = HttpSettings

    def __init__(self, destination: str, settings: HttpSettings) -> None:
        self.destination = destination
        self._settings = settings
        self._auth = credentials(settings.auth)
        self._secrets = (*self._auth.secrets, *unmarked(settings.url, settings.headers))
        self._head = Head(settings.method, settings.url, settings.headers)
        self._body: Body = body_of(settings.content, settings.wrap, settings.element, is_list=settings.is_list)
        self._shape = settings.shape
        unseen = settings.content in ("json", "ndjson") and self._shape != "cloudevents-binary"
        self._passes_on = unseen and not self._head.has_places
        self._knows_versions = settings.knows_versions()
        rules = {name: getattr(settings, name) for name in ("success_when", "retry_when", "error")}
        self._meaning = Meaning(
            [codes for one in settings.success if (codes := range_of(one))], rules, settings.results
        )

    def account(self) -> str:
        known_by = self._auth.secrets[:1] or (self._settings.url,)
        return base.account_name(self.name, base.host_of(self._settings.url), *known_by)

    def secrets(self) -> Sequence[str]:
        return self._secrets

    # --- limits ------------------------------------------------------------------------------------------------------

    def limits(self) -> Sequence[base.Limit]:
        """None is known; the configuration may name some."""
        return ()

    def rules(self) -> base.BatchRules:
        """As many records as `batch.records` says. XML and forms are longer than the JSON that is measured."""
        most = BODY_BYTES // GROWTH.get(self._settings.content, 1) - self._body.overhead
        each, keyed = self._settings.results is not None, self._has_key()
        return base.BatchRules(self._settings.batch.records or 1, most, most, one_per_key=each or keyed, keyed=keyed)

    # --- records -----------------------------------------------------------------------------------------------------

    def mapping(self, event: NormalEvent) -> str | None:  # noqa: ARG002  every event is sent, through one mapping or none
        return self._settings.body

    def records(self, event: NormalEvent, documents: Sequence[Any] | None) -> Sequence[base.Draft]:
        """The event itself, as it came where it only stands in a body; or one draft for each document that its mapping
        makes. Each event counts (a fact), but for entities of which the destination is to have only the newest state
        (`coalesce`, `stale`).
        """
        own = event.held if self._passes_on else event.data
        made = [own] if documents is None else documents
        return [self._draft(event, one, number) for number, one in enumerate(made, start=1)]

    def _draft(self, event: NormalEvent, record: Any, number: int) -> base.Draft:
        """What travels. Where the head has places it holds their values too: `{"places": ..., "record": ...}`."""
        key = f"{event.source}/{event.entity}/{event.subject}" if event.entity and event.subject else event.id
        data: Any = self._body.checked(record)
        kind = "state" if self._knows_versions and self._is_newest_alone(event.entity) else "fact"
        if self._shape != "data":
            data = event.envelope(record)
            if number > 1:
                data["id"] = f"{event.id}-{number}"
        if not self._head.has_places:
            return base.Draft(PLAIN, key, data, kind)
        values = self._head.values({**event.document(), "entity": event.entity, "record": record})
        return base.Draft(self._channel(values), key, {"places": values, "record": data}, kind)

    def _is_newest_alone(self, entity: str | None) -> bool:
        """Whether the destination is to have only the newest state of such an entity."""
        return self._settings.coalesces(entity) or self._settings.drops_stale(entity)

    def _channel(self, values: Mapping[str, str]) -> str:
        """Records share a request only where it is the same one: the same in every place."""
        if self._settings.is_list or self._settings.content == "ndjson":
            told = "&".join(quote(value, safe="") for value in values.values())
            long = len(told) > CHANNEL_CHARS
            return f"{PLACES}:{hashlib.blake2b(told.encode(), digest_size=16).hexdigest() if long else told}"
        return PLACES

    # --- request -----------------------------------------------------------------------------------------------------

    def request(self, batch: base.Batch) -> base.Request:
        travels = [record.draft.data for record in batch.records]
        encoded = [record.encoded for record in batch.records]
        values: Mapping[str, str] = {}
        if batch.channel != PLAIN:
            values = travels[0]["places"]
            travels = [one["record"] for one in travels]
            encoded = [document.dump(one) for one in travels]
        if self._shape == "cloudevents-binary":
            encoded = [document.dump(travels[0]["data"])]
        body = self._body.write(encoded, travels)
        headers = {"content-type": self._content_type(), **self._about(batch, travels[0])}
        headers |= self._head.headers(values) | self._auth.headers
        headers |= self._auth.signed(batch, body)
        return base.Request(
            self._head.method(values),
            self._auth.url(self._head.url(values)),
            tuple(headers.items()),
            body,
            intent="keyed" if len(batch.records) > 1 and self._has_key() else "",
            token=self._auth.oauth2 is not None,
        )

    def _content_type(self) -> str:
        if self._settings.content != "json" or self._shape == "data":
            return CONTENT_TYPES[self._settings.content]
        return CLOUDEVENTS_TYPES[self._shape if not self._settings.is_list else "list"]

    def _about(self, batch: base.Batch, travels: Any) -> dict[str, str]:
        """Headers that tell of the batch."""
        headers = ce_headers(travels) if self._shape == "cloudevents-binary" else {}
        if len(batch.records) == 1 and batch.records[0].traceparent:
            headers["traceparent"] = batch.records[0].traceparent
        if self._settings.idempotency_header:
            headers[self._settings.idempotency_header.lower()] = batch.key
        return headers

    def _has_key(self) -> bool:
        """Whether the API can know a batch again."""
        return bool(self._settings.idempotency_header or self._auth.keys)

    def token_request(self) -> base.Request:
        """The request that fetches a token (`auth.oauth2`)."""
        return self._auth.token_request()

    # --- response ----------------------------------------------------------------------------------------------------

    def judge(self, batch: base.Batch, answer: base.Answer) -> base.Verdict:
        return self._meaning.verdict(batch, answer, self._secrets)

    def token_of(self, answer: base.Answer) -> base.Token | base.Outcome:
        return oauth.token_of(answer, self._secrets)


# --- tables ----------------------------------------------------------------------------------------------------------

BODY_BYTES = 8 << 20
"""The largest body that leaves: a received one is 1 MiB unless told, an envelope and a mapping add to it."""

GROWTH = {"xml": 4, "form": 3}
"""How much longer than JSON a body may be: an element has its name twice, a sign of a form up to three."""

PLAIN, PLACES = "event", "request"
"""Channels: records as they are, and records that say where they go."""

CHANNEL_CHARS = 100
