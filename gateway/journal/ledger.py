"""The ledger's arithmetic: what a settle makes of a lane's books, and the recount that checks them. Pure, for every
engine.

The books of an event on a lane open when it is settled for the first time and close when no row of it is left. While
they are open its rows tell its state, and `past` holds, as bits, the final states that its other parts have reached.
Closed books stay closed: rows and attempts that come later (an operator was faster) change no figure. So the counts
follow from the rows before and after each change, and a recount of attempts and rows must find the same.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from gateway.errors import JournalConflict, Reason
from gateway.journal.ranges import beyond, contains
from gateway.model import SETTLED, Attempt, Counts, Lane, LaneSettle, Lease, ParkedRow, Resolved, State, state_of_parts

FINAL = (State.DELIVERED, State.FILTERED, State.SUPERSEDED, State.DISCARDED)
"""The states in which a part needs no row any more."""

BIT = {State.DELIVERED: 1, State.FILTERED: 2, State.SUPERSEDED: 4, State.DISCARDED: 8, State.DEAD: 16}
"""Final states as bits. DEAD stands for a dead row that retention removed."""

STATE_OF_BITS = tuple(state_of_parts(state for state, bit in BIT.items() if bits & bit) for bits in range(32))
"""The state of an event without rows, by the bits of its parts."""

_BIT_OF_OUTCOME: dict[str, int] = {str(state): BIT[state] for state in FINAL}

Ref = tuple[int, str]
"""A part of an event: seq and part."""


class LaneBook(NamedTuple):
    """A lane with what only the journal needs of it: the recount's floor, what is no longer recounted below it, and
    how many of its events are gone from the log.
    """

    lane: Lane
    floor_seq: int
    removed: Counts
    removed_events: int


class Standing(NamedTuple):
    """An event that has rows on the lane: its rows by part, and what its other parts have come to."""

    rows: Mapping[str, ParkedRow]
    past: int


class Settled(NamedTuple):
    """What a settle makes of one lane.

    `rows` are written whole (a stored one without its `record` keeps it: see `siblings`); `siblings` are rows that stay
    and only learn `past` and `delivered_parts`; `gone` are removed. `counted` and `seen` are the attempts that the
    audit counts, and those that it does not. `removed` are events below the recount's floor whose books closed.
    """

    lane: Lane
    rows: tuple[tuple[ParkedRow, int], ...]
    siblings: tuple[tuple[int, str, int, tuple[str, ...]], ...]
    gone: tuple[Ref, ...]
    counted: tuple[Attempt, ...]
    seen: tuple[Attempt, ...]
    removed: Counts


def add(counts: Counts, state: State, by: int = 1) -> Counts:
    """The counts with `by` more events in a state."""
    if state is State.WAITING or not by:
        return counts
    return replace(counts, **{str(state): getattr(counts, str(state)) + by})


def plus(one: Counts, other: Counts) -> Counts:
    """Both counts together."""
    return Counts(**{str(state): getattr(one, str(state)) + getattr(other, str(state)) for state in SETTLED})


def bit_of(attempt: Attempt) -> int:
    """The bit of an attempt's outcome; 0 where it left a row."""
    return _BIT_OF_OUTCOME.get(attempt.outcome, 0)


def settled_before(lane: Lane, seq: int) -> bool:
    """Whether the lane's books of this event have been opened."""
    return seq <= lane.cursor or (bool(lane.ahead) and contains(lane.ahead, seq))


def _last_settled(lane: Lane) -> int:
    """The last event of which the lane's books have been opened: those of none behind it have."""
    return lane.ahead[-1][1] if lane.ahead else lane.cursor


def events_with_rows(lane: Lane, step: LaneSettle) -> set[int]:
    """The events whose rows `settle` has to know: those whose rows change, and those settled before that are named."""
    seqs = {row.seq for row in step.parked}
    seqs.update(one.seq for one in step.resolved)
    last = _last_settled(lane)
    seqs.update([one.seq for one in step.attempts if one.seq <= last and settled_before(lane, one.seq)])
    return seqs


def settle(lane: Lane, floor_seq: int, step: LaneSettle, standing: Mapping[int, Standing]) -> Settled:
    """What a settle makes of a lane. `standing`: the events of `events_with_rows` that have rows.

    Raises ValueError for a step that contradicts itself: a cursor that goes back, or a row for an event that the step
    leaves waiting.
    """
    if step.cursor < lane.cursor:
        raise ValueError(f"lane {lane.id}: the cursor would go back from {lane.cursor} to {step.cursor}")
    after = replace(lane, cursor=step.cursor, ahead=step.ahead, version=lane.version + 1)
    books = _Books(lane, after, floor_seq, standing, plus(lane.counts, step.counts))
    changes = _by_event(step, standing)
    books.sort_attempts(step.attempts, changes)
    for seq, change in changes.items():
        books.settle_event(seq, change)
    return books.result()


