"""Mappings that can never make what a vendor needs.

The vendor is asked itself: a document that has a value in every field the mapping could ever fill goes through the
vendor's own check. What is missing then is missing always.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.checks.unread import Fields, fields_of, is_never
from gateway.checks.uses import House
from gateway.config.load import Loaded, Problem
from gateway.errors import Refusal
from gateway.mapping.reads import Where, reads
from gateway.model import NormalEvent
from gateway.vendors.base import Vendor
from gateway.vendors.checks import MISSING

_SAMPLES: Mapping[str, Any] = {
    "string": "x",
    "integer": 1,
    "number": 1,
    "boolean": True,
    "datetime": "2026-01-02T03:04:05Z",
    "date": "2026-01-02",
    "phone": "+442079460018",
    "email": "ada@example.com",
    "country": "GB",
    "currency": "GBP",
    "object": {"x": "x"},
    "list": ["x"],
}


def needs(loaded: Loaded) -> Iterator[Problem]:
    """Mappings through which every event would be dead, for a field that the vendor requires and they never fill."""
    house = House(loaded)
    for use in house.uses():
        document = _whole(house.book.rules_of(use.mapping), fields_of(use.reached, house))
        events = [event for one in use.reached for event in one.examples()]
        missing = {_missing(house.vendor(use.destination), event, document) for event in events} - {FILTERED}
        if missing and None not in missing:
            cause = f"`{use.mapping}` never makes what `{use.destination}` needs: {min(map(str, missing))}"
            yield Problem(use.at, cause, f"fill it in mappings.{use.mapping}.fields")


FILTERED = "filtered"


def _missing(vendor: Vendor, event: NormalEvent, document: dict[str, Any]) -> str | None:
    """What the vendor misses in a document; None where it misses nothing, FILTERED where it does not want it at all."""
    try:
        return None if vendor.records(event, [document]) else FILTERED
    except Refusal as refusal:
        return refusal.detail if refusal.detail.endswith(MISSING) else None


def _whole(rules: Mapping[str, Any], known_fields: Fields | None) -> dict[str, Any]:
    """A document with a value wherever the mapping could ever put one."""
    never = {where for path, where in reads(rules).paths().items() if is_never(path, known_fields)}
    return _object(rules.get("fields"), ("fields",), never)


def _object(members: Any, where: Where, never: set[Where]) -> dict[str, Any]:
    found = {}
    for name, rule in (members if isinstance(members, dict) else {}).items():
        value = _sample(rule, (*where, str(name)), never)
        if value not in (None, {}):
            found[str(name)] = value
    return found


def _sample(rule: Any, where: Where, never: set[Where]) -> Any:
    """A value as a rule makes it; None where it reads only what is never there."""
    if not isinstance(rule, dict):
        return None if where in never else _SAMPLES["string"]
    if "default" in rule or "value" in rule:
        return rule.get("value", rule.get("default"))
    if (*where, "from") in never or (*where, "each") in never:
        return None
    if "fields" in rule:
        made_of = _object(rule["fields"], (*where, "fields"), never)
        return [made_of] if "each" in rule else made_of
    one = next(iter(rule["values"].values())) if rule.get("values") else _SAMPLES[_type(rule)]
    return [one] if "each" in rule else one


def _type(rule: Mapping[str, Any]) -> str:
    return "number" if "money" in rule else str(rule.get("type", "string"))
