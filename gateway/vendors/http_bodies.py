"""What requests of vendor `http` carry: records as JSON, a form, XML or lines of JSON; one, or a list of them, alone or
inside an envelope.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from msgspec import Struct
from pydantic import AfterValidator

from gateway import document
from gateway.errors import Reason, Refusal
from gateway.mapping.types import EvaluationError
from gateway.vendors import base, checks, markup
from gateway.vendors.http_places import text_of

RECORDS = "{records}"
"""Where the records stand in an envelope."""


class Body(Struct, frozen=True):
    """How a body is written. `before` and `after`: what stands around JSON records. `elements`: the names of XML's
    outer element (empty: the record is the root) and of a record's.
    """

    content: str = "json"
    before: bytes = b""
    after: bytes = b""
    elements: tuple[str, str] = ("", "record")

    @property
    def overhead(self) -> int:
        """Bytes of a body beside its records."""
        return len(self.before) + len(self.after)

    def checked(self, record: Any) -> Any:
        """The record, if a body can be written of it. Raises Refusal."""
        if self.content in ("form", "xml"):
            self.write([b""], [record])
        return record

    def write(self, encoded: Sequence[bytes], records: Sequence[Any]) -> bytes:
        """The body of these records, which are given as JSON and as documents. Raises Refusal."""
        if self.content == "form":
            return urlencode(list(_pairs(checks.as_object(records[0], "a form")))).encode()
        if self.content == "xml":
            return self._xml([checks.as_object(record, "XML") for record in records])
        if self.content == "ndjson":
            return b"\n".join([*encoded, b""])
        return base.json_list(encoded, self.before, self.after)

    def _xml(self, records: list[dict[str, Any]]) -> bytes:
        outer, each = self.elements
        written = markup.write(outer, {each: records}) if outer else markup.write(each, records[0])
        return b'<?xml version="1.0" encoding="UTF-8"?>' + written


def body_of(content: str, wrap: str | Mapping[str, Any] | None, element: str, *, is_list: bool) -> Body:
    """How bodies are written. `is_list`: records travel as a list even where there is one."""
    if content == "xml":
        return Body("xml", elements=(str(wrap or "records") if is_list else "", element))
    before, after = _around(wrap) if wrap is not None else (b"", b"")
    return Body(content, before + b"[", b"]" + after) if is_list else Body(content, before, after)


def _around(wrap: str | Mapping[str, Any]) -> tuple[bytes, bytes]:
    """The bytes before and after the records. Raises ValueError where they do not stand in it exactly once."""
    envelope = document.dump({wrap: RECORDS} if isinstance(wrap, str) else wrap)
    before, _, after = envelope.partition(document.dump(RECORDS))
    try:
        document.parse(before + b"[]" + after)
    except document.Unreadable:
        after = document.dump(RECORDS)
    if document.dump(RECORDS) in after:
        raise ValueError(f"an envelope holds {RECORDS} once, as a value")
    return before, after


def _envelope(wrap: Any) -> Any:
    _around(wrap)
    return wrap


Envelope = Annotated[str | dict[str, Any], AfterValidator(_envelope)]
"""A key that the list stands under, or an object in which it stands at `{records}`."""


def _pairs(fields: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """The fields of a form: `address[city]`, `items[0][sku]`. Nulls are left out."""
    for name, value in fields.items():
        below = f"{path}[{name}]" if path else name
        if isinstance(value, dict):
            yield from _pairs(value, below)
        elif isinstance(value, list):
            yield from _pairs({str(place): one for place, one in enumerate(value)}, below)
        elif value is not None:
            yield below, _text(below, value)


def _text(name: str, value: Any) -> str:
    try:
        return text_of(value)
    except EvaluationError as error:
        raise Refusal(Reason.PAYLOAD_REFUSED, f"{name}: {error}") from None


def ce_headers(attributes: Mapping[str, Any]) -> dict[str, str]:
    """The attributes as headers (CloudEvents HTTP binding 3.1.3: UTF-8, percent-encoded but for printable ASCII; a
    space, a quote and a percent sign are encoded too).
    """
    kept = {name: value for name, value in attributes.items() if name not in ("data", "datacontenttype")}
    return {f"ce-{name}": quote(str(value), safe=PRINTABLE) for name, value in kept.items()}


PRINTABLE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')

CONTENT_TYPES = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "xml": "application/xml",
    "ndjson": "application/x-ndjson",
}

CLOUDEVENTS_TYPES = {
    "cloudevents": "application/cloudevents+json; charset=UTF-8",
    "cloudevents-binary": "application/json",
    "list": "application/cloudevents-batch+json; charset=UTF-8",
}
