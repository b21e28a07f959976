"""Which lanes a configuration names: one for each source and destination that a route joins, and for each look-up of a
source.
"""

from collections.abc import Mapping

from gateway.config.schema import Config, DestinationSettings, Route, RouteTarget
from gateway.model import LaneSpec


def lane_specs(config: Config, destinations: Mapping[str, DestinationSettings]) -> tuple[LaneSpec, ...]:
    """The lanes, each once: in the order of the routes, then look-ups. `destinations`: the settings of both."""
    routed = [
        (source, destination)
        for route in config.routes
        for source in _sources(config, route)
        for destination in _destinations(route)
    ]
    looked_up = [(source, name) for source, settings in config.sources.items() for name in settings.lookup]
    pairs = dict.fromkeys(pair for pair in (*routed, *looked_up) if pair[1] in destinations)
    return tuple(LaneSpec(source, name, was=tuple(destinations[name].was)) for source, name in pairs)


def _sources(config: Config, route: Route) -> list[str]:
    names = route.source_names if route.source_names is not None else list(config.sources)
    return [name for name in names if name in config.sources]


def _destinations(route: Route) -> list[str]:
    return [target.destination if isinstance(target, RouteTarget) else target for target in route.to]
