"""Metrics over several processes: a folder of files, one set for each process, added up at the scrape.

The supervisor claims the folder and hands its `environment` to every child (the variable must be set before the child
starts). When a child has died, its gauges go and its counts are kept: `bury` adds them to those of all processes that
are gone, so that counters never fall and the folder does not grow with each restart.

The files are written through memory maps, and a full disk under a memory map kills the process: so the folder is in
memory (`/dev/shm`) wherever there is one.
"""

import fcntl
import os
import tempfile
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

from gateway.telemetry import metrics

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
MEMORY = Path("/dev/shm")  # noqa: S108  folders in it are ours alone: made with 0700 and locked

_FOLDERS = 100
_GONE = "gone"
_ADDED_UP = ("counter", "histogram", "summary")
_collector: Any = MultiProcessCollector
_file: Any = MmapedDict


class Folder:
    """A folder that this process claimed for itself and its children. What an earlier run left in it is gone."""

    def __init__(self, path: Path, lock: IO[str]) -> None:
        self.path = path
        self._lock = lock
        self._reading = threading.Lock()

    @property
    def environment(self) -> dict[str, str]:
        """What children need in their environment."""
        return {VARIABLE: str(self.path)}

    def collect(self) -> tuple[Metric, ...]:
        """Every metric of every process, added up. Reads files: not for an event loop."""
        with self._reading:
            return tuple(_collector(CollectorRegistry(), str(self.path)).collect())

    def bury(self, pid: int) -> None:
        """A child has died: its gauges go, its counts are kept. Harmless to call again."""
        with self._reading:
            for file in sorted(self.path.glob(f"*_{pid}.db")):
                kind = file.name.removesuffix(f"_{pid}.db")
                if kind in _ADDED_UP:
                    _add_up(file, self.path / f"{kind}_{_GONE}.db")
                file.unlink(missing_ok=True)

    def close(self) -> None:
        """Give the folder up: another may claim it. Idempotent."""
        if not self._lock.closed:
            _empty(self.path)
            self._lock.close()


def claim(base: Path | None = None) -> Folder:
    """The first folder under `base` (default: in memory, else the place for temporary files) that nobody holds.

    Raises OSError when there is none to be had.
    """
    within = base or (MEMORY if os.access(MEMORY, os.W_OK) else Path(tempfile.gettempdir()))
    for number in range(_FOLDERS):
        path = within / f"gateway-metrics-{os.getuid()}-{number}"
        lock = _locked(path)
        if lock is not None:
            _empty(path)
            return Folder(path, lock)
    raise OSError(f"no folder for metrics is free under {within}")


def in_children(environment: Mapping[str, str]) -> bool:
    """Whether this process counts for a parent that adds up."""
    return VARIABLE in environment


class Processes:
    """The metrics of all processes as a collector: the folder's, or without one this process's own."""

    def __init__(self, folder: Folder | None) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        return metrics.REGISTRY.collect() if self._folder is None else self._folder.collect()


def _locked(path: Path) -> IO[str] | None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (path / "lock").open("w")
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    return lock


def _empty(path: Path) -> None:
    for file in path.glob("*.db"):
        file.unlink(missing_ok=True)


def _add_up(file: Path, total: Path) -> None:
    kept = _file(str(total))
    try:
        for key, value, _, _ in _file.read_all_values_from_file(str(file)):
            before, _ = kept.read_value(key)
            kept.write_value(key, before + value, 0.0)
    finally:
        kept.close()
