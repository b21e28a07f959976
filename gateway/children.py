"""The processes that a gateway's parent starts: the receiver and the dispatcher. Neither needs the admin door."""

import asyncio
import gc
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from gateway import app
from gateway.clock import SystemChance, SystemClock
from gateway.config.load import Loaded
from gateway.deliver.dispatcher import Dispatcher
from gateway.deliver.lease import this_owner
from gateway.deliver.outbound import HttpOutbound
from gateway.deliver.recall import recall
from gateway.errors import JournalUnavailable
from gateway.journal.base import Log
from gateway.mapping.drift import Watches
from gateway.process import DRAIN_S, Server, cancelled, configure, opened
from gateway.receive.endpoint import build
from gateway.supervise import Parent
from gateway.telemetry import log as logs
from gateway.telemetry.metrics import configuration_revision
from gateway.telemetry.watch import watch_loop

CHILDREN = {"all": ("receiver", "dispatcher"), "receiver": ("receiver",), "dispatcher": ("dispatcher",)}
"""Which there are, by the role of the replica."""
ORPHAN_DRAIN_S = 2
GARBAGE = 10_000
"""Objects made between two looks for cycles: requests and deliveries leave few. Python's own 700 costs 2 us of 100."""
GIVES_WAY = 10
"""How much nicer (nice(2)) delivering is than accepting, where they share a core. On Linux that is a thread's: who
reads and sends gives way; who commits does not, for whoever accepts waits for the journal's lock then. At 4 (0.29 of a
core) requests at 70 % of the maximum pile up beside a backlog that is delivered; at 19 delivering gets next to nothing.
"""
STATUS_EVERY_S = 1.0
PROBE_EVERY_S = 5.0

log = logs.get("serve")


Known = Mapping[Path, Loaded]
"""Configurations by where they lie, which a forked process has from its parent: nobody edits them there."""


async def receiver(path: Path, revision: int, listener: int, known: Known) -> int:
    """The receiver process: takes requests from the inherited socket until its parent says otherwise."""
    loaded = known.get(path) or app.load_config(path)
    config = loaded.config
    configure(loaded, "receiver")
    async with opened(config) as journal:
        asgi = build(config, app.presets_of(loaded), journal, revision, SystemClock(), SystemChance())
        server = Server.of(asgi)
        parent = Parent()

        async def hear(told: dict[str, Any]) -> None:
            newer = app.load_config(Path(told["path"]))
            asgi.state.receiver.swap(newer.config, app.presets_of(newer), told["revision"])
            configuration_revision.labels("receiver").set(told["revision"])
            configure(newer, "receiver")
            parent.say(applied=newer.digest)

        with socket.socket(fileno=listener) as listening:
            status = asyncio.create_task(_receiver_status(server, journal, parent, loaded.digest))
            lag = asyncio.create_task(watch_loop("receiver", SystemClock()))
            configuration_revision.labels("receiver").set(revision)
            attend = asyncio.create_task(parent.attend(_stopper(server), hear))
            gc.collect()
            gc.freeze()
            gc.set_threshold(GARBAGE)
            await server.serve(sockets=[listening])
            await cancelled(status, attend, lag)
    return 0


def _stopper(server: Server) -> Callable[[bool], None]:
    def stop(orderly: bool) -> None:  # noqa: FBT001  the signature that Parent.attend calls
        server.config.timeout_graceful_shutdown = DRAIN_S if orderly else ORPHAN_DRAIN_S
        server.end()

    return stop


async def _receiver_status(server: Server, journal: Log, parent: Parent, digest: str) -> None:
    """Say whether a commit is possible: asked of the journal itself."""
    parent.say(applied=digest, ready=False, why="starting")
    await server.up.wait()
    log.info("receiver.ready")
    while True:
        try:
            await journal.probe()
            parent.say(ready=True, why="")
            await asyncio.sleep(PROBE_EVERY_S)
        except JournalUnavailable as error:
            parent.say(ready=False, why=f"journal_unavailable: {error}")
            await asyncio.sleep(STATUS_EVERY_S)


async def dispatcher(path: Path, revision: int, known: Known) -> int:
    """The dispatcher process: delivers until its parent says otherwise."""
    loaded = known.get(path) or app.load_config(path)
    configure(loaded, "dispatcher")
    parent = Parent()
    async with opened(loaded.config) as journal, HttpOutbound() as outbound:
        os.nice(GIVES_WAY)  # the journal's writer has begun before: it stays as it is
        watches = Watches(recalling=True)
        setup = app.setup_of(loaded, revision, watches)
        worker = Dispatcher(journal, setup, outbound, this_owner(), SystemClock(), SystemChance())

        async def hear(told: dict[str, Any]) -> None:
            newer = app.load_config(Path(told["path"]))
            worker.swap(app.setup_of(newer, told["revision"], watches))
            configuration_revision.labels("dispatcher").set(told["revision"])
            configure(newer, "dispatcher")
            parent.say(applied=newer.digest)

        attend = asyncio.create_task(parent.attend(lambda _: worker.stop(), hear))
        status = asyncio.create_task(_dispatcher_status(worker, parent, loaded.digest))
        lag = asyncio.create_task(watch_loop("dispatcher", SystemClock()))
        memory = asyncio.create_task(recall(journal, watches, loaded.config.sources))
        configuration_revision.labels("dispatcher").set(revision)
        gc.collect()
        gc.freeze()
        gc.set_threshold(GARBAGE)
        await worker.run()
        await cancelled(status, attend, lag, memory)
    return 0


async def _dispatcher_status(worker: Dispatcher, parent: Parent, digest: str) -> None:
    parent.say(applied=digest)
    while True:
        ready = worker.ready.is_set()
        accounts = [msgspec.to_builtins(one) for one in worker.standings()]
        parent.say(ready=ready, why="" if ready else "the journal does not answer", accounts=accounts)
        if ready:
            await asyncio.sleep(STATUS_EVERY_S)
        else:
            await worker.ready.wait()
