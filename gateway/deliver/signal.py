"""Something that is set or not, and is waited for with an end."""

import asyncio


class Signal:
    """As an `asyncio.Event` inside an `asyncio.timeout`, at a third of the cost: loops that idle do little else."""

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: set[asyncio.Future[None]] = set()

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        """Whoever waits goes on."""
        self._is_set = True
        for future in self._waiting:
            _end(future)

    def clear(self) -> None:
        """From now on it is waited for again."""
        self._is_set = False

    async def wait(self, timeout_s: float) -> None:
        """Return when it is set, or after `timeout_s`; others have had a turn by then."""
        if self._is_set:
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.add(future)
        late = loop.call_later(timeout_s, _end, future)
        try:
            await future
        finally:
            late.cancel()
            self._waiting.discard(future)


def _end(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
