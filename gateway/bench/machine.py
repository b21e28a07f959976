"""What the bench runs on, and what processes use of it. CPU and memory come from `/proc`, as Linux has it."""

import os
import platform
import sqlite3
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

FSYNCS = 50
PAGE_BYTES = 4096
_PROC = Path("/proc")


def describe(folder: Path) -> dict[str, Any]:
    """The machine as a result names it: nothing that tells whose it is. `folder` is where journals lie."""
    return {
        "cores": os.cpu_count() or 1,
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "fsync_ms": round(fsync_ms(folder), 3),
    }


def fsync_ms(folder: Path) -> float:
    """What it takes to append a page to a file and have it on disk, the median of 50."""
    took: list[float] = []
    path = folder / "fsync"
    with path.open("wb") as file:
        for _ in range(FSYNCS):
            began_s = time.perf_counter()
            file.write(bytes(PAGE_BYTES))
            file.flush()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began_s)
    path.unlink()
    return sorted(took)[FSYNCS // 2] * 1000


def cores() -> tuple[int | None, int | None]:
    """A core for what is measured and one for the load; None where they cannot be chosen."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    there = sorted(os.sched_getaffinity(0))
    return (there[0], there[1]) if len(there) > 1 else (None, None)


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Run here, and start children here, for a while."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def move(pid: int, core: int | None) -> None:
    """Move a process with all its threads to a core."""
    if core is None:
        return
    for thread in (_PROC / str(pid) / "task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), {core})


def children(pid: int) -> dict[int, str]:
    """The children of a process, with their names."""
    found: dict[int, str] = {}
    for task in (_PROC / str(pid) / "task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            with suppress(OSError):
                found[child] = (_PROC / str(child) / "comm").read_text().strip()
    return found


def cpu_s(pids: Collection[int]) -> float:
    """Seconds of CPU that these processes have used, user and system."""
    ticks = 0
    for pid in pids:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Memory that a process holds (its share of what is shared included)."""
    return int((_PROC / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
