"""What an event becomes on a lane: normalise, route, map, make the vendor's records. Pure.

What does not depend on the destination (parsing, normalising, routing) is done once for all lanes and kept for a while.
"""

import itertools
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from gateway import document
from gateway.config.schema import DestinationSettings
from gateway.deliver.route import Router, Targets
from gateway.errors import MappingError, Reason, Refusal
from gateway.mapping.book import Book
from gateway.mapping.normalise import Normaliser
from gateway.model import Event, NormalEvent
from gateway.vendors.base import BatchRules, Draft, Limit, Record, Vendor

REMEMBERED = 4096
"""Normal events that are kept for the other lanes, at most."""
NOBODY: Mapping[str | None, float] = {}
NO_LOOKUPS: Mapping[str, Sequence[str]] = {}


class Destination(Struct, frozen=True):
    """A configured destination with its vendor, and the vendor's rules as the configuration lowers them. `key` names
    its credential among those of the account.
    """

    name: str
    settings: DestinationSettings
    vendor: Vendor
    account: str
    key: str
    limits: tuple[Limit, ...]
    rules: BatchRules


class Death(Struct, frozen=True):
    """A part that is dead before it is sent."""

    part: str
    reason: Reason
    detail: str
    mapping: str = ""


class Planned(Struct, frozen=True):
    """What one event is on one lane: records to send, and parts that cannot be sent. Neither: it is filtered."""

    records: tuple[Record, ...] = ()
    deaths: tuple[Death, ...] = ()


Routed = tuple[tuple[NormalEvent, Targets], ...]
Prepared = Routed | MappingError
"""An event's normal forms with who wants each, or why there are none: what is the same for every lane."""


class Planner:
    """The pure way from an event to a lane's records, for one configuration. `lookups`: the names of each source's."""

    def __init__(
        self,
        normalisers: Mapping[str, Normaliser],
        router: Router,
        book: Book,
        lookups: Mapping[str, Sequence[str]] = NO_LOOKUPS,
    ) -> None:
        self._lookups = lookups
        self._normalisers = normalisers
        self._router = router
        self._book = book
        self._routed: OrderedDict[int, Prepared] = OrderedDict()
        self._alone = frozenset(
            source for source in normalisers if len({*router.reach(source), *lookups.get(source, ())}) <= 1
        )
        """Sources whose events one destination alone may want: planned once, they are remembered for nobody."""

    def plan(
        self,
        event: Event,
        destination: Destination,
        lane: int,
        generation: int = 0,
        only: Callable[[NormalEvent], bool] | None = None,
        prepared: Prepared | None = None,
    ) -> Planned:
        """The records of the event on this lane, of those of its normal forms that `only` wants. Raises nothing: what
        cannot be mapped is a death. `prepared` is what `prepare` gave for the event, where that was asked before.
        """
        routed = prepared if prepared is not None else self.prepare(event)
        if not isinstance(routed, tuple):
            return Planned(deaths=(Death("", Reason.MAPPING_FAILED, str(routed), routed.mapping),))
        made = _Made(event, lane, generation)
        for normal, targets in routed:
            if only is not None and not only(normal):
                continue
            for mapping, hold_s in targets.get(destination.name, NOBODY).items():
                try:
                    name, drafts = self._drafts(normal, destination, mapping)
                except MappingError as error:
                    made.deaths.append(Death("", Reason.MAPPING_FAILED, str(error), error.mapping))
                except Refusal as error:
                    made.deaths.append(Death(f"refused:{normal.id}", error.reason, error.detail, mapping or ""))
                else:
                    if drafts:
                        made.take(normal, drafts, destination, hold_s, name)
        if event.source in self._alone:
            self._routed.pop(event.seq, None)
        return made.planned()

    def routed(self, event: Event) -> Routed:
        """The event's normal forms with who wants each. What a look-up found is not looked up again. Raises
        MappingError.
        """
        normals = self._normalisers[event.source].normal(event)
        lookups = () if event.derived_from else self._lookups.get(event.source, ())
        if not lookups:
            return tuple([(normal, self._router.targets(normal)) for normal in normals])
        asked: Targets = {name: {None: 0.0} for name in lookups}
        return tuple((normal, self._router.targets(normal) | asked) for normal in normals)

    def prepare(self, event: Event) -> Prepared:
        """The part of planning that is the same for every lane. Remembered until it is planned, and for a while where
        another lane may want it; raises nothing.
        """
        found = self._routed.get(event.seq)
        if found is None:
            try:
                found = self.routed(event)
            except MappingError as error:
                found = error
            self._routed[event.seq] = found
            if len(self._routed) > REMEMBERED:
                self._routed.popitem(last=False)
        return found

    def remembers(self, event: Event) -> bool:
        """Whether the event was prepared lately, and preparing it costs nothing."""
        return event.seq in self._routed

    def _drafts(
        self, normal: NormalEvent, destination: Destination, mapping: str | None
    ) -> tuple[str, Sequence[Draft]]:
        """The mapping that is used (empty: none), and what it and the vendor make of a normal event."""
        try:
            name = mapping or destination.vendor.mapping(normal)
        except LookupError:
            return "", ()
        if not name:
            return "", destination.vendor.records(normal, None)
        return name, destination.vendor.records(normal, self._book.get(name).apply(normal.document()))


