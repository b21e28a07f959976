"""Routes that can never match, and destinations that take nothing of what a route sends them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import NamedTuple

from gateway.checks.kinds import Kind, Known, example, known, made_by, sound_presets
from gateway.config.load import Loaded, Problem
from gateway.config.schema import Route, RouteTarget
from gateway.config.wording import near
from gateway.errors import Refusal
from gateway.mapping import vocabulary
from gateway.mapping.book import Book
from gateway.mapping.normalise import glob, verb
from gateway.model import NormalEvent
from gateway.vendors import VENDORS
from gateway.vendors.base import Vendor

_IMPOSSIBLE = re.compile(r"[^a-z0-9_.*?\[\]!-]")
_SHOWN = 4
_RAW = Kind("*", None, None)
_TYPE_PARTS = 2


class Reached(NamedTuple):
    """A kind of events that a route may match: from which source, and as which of its types."""

    source: str
    kind: Kind
    types: tuple[str, ...]

    def examples(self) -> list[NormalEvent]:
        return [example(self.source, self.kind, type_) for type_ in self.types]


def routes(loaded: Loaded) -> Iterator[Problem]:
    """Globs that meet nothing their sources are known to make; destinations that would filter whatever comes."""
    if not loaded.config.sources:
        return
    book = Book(loaded.config.mappings)
    makes = known(loaded, sound_presets(loaded), book)
    for index, route in enumerate(loaded.config.routes):
        sources = sources_of(loaded, route, makes)
        if not sources:
            continue
        yield from _globs(index, route, sources, loaded, book)
        reached = reaches(route, sources)
        for place, target in enumerate(route.to):
            yield from _target(("routes", index, "to", place), target, reached, loaded)


def sources_of(loaded: Loaded, route: Route, makes: Mapping[str, Known]) -> dict[str, Known]:
    """What a route's sources make."""
    names = loaded.config.sources if route.source_names is None else route.source_names
    return {name: makes[name] for name in names if name in makes}


def reaches(route: Route, sources: Mapping[str, Known]) -> list[Reached]:
    """The kinds of events that a route may match; events that are taken as they are count as one more."""
    found = []
    for name, makes in sources.items():
        for kind in makes.kinds:
            types = tuple(type_ for type_ in kind.types() if any(glob(one).fullmatch(type_) for one in route.events))
            if types or any(kind.meets(one) for one in route.events):
                found.append(Reached(name, kind, types or (kind.type.replace("*", "changed"),)))
        if makes.is_open and any(_may_be_raw(one, makes) for one in route.events):
            found.append(Reached(name, _RAW, ("webhook.received",)))
    return found


def _may_be_raw(pattern: str, makes: Known) -> bool:
    """Whether a glob may mean events that are taken as they are, and not an entity that the source makes."""
    return not _IMPOSSIBLE.search(pattern) and pattern.partition(".")[0] not in makes.entities()


# --- globs -----------------------------------------------------------------------------------------------------------


def _globs(index: int, route: Route, sources: Mapping[str, Known], loaded: Loaded, book: Book) -> Iterator[Problem]:
    who = f"`{next(iter(sources))}` is" if len(sources) == 1 else "its sources are"
    for place, pattern in enumerate(route.events):
        at = ("routes", index, "events", place)
        if _IMPOSSIBLE.search(pattern):
            cause = f"`{pattern}` matches no type: those are lower case, <entity>.<verb>"
            yield Problem(at, cause, _topic_as_type(pattern, sources, loaded, book), warning=True)
        elif not any(_may_meet(pattern, makes) for makes in sources.values()):
            cause = f"`{pattern}` matches nothing that {who} known to make"
            yield Problem(at, cause, near(pattern, _known_like(pattern, sources.values())), warning=True)


def _known_like(pattern: str, sources: Iterable[Known]) -> set[str]:
    """What there is of the form that was written: types, or `order.*` for each entity."""
    makes = list(sources)
    if pattern.endswith(".*"):
        return {f"{entity}.*" for one in makes for entity in one.entities()}
    return {kind.type for one in makes for kind in one.kinds}


def _may_meet(pattern: str, makes: Known) -> bool:
    if any(kind.meets(pattern) for kind in makes.kinds):
        return True
    return makes.is_open and not _is_slip(pattern, makes)


def _is_slip(pattern: str, makes: Known) -> bool:
    """Whether a glob that meets no known kind looks like one that was meant to: a platform's topics are not its owner's
    to name, so `ordr.*` or `cart.*` is rather a slip than a topic that nobody has heard of.
    """
    parts = pattern.split(".")
    if not makes.is_platform or len(parts) > _TYPE_PARTS:
        return False
    return bool(get_close_matches(parts[0], {*vocabulary.entities(), *makes.entities()}, n=1, cutoff=0.75))


def _topic_as_type(pattern: str, sources: Iterable[str], loaded: Loaded, book: Book) -> str:
    """What a topic that stands where a type is wanted becomes: `orders/create` is `order.created`."""
    presets = sound_presets(loaded)
    for name in sources:
        source = loaded.config.sources[name]
        rules = [*source.normalise.items(), *presets[source.preset].normalise.items()]
        found = [mapping for topics, mapping in rules if fnmatchcase(pattern, topics) or fnmatchcase(topics, pattern)]
        if found and (entity := made_by(book, found[0])[0]):
            is_glob = any(sign in pattern for sign in "*?[")
            return f"did you mean `{entity}.{'*' if is_glob else verb(pattern, entity)}`?"
    return "for example `order.*`, `order.created`"


# --- targets ---------------------------------------------------------------------------------------------------------


def _target(
    at: tuple[str | int, ...], target: str | RouteTarget, reached: list[Reached], loaded: Loaded
) -> Iterator[Problem]:
    name, mapping = (target, None) if isinstance(target, str) else (target.destination, target.map)
    settings = loaded.destinations.get(name)
    if settings is None or not reached:
        return
    vendor = VENDORS[settings.vendor](name, settings)
    if not any(takes(vendor, event, mapping) for one in reached for event in one.examples()):
        types = sorted({one.kind.type for one in reached if one.kind.entity})
        what = (
            ", ".join(types[:_SHOWN]) + (" ..." if len(types) > _SHOWN else "") or "events that no mapping normalises"
        )
        cause = f"`{name}` takes nothing of what this route matches: {what}"
        yield Problem(at, cause, "they are filtered there; name a `map`, or an entity that it takes", warning=True)


def takes(vendor: Vendor, event: NormalEvent, mapping: str | None) -> bool:
    """Whether an event would become a record there, or die of what is missing in it; not: be filtered."""
    try:
        name = mapping or vendor.mapping(event)
        return bool(vendor.records(event, [{}] if name else None))
    except LookupError:
        return False
    except Refusal:
        return True
