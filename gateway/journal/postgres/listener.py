"""Hearing of commits: at once where a connection of its own can LISTEN, else by looking once a second.

A connection through a pooler cannot: it would hear what is told to somebody else's session. It is recognised by the
process id it was given at its start, which is the pooler's invention.
"""

import asyncio
from typing import Any

from gateway.errors import JournalError
from gateway.journal.postgres.connection import Connection, connect, translated

CHANNEL = "gateway"
POLL_S = 1.0
"""How often it is looked although nothing was heard: a notification that is lost costs no more."""
AGAIN_S = 1.0
PAUSE_MAX_S = 30.0
ALIVE_S = 30.0
"""How often the listening connection is asked whether it is still there."""


class Listener:
    """Wakes whoever waits when something was committed. Listens only once somebody has waited."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._waiting: set[asyncio.Future[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._connection: Connection | None = None
        self._pause_s = AGAIN_S
        self._closed = False
        self.pooled = False
        """Whether listening was given up because there is a pooler."""

    def heard(self, *_: Any) -> None:
        """Something was committed, by this process or another."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    def promise(self) -> "asyncio.Future[None]":
        """Something that is done at the next commit after this call. To be given back by `forget`."""
        if not self._closed and not self.pooled and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._listen())
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        return future

    def forget(self, future: "asyncio.Future[None]") -> None:
        """Nobody waits for it any more."""
        self._waiting.discard(future)
        future.cancel()

    async def close(self) -> None:
        """Wake everybody and let go."""
        self._closed = True
        self.heard()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self) -> None:
        while not self.pooled:
            try:
                await self._hear()
            except JournalError:  # whoever asks the database itself is told; here it is only tried again
                await asyncio.sleep(self._pause_s)
                self._pause_s = min(self._pause_s * 2, PAUSE_MAX_S)

    async def _hear(self) -> None:
        """Listen until the connection is lost, which is JournalUnavailable; or find that it is a pooler's."""
        connection = await connect(self._url, self._timeout_s)
        try:
            with translated(self._timeout_s):
                lost = asyncio.Event()
                connection.add_termination_listener(lambda _: lost.set())
                async with asyncio.timeout(self._timeout_s):
                    if await connection.fetchval("SELECT pg_backend_pid()") != connection.get_server_pid():
                        self.pooled = True
                        return
                    await connection.add_listener(CHANNEL, self.heard)
                self._pause_s = AGAIN_S
                self.heard()
                while True:
                    await _either(lost, ALIVE_S)
                    async with asyncio.timeout(self._timeout_s):
                        await connection.fetchval("SELECT 1")
        finally:
            connection.terminate()


async def _either(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