def fence(lane: Lane, step: LaneSettle, lease: Lease) -> None:
    """Raise JournalConflict where a settle was made for a lane that has gone on without it, or is another account's."""
    if lane.ended or lane.version != step.version:
        raise JournalConflict(f"lane {lane.id} is at version {lane.version}, not {step.version}")
    if lane.account not in ("", lease.account):
        raise JournalConflict(f"lane {lane.id} is served for another account than {lease.account}")


def let_go(counts: Counts, standing: Standing, part: str, state: State) -> tuple[Counts, Standing, State]:
    """A dead row that goes as discarded, or (as dead) because its time is over: the counts after it, what is left of
    the event, and the state it has now.
    """
    rest = Standing({name: row for name, row in standing.rows.items() if name != part}, standing.past | BIT[state])
    after = state_of_rows(rest.rows.values()) if rest.rows else STATE_OF_BITS[rest.past]
    return add(add(counts, state_of_rows(standing.rows.values()), -1), after), rest, after


def state_of_rows(rows: Iterable[ParkedRow]) -> State:
    """The state of an event that has rows."""
    return state_of_parts(row.state for row in rows)


class _Change(NamedTuple):
    rows: dict[str, ParkedRow]
    resolved: list[Resolved]


def _by_event(step: LaneSettle, standing: Iterable[int]) -> dict[int, _Change]:
    changes: dict[int, _Change] = {seq: _Change({}, []) for seq in standing}
    for row in step.parked:
        changes.setdefault(row.seq, _Change({}, [])).rows[row.part] = row
    for one in step.resolved:
        changes.setdefault(one.seq, _Change({}, [])).resolved.append(one)
    return changes


class _Books:
    """The figures of one lane while a settle goes through its events."""

    def __init__(
        self, lane: Lane, after: Lane, floor_seq: int, standing: Mapping[int, Standing], counts: Counts
    ) -> None:
        self._lane = lane
        self._after = after
        self._floor_seq = floor_seq
        self._standing = standing
        self._counts = counts
        self._removed = Counts()
        self._rows: list[tuple[ParkedRow, int]] = []
        self._siblings: list[tuple[int, str, int, tuple[str, ...]]] = []
        self._gone: list[Ref] = []
        self._counted: list[Attempt] = []
        self._seen: list[Attempt] = []
        self._bits: dict[int, int] = {}

    def sort_attempts(self, attempts: Sequence[Attempt], changing: Container[int]) -> None:
        """Tell the attempts of open books from those that only may be seen; note what they add to `changing` events."""
        lane, after, standing = self._lane, self._after, self._standing
        last, cursor = _last_settled(lane), after.cursor
        for attempt in attempts:
            seq = attempt.seq
            is_new = last < seq <= cursor  # mostly, and without a closer look
            if not (is_new or seq in standing) and (settled_before(lane, seq) or not settled_before(after, seq)):
                self._seen.append(attempt)
                continue
            self._counted.append(attempt)
            if seq in changing:
                self._bits[seq] = self._bits.get(seq, 0) | bit_of(attempt)

    def settle_event(self, seq: int, change: _Change) -> None:
        """One event whose rows change: its rows, what they learn, and its count."""
        before = self._standing.get(seq)
        if before is None and (settled_before(self._lane, seq) or not change.rows):
            return
        if before is None and not settled_before(self._after, seq):
            raise ValueError(f"lane {self._lane.id}: a row for event {seq}, which is still waiting")
        held = dict(before.rows) if before else {}
        went = [one for one in change.resolved if held.pop(one.part, None) is not None]
        delivered = self._delivered(before, change, went)
        past = self._past(seq, before, change, went)
        self._gone.extend((seq, one.part) for one in went if one.part not in change.rows)
        for part, row in change.rows.items():
            self._rows.append((replace(row, delivered_parts=delivered), past))
            held.pop(part, None)
        self._siblings.extend((seq, part, past, delivered) for part in held)
        self._count(seq, before, [*held.values(), *change.rows.values()], past)

    def result(self) -> Settled:
        """Everything together."""
        lane = replace(self._after, counts=self._counts)
        return Settled(
            lane,
            tuple(self._rows),
            tuple(self._siblings),
            tuple(self._gone),
            tuple(self._counted),
            tuple(self._seen),
            self._removed,
        )

    def _delivered(self, before: Standing | None, change: _Change, went: Sequence[Resolved]) -> tuple[str, ...]:
        """The parts of the event that are delivered, as every row of it is to know."""
        known: dict[str, None] = {}
        for row in [*(before.rows.values() if before else ()), *change.rows.values()]:
            known.update(dict.fromkeys(row.delivered_parts))
        known.update((one.part, None) for one in went if one.outcome is State.DELIVERED)
        return tuple(known)

    def _past(self, seq: int, before: Standing | None, change: _Change, went: Sequence[Resolved]) -> int:
        """What the event's parts without rows have come to. Where no attempt tells it, one is written, so that the
        recount finds it as well.
        """
        told = (before.past if before else 0) | self._bits.get(seq, 0)
        needs = {one.part: one.outcome for one in went}
        for row in change.rows.values():
            needs.update(dict.fromkeys(row.delivered_parts, State.DELIVERED))
        for part, outcome in needs.items():
            if not told & BIT[outcome]:
                self._counted.append(Attempt(seq, part, outcome))
                told |= BIT[outcome]
        return told

    def _count(self, seq: int, before: Standing | None, rows: Sequence[ParkedRow], past: int) -> None:
        state = state_of_rows(before.rows.values()) if before else State.WAITING
        if rows:
            self._counts = add(add(self._counts, state, -1), state_of_rows(rows))
            return
        final = STATE_OF_BITS[past]
        self._counts = add(add(self._counts, state, -1), final)
        if seq <= self._floor_seq:
            self._removed = add(self._removed, final)


