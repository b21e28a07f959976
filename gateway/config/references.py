"""What the configuration names, held against what there is; and what is sound in each part but not in the whole.

All of it reads plain values and passes over what has the wrong shape: the models speak of that.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel

from gateway.config.places import Path
from gateway.config.registry import Problem, Registry
from gateway.config.schema import Admin, Config, Receiver
from gateway.config.values import Secret, Url
from gateway.config.wording import near


class Named(NamedTuple):
    """A name, where it stands, and what it is a name of."""

    path: Path
    name: str
    what: str


def dangling(raw: Mapping[str, Any], registry: Registry, shown: Mapping[Path, str]) -> Iterator[Problem]:
    """Names (of sources, destinations, look-ups, vendors, presets, mappings) that there are not. `shown`: what to print
    for those that came from outside the file.
    """
    known: dict[str, Collection[str]] = {
        "source": _table(raw, "sources"),
        "destination": _table(raw, "destinations"),
        "preset": {*registry.presets, *_table(raw, "presets")},
        "mapping": {*registry.packs, *_table(raw, "mappings")},
        "vendor": registry.vendors,
        "look-up": _table(raw, "lookups"),
    }
    for named in _names(raw):
        if named.name not in known[named.what]:
            name = shown.get(named.path, named.name)
            yield Problem(named.path, f"there is no {named.what} `{name}`", near(named.name, known[named.what]))


def _names(raw: Mapping[str, Any]) -> Iterator[Named]:
    for name, source in _tables(raw, "sources"):
        yield from _text(source, "preset", ("sources", name), "preset")
        for path, one in _texts(source, "lookup", ("sources", name)):
            yield Named(path, one, "look-up")
        for glob in _table(source, "normalise"):
            yield from _text(source["normalise"], glob, ("sources", name, "normalise"), "mapping")
    for name, preset in _tables(raw, "presets"):
        for glob in _table(preset, "normalise"):
            yield from _text(preset["normalise"], glob, ("presets", name, "normalise"), "mapping")
    for name, destination in _tables(raw, "destinations"):
        yield from _text(destination, "vendor", ("destinations", name), "vendor")
        yield from _text(destination, "body", ("destinations", name), "mapping")
    for index, route in enumerate(_rows(raw, "routes")):
        if isinstance(route, dict):
            yield from _route(route, ("routes", index))


def _route(route: dict[str, Any], at: Path) -> Iterator[Named]:
    for path, name in _texts(route, "from", at):
        yield Named(path, name, "source")
    for path, name in _texts(route, "to", at):
        yield Named(path, name, "destination")
    targets = route.get("to")
    for index, target in enumerate(targets if isinstance(targets, list) else [targets]):
        if isinstance(target, dict):
            below = (*at, "to", index) if isinstance(targets, list) else (*at, "to")
            yield from _text(target, "destination", below, "destination")
            yield from _text(target, "map", below, "mapping")


def _text(table: Mapping[str, Any], key: str, at: Path, what: str) -> Iterator[Named]:
    if isinstance(name := table.get(key), str):
        yield Named((*at, key), name, what)


def _texts(table: Mapping[str, Any], key: str, at: Path) -> Iterator[tuple[Path, str]]:
    """A text, or each text of a list."""
    value = table.get(key)
    if isinstance(value, str):
        yield (*at, key), value
    for index, one in enumerate(value if isinstance(value, list) else ()):
        if isinstance(one, str):
            yield (*at, key, index), one


def _table(raw: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = raw.get(key)
    return value if isinstance(value, dict) else {}


def _tables(raw: Mapping[str, Any], key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((name, value) for name, value in _table(raw, key).items() if isinstance(value, dict))


def _rows(raw: Mapping[str, Any], key: str) -> list[Any]:
    value = raw.get(key)
    return value if isinstance(value, list) else []


# --- the whole -------------------------------------------------------------------------------------------------------


def contradictory(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """What is sound in each part and not in the whole."""
    receiver = _table(raw, "receiver").get("listen", Receiver.model_fields["listen"].default)
    admin = _table(raw, "admin").get("listen", Admin.model_fields["listen"].default)
    if receiver == admin and not str(receiver).endswith(":0"):
        section = "admin" if "listen" in _table(raw, "admin") else "receiver"
        yield Problem((section, "listen"), "receiver and admin listen on one address", "give each a port of its own")
    sections = ("destinations", "lookups")
    for section in sections:
        for name, target in _tables(raw, section):
            for path, former in _texts(target, "was", (section, name)):
                if any(former in _table(raw, one) for one in sections):
                    hint = "a former name is one that is gone; remove one of the two"
                    yield Problem(path, "there still is a destination of this name", hint)
    for name in _table(raw, "lookups").keys() & _table(raw, "destinations").keys():
        hint = "both have lanes, which are told apart by name: give the look-up another"
        yield Problem(("lookups", name), "there is a destination of this name", hint, key=True)


def doubtful(config: Config, plain: Mapping[str, Any], expanded: Mapping[Path, str]) -> Iterator[Problem]:
    """What refuses nothing and is worth a look."""
    yield from _in_clear_text(config, plain, expanded)
    for name, source in config.sources.items():
        proofs = (source.secrets, source.api_key, source.basic, source.bearer, source.allow.ips, source.allow.headers)
        if source.preset == "generic" and not any(proofs):
            hint = "add `api_key`, `verify`, `basic`, `bearer` or `allow`"
            yield Problem(("sources", name), "anybody who reaches the gateway may send", hint, warning=True)
    yield from _idle(config)


def _idle(config: Config) -> Iterator[Problem]:
    routes = config.routes
    sending = {name for route in routes for name in (route.source_names or config.sources)}
    wanted = {to if isinstance(to, str) else to.destination for route in routes for to in route.to}
    for name in config.sources.keys() - sending:
        yield Problem(("sources", name), "no route takes its events", "they are kept, and go nowhere", warning=True)
    for name in config.destinations.keys() - wanted:
        yield Problem(("destinations", name), "no route leads here", "it gets nothing", warning=True)
    for name in config.lookups.keys() - {name for source in config.sources.values() for name in source.lookup}:
        yield Problem(("lookups", name), "no source names it", f"`lookup: {name}` under a source", warning=True)


# --- secrets in clear text -------------------------------------------------------------------------------------------

_CREDENTIAL = re.compile(
    r"authori[sz]ation|token|secret|passw|api[-_]?key|access[-_]?key|signature|cookie", re.IGNORECASE
)
_IN_URL = re.compile(r"//[^/@:]*:[^/@]+@|[?&][^=&]*(?:token|secret|passw|key|sig)[^=&]*=[^&]", re.IGNORECASE)


def _in_clear_text(config: Config, plain: Mapping[str, Any], expanded: Mapping[Path, str]) -> Iterator[Problem]:
    """Secrets that anybody who reads the file can see: also in URLs, and in headers that are named like one."""
    told: set[Path] = set()
    for path, what in _sensitive(config, ()):
        real = _real(path, plain)
        if real not in expanded and real not in told and _stands(real, plain):
            told.add(real)
            hint = "write ${NAME} and set it in the environment, or ${file:/path}"
            yield Problem(real, f"{what} stands in clear text", hint, warning=True)


def _sensitive(value: Any, at: Path) -> Iterator[tuple[Path, str]]:
    """Where secrets are, and what they are."""
    if isinstance(value, Secret):
        yield at, "a secret"
    elif isinstance(value, Url) and _IN_URL.search(value):
        yield at, "a secret in a URL"
    elif isinstance(value, str) and _is_credential(at, value):
        yield at, "what looks like a secret"
    elif isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from _sensitive(getattr(value, name), (*at, field.alias or name))
    elif isinstance(value, dict):
        for key, below in value.items():
            yield from _sensitive(below, (*at, key))
    elif isinstance(value, list | tuple):
        for index, below in enumerate(value):
            yield from _sensitive(below, (*at, index))


def _is_credential(at: Path, value: str) -> bool:
    """Whether it is the value of a header that is named like one: `headers.X-Token`, or one of a list there."""
    names = [part for part in at[-3:] if isinstance(part, str)]
    return names[-2:-1] == ["headers"] and value != "*" and _CREDENTIAL.search(names[-1]) is not None


def _stands(path: Path, plain: Any) -> bool:
    """Whether it stands in the file, and is no default."""
    for part in path:
        if isinstance(plain, dict) and part not in plain:
            return False
        plain = plain[part]
    return bool(path)


def _real(path: Path, plain: Any) -> Path:
    """The part of a model's path that stands in the file: a text may stand for a list of one."""
    for index, part in enumerate(path):
        inside = part in plain if isinstance(plain, dict) else isinstance(plain, list)
        if not inside:
            return path[:index]
        plain = plain[part]
    return path
