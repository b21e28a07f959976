"""Look-ups: a thin event (`order.changed`, an id and no more) is made whole by one GET, and what is answered becomes an
event of its own. A look-up runs as a destination does: a lane, a pace, retries, dead letters.

Events that ask for the same URL share a request: what is answered was asked for after all of them had come, so that it
holds what each of them tells of.
"""

import hashlib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gateway import document
from gateway.config.schema import LOOKUP, BatchSetting, DestinationSettings
from gateway.config.values import Seconds
from gateway.errors import Reason, Refusal
from gateway.mapping.expressions import EvaluationError, compile_expression
from gateway.mapping.normalise import read_body
from gateway.model import Headers, NormalEvent
from gateway.vendors import answers, base, oauth
from gateway.vendors.http_answers import Codes, range_of, scope_of
from gateway.vendors.http_auth import Auth, credentials
from gateway.vendors.http_places import ExpressionText, Head, HeaderTexts, PlaceText, TemplateText


def _some(urls: dict[str, str]) -> dict[str, str]:
    if not urls:
        raise ValueError("at least one type of events and where it is looked up: {order.changed: https://...}")
    return urls


class LookupSettings(DestinationSettings):
    """Where thin events are made whole: a GET for each, whose answer becomes an event of its own.

    Beside these keys it takes what every destination takes but `vendor`, `batch`, `dry_run`, `coalesce` and
    `stale`: its own pace (`limits`), `timeout`, `retry`, `concurrency`, `account` and so on.
    """

    vendor: ClassVar[str] = LOOKUP  # type: ignore[misc]  # no key of a look-up's
    batch: ClassVar[BatchSetting] = BatchSetting()  # type: ignore[misc]  # one URL a request
    dry_run: ClassVar[bool] = False  # type: ignore[misc]  # what is not asked for is not found
    coalesce: ClassVar[bool] = False  # type: ignore[misc]  # each event has what it asked for
    stale: ClassVar[bool] = False  # type: ignore[misc]  # likewise

    urls: Annotated[dict[str, PlaceText], AfterValidator(_some)] = Field(
        description="What is asked for, by globs over the normal event's type, of which the first that matches counts: "
        "a URL, or a path below `base_url`. `{expression}` is a place for what the event says.",
        examples=[{"order.changed": "/v2/orders/{subject}"}],
    )
    headers: HeaderTexts = Field(
        {}, description="Headers of every request. Credentials belong under `auth`.", examples=[{"X-Team": "crm"}]
    )
    auth: Auth | None = Field(None, description="How requests prove who sends them.")
    topic: TemplateText = Field(
        "lookup/{topic}",
        description="The topic of what is found, by which `normalise` knows it; `{expression}` as in a URL.",
        examples=["lookup/{topic}", "{entity}.complete"],
    )
    success: Codes = Field(["200-299"], description="Statuses that mean found.", examples=[["200"]])
    found_when: ExpressionText | None = Field(
        None,
        description="What must hold as well, over `status`, `headers` and `body`; where not, nothing was found.",
        examples=["body.data != `[]`"],
    )
    missing: Literal["dead", "superseded"] = Field(
        "dead",
        description="What becomes of an event whose entity is not found (404, 410, an empty answer, `found_when`).",
    )
    cache: Seconds = Field(
        0.0,
        description="How old an answer may be that is used again for the same URL. `0s`: each is asked for after its "
        "event has come.",
        examples=["60s"],
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        below = next((url for url in self.urls.values() if url.startswith("/")), None)
        if below is not None and self.base_url is None:
            raise ValueError(f"`{below}` is a path below `base_url`, and there is none")
        return self


class Lookup:
    """One look-up. Without limits unless the configuration says otherwise."""

    name: ClassVar[str] = LOOKUP
    Settings: ClassVar[type[DestinationSettings]] = LookupSettings

    def __init__(self, destination: str, settings: LookupSettings) -> None:
        self.destination = destination
        self._settings = settings
        self._auth = credentials(settings.auth)
        root = (settings.base_url or "").rstrip("/")
        urls = {glob: root + url if url.startswith("/") else url for glob, url in settings.urls.items()}
        self._heads = {
            glob: Head("GET", url, settings.headers, {"topic": settings.topic}) for glob, url in urls.items()
        }
        self._place = base.host_of(next(iter(urls.values())))
        self._success = [codes for one in settings.success if (codes := range_of(one))]
        self._found_when = compile_expression(settings.found_when) if settings.found_when is not None else None

    def account(self) -> str:
        return base.account_name(self.name, self._place, *(self._auth.secrets[:1] or (self.destination,)))

    def secrets(self) -> Sequence[str]:
        return self._auth.secrets

    # --- limits ------------------------------------------------------------------------------------------------------

    def limits(self) -> Sequence[base.Limit]:
        """None is known; the configuration may name some."""
        return ()

    def rules(self) -> base.BatchRules:
        """Events that ask for the same share a request."""
        return base.BatchRules(SHARING, SHARING * RECORD_BYTES, RECORD_BYTES)

    # --- records -----------------------------------------------------------------------------------------------------

    def mapping(self, event: NormalEvent) -> str | None:
        """None is needed. Raises LookupError for what is not looked up."""
        self._head(event)
        return None

    def records(self, event: NormalEvent, documents: Sequence[Any] | None) -> Sequence[base.Draft]:  # noqa: ARG002  none is mapped
        """What is asked for: `{"url": ..., "headers": ..., "topic": ...}`. Each counts: a fact.

        What asks for the same has one channel, so that it shares a request, and one key, so that it keeps its order.
        """
        head = self._head(event)
        values = head.values({**event.document(), "entity": event.entity})
        url, headers, topic = head.url(values), head.headers(values), head.text("topic", values)
        if not topic:
            raise Refusal(Reason.INCOMPLETE, "`topic` gives nothing")
        data = {"url": url, "headers": headers, "topic": topic}
        channel = _channel(url, headers if head.headers_vary else {})
        return [base.Draft(channel, event.entity or "event", data, "fact")]

    def _head(self, event: NormalEvent) -> Head:
        for glob, head in self._heads.items():
            if fnmatchcase(event.type, glob):
                return head
        raise LookupError(event.type)

    # --- request -----------------------------------------------------------------------------------------------------

    def request(self, batch: base.Batch) -> base.Request:
        asked = batch.records[0].draft.data
        headers = {"accept": "application/json", **asked["headers"], **self._auth.headers}
        headers |= self._auth.signed(batch, b"")
        return base.Request(
            "GET",
            self._auth.url(asked["url"]),
            tuple(headers.items()),
            b"",
            answer_bytes=ANSWER_BYTES + 1,
            token=self._auth.oauth2 is not None,
            cache_s=self._settings.cache,
        )

    def token_request(self) -> base.Request:
        """The request that fetches a token (`auth.oauth2`)."""
        return self._auth.token_request()

    # --- response ----------------------------------------------------------------------------------------------------

    def judge(self, batch: base.Batch, answer: base.Answer) -> base.Verdict:
        """What was found is an event for each that asked."""
        outcome = self._outcome(batch, answer)
        if not isinstance(outcome, base.Delivered) or isinstance(answer, base.Failure):
            return base.same(outcome, batch)
        headers = _kept(answer.headers)
        topics = (record.draft.data["topic"] for record in batch.records)
        found = (base.Derived(topic, headers, answer.body) for topic in topics)
        return base.Verdict(tuple(base.Delivered(outcome.receipt, derived=one) for one in found))

    def _outcome(self, batch: base.Batch, answer: base.Answer) -> base.Outcome:
        secrets = self._auth.secrets
        if isinstance(answer, base.Failure) or not any(answer.status in codes for codes in self._success):
            outcome = answers.by_status({}, batch, answer, secrets)
            if isinstance(outcome, base.Refused) and outcome.reason is Reason.NOT_FOUND:
                return self._missing(outcome.detail)
            return outcome
        if len(answer.body) > ANSWER_BYTES:
            return base.Refused(Reason.TOO_LARGE, f"the answer is larger than {ANSWER_BYTES} bytes")
        try:
            is_found = bool(answer.body.strip()) and self._is_found(answer)
        except (EvaluationError, document.Unreadable) as error:
            said = f"{answer.status} cannot be read: {error}"
            return base.Retry(Reason.UNEXPECTED_ANSWER, answers.bounded(said, secrets))
        if not is_found:
            return self._missing(answers.bounded(f"{answer.status} {answers.text_of(answer)}", secrets))
        receipt = answer.headers.get("x-request-id", "")[: answers.RECEIPT_CHARS]
        return base.Delivered(answers.bounded(receipt, secrets))

    def _is_found(self, answer: base.Response) -> bool:
        """Raises Unreadable for an answer that its event's mapping could not read either."""
        read_body(_kept(answer.headers), answer.body)
        return self._found_when is None or self._found_when.true(scope_of(answer))

    def _missing(self, detail: str) -> base.Outcome:
        if self._settings.missing == "superseded":
            return base.Superseded(Reason.NOT_FOUND, detail)
        return base.Refused(Reason.NOT_FOUND, detail)

    def token_of(self, answer: base.Answer) -> base.Token | base.Outcome:
        return oauth.token_of(answer, self._auth.secrets)


def _channel(url: str, headers: Mapping[str, str]) -> str:
    """What is asked for, as a name: the URL, or a hash where that is long or not all."""
    if not headers and len(url) <= CHANNEL_CHARS:
        return url
    return hashlib.blake2b(document.dump([url, headers]), digest_size=16).hexdigest()


def _kept(headers: Mapping[str, str]) -> Headers:
    """What of an answer's headers its event keeps: how its body is to be read, in signs that the journal can hold."""
    media = headers.get("content-type", "application/json")
    return (("content-type", media[:HEADER_CHARS].encode("ascii", "replace").decode()),)


# --- tables ----------------------------------------------------------------------------------------------------------

ANSWER_BYTES = 4 << 20
"""The largest answer that becomes an event: a received one is 1 MiB unless told."""

RECORD_BYTES = 64 << 10
"""The longest that a URL with its headers and topic may be."""

SHARING = 20
"""Events that share a request, at most. A lane keeps three times as many ready, each with a URL of its own."""

CHANNEL_CHARS = 120
HEADER_CHARS = 200
