"""The values that flow, all frozen, and the table of states an event can have on a lane.

Times are milliseconds since the Unix epoch (`_ms`). A `seq` is an event's place in the journal, from 1.
"""

import base64
from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache
from typing import Any

from msgspec import Struct

from gateway.document import Text, read

Headers = tuple[tuple[str, str], ...]
"""Header pairs in the order they came, names in lower case."""


# --- what comes in ---------------------------------------------------------------------------------------------------


class Offer(Struct, frozen=True, gc=False):
    """An event before it is accepted: what the receiver knows of it.

    `identity` is the 16-byte hash by which a retry is recognised (None: every request is a new event), and
    `identity_window_ms` how long it is remembered. `query` has lost its keys. `headers` are the kept ones.
    """

    source: str
    topic: str
    received_at_ms: int
    revision: int
    method: str
    query: str
    headers: Headers
    body: bytes
    identity: bytes | None = None
    identity_window_ms: int = 0
    derived_from: str | None = None
    traceparent: str | None = None


class Rejection(Struct, frozen=True):
    """A refused request as it is kept: cause, kept headers (no credentials), the first 4 KiB of its body."""

    source: str
    at_ms: int
    cause: str
    detail: str
    method: str
    client: str
    headers: Headers
    body: bytes


class Group(Struct, frozen=True):
    """What is committed together. Offered again under its `id` (16 bytes, time-ordered) it is not taken twice."""

    id: bytes
    offers: tuple[Offer, ...]
    rejections: tuple[Rejection, ...] = ()


class Receipt(Struct, frozen=True, gc=False):
    """What became of one offer: its event's id and seq, or those of the first event when it is a duplicate."""

    id: str
    seq: int
    duplicate: bool


class Event(Struct, frozen=True, gc=False):
    """One accepted webhook, as it is read back. Body and headers are what was received, byte for byte."""

    seq: int
    id: str
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


_BASE32 = "0123456789abcdefghijklmnopqrstuv"
_PAIRS = tuple(first + second for first in _BASE32 for second in _BASE32)


def event_id(seq: int, group: bytes) -> str:
    """The id of the event with this seq, accepted in this group: `evt_` and 20 characters of base32.

    The seq stands in the first 8 bytes, so that an id finds its event without an index; 4 bytes of the group's id
    keep ids of different journals apart.
    """
    tail = int.from_bytes(group[-4:], "big")
    middle = _PAIRS[(seq & 15) << 6 | tail >> 26]
    return "evt_" + _pairs(seq >> 4, 6) + middle + _pairs((tail & 0x3FFFFFF) << 4, 3)


def event_ids(first_seq: int, count: int, group: bytes) -> list[str]:
    """The ids of so many events of one group, at a fifth of the cost of one by one."""
    tail = int.from_bytes(group[-4:], "big")
    end = _pairs((tail & 0x3FFFFFF) << 4, 3)
    sixteen = [_PAIRS[low << 6 | tail >> 26] + end for low in range(16)]
    found: list[str] = []
    for seq in range(first_seq & ~15, first_seq + count, 16):
        start = "evt_" + _pairs(seq >> 4, 6)
        found += [start + rest for rest in sixteen]
    return found[first_seq & 15 :][:count]


@lru_cache(maxsize=256)
def _pairs(bits: int, pairs: int) -> str:
    """So many pairs of characters. Neighbours share them: making an id costs a third."""
    return "".join([_PAIRS[bits >> shift & 1023] for shift in range(10 * pairs - 10, -10, -10)])


def seq_of(event: str) -> int | None:
    """The seq inside an event's id, or None where the text is no such id."""
    text = event.removeprefix("evt_").upper()
    if len(text) != 20 or not event.startswith("evt_"):  # noqa: PLR2004  8 + 4 bytes in base32
        return None
    try:
        return int.from_bytes(base64.b32hexdecode(text + "====")[:8], "big")
    except ValueError:
        return None


class NormalEvent(Struct, frozen=True):
    """An event in the gateway's own vocabulary. `type` is `<entity>.<verb>` (the topic, where nothing normalised it),
    `subject` the entity's id, `time` RFC 3339 UTC, `held` the entity: a document, or the `Text` that nobody has read
    yet. `id` is the event's, with `.2`, `.3` where one event makes several.
    """

    id: str
    seq: int
    source: str
    type: str
    subject: str | None
    time: str
    topic: str
    entity: str | None
    held: Any
    received_at_ms: int
    traceparent: str | None = None

    @property
    def data(self) -> Any:
        """The entity as a document."""
        return read(self.held)

    def document(self) -> dict[str, Any]:
        """The event in its envelope: what `when` and destination mappings read."""
        held = self.held
        return self.envelope(held.document() if type(held) is Text else held)

    def envelope(self, data: Any) -> dict[str, Any]:
        """The CloudEvents 1.0 envelope around the entity, or around what was made of it: what `http` sends."""
        envelope: dict[str, Any] = {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "time": self.time,
            "datacontenttype": "application/json",
            "data": data,
            "gatewayseq": str(self.seq),
            "topic": self.topic,
        }
        if self.subject is not None:
            envelope["subject"] = self.subject
        if self.traceparent is not None:
            envelope["traceparent"] = self.traceparent
        return envelope


