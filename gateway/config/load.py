"""One file, or a folder of them, as a configuration in force; or every fault of it at once.

read (places) > merge by section > fill in ${} (expand) > models (wording) > references > the registry's checks
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gateway.config import wording
from gateway.config.expand import Expansion
from gateway.config.json_schema import json_schema
from gateway.config.places import MAX_FILE_BYTES, Document, Entry, Leaf, Node, Place, Row, Table, Unreadable, dotted
from gateway.config.places import Path as KeyPath
from gateway.config.places import fault as fault_at
from gateway.config.places import read as read_yaml
from gateway.config.references import contradictory, dangling, doubtful
from gateway.config.registry import Loaded, Problem, Registry
from gateway.config.schema import Config, DestinationSettings
from gateway.errors import ConfigurationError, Fault

__all__ = ["Loaded", "Problem", "Registry", "files_of", "json_schema", "load"]

MAX_FILES = 200
SUFFIXES = (".yaml", ".yml")
MISSING = "name one with --config or GATEWAY_CONFIG; `gateway init` writes a first one"
EVENTS = ("sources", "destinations", "lookups", "mappings", "presets", "routes")
"""Sections that say what becomes of an event. The others (doors, journal, log) are a replica's own."""

ModelOf = Callable[[Mapping[str, Any]], type[DestinationSettings] | None]
"""The model of a section's entry; None where there is none."""


def load(path: Path, registry: Registry, env: Mapping[str, str]) -> Loaded:
    """The configuration in a file, or in a folder's `*.yaml` and `*.yml` merged by section, in order of their names.

    Raises ConfigurationError with all faults, in the order of the files; never anything else, whatever the bytes.
    """
    pieces = [(str(file), _bytes(file)) for file in files_of(path)]
    faults: list[Fault] = []
    roots = _roots(pieces, faults)
    document = Document(_merged(roots, pieces[0][0], faults))
    try:
        plain = document.plain()
    except Unreadable as error:
        raise ConfigurationError([*faults, error.fault]) from None
    whole = len(roots) == len(pieces)
    findings = _Findings(plain, registry, env, whole=whole)
    loaded = findings.judge(_digest(plain), tuple(name for name, _ in pieces))
    files = [name for name, _ in pieces]
    faults += [_placed(document, problem) for problem in findings.problems if not problem.warning]
    warnings = _in_order((_placed(document, problem) for problem in findings.problems if problem.warning), files)
    if loaded is None or faults:
        raise ConfigurationError(_in_order(faults, files), warnings if whole else ())
    return replace(loaded, warnings=tuple(warnings), places=document.values)


# --- files -----------------------------------------------------------------------------------------------------------


def files_of(path: Path) -> list[Path]:
    """The file, or a folder's files by name. Hidden ones (a ConfigMap's `..data`) and folders in it are left out."""
    if not path.is_dir():
        return [path]
    try:
        found = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and not file.name.startswith("."))
    except OSError as error:
        raise _unread(path, error) from None
    files = [file for file in found if not file.is_dir()]
    if not files:
        raise ConfigurationError([Fault(str(path), 1, 1, "", "the folder holds no *.yaml", MISSING)])
    if len(files) > MAX_FILES:
        raise ConfigurationError([Fault(str(path), 1, 1, "", f"the folder holds more than {MAX_FILES} files")])
    return files


