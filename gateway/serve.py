"""What runs: a parent with the admin door, and the receiver and the dispatcher as its children, or one of them alone.

gateway serve
  ├── here: migrate, register lanes, bind the receiver's socket, the admin door, keeping
  ├── receiver    (child, inherits the socket: connections wait in it while a receiver starts again)
  └── dispatcher  (child)

The first children are forked before there is a loop, and told what to do when the lanes are registered (see `spawn`).
"""

import asyncio
import errno
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from gateway import __version__, app
from gateway.admin import app as admin
from gateway.admin.question import Question, Stored
from gateway.admin.replays import Workshop
from gateway.admin.status import Role, Status
from gateway.children import CHILDREN, Known
from gateway.clock import Clock, SystemChance, SystemClock
from gateway.config.load import Loaded
from gateway.config.reload import Snapshots, needing_restart
from gateway.config.schema import Config
from gateway.deliver.begin import begin
from gateway.deliver.lane import is_history
from gateway.deliver.plan import Setup
from gateway.deliver.standing import AccountStanding
from gateway.errors import ConfigurationError, Fault, JournalUnavailable
from gateway.journal.base import Journal, Keep
from gateway.model import Event
from gateway.process import DRAIN_S, Server, cancelled, configure, opened, run
from gateway.spawn import spares
from gateway.supervise import ChildSpec, ChildStatus, Supervisor
from gateway.telemetry import log as logs
from gateway.telemetry.metrics import configuration_reloads
from gateway.telemetry.processes import bury
from gateway.trial.platform import pretended
from gateway.trial.table import as_table
from gateway.trial.way import Guide

BACKLOG = 4096
NAMED = 10
"""Sources of orphaned lanes that a log line names."""
BIND_S = 15.0
"""How long the parent waits for an address that a dying gateway still holds."""
BIND_AGAIN_S = 0.2
KEEP_EVERY_S = 30.0
KEEP_PAUSE_S = 0.05
LOOK_EVERY_S = 1.0
"""How often the configuration's files are looked at."""

log = logs.get("serve")


def gateway(path: Path, role: str, folder: Path, command: Callable[[Known, list[str]], object]) -> int:
    """Everything of one replica: children by role, the admin door, keeping, reloading. Returns after SIGTERM or SIGINT.

    `folder` is the gateway's own: its processes' metrics, and the configurations in force. `command` runs a child's, in
    a process that is forked from this one when all is loaded, the configuration too. Raises ConfigurationError.
    """
    snapshots = Snapshots(path, folder, app.load_config)
    copy, loaded = snapshots.take()
    configure(loaded, "parent")
    with spares(len(CHILDREN[role]), partial(command, {copy: loaded})) as waiting:
        return run(_gateway(role, folder, snapshots, copy, loaded, Supervisor(waiting, partial(bury, folder))))


async def _gateway(
    role: str, folder: Path, snapshots: Snapshots, copy: Path, loaded: Loaded, supervisor: Supervisor
) -> int:
    async with opened(loaded.config) as journal, _bound(loaded.config.receiver.listen) as listening:
        replica = Replica(role, listening, journal, supervisor, snapshots)
        await replica.begin(copy, loaded)
        log.info("gateway.started", version=__version__, roles=role, configuration=loaded.digest)
        await _until_told(replica, folder)
    return 0


