"""The journal's contracts: an append-only log of events, a cursor for each lane, the registry of what lanes there are,
and a desk for operators.

Every engine passes `tests/journal/` whole; what an engine cannot do is a named capability, not a skipped test.
All methods are safe to call again after `JournalUnavailable`: nothing was written, or it is recognised.
Times come in as arguments; an engine never asks its own clock.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from gateway.model import (
    Attempt,
    Counts,
    Event,
    Group,
    Intent,
    Lane,
    LaneSpec,
    Lease,
    ParkedRow,
    Receipt,
    Rejection,
    Replay,
    Settlement,
    State,
)


class Capability(StrEnum):
    """What an engine can do beyond what every engine does."""

    DURABLE = "durable"
    """What is committed is there after the process has died."""


class Head(Struct, frozen=True):
    """How far the journal has come: the last seq, and a number that grows with every operator's change."""

    seq: int
    operations: int


class Page(Struct, frozen=True):
    """Events in order of seq, and how far the journal was looked through to find them: every event of the wanted
    sources with after_seq < seq <= read_to is in `events`.
    """

    events: tuple[Event, ...]
    read_to: int


class Keep(Struct, frozen=True):
    """What to keep. Events older than `keep_ms` go once every lane of their source has settled them and no parked or
    dead row needs them; beyond `keep_at_most_ms` or `max_bytes` a lane's oldest waiting events become dead (expired)
    first. `attempts_ms`, `dead_ms`: how long attempts and dead letters stay. `identities_ms`: the longest window. A
    replay goes with its lanes when it began longer than `dead_ms` ago, is over, and no attempt or row of it is left.
    """

    now_ms: int
    keep_ms: int
    keep_at_most_ms: int
    identities_ms: int
    attempts_ms: int
    dead_ms: int
    max_bytes: int | None = None


class Kept(Struct, frozen=True):
    """What one slice of keeping did. `more` says that another slice would find work."""

    events: int
    identities: int
    attempts: int
    dead: int
    expired: int
    replays: int
    more: bool


class Log(Protocol):
    """The events: append, read, wait."""

    async def append(self, group: Group) -> tuple[Receipt, ...]:
        """Commit a group to stable storage, one receipt per offer, in order.

        Atomic: all of the group or nothing. Within one transaction each offer is accepted (gets the next seq) or
        recognised as a duplicate: its (source, identity) was accepted less than its `identity_window_ms` before its
        `received_at_ms`, by this group or an earlier one. An older identity is overwritten and the offer accepted.
        Idempotent: a group whose `id` was committed before gives the same receipts and writes nothing.
        Sequence order is commit order. Raises GroupRefused (an event that can never be stored), JournalUnavailable.
        """
        ...

    async def read(
        self, after_seq: int, *, sources: Collection[str] | None = None, limit: int = 500, limit_bytes: int = 4 << 20
    ) -> Page:
        """Committed events with a seq above `after_seq`, of these sources (None: all), oldest first.

        At most `limit` events and about `limit_bytes` of bodies, but at least one where there is one.
        """
        ...

    async def event(self, seq: int) -> Event | None:
        """One event, or None when it never was or has been removed."""
        ...

    async def wait(self, seen: Head, timeout_s: float) -> Head:
        """Return within 50 ms of a commit that makes the head differ from `seen`, else after `timeout_s`."""
        ...

    async def head(self) -> Head:
        """The head now."""
        ...

    async def keep(self, rules: Keep) -> Kept:
        """Remove one bounded slice of what is no longer to be kept; the writer is held a few milliseconds at most."""
        ...

    async def probe(self) -> None:
        """Prove that a commit is possible now, by committing something; raises JournalUnavailable."""
        ...


class Operation(Struct, frozen=True):
    """What an operator did: `what` (pause, resume, retry, discard, skip, end), to what, who and when."""

    at_ms: int
    who: str
    what: str
    subject: str
    count: int = 0
    note: str = ""


