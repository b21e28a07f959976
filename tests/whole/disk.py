"""A disk under a real gateway that can fail and that remembers: what SQLite writes and syncs passes by here.

The processes run unchanged on the SQLite that Python came with. What they start with (`environment`) puts a few
functions of this file between SQLite and its own way to the disk, in the tables that SQLite offers for that.

Every write, sync, truncation and removal of the journal's files is appended to a record, in the order in which they
happened over all processes; `power_cut` makes from it what a disk may hold after a power cut. A fault (`Faults.order`)
makes the processes' next writes, syncs, reads or openings fail, until it is lifted.
"""

import ctypes
import mmap
import os
import sqlite3
import struct
import sys
from collections.abc import Iterator
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

DATABASE, RECORD, FAULT = "GATEWAY_TEST_DATABASE", "GATEWAY_TEST_RECORD", "GATEWAY_TEST_FAULT"
FILES = ("", "-wal", "-journal")
"""What the names of the journal's files end with."""
HEADER = struct.Struct("<cBqI")

OK, FULL = 0, 13
IOERR_READ, IOERR_WRITE, IOERR_FSYNC, IOERR_TRUNCATE, CANTOPEN_IOERR = 266, 778, 1034, 1546, 14
OPEN_READONLY, OPEN_READWRITE, OPEN_CREATE = 1, 2, 4


class Fault(IntEnum):
    """What the disk does. `read_only`: as a file system that its kernel has made so, with files open on it."""

    none = 0
    write_error = 1
    sync_error = 2
    read_error = 3
    read_only = 4
    full = 5


class Step(NamedTuple):
    """What happened to a file: `W`ritten at `at`, `S`ynced, `F`ailed to sync, `T`runcated to `at`, `D`eleted."""

    kind: bytes
    file: int
    at: int
    data: bytes


def available() -> bool:
    """Whether this Python's SQLite can be reached: a library of its own, not built into something else."""
    return sys.platform == "linux" and _library() is not None


def environment(database: Path, record: Path | None = None, fault: Path | None = None) -> dict[str, str]:
    """What a process is to be started with."""
    root = Path(__file__).parents[2]
    found = {"PYTHONPATH": f"{root}:{Path(__file__).parent / 'shim'}", DATABASE: str(database)}
    if record is not None:
        found[RECORD] = str(record)
    if fault is not None:
        found[FAULT] = str(fault)
    return found


