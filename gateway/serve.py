"""What runs: a parent with the admin door, and the receiver and the dispatcher as its children, or one of them alone.

gateway serve
  ├── here: migrate, register lanes, bind the receiver's socket, the admin door, keeping
  ├── receiver    (child, inherits the socket: connections wait in it while a receiver starts again)
  └── dispatcher  (child)
"""

import asyncio
import errno
import gc
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from gateway import __version__, app
from gateway.admin import app as admin
from gateway.admin.status import Role, Status
from gateway.clock import Clock, SystemChance, SystemClock
from gateway.config.lanes import lane_specs
from gateway.config.load import Loaded
from gateway.config.schema import Config
from gateway.deliver.dispatcher import Dispatcher
from gateway.deliver.lease import this_owner
from gateway.deliver.outbound import HttpOutbound
from gateway.errors import JournalUnavailable
from gateway.journal.base import Journal, Keep, Log
from gateway.receive.endpoint import build
from gateway.supervise import ChildSpec, Parent, Supervisor
from gateway.telemetry import log as logs
from gateway.telemetry.processes import bury

BACKLOG = 4096
BIND_S = 15.0
"""How long the parent waits for an address that a dying gateway still holds."""
BIND_AGAIN_S = 0.2
DRAIN_S = 20
ORPHAN_DRAIN_S = 2
KEEP_EVERY_S = 30.0
KEEP_PAUSE_S = 0.05
STATUS_EVERY_S = 1.0
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"

log = logs.get("serve")


def run(main: Coroutine[Any, Any, int]) -> int:
    """Run a process's main coroutine on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


class Server(uvicorn.Server):
    """uvicorn without signal handlers of its own: whoever starts it stops it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    @classmethod
    def of(cls, asgi: Any, drain_s: int = DRAIN_S) -> "Server":
        return cls(
            uvicorn.Config(
                asgi,
                http="httptools",
                ws="none",
                loop="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=drain_s,
            )
        )


# --- the children ----------------------------------------------------------------------------------------------------


async def receiver(path: Path, listener: int) -> int:
    """The receiver process: takes requests from the inherited socket until its parent says otherwise."""
    loaded = app.load_config(path)
    config = loaded.config
    logs.configure(config.log.format, config.log.level, role="receiver")
    async with _opened(config) as journal:
        asgi = build(config, app.presets_of(loaded), journal, config.revision or 0, SystemClock(), SystemChance())
        server = Server.of(asgi)
        parent = Parent()
        gc.collect()
        gc.freeze()
        with socket.socket(fileno=listener) as listening:
            status = asyncio.create_task(_receiver_status(server, journal, parent))
            attend = asyncio.create_task(parent.attend(_stopper(server)))
            await server.serve(sockets=[listening])
            await _cancelled(status, attend)
    return 0


def _stopper(server: Server) -> Callable[[bool], None]:
    def stop(orderly: bool) -> None:  # noqa: FBT001  the signature that Parent.attend calls
        server.config.timeout_graceful_shutdown = DRAIN_S if orderly else ORPHAN_DRAIN_S
        server.should_exit = True

    return stop


async def _receiver_status(server: Server, journal: Log, parent: Parent) -> None:
    """Say whether a commit is possible: asked of the journal itself."""
    while True:
        try:
            await journal.probe()
            parent.say(ready=server.started, why="" if server.started else "starting")
        except JournalUnavailable as error:
            parent.say(ready=False, why=f"journal_unavailable: {error}")
        await asyncio.sleep(STATUS_EVERY_S if not server.started else 5 * STATUS_EVERY_S)


async def dispatcher(path: Path) -> int:
    """The dispatcher process: delivers until its parent says otherwise."""
    loaded = app.load_config(path)
    config = loaded.config
    logs.configure(config.log.format, config.log.level, role="dispatcher")
    parent = Parent()
    async with _opened(config) as journal, HttpOutbound() as outbound:
        setup = app.setup_of(loaded, config.revision or 0)
        worker = Dispatcher(journal, setup, outbound, this_owner(), SystemClock(), SystemChance())
        attend = asyncio.create_task(parent.attend(lambda _: worker.stop()))
        status = asyncio.create_task(_dispatcher_status(worker, parent))
        gc.collect()
        gc.freeze()
        await worker.run()
        await _cancelled(status, attend)
    return 0


async def _dispatcher_status(worker: Dispatcher, parent: Parent) -> None:
    while True:
        ready = worker.ready.is_set()
        parent.say(ready=ready, why="" if ready else "the journal does not answer")
        await asyncio.sleep(STATUS_EVERY_S)


# --- the parent ------------------------------------------------------------------------------------------------------


