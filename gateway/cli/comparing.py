"""What became of a payload, held against what a case expects."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from msgspec import Struct

from gateway import document
from gateway.cli.cases import Expected
from gateway.trial.way import Way


class Difference(Struct, frozen=True):
    """Where what became of a payload is not what was expected. ABSENT: there is nothing."""

    path: str
    expected: Any
    found: Any


class _Absent:
    def __repr__(self) -> str:
        return "(absent)"


ABSENT: Any = _Absent()


def differences(expected: Expected, way: Way) -> list[Difference]:
    """Everything that is not as expected."""
    return list(_differences(expected, way))


def _differences(expected: Expected, way: Way) -> Iterator[Difference]:
    if expected.outcome not in (None, way.outcome):
        yield Difference("outcome", expected.outcome, way.outcome)
    cause = None if way.rejected is None else str(way.rejected.cause)
    if expected.rejected not in (None, cause):
        yield Difference("rejected", expected.rejected, cause or ABSENT)
    events = [normal.document() for normal in way.normals]
    records = records_of(way)
    if expected.event is not None:
        yield from _event("event", expected.event, events[0] if events else ABSENT, exact=expected.exact)
    for index in range(max(len(expected.events or ()), len(events) if expected.events is not None else 0)):
        pair = _item(expected.events or [], index), _item(events, index)
        yield from _event(f"events[{index}]", *pair, exact=expected.exact)
    names = expected.records.keys() | (records.keys() if expected.exact and expected.records else set())
    for name in sorted(names):
        wanted = expected.records.get(name, [])
        yield from compare(f"records.{name}", wanted, records.get(name, []), exact=expected.exact)
    yield from _deaths(expected, way)
    whole = {"event": events[0] if events else {}, "events": events, "records": records}
    for path in expected.absent:
        if (there := _at(whole, path)) is not ABSENT:
            yield Difference(path, ABSENT, there)


def _event(path: str, expected: Any, found: Any, *, exact: bool) -> Iterator[Difference]:
    """The envelope as far as it is named; its data exactly, if so wished."""
    if expected is ABSENT or found is ABSENT:
        yield Difference(path, expected, found)
        return
    for name, value in expected.items():
        yield from compare(f"{path}.{name}", value, found.get(name, ABSENT), exact=exact)


def records_of(way: Way) -> dict[str, list[Any]]:
    """By destination, the data of the records it is sent."""
    found: dict[str, list[Any]] = {}
    for name, record in way.records:
        found.setdefault(name, []).append(document.parse(record.encoded))
    return found


def deaths_of(way: Way) -> dict[str, str]:
    """By destination (`*`: everywhere), why nothing can be sent."""
    if way.failure is not None:
        return {"*": f"mapping_failed: {way.failure}"}
    return {name: f"{death.reason}: {death.detail}" for name, death in way.deaths}


def _deaths(expected: Expected, way: Way) -> Iterator[Difference]:
    found = deaths_of(way)
    for name, words in expected.dead.items():
        if words not in found.get(name, ""):
            yield Difference(f"dead.{name}", words, found.get(name, ABSENT))
    if expected.outcome is None and not expected.dead and expected.rejected is None and found:
        yield from (Difference(f"dead.{name}", ABSENT, why) for name, why in found.items())


def compare(path: str, expected: Any, found: Any, *, exact: bool) -> Iterator[Difference]:
    """Where two documents differ: an object may hold more than expected unless `exact`, a list may not."""
    if isinstance(expected, dict) and isinstance(found, dict):
        names = expected.keys() | (found.keys() if exact else set())
        for name in sorted(names, key=[*expected, *found].index):
            yield from compare(f"{path}.{name}", expected.get(name, ABSENT), found.get(name, ABSENT), exact=exact)
    elif isinstance(expected, list) and isinstance(found, list):
        for index in range(max(len(expected), len(found))):
            pair = _item(expected, index), _item(found, index)
            yield from compare(f"{path}[{index}]", *pair, exact=exact)
    elif not _same(expected, found):
        yield Difference(path, expected, found)


def _item(values: list[Any], index: int) -> Any:
    return values[index] if index < len(values) else ABSENT


def _same(expected: Any, found: Any) -> bool:
    """Numbers by their worth (19.90 is 19.9), all else by kind and value."""
    if isinstance(expected, bool) or isinstance(found, bool):
        return expected is found
    if isinstance(expected, int | float | Decimal) and isinstance(found, int | float | Decimal):
        return Decimal(str(expected)) == Decimal(str(found))
    return type(expected) is type(found) and bool(expected == found)


def _at(value: Any, path: str) -> Any:
    """What stands at `records.crm[0].email`; a destination's name may hold no dots or brackets."""
    for part in _steps(path):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return ABSENT
    return value


def _steps(path: str) -> list[str]:
    return path.replace("[", ".").replace("]", "").split(".")
