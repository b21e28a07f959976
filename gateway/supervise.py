"""Keeps child processes running, and knows how they are. Knows nothing of what they do.

A child that dies is started again after 1 s, doubling to 30 s; one child's death stops no other. Each child holds one
end of a socket: it says how it is in JSON lines, and sees by its end that its parent is gone.
"""

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.spawn import STATUS_FD, Process, Sockets, Spare, started
from gateway.telemetry import log as logs

RESTART_S = 1.0
RESTART_MAX_S = 30.0
STEADY_S = 60.0
STOP_S = 30.0
BEAT_S = 5.0
"""How often a child that has nothing new to say lets itself be heard, at least."""
SILENT_S = 20.0
"""A ready child that is silent for so long is frozen: it does not do its work, and is not called ready."""
LINE_BYTES = 1 << 18

log = logs.get("supervise")


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """A child: its name, its command after `python -m gateway`, and the sockets that it inherits, as options of it."""

    name: str
    command: tuple[str, ...]
    sockets: Sockets = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChildStatus:
    """How a child is: running, ready for its role, what it says, how often it was started again."""

    name: str
    pid: int | None = None
    ready: bool = False
    why: str = "starting"
    since_ms: int = 0
    restarts: int = 0
    said: Mapping[str, Any] = field(default_factory=dict)


class Supervisor:
    """Children and their states. `spares` wait to be the first of them; `bury` hears the pid of each that has ended."""

    def __init__(self, spares: list[Spare], bury: Callable[[int], object] = int) -> None:
        self._spares = spares
        self._bury = bury
        self._specs: Sequence[ChildSpec] = ()
        self._status: dict[str, ChildStatus] = {}
        self._processes: dict[str, Process] = {}
        self._writers: dict[str, asyncio.StreamWriter] = {}
        self._stopping = asyncio.Event()

    def status(self) -> tuple[ChildStatus, ...]:
        """How every child is now."""
        return tuple(self._status.values())

    def begin(self, specs: Sequence[ChildSpec]) -> None:
        """These are the children; `run` starts them."""
        self._specs = specs
        self._status = {spec.name: ChildStatus(spec.name) for spec in specs}

    def tell(self, message: Mapping[str, Any], specs: Sequence[ChildSpec]) -> None:
        """Tell every child something; those that start from now on start by these specs."""
        self._specs = specs
        for writer in self._writers.values():
            writer.write(json.dumps(dict(message)).encode() + b"\n")

    def stop(self) -> None:
        """Let `run` stop the children and return."""
        self._stopping.set()

    async def run(self) -> None:
        """Keep the children running until `stop`; then ask them to end, and end those that take over 30 s."""
        tasks = [asyncio.create_task(self._keep(spec.name)) for spec in self._specs]
        await self._stopping.wait()
        log.info("shutdown.begun")
        for process in self._processes.values():
            _signal(process, signal.SIGTERM)
        _, late = await asyncio.wait(tasks, timeout=STOP_S)
        for process in self._processes.values() if late else ():
            _signal(process, signal.SIGKILL)
        await asyncio.gather(*tasks)

    async def _keep(self, name: str) -> None:
        wait_s = RESTART_S
        while not self._stopping.is_set():
            spec = next(one for one in self._specs if one.name == name)
            started_s = time.monotonic()
            code = await self._run_once(spec)
            if self._stopping.is_set():
                return
            wait_s = RESTART_S if time.monotonic() - started_s > STEADY_S else wait_s
            log.error("child.died", role=spec.name, exit_code=code, again_in_s=wait_s)
            restarts = self._status[spec.name].restarts + 1
            self._put(spec.name, pid=None, ready=False, why=f"died with exit code {code}", restarts=restarts)
            await self._pause(wait_s)
            wait_s = min(wait_s * 2, RESTART_MAX_S)

    async def _run_once(self, spec: ChildSpec) -> int:
        process, ours = await started(spec.command, spec.sockets, self._spares)
        self._processes[spec.name] = process
        self._put(spec.name, pid=process.pid, ready=False, why="starting")
        if self._stopping.is_set():
            _signal(process, signal.SIGTERM)
        log.info("child.started", role=spec.name, pid=process.pid)
        listen = asyncio.create_task(self._listen(spec.name, ours))
        code = await process.wait()
        self._bury(process.pid)
        del self._processes[spec.name]
        listen.cancel()
        await asyncio.gather(listen, return_exceptions=True)
        return code

    async def _listen(self, name: str, ours: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=ours, limit=LINE_BYTES)
        self._writers[name] = writer
        try:
            while line := await self._heard(name, reader):
                said = {**self._status[name].said, **json.loads(line)}
                self._put(name, ready=bool(said.get("ready")), why=str(said.get("why", "")), said=said)
        finally:
            self._writers.pop(name, None)
            writer.close()

    async def _heard(self, name: str, reader: asyncio.StreamReader) -> bytes:
        """The next line; meanwhile a ready child that is silent for too long is no longer ready."""
        try:
            async with asyncio.timeout(SILENT_S):
                return await reader.readline()
        except TimeoutError:
            if self._status[name].ready:
                log.warning("child.silent", role=name, for_s=SILENT_S)
                self._put(name, ready=False, why=f"nothing was heard of it for {SILENT_S:g} s")
        return await reader.readline()

    def _put(self, name: str, **changes: Any) -> None:
        before = self._status[name]
        after = replace(before, **changes)
        if (after.ready, after.why) != (before.ready, before.why):
            after = replace(after, since_ms=time.time_ns() // 1_000_000)
        self._status[name] = after

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass


def _signal(process: Process, number: signal.Signals) -> None:
    if process.returncode is None:
        process.send_signal(number)


class Parent:
    """The other end, in the child: says how it is, and hears when to stop (SIGTERM, or the parent is gone)."""

    def __init__(self) -> None:
        self._socket = socket.socket(fileno=int(os.environ[STATUS_FD]))
        self._writer: asyncio.StreamWriter | None = None
        self._said: dict[str, Any] = {}
        self._told: dict[str, Any] = {}
        self._told_s = 0.0

    async def attend(self, stop: Callable[[bool], None], hear: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        """Let `hear` have what the parent tells, and call `stop(orderly)` once: orderly on SIGTERM, not when the parent
        is gone. Returns then.
        """
        loop = asyncio.get_running_loop()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        told = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, told.set)
        reader, self._writer = await asyncio.open_connection(sock=self._socket)
        self.say()  # what there was to say before somebody listened
        gone = asyncio.create_task(_hear(reader, hear))
        waiting = asyncio.create_task(told.wait())
        await asyncio.wait((gone, waiting), return_when=asyncio.FIRST_COMPLETED)
        stop(told.is_set())
        for task in (gone, waiting):
            task.cancel()
        await asyncio.gather(gone, waiting, return_exceptions=True)

    def say(self, **what: Any) -> None:
        """How this child is (`ready`, `why`, `applied`); said when it changes, and every few seconds."""
        said, now_s = {**self._said, **what}, time.monotonic()
        is_due = said != self._told or now_s >= self._told_s + BEAT_S
        if self._writer is not None and is_due and not self._writer.is_closing():
            self._told, self._told_s = said, now_s
            self._writer.write(json.dumps(said).encode() + b"\n")
        self._said = said


async def _hear(reader: asyncio.StreamReader, hear: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    """Until the parent is gone."""
    while line := await reader.readline():
        await hear(json.loads(line))
