"""What every process of a replica does: it runs on uvloop, serves, opens the journal, writes its log."""

import asyncio
import socket
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from gateway import app
from gateway.config.load import Loaded
from gateway.config.schema import Config
from gateway.journal.base import Journal
from gateway.receive.server import uvicorn_config
from gateway.telemetry import log as logs

DRAIN_S = 20
"""How long requests that are under way at a stop may take."""
TICK_S = 1.0


def run(main: Coroutine[Any, Any, int]) -> int:
    """Run a process's main coroutine on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def named(role: str) -> None:
    """Show the role where processes are listed by their names (`ps -e`, `top`): a forked one has its parent's line."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text(f"gw-{role}")


class Server(uvicorn.Server):
    """uvicorn without signal handlers: whoever starts it stops it (`end`). `up` is set when it takes requests. It wakes
    up once a second, for the `Date` header, not ten times.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Take no more requests, and let `serve` return when those that are open are answered."""
        self.should_exit = True
        self._ending.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._ending.wait()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    @classmethod
    def of(cls, asgi: Any, drain_s: int = DRAIN_S) -> "Server":
        return cls(uvicorn_config(asgi, loop="none", timeout_graceful_shutdown=drain_s))


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Journal]:
    journal = app.open_journal(config.journal.url, listen_url=config.journal.listen_url, create=True)
    await journal.open()
    try:
        yield journal
    finally:
        await journal.close()


def configure(loaded: Loaded, role: str) -> None:
    """The log as the configuration wants it; no secret of it, whoever repeats it."""
    logs.configure(loaded.config.log.format, loaded.config.log.level, role=role)
    logs.hide(app.secrets_of(loaded))


async def cancelled(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
