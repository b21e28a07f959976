"""Altcraft Marketing platform API: profiles, one a request or up to 500 in a batch, as JSON or XML.

Errors stand in the body first (`error` is not 0), the HTTP status comes second. Altcraft remembers requests for a day
and answers a repeat with what it said before: so each request has an id of its own, kept over its retries until an
answer shows that Altcraft has dealt with it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import msgspec
from msgspec.structs import replace
from pydantic import Field, model_validator

from gateway import document
from gateway.config.schema import DestinationSettings
from gateway.config.values import HttpUrl, Secret
from gateway.errors import Reason
from gateway.model import NormalEvent
from gateway.vendors import answers, base, checks, markup


class AltcraftSettings(DestinationSettings):
    """One profile database of an Altcraft platform."""

    base_url: HttpUrl = Field(description="The platform's host.", examples=["https://altcraft.example.com"])
    token: Secret = Field(description="The API token, sent in the request's body.")
    db_id: int = Field(ge=1, description="The profile database.", examples=[1])
    resource_id: int | None = Field(None, ge=1, description="The resource that subscriptions belong to.", examples=[7])
    method: Literal["import", "update", "add"] = Field("import", description="Create or change, change, or create.")
    matching: Literal["email", "email_profile", "phone", "profile_id", "custom"] = Field(
        "email",
        description="How a profile is found: e-mail (its own or a subscription's), its own e-mail, phone, its id "
        "(`update` alone), or a field of yours.",
    )
    field_name: str | None = Field(None, description="The field of `matching: custom`.", examples=["loyalty_id"])
    content: Literal["json", "xml"] = Field("json", description="How requests are written.")
    skip_triggers: bool = Field(False, description="Start no trigger campaign.")
    skip_invalid_subscriptions: bool = Field(False, description="Take a profile whose subscription is invalid.")
    detect_geo: bool = Field(False, description="Let Altcraft find the place of an IP address.")
    add_to_segments: list[int] = Field([], description="Ids of segments that profiles join.", examples=[[12]])
    remove_from_segments: list[int] = Field([], description="Ids of segments that profiles leave.", examples=[[12]])

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.matching == "custom") != (self.field_name is not None):
            raise ValueError("`field_name` goes with `matching: custom`, and only with it")
        if self.matching == "profile_id" and self.method != "update":
            raise ValueError("`matching: profile_id` finds what exists: it goes with `method: update`")
        return self


class Altcraft:
    """Profiles into one database. All travel in one channel: an order changes the same profile as its customer."""

    name: ClassVar[str] = "altcraft"
    Settings: ClassVar[type[DestinationSettings]] = AltcraftSettings

    def __init__(self, destination: str, settings: AltcraftSettings) -> None:
        self.destination = destination
        self._settings = settings
        self._base_url = settings.base_url.rstrip("/")
        self._envelope = _envelope(settings)

    def account(self) -> str:
        return base.account_name(self.name, base.host_of(self._base_url), self._settings.token.reveal())

    def secrets(self) -> Sequence[str]:
        return (self._settings.token.reveal(),)

    # --- limits ------------------------------------------------------------------------------------------------------

    def limits(self) -> Sequence[base.Limit]:
        """None is published."""
        return ()

    def rules(self) -> base.BatchRules:
        """10 MB and 10,000 profiles at most (developer guide); 500 are ours. XML is longer than the JSON measured."""
        most = BODY_BYTES[self._settings.content]
        return base.BatchRules(500, most, RECORD_BYTES, linger_s=1.0, one_per_key=True, keyed=True)

    # --- records -----------------------------------------------------------------------------------------------------

    def mapping(self, event: NormalEvent) -> str | None:
        if event.entity not in SHIPPED or base.verb_of(event) in base.DELETIONS:
            raise LookupError(event.type)
        return f"altcraft/{event.entity}"

    def records(self, event: NormalEvent, documents: Sequence[Any] | None) -> Sequence[base.Draft]:
        """A profile for each document, which is the profile's `data`. Profiles are not deleted by an event."""
        if base.verb_of(event) in base.DELETIONS:
            return ()
        return [self._profile(event, checks.as_object(one, "Altcraft")) for one in documents or ()]

    def _profile(self, event: NormalEvent, fields: Mapping[str, Any]) -> base.Draft:
        own = MATCHING.get(self._settings.matching)
        name = own or self._settings.field_name or ""
        value = _first_phone(fields) if own == "phone" else fields.get(name)
        matched = {name: value}
        checks.refuse_if_any("profile", checks.missing(matched, ((name,),)), checks.unfit(matched, {name: checks.ID}))
        found_by = matched if own else {"field_name": name, "field_value": value}
        data = {field: one for field, one in fields.items() if field != "profile_id"}
        if self._settings.content == "xml":
            markup.write("data", data)
        kind = "state" if event.entity == "customer" else "fact"
        return base.Draft("profile", str(value).casefold(), {**found_by, "data": data}, kind)

    # --- request -----------------------------------------------------------------------------------------------------

    def request(self, batch: base.Batch) -> base.Request:
        alone = len(batch.records) == 1
        method = f"profiles/{self._settings.method}{'' if alone else '_batch'}"
        body = self._written(batch.records, alone=alone)
        id_ = _request_id(batch)
        headers = (
            ("Accept", "application/json"),
            ("Content-Type", f"application/{self._settings.content}"),
            ("Request-ID", id_),
            ("X-Request-ID", id_),
        )
        intent = "" if alone else "keyed"
        return base.Request("POST", f"{self._base_url}/api/v1.1/{method}", headers, body, intent=intent)

    def _written(self, records: Sequence[base.Record], *, alone: bool) -> bytes:
        if self._settings.content == "xml":
            elements = [record.draft.data for record in records]
            return markup.write("xml", {**self._envelope, **(elements[0] if alone else {"data": elements})})
        if alone:
            return document.dump({**self._envelope, **records[0].draft.data})
        return document.dump({**self._envelope, "data": [msgspec.Raw(record.encoded) for record in records]})

    # --- response ----------------------------------------------------------------------------------------------------

    def judge(self, batch: base.Batch, answer: base.Answer) -> base.Verdict:
        body = answers.object_of(answers.json_of(answer)) if isinstance(answer, base.Response) else {}
        code = answers.whole(body.get("error"))
        taken = isinstance(answer, base.Response) and answer.status // 100 == TAKEN
        if code and (taken or code in CODES):
            outcomes = (self._meant(CODES, record, code, body) for record in batch.records)
            return base.Verdict(tuple(answers.refused_if_alone(one, batch) for one in outcomes))
        if code is None or not taken or isinstance(answer, base.Failure):
            return base.same(answers.by_status(STATUSES, batch, answer, self.secrets()), batch)
        note = "a repeat, by its request id" if REPEAT_HEADERS & answer.headers.keys() else ""
        return self._each(batch, body, note)

    def _each(self, batch: base.Batch, body: Mapping[str, Any], note: str) -> base.Verdict:
        """`{"error": 0, "result": [{"error": 0, "profile_id": ...}, {"error": 450, "error_text": ...}]}`, in the order
        sent. A list of another length tells nothing of anybody: the batch goes again in halves, under new ids.
        """
        results = body.get("result", body.get("results"))
        if isinstance(results, list) and len(results) == len(batch.records):
            found = zip(batch.records, map(answers.object_of, results), strict=True)
            return base.Verdict(tuple(self._one(record, result, note) for record, result in found))
        if len(batch.records) == 1:
            return base.same(self._delivered(body, note), batch)
        detail = f"{len(batch.records)} profiles were sent, and the answer does not say what became of each"
        return base.same(base.Split(Reason.UNEXPECTED_ANSWER, detail), batch)

    def _one(self, record: base.Record, result: Mapping[str, Any], note: str) -> base.Outcome:
        code = answers.whole(result.get("error", 0 if result.get("profile_id") else None))
        return self._delivered(result, note) if code == 0 else self._meant(RESULTS, record, code, result)

    def _delivered(self, body: Mapping[str, Any], note: str) -> base.Delivered:
        return base.Delivered(answers.bounded(answers.text_in(body.get("profile_id")), self.secrets()), note)

    def _meant(
        self, codes: Mapping[int, answers.Meaning], record: base.Record, code: int | None, body: Mapping[str, Any]
    ) -> base.Outcome:
        """What a code means. Altcraft may remember the error for a day: what waits for somebody to act (the tariff, the
        token's rights) goes under another id then, and what has failed a few times.
        """
        said = answers.bounded(f"error {code}: {answers.text_in(body.get('error_text'), 2000)}", self.secrets())
        outcome = codes.get(-1 if code is None else code, _unlisted(record))(said, None)
        failed = isinstance(outcome, base.Retry) and (record.attempt + 1) % ATTEMPTS_PER_ID == 0
        waits = isinstance(outcome, base.Throttled | base.Suspended)
        return replace(outcome, anew=True) if failed or waits else outcome


