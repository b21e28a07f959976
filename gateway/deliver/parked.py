"""What is parked on a lane, as its dispatcher holds it: what is due, and what waits behind another of its key. Pure.

Of the rows of one key only the oldest can be due, and only while no older record of the key is on its way: the others
wait behind it, whatever their own due time says.
"""

import heapq
from bisect import insort
from collections.abc import Iterable

from msgspec.structs import replace

from gateway.errors import Reason
from gateway.model import ParkedRow

Ref = tuple[int, str]
"""A row within its lane: (seq, part)."""

LONGEST_WAIT_MS = 6 * 3600 * 1000
"""A due time further ahead than this (than the policy's longest wait; than its own hold and this) was made by a clock
that has jumped.
"""


class ParkedIndex:
    """The parked rows of one lane, without their records, and which records of each key are on their way."""

    def __init__(self, rows: Iterable[ParkedRow], *, longest_wait_ms: int) -> None:
        self._on_way: dict[bytes, list[int]] = {}
        self._longest_wait_ms = max(longest_wait_ms, LONGEST_WAIT_MS)
        self._rows: dict[Ref, ParkedRow] = {}
        self._chains: dict[bytes, list[Ref]] = {}
        self._due: list[tuple[int, Ref]] = []
        self._busy: set[Ref] = set()
        for row in rows:
            self.add(row)
            self.durable((row.seq, row.part))

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, ref: Ref) -> bool:
        return ref in self._rows

    def blocks(self, key: bytes, seq: int) -> bool:
        """Whether an older record of this key is parked here, so that the one with this seq waits behind it."""
        return key in self._chains and self._chains[key][0][0] < seq

    def gives_way(self, ref: Ref, key: bytes) -> bool:
        """Whether an older record of the key is parked or on its way: then the attempt at this one is given back."""
        if self._chains[key][0] == ref and not self._overtaking(ref, key):
            return False
        self.durable(ref)
        return True

    def leaves(self, key: bytes, seq: int) -> None:
        """A record that is not parked here is on its way."""
        seqs = self._on_way.get(key)
        if seqs is None:
            self._on_way[key] = [seq]
        else:
            insort(seqs, seq)

    def arrives(self, key: bytes, seq: int) -> None:
        """It is no longer: delivered, refused or parked. What waited for it may be due."""
        seqs = self._on_way.get(key)
        if seqs is None or seq not in seqs:
            return
        seqs.remove(seq)
        if not seqs:
            del self._on_way[key]
        if self._rows:
            self._look_at(key)

    def chain(self, key: bytes) -> tuple[Ref, ...]:
        """The rows of a key, oldest first."""
        return tuple(self._chains.get(key, ()))

    def row(self, ref: Ref) -> ParkedRow:
        return self._rows[ref]

    def hold(self, ref: Ref) -> None:
        """The row is at its next attempt already."""
        if ref in self._rows:
            self._busy.add(ref)

    def held(self, ref: Ref, now_ms: int) -> bool:
        """Whether the row's hold is not over."""
        row = self._rows[ref]
        return row.reason == Reason.HELD and row.due_at_ms > now_ms

    def busy(self, ref: Ref) -> bool:
        """Whether the row is at its next attempt."""
        return ref in self._busy

    def add(self, row: ParkedRow) -> None:
        """A row that is parked, or parked again: it blocks its key from now on, and is due once it is `durable`."""
        ref = (row.seq, row.part)
        if ref not in self._rows and row.key:
            insort(self._chains.setdefault(row.key, []), ref)
        self._rows[ref] = row
        self._busy.add(ref)

    def durable(self, ref: Ref) -> None:
        """The row is in the journal, or its attempt is given back: it may be due."""
        row = self._rows.get(ref)
        if row is not None:
            self._busy.discard(ref)
            heapq.heappush(self._due, (row.due_at_ms, ref))

    def merge(self, rows: Iterable[ParkedRow]) -> None:
        """The rows as an operator left them: new ones are due by their time, those gone are forgotten. What is at its
        next attempt stays.
        """
        now = {(row.seq, row.part): row for row in rows}
        for ref in [ref for ref in self._rows if ref not in now and ref not in self._busy]:
            self.remove(ref)
        for ref, row in now.items():
            if ref not in self._rows:
                self.add(row)
                self.durable(ref)

    def postpone(self, ref: Ref, due_at_ms: int) -> None:
        """Its attempt is given back; it is due again at that time, if nothing makes it due before a restart."""
        self._rows[ref] = replace(self._rows[ref], due_at_ms=due_at_ms)
        self.durable(ref)

    def remove(self, ref: Ref) -> None:
        """The row goes; the next one of its key is due now."""
        row = self._rows.pop(ref, None)
        self._busy.discard(ref)
        if row is None or not row.key:
            return
        chain = self._chains[row.key]
        chain.remove(ref)
        if not chain:
            del self._chains[row.key]
        self._look_at(row.key)

    def take_due(self, now_ms: int, limit: int) -> list[Ref]:
        """The rows that are due, at most `limit`; they are busy until `add`, `durable` or `remove`."""
        taken: list[Ref] = []
        while self._due and len(taken) < limit and self._is_due(*self._due[0], now_ms):
            _, ref = heapq.heappop(self._due)
            if self._eligible(ref):
                self._busy.add(ref)
                taken.append(ref)
        return taken

    def next_due_ms(self, now_ms: int) -> int | None:
        """When the next row is due (now or earlier: at once), None when none is."""
        while self._due and not self._eligible(self._due[0][1]):
            heapq.heappop(self._due)
        if not self._due:
            return None
        due_at_ms, ref = self._due[0]
        return now_ms if self._is_due(due_at_ms, ref, now_ms) else due_at_ms

    def _is_due(self, due_at_ms: int, ref: Ref, now_ms: int) -> bool:
        if due_at_ms <= now_ms:
            return True
        row = self._rows.get(ref)
        hold_ms = row.due_at_ms - row.at_ms if row is not None and row.reason == Reason.HELD else 0
        return due_at_ms - now_ms > max(self._longest_wait_ms, hold_ms + LONGEST_WAIT_MS)

    def _eligible(self, ref: Ref) -> bool:
        row = self._rows.get(ref)
        if row is None or ref in self._busy:
            return False
        return not row.key or (self._chains[row.key][0] == ref and not self._overtaking(ref, row.key))

    def _overtaking(self, ref: Ref, key: bytes) -> bool:
        return key in self._on_way and self._on_way[key][0] < ref[0]

    def _look_at(self, key: bytes) -> None:
        """The oldest row of a key may be due now."""
        if key in self._chains and (ref := self._chains[key][0]) not in self._busy:
            heapq.heappush(self._due, (self._rows[ref].due_at_ms, ref))
