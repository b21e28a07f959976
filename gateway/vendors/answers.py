"""What answers have in common whatever the vendor: the plain meaning of an HTTP status, `Retry-After`, the vendor's
words for a person to read, JSON that may be anything. Pure, and nothing here raises.

A vendor's table of statuses maps a status (404) or a class (4: every other 4xx) to a meaning; what it leaves out is
read from `COMMON`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from gateway import document
from gateway.config.values import masked
from gateway.errors import Reason
from gateway.vendors.base import (
    Answer,
    Batch,
    Failure,
    Outcome,
    Refused,
    Response,
    Retry,
    Split,
    Suspended,
    Throttled,
)

DETAIL_CHARS = 500
RECEIPT_CHARS = 200
WAIT_MIN_S = 0.1
"""`Retry-After: 0` is no leave to hammer."""
WAIT_MAX_S = 6 * 3600.0
"""No vendor can stop us for longer than this in one answer."""

_ORDINARY = 10**18
_BLANKS = 8
"""How much of a text is looked at for each sign of it that is shown: the rest may be blank."""
_SECONDS = re.compile(r"\d{1,12}(\.\d{1,6})?", re.ASCII)
_INTEGER = re.compile(r"\d{1,15}", re.ASCII)
_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")

Meaning = Callable[[str, float | None], Outcome]
"""Makes an outcome of the vendor's words and the wait that it asks for (seconds)."""

Statuses = Mapping[int, Meaning]
"""Meanings by status, or by its class (1 to 5)."""


# --- meanings, as tables name them -----------------------------------------------------------------------------------


def refuse(reason: Reason) -> Meaning:
    """The record will never be taken as it is."""
    return lambda detail, _after_s: Refused(reason, detail)


def retry(reason: Reason) -> Meaning:
    """The record may be taken later."""
    return lambda detail, after_s: Retry(reason, detail, after_s)


def split(reason: Reason) -> Meaning:
    """One of the records is to blame, and the vendor does not say which."""
    return lambda detail, _after_s: Split(reason, detail)


def suspend(reason: Reason = Reason.KEY_REFUSED) -> Meaning:
    """The key is refused."""
    return lambda detail, _after_s: Suspended(reason, detail)


def throttle(reason: Reason, for_s: float, *, up_to_s: float = 0.0, scope: str = "account") -> Meaning:
    """Leave the account alone: for as long as the vendor says, else for `for_s`, doubling up to `up_to_s`."""

    def meaning(detail: str, after_s: float | None) -> Outcome:
        if after_s is None:
            return Throttled(reason, for_s, scope, detail, up_to_s)
        return Throttled(reason, max(after_s, WAIT_MIN_S), scope, detail)

    return meaning


COMMON: Statuses = {
    1: retry(Reason.UNEXPECTED_ANSWER),
    2: retry(Reason.UNEXPECTED_ANSWER),
    3: retry(Reason.UNEXPECTED_ANSWER),
    4: refuse(Reason.PAYLOAD_REFUSED),
    5: retry(Reason.SERVER_ERROR),
    401: suspend(),
    403: suspend(),
    404: refuse(Reason.NOT_FOUND),
    407: retry(Reason.CONNECTION_FAILED),
    408: retry(Reason.TIMEOUT),
    409: refuse(Reason.CONFLICT),
    410: refuse(Reason.NOT_FOUND),
    413: refuse(Reason.TOO_LARGE),
    421: retry(Reason.CONNECTION_FAILED),
    423: retry(Reason.BUSY),
    425: retry(Reason.BUSY),
    429: throttle(Reason.RATE_LIMITED, 1.0, up_to_s=60.0),
    504: retry(Reason.TIMEOUT),
}
"""What a status means where the vendor does not say: RFC 9110, RFC 4918 (423), RFC 6585 (429), RFC 8470 (425). A
redirect is not followed, and a 2xx that the vendor's file does not know is no receipt: both are tried again. 407 and
421 are between here and the vendor, not the record's fault."""


def by_status(
    statuses: Statuses, batch: Batch, answer: Answer, secrets: Iterable[str] = (), said: str | None = None
) -> Outcome:
    """The outcome of an answer by its status alone. A batch of one is not split but refused.

    `said`: the vendor's words where its file has found better ones than the start of the body.
    """
    if isinstance(answer, Failure):
        return Retry(answer.reason, bounded(answer.detail, secrets))
    status = answer.status
    meaning = next(
        (table[key] for key in (status, status // 100) for table in (statuses, COMMON) if key in table), COMMON[2]
    )
    text = text_of(answer) if said is None else said
    outcome = meaning(bounded(f"{status} {text}", secrets), retry_after_s(answer, batch.sent_at_ms))
    return refused_if_alone(outcome, batch)


def refused_if_alone(outcome: Outcome, batch: Batch) -> Outcome:
    """A batch of one cannot be halved: its record is the one to blame."""
    if isinstance(outcome, Split) and len(batch.records) == 1:
        return Refused(outcome.reason, outcome.detail)
    return outcome


# --- Retry-After -----------------------------------------------------------------------------------------------------


def retry_after_s(response: Response, sent_at_ms: int) -> float | None:
    """Seconds that the vendor asks us to wait (RFC 9110, 10.2.3), between 0 and 6 hours; None where it says nothing
    that can be read. A date counts from the answer's own `Date`, so that a wrong clock here does no harm, else from
    `sent_at_ms` (0: not known).
    """
    text = response.headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), WAIT_MAX_S)
    until = _date(text)
    now = _date(response.headers.get("date", ""))
    if now is None and sent_at_ms:
        now = datetime.fromtimestamp(sent_at_ms / 1000, UTC)
    if until is None or now is None:
        return None
    return min(max((until - now).total_seconds(), 0.0), WAIT_MAX_S)


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


# --- the vendor's words ----------------------------------------------------------------------------------------------


def text_of(response: Response) -> str:
    """The body as text, whatever it is."""
    return response.body.decode("utf-8", "replace")


def words(response: Response, *names: str) -> str:
    """The first text that the body, a JSON object, has under one of these names; else the whole body."""
    found = object_of(json_of(response))
    texts = (found[name] for name in names if isinstance(found.get(name), str) and found[name])
    return next(texts, None) or text_of(response)


def bounded(text: str, secrets: Iterable[str] = (), most: int = DETAIL_CHARS) -> str:
    """A text for a person: secrets masked, on one line, at most `most` characters."""
    line = _BLANK.sub(" ", masked(text, secrets)[: most * _BLANKS]).strip()
    return line if len(line) <= most else f"{line[: most - 1]}…"


# --- JSON that may be anything ---------------------------------------------------------------------------------------


def json_of(response: Response) -> Any:
    """The body's document, or None where it is none."""
    try:
        return document.parse(response.body)
    except document.Unreadable:
        return None


def object_of(value: Any) -> dict[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def whole(value: Any) -> int | None:
    """A whole number of zero or more, also as text (`"3"`, a header); None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return int(value) if isinstance(value, str) and _INTEGER.fullmatch(value.strip()) else None


def text_in(value: Any, most: int = RECEIPT_CHARS) -> str:
    """A text, or a whole number of ordinary size, as text of at most `most` characters; empty for anything else."""
    if isinstance(value, str):
        return value[:most]
    number = whole(value)
    return "" if number is None or number > _ORDINARY else str(number)
