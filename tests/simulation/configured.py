"""The configurations of a simulation: where its events go, and what each destination wishes.

What does not belong to one history is made once for all of them.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any

from gateway.config.schema import BreakerSetting, Route, Source
from gateway.deliver.plan import Destination, Planner, Setup
from gateway.deliver.route import Router
from gateway.mapping.book import Book
from gateway.mapping.normalise import Normaliser
from gateway.model import LaneSpec
from gateway.vendors.lookup import Lookup, LookupSettings
from tests.simulation.paper import LIMIT, Paper, PaperSettings

SOURCES = ("shop-a", "shop-b")
DESTINATIONS = {"left": "one", "right": "one", "far": "two"}
"""Destination -> account: two destinations share one budget."""
LATE = "late"
"""A destination more that is not there from the beginning, and may ask for the past."""
ACCOUNTS = DESTINATIONS | {LATE: "one"}
HOLD_S = 20.0
HELD_AT = "left"
QUIET = ["08:54-08:55 UTC", "08:57-09:02 UTC", "Thu 10:30-11:00 UTC"]
"""Within minutes of the beginning (a Thursday, 08:53:20), and where a clock that is an hour off thinks it is."""
QUIET_AT = "far"
BREAKERS: dict[str, Any] = {
    "left": {"failures": 4, "rate": "40%", "window": "30s", "open": "5s", "max": "1m", "ramp": "20s"},
    "right": {},
    "far": False,
    "late": {},
}
LOOKED_UP = "shop-a"
"""The source whose events are looked up, in every other history."""
LOOKUP = "whole"
"""The look-up, an account of its own."""


class Kind(StrEnum):
    """What a seed's history is about: some turns of anything, many, lanes that wait for one another, or outages."""

    SMALL = "small"
    LONG = "long"
    CROWDED = "crowded"
    FAILING = "failing"


KINDS = {Kind.LONG: 0.10, Kind.CROWDED: 0.005, Kind.FAILING: 0.015}
"""The share of the histories that is of each kind; all others are small, since most faults need no more."""


def kind(seed: int | None) -> Kind:
    """What the history of a seed is about."""
    drawn = random.Random(f"{seed} kind").random()
    for one, share in KINDS.items() if seed is not None else ():
        if drawn < share:
            return one
        drawn -= share
    return Kind.SMALL


@dataclass
class Configured:
    """What a configuration says of the destinations, by where they are in the world: their names now and before, their
    accounts, which are not configured, which want only the newest states, and from when the late one wants events
    (`now`, `beginning` or a time).
    """

    revision: int = 0
    names: dict[str, str] = field(default_factory=lambda: {site: site for site in ACCOUNTS})
    was: dict[str, tuple[str, ...]] = field(default_factory=dict)
    accounts: dict[str, str] = field(default_factory=lambda: dict(ACCOUNTS))
    gone: frozenset[str] = frozenset({LATE})
    coalesce: frozenset[str] = frozenset()
    stale: frozenset[str] = frozenset()
    start: str = ""

    def specs(self) -> list[LaneSpec]:
        """The lanes that it names."""
        return [
            LaneSpec(source, name, was=self.was.get(site, ()))
            for source in SOURCES
            for site, name in self.names.items()
            if site not in self.gone
        ]

    def rule(self, account: str) -> BreakerSetting | None:
        """The rule by which an account is left alone; None where it never is."""
        told = (BREAKERS[site] for site, its in self.accounts.items() if its == account and site not in self.gone)
        one: Any = next(told, {})
        return None if one is False else _breaker(tuple(one.items()))


@lru_cache
def _breaker(told: tuple[tuple[str, Any], ...]) -> BreakerSetting:
    return BreakerSetting.model_validate(dict(told))


def first(seed: int | None) -> Configured:
    """The first configuration of a seed's history; without one, nothing that is opt-in."""
    rng = random.Random(f"{seed} setup")
    told = {site: (rng.random() < 0.25, rng.random() < 0.25) for site in ACCOUNTS}
    if seed is None or kind(seed) is Kind.CROWDED:
        return Configured()
    coalesce, stale = (frozenset(site for site, wants in told.items() if wants[place]) for place in (0, 1))
    return Configured(coalesce=coalesce, stale=stale)


def setup(seed: int | None = None, configured: Configured | None = None) -> Setup:
    """The configuration of a seed's history."""
    configured = configured or first(seed)
    destinations = {}
    for site, name in configured.names.items():
        if site in configured.gone:
            continue
        wishes = (site in configured.coalesce, site in configured.stale) if seed is not None else None
        told = {"account": configured.accounts[site], "revision": configured.revision}
        settings = _settings(site, wishes).model_copy(update=told)
        vendor = Paper(name, settings)
        destinations[name] = Destination(name, settings, vendor, vendor.account(), site, (LIMIT,), vendor.rules())
    targets = tuple(destinations)
    lookups = {}
    if seed is not None and seed % 2:
        destinations[LOOKUP] = _lookup(Lookup)
        lookups = {LOOKED_UP: [LOOKUP]}
    held_at = configured.names[HELD_AT] if seed is not None else ""
    planner = Planner(_normalisers(), _router(targets, held_at), _book(), lookups)
    return Setup(destinations, frozenset(SOURCES), planner, configured.revision)


def sites(made: Setup) -> list[str]:
    """Where a configuration's destinations are in the world."""
    return [
        one.settings.site if isinstance(one.settings, PaperSettings) else name
        for name, one in made.destinations.items()
    ]


def site_of(destination: str) -> str:
    """Where a destination is in the world, whatever it is called now."""
    return destination.partition("-")[0]


@lru_cache
def _settings(site: str, wishes: tuple[bool, bool] | None) -> PaperSettings:
    """What a destination is told, whatever its account. `wishes`: to coalesce, to drop what is stale."""
    told: dict[str, Any] = {"vendor": "paper", "timeout": "5s", "site": site}
    if wishes is not None:
        told |= {"coalesce": wishes[0], "stale": wishes[1]}
        told |= {"breaker": BREAKERS[site], "quiet": QUIET if site == QUIET_AT else []}
    return PaperSettings.model_validate(told)


@lru_cache
def _router(targets: tuple[str, ...], held_at: str) -> Router:
    routes = [Route(events=["thing.update"], to=list(targets))]
    if held_at in targets:
        routes.append(Route(events=["thing.update"], when="data.held", to=[held_at], hold=f"{HOLD_S:g}s"))
    return Router(routes)


@lru_cache
def _book() -> Book:
    return Book({})


@lru_cache
def _normalisers() -> dict[str, Normaliser]:
    return {name: Normaliser(name, Source(), {}, _book()) for name in SOURCES}


@lru_cache
def _lookup(kind: Callable[[str, LookupSettings], Lookup]) -> Destination:
    """Asks for an entity by its key; what is poisoned is not there. `kind`: the vendor's class."""
    url = f"https://{LOOKUP}.{LOOKUP}.example/{{data.key}}/{{data.poison || 'sound'}}"
    settings = LookupSettings.model_validate({"urls": {"thing.update": url}, "timeout": "5s"})
    vendor = kind(LOOKUP, settings)
    return Destination(LOOKUP, settings, vendor, LOOKUP, LOOKUP, (LIMIT,), vendor.rules())
