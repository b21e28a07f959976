"""What an answer means for its account beyond the records of its batch: whether it may be called again, and from when;
what is news to those who watch; what went wrong lately; what of it outlives the process. Pure.
"""

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from gateway.deliver.gate import PROBE_EVERY_S, Gate
from gateway.deliver.queue import Now
from gateway.deliver.quota import exhausted, quotas
from gateway.errors import Reason
from gateway.vendors.base import (
    Answer,
    Batch,
    Delivered,
    Outcome,
    Response,
    Retry,
    Superseded,
    Suspended,
    Throttled,
    Verdict,
)

QUOTA_NEWS_S = 5.0
"""A shorter wait for a vendor's quota is the rhythm of its window, and no news."""
DETAIL_CHARS = 120


class News(Struct, frozen=True):
    """What a finished batch means beyond its records: the account's standing changed. `what` is the log event."""

    what: str
    reason: str = ""
    detail: str = ""
    for_s: float = 0.0


class Trouble(Struct, frozen=True):
    """A batch that did not go through, or not all of it: when (whole seconds since the epoch), where to, and why."""

    at_s: int
    destination: str
    reason: str
    detail: str


class _Note(Struct, frozen=True):
    """An account that is left alone: why. Suspended: under which configuration, and when it is to be probed (None: it
    is not). Told to rest: until when (0: it was not).
    """

    reason: Reason
    detail: str
    config: str
    probe_at_ms: int | None = None
    rests_until_ms: int = 0


def note_of(gate: Gate, config: str, now: Now) -> str:
    """What whoever serves the account next is to know of it, under the configuration with this digest."""
    rests_s = gate.rests_until_s() - now.s
    if gate.why is None or not (gate.suspended() or rests_s > 0):
        return ""
    probe_at_ms = now.ms + int((gate.opens_s(now.s) - now.s) * 1000) if gate.suspended() else None
    rests_until_ms = now.ms + int(rests_s * 1000) if rests_s > 0 else 0
    return msgspec.json.encode(
        _Note(gate.why, gate.detail[:DETAIL_CHARS], config, probe_at_ms, rests_until_ms)
    ).decode()


def recall(gate: Gate, note: str, config: str, now: Now) -> None:
    """What was noted of an account: it rests as long as its vendor asked. It is still suspended, and probed when it was
    to be; with another configuration it is probed at once.
    """
    try:
        told = msgspec.json.decode(note, type=_Note)
    except msgspec.MsgspecError:  # nothing was noted, or another version has
        return
    if told.rests_until_ms > now.ms:
        rest = Throttled(told.reason, (told.rests_until_ms - now.ms) / 1000, detail=told.detail)
        gate.throttle(rest, ("", ""), now.s)
    if told.probe_at_ms is None:
        return
    left_s = (told.probe_at_ms - now.ms) / 1000 if told.config == config else 0.0
    gate.suspend(Suspended(told.reason, told.detail), now.s, min(max(left_s, 0.0), PROBE_EVERY_S))


def learn(gate: Gate, batch: Batch, answer: Answer, verdict: Verdict, in_flight: int, now: Now) -> tuple[News, ...]:
    """The gate learns from an answer; what of it is news. `in_flight`: the account's other requests."""
    return (*_verdict(gate, batch, verdict, now), *_quota_left(gate, batch, answer, in_flight, now))


def trouble(batch: Batch, verdict: Verdict, now: Now) -> Iterator[Trouble]:
    """What is to be remembered of a batch that did not go through."""
    wrong = next(
        (one for one in verdict.outcomes if not (isinstance(one, Delivered | Superseded) or _is_no_wait(one))), None
    )
    if wrong is not None:
        yield Trouble(now.ms // 1000, batch.destination, str(wrong.reason), wrong.detail[:DETAIL_CHARS])


def _is_no_wait(outcome: Outcome) -> bool:
    """Whether it only takes its turn once more."""
    return isinstance(outcome, Throttled) and outcome.for_s == 0


def _verdict(gate: Gate, batch: Batch, verdict: Verdict, now: Now) -> Iterator[News]:
    """What the verdict means for the gate."""
    outcomes = verdict.outcomes
    for outcome in {*outcomes, *([verdict.ease] if verdict.ease else [])}:
        if isinstance(outcome, Throttled):
            for_s = gate.throttle(outcome, (batch.destination, batch.channel), now.s)
            if for_s:
                yield News("account.throttled", outcome.reason, outcome.detail, for_s)
        elif isinstance(outcome, Suspended) and gate.suspend(outcome, now.s):
            yield News("account.suspended", outcome.reason, outcome.detail)
    first = outcomes[0]
    if all(isinstance(one, Retry) for one in outcomes) and isinstance(first, Retry):
        if gate.failed(first.reason, first.detail, now.s):
            for_s = gate.opens_s(now.s) - now.s
            yield News("breaker.opened", first.reason, first.detail, for_s)
    elif not any(isinstance(one, Suspended | Throttled) for one in outcomes):
        suspended = gate.suspended()
        if gate.succeeded(now.s):
            yield News("account.resumed" if suspended else "breaker.closed")


def _quota_left(gate: Gate, batch: Batch, answer: Answer, in_flight: int, now: Now) -> Iterator[News]:
    """An answer that says how little is left until a reset: no more than that leaves, however well it went."""
    if not isinstance(answer, Response):
        return
    told = [one for one in quotas(answer.headers, now.ms) if one.reset_s > 0]
    if told:
        least = min(told, key=lambda one: one.remaining)
        gate.quota(least.remaining - in_flight, now.s + least.reset_s)
    spent = exhausted(told, in_flight)
    if spent is None:
        return
    detail = f"{spent.header}: {spent.remaining:g}"
    pause = Throttled(Reason.RATE_LIMITED, spent.reset_s, detail=detail)
    for_s = gate.throttle(pause, (batch.destination, batch.channel), now.s)
    if for_s >= QUOTA_NEWS_S:
        yield News("account.throttled", pause.reason, detail, for_s)
