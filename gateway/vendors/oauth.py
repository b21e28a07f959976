"""OAuth 2 client credentials (RFC 6749, 4.4): the request for a token, and what its answer means. There is no refresh
token: a token that has run out is asked for again.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import inf
from urllib.parse import urlencode

from gateway.config.values import Secret
from gateway.errors import Reason
from gateway.vendors import answers, base


def token_request(
    url: str, form: Mapping[str, str], headers: Sequence[tuple[str, str]] = (), cost: str = "default"
) -> base.Request:
    """The request that fetches a token with `form` beside the grant's type."""
    given = (("Accept", "application/json"), ("Content-Type", "application/x-www-form-urlencoded"), *headers)
    body = urlencode({"grant_type": "client_credentials", **form})
    return base.Request("POST", url, given, body.encode(), cost)


def token_of(answer: base.Answer, secrets: Sequence[str]) -> base.Token | base.Outcome:
    """`{"access_token": ..., "expires_in": 3600, "token_type": "Bearer"}`, or what its absence means. Never raises."""
    if isinstance(answer, base.Failure):
        return base.Retry(answer.reason, answers.bounded(answer.detail, secrets))
    body = answers.object_of(answers.json_of(answer))
    text = body.get("access_token")
    if answer.status // 100 == TAKEN and isinstance(text, str) and text.isascii() and text.isprintable() and text:
        return base.Token(Secret(text), _lives_s(body.get("expires_in")))
    meaning = STATUSES.get(answer.status) or answers.COMMON.get(answer.status // 100, answers.COMMON[2])
    said = answers.words(answer, "message", "error_description", "error")
    return meaning(answers.bounded(f"{answer.status} {said}", secrets), answers.retry_after_s(answer, 0))


def _lives_s(told: object) -> float:
    """A number of seconds, whole or not, also as text."""
    if isinstance(told, Decimal) and 0 < float(told) < inf:
        return float(told)
    return float(answers.whole(told) or LIVES_S)


# --- tables ----------------------------------------------------------------------------------------------------------

TAKEN = 2
LIVES_S = 3600.0
"""How long a token is taken to live where its answer does not say."""

STATUSES: answers.Statuses = {
    400: answers.suspend(),
    401: answers.suspend(),
    403: answers.suspend(),
    404: answers.suspend(),
    429: answers.throttle(Reason.RATE_LIMITED, 1.0, up_to_s=60.0),
}
"""By the status of a token's answer: without one nothing can be sent, and no record is to blame."""
