"""What the tests of mappings make: mappings, documents, events."""

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from gateway import document
from gateway.mapping.rules import Mapping, compile_mapping
from gateway.model import Event, Headers

JSON: Headers = (("content-type", "application/json"),)

numbers = st.integers(-(10**20), 10**20) | st.decimals(allow_nan=False, allow_infinity=False, places=2)
texts = st.text(st.characters(codec="utf-8"), max_size=12)
scalars = st.none() | st.booleans() | numbers | texts
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)


def mapping(fields: dict[str, Any], **more: Any) -> Mapping:
    """A compiled mapping of these fields; it must have no faults."""
    made, problems = compile_mapping("test", {"fields": fields, **more})
    assert problems == []
    assert made is not None
    return made


def one(fields: dict[str, Any], source: Any, **more: Any) -> Any:
    """The one object that these fields make of a document."""
    (result,) = mapping(fields, **more).apply(source)
    return result


def field(block: Any, source: Any) -> Any:
    """What one field makes of a document; "absent" where there is nothing."""
    return one({"it": block}, source).get("it", "absent")


def faults(fields: Any, **more: Any) -> list[str]:
    """What is wrong with a mapping of these fields: path, cause and hint, each as one text."""
    _, problems = compile_mapping("test", {"fields": fields, **more})
    return [f"{'.'.join(map(str, one.path))}: {one.cause} | {one.hint}" for one in problems]


def event(body: Any, topic: str = "orders/create", *, headers: Headers = JSON, query: str = "") -> Event:
    """An event received at 2026-01-02T03:04:05Z. `body`: bytes as they are, anything else as JSON."""
    return Event(
        seq=7,
        id="evt_7",
        source="uk-shop",
        topic=topic,
        received_at_ms=1767323045000,
        revision=1,
        method="POST",
        query=query,
        headers=headers,
        body=body if isinstance(body, bytes) else document.dump(body),
    )


def exact(value: Any) -> Any:
    """A result with its Decimals as texts, so that digits are compared and not only amounts."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, list):
        return [exact(element) for element in value]
    if isinstance(value, dict):
        return {key: exact(element) for key, element in value.items()}
    return value