async def gateway(path: Path, loaded: Loaded, role: str, metrics_folder: Path) -> int:
    """Everything of one replica: children by role, the admin door, keeping. Returns after SIGTERM or SIGINT."""
    config = loaded.config
    logs.configure(config.log.format, config.log.level, role="parent")
    async with _opened(config) as journal:
        await journal.register(lane_specs(config, loaded.destinations))
        async with _bound(config.receiver.listen) as listening:
            environment = {**os.environ, METRICS_FOLDER: str(metrics_folder)}
            supervisor = Supervisor(
                _children(path, role, listening), environment, lambda pid: bury(metrics_folder, pid)
            )
            log.info("gateway.started", version=__version__, roles=role, configuration=loaded.digest)
            await _until_told(supervisor, journal, loaded, metrics_folder)
    return 0


async def _until_told(supervisor: Supervisor, journal: Journal, loaded: Loaded, metrics_folder: Path) -> None:
    clock = SystemClock()
    status = Statuses(supervisor, loaded, clock.now_ms())
    pages = admin.build(journal, status, loaded.config.admin.token, clock=clock, folder=metrics_folder)
    server = Server.of(pages, drain_s=5)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    async with _bound(loaded.config.admin.listen) as door:
        keeping = asyncio.create_task(keep(journal, loaded.config, clock))
        serving = asyncio.create_task(server.serve(sockets=[door]))
        try:
            await supervisor.run()
        finally:
            server.should_exit = True
            await _cancelled(keeping)
            await asyncio.gather(serving, return_exceptions=True)


def _children(path: Path, role: str, listening: socket.socket) -> list[ChildSpec]:
    children = []
    if role in ("all", "receiver"):
        command = ("child", "receiver", "--config", str(path), "--listener", str(listening.fileno()))
        children.append(ChildSpec("receiver", command, (listening,)))
    if role in ("all", "dispatcher"):
        children.append(ChildSpec("dispatcher", ("child", "dispatcher", "--config", str(path))))
    return children


class Statuses:
    """How the gateway is, from what its children say."""

    def __init__(self, supervisor: Supervisor, loaded: Loaded, started_at_ms: int) -> None:
        self._supervisor = supervisor
        self._loaded = loaded
        self._started_at_ms = started_at_ms

    def __call__(self) -> Status:
        config = self._loaded.config
        return Status(
            roles=tuple(
                Role(one.name, one.ready, one.why, one.since_ms, one.restarts, one.pid)
                for one in self._supervisor.status()
            ),
            digest=self._loaded.digest,
            revision=config.revision or 0,
            started_at_ms=self._started_at_ms,
            sources=frozenset(config.sources),
            destinations=frozenset(config.destinations),
        )


async def keep(journal: Journal, config: Config, clock: Clock) -> None:
    """Remove what is no longer to be kept, a slice at a time, for ever."""
    while True:
        try:
            kept = await journal.keep(keep_rules(config, clock.now_ms()))
            await clock.sleep(KEEP_PAUSE_S if kept.more else KEEP_EVERY_S)
        except JournalUnavailable as error:
            log.warning("journal.unavailable", reason=str(error))
            await clock.sleep(KEEP_EVERY_S)


def keep_rules(config: Config, now_ms: int) -> Keep:
    """What the configuration wants kept, as of now."""
    journal = config.journal
    windows = [source.identity_window or 0 for source in config.sources.values()]
    return Keep(
        now_ms=now_ms,
        keep_ms=int(journal.keep * 1000),
        keep_at_most_ms=int(journal.keep_at_most * 1000),
        identities_ms=int(max([journal.identities, *windows]) * 1000),
        attempts_ms=int(journal.keep_attempts * 1000),
        dead_ms=int(journal.keep_dead * 1000),
        max_bytes=journal.max_size,
    )


# --- small parts -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _opened(config: Config) -> AsyncIterator[Journal]:
    journal = app.open_journal(config.journal.url, create=True)
    await journal.open()
    try:
        yield journal
    finally:
        await journal.close()


@asynccontextmanager
async def _bound(listen: str) -> AsyncIterator[socket.socket]:
    """A listening socket. An address that a gateway just killed still holds is tried again for a while."""
    host, _, port = listen.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        await _bind(listening, host.strip("[]"), int(port))
        listening.listen(BACKLOG)
        listening.setblocking(False)
        yield listening


async def _bind(listening: socket.socket, host: str, port: int) -> None:
    tries = int(BIND_S / BIND_AGAIN_S)
    for left in range(tries, -1, -1):
        try:
            listening.bind((host, port))
            return
        except OSError as error:
            if not left or error.errno != errno.EADDRINUSE:
                raise OSError(error.errno, f"{host}:{port}: {error.strerror}") from None
        await asyncio.sleep(BIND_AGAIN_S)


async def _cancelled(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
