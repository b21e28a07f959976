"""What an answer says of the quota that is left, whoever the vendor is. Pure.

Read are the IETF draft (`RateLimit: "default";r=0;t=30` with `RateLimit-Policy`), its older forms
(`RateLimit: limit=100, remaining=0, reset=30`, and `RateLimit-Remaining` with `RateLimit-Reset` in seconds), and
`X-RateLimit-Remaining` with `X-RateLimit-Reset` (a moment, in seconds or milliseconds since the epoch, or seconds from
now) or `X-RateLimit-Reset-After`, and BigCommerce's `X-Rate-Limit-Requests-Left` with `X-Rate-Limit-Time-Reset-Ms`
(milliseconds from now). What cannot be read says nothing.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from msgspec import Struct

LONGEST_S = 6 * 3600.0
EPOCH_S = 1e9
"""A number from here on is a moment, in seconds since the epoch; from a thousand times that on, in milliseconds."""
EPOCH_MS = 1e12
TEXT_CHARS = 2_000
STEMS = ("ratelimit", "x-ratelimit", "x-rate-limit")
REQUESTS_LEFT = "x-rate-limit-requests-left"
TOLD = frozenset({"ratelimit", *(f"{stem}-remaining" for stem in STEMS), REQUESTS_LEFT})
"""What stands in every answer that tells of one."""

_NUMBER = re.compile(r"\d{1,15}(\.\d{1,6})?", re.ASCII)
_STRING = r'"(?:[^"\\]|\\.)*"'
_ITEM = re.compile(rf'\s*({_STRING}|[^",;=\s]+)((?:\s*;\s*[^=;,\s]+(?:=(?:{_STRING}|[^;,"]*))?)*)\s*(?:,|$)')
_PARAMETER = re.compile(rf";\s*([^=;,\s]+)(?:=({_STRING}|[^;,\"]*))?")
_PAIR = re.compile(r"\b(remaining|reset)\s*=\s*(\d{1,15})", re.ASCII)


class Quota(Struct, frozen=True):
    """Requests that are left, in how many seconds there are more, and which header says so."""

    remaining: float
    reset_s: float
    header: str


def exhausted(told: Iterable[Quota], in_flight: int) -> Quota | None:
    """The quota that those in flight use up and that takes longest to come back; None where enough is left."""
    spent = [one for one in told if one.remaining <= in_flight and one.reset_s > 0]
    return max(spent, key=lambda one: one.reset_s, default=None)


def quotas(headers: Mapping[str, str], now_ms: int) -> Iterator[Quota]:
    """Every quota that an answer tells of."""
    if TOLD.isdisjoint(headers):
        return
    if "ratelimit" in headers:
        yield from _structured(headers["ratelimit"], headers.get("ratelimit-policy", ""))
    for stem in STEMS:
        if f"{stem}-remaining" in headers:
            yield from _plain(headers, stem, now_ms)
    left = _number(headers.get(REQUESTS_LEFT, ""))
    reset_ms = _number(headers.get("x-rate-limit-time-reset-ms", ""))
    if left is not None and reset_ms is not None:
        yield Quota(left, min(reset_ms / 1000, LONGEST_S), REQUESTS_LEFT)


def _plain(headers: Mapping[str, str], stem: str, now_ms: int) -> Iterator[Quota]:
    """A quota in headers of its own. A moment counts from the answer's own `Date`, where it has one."""
    remaining = _number(headers[f"{stem}-remaining"])
    reset_s = _number(headers.get(f"{stem}-reset-after", ""))
    if reset_s is None:
        now_s = _date_s(headers.get("date", "")) or now_ms / 1000
        reset_s = _until_s(headers.get(f"{stem}-reset", ""), now_s)
    if remaining is not None and reset_s is not None:
        yield Quota(remaining, min(reset_s, LONGEST_S), f"{stem}-remaining")


def _structured(told: str, policies: str) -> Iterator[Quota]:
    pairs = {name: float(value) for name, value in _PAIR.findall(told[:TEXT_CHARS])}
    if pairs.keys() == {"remaining", "reset"}:
        yield Quota(pairs["remaining"], min(pairs["reset"], LONGEST_S), "ratelimit")
        return
    windows = dict(_items(policies))
    for name, parameters in _items(told):
        policy = windows.get(name, {})
        remaining = _number(parameters.get("r", ""))
        reset_s = _number(parameters.get("t", policy.get("w", "")))
        counts_requests = policy.get("qu", "requests") == "requests"
        if remaining is not None and reset_s is not None and counts_requests:
            yield Quota(remaining, min(reset_s, LONGEST_S), "ratelimit")


def _items(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The items of a structured list with their parameters (RFC 9651), up to what cannot be read."""
    text, place = text[:TEXT_CHARS], 0
    while (found := _ITEM.match(text, place)) and found.end() > place:
        parameters = {name: value.strip().strip('"') for name, value in _PARAMETER.findall(found[2])}
        yield found[1].strip('"'), parameters
        place = found.end()


def _until_s(text: str, now_s: float) -> float | None:
    """Seconds from now of a reset, however it is told."""
    number = _number(text)
    if number is None:
        moment = _date_s(text)
        return None if moment is None else max(0.0, moment - now_s)
    if number < EPOCH_S:
        return number
    return max(0.0, (number if number < EPOCH_MS else number / 1000) - now_s)


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text := text.strip()) else None


def _date_s(text: str) -> float | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
