"""Intents: what must be known before a send, and how a call that a crash cut off is found again. Pure.

An intent holds its batch whole, so that the same members go out again under the same key, byte for byte.
"""

from typing import Any

import msgspec

from gateway import document
from gateway.deliver.settle import pack, unpack_record
from gateway.model import Intent
from gateway.vendors.base import Batch, Step

ONCE = "once"


def intent_of(account: str, batch: Batch, kind: str, step: Step | None, at_ms: int) -> Intent:
    """The intent of a batch, before its request or its next step is sent."""
    members = [
        {
            "lane": record.lane,
            "seq": record.seq,
            "part": record.part,
            "attempt": record.attempt,
            "generation": record.generation,
            "record": msgspec.Raw(pack(record)),
        }
        for record in batch.records
    ]
    return Intent(
        key=bytes.fromhex(batch.key),
        account=account,
        destination=batch.destination,
        kind=kind,
        step=step.name if step else "",
        handle=step.handle if step else "",
        at_ms=at_ms,
        members=tuple((record.lane, record.seq, record.part) for record in batch.records),
        payload=document.dump({"channel": batch.channel, "sent_at_ms": batch.sent_at_ms, "members": members}),
    )


def batch_of(intent: Intent) -> Batch:
    """The batch that an intent was written for."""
    held: dict[str, Any] = document.parse(intent.payload)
    records = tuple(
        unpack_record(
            document.dump(one["record"]),
            lane=one["lane"],
            seq=one["seq"],
            part=one["part"],
            attempt=one["attempt"],
            generation=one["generation"],
        )
        for one in held["members"]
    )
    return Batch(intent.destination, held["channel"], records, held["sent_at_ms"])


def step_of(intent: Intent) -> Step | None:
    """Where a call of several requests was cut off; None: at its first."""
    return Step(intent.step, intent.handle) if intent.step else None