def _envelope(settings: AltcraftSettings) -> dict[str, Any]:
    """What stands beside the profiles, without what is left at Altcraft's own default."""
    told = {name: value for name in OPTIONS if (value := getattr(settings, name))}
    return {"token": settings.token.reveal(), "db_id": settings.db_id, "matching": settings.matching, **told}


def _request_id(batch: base.Batch) -> str:
    """The batch's key, and when Altcraft last gave an answer that it would only repeat."""
    anew_ms = max(record.anew_ms for record in batch.records)
    return f"{batch.key}-{anew_ms}" if anew_ms else batch.key


def _unlisted(record: base.Record) -> answers.Meaning:
    """A code that nobody has described: worth a few attempts."""
    tried = record.attempt + 1 >= UNLISTED_ATTEMPTS
    return answers.refuse(Reason.UNEXPECTED_ANSWER) if tried else answers.retry(Reason.UNEXPECTED_ANSWER)


def _first_phone(fields: Mapping[str, Any]) -> Any:
    phones = fields.get("phones")
    return phones[0] if isinstance(phones, list) and phones else fields.get("phone")


# --- tables ----------------------------------------------------------------------------------------------------------

TAKEN = 2
BODY_BYTES = {"json": 9_500_000, "xml": 3_000_000}
RECORD_BYTES = 1_000_000
ATTEMPTS_PER_ID = 3
"""Fewer than open the breaker: a remembered error is no failure of the platform."""
UNLISTED_ATTEMPTS = 5
SHIPPED = frozenset({"customer", "order", "cart", "refund", "fulfillment"})
"""Entities that a mapping ships for: what tells something of a profile."""
SWITCHES = ("skip_triggers", "skip_invalid_subscriptions", "detect_geo")
OPTIONS = ("resource_id", *SWITCHES, "add_to_segments", "remove_from_segments")
REPEAT_HEADERS = frozenset({"duplicate-request", "x-duplicate-request"})