def settled_by_all(books: Iterable[LaneBook]) -> dict[str, int]:
    """Up to which seq the lanes of each source have settled everything: their events may be removed."""
    settled: dict[str, int] = {}
    for one in books:
        lane = one.lane
        if not lane.ended and (lane.end_seq is None or lane.cursor < lane.end_seq):
            settled[lane.source] = min(settled.get(lane.source, lane.cursor), lane.cursor)
    return settled


def expired(seq: int, at_ms: int) -> ParkedRow:
    """The dead letter of an event that waited longer than it may be kept."""
    return ParkedRow(
        seq=seq,
        part="",
        channel="",
        key=b"",
        state=State.DEAD,
        attempt=0,
        due_at_ms=0,
        first_failed_at_ms=at_ms,
        at_ms=at_ms,
        reason=Reason.EXPIRED,
    )


def after_expiry(lane: Lane, seqs: Sequence[int]) -> Lane:
    """A lane whose oldest waiting events have become dead. Whoever was about to settle it has to read it again."""
    return replace(
        lane,
        cursor=seqs[-1],
        ahead=beyond(lane.ahead, seqs[-1]),
        counts=add(lane.counts, State.DEAD, len(seqs)),
        version=lane.version + 1,
        changed=lane.changed + 1,
    )


def after_skip(lane: Lane, to_seq: int, waiting: int) -> Lane:
    """A lane on which nothing waits up to `to_seq`: the events that did are discarded."""
    lane = replace(lane, version=lane.version + 1)
    if lane.ended or to_seq <= lane.cursor:
        return lane
    counts = add(lane.counts, State.DISCARDED, waiting)
    return replace(lane, cursor=to_seq, ahead=beyond(lane.ahead, to_seq), counts=counts)


def state_at(
    lane: Lane, seq: int, with_rows: Mapping[int, State], bits: Mapping[int, int], skips: Iterable[tuple[int, int]]
) -> State | None:
    """What an event is on a lane: by its rows, by what attempts tell (`bits`), or skipped within (after_seq, last_seq].
    None where nobody knows any more.
    """
    if seq in with_rows:
        return with_rows[seq]
    if not settled_before(lane, seq):
        return State.WAITING
    if bits.get(seq):
        return STATE_OF_BITS[bits[seq]]
    return State.DISCARDED if any(after < seq <= last for after, last in skips) else None


# --- the recount -----------------------------------------------------------------------------------------------------


def fold(bits: dict[int, int], attempts: Iterable[Attempt], after_seq: int, to_seq: int, *, own: bool = False) -> None:
    """Add what attempts tell of the events with after_seq < seq <= to_seq. `own`: the journal's own, where a `dead` is
    a dead row that retention removed.
    """
    for attempt in attempts:
        if after_seq < attempt.seq <= to_seq:
            dead = BIT[State.DEAD] if own and attempt.outcome == State.DEAD else 0
            bits[attempt.seq] = bits.get(attempt.seq, 0) | bit_of(attempt) | dead


def count_closed(bits: Mapping[int, int], with_rows: Iterable[int]) -> Counts:
    """The events whose books are closed, by state: those that attempts tell of, without those that have rows."""
    skip = set(with_rows)
    figures = [0] * 32
    for seq, mask in bits.items():
        if mask and seq not in skip:
            figures[mask] += 1
    counts = Counts()
    for mask, number in enumerate(figures):
        counts = add(counts, STATE_OF_BITS[mask], number)
    return counts


def difference(expected: int, booked: Counts, found: Counts) -> str:
    """Why a lane does not balance, in words; empty when it does."""
    reasons = [
        f"{state}: booked {getattr(booked, str(state))}, found {getattr(found, str(state))}"
        for state in SETTLED
        if getattr(booked, str(state)) != getattr(found, str(state))
    ]
    if expected != booked.total():
        reasons.insert(0, f"{expected} events are settled, {booked.total()} are booked")
    return "; ".join(reasons)
