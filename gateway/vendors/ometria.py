"""Ometria Data API v2, `POST /push`: contacts, orders, products and custom events, queued by Ometria and stored later.

A 202 says that records were received, not that they are valid, and nothing ties a later error to its record; so what
Ometria requires is checked here, before anything is sent.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from gateway.config.schema import DestinationSettings
from gateway.config.values import Seconds, Secret
from gateway.errors import Reason, Refusal
from gateway.model import Headers, NormalEvent
from gateway.vendors import answers, base, checks, ometria_calls, ometria_products


class OmetriaSettings(DestinationSettings):
    """One Ometria account, by its API key."""

    api_key: Secret = Field(description="The account's API key, sent as `X-Ometria-Auth`.")
    collection: str | None = Field(
        None,
        min_length=1,
        max_length=100,
        description="The contacts' `@collection`: a contact is known by it and its id. Default: the source's name.",
        examples=["uk-shop"],
    )
    merge: bool = Field(
        True, description="Send contacts and products with `@merge: true`: what a record leaves out stays as it is."
    )
    force_optin: bool = Field(
        False, description="Send `@force_optin` with a `marketing_optin`: it counts whatever other collections say."
    )
    add_to_lists: list[int] = Field([], description="Ids of the lists that contacts are added to.", examples=[[12]])
    remove_from_lists: list[int] = Field(
        [], description="Ids of the lists that contacts are taken from.", examples=[[12]]
    )
    gdpr: bool = Field(False, description="Ask Ometria to forget a customer that the shop has redacted.")
    variants: bool = Field(False, description="Send a product's variants as products of their own.")
    errors_every: Seconds = Field(
        300.0, description="How often Ometria is asked which faults it found in what it had taken. `0s`: never."
    )


class Ometria:
    """Push to one Ometria account. One record type travels per call (Ometria API introduction): it is the channel."""

    name: ClassVar[str] = "ometria"
    Settings: ClassVar[type[DestinationSettings]] = OmetriaSettings

    def __init__(self, destination: str, settings: OmetriaSettings) -> None:
        self.destination = destination
        self._settings = settings
        self._base_url = (settings.base_url or BASE_URL).rstrip("/")

    def account(self) -> str:
        return base.account_name(self.name, base.host_of(self._base_url), self._settings.api_key.reveal())

    def secrets(self) -> tuple[str, ...]:
        return (self._settings.api_key.reveal(),)

    # --- limits ------------------------------------------------------------------------------------------------------

    def limits(self) -> Sequence[base.Limit]:
        """4 pushes a second per account (Ometria API introduction; some plans have more), and those of other calls.
        Whether what is asked counts with what is pushed is not said: it does here.
        """
        calls = [call.limit for name, call in ometria_calls.CALLS.items() if name != "gdpr" or self._settings.gdpr]
        return (base.Limit(4, 1.0, classes=frozenset({"default", "data"})), *calls)

    def rules(self) -> base.BatchRules:
        """100 records a call, 60 KB a record (Ometria API introduction), read as 60,000 bytes of compact JSON."""
        return base.BatchRules(100, 100 * (RECORD_BYTES + 1) + 2, RECORD_BYTES, linger_s=0.2)

    # --- records -----------------------------------------------------------------------------------------------------

    def mapping(self, event: NormalEvent) -> str | None:
        entity = event.entity
        deleted = base.verb_of(event) in base.DELETIONS
        if (deleted and entity == "product") or (event.type == REDACTED and self._settings.gdpr):
            return None
        if deleted or entity not in TYPE_OF:
            raise LookupError(event.type)
        return f"ometria/{entity}"

    def records(self, event: NormalEvent, documents: Sequence[Any] | None) -> Sequence[base.Draft]:
        """A draft for each document. A deleted product is taken off sale; nothing else can be deleted by push."""
        if event.type == REDACTED and self._settings.gdpr:
            return (ometria_calls.deletion(event),)
        if base.verb_of(event) in base.DELETIONS:
            return (ometria_products.off_sale(event),) if event.entity == "product" else ()
        if documents is None:
            raise Refusal(Reason.INCOMPLETE, f"{event.type}: no mapping makes an Ometria record of it")
        drafts = [self._draft(event, document) for document in documents]
        if event.entity == "product" and self._settings.variants:
            variants = ometria_products.variants(answers.object_of(event.data))
            drafts.extend(self._draft(event, variant) for variant in variants)
        return drafts

    def _draft(self, event: NormalEvent, document: Any) -> base.Draft:
        fields = checks.as_object(document, "Ometria")
        type_ = str(fields.get("@type") or TYPE_OF.get(event.entity or "", "custom_event"))
        if type_ in ometria_calls.CALLS:
            return ometria_calls.draft(type_, str(fields.get("@id") or event.id), fields)
        if type_ not in REQUIRED:
            raise Refusal(Reason.PAYLOAD_REFUSED, f"@type is none of {', '.join(REQUIRED)}")
        controls = self._controls(type_, event, fields) if type_ in MERGED else {}
        data = {"@type": type_, **controls, **fields}
        fault = checks.missing(data, _required(type_, event, data))
        fault = fault or checks.missing_in_items(data, "lineitems", LINE_REQUIRED) or checks.unfit(data, FORMS)
        checks.refuse_if_any(type_, fault)
        key = f"{data['@collection']}/{data['id']}" if type_ == "contact" else str(data["id"])
        return base.Draft(type_, key, data, "fact" if type_ == "custom_event" else "state")

    def _controls(self, type_: str, event: NormalEvent, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that steer Ometria. A mapping that names one itself has the last word."""
        controls: dict[str, Any] = {"@merge": self._settings.merge}
        if type_ == "contact":
            settings = self._settings
            controls = {"@collection": settings.collection or event.source, **controls}
            controls["@force_optin"] = settings.force_optin and fields.get("marketing_optin") is not None
            controls["@add_to_lists"] = settings.add_to_lists
            controls["@remove_from_lists"] = settings.remove_from_lists
        return {name: value for name, value in controls.items() if value}

    # --- request -----------------------------------------------------------------------------------------------------

    def request(self, batch: base.Batch) -> base.Request:
        headers = (*self._asking(), ("Content-Type", "application/json"))
        if batch.channel in ometria_calls.CALLS:
            return ometria_calls.request(self._base_url, headers, batch)
        return base.Request("POST", f"{self._base_url}/push", headers, base.json_array(batch))

    def _asking(self) -> Headers:
        return (("Accept", "application/json"), ("X-Ometria-Auth", self._settings.api_key.reveal()))

    def errors_every_s(self) -> float:
        return self._settings.errors_every

    def errors(self) -> base.Request:
        return base.Request("GET", f"{self._base_url}/push/_errors", self._asking(), b"", "data")

    # --- response ----------------------------------------------------------------------------------------------------

    def judge(self, batch: base.Batch, answer: base.Answer) -> base.Verdict:
        if batch.channel in ometria_calls.CALLS:
            return ometria_calls.judge(batch, answer, self.secrets())
        if not isinstance(answer, base.Response):
            return base.same(answers.by_status(STATUSES, batch, answer, self.secrets()), batch)
        free = answers.whole(answer.headers.get("x-queuesize-remaining"))
        if answer.status // 100 == TAKEN:
            return base.Verdict((self._taken(batch, answer),) * len(batch.records), _ease(free))
        said = answers.words(answer, "message", "error_message", "error")
        statuses = QUEUE_FULL if free is not None and free < len(batch.records) else STATUSES
        if TOO_LARGE in said:
            statuses = RECORD_TOO_LARGE
        return base.same(answers.by_status(statuses, batch, answer, self.secrets(), said), batch)

    def errors_of(self, answer: base.Answer) -> Sequence[str] | base.Failure:
        """`[{"error_message": "not a valid value", "error_path": "root > lastname"}]`, the latest 100."""
        return ometria_calls.errors_of(answer, self.secrets())

    def _taken(self, batch: base.Batch, answer: base.Response) -> base.Outcome:
        """What a 2xx means: `{"status": "OK", "request_id": ..., "accepted": n, "rejected": n, "skipped": n}`.

        Which record was rejected is not said, so the batch is halved: safe, as pushes are upserts.
        """
        body = answers.object_of(answers.json_of(answer))
        rejected = answers.whole(body.get("rejected", 0))
        detail = answers.bounded(f"{answer.status} {answers.words(answer, 'message')}", self.secrets())
        if rejected:
            return answers.refused_if_alone(base.Split(Reason.RECORD_REFUSED, detail), batch)
        told = body.get("status") == "OK" or ("status" not in body and answers.whole(body.get("accepted")) is not None)
        silent = answer.status == ACCEPTED and not answer.body.strip()
        if rejected is None or not (told or silent):
            return base.Retry(Reason.UNEXPECTED_ANSWER, detail, answers.retry_after_s(answer, batch.sent_at_ms))
        skipped = answers.whole(body.get("skipped"))
        receipt = answers.bounded(answers.text_in(body.get("request_id")), self.secrets())
        return base.Delivered(receipt, f"{skipped} skipped by Ometria" if skipped else "")