MATCHING = {"email": "email", "email_profile": "email", "phone": "phone", "profile_id": "profile_id"}
"""Under which name the value to match by stands beside `data`."""

TARIFF = answers.throttle(Reason.QUOTA_EXHAUSTED, 3600.0, up_to_s=6 * 3600.0)
"""The tariff's limit is reached: somebody has to look."""

CODES: Mapping[int, answers.Meaning] = {
    400: answers.split(Reason.PAYLOAD_REFUSED),
    402: TARIFF,
    404: answers.split(Reason.NOT_FOUND),
    500: answers.retry(Reason.SERVER_ERROR),
    **dict.fromkeys((401, 403, 413, 441), answers.suspend()),
    **dict.fromkeys((409, 435), answers.split(Reason.CONFLICT)),
    **dict.fromkeys((415, 501), answers.refuse(Reason.PAYLOAD_REFUSED)),
    **dict.fromkeys((440, 450), answers.split(Reason.RECORD_REFUSED)),
}
"""By the body's `error`: the tariff's limit is reached (402), the database is not the resource's (413), several
profiles match (435), the object is another group's (441), a field is invalid (450). 440 occurs and is not described."""

RESULTS: Mapping[int, answers.Meaning] = {
    -1: answers.retry(Reason.UNEXPECTED_ANSWER),
    402: TARIFF,
    404: answers.refuse(Reason.NOT_FOUND),
    500: answers.retry(Reason.SERVER_ERROR),
    **dict.fromkeys((409, 435), answers.refuse(Reason.CONFLICT)),
    **dict.fromkeys((400, 401, 403, 413, 415, 440, 441, 450, 501), answers.refuse(Reason.RECORD_REFUSED)),
}
"""By the `error` of one profile in a batch; -1: none that can be read."""

STATUSES: answers.Statuses = {
    **dict.fromkeys((4, 404, 409, 410), answers.retry(Reason.UNEXPECTED_ANSWER)),
    400: answers.split(Reason.PAYLOAD_REFUSED),
    413: answers.split(Reason.TOO_LARGE),
}
"""Where the body has no `error`: something between here and Altcraft has answered."""
