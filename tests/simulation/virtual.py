"""Time that passes only when nothing else can happen: an event loop, a clock and a chance for simulations."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context
from heapq import heappop, heappush
from typing import Any, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

START_MS = 1_760_000_000_000
BOUND_S = 400 * 86400.0
"""A history that needs more virtual time than this will never end."""


OUTSIDE_S = 1.0


class Stuck(Exception):  # noqa: N818  a fact about a history
    """Nothing can ever happen again, or the history does not end."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time: runs what is ready, then jumps to what is scheduled next. Only for work in other
    threads (`outside`) it waits, and no time passes.
    """

    _ready: "deque[asyncio.Handle]"
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self) -> None:
        self._now_s = 0.0
        self._outside = 0
        super().__init__()

    def time(self) -> float:
        return self._now_s

    def _run_once(self) -> None:
        """A round of the loop, as asyncio's, which asks the operating system each time and keeps a clock."""
        ready = self._ready
        if self._outside:
            self._process_events(self._selector.select(0 if ready else OUTSIDE_S))  # type: ignore[attr-defined]  # asyncio keeps it to itself
        elif not ready:
            self._jump()
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As asyncio's, which looks for mistakes of its callers."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As asyncio's, which looks for mistakes of its callers."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heappush(self._scheduled, timer)
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Nothing is counted: cancelled timers go when their time has come."""

    def _jump(self) -> None:
        """Go to the next moment for which something is scheduled, and let it be ready."""
        scheduled, ready = self._scheduled, self._ready
        while scheduled and scheduled[0]._cancelled:
            heappop(scheduled)
        if not scheduled:
            raise Stuck("nothing is scheduled")
        self._now_s = max(self._now_s, scheduled[0].when())
        if self._now_s > BOUND_S:
            raise Stuck("the history does not end")
        while scheduled and (scheduled[0].when() <= self._now_s or scheduled[0]._cancelled):
            handle = heappop(scheduled)
            ready.append(handle)

    async def shutdown_default_executor(self, *_: Any, **__: Any) -> None:
        """Threads end in their own time."""
        with self.outside():
            await super().shutdown_default_executor()

    @contextmanager
    def outside(self) -> Iterator[None]:
        """While the context lasts, another thread works and virtual time stands still."""
        self._outside += 1
        try:
            yield
        finally:
            self._outside -= 1


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
