"""What an answer means for its account beyond the records of its batch: whether it may be called again, and from when;
what is news to those who watch; what went wrong lately; what of it outlives the process. Pure.
"""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from math import floor

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.deliver.gate import PROBE_EVERY_S, Gate
from gateway.deliver.pace import Before, Pace
from gateway.deliver.queue import Now
from gateway.deliver.quota import exhausted, quotas
from gateway.errors import Reason
from gateway.vendors.base import (
    Answer,
    Batch,
    Delivered,
    Limit,
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
WELL = (Delivered, Superseded)
STOPS = (Suspended, Throttled)
PLACES_MAX = 50
"""Windows of which is told what left in them: a note is small."""


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


class _Spent(Struct, frozen=True):
    """What left in one window: the limit's index, the channel or key, (milliseconds ago, units) of each sending."""

    limit: int
    place: str
    sendings: tuple[tuple[int, float], ...]


class _Note(Struct, frozen=True, omit_defaults=True):
    """An account that is left alone: why. Suspended: under which configuration, and when it is to be probed (None: it
    is not). Told to rest: until when (0: it was not). An account that is let go: what left, under which limits; and for
    how long that has been known, where what left before may still count.
    """

    reason: Reason | None = None
    detail: str = ""
    config: str = ""
    probe_at_ms: int | None = None
    rests_until_ms: int = 0
    limits: str = ""
    spent: tuple[_Spent, ...] = ()
    known_for_ms: int | None = None


def note_of(gate: Gate, config: str, now: Now, pace: Pace | None = None) -> str:
    """What whoever serves the account next is to know of it, under the configuration with this digest. `pace`: that of
    an account for which nothing is on its way any more.
    """
    left = _left(pace, now.s) if pace is not None else _Note()
    rests_s = gate.rests_until_s() - now.s
    if gate.why is None or not (gate.suspended() or rests_s > 0):
        return _written(left) if left.limits else ""
    probe_at_ms = now.ms + int((gate.opens_s(now.s) - now.s) * 1000) if gate.suspended() else None
    rests_until_ms = now.ms + int(rests_s * 1000) if rests_s > 0 else 0
    detail = gate.detail[:DETAIL_CHARS]
    return _written(
        replace(
            left,
            reason=gate.why,
            detail=detail,
            config=config,
            probe_at_ms=probe_at_ms,
            rests_until_ms=rests_until_ms,
        )
    )


def _written(note: _Note) -> str:
    return msgspec.json.encode(note).decode()


def _left(pace: Pace, now_s: float) -> _Note:
    """What left under which limits; nothing where that is too much to be told."""
    before = pace.sent(now_s)
    if len(before.sendings) > PLACES_MAX:
        return _Note()
    told = {
        place: tuple((_ago_ms(at_s, now_s), units) for at_s, units in sendings)
        for place, sendings in before.sendings.items()
    }
    return _Note(
        limits=_digest(pace.limits),
        spent=tuple(_Spent(limit, name, sent) for (limit, name), sent in told.items() if sent),
        known_for_ms=None if before.spent_at_s is None else _ago_ms(before.spent_at_s, now_s),
    )


def _ago_ms(at_s: float, now_s: float) -> int:
    return max(floor((now_s - at_s) * 1000), 0)


def _digest(limits: Sequence[Limit]) -> str:
    """What tells limits apart."""
    return blake2b(msgspec.json.encode(limits, order="deterministic"), digest_size=8).hexdigest()


def pace_before(note: str, limits: Sequence[Limit], now_s: float) -> Before | None:
    """What left of an account that was let go, as its note tells: as if that were now. None: it does not tell."""
    told = _read(note)
    if told is None or told.limits != _digest(limits):
        return None
    sendings = {
        (one.limit, one.place): [(now_s - ago_ms / 1000, units) for ago_ms, units in one.sendings] for one in told.spent
    }
    return Before(sendings, None if told.known_for_ms is None else now_s - told.known_for_ms / 1000)


def without_pace(note: str) -> str:
    """What is left of the note of one who did not let go: more may have left since."""
    told = _read(note)
    return note if told is None or not told.limits else _written(replace(told, limits="", spent=(), known_for_ms=None))


def _read(note: str) -> _Note | None:
    try:
        return msgspec.json.decode(note, type=_Note)
    except msgspec.MsgspecError:  # nothing was noted, or another version has
        return None


def recall(gate: Gate, note: str, config: str, now: Now) -> None:
    """What was noted of an account: it rests as long as its vendor asked. It is still suspended, and probed when it was
    to be; with another configuration it is probed at once.
    """
    told = _read(note)
    if told is None or told.reason is None:
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


def trouble(batch: Batch, outcomes: Iterable[Outcome], now: Now) -> Iterator[Trouble]:
    """What is to be remembered of a batch that did not go through."""
    wrong = next((one for one in outcomes if not (isinstance(one, WELL) or _is_no_wait(one))), None)
    if wrong is not None:
        yield Trouble(now.ms // 1000, batch.destination, str(wrong.reason), wrong.detail[:DETAIL_CHARS])


def _is_no_wait(outcome: Outcome) -> bool:
    """Whether it only takes its turn once more."""
    return isinstance(outcome, Throttled) and outcome.for_s == 0


def _verdict(gate: Gate, batch: Batch, verdict: Verdict, now: Now) -> Iterator[News]:
    """What the verdict means for the gate."""
    outcomes = verdict.different()
    kinds = set(map(type, outcomes))
    stopped = not kinds.isdisjoint(STOPS)
    told = (*outcomes, verdict.ease) if stopped or verdict.ease else ()
    for outcome in {one for one in told if isinstance(one, STOPS)}:
        if isinstance(outcome, Throttled):
            for_s = gate.throttle(outcome, (batch.destination, batch.channel), now.s)
            if for_s:
                yield News("account.throttled", outcome.reason, outcome.detail, for_s)
        elif gate.suspend(outcome, now.s):
            yield News("account.suspended", outcome.reason, outcome.detail)
    first = outcomes[0]
    if isinstance(first, Retry) and len(kinds) == 1:
        if gate.failed(first.reason, first.detail, now.s):
            for_s = gate.opens_s(now.s) - now.s
            yield News("breaker.opened", first.reason, first.detail, for_s)
    elif not stopped:
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
