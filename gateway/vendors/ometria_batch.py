"""Ometria website personalisation, Batch API: a window's products in one ZIP, uploaded, processed, reported on.

Three requests to a batch: the upload gives a receipt, `process` starts the work, the report says what became of each
file. An upload that is never processed has no effect, so uploading again does no harm; processing twice is refused.
"""

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal
from urllib.parse import quote

from msgspec.structs import replace
from pydantic import Field

from gateway import document
from gateway.config.schema import DestinationSettings
from gateway.config.values import HttpUrl, Seconds, Secret
from gateway.errors import Reason, Refusal
from gateway.model import NormalEvent
from gateway.vendors import answers, archive, base, checks

HOST = r"^[A-Za-z0-9-]{1,63}$"


class OmetriaBatchSettings(DestinationSettings):
    """One domain's catalogue."""

    api_key: Secret = Field(description="The Admin API key, or `key:secret`: sent as `Authentication: Basic`.")
    domain_key: str = Field(pattern=HOST, description="The domain's key, part of the host.", examples=["acme"])
    location_key: str = Field(pattern=HOST, description="The location's key, part of the host.", examples=["eu"])
    report_url: HttpUrl | None = Field(
        None,
        description="Where reports are read. Default: the same host.",
        examples=["https://acme.api.ometria.services"],
    )
    window: Seconds = Field(900.0, description="How long products are collected for one upload.")
    delete_on_completion: bool = Field(False, description="Ometria removes the upload once it is processed.")
    md5: bool = Field(False, description="Send the archive's MD5, as `Content-MD5` and in the form.")
    authorization: bool = Field(False, description="Send the credential as `Authorization` too.")
    poll: Seconds = Field(30.0, description="How long after `process` the report is asked for.")