def _ease(free: int | None) -> base.Throttled | None:
    """10 s for each 1,000 places short of 10,000: the queue should not fill up before it refuses."""
    if free is None or free >= QUEUE_LOW:
        return None
    for_s = (QUEUE_LOW - free) / 1000 * EASE_S
    return base.Throttled(Reason.QUEUE_FULL, for_s, detail=f"{free} places are left in Ometria's queue")


def _required(type_: str, event: NormalEvent, data: Mapping[str, Any]) -> checks.Required:
    if type_ == "order" and data.get("@merge") is True:
        return (("id",),)
    is_new = type_ in REQUIRED_NEW and base.verb_of(event) == "created"
    return REQUIRED_NEW[type_] if is_new else REQUIRED[type_]


# --- tables ----------------------------------------------------------------------------------------------------------

BASE_URL = "https://api.ometria.com/v2"
TAKEN = 2
RECORD_BYTES = 60_000
ACCEPTED = 202
QUEUE_LOW = 10_000
EASE_S = 10.0
TOO_LARGE = "Record is too large"

REDACTED = "customer.redacted"

TYPE_OF = {"customer": "contact", "order": "order", "product": "product"}
"""The `@type` by the entities that a mapping ships for. What else is mapped is a custom_event, unless it says."""

MERGED = frozenset({"contact", "product"})
"""Types sent as partial updates. Orders are always sent whole."""