class Faults:
    """The faults of a disk, ordered from outside of the processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(b"\0")

    def order(self, fault: Fault) -> None:
        """From now on, until another is ordered."""
        with self.path.open("r+b") as file:
            file.write(bytes([fault]))


def steps(record: bytes) -> Iterator[tuple[int, Step]]:
    """The steps of a record, each with where in the record it ends."""
    place = 0
    while place < len(record):
        kind, file, at, size = HEADER.unpack_from(record, place)
        place += HEADER.size + size
        yield place, Step(kind, file, at, record[place - size : place])


# --- inside the processes --------------------------------------------------------------------------------------------

Pointer = c_void_p
Read = CFUNCTYPE(c_int, Pointer, Pointer, c_int, c_int64)
Truncate = CFUNCTYPE(c_int, Pointer, c_int64)
Sync = CFUNCTYPE(c_int, Pointer, c_int)
Open = CFUNCTYPE(c_int, Pointer, Pointer, Pointer, c_int, POINTER(c_int))
Delete = CFUNCTYPE(c_int, Pointer, c_char_p, c_int)


class Methods(Structure):
    """`sqlite3_io_methods`: how SQLite does something to an open file."""

    _fields_ = (
        ("version", c_int),
        ("close", Pointer),
        ("read", Read),
        ("write", Read),
        ("truncate", Truncate),
        ("sync", Sync),
        ("others", Pointer * 13),
    )


class File(Structure):
    """`sqlite3_file`."""

    _fields_ = (("methods", POINTER(Methods)),)


class Vfs(Structure):
    """`sqlite3_vfs`: how SQLite reaches the disk."""

    _fields_ = (
        ("version", c_int),
        ("file_bytes", c_int),
        ("name_bytes_max", c_int),
        ("next", Pointer),
        ("name", c_char_p),
        ("data", Pointer),
        ("open", Open),
        ("delete", Delete),
    )


def _library() -> ctypes.CDLL | None:
    """The SQLite that this process uses."""
    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "sqlite3" in line}
    for path in sorted(mapped):
        library = ctypes.CDLL(path)
        if hasattr(library, "sqlite3_vfs_find") and sqlite3.sqlite_version:
            return library
    return None


def install() -> None:
    """Put this between SQLite and the disk, for the files of one database."""
    if DATABASE in os.environ:
        library = _library()
        assert library is not None, "no SQLite to be found in this process"
        library.sqlite3_vfs_find.restype = POINTER(Vfs)
        Between(library.sqlite3_vfs_find(None).contents)


class Between:
    """What stands between SQLite and the disk. Lives as long as the process."""

    def __init__(self, vfs: Vfs) -> None:
        self._database = os.environ[DATABASE]
        self._record = -1
        if RECORD in os.environ:
            self._record = os.open(os.environ[RECORD], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        self._fault: mmap.mmap | bytes = b"\0"
        if FAULT in os.environ:
            with Path(os.environ[FAULT]).open("rb") as file:
                self._fault = mmap.mmap(file.fileno(), 1, prot=mmap.PROT_READ)
        self._files: dict[int, int] = {}
        self._methods: dict[int, tuple[Methods, Methods]] = {}
        self._open, self._delete = Open.from_buffer_copy(vfs.open), Delete.from_buffer_copy(vfs.delete)
        vfs.open, vfs.delete = Open(self._opens), Delete(self._deletes)
        _ALIVE.append((self, vfs))

    def _now(self) -> int:
        return self._fault[0]

    def _note(self, kind: bytes, file: int, at: int = 0, data: bytes = b"") -> None:
        if self._record >= 0:
            os.write(self._record, HEADER.pack(kind, file, at, len(data)) + data)

    def _which(self, name: bytes | None) -> int | None:
        """Which of the journal's files; None: another."""
        text = os.fsdecode(name or b"")
        ending = text.removeprefix(self._database)
        return FILES.index(ending) if text != ending and ending in FILES else None

    def _opens(self, vfs: Any, name: Any, file: Any, flags: int, out: Any) -> int:
        which = self._which(ctypes.string_at(name) if name else None)
        if which is not None and self._now() == Fault.read_only and flags & OPEN_READWRITE:
            if which or (flags & OPEN_CREATE and not Path(self._database).exists()):
                return CANTOPEN_IOERR
            flags = flags & ~(OPEN_READWRITE | OPEN_CREATE) | OPEN_READONLY
        code = int(self._open(vfs, name, file, flags, out))
        if code == OK and which is not None:
            self._files[file] = which
            handle = ctypes.cast(file, POINTER(File)).contents
            handle.methods = ctypes.pointer(self._through(handle.methods.contents))
        return code

    def _through(self, real: Methods) -> Methods:
        """The methods of an open file, by way of here."""
        address = ctypes.addressof(real)
        if address not in self._methods:
            mine = Methods.from_buffer_copy(real)
            mine.write, mine.sync, mine.truncate = Read(self._writes), Sync(self._syncs), Truncate(self._truncates)
            if FAULT in os.environ:
                mine.read = Read(self._reads)
            self._methods[address] = (mine, real)
        return self._methods[address][0]

    def _real(self) -> Methods:
        """SQLite's own methods: of a file with locks all have the same reads, writes and syncs."""
        return next(iter(self._methods.values()))[1]

    def _reads(self, file: int, into: int, size: int, at: int) -> int:
        if self._now() == Fault.read_error:
            return IOERR_READ
        return int(self._real().read(file, into, size, at))

    def _writes(self, file: int, data: int, size: int, at: int) -> int:
        if self._now() in (Fault.write_error, Fault.read_only):
            return IOERR_WRITE
        if self._now() == Fault.full:
            return FULL
        code = int(self._real().write(file, data, size, at))
        if code == OK:
            self._note(b"W", self._files[file], at, ctypes.string_at(data, size))
        return code

    def _truncates(self, file: int, size: int) -> int:
        if self._now() in (Fault.write_error, Fault.read_only):
            return IOERR_TRUNCATE
        code = int(self._real().truncate(file, size))
        if code == OK:
            self._note(b"T", self._files[file], size)
        return code

    def _syncs(self, file: int, flags: int) -> int:
        if self._now() in (Fault.sync_error, Fault.read_only):
            self._note(b"F", self._files[file])
            return IOERR_FSYNC
        self._note(b"S", self._files[file])  # what is written while it syncs is not synced by it
        return int(self._real().sync(file, flags))

    def _deletes(self, vfs: Any, name: bytes, sync: int) -> int:
        which = self._which(name)
        if which is not None and self._now() == Fault.read_only:
            return IOERR_WRITE
        code = int(self._delete(vfs, name, sync))
        if code == OK and which is not None:
            self._note(b"D", which)
        return code


_ALIVE: list[Any] = []
