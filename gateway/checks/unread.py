"""Rules and conditions that read a field which is never there: a slip, or the wrong document in mind."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from gateway.checks.routes import Reached, reaches, sources_of
from gateway.checks.uses import House
from gateway.config.load import Loaded, Problem
from gateway.config.wording import near
from gateway.mapping import vocabulary
from gateway.mapping.reads import Path, Reads, Where, made, reads, reads_of

RAW_EVENT = ("body", "headers", "query", "topic", "source", "received_at")
"""What a normalising mapping reads from."""
ENVELOPE = (
    *("data", "type", "id", "subject", "time", "source", "topic"),
    *("specversion", "datacontenttype", "gatewayseq", "traceparent"),
)
"""What conditions and the mappings of records read from."""
_SHOWN = 6


class Fields(NamedTuple):
    """The fields that the data of some events may have; below `open_at` there may be anything."""

    names: frozenset[Path]
    open_at: frozenset[Path]

    def may_have(self, path: Path) -> bool:
        return path in self.names or any(path[: len(one)] == one for one in self.open_at)


def unread(loaded: Loaded) -> Iterator[Problem]:
    """Rules of one's own, and conditions, that read a field which nothing ever fills."""
    house = House(loaded)
    for index, route in enumerate(loaded.config.routes):
        if route.when is not None:
            reached = reaches(route, sources_of(loaded, route, house.makes))
            yield from _strangers(reads_of(route.when), fields_of(reached, house), ("routes", index, "when"))
    for name in house.normalising() & loaded.config.mappings.keys():
        at = ("mappings", name)
        yield from _outside(_own(loaded, name, reads(house.book.rules_of(name))), RAW_EVENT, "body", at)
    for use in dict.fromkeys(house.uses()):
        at = ("mappings", use.mapping)
        own = _own(loaded, use.mapping, reads(house.book.rules_of(use.mapping)))
        yield from _strangers(own, fields_of(use.reached, house), at)


def _own(loaded: Loaded, name: str, found: Reads) -> Reads:
    """What the rules that stand in the mapping itself read; what is inherited is the base's business."""
    raw = loaded.config.mappings[name]
    return Reads(
        {path: where for path, where in found.taken.items() if _stands(raw, where)},
        {path: where for path, where in found.looked.items() if _stands(raw, where)},
    )


def _stands(raw: Any, where: Where) -> bool:
    for key in where:
        if not isinstance(raw, dict) or key not in raw:
            return False
        raw = raw[key]
    return True


def fields_of(reached: Iterable[Reached], house: House) -> Fields | None:
    """The fields of the entities that may come; None where events may come whose form nobody knows."""
    names: set[Path] = set()
    open_at: set[Path] = set()
    for one in reached:
        if one.kind.entity is None or one.kind.mapping is None:
            return None
        names |= vocabulary.fields(one.kind.entity)
        open_at |= vocabulary.open_fields(one.kind.entity)
        for path, rule in made(house.book.rules_of(one.kind.mapping)):
            names.add(path)
            if not _is_plain(rule):
                open_at.add(path)
    return Fields(frozenset(names), frozenset(open_at)) if names else None


def _is_plain(rule: Any) -> bool:
    """Whether a field surely holds no object of unknown form."""
    if not isinstance(rule, dict):
        return False
    return "fields" in rule or "money" in rule or rule.get("type", "object") not in ("object", "list")


def is_never(path: Path, known_fields: Fields | None) -> bool:
    if path[:1] and path[0] not in ENVELOPE:
        return True
    return known_fields is not None and len(path) > 1 and path[0] == "data" and not known_fields.may_have(path[1:])


def _strangers(found: Reads, known_fields: Fields | None, at: tuple[str | int, ...]) -> Iterator[Problem]:
    """What is read of a normal event and never there."""
    yield from _outside(found, ENVELOPE, "data", at)
    for path, where in found.paths().items():
        if path[:1] != ("data",) or not is_never(path, known_fields):
            continue
        names = sorted({".".join(("data", *one)) for one in (known_fields.names if known_fields else ())})
        yield Problem((*at, *where), f"`{'.'.join(path)}` is never there", near(".".join(path), names), warning=True)


def _outside(found: Reads, names: tuple[str, ...], below: str, at: tuple[str | int, ...]) -> Iterator[Problem]:
    """What is read beside the names that a document has."""
    for path, where in found.paths().items():
        if path and path[0] not in names and path[0] != "*":
            cause = f"`{'.'.join(path)}` is never there: what is read begins with {', '.join(names[:_SHOWN])} ..."
            hint = f"did you mean `{'.'.join((below, *path))}`, or the text '{path[0]}' in single quotes?"
            yield Problem((*at, *where), cause, hint, warning=True)
