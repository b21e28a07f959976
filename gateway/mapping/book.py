"""The book of mappings: those that are shipped, as `<platform or vendor>/<entity>`, and those of the configuration.

A mapping of one's own may build on another (`extends`), add and replace fields, and leave some out (`drop`). One with
a shipped mapping's name takes its place, and may extend the one it replaces.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, TypeGuard

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from gateway.config.registry import Problem
from gateway.config.wording import near
from gateway.errors import MappingError
from gateway.mapping import rules
from gateway.mapping.blocks import Path

_PACKS = files("gateway.mapping") / "packs"
_CHAIN_MAX = 16  # mappings that extend one another


class Book:
    """All mappings by name. Each is read, resolved and compiled when it is first asked for, and then kept."""

    def __init__(self, own: Mapping[str, Mapping[str, Any]]) -> None:
        self._own = own
        self._compiled: dict[str, rules.Mapping] = {}

    def names(self) -> tuple[str, ...]:
        """Every name, sorted."""
        return tuple(sorted({*shipped_names(), *self._own}))

    def get(self, name: str) -> rules.Mapping:
        """The compiled mapping. Raises `MappingError` where there is none of that name, or it has faults."""
        if (known := self._compiled.get(name)) is not None:
            return known
        mapping, problems = self._compile(name)
        if mapping is None:
            first = problems[0]
            raise MappingError(name, ".".join(map(str, first.path)), first.cause)
        self._compiled[name] = mapping
        return mapping

    def rules_of(self, name: str) -> Mapping[str, Any]:
        """A mapping's rules with everything it inherits; empty where there is none of that name. Read only."""
        return _Resolver(self._own).resolve(name) or {}

    def problems(self) -> Iterable[Problem]:
        """What is wrong with the configuration's own mappings, by key path from the top of the configuration."""
        for name in self._own:
            for problem in self._compile(name)[1]:
                yield replace(problem, path=("mappings", name, *problem.path))

    def _compile(self, name: str) -> tuple[rules.Mapping | None, list[Problem]]:
        resolver = _Resolver(self._own)
        raw = resolver.resolve(name)
        if raw is None:
            return None, resolver.problems
        mapping, problems = rules.compile_mapping(name, raw)
        found = [*resolver.problems, *(self._placed(name, problem) for problem in problems)]
        return (None if found else mapping), found

    def _placed(self, name: str, problem: Problem) -> Problem:
        """A problem at a key that stands in the mapping itself; one that was inherited is placed at `extends`."""
        raw = self._own.get(name)
        if raw is None or "extends" not in raw or _stands(raw, problem.path):
            return problem
        where = ".".join(map(str, problem.path))
        return replace(problem, path=("extends",), cause=f"{where}: {problem.cause}", key=False)


