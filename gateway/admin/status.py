"""How the gateway is, as the one who supervises it knows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.config.schema import DestinationSettings, Route, Source
from gateway.deliver.standing import AccountStanding
from gateway.errors import Fault


@dataclass(frozen=True, slots=True)
class Role:
    """A process, and whether it can do what it is for: `why` not, and since when (`since_ms`). Where several do the
    same, their names are `receiver-1`, `receiver-2`, and their role (`kind`) can be done while one of them can.
    """

    name: str
    ready: bool
    why: str = ""
    since_ms: int = 0
    restarts: int = 0
    pid: int | None = None

    @property
    def kind(self) -> str:
        """The role that this process is one of."""
        return self.name.partition("-")[0]


@dataclass(frozen=True, slots=True)
class Status:
    """Roles, the configuration in force (`digest`, `revision`, its sources and destinations with their settings, its
    routes, its accounts with their destinations), how this replica's accounts stand, and the faults of a newer
    configuration that was refused: those do not make the gateway unready.
    """

    roles: tuple[Role, ...]
    digest: str
    revision: int
    started_at_ms: int
    sources: Mapping[str, Source] = field(default_factory=dict)
    destinations: Mapping[str, DestinationSettings] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    accounts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    standings: tuple[AccountStanding, ...] = ()
    refused: tuple[Fault, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether every role can be done."""
        kinds = {role.kind for role in self.roles}
        return bool(kinds) and all(self.can(kind) for kind in kinds)

    def can(self, kind: str) -> bool:
        """Whether one role can be done."""
        return any(role.ready for role in self.roles if role.kind == kind)
