"""Records as they lie in parked rows and intents: JSON that an operator can read. Pure."""

from typing import TypeVar

import msgspec
from msgspec import Struct

from gateway import document
from gateway.errors import GatewayError
from gateway.model import ParkedRow
from gateway.vendors.base import Draft, Record

Shape = TypeVar("Shape")


class Illegible(GatewayError):  # noqa: N818  a fact about what is stored
    """What is stored cannot be read: another version of the gateway wrote it, or it is damaged. Says what is wrong."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"what is stored of it is not as this version of the gateway stores it: {error}")


class Packed(Struct, frozen=True):
    """A record without what its row tells. What has a default was added later, or may be."""

    channel: str
    key: str
    kind: str
    cost: str
    alone: bool
    source: str
    event_id: str
    event_type: str
    time: str
    traceparent: str | None
    received_at_ms: int
    data: msgspec.Raw
    entity: str | None = None
    version_ms: int = 0
    mapping: str = ""
    batch: str = ""
    anew_ms: int = 0


def packed(record: Record) -> Packed:
    """What is stored of a record."""
    draft = record.draft
    return Packed(
        channel=draft.channel,
        key=draft.key,
        kind=draft.kind,
        cost=draft.cost,
        alone=draft.alone,
        source=record.source,
        event_id=record.event_id,
        event_type=record.event_type,
        time=record.time,
        traceparent=record.traceparent,
        received_at_ms=record.received_at_ms,
        entity=record.entity,
        version_ms=record.version_ms,
        mapping=record.mapping,
        batch=record.batch,
        anew_ms=record.anew_ms,
        data=msgspec.Raw(record.encoded),
    )


def pack(record: Record) -> bytes:
    """A record as it lies in a parked row."""
    return document.dump(packed(record))


def unpack(lane: int, row: ParkedRow) -> Record:
    """The record of a parked row, as it was last sent. Raises Illegible."""
    held = read(row.record or b"", Packed)
    return record_of(held, lane=lane, seq=row.seq, part=row.part, attempt=row.attempt, generation=row.generation)


def read(stored: bytes, shape: type[Shape]) -> Shape:
    """What is stored, as what it is meant to be. Raises Illegible."""
    try:
        document.check(stored)
        return msgspec.json.decode(stored, type=shape)
    except (document.Unreadable, msgspec.DecodeError) as error:
        raise Illegible(error) from None


def record_of(held: Packed, *, lane: int, seq: int, part: str, attempt: int, generation: int) -> Record:
    """What `packed` made of a record, and what it leaves out. It has the bytes that it had."""
    encoded = bytes(held.data)
    draft = Draft(held.channel, held.key, document.parse(encoded), held.kind, held.cost, alone=held.alone)
    return Record(
        lane=lane,
        seq=seq,
        source=held.source,
        part=part,
        draft=draft,
        encoded=encoded,
        event_id=held.event_id,
        event_type=held.event_type,
        time=held.time,
        attempt=attempt,
        generation=generation,
        traceparent=held.traceparent,
        received_at_ms=held.received_at_ms,
        entity=held.entity,
        version_ms=held.version_ms,
        mapping=held.mapping,
        batch=held.batch,
        anew_ms=held.anew_ms,
    )