class _Made:
    """What is made of one event on one lane: each record has its bytes, and a name of its own."""

    __slots__ = ("_event", "_generation", "_lane", "_parts", "_records", "deaths")

    def __init__(self, event: Event, lane: int, generation: int) -> None:
        self._event = event
        self._lane = lane
        self._generation = generation
        self._parts: set[str] = set()
        self._records: list[Record] = []
        self.deaths: list[Death] = []

    def take(
        self, normal: NormalEvent, drafts: Sequence[Draft], destination: Destination, hold_s: float, mapping: str
    ) -> None:
        """What one mapping (empty: none) and the vendor made of a normal event that is held so long."""
        event, parts = self._event, self._parts
        most = destination.rules.record_bytes
        version_ms = _version_ms(normal) if destination.settings.knows_versions() else 0
        for draft in drafts:
            part = draft.part
            if part in parts:
                part = _distinct(part, parts)
            parts.add(part)
            encoded = document.dump(draft.data)
            if len(encoded) > most:
                detail = f"{len(encoded)} bytes; {destination.settings.vendor} takes {most}"
                self.deaths.append(Death(part, Reason.TOO_LARGE, detail, mapping))
                continue
            self._records.append(
                Record(
                    self._lane,
                    event.seq,
                    event.source,
                    part,
                    draft,
                    encoded,
                    event_id=normal.id,
                    event_type=normal.type,
                    time=normal.time,
                    generation=self._generation,
                    traceparent=normal.traceparent,
                    received_at_ms=event.received_at_ms,
                    hold_ms=int(hold_s * 1000),
                    entity=normal.entity,
                    version_ms=version_ms,
                    mapping=mapping,
                )
            )

    def planned(self) -> Planned:
        """All that was made. One death per part: a row is found by it."""
        if not self.deaths:
            return Planned(tuple(self._records))
        deaths = {death.part: death for death in reversed(self.deaths)}
        return Planned(tuple(self._records), tuple(deaths.values()))


def _version_ms(normal: NormalEvent) -> int:
    """When the entity was last changed, by its own word; 0 where it does not say."""
    told = normal.data.get("updated_at") if isinstance(normal.data, dict) else None
    if not isinstance(told, str):
        return 0
    try:
        at = datetime.fromisoformat(told)
    except ValueError:
        return 0
    return int(at.timestamp() * 1000) if at.tzinfo is not None else 0


def _distinct(part: str, parts: set[str]) -> str:
    """The part with the first number that makes it another than those."""
    return next(name for count in itertools.count(2) if (name := f"{part}#{count}") not in parts)


class Setup(Struct, frozen=True):
    """What a configuration means for delivery: its destinations, the sources that still exist, the planner, the
    revision up to which events may be read under it, and the digest that is kept with each attempt.
    """

    destinations: Mapping[str, Destination]
    sources: frozenset[str]
    planner: Planner
    revision: int
    digest: str = ""
