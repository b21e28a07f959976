"""The whole way of a payload as values: what the door makes of it, its normal events, what each route says, the records
and requests of each vendor. Nothing is kept, nothing is sent.
"""

from collections.abc import Collection, Iterator, Sequence

from msgspec import Struct

from gateway import app
from gateway.clock import Clock, SystemClock
from gateway.config.load import Loaded
from gateway.config.values import masked
from gateway.deliver.plan import Death, Destination, Routed
from gateway.deliver.route import Decision, Router
from gateway.errors import Cause, MappingError, Rejected
from gateway.model import Event, NormalEvent, Offer
from gateway.receive.door import Door, compile_door
from gateway.receive.guards import Clients
from gateway.receive.keys import Keys
from gateway.receive.request import Request
from gateway.trial.platform import Post
from gateway.vendors.base import Batch, Record
from gateway.vendors.base import Request as VendorRequest

EVENT_ID = "evt_try"
DERIVED_FROM = "evt_thin"
"""What an event that a look-up found derives from, where there is no other."""


class Sent(Struct, frozen=True):
    """A request that would be made. Its secrets are masked."""

    destination: str
    request: VendorRequest
    records: int


class Way(Struct, frozen=True):
    """All that would become of a payload: refused at the door, or events with their normal forms, routes, records,
    requests and deaths.
    """

    rejected: Rejected | None = None
    offers: tuple[Offer, ...] = ()
    normals: tuple[NormalEvent, ...] = ()
    decisions: tuple[tuple[NormalEvent, tuple[Decision, ...]], ...] = ()
    records: tuple[tuple[str, Record], ...] = ()
    requests: tuple[Sent, ...] = ()
    deaths: tuple[tuple[str, Death], ...] = ()
    failure: MappingError | None = None

    @property
    def is_fine(self) -> bool:
        """Whether it would be delivered or filtered."""
        return self.rejected is None and self.failure is None and not self.deaths

    @property
    def outcome(self) -> str:
        """rejected, dead, delivered or filtered."""
        if self.rejected is not None:
            return "rejected"
        if not self.is_fine:
            return "dead"
        return "delivered" if self.records else "filtered"


class Guide:
    """Knows the way under one configuration; compiled once, good for many payloads."""

    def __init__(self, loaded: Loaded, clock: Clock | None = None) -> None:
        self._loaded = loaded
        self._clock = clock or SystemClock()
        self._destinations = app.destinations_of(loaded)
        self._planner = app.planners_of(loaded)
        self._router = Router(loaded.config.routes)

    @property
    def sources(self) -> Collection[str]:
        """The names of the configured sources."""
        return self._loaded.config.sources

    @property
    def destinations(self) -> Collection[str]:
        """The names of the configured destinations."""
        return self._destinations

    def request(self, source: str, post: Post, to: str | None = None, now_ms: int | None = None) -> Way:
        """What would become of a request. The signature is not looked at, nor where it comes from."""
        try:
            offers = self._offers(source, post, self._clock.now_ms() if now_ms is None else now_ms)
        except Rejected as rejected:
            return Way(rejected=rejected)
        return self.taken(offers, to)

    def taken(self, offers: tuple[Offer, ...], to: str | None = None) -> Way:
        """What would become of what the door has taken."""
        return self.events([_event(offer, seq) for seq, offer in enumerate(offers, start=1)], to, offers)

    def events(self, events: Sequence[Event], to: str | None = None, offers: tuple[Offer, ...] = ()) -> Way:
        """What would become of events that were taken. A source that is gone raises KeyError."""
        planner = self._planner()
        try:
            routed = [(event, planner.routed(event)) for event in events]
            normals = tuple(normal for _, pairs in routed for normal, _ in pairs)
            decisions = tuple((normal, self._router.explain(normal)) for normal in normals)
        except MappingError as error:
            return Way(offers=offers, failure=error)
        records: list[tuple[str, Record]] = []
        deaths: list[tuple[str, Death]] = []
        for event, pairs in routed:
            for name in _wanted(pairs, to):
                planned = planner.plan(event, self._destinations[name], lane=0)
                records += [(name, record) for record in planned.records]
                deaths += [(name, death) for death in planned.deaths]
        return Way(None, offers, normals, decisions, tuple(records), tuple(self._sent(records)), tuple(deaths))

    def _offers(self, source: str, post: Post, now_ms: int) -> tuple[Offer, ...]:
        """The events as the receiver would take them."""
        config = self._loaded.config
        settings = config.sources[source]
        preset = app.presets_of(self._loaded)[settings.preset]
        clients = Clients((), config.receiver.forwarded)
        door = compile_door(source, settings, preset, config, clients, Keys(self._clock))
        headers = [(name.lower().encode(), value.encode()) for name, value in post.headers]
        request = Request(post.method, headers, post.url.partition("?")[2].encode(), "", now_ms)
        request.wire = request.body = post.body
        if len(post.body) > door.limit_bytes:
            raise Rejected(Cause.BODY_TOO_LARGE, f"{len(post.body)} bytes; {door.limit_bytes} are taken")
        _not_aside(door, request, signed=False)
        door.understand(request)
        _not_aside(door, request, signed=True)
        return tuple(door.offer(one, revision=0) for one in door.events(request))

    def _sent(self, records: Sequence[tuple[str, Record]]) -> Iterator[Sent]:
        """The requests that would carry the records, by destination and channel, as many in each as may be."""
        for name in dict.fromkeys(name for name, _ in records):
            destination = self._destinations[name]
            for batch in _batches(destination, [record for to, record in records if to == name], self._clock.now_ms()):
                yield _sent(destination, batch)


def _event(offer: Offer, seq: int) -> Event:
    return Event(
        seq=seq,
        id=f"{EVENT_ID}{seq}",
        source=offer.source,
        topic=offer.topic,
        received_at_ms=offer.received_at_ms,
        revision=offer.revision,
        method=offer.method,
        query=offer.query,
        headers=offer.headers,
        body=offer.body,
        derived_from=offer.derived_from,
    )


def _not_aside(door: Door, request: Request, *, signed: bool) -> None:
    if any(aside.holds(request) for aside in (door.asides if signed else door.unsigned_asides)):
        raise Rejected(Cause.NOT_AN_EVENT, "it is answered, and is no event")


def _wanted(pairs: Routed, to: str | None) -> dict[str, None]:
    return {name: None for _, targets in pairs for name in targets if to in (None, name)}


def _batches(destination: Destination, records: Sequence[Record], now_ms: int) -> Iterator[Batch]:
    channels: dict[str, list[Record]] = {}
    for record in records:
        channels.setdefault(record.draft.channel, []).append(record)
    for channel, found in channels.items():
        most = 1 if any(record.draft.alone for record in found) else destination.rules.records
        for start in range(0, len(found), most):
            yield Batch(destination.name, channel, tuple(found[start : start + most]), now_ms)


def _sent(destination: Destination, batch: Batch) -> Sent:
    request = destination.vendor.request(batch)
    secrets = destination.vendor.secrets()
    shown = VendorRequest(
        request.method,
        masked(request.url, secrets),
        tuple((name, masked(value, secrets)) for name, value in request.headers),
        masked(request.body.decode("utf-8", "replace"), secrets).encode(),
    )
    return Sent(destination.name, shown, len(batch.records))
