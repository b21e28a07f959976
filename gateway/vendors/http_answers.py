"""What answers to vendor `http` mean: by status, by expressions over status, headers and body, and record by record
where the API says what became of each.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.config.schema import Section
from gateway.errors import Reason
from gateway.mapping.expressions import EvaluationError, Expression, compile_expression
from gateway.vendors import answers, base
from gateway.vendors.http_places import ExpressionText


def _listed(value: Any) -> Any:
    return [str(one) for one in (value if isinstance(value, list) else [value])]


def _codes(value: list[str]) -> list[str]:
    if not value or not all(map(range_of, value)):
        raise ValueError("statuses or ranges of them: 200, 200-299")
    return value


def range_of(text: str) -> range | None:
    """The statuses of `200` or `200-299`; None for another text."""
    low, dash, high = text.partition("-")
    codes = (low, high) if dash else (low, low)
    if not all(len(code) == len("200") and code.isascii() and code.isdigit() and code[0] in "12345" for code in codes):
        return None
    return range(int(codes[0]), int(codes[1]) + 1)


Codes = Annotated[list[str], AfterValidator(_codes), BeforeValidator(_listed, json_schema_input_type=list[str | int])]
"""Statuses, and ranges of them."""


class Results(Section):
    """What became of each record, as an answer tells. Expressions over `status`, `headers` and `body`; those
    for one result over `item` too.
    """

    items: ExpressionText = Field(
        description="The list of results, in the order of the records.", examples=["body.results"]
    )
    ok: ExpressionText = Field(
        "`false`", description="Whether a result says that its record was taken.", examples=["item.written"]
    )
    reason: ExpressionText | None = Field(
        None, description="The API's words on a record that was not taken.", examples=["item.error.title"]
    )
    retry: ExpressionText | None = Field(
        None, description="Whether a record that was not taken may be taken later.", examples=["item.retryable"]
    )
    index: ExpressionText | None = Field(
        None,
        description="A record's place in the batch, from 0, where the list speaks of some alone: the rest is taken.",
        examples=["item.index"],
    )


class Meaning:
    """The configured meaning of answers, compiled. Never raises: what cannot be evaluated is an unexpected answer."""

    def __init__(self, success: Sequence[range], rules: Mapping[str, str | None], results: Results | None) -> None:
        """`rules`: the expressions success_when, retry_when and error, where they are given."""
        self._success = success
        self._rules = _compiled(rules)
        self._results = _compiled(results.model_dump()) if results else {}

    def verdict(self, batch: base.Batch, answer: base.Answer, secrets: Sequence[str]) -> base.Verdict:
        """What the answer means for each record."""
        if isinstance(answer, base.Failure):
            return base.same(answers.by_status(STATUSES, batch, answer, secrets), batch)
        try:
            return self._read(batch, answer, secrets)
        except EvaluationError as error:
            said = f"{answer.status} cannot be read as configured: {error}"
            return base.same(base.Retry(Reason.UNEXPECTED_ANSWER, answers.bounded(said, secrets)), batch)

    def _read(self, batch: base.Batch, answer: base.Response, secrets: Sequence[str]) -> base.Verdict:
        scope = scope_of(answer) if self._rules or self._results else {}
        if _holds(self._rules, "retry_when", scope):
            said, wait_s = self._told(scope, answer, secrets), answers.retry_after_s(answer, batch.sent_at_ms)
            return base.same(base.Retry(Reason.BUSY, said, wait_s), batch)
        if not any(answer.status in codes for codes in self._success):
            outcome = answers.by_status(STATUSES, batch, answer, secrets, self._words(scope, answer))
            return base.same(outcome, batch)
        if "success_when" in self._rules and not _holds(self._rules, "success_when", scope):
            outcome = base.Split(Reason.RECORD_REFUSED, self._told(scope, answer, secrets))
            return base.same(answers.refused_if_alone(outcome, batch), batch)
        if self._results:
            return self._each(batch, scope, answer, secrets)
        return base.same(_delivered(answer, secrets), batch)

    def _told(self, scope: Mapping[str, Any], answer: base.Response, secrets: Sequence[str]) -> str:
        return answers.bounded(f"{answer.status} {self._words(scope, answer)}", secrets)

    def _words(self, scope: Mapping[str, Any], answer: base.Response) -> str:
        """The API's words, where `error` or the usual names find them; else the whole body."""
        value = self._rules["error"](scope) if "error" in self._rules else None
        return answers.text_in(value, answers.DETAIL_CHARS) or answers.words(answer, *USUAL_NAMES)

    # --- record by record --------------------------------------------------------------------------------------------

    def _each(
        self, batch: base.Batch, scope: Mapping[str, Any], answer: base.Response, secrets: Sequence[str]
    ) -> base.Verdict:
        found = self._places(self._results["items"](scope), scope, len(batch.records))
        if found is None:
            return base.same(base.Retry(Reason.UNEXPECTED_ANSWER, self._told(scope, answer, secrets)), batch)
        delivered = _delivered(answer, secrets)
        outcomes: list[base.Outcome] = [delivered] * len(batch.records)
        for place, item in found:
            outcomes[place] = self._outcome({**scope, "item": item}, delivered, secrets)
        return base.Verdict(tuple(outcomes))

    def _places(self, items: Any, scope: Mapping[str, Any], count: int) -> list[tuple[int, Any]] | None:
        """Each result with the place of its record; None where that cannot be told."""
        if "index" not in self._results:
            return list(enumerate(items)) if isinstance(items, list) and len(items) == count else None
        if not isinstance(items, list):
            return [] if items is None else None
        found = [(answers.whole(self._results["index"]({**scope, "item": item})), item) for item in items]
        known = [(place, item) for place, item in found if place is not None and place < count]
        return known if len(known) == len(found) else None

    def _outcome(self, scope: Mapping[str, Any], delivered: base.Delivered, secrets: Sequence[str]) -> base.Outcome:
        if _holds(self._results, "ok", scope):
            return delivered
        value = self._results["reason"](scope) if "reason" in self._results else None
        said = answers.bounded(answers.text_in(value, answers.DETAIL_CHARS) or "not taken, and not told why", secrets)
        if _holds(self._results, "retry", scope):
            return base.Retry(Reason.BUSY, said)
        return base.Refused(Reason.RECORD_REFUSED, said)