# --- what an event is on a lane --------------------------------------------------------------------------------------


class State(StrEnum):
    """What an event is on one lane. Exactly one at any moment."""

    WAITING = "waiting"
    PARKED = "parked"
    DELIVERED = "delivered"
    FILTERED = "filtered"
    SUPERSEDED = "superseded"
    DEAD = "dead"
    DISCARDED = "discarded"


MOVES: dict[State, dict[State, str]] = {
    State.WAITING: {
        State.DELIVERED: "the vendor took every record",
        State.FILTERED: "no route wanted it",
        State.SUPERSEDED: "a newer state went instead",
        State.PARKED: "a record waits for its next attempt",
        State.DEAD: "a record is refused, or cannot be mapped",
        State.DISCARDED: "an operator skipped it",
    },
    State.PARKED: {
        State.PARKED: "the next attempt failed as well",
        State.DELIVERED: "the last parked record was taken",
        State.SUPERSEDED: "a newer state went instead",
        State.DEAD: "attempts or time are used up",
        State.DISCARDED: "an operator discarded it",
    },
    State.DEAD: {
        State.PARKED: "an operator retries it",
        State.DISCARDED: "an operator discarded it",
        State.SUPERSEDED: "mapped anew, the dead part no longer exists",
        State.DELIVERED: "mapped anew, nothing is left to send",
    },
    State.DELIVERED: {},
    State.FILTERED: {},
    State.SUPERSEDED: {},
    State.DISCARDED: {},
}
"""Every move an event can make on a lane, and why. What is not here does not happen."""


def diagram() -> str:
    """The table of moves as a Mermaid state diagram: the picture in docs/states.md."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.WAITING}"]
    for state, moves in MOVES.items():
        lines += [f"    {state} --> {after}: {why}" for after, why in moves.items()]
    lines += [f"    {state} --> [*]" for state, moves in MOVES.items() if not moves]
    return "\n".join(lines)


SETTLED = tuple(state for state in State if state is not State.WAITING)
"""The states the ledger adds up."""


_BEFORE_OTHERS = (State.PARKED, State.DEAD, State.DELIVERED, State.SUPERSEDED, State.DISCARDED)


def state_of_parts(parts: Iterable[State]) -> State:
    """The state of an event from those of its parts: parked while any is, else dead if any is, else delivered if any
    is, else superseded, discarded, filtered.
    """
    states = tuple(parts)
    if len(states) == 1 and states[0] in _BEFORE_OTHERS:
        return states[0]
    return next((state for state in _BEFORE_OTHERS if state in states), State.FILTERED)


# --- what lies in the journal for a lane -----------------------------------------------------------------------------


class Counts(Struct, frozen=True):
    """Events of a lane by state, without those that wait."""

    delivered: int = 0
    filtered: int = 0
    superseded: int = 0
    parked: int = 0
    dead: int = 0
    discarded: int = 0

    def total(self) -> int:
        return self.delivered + self.filtered + self.superseded + self.parked + self.dead + self.discarded


Ranges = tuple[tuple[int, int], ...]
"""Ascending, disjoint, inclusive ranges of seqs."""


class Pick(Struct, frozen=True):
    """The events of one lane that a replay means: those with these seqs. `destination` is its name when it began."""

    source: str
    destination: str
    seqs: Ranges


class Replay(Struct, frozen=True):
    """Events that are done again, on lanes of their own whose `kind` is the replay's id (`rpl_` and 16 hex digits).

    Of its lanes' events those are meant that were received at or after `from_ms` and before `to_ms`, are in `picked`
    where that names their lane, whose normal type matches one of `types` (globs; none: all) and for whose normal form
    `when` (JMESPath) holds. The others are filtered. `every_state`: an old state goes even where the journal holds a
    newer one. `why`: replay (an operator's), or backfill (a new lane's past). `note`: the operator's own words.
    """

    id: str
    at_ms: int
    who: str
    why: str = "replay"
    from_ms: int | None = None
    to_ms: int | None = None
    types: tuple[str, ...] = ()
    when: str | None = None
    every_state: bool = False
    picked: tuple[Pick, ...] = ()
    note: str = ""


LIVE = "live"
"""The kind of a lane that goes on with what comes in."""


class LaneSpec(Struct, frozen=True):
    """A lane as the configuration names it. `kind` is `live`, or a replay's id for a lane of its own.

    `start_seq`: events with a seq above it are the lane's (None: from now). `end_seq`: the last one (None: no end).
    `was`: names of destinations whose lane from this source is taken over, with its replays, instead of beginning one.
    `backfill`: where the lane is new, this replay begins beside it, over what lies before its start.
    """

    source: str
    destination: str
    kind: str = LIVE
    start_seq: int | None = None
    end_seq: int | None = None
    was: tuple[str, ...] = ()
    backfill: Replay | None = None


class Lane(Struct, frozen=True):
    """A lane as the journal holds it. All events of its source with start_seq < seq <= cursor, or in `ahead`, are
    settled. `version` grows with each settle, `changed` with each operator's change. `began_as`: the destination's name
    when the lane began, where it has another by now (`was`). `account`: whose dispatcher serves it; empty: nobody's.
    """

    id: int
    source: str
    destination: str
    kind: str
    start_seq: int
    end_seq: int | None
    cursor: int
    ahead: Ranges
    counts: Counts
    version: int
    changed: int
    paused: bool = False
    ended: bool = False
    began_as: str = ""
    account: str = ""

    def spans(self, seq: int) -> bool:
        """Whether an event of its source with this seq is the lane's."""
        return self.start_seq < seq and (self.end_seq is None or seq <= self.end_seq)


