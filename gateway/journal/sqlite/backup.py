"""A consistent copy of a journal while writers go on: VACUUM INTO reads one snapshot and leaves no free pages."""

import os
from contextlib import closing
from pathlib import Path

from gateway.errors import JournalError
from gateway.journal.sqlite.connection import connect, translated

DESK_S = 10.0


def backup(source: Path, target: Path) -> None:
    """Write the copy beside the target, flush it, and put it in its place: a half-written one never bears the name."""
    if target.exists() and target.samefile(source):
        raise JournalError("a journal cannot be backed up onto itself")
    part = target.with_name(target.name + ".part")
    with translated(source):
        part.unlink(missing_ok=True)
        try:
            with closing(connect(source, DESK_S)) as db:
                db.execute("VACUUM INTO ?", (str(part),))
            _flush(part)
            part.replace(target)
            _flush(target.parent)
        finally:
            part.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
