"""What the pages that try something ask, of whoever knows the configuration."""

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from gateway.model import Event


class Question(Struct, frozen=True):
    """What is tried: a payload of a source, under a topic (None: the platform's own way tells it), with more headers,
    and only to one destination (None: to all that want it).
    """

    source: str
    body: bytes
    topic: str | None
    headers: tuple[tuple[str, str], ...]
    to: str | None


class Stored(Struct, frozen=True):
    """What is tried: an event that was taken, and only to one destination (None: to all that want it)."""

    event: Event
    to: str | None


Trial = Callable[[Question | Stored], Awaitable[dict[str, Any]]]
"""What becomes of it, as `gateway try --json` prints it."""
