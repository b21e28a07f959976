"""The contract of a vendor: which records may share a batch, what request a batch makes, what the response means for
each record, how the account's limits work. No I/O: `deliver/outbound.py` is the one door out.

A vendor file stands in this order: settings, limits, records, request, response, tables.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, Protocol, TypeVar, runtime_checkable
from urllib.parse import urlsplit

from msgspec import Struct

from gateway.config.schema import DestinationSettings
from gateway.config.values import Secret
from gateway.errors import Reason
from gateway.model import Headers, NormalEvent

T = TypeVar("T")


class Burst(Struct, frozen=True):
    """A second, longer window that may be drawn on when the first is used up (Octolis: 150 points per 60 s)."""

    allow: float
    per_s: float


class Limit(Struct, frozen=True):
    """What a vendor allows: `allow` units of cost per `per_s` seconds.

    `kind`: sliding (any window of that length) or fixed (windows that begin with the first call after the last).
    `scope`: what it counts over (account, key, channel). `cost`: units by the request's cost class (default 1).
    `classes`: the cost classes it counts (None: all).
    """

    allow: float
    per_s: float
    kind: str = "sliding"
    burst: Burst | None = None
    scope: str = "account"
    cost: Mapping[str, float] | None = None
    classes: frozenset[str] | None = None


class BatchRules(Struct, frozen=True):
    """What may travel in one request, at most: records, bytes of the body, bytes of one record; and how long a batch
    that is not full may wait for more (`linger_s`). `one_per_key`: a batch holds at most one record of a key. `keyed`:
    the vendor knows a batch again by its key, so those that failed together go again without others.
    """

    records: int
    body_bytes: int
    record_bytes: int
    linger_s: float = 0.0
    one_per_key: bool = False
    keyed: bool = False


class Once(Generic[T]):
    """A property that is made when it is first asked for. Standard `cached_property` takes a lock for it, at several
    times the price.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self._name = make.__name__
        self.__doc__ = make.__doc__

    def __get__(self, one: Any, _owner: type) -> T:
        made = one.__dict__[self._name] = self._make(one)
        return made


class Draft(Struct, frozen=True, dict=True):
    """A record as a vendor makes it from an event.

    `channel`: what may share a batch and can be stopped alone (a record type, a dataset, a stream). `key`: the vendor's
    own key of the record, by which order is kept. `data`: the document as it will travel; JSON that nobody read is a
    `Text` in it. `kind`: state (an upsert of the whole: a newer one may replace it) or fact (each counts). `cost`: the
    request's cost class. `alone`: it shares no request, whatever the rules allow (a call that takes one thing at an API
    that else takes batches).
    """

    channel: str
    key: str
    data: Any
    kind: str = "state"
    cost: str = "default"
    alone: bool = False

    @Once
    def part(self) -> str:
        """The record's name within its event."""
        return f"{self.channel}:{self.key}"

    @Once
    def key_hash(self) -> bytes:
        """16 bytes by which order is kept: channel and key."""
        return hashlib.blake2b(self.part.encode(), digest_size=16).digest()


class Record(Struct, frozen=True):
    """A record on its way: the draft, its name within the event, its bytes as JSON, and where it comes from.

    It is not sent before `hold_ms` after its event's receipt. `version_ms`: when its entity was last changed, by the
    entity's own word (`updated_at`); 0 where it does not say. `mapping` made it (empty: it is sent as it is).
    `batch`: the key of the batch that it failed with as a whole, where the vendor would know that again. `anew_ms`:
    when the vendor last gave an answer that it would give again to the same request; 0: never.
    """

    lane: int
    seq: int
    source: str
    part: str
    draft: Draft
    encoded: bytes
    event_id: str = ""
    event_type: str = ""
    time: str = ""
    attempt: int = 0
    generation: int = 0
    traceparent: str | None = None
    received_at_ms: int = 0
    hold_ms: int = 0
    entity: str | None = None
    version_ms: int = 0
    mapping: str = ""
    batch: str = ""
    anew_ms: int = 0

    @property
    def size(self) -> int:
        """Bytes of the record as compact JSON."""
        return len(self.encoded)

    @property
    def idempotency_key(self) -> str:
        """The same for each attempt at this record, another after an operator's retry or replay. The event's id keeps
        it apart from the records of other journals: a backup that is restored gives its seqs to other events.
        """
        event = self.event_id.partition(".")[0]
        text = f"{self.lane}\n{self.seq}\n{event}\n{self.part}\n{self.generation}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class Batch(Struct, frozen=True, dict=True):
    """Records that travel in one request, of one destination and channel, oldest first. Never empty."""

    destination: str
    channel: str
    records: tuple[Record, ...]
    sent_at_ms: int = 0

    @Once
    def key(self) -> str:
        """The batch's idempotency key: that of its only record, or a hash over those of all."""
        if len(self.records) == 1:
            return self.records[0].idempotency_key
        joined = "\n".join(record.idempotency_key for record in self.records)
        return hashlib.blake2b(joined.encode(), digest_size=16).hexdigest()