class Registry(Protocol):
    """What lanes there are: those of the configuration, and those of replays."""

    async def register(self, lanes: Sequence[LaneSpec]) -> tuple[Lane, ...]:
        """Make sure these lanes exist, and give them as they stand, in order. Idempotent.

        A new lane starts at its spec's `start_seq`, or at the head as of this call; where `was` names a destination
        whose live lane from the same source exists, that lane is renamed instead, with all it holds, and with it the
        lanes of its replays. With a lane that is new, its `backfill` begins, over the events that are there up to its
        start.
        """
        ...

    async def revise(self, digest: str, revision: int | None = None) -> int:
        """The revision of the configuration that is in force from now on: the given one, which is written down; else
        the last one's where that had this digest, else one more.
        """
        ...

    async def seq_at(self, at_ms: int) -> int:
        """A seq up to which every event was received before `at_ms`, as near to that time as the clocks of the
        receivers allow; 0 where there is none.
        """
        ...

    async def states(self, lane: int, after_seq: int, to_seq: int) -> tuple[tuple[int, State | None], ...]:
        """What each event of a lane with after_seq < seq <= to_seq is, by seq; None where that is no longer known. The
        range bounds the work: ask for some thousand at a time.
        """
        ...

    async def replay(self, replay: Replay, lanes: Sequence[LaneSpec], by: Operation) -> tuple[Lane, ...]:
        """Begin a replay on these lanes, whose `kind` is its id. Atomic, and idempotent by the id."""
        ...

    async def replays(self) -> tuple[Replay, ...]:
        """Every replay that was begun and is still kept, newest first."""
        ...


class Delivery(Protocol):
    """The lanes: what a dispatcher reads and settles."""

    async def lanes(self) -> tuple[Lane, ...]:
        """Every lane, orphans and ended ones too."""
        ...

    async def leases(self) -> tuple[Lease, ...]:
        """Every lease row."""
        ...

    async def claim(self, account: str, owner: str, seen: Lease | None) -> Lease | None:
        """Take the account's lease if its row still equals `seen` (None: there is no row) or its owner is empty.

        The new lease has a higher token. None: somebody else was faster.
        """
        ...

    async def renew(self, leases: Sequence[Lease], *, release: bool = False) -> tuple[Lease, ...]:
        """Raise the renewal count of those still held by owner and token, with their notes, and give them as they stand
        now; with `release` empty their owner instead. A lease that is missing from the answer is lost.
        """
        ...

    async def hold(self, lease: Lease, lanes: Collection[int]) -> tuple[Lane, ...]:
        """Serve these lanes under the lease's account, and no others. Gives those of them that are the account's from
        now on, as they stand, in the order of their numbers.

        A lane is another account's while that one's lease is held and it was not let go of in this way. Raises
        JournalConflict as settle does. What is let go of is heard of.
        """
        ...

    async def parked(
        self, lane: int, refs: Sequence[tuple[int, str]] | None = None, *, limit: int = 10_000
    ) -> tuple[ParkedRow, ...]:
        """Rows in state parked, by seq: without their `record`, `answer` and `detail` (refs None), or the given
        (seq, part) whole.
        """
        ...

    async def versions(self, lane: int, keys: Collection[bytes]) -> dict[bytes, int]:
        """What settles have told of the versions that a lane's destination has, whatever it is called by now, for those
        of these keys that are known. A version that is older than one before it changes nothing. They are kept as long
        as events are.
        """
        ...

    async def settle(self, settlement: Settlement) -> tuple[Lane, ...]:
        """Write what became of events, in one transaction over several lanes; gives the lanes as they stand.

        Raises JournalConflict, writing nothing, when the lease's owner or token is no longer the row's, a lane's
        version is not the one given, or another account holds it. Rows are upserted by (lane, seq, part); a `resolved`
        row that is not there (an operator was faster) is passed over. When a row goes as delivered, its siblings of the
        same (lane, seq) learn it in `delivered_parts`. Counts follow `LaneSettle`. Derived offers are appended as by
        `append`.
        """
        ...

    async def intend(self, lease: Lease, intents: Sequence[Intent]) -> None:
        """Write or replace intents by key before a send; raises JournalConflict as settle does."""
        ...

    async def intents(self, lanes: Collection[int]) -> tuple[Intent, ...]:
        """What was intended for records of these lanes and not done, oldest first, under whatever account and name."""
        ...


class LaneRow(Struct, frozen=True):
    """A lane as operators see it: the ledger's figures and how far it lags."""

    lane: Lane
    waiting: int
    oldest_waiting_at_ms: int | None


