"""How the processes of one machine hear that the head has moved, at no cost while it does not.

A writer that has let go of the writers' lock opens and closes its file once more; who listens is told by the kernel
(inotify, Linux). It changes nothing on the disk, needs no list of who listens, and a process that dies leaves nothing.
"""

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path

_IN_CLOSE = 0x8 | 0x10
"""IN_CLOSE_WRITE and IN_CLOSE_NOWRITE (inotify(7))."""
_EVENTS_BYTES = 4096


def lock_path(path: Path) -> Path:
    """The file of the writers' lock of a journal, which is the bell."""
    return path.with_name(path.name + ".lock")


def ring(lock: Path) -> None:
    """Something is committed. Where it cannot be rung (no descriptor is free) others find out by themselves."""
    with suppress(OSError):
        os.close(os.open(lock, os.O_RDONLY | os.O_CLOEXEC))


def listening(lock: Path) -> int | None:
    """A descriptor that is readable after each ring; None where there is none to be had."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    handle: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if handle < 0:
        return None
    if libc.inotify_add_watch(handle, os.fsencode(lock), _IN_CLOSE) < 0:
        os.close(handle)
        return None
    return handle


def heard(handle: int) -> bool:
    """Whether it has rung since this was asked last."""
    try:
        return bool(os.read(handle, _EVENTS_BYTES))  # rings that nobody has read yet are one
    except BlockingIOError:
        return False
