"""The HTTP server in front of the receiver: uvicorn, with bounds that its fast protocol leaves open.

Of itself it takes headers, trailers, chunk sizes and pipelined requests without end, and waits without end for a head,
and for a peer that reads no answers. Bodies are bounded in `body`.
"""

import asyncio
from collections.abc import Callable, MutableMapping
from functools import partial
from typing import Any, cast

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from gateway.receive.answers import Answer

HEAD_BYTES = 64 << 10
"""Request line and headers, at most (and what one read of the socket brings on top); with the sizes, extensions and
trailers of a body in chunks.
"""

FRAMING = 16
"""Beyond that, bytes around each byte of a body in chunks: the smallest chunk, of one byte, has five."""

PIPELINED = 100
"""Requests that a peer may send ahead of the answers, at most."""

HEAD_TIMEOUT_S = 10.0
"""How long request line and headers may take, from the connection or from their first byte."""

UNREAD_S = 30.0
"""How long a peer may leave our answers unread, once no more of them fit on their way."""

KEEP_ALIVE_S = 75.0
"""How long an idle connection is kept: longer than load balancers keep theirs, so that they close first."""

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


Take = Callable[[MutableMapping[str, Any], bytes, Callable[[Answer], None]], bool]
"""What an application offers as `take` beside ASGI: a request (its scope and its whole body), and whom to tell the
answer. False: nothing was done, it is to come as ASGI.
"""


def _takes_none(*_: Any) -> bool:
    return False


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's httptools protocol, with bounds on the size and the time of what is no body.

    A request that comes in one piece, as most do, needs no task: it is handed to the application's `take`.
    """

    head_timeout_s = HEAD_TIMEOUT_S
    unread_s = UNREAD_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = True
        self._beside_bytes = 0
        self._body_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None
        self._take: Take = getattr(self.app, "take", _takes_none)
        self._reading = False
        self._begun: tuple[RequestResponseCycle, Any] | None = None

    # --- the connection ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch_head()
        self._unwatch_unread()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._beside_bytes += len(data)
        self._reading = True
        super().data_received(data)
        self._reading = False
        if self._begun is not None:
            self._start_begun(*self._begun)
        if self._beside_bytes > HEAD_BYTES + FRAMING * self._body_bytes:
            self._end(_TOO_LARGE)
        elif not self._in_head:
            if self._head_timer is not None:
                self._unwatch_head()
        elif self._head_timer is None:
            self._watch_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._unread_timer is None:
            self._unread_timer = self.loop.call_later(self.unread_s, self.transport.abort)

    def resume_writing(self) -> None:
        self._unwatch_unread()
        super().resume_writing()

    # --- the parser --------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= PIPELINED:
            raise OverflowError("too many requests ahead of their answers")  # the parser stops: 400, and the end
        super().on_message_begin()
        self._in_head = True
        self._body_bytes = 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()
        self.headers = []  # a trailer is no header: it comes after the checks (RFC 9110, 6.5.1)

    def on_body(self, body: bytes) -> None:
        self._beside_bytes -= len(body)
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._beside_bytes = 0
        super().on_message_complete()

    # --- requests in one piece ---------------------------------------------------------------------------------------

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Its head is read. While more of what has come is read, wait for that: its body may be there."""
        if self._reading:
            self._begun = cycle, app
        else:
            super()._start_asgi_task(cycle, app)

    def _start_begun(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._begun = None
        if self.transport.is_closing():  # what came behind it was refused: there is nobody to answer any more
            return
        scope = cast("MutableMapping[str, Any]", cycle.scope)
        if not self._is_whole(cycle) or not self._take(scope, bytes(cycle.body), partial(self._answer, cycle)):
            super()._start_asgi_task(cycle, app)

    def _is_whole(self, cycle: RequestResponseCycle) -> bool:
        """Whether it can be taken at once, and its answer be written at once."""
        if cycle.more_body or cycle.waiting_for_100_continue or self.flow.write_paused:
            return False
        return bool(cycle.scope["method"] != "HEAD")

    def _answer(self, cycle: RequestResponseCycle, answer: Answer) -> None:
        """Write an answer as uvicorn would, at once. Its headers are ours, and say nothing of the connection."""
        if cycle.disconnected or self.transport.is_closing():
            return
        start, body = answer
        content = [STATUS_LINE[start["status"]]]
        for name, value in (*cycle.default_headers, *start["headers"]):
            content += (name, b": ", value, b"\r\n")
        if not cycle.keep_alive:
            content.append(b"connection: close\r\n")
        content += (b"\r\n", body["body"])
        self.transport.write(b"".join(content))
        cycle.response_started = cycle.response_complete = True
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()

    # --- the bounds --------------------------------------------------------------------------------------------------

    def _watch_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_timeout_s, self._end, _TOO_SLOW)

    def _unwatch_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _unwatch_unread(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def _end(self, answer: bytes) -> None:
        self._unwatch_head()
        if self.transport.is_closing():
            return
        if self._answers_this():
            self.transport.write(answer)
        self.transport.close()

    def _answers_this(self) -> bool:
        """Whether what is written now answers the request that comes in, and not one before it."""
        cycle: RequestResponseCycle | None = self.cycle
        if self._in_head:
            return cycle is None or cycle.response_complete
        return cycle is not None and not cycle.response_started and not self.pipeline


def uvicorn_config(app: Starlette, **options: Any) -> uvicorn.Config:
    """How the receiver is served. `options` go to uvicorn (host, port, fd, uds, ssl_...) and come last.

    Forwarding headers are the guards' business, so uvicorn must not rewrite the peer; an access log costs a factor
    of two; logging is set up by the application.
    """
    settings: dict[str, Any] = {
        "http": BoundedHttp,
        "interface": "asgi3",
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