REQUIRED: Mapping[str, checks.Required] = {
    "contact": (("id",), ("@collection",), ("email", "phone_number")),
    "order": (("id",), ("timestamp",), ("grand_total",), ("currency",)),
    "product": (("id",),),
    "custom_event": (("id",), ("event_type",), ("timestamp",), ("identity_email", "identity_account_id", "profile_id")),
}
"""What a record needs. An order with `@merge: true` (a change of status alone) needs only its id."""

REQUIRED_NEW: Mapping[str, checks.Required] = {"product": (("id",), ("title",), ("price",))}
LINE_REQUIRED: checks.Required = (("product_id",), ("quantity",), ("unit_price", "subtotal"))

FORMS: Mapping[str, checks.Form] = {
    "id": checks.ID,
    "currency": checks.CURRENCY,
    **dict.fromkeys(("timestamp", "timestamp_acquired", "timestamp_subscribed", "timestamp_unsubscribed"), checks.TIME),
    "marketing_optin": checks.one_of("EXPLICITLY_OPTEDIN", "EXPLICITLY_OPTEDOUT", "NOT_SPECIFIED"),
    "gender": checks.one_of("m", "f", "o"),
}
"""Fields whose form Ometria states. A record with another is taken with 202 and dropped later."""

STATUSES: answers.Statuses = {
    4: answers.split(Reason.PAYLOAD_REFUSED),
    413: answers.split(Reason.TOO_LARGE),
    422: answers.split(Reason.RECORD_REFUSED),
    429: answers.throttle(Reason.RATE_LIMITED, 1.0),
}
"""By status. 403 (the key may not do this) and 404 (wrong path) are documented and mean what they always mean."""

QUEUE_FULL: answers.Statuses = {**STATUSES, 429: answers.throttle(Reason.QUEUE_FULL, 10.0, up_to_s=300.0)}
"""When the queue of 50,000 records has no room for the batch: it drains in its own time."""

RECORD_TOO_LARGE: answers.Statuses = {**STATUSES, 400: answers.split(Reason.TOO_LARGE)}
"""`Payload invalid: Record is too large.` (Ometria API introduction)."""
