"""What every simulator offers to the server: an ASGI app, a view of all it holds, a few figures for the page."""

from typing import Any, Protocol

from msgspec import Struct
from starlette.requests import Request
from starlette.types import Receive, Scope, Send


class Figure(Struct, frozen=True):
    """A figure on the page. `alarming`: something that should be nought is not."""

    label: str
    value: str
    alarming: bool = False


class Simulator(Protocol):
    """A vendor's API on one machine. State is in memory and goes with the process."""

    name: str
    """Its word in paths: mounted at `/{name}`, looked at under `/_sandbox/{name}`."""
    title: str
    hint: str
    """What to point a destination at, after the host and port."""
    plays: frozenset[str]
    """The faults that it plays in the vendor's own words (`faults.PLAYED`)."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    def view(self) -> dict[str, Any]:
        """All it holds, as JSON shows it. No credentials."""
        ...

    def figures(self) -> list[Figure]:
        """What the page shows."""
        ...

    def adjust(self, change: dict[str, Any]) -> None:
        """Change its rules (limits, drain rate, strictness). Raises ValueError for what it does not know."""
        ...

    def reset(self) -> None:
        """Forget everything but the rules."""
        ...


class BodyTooLarge(Exception):  # noqa: N818  a fact about a request, met by each simulator in its vendor's words
    """The request's body is over the simulator's own bound."""


async def body_of(request: Request, limit: int) -> bytes:
    """The request's body. Raises BodyTooLarge over `limit` bytes, without holding more than that."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise BodyTooLarge
        parts.append(part)
    return b"".join(parts)


def integer(text: str | None, default: int, most: int) -> int:
    """A page's number out of a query, held between 0 and `most`."""
    return min(int(text), most) if text is not None and text.isascii() and text.isdigit() else default


def masked(credential: str) -> str:
    """A credential as it may be shown: its end alone, and only of a long one."""
    return f"…{credential[-4:]}" if len(credential) > 8 else "…"  # noqa: PLR2004  short keys would be shown whole