class OmetriaBatch:
    """Products of one domain, collected in windows."""

    name: ClassVar[str] = "ometria_batch"
    Settings: ClassVar[type[DestinationSettings]] = OmetriaBatchSettings

    def __init__(self, destination: str, settings: OmetriaBatchSettings) -> None:
        self.destination = destination
        self._settings = settings
        host = f"https://{settings.domain_key}.api-{settings.location_key}.ometria.services"
        self._base_url = (settings.base_url or host).rstrip("/")
        self._report_url = (settings.report_url or self._base_url).rstrip("/")
        key = settings.api_key.reveal()
        self._basic = b64encode(key.encode()).decode() if ":" in key else key

    def account(self) -> str:
        return base.account_name(self.name, base.host_of(self._base_url), self._settings.api_key.reveal())

    def secrets(self) -> Sequence[str]:
        return (self._settings.api_key.reveal(), self._basic)

    # --- limits ------------------------------------------------------------------------------------------------------

    def limits(self) -> Sequence[base.Limit]:
        """None is published."""
        return ()

    def rules(self) -> base.BatchRules:
        """No size is published: these are ours. The window is how long a batch waits to be full."""
        return base.BatchRules(5_000, ARCHIVE_BYTES, ITEM_BYTES, linger_s=self._settings.window)

    # --- records -----------------------------------------------------------------------------------------------------

    def mapping(self, event: NormalEvent) -> str | None:
        if event.entity != "product" or base.verb_of(event) == "redacted":
            raise LookupError(event.type)
        return None if base.verb_of(event) == "deleted" else "ometria_batch/product"

    def records(self, event: NormalEvent, documents: Sequence[Any] | None) -> Sequence[base.Draft]:
        """An item for each document; a deleted product is one that is not enabled."""
        if base.verb_of(event) == "deleted":
            documents = [{"id": event.subject, "enabled": False}]
        return [_item(checks.as_object(one, "Ometria")) for one in documents or ()]

    # --- request -----------------------------------------------------------------------------------------------------

    def request(self, batch: base.Batch) -> base.Request:
        """The upload of what changed. Of several states of one product the last one goes."""
        latest = {record.draft.key: record.encoded for record in batch.records}
        products = b"[" + b",".join(latest.values()) + b"]"
        return self.upload("delta", {"products.json": products}, batch.key)

    def upload(self, kind: Literal["full", "delta"], files: Mapping[str, bytes], key: str) -> base.Request:
        """One ZIP of JSON files as multipart/form-data. A full upload holds all of FILES; `key` names the boundary."""
        if unknown := files.keys() - set(FILES):
            raise Refusal(Reason.PAYLOAD_REFUSED, f"{min(unknown)} is none of {', '.join(FILES)}")
        content, boundary = archive.zipped(files), f"gateway-{key}"
        parts = [('name="files"; filename="catalogue.zip"', "application/zip", content)]
        headers = [*self._authorised(), ("Content-Type", f"multipart/form-data; boundary={boundary}")]
        if self._settings.md5:
            digest = hashlib.md5(content, usedforsecurity=False)
            headers.append(("Content-MD5", b64encode(digest.digest()).decode()))
            parts.append(('name="md5"', "text/plain", digest.hexdigest().encode()))
        url = f"{self._base_url}/batch/upload/{kind}"
        return base.Request("POST", url, tuple(headers), archive.form(boundary, parts), intent="steps")

    def step_request(self, batch: base.Batch, step: base.Step) -> base.Request:  # noqa: ARG002  the receipt says it all
        """`process`, and the report on it."""
        receipt = quote(step.handle, safe="")
        if step.name == "process":
            query = f"?delete_on_completion={'true' if self._settings.delete_on_completion else 'false'}"
            return base.Request("PUT", f"{self._base_url}/batch/process/{receipt}{query}", self._authorised(), b"")
        return base.Request("GET", f"{self._report_url}/reporting/report/{receipt}", self._authorised(), b"")

    def _authorised(self) -> tuple[tuple[str, str], ...]:
        names = ("Authentication", "Authorization") if self._settings.authorization else ("Authentication",)
        return (("Accept", "application/json"), *((name, f"Basic {self._basic}") for name in names))

    # --- response ----------------------------------------------------------------------------------------------------

    def judge(self, batch: base.Batch, answer: base.Answer) -> base.Verdict:
        """An upload alone delivers nothing: its receipt has to be processed."""
        found = self.follow(batch, None, answer)
        if isinstance(found, base.Verdict):
            return found
        return base.same(base.Retry(Reason.BUSY, "uploaded, not processed"), batch)

    def follow(self, batch: base.Batch, step: base.Step | None, answer: base.Answer) -> base.Step | base.Verdict:
        if step is None:
            return self._uploaded(batch, answer)
        found = (self._processed if step.name == "process" else self._reported)(batch, step, answer)
        if isinstance(found, base.Step) and isinstance(answer, base.Response):
            asked_s = answers.retry_after_s(answer, batch.sent_at_ms) or 0.0
            said = answers.by_status(UPLOADED, batch, answer, self.secrets())
            pause = said if isinstance(said, base.Throttled) else None
            return replace(found, after_s=max(found.after_s, asked_s), pause=pause)
        return found

    def _uploaded(self, batch: base.Batch, answer: base.Answer) -> base.Step | base.Verdict:
        """`{"data": {"receipt": ...}}`."""
        if isinstance(answer, base.Response) and answer.status // 100 == TAKEN:
            data = answers.object_of(answers.object_of(answers.json_of(answer)).get("data"))
            if receipt := answers.text_in(data.get("receipt")):
                return base.Step("process", receipt)
        return base.same(answers.by_status(UPLOADED, batch, answer, self.secrets()), batch)

    def _processed(self, batch: base.Batch, step: base.Step, answer: base.Answer) -> base.Step | base.Verdict:
        """Taken, taken before (409), surely not heard, or nobody can say: the report can."""
        if isinstance(answer, base.Response) and answer.status in PROCESSED:
            return base.same(answers.by_status(PROCESSED, batch, answer, self.secrets()), batch)
        heard = isinstance(answer, base.Response) and (answer.status // 100 == TAKEN or answer.status == TAKEN_BEFORE)
        if heard:
            return base.Step("report", step.handle, self._settings.poll)
        if (answer.reason if isinstance(answer, base.Failure) else answer.status) in NOT_HEARD and step.asked < POLLS:
            return base.Step("process", step.handle, self._later_s(step.asked), step.asked + 1)
        return base.Step(DOUBTED, step.handle, self._settings.poll, step.asked)

    def _reported(self, batch: base.Batch, step: base.Step, answer: base.Answer) -> base.Step | base.Verdict:
        """The report, once there is one. Asked for in vain for a while, a doubted `process` is called again."""
        data: Mapping[str, Any] = {}
        if isinstance(answer, base.Response) and answer.status in REFUSED_KEY:
            return base.same(answers.by_status(PROCESSED, batch, answer, self.secrets()), batch)
        if isinstance(answer, base.Response) and answer.status // 100 == TAKEN:
            data = answers.object_of(answers.object_of(answers.json_of(answer)).get("data"))
        if data.get("status") in (COMPLETED, FAILED):
            return _by_report(batch, step.handle, data, self.secrets())
        if step.asked >= POLLS:
            detail = f"no report on receipt {step.handle}"
            return base.same(base.Retry(Reason.TIMEOUT, answers.bounded(detail, self.secrets())), batch)
        doubted = step.name == DOUBTED and not data
        if doubted and step.asked % ASK_AGAIN == ASK_AGAIN - 1:
            return base.Step("process", step.handle, asked=step.asked + 1)
        wait_s = self._later_s(step.asked % ASK_AGAIN if doubted else step.asked)
        return base.Step(DOUBTED if doubted else "report", step.handle, wait_s, step.asked + 1)

    def _later_s(self, times: int) -> float:
        """`poll`, doubled each time."""
        return min(self._settings.poll * 2.0 ** min(times, 10), POLL_MAX_S)


def _item(fields: dict[str, Any]) -> base.Draft:
    checks.refuse_if_any("product", checks.missing(fields, (("id",),)), checks.unfit(fields, {"id": checks.ID}))
    return base.Draft("products", str(fields["id"]), fields)


def _by_report(batch: base.Batch, receipt: str, data: Mapping[str, Any], secrets: Sequence[str]) -> base.Verdict:
    """What a report says of each item: those it names are refused; the others are in, if the whole was."""
    faults = dict(_faults(data))
    named = [faults.get(record.draft.key) for record in batch.records]
    outcomes: list[base.Outcome] = []
    for fault in named:
        if fault is not None:
            outcomes.append(base.Refused(Reason.RECORD_REFUSED, answers.bounded(fault, secrets)))
        elif data.get("status") == COMPLETED:
            outcomes.append(base.Delivered(receipt))
        elif any(one is not None for one in named):
            outcomes.append(base.Retry(Reason.RECORD_REFUSED, "the upload failed for another item"))
        else:
            detail = answers.bounded(f"{data.get('status')}: {document.dump(data).decode()}", secrets)
            outcomes.append(answers.refused_if_alone(base.Split(Reason.RECORD_REFUSED, detail), batch))
    return base.Verdict(tuple(outcomes))


def _faults(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Item ids with what is wrong, from `{"files": {"products.json": {"errors": [{"id": ..., "message": ...}]}}}`."""
    for file in answers.object_of(data.get("files")).values():
        errors = answers.object_of(file).get("errors")
        for error in map(answers.object_of, errors if isinstance(errors, list) else ()):
            if item := answers.text_in(error.get("id")):
                yield item, answers.text_in(error.get("message"), 500) or "refused in the report"


# --- tables ----------------------------------------------------------------------------------------------------------

TAKEN = 2
ARCHIVE_BYTES = 50_000_000
ITEM_BYTES = 1_000_000
FILES = ("categories.json", "products.json", "pages.json", "definitions.json")
COMPLETED, FAILED = "completed", "failed"
POLL_MAX_S = 300.0
POLLS = 288
"""A day of asking every five minutes."""
DOUBTED = "doubted"
"""The step of asking for a report where nobody can say whether `process` was heard."""
ASK_AGAIN = 5
"""Reports asked for in vain before a doubted `process` is called again (409 where it was heard)."""
TAKEN_BEFORE = 409
NOT_HEARD = (Reason.CONNECTION_FAILED, 429)
REFUSED_KEY = (401, 403)

UPLOADED: answers.Statuses = {
    400: answers.split(Reason.PAYLOAD_REFUSED),
    409: answers.retry(Reason.CONFLICT),
    413: answers.split(Reason.TOO_LARGE),
    422: answers.split(Reason.PAYLOAD_REFUSED),
}
"""By the status of an upload; all inferred, as nothing is published but the good case."""

PROCESSED: answers.Statuses = {
    400: answers.retry(Reason.UNEXPECTED_ANSWER),
    401: answers.suspend(),
    403: answers.suspend(),
    404: answers.retry(Reason.NOT_FOUND),
    410: answers.retry(Reason.NOT_FOUND),
}
"""By the status of `process`, where the receipt is no good any more: the products are uploaded again."""
