"""How things lie in a journal's rows: MessagePack, compressed with zstandard at level 1 where they may be large.

A group is packed as one list, so that what its events have in common is stored once (a quarter of the disk, and less
to write than the events by themselves).
"""

import threading
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import msgspec
import zstandard
from msgspec import Struct

from gateway.journal.ranges import flat, paired
from gateway.model import (
    Attempt,
    Counts,
    Event,
    Headers,
    Intent,
    Offer,
    Ranges,
    Receipt,
    Rejection,
    Replay,
    event_id,
    event_ids,
)

LEVEL = 1
UNPACKED_BYTES_MAX = 1 << 30
"""The most that a packed group or record may unpack to: a damaged length never takes the machine's memory."""

_encode = msgspec.msgpack.encode


class Stored(Struct, frozen=True, array_like=True, gc=False):
    """An event as it lies in its batch: without its seq and id, which its place and the batch's group tell."""

    source: str
    topic: str
    received_at_ms: int
    revision: int
    method: str
    query: str
    headers: Headers
    body: bytes
    derived_from: str | None = None
    traceparent: str | None = None


class Duplicate(Struct, frozen=True, array_like=True, gc=False):
    """A place in a group that held no new event: the seq it repeats, and the end of that event's group id."""

    place: int
    seq: int
    tail: bytes


class _Codec(threading.local):
    """zstandard's contexts belong to one thread each."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=LEVEL)
        self.decompressor = zstandard.ZstdDecompressor()


_codec = _Codec()
_stored: msgspec.msgpack.Decoder[list[Stored]] = msgspec.msgpack.Decoder(list[Stored])
_attempts: msgspec.msgpack.Decoder[list[Attempt]] = msgspec.msgpack.Decoder(list[Attempt])
_duplicates: msgspec.msgpack.Decoder[list[Duplicate]] = msgspec.msgpack.Decoder(list[Duplicate])
_numbers: msgspec.msgpack.Decoder[list[int]] = msgspec.msgpack.Decoder(list[int])
_texts: msgspec.msgpack.Decoder[tuple[str, ...]] = msgspec.msgpack.Decoder(tuple[str, ...])
_intent: msgspec.msgpack.Decoder[Intent] = msgspec.msgpack.Decoder(Intent)
_replay: msgspec.msgpack.Decoder[Replay] = msgspec.msgpack.Decoder(Replay)
_rejection: msgspec.msgpack.Decoder[Rejection] = msgspec.msgpack.Decoder(Rejection)


def shrink(data: bytes) -> bytes:
    """Compressed."""
    return _codec.compressor.compress(data)


def grow(data: bytes) -> bytes:
    """What `shrink` was given."""
    return _codec.decompressor.decompress(data, max_output_size=UNPACKED_BYTES_MAX)


def grow_record(data: bytes | None) -> bytes | None:
    """A record that was shrunk; as it lies there where it was not: who reads it says so, and others are not held up."""
    try:
        return grow(data) if data is not None else None
    except zstandard.ZstdError:
        return data


def pack_offers(offers: Sequence[Offer]) -> bytes:
    """The payload of a batch. Raises UnicodeEncodeError for text that is not Unicode (a lone surrogate)."""
    rows = [
        (
            offer.source,
            offer.topic,
            offer.received_at_ms,
            offer.revision,
            offer.method,
            offer.query,
            offer.headers,
            offer.body,
            offer.derived_from,
            offer.traceparent,
        )
        for offer in offers
    ]
    return shrink(_encode(rows))


def pack_stored(events: Sequence[Stored]) -> bytes:
    """What `unpack_stored` gives."""
    return shrink(_encode(events))


def unpack_stored(payload: bytes) -> list[Stored]:
    """The events of a batch, in order."""
    return _stored.decode(grow(payload))


def event_of(stored: Stored, seq: int, group_id: bytes) -> Event:
    """A stored event with its seq and id."""
    return _identified(seq, event_id(seq, group_id), stored)


def events_of(batch: Sequence[Stored], first_seq: int, group_id: bytes) -> Iterator[Event]:
    """The events of a whole batch, in order."""
    ids = event_ids(first_seq, len(batch), group_id)
    return map(_identified, count(first_seq), ids, batch)


def _identified(seq: int, id_: str, stored: Stored) -> Event:
    return Event(
        seq,
        id_,
        stored.source,
        stored.topic,
        stored.received_at_ms,
        stored.revision,
        stored.method,
        stored.query,
        stored.headers,
        stored.body,
        stored.derived_from,
        stored.traceparent,
    )


def pack_attempts(attempts: Sequence[Attempt]) -> bytes:
    return shrink(_encode(attempts))


def unpack_attempts(packed: bytes) -> list[Attempt]:
    return _attempts.decode(grow(packed))


def pack_duplicates(duplicates: Sequence[Duplicate]) -> bytes | None:
    return _encode(duplicates) if duplicates else None


def unpack_duplicates(packed: bytes | None) -> list[Duplicate]:
    return _duplicates.decode(packed) if packed else []


def pack_ranges(ranges: Ranges) -> bytes | None:
    return _encode(flat(ranges)) if ranges else None


def unpack_ranges(packed: bytes | None) -> Ranges:
    return paired(_numbers.decode(packed)) if packed else ()


def pack_counts(counts: Counts) -> bytes | None:
    return _encode(msgspec.structs.astuple(counts)) if counts.total() else None


def unpack_counts(packed: bytes | None) -> Counts:
    return Counts(*_numbers.decode(packed)) if packed else Counts()


def pack_texts(texts: Sequence[str]) -> bytes | None:
    return _encode(texts) if texts else None


def unpack_texts(packed: bytes | None) -> tuple[str, ...]:
    return _texts.decode(packed) if packed else ()


def pack_whole(value: Any) -> bytes:
    """A whole struct, under its fields' names, so that a later version may add some."""
    return _encode(value)


def unpack_intent(packed: bytes) -> Intent:
    return _intent.decode(packed)


def unpack_replay(packed: bytes) -> Replay:
    return _replay.decode(packed)


def unpack_rejection(packed: bytes) -> Rejection:
    return _rejection.decode(packed)


def receipts_again(
    group_id: bytes, first_seq: int, places: int, duplicates: Sequence[Duplicate]
) -> tuple[Receipt, ...]:
    """The receipts of a group of `places` offers as they were given when it was committed. Duplicates are in order."""
    ids = event_ids(first_seq, places - len(duplicates), group_id)
    receipts = [Receipt(id_, seq, duplicate=False) for seq, id_ in enumerate(ids, first_seq)]
    for one in duplicates:
        receipts.insert(one.place, Receipt(event_id(one.seq, one.tail), one.seq, duplicate=True))
    return tuple(receipts)
