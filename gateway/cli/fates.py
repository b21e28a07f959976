"""Two configurations side by side: what each makes of the same events, and how that differs."""

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

from msgspec import Struct, field

from gateway import document
from gateway.cli.comparing import ABSENT, Difference, compare
from gateway.config.load import Loaded
from gateway.journal.base import EventFilter, Journal
from gateway.model import Event
from gateway.trial.way import Guide, Way

PAGE = 200
SHOWN = 4
"""Fields of a change that are kept with their values."""


class Fate(Struct, frozen=True):
    """What one event is for one destination: the data of its records by part, or why it is dead. Neither: filtered."""

    records: dict[str, Any]
    dead: str = ""


NOWHERE = Fate({})


class Change(Struct):
    """Events that change in the same way: how, and one of them as an example."""

    destination: str
    kind: str
    type: str
    fields: tuple[str, ...]
    example: str
    differences: list[Difference]
    why: str = ""
    count: int = 0


class Report(Struct):
    """What two configurations make of the same events."""

    events: int = 0
    same: int = 0
    changes: dict[tuple[str, ...], Change] = field(default_factory=dict)
    addresses: dict[str, tuple[set[str], set[str]]] = field(default_factory=dict)

    @property
    def kills(self) -> bool:
        """Whether something would be dead that is not."""
        return any(change.kind == "dead" for change in self.changes.values())


class Pair:
    """Two configurations, side by side."""

    def __init__(self, old: Loaded, new: Loaded) -> None:
        self._old = Guide(old)
        self._new = Guide(new)
        self._renamed = {former: name for name, settings in new.destinations.items() for former in settings.was}
        self._report = Report()

    async def compared(self, journal: Journal, source: str | None, last: int) -> Report:
        """What becomes of the journal's last events under each."""
        async for event in events_of(journal, source, last):
            self._compare(event)
        return self._report

    def _compare(self, event: Event) -> None:
        before, after = _way(self._old, event), _way(self._new, event)
        self._note_addresses(before, after)
        type_ = next((way.normals[0].type for way in (after, before) if way.normals), event.topic)
        was = {self._renamed.get(name, name): fate for name, fate in _fates(before, self._old).items()}
        becomes = _fates(after, self._new)
        changes = [
            change
            for name in sorted(was.keys() | becomes.keys())
            if (change := _change(name, type_, event.id, was.get(name, NOWHERE), becomes.get(name, NOWHERE)))
        ]
        self._report.events += 1
        self._report.same += not changes
        for change in changes:
            key = (change.destination, change.kind, change.type, change.why, *change.fields)
            self._report.changes.setdefault(key, change).count += 1

    def _note_addresses(self, before: Way, after: Way) -> None:
        """Where requests go."""
        for place, way in enumerate((before, after)):
            for sent in way.requests:
                name = self._renamed.get(sent.destination, sent.destination)
                address = f"{sent.request.method} {sent.request.url}"
                self._report.addresses.setdefault(name, (set(), set()))[place].add(address)


async def events_of(journal: Journal, source: str | None, last: int) -> AsyncIterator[Event]:
    """The last events, newest first, a page at a time."""
    before: int | None = None
    while last > 0:
        page = await journal.events(EventFilter(source=source, before_seq=before, limit=min(PAGE, last)))
        for event in page:
            yield event
        if not page:
            return
        before, last = page[-1].seq, last - len(page)


def _way(guide: Guide, event: Event) -> Way:
    """What becomes of an event; nothing under a configuration that does not know its source."""
    return guide.events([event]) if event.source in guide.sources else Way()


def _fates(way: Way, guide: Guide) -> dict[str, Fate]:
    if way.failure is not None:
        return {name: Fate({}, f"mapping_failed: {way.failure}") for name in guide.destinations}
    fates = {name: Fate({}, f"{death.reason}: {death.detail}") for name, death in way.deaths}
    for name, record in way.records:
        fates.setdefault(name, Fate({})).records[record.part] = document.parse(record.encoded)
    return fates


def _change(name: str, type_: str, event: str, before: Fate, after: Fate) -> Change | None:
    """How an event changes for a destination; None where it does not."""
    kind, why, differences = "", "", []
    if after.dead and not before.dead:
        kind, why = "dead", after.dead
    elif before.dead and not after.dead:
        kind, why = ("revived" if after.records else "spared"), before.dead
    elif not before.records and after.records:
        kind = "added"
    elif before.records and not after.records and not after.dead:
        kind = "removed"
    elif differences := list(_record_differences(before, after)):
        kind = "changed"
    fields = tuple(dict.fromkeys(re.sub(r"\[\d+\]", "[]", one.path) for one in differences))
    return Change(name, kind, type_, fields, event, differences[:SHOWN], why) if kind else None


def _record_differences(before: Fate, after: Fate) -> Iterator[Difference]:
    """Where the records differ, path by path; a record that is new or gone is one difference."""
    for part in dict.fromkeys([*before.records, *after.records]):
        pair = before.records.get(part, ABSENT), after.records.get(part, ABSENT)
        if ABSENT in pair:
            yield Difference(part.partition(":")[0], *pair)
            continue
        for one in compare("", *pair, exact=True):
            yield Difference(one.path.removeprefix("."), one.expected, one.found)
