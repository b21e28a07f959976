"""Children of real processes: forked ones that wait for their command, and programs."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked here")

HEAD = """
import asyncio, json, os, signal, socket, sys, threading
from gateway.spawn import STATUS_FD, spares, started

def run(words):
    status = socket.socket(fileno=int(os.environ[STATUS_FD]))
    status.sendall(json.dumps(words).encode() + b"\\n")
    if "--listener" in words:
        socket.socket(fileno=int(words[-1])).sendall(b"through the socket")
    sys.exit(7)

def said(ours):
    with ours.makefile("rb") as lines:
        return json.loads(lines.readline())
"""


def _run(code: str) -> Any:
    """What the program prints, as JSON: processes are forked from one that has nothing but this."""
    done = subprocess.run([sys.executable, "-c", HEAD + code], capture_output=True, check=True, timeout=30)
    return json.loads(done.stdout)


@needs_linux
def test_a_spare_runs_the_command_it_is_told_and_inherits_sockets() -> None:
    found = _run("""
async def main(waiting):
    here, there = socket.socketpair()
    process, ours = await started(("child", "receiver"), {"--listener": there}, waiting)
    there.close()
    words = said(ours)
    print(json.dumps([words[:-1], here.recv(100).decode(), await process.wait(), process.returncode]))

with spares(1, run) as waiting:
    asyncio.run(main(waiting))
""")

    assert found == [["child", "receiver", "--listener"], "through the socket", 7, 7]


@needs_linux
def test_a_spare_that_a_signal_ends_says_so() -> None:
    found = _run("""
async def main(waiting):
    spare = waiting[0]
    spare.send_signal(signal.SIGTERM)
    print(json.dumps(await spare.wait()))
    spare.send_signal(signal.SIGTERM)

with spares(1, run) as waiting:
    asyncio.run(main(waiting))
""")

    assert found == -15


@needs_linux
@pytest.mark.parametrize("end", ["os.kill(os.getpid(), signal.SIGKILL)", "pass"])
def test_no_spare_outlives_who_forked_it(end: str) -> None:
    code = f"""
with spares(3, run) as waiting:
    print(json.dumps([one.pid for one in waiting]), flush=True)
    {end}
"""
    with subprocess.Popen([sys.executable, "-c", HEAD + code], stdout=subprocess.PIPE) as maker:
        assert maker.stdout is not None
        pids = json.loads(maker.stdout.readline())

    until_s = time.monotonic() + 10
    while any(map(_lives, pids)):
        assert time.monotonic() < until_s, pids
        time.sleep(0.01)


@needs_linux
def test_a_spare_that_has_died_is_passed_by() -> None:
    found = _run("""
async def main(waiting):
    first, second = waiting
    second.send_signal(signal.SIGKILL)
    await second.wait()
    process, ours = await started(("child",), {}, waiting)
    print(json.dumps([said(ours), process.pid == first.pid, len(waiting)]))

with spares(2, run) as waiting:
    asyncio.run(main(waiting))
""")

    assert found == [["child"], True, 0]


def test_a_process_with_threads_forks_nothing_and_starts_programs() -> None:
    found = _run("""
threading.Thread(target=threading.Event().wait, daemon=True).start()
async def main(waiting):
    process, ours = await started(("--no-such-option",), {}, waiting)
    print(json.dumps([len(waiting), await process.wait(), ours.recv(1).decode()]))

with spares(2, run) as waiting:
    asyncio.run(main(waiting))
""")

    assert found == [0, 2, ""]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
