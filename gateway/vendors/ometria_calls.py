"""Ometria's calls beside push: a request to forget a person, a transactional e-mail. One thing a request, each call a
channel of its own with a limit of its own.

A mapping makes an e-mail with `@type: transactional_email`; a customer's redaction makes a deletion request where the
destination says `gdpr: true`.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from gateway.errors import Reason
from gateway.model import NormalEvent
from gateway.vendors import answers, base, checks

AMBIGUOUS = answers.refuse(Reason.AMBIGUOUS)
"""Perhaps it was done, and doing it twice is worse than not at all."""


class Call(Struct, frozen=True):
    """One call: its path, its published limit, what its body needs, what answers mean; `once`: never blindly again."""

    path: str
    limit: base.Limit
    required: checks.Required
    statuses: answers.Statuses
    once: bool = False


CALLS: Mapping[str, Call] = {
    "gdpr": Call(
        "/data-deletion-requests",
        base.Limit(6, 60.0, classes=frozenset({"gdpr"})),
        (("identities",),),
        {429: answers.throttle(Reason.RATE_LIMITED, 10.0, up_to_s=60.0, scope="channel")},
    ),
    "transactional_email": Call(
        "/transactional-email/send",
        base.Limit(10, 1.0, classes=frozenset({"transactional_email"})),
        (("to",), ("from",), ("subject",), ("template_id", "content")),
        {
            5: AMBIGUOUS,
            408: AMBIGUOUS,
            504: AMBIGUOUS,
            429: answers.throttle(Reason.RATE_LIMITED, 1.0, up_to_s=60.0, scope="channel"),
            503: answers.retry(Reason.SERVER_ERROR),
        },
        once=True,
    ),
}
"""By channel. Limits: Ometria API introduction (6 deletion requests a minute, 10 e-mails a second)."""


def draft(channel: str, key: str, fields: Mapping[str, Any]) -> base.Draft:
    """The draft of a call. Raises Refusal where its body lacks something."""
    data = {name: value for name, value in fields.items() if not name.startswith("@")}
    checks.refuse_if_any(channel, checks.missing(data, CALLS[channel].required))
    return base.Draft(channel, key, data, "fact", channel, alone=True)


def deletion(event: NormalEvent) -> base.Draft:
    """The request to forget the customer of a redaction. The body is inferred from the answer's documentation."""
    email = answers.object_of(event.data).get("email")
    checks.refuse_if_any("gdpr", checks.missing({"email": email}, (("email",),)))
    fields = {"action": "anonymise", "identities": [{"email": email}], "comment": f"{event.source} {event.id}"}
    return draft("gdpr", event.subject or event.id, fields)


def request(base_url: str, headers: tuple[tuple[str, str], ...], batch: base.Batch) -> base.Request:
    """The request of a call."""
    call = CALLS[batch.channel]
    intent = "once" if call.once else ""
    return base.Request("POST", f"{base_url}{call.path}", headers, batch.records[0].encoded, batch.channel, intent)


def errors_of(answer: base.Answer, secrets: tuple[str, ...]) -> list[str] | base.Failure:
    """The faults that `/push/_errors` lists, as `path: message`."""
    if isinstance(answer, base.Failure):
        return answer
    listed = answers.json_of(answer)
    if answer.status // 100 != TAKEN or not isinstance(listed, list):
        said = f"{answer.status} {answers.words(answer, 'message', 'error')}"
        return base.Failure(Reason.UNEXPECTED_ANSWER, answers.bounded(said, secrets, ERROR_CHARS))
    faults = (answers.object_of(one) for one in listed[:ERRORS])
    words = ([answers.text_in(one.get(name)) for name in ("error_path", "error_message")] for one in faults)
    return [answers.bounded(": ".join(filter(None, one)) or "unnamed", secrets, ERROR_CHARS) for one in words]


def judge(batch: base.Batch, answer: base.Answer, secrets: tuple[str, ...]) -> base.Verdict:
    """What the answer means for the one record that travelled."""
    call = CALLS[batch.channel]
    if isinstance(answer, base.Response) and answer.status // 100 == TAKEN:
        receipt = answers.text_in(answers.object_of(answers.json_of(answer)).get("id"))
        return base.alone(base.Delivered(answers.bounded(receipt, secrets)), batch)
    if call.once and isinstance(answer, base.Failure) and answer.reason is Reason.TIMEOUT:
        return base.alone(base.Refused(Reason.AMBIGUOUS, answers.bounded(answer.detail, secrets)), batch)
    return base.alone(answers.by_status(call.statuses, batch, answer, secrets), batch)


TAKEN = 2
ERRORS = 100
ERROR_CHARS = 120
