"""How the gateway is, as the one who supervises it knows."""

from dataclasses import dataclass

from gateway.errors import Fault


@dataclass(frozen=True, slots=True)
class Role:
    """A process, and whether it can do what it is for: `why` not, and since when (`since_ms`)."""

    name: str
    ready: bool
    why: str = ""
    since_ms: int = 0
    restarts: int = 0
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """Roles, the configuration in force (`digest`, `revision`, its sources and destinations), and the faults of a newer
    one that was refused: those do not make the gateway unready.
    """

    roles: tuple[Role, ...]
    digest: str
    revision: int
    started_at_ms: int
    sources: frozenset[str] = frozenset()
    destinations: frozenset[str] = frozenset()
    refused: tuple[Fault, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether every role can be done."""
        return bool(self.roles) and all(role.ready for role in self.roles)
