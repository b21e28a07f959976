import os
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest

from gateway.bench import machine

needs_linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the figures come from /proc")


def test_the_machine_is_described_without_saying_whose_it_is(tmp_path: Path) -> None:
    found = machine.describe(tmp_path)

    assert set(found) == {"cores", "architecture", "python", "sqlite", "fsync_ms"}
    assert found["fsync_ms"] >= 0
    assert list(tmp_path.iterdir()) == []


@needs_linux
def test_cpu_and_memory_of_a_process_are_known() -> None:
    before_s = machine.cpu_s([os.getpid()])
    while machine.cpu_s([os.getpid()]) == before_s:
        sum(range(10_000))

    assert machine.resident_bytes(os.getpid()) > 1 << 20


@needs_linux
def test_children_are_known_by_their_names() -> None:
    code = "from gateway.process import named; named('dispatcher'); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=PIPE, stdout=PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        found = machine.children(os.getpid())
        child.communicate(b"\n")

    assert found[child.pid] == "gw-dispatcher"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="cores cannot be chosen here")
def test_a_core_is_taken_for_a_while_only() -> None:
    before = os.sched_getaffinity(0)
    core = min(before)

    with machine.on_core(core):
        assert os.sched_getaffinity(0) == {core}

    assert os.sched_getaffinity(0) == before
    with machine.on_core(None):
        assert os.sched_getaffinity(0) == before
