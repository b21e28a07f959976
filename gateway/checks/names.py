"""Mappings that nothing uses, and topics that an earlier glob has taken."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from gateway.config.load import Loaded, Problem
from gateway.config.schema import RouteTarget
from gateway.mapping.book import shipped_names
from gateway.vendors.http import HttpSettings


def unused(loaded: Loaded) -> Iterator[Problem]:
    """Mappings of one's own that no source, preset, route, destination or mapping names, and that replace no shipped
    one.
    """
    config = loaded.config
    used = {name for source in config.sources.values() for name in source.normalise.values()}
    for table in (preset.get("normalise") for preset in config.presets.values()):
        used |= set(map(str, table.values())) if isinstance(table, dict) else set()
    used |= {to.map for route in config.routes for to in route.to if isinstance(to, RouteTarget) and to.map}
    used |= {one.body for one in loaded.destinations.values() if isinstance(one, HttpSettings) and one.body}
    used |= {str(base) for name, one in config.mappings.items() if (base := one.get("extends")) not in (None, name)}
    for name in config.mappings.keys() - used - set(shipped_names()):
        hint = "name it under a source's `normalise`, or as `map` in a route"
        yield Problem(("mappings", name), "nothing uses this mapping", hint, warning=True)


def shadowed(loaded: Loaded) -> Iterator[Problem]:
    """Topics of a source that never reach their mapping: the first glob that matches counts."""
    for name, source in loaded.config.sources.items():
        earlier: list[str] = []
        for topics in source.normalise:
            first = next((one for one in earlier if fnmatchcase(topics, one)), None)
            if first is not None:
                at = ("sources", name, "normalise", topics)
                cause = f"`{first}` stands before it and takes its topics"
                yield Problem(at, cause, "the first glob that matches counts: put it first", warning=True)
            earlier.append(topics)