def _bytes(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _unread(file, error) from None


def _unread(path: Path, error: OSError) -> ConfigurationError:
    if isinstance(error, FileNotFoundError):
        fault = Fault(str(path), 1, 1, "", "there is no such file or folder", MISSING)
    else:
        fault = Fault(str(path), 1, 1, "", f"cannot be read: {(error.strerror or 'an error').lower()}")
    return ConfigurationError([fault])


def _digest(plain: Mapping[str, Any]) -> str:
    """12 hex digits over what events depend on, in the files' own order and before anything is filled in: nothing
    secret can be derived, and replicas whose ports or log differ have one revision.
    """
    return hashlib.sha256(_told({name: plain.get(name) for name in EVENTS}).encode()).hexdigest()[:12]


def _told(value: Any) -> str:
    """A value as text: JSON, but for integers, which may have more digits than JSON is written with."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{_told(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_told, value)) + "]"
    return hex(value) if isinstance(value, int) and not isinstance(value, bool) else json.dumps(value)


def _roots(pieces: Sequence[tuple[str, bytes]], faults: list[Fault]) -> list[Table]:
    """Each file's top-level table. A file that cannot be read at all is a fault and not in the list."""
    roots: list[Table] = []
    for name, raw in pieces:
        try:
            node = read_yaml(name, raw, faults)
        except Unreadable as error:
            faults.append(error.fault)
            continue
        if node is None:
            roots.append(Table(Place(name, 1, 1)))
        elif isinstance(node, Table):
            roots.append(node)
        else:
            hint = "begin with a section: sources, destinations, routes ..."
            faults.append(fault_at(node.place, "", "a table of sections is wanted", hint))
    return roots


# --- merging ---------------------------------------------------------------------------------------------------------


def _merged(roots: Iterable[Table], file: str, faults: list[Fault]) -> Table:
    """The files' sections as one: tables by their keys, routes one after the other. What stands twice is a fault."""
    whole = Table(Place(file, 1, 1))
    for root in roots:
        for entry in root.entries.values():
            _add(whole, entry, faults)
    return whole


def _add(whole: Table, entry: Entry, faults: list[Fault]) -> None:
    if _is_empty(entry.node) and entry.key in Config.model_fields:
        return
    first = whole.entries.get(entry.key)
    if first is None:
        whole.entries[entry.key] = Entry(entry.key, entry.place, _copied(entry.node))
    elif isinstance(first.node, Table) and isinstance(entry.node, Table):
        for below in entry.node.entries.values():
            earlier = first.node.entries.setdefault(below.key, below)
            if earlier is not below:
                faults.append(_twice(below, earlier, dotted((entry.key, below.key))))
    elif isinstance(first.node, Row) and isinstance(entry.node, Row):
        first.node.items.extend(entry.node.items)
    else:
        faults.append(_twice(entry, first, dotted((entry.key,))))


def _is_empty(node: Node) -> bool:
    """A section whose lines are all comments."""
    return isinstance(node, Leaf) and node.value is None


def _copied(node: Node) -> Node:
    if isinstance(node, Table):
        return Table(node.place, dict(node.entries))
    return Row(node.place, list(node.items)) if isinstance(node, Row) else node


def _twice(entry: Entry, first: Entry, path: str) -> Fault:
    place = first.place
    hint = f"first in {place.file}:{place.line}:{place.column}; keep one, or give one another name"
    return fault_at(entry.place, path, f"`{entry.key}` is defined twice", hint)


# --- judging ---------------------------------------------------------------------------------------------------------


class _Findings:
    """Everything that is to be said of one configuration. `whole`: no file is missing from it."""

    def __init__(self, plain: dict[str, Any], registry: Registry, env: Mapping[str, str], *, whole: bool) -> None:
        self._plain = plain
        self._expansion = Expansion(env)
        self._filled: dict[str, Any] = self._expansion.fill(plain)
        self._registry = registry
        self._whole = whole
        self.problems: list[Problem] = list(self._expansion.problems)

    def judge(self, digest: str, files: tuple[str, ...]) -> Loaded | None:
        """The configuration, where its models are sound; `problems` holds what was found on the way."""
        config = self._config()
        settings = self._each("destinations", self._vendor_model)
        lookups = self._each("lookups", lambda _: self._registry.lookup)
        if self._whole:
            self._note(dangling(self._filled, self._registry, self._expansion.expanded))
        self._note(contradictory(self._filled))
        if config is None or settings is None or lookups is None:
            return None
        config = config.model_copy(update={"destinations": settings, "lookups": lookups})
        loaded = Loaded(config, settings, digest, files, lookups=lookups)
        self._note(doubtful(loaded.config, self._plain, self._expansion.expanded))
        for check in self._registry.checks:
            self._note(check(loaded))
        return loaded

    def _note(self, problems: Iterable[Problem]) -> None:
        """Keep what is not told yet: a value that could not be filled in has no other fault; a warning hides none."""
        told = {problem.path for problem in self.problems if not problem.warning}
        self.problems += [one for one in problems if one.path not in told and not self._expansion.failed(one.path)]

    def _config(self) -> Config | None:
        try:
            return Config.model_validate(self._filled)
        except ValidationError as error:
            self._note(wording.problems(error, Config, self._filled, self._expansion.expanded))
            return None

    def _each(self, section: str, model_of: ModelOf) -> dict[str, DestinationSettings] | None:
        """Each destination as its vendor reads it, each look-up; None where one has a fault."""
        table = self._filled.get(section, {})
        if not isinstance(table, dict):
            return None
        found = {name: self._settings((section, name), raw, model_of) for name, raw in table.items()}
        settings = {name: one for name, one in found.items() if one is not None}
        return settings if len(settings) == len(found) else None

    def _vendor_model(self, raw: Mapping[str, Any]) -> type[DestinationSettings] | None:
        vendor = raw.get("vendor")
        return self._registry.vendors.get(vendor) if isinstance(vendor, str) else DestinationSettings

    def _settings(self, path: KeyPath, raw: Any, model_of: ModelOf) -> DestinationSettings | None:
        if not isinstance(raw, dict):
            hint = "vendor: ..." if path[0] == "destinations" else "urls: ..."
            self._note([Problem(path, f"a table of keys is wanted, and this is {wording.kind(raw)}", hint)])
            return None
        model = model_of(raw)
        if model is None:
            return None  # said by `dangling`
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            shown = {at[len(path) :]: text for at, text in self._expansion.expanded.items() if at[: len(path)] == path}
            found = wording.problems(error, model, raw, shown)
            if model is DestinationSettings:
                found = self._without_vendor(found)
            self._note(replace(one, path=(*path, *one.path)) for one in found)
            return None

    def _without_vendor(self, found: Iterable[Problem]) -> list[Problem]:
        """What can be said while it is not known whose settings they are: no key is unknown."""
        vendors = wording.near("", self._registry.vendors)
        missing = "`vendor` is missing"
        return [replace(one, hint=vendors) if one.cause == missing else one for one in found if not one.key]


def _placed(document: Document, problem: Problem) -> Fault:
    place = document.place(problem.path, key=problem.key)
    return fault_at(place, dotted(problem.path), problem.cause, problem.hint)


def _in_order(faults: Iterable[Fault], files: Sequence[str]) -> list[Fault]:
    """By file, line and column, each once."""
    order = {name: index for index, name in enumerate(files)}
    return sorted(dict.fromkeys(faults), key=lambda one: (order.get(one.file, 0), one.line, one.column))
