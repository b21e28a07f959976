"""What an outcome makes of a record: delivered, a parked row with its next due time, or a dead letter. Pure."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from gateway.config.schema import RetrySetting
from gateway.config.values import masked_bytes
from gateway.deliver.plan import Death
from gateway.deliver.stored import pack
from gateway.errors import Reason
from gateway.model import Attempt, Offer, ParkedRow, State
from gateway.vendors.base import Answer, Derived, Record, Refused, Response, Retry, Split

ANSWER_BYTES = 4096
"""What is kept of a vendor's answer to something that was not delivered."""
DETAIL_CHARS = 500
DERIVED_WINDOW_MS = 24 * 3600 * 1000
"""How long it is known that an event was derived: far longer than from a send to its settle."""


class Tried(Struct, frozen=True):
    """One request and what came of it: when, how long it took, what the vendor said, and the batch's jitter (0..1).
    `batch`: its key, where it failed as a whole and the vendor would know it again.
    """

    at_ms: int
    latency_ms: int
    answer: Answer
    jitter: float
    stopped_ms: int = 0
    batch: str = ""


def backoff_ms(policy: RetrySetting, attempt: int, jitter: float) -> int:
    """The wait before the next attempt after `attempt` failed ones: exponential, with full jitter."""
    exponent = min(attempt - 1, 64)
    return int(min(policy.first * policy.factor**exponent, policy.max) * 1000 * jitter)


def row_after(
    record: Record, outcome: Retry | Refused | Split, tried: Tried, policy: RetrySetting, before: ParkedRow | None
) -> ParkedRow:
    """The row of a record that was not delivered. `before` is its row when it was parked already.

    A retry becomes dead when its policy's `give_up_after` is over since its first own failure; time in which
    the account stood still does not count.
    """
    attempt = (before.attempt if before else 0) + 1
    first_failed_at_ms = tried.at_ms
    if before is not None and before.attempt > 0:
        first_failed_at_ms = min(before.first_failed_at_ms + tried.stopped_ms, tried.at_ms)
    wait_ms = 0
    state, reason = State.DEAD, outcome.reason
    if isinstance(outcome, Retry):
        after_ms = int(outcome.after_s * 1000) if outcome.after_s is not None else 0
        wait_ms = max(after_ms, backoff_ms(policy, attempt, tried.jitter))
        given_up = tried.at_ms + wait_ms - first_failed_at_ms > policy.give_up_after * 1000
        state = State.DEAD if given_up else State.PARKED
        reason = Reason.GAVE_UP if given_up else outcome.reason
    anew = isinstance(outcome, Retry) and outcome.anew
    detail = outcome.detail if reason == outcome.reason else f"{outcome.reason}: {outcome.detail}"
    return ParkedRow(
        seq=record.seq,
        part=record.part,
        channel=record.draft.channel,
        key=record.draft.key_hash,
        state=state,
        attempt=attempt,
        due_at_ms=tried.at_ms + wait_ms,
        first_failed_at_ms=first_failed_at_ms,
        at_ms=tried.at_ms,
        reason=reason,
        detail=detail[:DETAIL_CHARS],
        answer=answer_of(tried.answer),
        mapping=record.mapping,
        generation=record.generation,
        record=pack(replace(record, batch=tried.batch, anew_ms=tried.at_ms if anew else record.anew_ms)),
        delivered_parts=before.delivered_parts if before else (),
    )


def row_waiting(record: Record, at_ms: int, due_at_ms: int, reason: Reason) -> ParkedRow:
    """The row of a record that has not failed itself: it waits behind another of its key, or for its channel."""
    return ParkedRow(
        seq=record.seq,
        part=record.part,
        channel=record.draft.channel,
        key=record.draft.key_hash,
        state=State.PARKED,
        attempt=record.attempt,
        due_at_ms=due_at_ms,
        first_failed_at_ms=0,
        at_ms=at_ms,
        reason=reason,
        mapping=record.mapping,
        generation=record.generation,
        record=pack(record),
    )


def row_of_death(seq: int, death: Death, at_ms: int, generation: int = 0) -> ParkedRow:
    """The dead letter of a part that could not even be sent."""
    return ParkedRow(
        seq=seq,
        part=death.part,
        channel="",
        key=b"",
        state=State.DEAD,
        attempt=0,
        due_at_ms=0,
        first_failed_at_ms=at_ms,
        at_ms=at_ms,
        reason=death.reason,
        detail=death.detail[:DETAIL_CHARS],
        mapping=death.mapping,
        generation=generation,
    )


def attempt_of(record: Record, state: str, tried: Tried, reason: str = "", receipt: str = "") -> Attempt:
    """What is written down of one attempt at one record."""
    status = tried.answer.status if isinstance(tried.answer, Response) else 0
    answer = b"" if state == State.DELIVERED else answer_of(tried.answer)
    return Attempt(record.seq, record.part, state, status, tried.latency_ms, reason, receipt[:200], answer)


def deliveries_of(records: Sequence[Record], tried: Tried, receipt: str) -> list[Attempt]:
    """`attempt_of` for records that were delivered together, of each of which the vendor said the same."""
    if not records:
        return []
    first = attempt_of(records[0], State.DELIVERED, tried, receipt=receipt)
    status, latency_ms, told = first.status, first.latency_ms, first.receipt
    return [Attempt(record.seq, record.part, State.DELIVERED, status, latency_ms, "", told) for record in records]


def offer_of(record: Record, derived: Derived, revision: int, at_ms: int) -> Offer:
    """The event that derives from a record's. Its identity is the record's own, so that it derives once whatever
    happens between the send and the settle.
    """
    return Offer(
        source=record.source,
        topic=derived.topic,
        received_at_ms=at_ms,
        revision=revision,
        method="GET",
        query="",
        headers=derived.headers,
        body=derived.body,
        identity=bytes.fromhex(record.idempotency_key),
        identity_window_ms=DERIVED_WINDOW_MS,
        derived_from=record.event_id.partition(".")[0],
        traceparent=record.traceparent,
    )


def answer_of(answer: Answer) -> bytes:
    """What is kept of an answer: its body, or why there was none."""
    if isinstance(answer, Response):
        return answer.body[:ANSWER_BYTES]
    return answer.detail.encode()[:ANSWER_BYTES]


def masked(answer: Answer, secrets: Sequence[str]) -> Answer:
    """The answer as it may be kept: without the credentials that a vendor may repeat."""
    if not isinstance(answer, Response):
        return answer
    body = masked_bytes(answer.body[: 2 * ANSWER_BYTES], secrets)
    return Response(answer.status, answer.headers, body[:ANSWER_BYTES])
