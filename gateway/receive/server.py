"""The HTTP server in front of the receiver: uvicorn, with bounds that its fast protocol leaves open.

Of itself it takes headers without end and waits for them without end. Bodies are bounded in `body`.
"""

import asyncio
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 64 << 10
"""Request line and headers, at most (and what one read of the socket brings on top)."""

HEAD_TIMEOUT_S = 10.0
"""How long request line and headers may take, from the connection or from their first byte."""

KEEP_ALIVE_S = 75.0
"""How long an idle connection is kept: longer than load balancers keep theirs, so that they close first."""

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's httptools protocol, with bounds on the size and the time of a request's head."""

    head_timeout_s = HEAD_TIMEOUT_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = True
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if not self._in_head:
            if self._head_timer is not None:
                self._unwatch_head()
        elif self._head_bytes > HEAD_BYTES:
            self._end(_TOO_LARGE)
        elif self._head_timer is None:
            self._watch_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        super().on_headers_complete()

    def _watch_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_timeout_s, self._end, _TOO_SLOW)

    def _unwatch_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end(self, answer: bytes) -> None:
        self._unwatch_head()
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()


def uvicorn_config(app: Starlette, **options: Any) -> uvicorn.Config:
    """How the receiver is served. `options` go to uvicorn (host, port, fd, uds, ssl_...) and come last.

    Forwarding headers are the guards' business, so uvicorn must not rewrite the peer; an access log costs a factor
    of two; logging is set up by the application.
    """
    settings: dict[str, Any] = {
        "http": BoundedHttp,
        "ws": "none",
        "lifespan": "on",
        "proxy_headers": False,
        "server_header": False,
        "access_log": False,
        "log_config": None,
        "timeout_keep_alive": KEEP_ALIVE_S,
        "timeout_graceful_shutdown": 25,
    }
    return uvicorn.Config(app, **{**settings, **options})
