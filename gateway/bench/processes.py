"""What is measured, as processes of its own: the gateway as `gateway serve` starts it, the sandbox, the yardstick."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.bench import machine
from gateway.bench.report import BenchFailed

READY_S = 30.0
STOP_S = 40.0
LOOK_S = 0.05
SHOWN_BYTES = 2000


class Running:
    """Something that takes requests at a port: its processes by role (a gateway's are `parent`, `receiver` and
    `dispatcher`).
    """

    def __init__(self, port: int, pids: Mapping[str, int]) -> None:
        self.port = port
        self.pids = pids

    def cpu_s(self, *roles: str) -> float:
        """Seconds of CPU that the roles have used; without roles, all of them."""
        return machine.cpu_s([self.pids[role] for role in roles or self.pids])

    def resident_bytes(self, role: str) -> int:
        """Memory that a role holds."""
        return machine.resident_bytes(self.pids[role])

    def move(self, role: str, core: int | None) -> None:
        """Put a role on a core of its own."""
        machine.move(self.pids[role], core)


@asynccontextmanager
async def gateway(
    config: Mapping[str, Any], folder: Path, *, role: str = "all", core: int | None = None
) -> AsyncIterator[Running]:
    """`gateway serve` on this configuration, its journal in `folder`, its ports free ones, until the context ends.

    Raises BenchFailed with what it said when it does not come up.
    """
    port, admin = free_port(), free_port()
    path = _written(config, folder, port, admin)
    command = ("-m", "gateway", "serve", "--config", str(path), "--role", role)
    async with process(command, folder / "gateway.log", core) as started:
        await _answers(admin, "/readyz", started, folder / "gateway.log")
        yield Running(port, {"parent": started.pid, **_roles(started.pid)})


def _written(config: Mapping[str, Any], folder: Path, port: int, admin: int) -> Path:
    """The configuration as a file, with this journal and these ports."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = {
        "journal": {"url": f"sqlite:///{(folder / 'journal.db').resolve()}"},
        "receiver": {"listen": f"127.0.0.1:{port}"},
        "admin": {"listen": f"127.0.0.1:{admin}"},
        "log": {"format": "json"},
        **config,
    }
    path = folder / "bench.yaml"
    path.write_text(json.dumps(whole))
    return path


@asynccontextmanager
async def bare(folder: Path, core: int | None) -> AsyncIterator[Running]:
    """The yardstick."""
    port = free_port()
    log = folder / "bare.log"
    async with process(("-m", "gateway.bench.bare", str(port)), log, core) as started:
        await _answers(port, "/", started, log)
        yield Running(port, {"bare": started.pid})


@asynccontextmanager
async def sandbox(folder: Path, core: int | None) -> AsyncIterator[int]:
    """The vendors' APIs, as `gateway sandbox` plays them; gives the port."""
    port = free_port()
    log = folder / "sandbox.log"
    command = ("-m", "gateway", "sandbox", "--listen", f"127.0.0.1:{port}")
    async with process(command, log, core) as started:
        await _answers(port, "/_sandbox", started, log)
        yield port


@asynccontextmanager
async def process(command: tuple[str, ...], log: Path, core: int | None) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python process on a core, ended with SIGTERM."""
    with log.open("wb") as output, machine.on_core(core):
        started = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdout=output, stderr=output, env=_environment(), start_new_session=True
        )
    try:
        yield started
    finally:
        await _end(started)


async def _end(started: asyncio.subprocess.Process) -> None:
    if started.returncode is not None:
        return
    started.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_S):
            await started.wait()
    except TimeoutError:
        started.kill()
        await started.wait()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


async def get(port: int, path: str) -> tuple[int, bytes]:
    """The status and body of a GET on this machine. Raises OSError where nobody answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
        head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
    finally:
        writer.close()
    if len(head) < len(b"HTTP/1.1 200"):
        raise ConnectionError("no answer")
    return int(head[9:12]), body


async def _answers(port: int, path: str, started: asyncio.subprocess.Process, log: Path) -> None:
    """Wait until it answers with anything but 503."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + READY_S
    while started.returncode is None and loop.time() < until_s:
        try:
            status, _ = await get(port, path)
            if status != 503:  # noqa: PLR2004  not ready
                return
        except OSError:
            pass
        await asyncio.sleep(LOOK_S)
    raise BenchFailed(f"it did not come up: {_said(log) or 'it said nothing'}")


def _said(log: Path) -> str:
    return log.read_bytes()[-SHOWN_BYTES:].decode(errors="replace")


def _roles(pid: int) -> dict[str, int]:
    return {name.removeprefix("gw-"): child for child, name in machine.children(pid).items() if name.startswith("gw-")}


def _environment() -> dict[str, str]:
    """Ours, without what belongs to a gateway that may be running here."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "PROMETHEUS_"))}
