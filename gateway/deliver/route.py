"""Which destinations want a normal event, and through which mappings. Pure.

Every matching route counts; the same destination with the same mapping once, with different mappings once each.
"""

import re
from collections.abc import Sequence
from fnmatch import translate
from functools import lru_cache
from typing import Any

from msgspec import Struct

from gateway.config.schema import Route, RouteTarget
from gateway.errors import MappingError
from gateway.mapping.expressions import EvaluationError, Expression, compile_expression
from gateway.model import NormalEvent

TYPES_MAX = 1024
"""Pairs of source and type whose routes are remembered."""

Targets = dict[str, dict[str | None, float]]
"""Destination -> the mappings through which it wants the event (None: the vendor's own) -> how many seconds after its
receipt at the earliest.
"""


class Decision(Struct, frozen=True):
    """Whether one route wants an event, and why not; and for how long it is held."""

    route: int
    wants: bool
    why: str
    to: tuple[tuple[str, str | None], ...]
    hold_s: float = 0.0


class _Compiled(Struct, frozen=True):
    sources: frozenset[str] | None
    events: re.Pattern[str]
    when: Expression | None
    hold_s: float
    to: tuple[tuple[str, str | None], ...]


class Router:
    """The routes of a configuration, compiled once."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = [_compile(route) for route in routes]
        self._matching = lru_cache(maxsize=TYPES_MAX)(self._match)

    def targets(self, event: NormalEvent) -> Targets:
        """Who wants the event. Raises MappingError when a condition cannot be evaluated on it."""
        routes, known = self._matching(event.source, event.type)
        if known is not None:
            return {destination: holds.copy() for destination, holds in known.items()}
        document = event.document()
        return _together(
            [route for index, route in routes if route.when is None or _holds(route.when, document, index)]
        )

    def reach(self, source: str) -> set[str]:
        """The destinations that may want events of this source."""
        routes = (route for route in self._routes if route.sources is None or source in route.sources)
        return {destination for route in routes for destination, _ in route.to}

    def _match(self, source: str, type_: str) -> tuple[Sequence[tuple[int, _Compiled]], Targets | None]:
        """The routes that events of this source and type may take, with their places; and who wants them all, where no
        condition decides.
        """
        routes = [(index, route) for index, route in enumerate(self._routes) if not _mismatch(route, source, type_)]
        if any(route.when is not None for _, route in routes):
            return routes, None
        return routes, _together([route for _, route in routes])

    def explain(self, event: NormalEvent) -> tuple[Decision, ...]:
        """What each route says of the event, for people."""
        return tuple(_decide(index, route, event) for index, route in enumerate(self._routes))


def globs(patterns: Sequence[str]) -> re.Pattern[str]:
    """One pattern that matches what any of these globs does."""
    return re.compile("|".join(f"(?:{translate(glob)})" for glob in patterns))


def holds(value: Any) -> bool:
    """Whether a condition's value means yes: JMESPath's truth."""
    return value is not None and value is not False and value not in ("", [], {})


def _compile(route: Route) -> _Compiled:
    return _Compiled(
        frozenset(route.source_names) if route.source_names is not None else None,
        globs(route.events),
        compile_expression(route.when) if route.when is not None else None,
        route.hold or 0.0,
        tuple(_target(target) for target in route.to),
    )


def _target(target: str | RouteTarget) -> tuple[str, str | None]:
    return (target, None) if isinstance(target, str) else (target.destination, target.map)


def _together(routes: Sequence[_Compiled]) -> Targets:
    found: Targets = {}
    for route in routes:
        for destination, mapping in route.to:
            holds = found.setdefault(destination, {})
            holds[mapping] = max(holds.get(mapping, 0.0), route.hold_s)
    return found


def _mismatch(route: _Compiled, source: str, type_: str) -> str:
    if route.sources is not None and source not in route.sources:
        return f"from: {source} is not among its sources"
    if route.events.match(type_) is None:
        return f"events: {type_} matches none of its globs"
    return ""


def _holds(when: Expression, document: dict[str, Any], index: int) -> bool:
    try:
        value = when(document)
    except EvaluationError as error:
        raise MappingError(f"routes[{index}]", "when", str(error)) from None
    return holds(value)


def _decide(index: int, route: _Compiled, event: NormalEvent) -> Decision:
    why = _mismatch(route, event.source, event.type)
    if not why and route.when is not None and not _holds(route.when, event.document(), index):
        why = "when: the condition does not hold"
    return Decision(index, not why, why, route.to, route.hold_s)
