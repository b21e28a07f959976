"""What the configuration is held against, and what comes of it."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from gateway.config.places import Path, Place
from gateway.config.schema import Config, DestinationSettings
from gateway.errors import Fault


@dataclass(frozen=True, slots=True)
class Problem:
    """A finding by key path; the loader knows its place. A `warning` refuses nothing; `key`: the key itself is meant,
    not its value.
    """

    path: tuple[str | int, ...]
    cause: str
    hint: str = ""
    warning: bool = False
    key: bool = False


@dataclass(frozen=True)
class Loaded:
    """A configuration in force: its models, each destination's settings as its vendor reads them, 12 hex digits that
    change with what becomes of events, the files in the order read, what is worth a look, each look-up's settings, and
    where each key path stands.
    """

    config: Config
    destinations: Mapping[str, DestinationSettings]
    digest: str
    files: tuple[str, ...]
    warnings: tuple[Fault, ...] = ()
    lookups: Mapping[str, DestinationSettings] = field(default_factory=dict)
    places: Mapping[Path, Place] = field(default_factory=dict, compare=False, repr=False)

    @property
    def targets(self) -> dict[str, DestinationSettings]:
        """Everything that a lane may lead to: destinations and look-ups, which share one table of names."""
        return {**self.destinations, **self.lookups}


Check = Callable[[Loaded], Iterable[Problem]]


@dataclass(frozen=True)
class Registry:
    """What may be named: vendors and their settings, presets, shipped mappings. `lookup` is the model of a look-up,
    `preset` that of a preset of one's own, `mapping` the JSON Schema of a mapping; the last two for the schema and the
    reference page.

    `checks` look at a configuration whose models are sound. Its references may dangle (they are reported already), so
    a check passes over what is not there.
    """

    vendors: Mapping[str, type[DestinationSettings]]
    presets: Collection[str] = ()
    packs: Collection[str] = ()
    checks: tuple[Check, ...] = ()
    lookup: type[DestinationSettings] = DestinationSettings
    preset: type[BaseModel] | None = None
    mapping: Mapping[str, Any] = field(default_factory=dict)
