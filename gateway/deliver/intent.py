"""Intents: what must be known before a send, and how a call that a crash cut off is found again. Pure.

An intent holds its batch whole, so that the same members go out again under the same key, byte for byte.
"""

from msgspec import Struct

from gateway import document
from gateway.deliver.stored import Packed, packed, read, record_of
from gateway.model import Intent
from gateway.vendors.base import Batch, Step

ONCE = "once"


class _Member(Struct, frozen=True):
    lane: int
    seq: int
    part: str
    attempt: int
    generation: int
    record: Packed


class _Payload(Struct, frozen=True):
    channel: str
    sent_at_ms: int
    members: tuple[_Member, ...]


def intent_of(account: str, batch: Batch, kind: str, step: Step | None, at_ms: int) -> Intent:
    """The intent of a batch, before its request or its next step is sent."""
    members = tuple(
        _Member(one.lane, one.seq, one.part, one.attempt, one.generation, packed(one)) for one in batch.records
    )
    return Intent(
        key=bytes.fromhex(batch.key),
        account=account,
        destination=batch.destination,
        kind=kind,
        step=step.name if step else "",
        handle=step.handle if step else "",
        at_ms=at_ms,
        members=tuple((one.lane, one.seq, one.part) for one in members),
        payload=document.dump(_Payload(batch.channel, batch.sent_at_ms, members)),
    )


def batch_of(intent: Intent) -> Batch:
    """The batch that an intent was written for. Raises Illegible."""
    held = read(intent.payload, _Payload)
    records = tuple(
        record_of(one.record, lane=one.lane, seq=one.seq, part=one.part, attempt=one.attempt, generation=one.generation)
        for one in held.members
    )
    return Batch(intent.destination, held.channel, records, held.sent_at_ms)


def step_of(intent: Intent) -> Step | None:
    """Where a call of several requests was cut off; None: at its first."""
    return Step(intent.step, intent.handle) if intent.step else None