class Request(Struct, frozen=True):
    """One HTTP request, ready to send. `cost` is its class in the limits. Redirects are never followed.

    `intent`: what must be known of it before it is sent, if it carries more than one record or must not go twice:
    keyed (after a crash it goes out again with the same members and key), steps (it goes on at its step) or once
    (after a crash, or a timeout, nobody can say: its records are dead, AMBIGUOUS). `answer_bytes`: how much of the
    answer is worth reading (results of each record, with what is stored, run long). `token`: a fetched token goes
    where `TOKEN` stands in the headers. `cache_s`: it only asks, and its answer serves again whatever asks in the same
    channel: events that were there before it was asked for, and later ones while it is younger than this.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    cost: str = "default"
    intent: str = ""
    answer_bytes: int = 1 << 20
    token: bool = False
    cache_s: float | None = None


TOKEN = "{token}"  # noqa: S105  a place, not a token
"""Where a fetched token goes in a request's headers, put in just before the send: the request itself stays the same."""


class Token(Struct, frozen=True):
    """A fetched credential, and how long it lives. To be fetched again at 80 % of that, or when it is refused."""

    text: Secret
    lives_s: float


class Response(Struct, frozen=True):
    """What came back: header names in lower case, at most 1 MiB of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Failure(Struct, frozen=True):
    """Nothing came back. `reason` is connection_failed (surely not applied) or timeout (perhaps applied)."""

    reason: Reason
    detail: str


Answer = Response | Failure


class Derived(Struct, frozen=True):
    """An event that an answer is: appended to the record's source by the settle that says delivered."""

    topic: str
    headers: Headers
    body: bytes


class Delivered(Struct, frozen=True):
    """The vendor has it. `receipt`: what it gave for it (a request id). `derived`: what the answer to a look-up is."""

    receipt: str = ""
    note: str = ""
    derived: Derived | None = None


class Superseded(Struct, frozen=True):
    """There is nothing to be done any more: what the record is about is gone."""

    reason: Reason
    detail: str = ""


class Retry(Struct, frozen=True):
    """The record failed and may succeed later: parked, after `after_s` or the retry policy's wait. `anew`: the vendor
    would say the same again to the same request.
    """

    reason: Reason
    detail: str = ""
    after_s: float | None = None
    anew: bool = False


class Refused(Struct, frozen=True):
    """The record will never be taken as it is: dead."""

    reason: Reason
    detail: str = ""


class Split(Struct, frozen=True):
    """The vendor refuses the batch and will not name the record: halve it and try again. A batch of one is refused."""

    reason: Reason
    detail: str = ""


class Throttled(Struct, frozen=True):
    """Nothing is wrong with the record: the account (or the channel alone) is to be left alone for `for_s` seconds.

    `up_to_s`: while the vendor keeps saying so and does not name a time itself, the pause doubles up to this (0: it
    does not grow). `anew`: as with a Retry.
    """

    reason: Reason
    for_s: float
    scope: str = "account"
    detail: str = ""
    up_to_s: float = 0.0
    anew: bool = False


class Suspended(Struct, frozen=True):
    """The account's key is refused: nothing is sent but a probe every 60 s, and no attempt is counted. `anew`: as with
    a Retry.
    """

    reason: Reason
    detail: str = ""
    anew: bool = False


Outcome = Delivered | Superseded | Retry | Refused | Split | Throttled | Suspended


class Verdict(Struct, frozen=True):
    """What an answer means: one outcome per record, in order; and whether the account should pause although all went
    well (`ease`: a queue that is filling up).
    """

    outcomes: tuple[Outcome, ...]
    ease: Throttled | None = None

    def different(self) -> tuple[Outcome, ...]:
        """The outcomes, one that many records share only once."""
        if len(set(map(id, self.outcomes))) == 1:
            return self.outcomes[:1]
        return tuple({id(one): one for one in self.outcomes}.values())


class Step(Struct, frozen=True):
    """What follows in a call of several requests: its name, the vendor's own handle (an upload's receipt), in how many
    seconds, and how often the same step was asked for already. `pause`: the account is to be left alone before it.
    """

    name: str
    handle: str = ""
    after_s: float = 0.0
    asked: int = 0
    pause: Throttled | None = None


