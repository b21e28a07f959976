"""A client that calls an ASGI application directly: no server, no port."""

from typing import Any, NamedTuple

import msgspec
from starlette.types import ASGIApp, Message


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


class Client:
    """Sends requests to one application, with headers that all of them have."""

    def __init__(self, app: ASGIApp, headers: dict[str, str] | None = None) -> None:
        self.app = app
        self.headers = headers or {}

    async def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        return await self.call("GET", path, b"", headers)

    async def post(self, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        return await self.call("POST", path, body, headers)

    async def call(self, method: str, path: str, body: bytes, headers: dict[str, str] | None = None) -> Answer:
        where, _, query = path.partition("?")
        sent: list[Message] = []
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": where,
            "raw_path": where.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), text.encode()) for name, text in self._all(headers).items()],
            "client": ("192.0.2.9", 4242),
            "server": ("127.0.0.1", 8081),
        }

        coming: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            return coming.pop() if coming else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        start = sent[0]
        answered = {name.decode(): text.decode() for name, text in start["headers"]}
        return Answer(start["status"], answered, b"".join(message.get("body", b"") for message in sent[1:]))

    def _all(self, headers: dict[str, str] | None) -> dict[str, str]:
        return {"host": "127.0.0.1:8081"} | self.headers | (headers or {})
