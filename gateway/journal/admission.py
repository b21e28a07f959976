"""Which offers of a group are events, and which are retries of one that was accepted before. Pure, for every engine."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

from gateway.errors import GroupRefused
from gateway.journal.records import Duplicate
from gateway.model import Offer, Receipt, Settlement, event_id, event_ids

EVENT_BYTES_MAX = 64 << 20
"""The largest body an engine takes. The receiver's limit is far lower."""
GROUP_BYTES_MAX = 256 << 20
"""All bodies of a group together: it becomes one row."""
GROUP_ID_BYTES = 16
IDENTITY_BYTES = 16
INT_MAX = (1 << 63) - 1

Key = tuple[str, bytes]
"""A source's name and an identity in it."""


class Known(NamedTuple):
    """The event that an identity stands for: its seq, the end of its group's id, when it was received."""

    seq: int
    tail: bytes
    at_ms: int


class Admitted(NamedTuple):
    """What a group comes to: the offers that are events, in order; a receipt for each offer; the places that repeat
    an event; the identities to remember.
    """

    offers: tuple[Offer, ...]
    receipts: tuple[Receipt, ...]
    duplicates: tuple[Duplicate, ...]
    identities: dict[Key, Known]


def check(offers: Sequence[Offer]) -> None:
    """Raise GroupRefused when some of the offers could never be stored, on whatever engine."""
    faults: dict[int, str] = {}
    size = 0
    for place, offer in enumerate(offers):
        size += len(offer.body)
        why = _fault(offer) or ("the group is too large" if size > GROUP_BYTES_MAX else "")
        if why:
            faults[place] = why
    if faults:
        raise GroupRefused(faults)


def check_text(offers: Sequence[Offer]) -> GroupRefused:
    """The refusal of a group that could not be packed: which offers hold text that is not Unicode."""
    return GroupRefused({place: "a text is not Unicode" for place, offer in enumerate(offers) if not _encodes(offer)})


def admit(offers: Sequence[Offer], known: Mapping[Key, Known], head_seq: int, group_id: bytes) -> Admitted:
    """Accept or recognise each offer, in order; seqs go on after `head_seq`. `known` need not hold other identities
    than the group's.
    """
    accepted: list[Offer] = []
    receipts: list[Receipt] = []
    duplicates: list[Duplicate] = []
    fresh: dict[Key, Known] = {}
    tail = group_id[-4:]
    ids = event_ids(head_seq + 1, len(offers), group_id)
    seq = head_seq
    for place, offer in enumerate(offers):
        key = (offer.source, offer.identity) if offer.identity is not None else None
        first = (fresh.get(key) or known.get(key)) if key is not None else None
        if first is not None and offer.received_at_ms - first.at_ms < offer.identity_window_ms:
            duplicates.append(Duplicate(place, first.seq, first.tail))
            receipts.append(Receipt(event_id(first.seq, first.tail), first.seq, duplicate=True))
            continue
        receipts.append(Receipt(ids[len(accepted)], seq := seq + 1, duplicate=False))
        accepted.append(offer)
        if key is not None:
            fresh[key] = Known(seq, tail, offer.received_at_ms)
    return Admitted(tuple(accepted), tuple(receipts), tuple(duplicates), fresh)


def derived_id(settlement: Settlement) -> bytes:
    """The id of the group that a settlement's derived offers make: the same whenever it is tried again."""
    mark = blake2b(digest_size=10)
    mark.update(f"{settlement.lease.account} {settlement.lease.token}".encode())
    for step in settlement.lanes:
        mark.update(f" {step.lane}:{step.version}".encode())
    for offer in settlement.derived:
        mark.update(offer.identity or offer.body)
    return settlement.at_ms.to_bytes(6, "big") + mark.digest()


def _fault(offer: Offer) -> str:
    if "\0" in offer.topic or "\0" in offer.source:
        return "a NUL in the topic or source"
    if len(offer.body) > EVENT_BYTES_MAX:
        return f"the body is larger than {EVENT_BYTES_MAX} bytes"
    if not 0 <= offer.received_at_ms <= INT_MAX:
        return "its time is out of range"
    if offer.identity is not None and len(offer.identity) != IDENTITY_BYTES:
        return f"its identity has not {IDENTITY_BYTES} bytes"
    return ""


def _encodes(offer: Offer) -> bool:
    texts = [offer.source, offer.topic, offer.method, offer.query, offer.derived_from or "", offer.traceparent or ""]
    try:
        "".join([*texts, *(part for pair in offer.headers for part in pair)]).encode()
    except UnicodeEncodeError:
        return False
    return True
