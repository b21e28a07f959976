"""Time and chance, from one place, so that tests and the simulation can hand in their own.

Wall-clock times are whole milliseconds since the Unix epoch (`_ms`); spans and paces run on a monotonic clock in
seconds (`_s`), which a jump of the wall clock does not move.
"""

import asyncio
import random
import secrets
import time
from typing import Protocol


class Clock(Protocol):
    """What time it is, and how to wait."""

    def now_ms(self) -> int:
        """Wall clock: milliseconds since the Unix epoch. May jump."""
        ...

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start. Never goes back, never jumps."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of the monotonic clock."""
        ...


class Chance(Protocol):
    """Where jitter, samples and nonces come from."""

    def uniform(self, low: float, high: float) -> float:
        """A float in [low, high]."""
        ...

    def nonce(self, size: int) -> bytes:
        """`size` bytes that nobody can guess."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SystemChance:
    """The machine's randomness."""

    def uniform(self, low: float, high: float) -> float:
        return random.uniform(low, high)

    def nonce(self, size: int) -> bytes:
        return secrets.token_bytes(size)