class _Resolver:
    """Follows `extends` from one mapping to its base, and merges on the way back."""

    def __init__(self, own: Mapping[str, Mapping[str, Any]]) -> None:
        self._own = own
        self.problems: list[Problem] = []

    def resolve(self, name: str) -> dict[str, Any] | None:
        """The mapping with everything it inherits, or None where it cannot be had."""
        chain: list[tuple[str, Mapping[str, Any]]] = []
        seen: set[tuple[str, bool]] = set()
        wanted: str | None = name
        while wanted is not None:
            shipped = bool(chain) and wanted == chain[-1][0]
            if (wanted, shipped) in seen or len(chain) >= _CHAIN_MAX:
                self._problem(("extends",), f"goes in a circle: {' > '.join([*(link for link, _ in chain), wanted])}")
                return None
            seen.add((wanted, shipped))
            raw = self._raw(wanted, shipped=shipped, inherited=bool(chain))
            if raw is None:
                return None
            chain.append((wanted, raw))
            wanted = self._base(raw, inherited=len(chain) > 1)
        return self._merged(chain)

    def _raw(self, name: str, *, shipped: bool, inherited: bool) -> Mapping[str, Any] | None:
        raw = None if shipped else self._own.get(name)
        if raw is None:
            raw = shipped_mapping(name)
        if raw is None:
            path: Path = ("extends",) if inherited else ()
            self._problem(path, *self._no_mapping(name))
        elif not isinstance(raw, Mapping):
            self._problem((), "a mapping is a table of keys")
            return None
        return raw

    def _no_mapping(self, name: str) -> tuple[str, str]:
        if name in self._own:
            return f"no other mapping is called `{name}`", "extend a shipped one of that name, or another"
        return f"there is no mapping `{name}`", near(name, {*shipped_names(), *self._own})

    def _base(self, raw: Mapping[str, Any], *, inherited: bool) -> str | None:
        base = raw.get("extends")
        if base is None or isinstance(base, str):
            return base
        if not inherited:
            self._problem(("extends",), "the name of one mapping", "shopify/order")
        return None

    def _merged(self, chain: list[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
        merged = dict(chain[-1][1])
        for place, (_, raw) in reversed(list(enumerate(chain[:-1]))):
            merged = self._extended(merged, raw, own=place == 0)
        if len(chain) == 1 and "drop" in merged:
            self._problem(("drop",), "there is nothing to drop from without `extends`")
        return merged

    def _extended(self, base: Mapping[str, Any], raw: Mapping[str, Any], *, own: bool) -> dict[str, Any]:
        fields = _deep_copy(base.get("fields"))
        for place, path in enumerate(self._drops(raw, own=own)):
            self._drop(fields, path, place, own=own)
        more = raw.get("fields")
        if isinstance(more, dict):
            fields = merged_fields(fields, more)
        elif more is not None and own:
            self._problem(("fields",), "a table of names and expressions")
        return {**base, **raw, "fields": fields}

    def _drops(self, raw: Mapping[str, Any], *, own: bool) -> list[str]:
        drops = raw.get("drop", [])
        if isinstance(drops, list) and all(isinstance(path, str) for path in drops):
            return drops
        if own:
            self._problem(("drop",), "a list of field paths", "drop: [tax, customer.phone]")
        return []

    def _drop(self, fields: Any, path: str, place: int, *, own: bool) -> None:
        *above, last = path.split(".")
        for name in above:
            block = fields.get(name) if isinstance(fields, dict) else None
            fields = block.get("fields") if isinstance(block, dict) else None
        if isinstance(fields, dict) and last in fields:
            del fields[last]
        elif own:
            hint = near(last, list(map(str, fields))) if isinstance(fields, dict) else ""
            self._problem(("drop", place), f"the extended mapping has no field {path}", hint)

    def _problem(self, path: Path, cause: str, hint: str = "") -> None:
        self.problems.append(Problem(path, cause, hint))


_SOURCES = frozenset({"from", "value", "each"})


def merged_fields(base: Any, more: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that add to and replace others. Where both are blocks with `fields`, those are merged in turn, and the
    block's other keys one by one.
    """
    merged = dict(base) if isinstance(base, dict) else {}
    for name, field in more.items():
        old = merged.get(name)
        if _has_fields(old) and _has_fields(field):
            kept = {key: value for key, value in old.items() if not (key in _SOURCES and _SOURCES & field.keys())}
            merged[name] = {**kept, **field, "fields": merged_fields(old["fields"], field["fields"])}
        else:
            merged[name] = field
    return merged


def _has_fields(block: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(block, dict) and isinstance(block.get("fields"), dict)


def _deep_copy(fields: Any) -> Any:
    if not isinstance(fields, dict):
        return fields
    return {key: _deep_copy(value) for key, value in fields.items()}


def _stands(raw: Any, path: Path) -> bool:
    """Whether the key that a problem is about, or the table it would stand in, is the mapping's own."""
    for key in path[:-1]:
        if not isinstance(raw, Mapping) or key not in raw:
            return False
        raw = raw[key]
    return True


# --- what is shipped -------------------------------------------------------------------------------------------------


@cache
def shipped_names() -> tuple[str, ...]:
    """The names of the shipped mappings: `shopify/order` is packs/shopify/order.yaml."""
    if not _PACKS.is_dir():
        return ()
    folders = [folder for folder in _PACKS.iterdir() if folder.is_dir()]
    return tuple(sorted(f"{folder.name}/{entry.name[:-5]}" for folder in folders for entry in _yaml_in(folder)))


def _yaml_in(folder: Traversable) -> list[Traversable]:
    return [entry for entry in folder.iterdir() if entry.name.endswith(".yaml")]


@cache
def shipped_mapping(name: str) -> Mapping[str, Any] | None:
    """A shipped mapping as its file says, or None. Read only: it is kept."""
    if name not in shipped_names():
        return None
    text = (_PACKS / f"{name}.yaml").read_text("utf-8")
    try:
        raw: Mapping[str, Any] = YAML(typ="safe", pure=True).load(text)  # pure: YAML 1.2, where NO is a text
    except YAMLError as error:
        raise MappingError(name, "", f"is no YAML: {error}") from None
    return raw
