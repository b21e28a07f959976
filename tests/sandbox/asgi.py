"""One request to an ASGI app in process: no sockets, no threads."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Scope

Headers = dict[str, str]
NONE: Headers = {}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Headers
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def scope_of(method: str, target: str, headers: Headers) -> Scope:
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": unquote(path),
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 40_000),
        "server": ("127.0.0.1", 9900),
    }


async def call(
    app: ASGIApp,
    method: str,
    target: str,
    *,
    body: Any = None,
    raw: bytes | None = None,
    headers: Headers = NONE,
) -> Answer:
    """`body` travels as JSON, `raw` as it is."""
    sent = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
    parts: list[Message] = [{"type": "http.request", "body": sent, "more_body": False}]
    got: list[Message] = []

    async def receive() -> Message:
        return parts.pop(0) if parts else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        got.append(message)

    given = {name.lower(): value for name, value in headers.items()}
    await app(scope_of(method, target, {"content-type": "application/json", **given}), receive, send)
    shown = {name.decode().lower(): value.decode() for name, value in got[0]["headers"]}
    return Answer(got[0]["status"], shown, b"".join(message.get("body", b"") for message in got[1:]))
