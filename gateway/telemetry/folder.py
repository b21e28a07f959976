"""The folder that the processes of a gateway share: they count together in it (see `processes`), and read from it the
configuration in force (`config/reload.py`).

Its path must be in the environment before a process makes its first metric, so this module imports nothing that makes
one. The files in it are written through memory maps, and a full disk under a memory map kills the process: so the
folder is in memory (`/dev/shm`) wherever there is one.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
MEMORY = Path("/dev/shm")  # noqa: S108  folders in it are ours alone: made with 0700 and locked
FOLDERS = 100
"""Gateways of one user on one machine, at most."""


@contextmanager
def claimed(base: Path | None = None) -> Iterator[Path]:
    """A folder for this process and its children, empty; given up, and empty again, at the end.

    The first under `base` (default: in memory, else the place for temporary files) that nobody holds: what a killed
    gateway left is taken over by the next. Raises OSError when there is none to be had.
    """
    within = base or (MEMORY if os.access(MEMORY, os.W_OK) else Path(tempfile.gettempdir()))
    for number in range(FOLDERS):
        path = within / f"gateway-metrics-{os.getuid()}-{number}"
        lock = _locked(path)
        if lock is not None:
            break
    else:
        raise OSError(f"no folder for metrics is free under {within}")
    with lock:
        _empty(path)
        try:
            yield path
        finally:
            _empty(path)


def shared(environment: Mapping[str, str]) -> Path | None:
    """The folder that the environment names, or None: this process counts for itself alone."""
    path = environment.get(VARIABLE)
    return Path(path) if path else None


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
    for folder in path.glob("configuration-*"):
        shutil.rmtree(folder, ignore_errors=True)
