"""A configuration that changes while it is in force: seen, copied aside, checked whole, and only then handed on.

    files change > snapshot (a copy that nobody edits) > load and check > every process reads the snapshot

A process reads only snapshots of configurations that were sound, so that what is on disk may be wrong at any time.
"""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gateway.config.load import Loaded, files_of
from gateway.config.places import dotted, fault
from gateway.errors import ConfigurationError, Fault

Load = Callable[[Path], Loaded]

SECRET_FILE = re.compile(rb"\$\{file:([^}\n]+)\}")

RESTART = ("journal", "receiver", "admin")
"""Sections that do not change in a running gateway."""

Fingerprint = tuple[tuple[str, int, int, int], ...]


class Snapshots:
    """The configurations of one gateway, as they were when they were read. `folder` is the gateway's own."""

    def __init__(self, path: Path, folder: Path, load: Load) -> None:
        self._path = path
        self._folder = folder
        self._load = load
        self._count = 0
        self._seen: Fingerprint = ()

    def changed(self) -> bool:
        """Whether a file of the configuration, or a secret's file, is another than at the last `take`."""
        try:
            return fingerprint(self._path) != self._seen
        except (OSError, ConfigurationError):
            return bool(self._seen)

    def take(self) -> tuple[Path, Loaded]:
        """Copy the files aside and load the copy: its folder, and what it says.

        Raises ConfigurationError, its faults naming the files that were copied; the copy is gone then.
        """
        try:
            self._seen = fingerprint(self._path)
        except (OSError, ConfigurationError):
            self._seen = ()
        self._count += 1
        copy = self._folder / f"configuration-{self._count}"
        copy.mkdir(mode=0o700)
        try:
            return copy, self._loaded(copy)
        except BaseException:
            shutil.rmtree(copy)
            raise

    def drop(self, copy: Path) -> None:
        """Nobody reads this copy any more."""
        shutil.rmtree(copy, ignore_errors=True)

    def _loaded(self, copy: Path) -> Loaded:
        named = {}
        for file in files_of(self._path):
            target = copy / (file.name if file.suffix in {".yaml", ".yml"} else f"{file.name}.yaml")
            named[str(target)] = str(file)
            try:
                shutil.copyfile(file, target)
            except OSError:
                self._load(self._path)  # says what is wrong with it, as a fault
                raise
        try:
            loaded = self._load(copy)
        except ConfigurationError as error:
            faults = [replace(fault, file=named.get(fault.file, fault.file)) for fault in error.faults]
            raise ConfigurationError(faults) from None
        warnings = tuple(replace(fault, file=named.get(fault.file, fault.file)) for fault in loaded.warnings)
        places = {path: place._replace(file=named.get(place.file, place.file)) for path, place in loaded.places.items()}
        files = tuple(named.get(file, file) for file in loaded.files)
        return replace(loaded, files=files, warnings=warnings, places=places)


def fingerprint(path: Path) -> Fingerprint:
    """What tells one state of the files from another: each file's name, time, size and place on the disk."""
    found = []
    for file in files_of(path):
        found.append(_mark(file))
        found += [_mark(Path(name.decode(errors="replace"))) for name in SECRET_FILE.findall(file.read_bytes())]
    return tuple(found)


def needing_restart(old: Loaded, new: Loaded) -> tuple[Fault, ...]:
    """The settings that differ and take effect at a restart only, each at its place in the new files."""
    found = []
    for section in RESTART:
        before, after = getattr(old.config, section), getattr(new.config, section)
        for key in type(after).model_fields:
            if getattr(before, key) != getattr(after, key):
                path = (section, key)
                place = next(new.places[one] for one in (path, path[:1], ()) if one in new.places)
                words = ("changes at a restart only", "restart the gateway to apply it")
                found.append(fault(place, dotted(path), *words))
    return tuple(found)


def _mark(file: Path) -> tuple[str, int, int, int]:
    try:
        stat = file.stat()
    except OSError:
        return (str(file), 0, 0, 0)
    return (str(file), stat.st_mtime_ns, stat.st_size, stat.st_ino)
