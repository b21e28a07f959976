"""Envelopes: what queues and bridges put around an event, and lists of events in one request.

What comes out is one request for each event: topic and identity read it as if it had come alone.
"""

import binascii
from base64 import b64decode
from collections.abc import Callable, Sequence
from typing import Any

from gateway import document
from gateway.errors import Cause, Rejected
from gateway.receive.aside import Holds, compile_conditions
from gateway.receive.parts import compile_path, walk
from gateway.receive.presets import Preset, Unwrap
from gateway.receive.request import Request

Open = Callable[[Request], Sequence[Request]]
"""The events in a request. Raises Rejected where the envelope is not what the preset promises."""

ITEMS_AT_MOST = 500
"""Events in one request."""


def compile_open(preset: Preset) -> Open | None:
    """How a preset's requests become events; None: each is one, as it is."""
    if not preset.unwrap and preset.each is None:
        return None
    steps = tuple(_Step(unwrap) for unwrap in preset.unwrap)
    path = None if preset.each is None else compile_path(preset.each)

    def unwrapped(request: Request) -> Request:
        for step in steps:
            request = step(request)
        return request

    def events(request: Request) -> Sequence[Request]:
        if path is None:
            return (unwrapped(request),)
        if not path:
            return [unwrapped(item) for item in _split(request, path)]
        return _split(unwrapped(request), path)

    return events


class _Step:
    """One envelope."""

    def __init__(self, unwrap: Unwrap) -> None:
        self._holds: Holds = compile_conditions(unwrap.when)
        self._path = compile_path(unwrap.take)
        self._read = _READERS[unwrap.encoding]

    def __call__(self, request: Request) -> Request:
        if not self._holds(request):
            return request
        value = walk(request.document(), self._path)
        if value is None:
            raise Rejected(Cause.BODY_UNREADABLE, "the envelope is empty")
        return request.with_body(self._read(value))


def _split(request: Request, path: Sequence[str]) -> Sequence[Request]:
    """One request for each item of the list at the path, with all that stands around the list; a body that is no list
    there is one event.
    """
    whole = request.document()
    items = walk(whole, path)
    if not isinstance(items, list):
        return (request,)
    if len(items) > ITEMS_AT_MOST:
        raise Rejected(Cause.BODY_TOO_LARGE, f"more than {ITEMS_AT_MOST} events in one request")
    return [request.with_body(document.dump(_with_item(whole, path, item))) for item in items]


def _with_item(whole: Any, path: Sequence[str], item: Any) -> Any:
    """The document with one item in its list; the item alone where the document is the list."""
    if not path:
        return item
    return {**whole, path[0]: [item] if len(path) == 1 else _with_item(whole[path[0]], path[1:], item)}


def _as_json(value: Any) -> bytes:
    return document.dump(value)


def _as_text(value: Any) -> bytes:
    """JSON in a text; a text that is none stays a text."""
    if not isinstance(value, str):
        return document.dump(value)
    text = value.encode()
    try:
        document.check(text)
    except document.Unreadable:
        return document.dump(value)
    return text


def _as_base64(value: Any) -> bytes:
    try:
        return _as_text(b64decode(value, validate=True).decode())
    except (TypeError, ValueError, binascii.Error):
        raise Rejected(Cause.BODY_UNREADABLE, "the envelope does not hold base64 of a text") from None


_READERS: dict[str, Callable[[Any], bytes]] = {"json": _as_json, "text": _as_text, "base64": _as_base64}
