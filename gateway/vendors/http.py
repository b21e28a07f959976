"""Any HTTP API: one event a request, as a CloudEvent (structured or binary) or as plain data."""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gateway import document
from gateway.config.schema import Basic, DestinationSettings, Section
from gateway.config.values import HttpUrl, Secret
from gateway.errors import Reason
from gateway.model import NormalEvent
from gateway.vendors import answers, base


class Named(Section):
    """A credential under a name of the API's own."""

    name: str = Field(
        pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", description="The header or query parameter.", examples=["X-Api-Key"]
    )
    value: Secret = Field(description="The credential.")


class Auth(Section):
    """How requests prove who sends them: one of these."""

    bearer: Secret | None = Field(None, description="`Authorization: Bearer` with this token.")
    basic: Basic | None = Field(None, description="`Authorization: Basic` with this user and password.")
    header: Named | None = Field(
        None, description="A header of the API's own.", examples=[{"name": "X-Api-Key", "value": "${KEY}"}]
    )
    query: Named | None = Field(
        None, description="A query parameter.", examples=[{"name": "api-key", "value": "${KEY}"}]
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(value is not None for value in (self.bearer, self.basic, self.header, self.query)) != 1:
            raise ValueError("one of bearer, basic, header and query")
        return self


def _ranges(value: Any) -> Any:
    return [str(one) for one in (value if isinstance(value, list) else [value])]


def _codes(value: list[str]) -> list[str]:
    if not value or not all(_RANGE.fullmatch(one) for one in value):
        raise ValueError("statuses or ranges of them: 200, 200-299")
    return value


def _header_fields(value: dict[str, str]) -> dict[str, str]:
    for name, text in value.items():
        if not _TOKEN.fullmatch(name) or name.lower() in ("content-length", "transfer-encoding", "host", "connection"):
            raise ValueError(f"{name!r} is no header that may be set")
        if not _FIELD.fullmatch(text):
            raise ValueError(f"the value of {name} holds signs that a header cannot carry")
    return value


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_FIELD = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_RANGE = re.compile(r"[1-5]\d\d(-[1-5]\d\d)?", re.ASCII)


class HttpSettings(DestinationSettings):
    """One URL."""

    url: HttpUrl = Field(description="Where events are sent.", examples=["https://example.com/in"])
    method: Literal["POST", "PUT", "PATCH", "DELETE"] = Field("POST", description="The method.")
    headers: Annotated[dict[str, str], AfterValidator(_header_fields)] = Field(
        {}, description="Headers of every request. Credentials belong under `auth`.", examples=[{"X-Team": "crm"}]
    )
    format: Literal["cloudevents", "cloudevents-binary", "data"] = Field(
        "cloudevents",
        description="The event as one JSON object, its data with the rest in `ce-` headers, or its data alone.",
    )
    auth: Auth | None = Field(None, description="How requests prove who sends them.")
    success: Annotated[
        list[str], AfterValidator(_codes), BeforeValidator(_ranges, json_schema_input_type=list[str | int])
    ] = Field(["200-299"], description="Statuses that mean delivered.", examples=[["200-299", "409"]])
    idempotency_header: str | None = Field(
        None,
        pattern=_TOKEN.pattern,
        description="A header that is the same for each attempt at a record.",
        examples=["Idempotency-Key"],
    )

    @model_validator(mode="after")
    def _no_credentials_in_url(self) -> Self:
        if "@" in urlsplit(self.url).netloc:
            raise ValueError("user and password belong under `auth: {basic: ...}`, not in `url`")
        return self


class Http:
    """One URL, one event a request, no limit but the number of requests in flight."""

    name: ClassVar[str] = "http"
    Settings: ClassVar[type[DestinationSettings]] = HttpSettings

    def __init__(self, destination: str, settings: HttpSettings) -> None:
        self.destination = destination
        self._settings = settings
        self._url, self._auth, self._secrets = _credentials(settings)
        self._success = [_range(text) for text in settings.success]

    def account(self) -> str:
        known_by = self._secrets[:1] or (self._settings.url,)
        return base.account_name(self.name, base.host_of(self._settings.url), *known_by)

    def secrets(self) -> Sequence[str]:
        return self._secrets

    # --- limits ------------------------------------------------------------------------------------------------------

    def limits(self) -> Sequence[base.Limit]:
        """None is known; the configuration may name some."""
        return ()

    def rules(self) -> base.BatchRules:
        return base.BatchRules(records=1, body_bytes=BODY_BYTES, record_bytes=BODY_BYTES)

    # --- records -----------------------------------------------------------------------------------------------------

    def mapping(self, event: NormalEvent) -> str | None:  # noqa: ARG002  every event is sent as it is
        return None

    def records(self, event: NormalEvent, documents: Sequence[Any] | None) -> Sequence[base.Draft]:
        """The event itself, or one draft for each document that its mapping makes. Each event counts: a fact."""
        key = f"{event.source}/{event.entity}/{event.subject}" if event.entity and event.subject else event.id
        return [base.Draft("event", key, data, "fact") for data in self._data(event, documents)]

    def _data(self, event: NormalEvent, documents: Sequence[Any] | None) -> list[Any]:
        whole = event.document()
        if self._settings.format == "data":
            return [whole["data"]] if documents is None else list(documents)
        if documents is None:
            return [whole]
        ids = [event.id, *(f"{event.id}-{number}" for number in range(2, len(documents) + 1))]
        return [{**whole, "id": id_, "data": data} for id_, data in zip(ids, documents, strict=False)]

    # --- request -----------------------------------------------------------------------------------------------------

    def request(self, batch: base.Batch) -> base.Request:
        record = batch.records[0]
        content_type, body = CONTENT_TYPES[self._settings.format], record.encoded
        headers: dict[str, str] = {"content-type": content_type}
        if self._settings.format == "cloudevents-binary":
            attributes = record.draft.data
            body = document.dump(attributes["data"])
            headers |= _ce_headers(attributes)
        if record.traceparent:
            headers["traceparent"] = record.traceparent
        if self._settings.idempotency_header:
            headers[self._settings.idempotency_header.lower()] = record.idempotency_key
        headers |= {name.lower(): value for name, value in self._settings.headers.items()}
        headers |= self._auth
        return base.Request(self._settings.method, self._url, tuple(headers.items()), body)

    # --- response ----------------------------------------------------------------------------------------------------

    def judge(self, batch: base.Batch, answer: base.Answer) -> base.Verdict:
        if isinstance(answer, base.Response) and any(answer.status in codes for codes in self._success):
            receipt = answer.headers.get("x-request-id", "")[: answers.RECEIPT_CHARS]
            return base.same(base.Delivered(answers.bounded(receipt, self._secrets)), batch)
        return base.same(answers.by_status(STATUSES, batch, answer, self._secrets), batch)


def _range(text: str) -> range:
    low, _, high = text.partition("-")
    return range(int(low), int(high or low) + 1)


def _ce_headers(attributes: Mapping[str, Any]) -> dict[str, str]:
    """The attributes as headers (CloudEvents HTTP binding 3.1.3: UTF-8, percent-encoded but for printable ASCII; a
    space, a quote and a percent sign are encoded too).
    """
    kept = {name: value for name, value in attributes.items() if name not in ("data", "datacontenttype")}
    return {f"ce-{name}": quote(str(value), safe=PRINTABLE) for name, value in kept.items()}


def _credentials(settings: HttpSettings) -> tuple[str, dict[str, str], tuple[str, ...]]:
    """The URL, the headers and the secrets that `auth` makes."""
    auth = settings.auth
    if auth is None:
        return settings.url, {}, ()
    if auth.bearer is not None:
        token = auth.bearer.reveal()
        return settings.url, {"authorization": f"Bearer {token}"}, (token,)
    if auth.basic is not None:
        password = auth.basic.password.reveal()
        pair = b64encode(f"{auth.basic.user}:{password}".encode()).decode()
        return settings.url, {"authorization": f"Basic {pair}"}, (pair, password)
    if auth.header is not None:
        value = auth.header.value.reveal()
        return settings.url, {auth.header.name.lower(): value}, (value,)
    if auth.query is not None:
        value = auth.query.value.reveal()
        return _with_query(settings.url, auth.query.name, value), {}, (value,)
    return settings.url, {}, ()


def _with_query(url: str, name: str, value: str) -> str:
    parts = urlsplit(url)
    pair = f"{quote(name, safe='')}={quote(value, safe='')}"
    return urlunsplit(parts._replace(query=f"{parts.query}&{pair}" if parts.query else pair, fragment=""))


# --- tables ----------------------------------------------------------------------------------------------------------

BODY_BYTES = 8 << 20
"""The largest body that leaves: a received one is 1 MiB unless told, an envelope and a mapping add to it."""

PRINTABLE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')

CONTENT_TYPES = {
    "cloudevents": "application/cloudevents+json; charset=UTF-8",
    "cloudevents-binary": "application/json",
    "data": "application/json",
}

STATUSES: answers.Statuses = {
    408: answers.retry(Reason.TIMEOUT),
    429: answers.throttle(Reason.RATE_LIMITED, 1.0, up_to_s=60.0),
}
"""What `success` does not name. All else is read as HTTP means it (answers.COMMON)."""