def _delivered(answer: base.Response, secrets: Sequence[str]) -> base.Delivered:
    receipt = answer.headers.get("x-request-id", "")[: answers.RECEIPT_CHARS]
    return base.Delivered(answers.bounded(receipt, secrets)) if receipt else DELIVERED


def _compiled(rules: Mapping[str, str | None]) -> dict[str, Expression]:
    return {name: compile_expression(text) for name, text in rules.items() if text is not None}


def _holds(rules: Mapping[str, Expression], name: str, scope: Mapping[str, Any]) -> bool:
    return name in rules and rules[name].true(scope)


def scope_of(answer: base.Response) -> dict[str, Any]:
    """What expressions read: `body` is the JSON document, or the text where it is none."""
    body = answers.json_of(answer)
    return {
        "status": answer.status,
        "headers": dict(answer.headers),
        "body": answers.text_of(answer) if body is None else body,
    }


# --- tables ----------------------------------------------------------------------------------------------------------

DELIVERED = base.Delivered()

USUAL_NAMES = ("message", "detail", "error", "title")
"""Under which APIs say what is wrong, unless `error` tells where."""

STATUSES: answers.Statuses = {
    4: answers.split(Reason.PAYLOAD_REFUSED),
    408: answers.retry(Reason.TIMEOUT),
    409: answers.split(Reason.CONFLICT),
    413: answers.split(Reason.TOO_LARGE),
    429: answers.throttle(Reason.RATE_LIMITED, 1.0, up_to_s=60.0),
}
"""What `success` does not name. All else is read as HTTP means it (answers.COMMON). What refuses a batch is halved: one
of its records is to blame."""
