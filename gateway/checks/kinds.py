"""Which types of events a source is known to make, told from its topics and mappings; and whether a glob meets one."""

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from gateway.config.load import Loaded
from gateway.config.schema import Source
from gateway.mapping import normalise
from gateway.mapping.book import Book
from gateway.model import NormalEvent
from gateway.receive.presets import Preset, load_presets, own_faults

LOOKED_UP = "lookup/"
"""How the topics of what a look-up finds begin, unless the look-up says otherwise."""

_WILD = re.compile(r"[*?\[\]]")
_VERBS = (*sorted(normalise.PAST_TENSES), "data_requested")


class Kind(NamedTuple):
    """A type of events, or all types of an entity where the topic does not say which (`order.*`); `entity` is None for
    a topic that is taken as it is. `mapping` makes them.
    """

    type: str
    entity: str | None
    mapping: str | None

    def types(self) -> tuple[str, ...]:
        """The types it may stand for, by the verbs that there are."""
        return tuple(self.type.replace("*", verb) for verb in _VERBS) if "*" in self.type else (self.type,)

    def meets(self, glob: str) -> bool:
        """Whether a route's glob may match an event of this kind."""
        return any(fnmatchcase(type_, glob) for type_ in self.types()) or fnmatchcase(_WILD.sub("", glob), self.type)


class Known(NamedTuple):
    """What a source is known to make. `is_open`: topics beyond these become types as they are. `is_platform`: its
    topics are a platform's, not its owner's.
    """

    kinds: tuple[Kind, ...]
    is_open: bool
    is_platform: bool

    def entities(self) -> set[str]:
        return {kind.entity for kind in self.kinds if kind.entity}


def sound_presets(loaded: Loaded) -> Mapping[str, Preset]:
    """The shipped presets and those of the configuration that have no faults."""
    broken = {path[0] for path, _ in own_faults(loaded.config.presets)}
    return load_presets({name: one for name, one in loaded.config.presets.items() if name not in broken})


def known(loaded: Loaded, presets: Mapping[str, Preset], book: Book) -> dict[str, Known]:
    """What each source is known to make. A source whose preset is not there is left out."""
    sources = loaded.config.sources.items()
    return {name: _known(source, presets[source.preset], book) for name, source in sources if source.preset in presets}


def received(loaded: Loaded, presets: Mapping[str, Preset], book: Book) -> dict[str, Known]:
    """What each source is known to make of what it receives, without what its look-ups find."""
    sources = loaded.config.sources.items()
    plain = {name: source.model_copy(update={"lookup": []}) for name, source in sources}
    return {name: _known(one, presets[one.preset], book) for name, one in plain.items() if one.preset in presets}


def _known(source: Source, preset: Preset, book: Book) -> Known:
    rules = [(glob, name) for table in (source.normalise, preset.normalise) for glob, name in table.items()]
    if not source.lookup:
        rules = [(glob, name) for glob, name in rules if not glob.startswith(LOOKED_UP)]
    if source.topic is not None and source.topic.startswith("const:"):
        topic = source.topic.removeprefix("const:")
        rule = next((name for glob, name in rules if fnmatchcase(topic, glob)), None)
        kinds = tuple(_kinds([(topic, rule)], book))
        return Known(kinds, is_open=not kinds, is_platform=False)
    is_open = not any(glob == "*" for glob, _ in rules)
    return Known(tuple(dict.fromkeys(_kinds(rules, book))), is_open, is_platform=bool(preset.normalise))


def _kinds(rules: Iterable[tuple[str, str | None]], book: Book) -> Iterator[Kind]:
    for glob, name in rules:
        entity, verb = made_by(book, name) if name is not None else (None, None)
        if entity is not None:
            yield Kind(f"{entity}.{verb or _verb(glob, entity)}", entity, name)
        elif not _WILD.search(glob):
            yield Kind(normalise.dotted(glob), None, name)


def made_by(book: Book, mapping: str) -> tuple[str | None, str | None]:
    """The entity and the verb that a mapping names, without compiling it."""
    rules = book.rules_of(mapping)
    entity, verb = rules.get("entity"), rules.get("verb")
    return entity if isinstance(entity, str) else None, verb if isinstance(verb, str) else None


def _verb(glob: str, entity: str) -> str:
    """The verb that topics of a glob end in, `*` where the glob leaves it open."""
    last = re.split(r"[./:]", glob)[-1]
    return "*" if _WILD.search(last) else normalise.verb(glob, entity)


def example(source: str, kind: Kind, type_: str) -> NormalEvent:
    """An event of a kind, for asking a vendor whether it takes such."""
    data = {"id": "1"}
    return NormalEvent(
        id="evt_1",
        seq=1,
        source=source,
        type=type_,
        subject="1",
        time="2026-01-02T03:04:05Z",
        topic=type_,
        entity=kind.entity,
        held=data,
        received_at_ms=0,
    )