class ParkedRow(Struct, frozen=True):
    """A record that waits (`state` parked) or was given up (`state` dead).

    `part` names the record within its event (channel and the vendor's record key; empty when the event as a whole
    could not be mapped). `key` is the 16-byte hash by which order is kept. `record` is the record as last sent, None
    when the event is to be mapped anew. `delivered_parts` are the parts of the same event that are delivered.
    `generation` grows with an operator's retry, so that idempotency keys change; `every_state`: that retry sends an old
    state even where a newer one was sent.
    """

    seq: int
    part: str
    channel: str
    key: bytes
    state: State
    attempt: int
    due_at_ms: int
    first_failed_at_ms: int
    at_ms: int
    reason: str
    detail: str = ""
    answer: bytes = b""
    mapping: str = ""
    generation: int = 0
    record: bytes | None = None
    delivered_parts: tuple[str, ...] = ()
    every_state: bool = False


class Resolved(Struct, frozen=True):
    """A parked or dead row that goes: its part is delivered, superseded or discarded now."""

    seq: int
    part: str
    outcome: State


class Attempt(Struct, frozen=True, array_like=True, omit_defaults=True):
    """What came of one part in one settle. `answer`: the vendor's, at most 4 KiB, only where it was not delivered;
    `receipt`: what the vendor gave for a delivered one. A filtered or superseded event has an attempt without status.
    """

    seq: int
    part: str
    outcome: str
    status: int = 0
    latency_ms: int = 0
    reason: str = ""
    receipt: str = ""
    answer: bytes = b""


class LaneSettle(Struct, frozen=True):
    """What becomes of one lane in a settle.

    `counts` are the events newly settled *without* a row (delivered, filtered, superseded). Events that get their
    first row here (`parked`, state parked or dead), and events whose rows change or go (`parked`, `resolved`), are
    counted by the journal from the rows, before and after, so the ledger balances whatever operators do meanwhile.
    `versions`: what the destination has now, by the record's key (16 bytes): when the entity was last changed, in ms.
    """

    lane: int
    version: int
    cursor: int
    ahead: Ranges
    counts: Counts
    parked: tuple[ParkedRow, ...] = ()
    resolved: tuple[Resolved, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    versions: tuple[tuple[bytes, int], ...] = ()


class Lease(Struct, frozen=True):
    """A lease on an account as its row stands. `owner` is empty when it is free. `note`: what its holder knows of the
    account that whoever comes next is to know as well.
    """

    account: str
    owner: str
    token: int
    renewals: int
    note: str = ""


class Intent(Struct, frozen=True):
    """What must be known before a send: a vendor's multi-step or never-to-be-repeated call. `kind` is keyed, steps or
    once; `members` are (lane, seq, part); `handle` is the vendor's own (an upload's receipt).
    """

    key: bytes
    account: str
    destination: str
    kind: str
    step: str
    handle: str
    at_ms: int
    members: tuple[tuple[int, int, str], ...]
    payload: bytes = b""


class Settlement(Struct, frozen=True):
    """One settle: several lanes of one account in one transaction, with intents that end and events that derive.

    `config` is the digest of the configuration that was in force; it is kept with the attempts.
    """

    lease: Lease
    at_ms: int
    lanes: tuple[LaneSettle, ...]
    intents_done: tuple[bytes, ...] = ()
    derived: tuple[Offer, ...] = ()
    config: str = ""
