"""How a process gets a child: one that was forked at the start and waits, or a program of its own.

A start is imports, and what one process has loaded those that it forks need not load again. It forks them before it has
a loop or a thread, so they wait, each at a socket, for the command that they are to run. Who dies later is started as a
program. Either way the child has the other end of a socket in `STATUS_FD`.
"""

import asyncio
import gc
import json
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from multiprocessing.process import BaseProcess
from typing import Protocol

STATUS_FD = "GATEWAY_STATUS_FD"

Sockets = Mapping[str, socket.socket]
"""What a child inherits: each as an option of its command (`--listener`), whose value is the descriptor."""
Run = Callable[[list[str]], object]
"""Runs a command, given what stands after `python -m gateway`."""

_LENGTH_BYTES = 4
_SOCKETS_MAX = 8


class Process(Protocol):
    """A child, as asyncio shows it."""

    pid: int

    @property
    def returncode(self) -> int | None:
        """None while it runs; -N when signal N ended it."""

    async def wait(self) -> int:
        """Its exit code, when it has ended."""

    def send_signal(self, number: int) -> None: ...


class Spare:
    """A forked process that waits, from its parent's side. `ours` is the socket that it listens at."""

    def __init__(self, process: BaseProcess, ours: socket.socket) -> None:
        self._process = process
        self._ours = ours
        self.pid = process.pid or 0

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def begin(self, command: Sequence[str], sockets: Sockets) -> socket.socket:
        """Let it run this command; gives our end of `STATUS_FD`. Raises OSError when it has died."""
        words = json.dumps([command, list(sockets)]).encode()
        head = len(words).to_bytes(_LENGTH_BYTES, "big")
        socket.send_fds(self._ours, [head], [one.fileno() for one in sockets.values()])
        self._ours.sendall(words)
        return self._ours

    async def wait(self) -> int:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._process.sentinel, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._process.sentinel)
        self._process.join()
        return self._process.exitcode or 0

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)


@contextmanager
def spares(count: int, run: Run) -> Iterator[list[Spare]]:
    """Forked processes to take from; those that are left at the end are let go. None where forking is not safe: where
    there are threads, and on systems whose libraries do not bear it.
    """
    if sys.platform != "linux" or threading.active_count() > 1:
        yield []
        return
    gc.collect()
    gc.freeze()  # pages that nobody writes to are held once for all
    with ExitStack() as ends:
        yield [_forked(run, ends) for _ in range(count)]


def _forked(run: Run, ends: ExitStack) -> Spare:
    ours, theirs = socket.socketpair()
    ends.enter_context(ours)
    with theirs:
        process = multiprocessing.get_context("fork").Process(target=_wait, args=(theirs, ends, run))
        process.start()
    return Spare(process, ours)


def _wait(theirs: socket.socket, ends: ExitStack, run: Run) -> None:
    """In the forked process: run the command that comes, or end when none will. `ends` are the parent's alone: who else
    held one would not see that the parent is gone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of them; the parent tells the others
    ends.close()
    head, descriptors, _, _ = socket.recv_fds(theirs, _LENGTH_BYTES, _SOCKETS_MAX)
    if not head:
        return
    command, options = json.loads(theirs.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL))
    os.environ[STATUS_FD] = str(theirs.detach())
    run([*command, *_options(options, descriptors)])


async def started(command: Sequence[str], sockets: Sockets, waiting: list[Spare]) -> tuple[Process, socket.socket]:
    """A child that runs this command, and our end of its `STATUS_FD`: one of those that wait where there is any, else a
    program.
    """
    while waiting:
        spare = waiting.pop()
        try:
            return spare, spare.begin(command, sockets)
        except OSError:
            continue
    ours, theirs = socket.socketpair()
    descriptors = [one.fileno() for one in sockets.values()]
    with theirs:
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", *command, *_options(sockets, descriptors)),
            env={**os.environ, STATUS_FD: str(theirs.fileno())},
            pass_fds=(theirs.fileno(), *descriptors),
        )
    return program, ours


def _options(names: Iterable[str], descriptors: Iterable[int]) -> list[str]:
    return list(chain.from_iterable(zip(names, map(str, descriptors), strict=True)))
