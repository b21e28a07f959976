"""The answers, made before they are needed.

An answer is the pair of ASGI messages that sends it. Refusals are `application/problem+json` (RFC 9457) with a `cause`
from the fixed list and say nothing secret; 503 always carries `Retry-After`.
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from gateway.errors import STATUS_OF, Cause, Rejected

Message = dict[str, Any]
Answer = tuple[Message, Message]
"""`http.response.start` and `http.response.body`. Never changed after it is made: many requests share it."""

RETRY_AFTER_S = {Cause.OVERLOADED: 1, Cause.JOURNAL_UNAVAILABLE: 5, Cause.KEY_UNAVAILABLE: 5}
"""When to come back, in seconds: load passes quickly, a full disk or a lost database does not."""

DETAIL_OF: dict[Cause, str] = {
    Cause.UNKNOWN_SOURCE: "no such source",
    Cause.METHOD_NOT_ALLOWED: "this source takes other methods: see Allow",
    Cause.IP_NOT_ALLOWED: "this address may not send to this source",
    Cause.HEADER_MISSING: "a required header is missing",
    Cause.HEADER_NOT_ALLOWED: "a required header has a value that is not allowed",
    Cause.API_KEY_MISSING: "an API key is required: ?api-key= or X-Api-Key",
    Cause.API_KEY_WRONG: "the API key is wrong",
    Cause.CREDENTIALS_MISSING: "credentials are required: Authorization",
    Cause.CREDENTIALS_WRONG: "the credentials are wrong",
    Cause.BODY_TOO_LARGE: "the body is larger than this source takes",
    Cause.BODY_STALLED: "the body stopped coming",
    Cause.ENCODING_UNSUPPORTED: "the content encoding is not one of gzip, deflate, identity",
    Cause.CONTENT_TYPE_UNSUPPORTED: "the content type is not one that this source takes",
    Cause.SIGNATURE_MISSING: "the request is not signed",
    Cause.SIGNATURE_MALFORMED: "the signature cannot be read",
    Cause.SIGNATURE_WRONG: "the signature does not fit the body and any of the secrets",
    Cause.SIGNATURE_EXPIRED: "the signature's time is too far off",
    Cause.BODY_UNREADABLE: "the body is not what this source promises",
    Cause.TOPIC_MISSING: "the request names no topic",
    Cause.TOPIC_INVALID: "the topic is no text of 1 to 255 printable characters",
    Cause.NOT_AN_EVENT: "taken, but no event",
    Cause.KEY_UNAVAILABLE: "the key that the signature needs cannot be had now",
    Cause.OVERLOADED: "too many requests wait for a commit",
    Cause.JOURNAL_UNAVAILABLE: "the event cannot be stored now",
}
"""What each cause tells the sender, where a refusal says nothing more precise."""

_JSON = "application/json"


def answer(status: int, body: bytes, content_type: str, headers: Sequence[tuple[str, str]] = ()) -> Answer:
    """An answer with this body."""
    pairs = [(b"content-length", b"%d" % len(body))]
    if body:
        pairs.append((b"content-type", content_type.encode("latin-1")))
    pairs += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    start = {"type": "http.response.start", "status": status, "headers": pairs}
    return start, {"type": "http.response.body", "body": body}


@lru_cache(maxsize=512)
def problem(cause: Cause, detail: str = "", headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """The problem+json answer of a refusal."""
    status = HTTPStatus(STATUS_OF[cause])
    if (wait_s := RETRY_AFTER_S.get(cause)) is not None:
        headers = (*headers, ("retry-after", str(wait_s)))
    body = {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "cause": str(cause),
        "detail": detail or DETAIL_OF[cause],
    }
    return answer(int(status), json.dumps(body).encode(), "application/problem+json", headers)


def refusal(rejected: Rejected) -> Answer:
    """The answer to a refused request."""
    return problem(rejected.cause, rejected.detail, rejected.headers)


_ACCEPTED_BODY = b'{"id": "%b", "duplicate": %b}'
_ID_LENGTH = 24
_STARTS = {
    duplicate: answer(200, _ACCEPTED_BODY % (b"x" * _ID_LENGTH, word), _JSON)[0]
    for duplicate, word in ((False, b"false"), (True, b"true"))
}


def accepted(event: str, *, duplicate: bool) -> Answer:
    """`200 {"id": "...", "duplicate": false}`."""
    body = _ACCEPTED_BODY % (event.encode(), b"true" if duplicate else b"false")
    if len(event) != _ID_LENGTH:
        return answer(200, body, _JSON)
    return _STARTS[duplicate], {"type": "http.response.body", "body": body}