class Vendor(Protocol):
    """One configured destination of a vendor. Everything here is a pure function of its arguments and the settings."""

    name: ClassVar[str]
    Settings: ClassVar[type[DestinationSettings]]

    def __init__(self, destination: str, settings: Any) -> None:
        """`destination` is its name in the configuration; `settings` an instance of `Settings`."""

    def account(self) -> str:
        """What the limits count over: vendor, host or tenant, and a hash of the credential. No secret in it."""
        ...

    def limits(self) -> Sequence[Limit]:
        """The published limits (the configuration may replace them)."""
        ...

    def rules(self) -> BatchRules:
        """What a batch may hold (the configuration may lower it)."""
        ...

    def mapping(self, event: NormalEvent) -> str | None:
        """The shipped mapping (`ometria/order`) for an event that its route names none for; None: the event is sent as
        it is, or raises LookupError: this destination takes no such entity, and the event is filtered.
        """
        ...

    def records(self, event: NormalEvent, documents: Sequence[Any] | None) -> Sequence[Draft]:
        """The records that an event makes, from what its mapping made of it (None: it has none).

        Empty: nothing to send, the event is filtered. Raises Refusal (with Reason.INCOMPLETE ...) for what the vendor
        would refuse.
        """
        ...

    def request(self, batch: Batch) -> Request:
        """The request that carries the batch. The same batch makes the same request, byte for byte."""
        ...

    def judge(self, batch: Batch, answer: Answer) -> Verdict:
        """What the answer means for each record. Never raises, whatever the vendor says."""
        ...

    def secrets(self) -> Sequence[str]:
        """Texts that must never be shown."""
        ...


@runtime_checkable
class TokenVendor(Vendor, Protocol):
    """A vendor that may send a token which has to be fetched (requests with `token` set).

    One fetch at a time for an account. A request that is answered 401 under a fetched token is sent once more under a
    new one before its answer is judged.
    """

    def token_request(self) -> Request:
        """The request that fetches a token."""
        ...

    def token_of(self, answer: Answer) -> Token | Outcome:
        """The token, or what its absence means for all that waits for it. Never raises."""
        ...


@runtime_checkable
class SteppedVendor(Vendor, Protocol):
    """A vendor whose batch takes several requests: `request` makes the first, and where it is taken `follow` says what
    comes next, until a verdict. An intent of kind `steps` holds the step and its handle from one request to the next,
    so that a crash between two of them goes on where it was.

    `judge` alone (of the first answer, by somebody who knows no steps) never says delivered.
    """

    def follow(self, batch: Batch, step: Step | None, answer: Answer) -> Step | Verdict:
        """What the answer to a step (None: to the first request) means: the next step, or the end. Never raises."""
        ...

    def step_request(self, batch: Batch, step: Step) -> Request:
        """The request of a step."""
        ...


@runtime_checkable
class DroppingVendor(Vendor, Protocol):
    """A vendor that takes records, drops some of them later, and lists the latest of these faults when it is asked."""

    def errors_every_s(self) -> float:
        """How often it is to be asked, in seconds; 0: never."""
        ...

    def errors(self) -> Request:
        """The request for the list."""
        ...

    def errors_of(self, answer: Answer) -> Sequence[str] | Failure:
        """The faults that are listed, in words that are bounded and hold no secret; or why none can be known."""
        ...


def same(outcome: Outcome, batch: Batch) -> Verdict:
    """One outcome for every record of the batch."""
    return Verdict((outcome,) * len(batch.records))


def account_name(vendor: str, place: str, *credentials: str) -> str:
    """What limits count over unless the configuration says otherwise: vendor, host or tenant, and a hash of what the
    account is known by there (12 hex digits).
    """
    known_by = hashlib.blake2b("\n".join(credentials).encode(), digest_size=6).hexdigest()
    return f"{vendor}:{place}:{known_by}"


def alone(outcome: Outcome, batch: Batch) -> Verdict:
    """The outcome of the one record that travels alone. Should others have been put with it, they go on their own."""
    rest = Split(Reason.BUSY, "it travels alone")
    return Verdict((outcome, *(rest,) * (len(batch.records) - 1)))


DELETIONS = frozenset({"deleted", "redacted"})
"""Verbs that say an entity is no more."""


ENTITIES = frozenset({"customer", "order", "product", "cart", "refund", "fulfillment"})
"""Entities that mappings ship for."""


def verb_of(event: NormalEvent) -> str:
    """What happened to the event's entity (`created`); empty where nothing normalised it."""
    return event.type.rpartition(".")[2] if event.entity else ""


def json_array(batch: Batch) -> bytes:
    """The batch's records as one JSON array, byte for byte as they were measured."""
    return json_list([record.encoded for record in batch.records])


def json_list(encoded: Sequence[bytes], before: bytes = b"[", after: bytes = b"]") -> bytes:
    """JSON records, one at least, and what stands around them. A body is long: it is written once, and nothing of it
    twice.
    """
    pieces = list(encoded)
    pieces[0] = before + pieces[0]
    pieces[-1] += after
    return b",".join(pieces)


def host_of(url: str) -> str:
    """The host, and the port where one stands, of a URL; never a user or a password."""
    return urlsplit(url).netloc.rpartition("@")[2]
