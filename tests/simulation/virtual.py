"""Time that passes only when nothing else can happen: an event loop, a clock and a chance for simulations."""

import asyncio
import random
import selectors
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

START_MS = 1_760_000_000_000
BOUND_S = 400 * 86400.0
"""A history that needs more virtual time than this will never end."""


OUTSIDE_S = 1.0


class Stuck(Exception):  # noqa: N818  a fact about a history
    """Nothing can ever happen again, or the history does not end."""


class _Jump(selectors.SelectSelector):
    """A selector that does not wait: it tells the loop how long it would have. Only for work in other threads
    (`outside`) it waits, and no time passes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.outside = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.outside and (timeout is None or timeout > 0):
            return super().select(OUTSIDE_S)
        if self.outside:
            return super().select(0)
        if timeout is None:
            raise Stuck("nothing is scheduled")
        self.now_s += max(timeout, 0.0)
        if self.now_s > BOUND_S:
            raise Stuck("the history does not end")
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time: runs what is ready, then jumps to what is scheduled next."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now_s

    async def shutdown_default_executor(self, *_: Any, **__: Any) -> None:
        """Threads end in their own time."""
        with self.outside():
            await super().shutdown_default_executor()

    @contextmanager
    def outside(self) -> Iterator[None]:
        """While the context lasts, another thread works and virtual time stands still."""
        self._jump.outside += 1
        try:
            yield
        finally:
            self._jump.outside -= 1


class VirtualClock:
    """A process's clocks on virtual time. `skew_ms` is how far its wall clock is off; it may change. While the process
    is frozen it sees no time pass.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._frozen_at_s: float | None = None
        self.skew_ms = 0

    def freeze(self) -> None:
        self._frozen_at_s = self._loop.time()

    def thaw(self) -> None:
        self._frozen_at_s = None

    def now_ms(self) -> int:
        return START_MS + int(self._now_s() * 1000) + self.skew_ms

    def monotonic_s(self) -> float:
        return 1000.0 + self._now_s()

    def _now_s(self) -> float:
        return self._loop.time() if self._frozen_at_s is None else self._frozen_at_s

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SeededChance:
    """Chance that a seed decides."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    def nonce(self, size: int) -> bytes:
        return self._random.randbytes(size)


def simulate(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
