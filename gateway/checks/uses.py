"""What mappings of one's own are used for: which events come through each, and for which destination."""

from collections.abc import Iterator
from typing import NamedTuple

from gateway.checks.kinds import Known, known, sound_presets
from gateway.checks.routes import Reached, reaches, sources_of
from gateway.config.load import Loaded
from gateway.config.schema import RouteTarget
from gateway.errors import MappingError, Refusal
from gateway.mapping.book import Book
from gateway.vendors import VENDORS
from gateway.vendors.base import Vendor


class Use(NamedTuple):
    """A mapping of one's own in a route: where it is named, for which destination, and what comes through it."""

    at: tuple[str | int, ...]
    mapping: str
    destination: str
    reached: tuple[Reached, ...]


class House:
    """The configuration as these checks see it: its sources' kinds, its book, and who uses which mapping for what."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self.book = Book(loaded.config.mappings)
        self.makes: dict[str, Known] = known(loaded, sound_presets(loaded), self.book)

    def uses(self) -> Iterator[Use]:
        """The configuration's own mappings that make records, named by a route or in place of a shipped one."""
        for index, route in enumerate(self.loaded.config.routes):
            reached = reaches(route, sources_of(self.loaded, route, self.makes))
            for place, target in enumerate(route.to):
                yield from self._used(("routes", index, "to", place), target, reached)

    def _used(self, at: tuple[str | int, ...], target: str | RouteTarget, reached: list[Reached]) -> Iterator[Use]:
        name, mapping = (target, None) if isinstance(target, str) else (target.destination, target.map)
        if name not in self.loaded.destinations:
            return
        through: dict[str, list[Reached]] = {}
        for one in reached:
            found = mapping or _default(self.vendor(name), one)
            if found is not None and self._is_own(found):
                through.setdefault(found, []).append(one)
        for found, some in through.items():
            yield Use((*at, "map") if mapping else ("mappings", found), found, name, tuple(some))

    def _is_own(self, mapping: str) -> bool:
        """Whether it is a mapping of the configuration's own, and sound."""
        if mapping not in self.loaded.config.mappings:
            return False
        try:
            self.book.get(mapping)
        except MappingError:
            return False
        return True

    def vendor(self, destination: str) -> Vendor:
        settings = self.loaded.destinations[destination]
        return VENDORS[settings.vendor](destination, settings)

    def normalising(self) -> set[str]:
        """The mappings that make normal events."""
        config, presets = self.loaded.config, sound_presets(self.loaded)
        named = {*config.presets, *(source.preset for source in config.sources.values())}
        tables = [source.normalise for source in config.sources.values()]
        tables += [presets[name].normalise for name in named if name in presets]
        return {name for table in tables for name in table.values()}


def _default(vendor: Vendor, reached: Reached) -> str | None:
    for event in reached.examples():
        try:
            if name := vendor.mapping(event):
                return name
        except (LookupError, Refusal):
            continue
    return None
