"""What can be learned from a source's stored payloads: what is read of them, what is filled from them, what changed."""

from collections.abc import Iterable
from typing import Any

from msgspec import Struct, field

from gateway import app, document
from gateway.config.load import Loaded
from gateway.document import Unreadable
from gateway.errors import MappingError
from gateway.mapping import vocabulary
from gateway.mapping.book import Book
from gateway.mapping.normalise import Normaliser, read_body
from gateway.mapping.reads import made, reads
from gateway.mapping.shape import Drift, Field, Shape, dotted, drift, gathered
from gateway.mapping.shape import Path as FieldPath
from gateway.model import Event, NormalEvent
from gateway.trial.way import Guide


class Topic(Struct):
    """What came under one topic: the shape of its payloads before and lately, and the mapping that reads them."""

    name: str
    mapping: str | None
    before: Shape = field(default_factory=Shape)
    lately: Shape = field(default_factory=Shape)


class Made(Struct):
    """What was made of events: the shape of what it holds, and the fields it could hold."""

    name: str
    entity: str
    mapping: str
    known: set[FieldPath]
    shape: Shape = field(default_factory=Shape)

    def unfilled(self) -> list[FieldPath]:
        """Fields that could be there and never were; of an object that never was, only the object."""
        filled = self.shape.fields.keys()
        missing = {path for path in self.known if path not in filled}
        return sorted(path for path in missing if path[:-1] not in missing)


class Study:
    """Everything that is noted of a source's events."""

    def __init__(self, loaded: Loaded, source: str) -> None:
        self.source = source
        self.events = 0
        self.topics: dict[str, Topic] = {}
        self.normals: dict[str, Made] = {}
        self.records: dict[tuple[str, str], Made] = {}
        self._guide = Guide(loaded)
        self._vendors = {name: one.vendor for name, one in app.destinations_of(loaded).items()}
        self.book = Book(loaded.config.mappings)
        settings = loaded.config.sources[source]
        preset = app.presets_of(loaded)[settings.preset]
        self._normaliser = Normaliser(source, settings, preset.normalise, self.book)

    def look(self, event: Event, *, lately: bool) -> None:
        """One event more."""
        self.events += 1
        if event.topic not in self.topics:
            self.topics[event.topic] = Topic(event.topic, self._mapping(event.topic))
        topic = self.topics[event.topic]
        try:
            (topic.lately if lately else topic.before).add(read_body(event.headers, event.body))
        except Unreadable:
            return
        way = self._guide.events([event])
        for normal in way.normals:
            self._note_normal(normal)
        for normal, decisions in way.decisions:
            wanted = [target for one in decisions if one.wants for target in one.to]
            for name, mapping in dict.fromkeys(wanted):
                self._expect_records(name, mapping, normal)
        for name, record in way.records:
            entity = next((normal.entity for normal in way.normals if normal.id == record.event_id), None)
            if (made_there := self.records.get((name, entity or ""))) is not None:
                made_there.shape.add(document.parse(record.encoded))

    def _mapping(self, topic: str) -> str | None:
        try:
            mapping = self._normaliser.mapping(topic)
        except MappingError:
            return None
        return mapping.name if mapping else None

    def _note_normal(self, normal: NormalEvent) -> None:
        if normal.entity is None:
            return
        entity = normal.entity
        if entity not in self.normals:
            self.normals[entity] = Made("", entity, "", set(vocabulary.fields(entity)))
        self.normals[entity].shape.add(document.parse(document.dump(normal.data)))

    def _expect_records(self, name: str, mapping: str | None, normal: NormalEvent) -> None:
        """The fields that records there could have: those of the vendor's own mapping, and of the one in use."""
        key = (name, normal.entity or "")
        if key in self.records:
            return
        try:
            own = self._vendors[name].mapping(normal)
        except LookupError:
            own = None
        used = mapping or own
        known = {path for one in (own, used) if one for path, _ in made(self.book.rules_of(one))}
        if used is not None:
            self.records[key] = Made(name, key[1], used, known)

    # --- what came of it

    def unread(self, topic: Topic) -> list[tuple[FieldPath, int, Field]]:
        """Fields that the topic's mapping never reads, objects in place of all their fields; and how many they are."""
        if topic.mapping is None:
            return []
        read, whole = reads(self.book.rules_of(topic.mapping)), topic.before.plus(topic.lately)
        leaves = whole.leaves()
        paths = {path: one for path, one in leaves.items() if not read.covers(("body", *path))}
        return [(path, count, whole.fields[path]) for path, count in gathered(paths, leaves)]

    def as_table(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "events": self.events,
            "topics": [self._topic_row(topic) for topic in self.topics.values()],
            "normal": [{"entity": one.entity, "unfilled": names(one.unfilled())} for one in self.normals.values()],
            "destinations": [
                {"destination": one.name, "entity": one.entity or None, "mapping": one.mapping}
                | {"records": one.shape.payloads, "unfilled": names(one.unfilled())}
                for one in self.records.values()
            ],
        }

    def _topic_row(self, topic: Topic) -> dict[str, Any]:
        unread = [
            {"path": dotted(path), "fields": count, "kinds": sorted(one.kinds), "payloads": one.payloads}
            for path, count, one in self.unread(topic)
        ]
        changes = [_drift_row(one) for one in drift(topic.before, topic.lately)]
        counts = {"events": topic.before.payloads + topic.lately.payloads, "lately": topic.lately.payloads}
        return {"topic": topic.name, **counts, "mapping": topic.mapping, "unread": unread, "drift": changes}


def names(paths: Iterable[FieldPath]) -> list[str]:
    return [dotted(path) for path in paths]


def _drift_row(one: Drift) -> dict[str, Any]:
    kinds = {"before": list(one.before), "after": list(one.after)}
    return {"path": dotted(one.path), "change": one.change, **kinds, "payloads": one.payloads}