class Replica:
    """One replica as its parent holds it: the configuration in force, and how its children are."""

    def __init__(
        self, role: str, listening: socket.socket, journal: Journal, supervisor: Supervisor, snapshots: Snapshots
    ) -> None:
        self.journal = journal
        self.supervisor = supervisor
        self.asked_again = asyncio.Event()
        self._role = role
        self._listening = listening
        self._snapshots = snapshots
        self._started_at_ms = SystemClock().now_ms()
        self._refused: tuple[Fault, ...] = ()
        self._setup: Setup | None = None
        self._revision = 0

    @property
    def config(self) -> Config:
        return self._loaded.config

    async def begin(self, copy: Path, loaded: Loaded) -> None:
        """The first configuration: its lanes are registered before any process works under it."""
        await self._apply(copy, loaded)
        self.supervisor.begin(self._specs())

    async def follow(self) -> None:
        """Apply each new configuration that is sound; one that is not changes nothing but what `status` says."""
        while True:
            await _wait_for(self.asked_again, LOOK_EVERY_S)
            asked = self.asked_again.is_set()
            self.asked_again.clear()
            if asked or self._snapshots.changed():
                await self._reload()

    def status(self) -> Status:
        """How everything is now."""
        config = self._loaded.config
        return Status(
            roles=tuple(self._role_of(one) for one in self.supervisor.status()),
            digest=self._loaded.digest,
            revision=self._revision,
            started_at_ms=self._started_at_ms,
            sources=config.sources,
            destinations=self._loaded.targets,
            routes=tuple(config.routes),
            accounts=self._accounts,
            standings=tuple(standing for child in self.supervisor.status() for standing in _standings(child)),
            refused=self._refused,
        )

    def type_of(self, event: Event) -> str | None:
        """The type of an event's normal form, for lists."""
        return self._types(event)

    async def trial(self, question: Question | Stored) -> dict[str, Any]:
        """Try a payload or a stored event, beside everything else."""
        return await asyncio.to_thread(_tried, self._loaded, question)

    def setup(self) -> Setup:
        """What the configuration in force means for delivery, for replays that are counted and begun here."""
        if self._setup is None:
            self._setup = app.trial_of(self._loaded)
        return self._setup

    def _role_of(self, child: ChildStatus) -> Role:
        return Role(child.name, child.ready, child.why, child.since_ms, child.restarts, child.pid)

    async def _reload(self) -> None:
        try:
            copy, loaded = await asyncio.to_thread(self._snapshots.take)
        except ConfigurationError as error:
            self._refused = error.faults
            configuration_reloads.labels("refused").inc()
            log.error("configuration.refused", faults=[str(fault) for fault in error.faults])
            return
        self._refused = needing_restart(self._loaded, loaded)
        before = self._copy
        try:
            await self._apply(copy, loaded)
        except JournalUnavailable as error:
            self._snapshots.drop(copy)
            self.asked_again.set()
            log.warning("journal.unavailable", reason=str(error))
            await asyncio.sleep(LOOK_EVERY_S)
            return
        self.supervisor.tell({"path": str(copy), "revision": self._revision}, self._specs())
        configuration_reloads.labels("applied").inc()
        configure(loaded, "parent")
        asyncio.get_running_loop().call_later(DRAIN_S, self._snapshots.drop, before)

    async def _apply(self, copy: Path, loaded: Loaded) -> None:
        await begin(self.journal, loaded.config, loaded.targets, SystemClock(), SystemChance())
        self._revision = await self.journal.revise(loaded.digest, loaded.config.revision)
        self._copy, self._loaded, self._types = copy, loaded, app.types_of(loaded)
        self._setup = None
        self._accounts = app.accounts_of(loaded)
        log.info("configuration.loaded", digest=loaded.digest, revision=self._revision, files=loaded.files)
        orphaned: dict[str, list[str]] = {}
        for lane in await self.journal.lanes():
            known = lane.source in loaded.config.sources and lane.destination in loaded.targets
            if not (known or lane.ended or is_history(lane)):
                orphaned.setdefault(lane.destination, []).append(lane.source)
        for destination, sources in orphaned.items():
            log.warning("lane.orphaned", destination=destination, lanes=len(sources), sources=sources[:NAMED])
        for warning in loaded.warnings:
            log.warning("configuration.warned", warning=str(warning))

    def _specs(self) -> list[ChildSpec]:
        common = ("--config", str(self._copy), "--revision", str(self._revision))
        sockets = {"receiver": {"--listener": self._listening}}
        return [ChildSpec(name, ("child", name, *common), sockets.get(name, {})) for name in CHILDREN[self._role]]


def _standings(child: ChildStatus) -> list[AccountStanding]:
    """What a dispatcher says of its accounts; nothing while it is being started again."""
    return msgspec.convert(child.said.get("accounts", []) if child.ready else [], list[AccountStanding])


async def _until_told(replica: Replica, folder: Path) -> None:
    clock = SystemClock()
    settings = replica.config.admin
    pages = admin.build(
        replica.journal,
        replica.status,
        settings.token,
        clock=clock,
        folder=folder,
        type_of=replica.type_of,
        trial=replica.trial,
        workshop=Workshop(replica.journal, replica.setup, SystemChance()),
    )
    server = Server.of(pages, drain_s=5)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        pages.state.streams.close()
        replica.supervisor.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, replica.asked_again.set)
    async with _bound(settings.listen) as door:
        others = [asyncio.create_task(keep(replica, clock)), asyncio.create_task(replica.follow())]
        serving = asyncio.create_task(server.serve(sockets=[door]))
        log.info("admin.ready", listen=settings.listen, token=settings.token is not None)
        try:
            await replica.supervisor.run()
            log.info("shutdown.done")
        finally:
            server.end()
            await cancelled(*others)
            await asyncio.gather(serving, return_exceptions=True)


async def keep(replica: Replica, clock: Clock) -> None:
    """Remove what is no longer to be kept, a slice at a time, for ever."""
    while True:
        try:
            kept = await replica.journal.keep(keep_rules(replica.config, clock.now_ms()))
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


def _tried(loaded: Loaded, question: Question | Stored) -> dict[str, Any]:
    """The whole way of a payload or a stored event, as a table."""
    if isinstance(question, Stored):
        return as_table(Guide(loaded).events([question.event], question.to))
    url = f"http://localhost/webhooks/{question.source}"
    post = pretended(loaded, question.source, url, question.body, question.topic, list(question.headers))
    return as_table(Guide(loaded).request(question.source, post, question.to))


# --- small parts -----------------------------------------------------------------------------------------------------


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
                raise OSError(_why_not_bound(error, f"{host}:{port}")) from None
        await asyncio.sleep(BIND_AGAIN_S)


def _why_not_bound(error: OSError, place: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{place} is in use by another program: stop it, or change `listen` under `receiver` or `admin`"
    return f"{place}: {error.strerror}"


async def _wait_for(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
