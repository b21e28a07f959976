"""Which records go no more because a newer state of their entity goes, or went, instead. Pure.

`Waiting` knows the newest state of each key that waits for a destination, `Versions` what the destination has. Newer
is what was changed later by the entity's own word, and where that says nothing, what was accepted later.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from gateway.vendors.base import Record

VERSIONS_MAX = 50_000
"""Versions that are remembered for one destination; others are looked up again."""


def is_newer(record: Record, other: Record) -> bool:
    """Whether of two states of one entity the first is the newer."""
    if record.version_ms and other.version_ms and record.version_ms != other.version_ms:
        return record.version_ms > other.version_ms
    return record.seq > other.seq


class Waiting:
    """The newest state of each key among those that wait for a destination. It is remembered as long as any waits."""

    def __init__(self) -> None:
        self._newest: dict[bytes, Record] = {}
        self._count: dict[bytes, int] = {}

    def joins(self, record: Record) -> None:
        """A state waits."""
        key = record.draft.key_hash
        self._count[key] = self._count.get(key, 0) + 1
        if key not in self._newest or is_newer(record, self._newest[key]):
            self._newest[key] = record

    def leaves(self, record: Record) -> None:
        """It waits no more: it is sent, parked, or replaced."""
        key = record.draft.key_hash
        self._count[key] -= 1
        if not self._count[key]:
            del self._count[key]
            del self._newest[key]

    def replaces(self, record: Record) -> bool:
        """Whether a newer state than this one waits, or waited beside it."""
        return is_newer(self._newest[record.draft.key_hash], record)


class Versions:
    """The versions that a destination has, as far as they were looked up or delivered lately."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, int] = OrderedDict()

    def unknown(self, records: Iterable[Record]) -> set[bytes]:
        """The keys of these records that have to be looked up."""
        return {record.draft.key_hash for record in records} - self._known.keys()

    def learn(self, keys: Iterable[bytes], found: Mapping[bytes, int]) -> None:
        """What the journal knows of these keys."""
        for key in keys:
            self._note(key, found.get(key, 0))

    def delivered(self, record: Record) -> None:
        """The destination has this record."""
        self._note(record.draft.key_hash, record.version_ms)

    def is_stale(self, record: Record) -> bool:
        """Whether the destination has something newer than this record."""
        return 0 < record.version_ms < self._known.get(record.draft.key_hash, 0)

    def _note(self, key: bytes, version_ms: int) -> None:
        self._known[key] = max(version_ms, self._known.pop(key, 0))
        while len(self._known) > VERSIONS_MAX:
            self._known.popitem(last=False)