class AuditRow(Struct, frozen=True):
    """A lane recounted from rows: `expected` events of its source up to the cursor and in ahead; `booked` the lane's
    own counts; `recounted` those found in attempts, parked rows and operations; `removed` no longer recountable.
    """

    lane: Lane
    waiting: int
    expected: int
    booked: Counts
    recounted: Counts
    removed: int
    balanced: bool
    why: str = ""


class AttemptRow(Struct, frozen=True):
    """An attempt with its settle's time and configuration (empty where an operator or retention did it)."""

    at_ms: int
    attempt: Attempt
    config: str = ""


class EventView(Struct, frozen=True):
    """One event and what it is on every lane: (lane, state, its rows, its attempts, oldest first)."""

    event: Event
    lanes: tuple[tuple[Lane, State, tuple[ParkedRow, ...], tuple[AttemptRow, ...]], ...]


class DeadRow(Struct, frozen=True):
    """A dead letter: its lane and its row."""

    id: str
    lane: Lane
    row: ParkedRow
    event_id: str


class DeadGroup(Struct, frozen=True):
    """How many dead letters of a source and destination have one reason, and when the first and the last one died."""

    source: str
    destination: str
    reason: str
    count: int
    first_at_ms: int
    last_at_ms: int


class DeadFilter(Struct, frozen=True):
    """Which dead letters. Empty: all. `to_ms`: those that died then or before. `limit`: at most so many, oldest first.

    Who changes many gives both, and calls again for the rest until the answer is 0: what died again meanwhile is not
    taken twice.
    """

    ids: tuple[str, ...] = ()
    reason: str | None = None
    source: str | None = None
    destination: str | None = None
    to_ms: int | None = None
    limit: int | None = None


class EventFilter(Struct, frozen=True):
    """Which events, newest first. `before_seq` pages on; times are received_at."""

    source: str | None = None
    topic: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    before_seq: int | None = None
    limit: int = 50


class Desk(Protocol):
    """What commands and pages read and change. Works while the gateway is down as well as up."""

    async def lane_rows(self) -> tuple[LaneRow, ...]:
        """Every lane with its figures."""
        ...

    async def audit(self) -> tuple[AuditRow, ...]:
        """Every lane recounted from the rows, in one snapshot."""
        ...

    async def events(self, which: EventFilter) -> tuple[Event, ...]:
        """Events, newest first."""
        ...

    async def view(self, seq: int) -> EventView | None:
        """One event with its state on every lane."""
        ...

    async def parked(
        self, lane: int, refs: Sequence[tuple[int, str]] | None = None, *, limit: int = 10_000
    ) -> tuple[ParkedRow, ...]:
        """What waits on a lane, as `Delivery.parked` gives it."""
        ...

    def dead(self, which: DeadFilter) -> AsyncIterator[DeadRow]:
        """Dead letters, oldest first, whole."""
        ...

    async def dead_groups(self, which: DeadFilter) -> tuple[DeadGroup, ...]:
        """How many dead letters there are, most first, whatever the filter's limit."""
        ...

    async def retry(self, which: DeadFilter, by: Operation, *, every_state: bool = False) -> int:
        """Make dead letters due now, mapped anew, with the next generation; how many. Their rows say `every_state`.

        An event's dead parts go together, beyond the limit if need be. One whose event is no longer in the log, or
        whose lane has ended, stays as it is and does not count towards the limit.
        """
        ...

    async def discard(self, which: DeadFilter, by: Operation) -> int:
        """Give dead letters up for good; how many."""
        ...

    async def change_lane(self, lane: int, by: Operation) -> Lane:
        """Pause or resume a lane; skip what waits on it; or end it for good (skip and discard everything)."""
        ...

    async def rejected(self, source: str | None, limit: int = 100) -> tuple[Rejection, ...]:
        """The last refused requests, newest first."""
        ...


class Journal(Log, Registry, Delivery, Desk, Protocol):
    """All four, of one engine, with a start and a stop."""

    capabilities: frozenset[Capability]

    async def open(self) -> None:
        """Connect, and migrate forward under a lock. Idempotent."""
        ...

    async def close(self) -> None:
        """Let go of everything. Idempotent."""
        ...

    async def backup(self, path: str) -> None:
        """Write a consistent copy that opens as a journal. The writers go on meanwhile."""
        ...
