"""A plain HTTP endpoint that takes whatever it is sent and remembers it: the other end of `vendor: http`.

Each request has a key by which a repetition is seen: the idempotency header, the message's id (Standard Webhooks,
CloudEvents binary), the JSON body's `id`, else the body's hash.
"""

import hashlib
from collections import deque
from typing import Any

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from gateway import document
from gateway.clock import Clock
from gateway.sandbox.simulator import BodyTooLarge, Figure, body_of
from gateway.sandbox.witness import Arrival, Witness

BODY_MAX_BYTES = 16 << 20
BODY_KEPT_BYTES = 64 << 10
KEPT = 2_000
KEY_HEADERS = ("idempotency-key", "webhook-id", "ce-id")
CREDENTIALS = frozenset({"authorization", "authentication", "cookie", "x-api-key", "api-key"})


class Rules(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the sink answers."""

    status: int = 200
    body: str = '{"status":"ok"}'


class Taken(Struct, frozen=True):
    """One request as it is kept: credentials replaced, the first 64 KiB of its body."""

    at_ms: int
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: str
    key: str
    times: int


class Sink:
    """The endpoint. Any method and path below `/sink`; `GET /sink` alone looks at what came."""

    name = "sink"
    title = "HTTP sink"
    hint = "/sink"
    plays: frozenset[str] = frozenset()

    def __init__(self, clock: Clock, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        self.witness = Witness(self._clock)
        self.taken: deque[Taken] = deque(maxlen=KEPT)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        path = str(scope["path"]).removeprefix(scope.get("root_path", ""))
        if scope["method"] == "GET" and path in ("", "/"):
            await JSONResponse(self.view())(scope, receive, send)
            return
        with self.witness.handling() as arrival:
            answer = await self._take(request, path, arrival)
            await answer(scope, receive, send)

    async def _take(self, request: Request, path: str, arrival: Arrival) -> Response:
        try:
            body = await body_of(request, BODY_MAX_BYTES)
        except BodyTooLarge:
            self.witness.breach("body_too_large")
            self.witness.visit(arrival, request.method, path, 413, (0, 0), "")
            return Response(status_code=413)
        key = _key(request, body)
        self.witness.came(key, body)
        self.taken.append(self._kept(request, path, body, key))
        self.witness.visit(arrival, request.method, path, self.rules.status, (1, len(body)), key)
        return Response(self.rules.body, self.rules.status, media_type="application/json")

    def _kept(self, request: Request, path: str, body: bytes, key: str) -> Taken:
        shown = {name: "***" if name in CREDENTIALS else value for name, value in request.headers.items()}
        text = body[:BODY_KEPT_BYTES].decode(errors="replace")
        times = self.witness.received[key].times
        return Taken(self._clock.now_ms(), request.method, path, request.url.query, shown, text, key, times)

    def view(self) -> dict[str, Any]:
        times = [seen.times for seen in self.witness.received.values()]
        return {
            "vendor": self.name,
            "rules": msgspec.to_builtins(self.rules),
            "counts": {"received": sum(times), "distinct": len(times), "again": sum(times) - len(times)},
            "taken": msgspec.to_builtins(list(self.taken)),
            **self.witness.view(),
        }

    def figures(self) -> list[Figure]:
        times = [seen.times for seen in self.witness.received.values()]
        return [
            Figure("requests", str(self.witness.statuses.total())),
            Figure("distinct events", str(len(times))),
            Figure("received again", str(sum(times) - len(times))),
            Figure("most at once", str(self.witness.requests_at_once)),
        ]

    def adjust(self, change: dict[str, Any]) -> None:
        self.rules = msgspec.convert({**msgspec.to_builtins(self.rules), **change}, Rules)


def _key(request: Request, body: bytes) -> str:
    for name in KEY_HEADERS:
        if value := request.headers.get(name):
            return f"{name}:{value[:200]}"
    try:
        content = document.parse(body)
    except document.Unreadable:
        content = None
    if isinstance(content, dict) and isinstance(content.get("id"), str | int):
        return f"id:{content['id']}"
    return f"body:{hashlib.blake2b(body, digest_size=16).hexdigest()}"
