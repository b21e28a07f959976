"""The HTTP server in front of the receiver: uvicorn, with bounds that its fast protocol leaves open.

Of itself it takes headers, trailers, chunk sizes and pipelined requests without end, and waits without end for a head,
and for a peer that reads no answers. Bodies are bounded in `body`.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, cast

import httptools
import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from gateway.receive.answers import Answer, Message
from gateway.receive.request import RawHeaders

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


Take = Callable[[str, bytes, RawHeaders, str, bytes, Callable[[Answer], None]], bool]
"""What an application offers as `take` beside ASGI: a request (its method, target, headers, peer's address and whole
body), and whom to tell the answer. False: nothing was done, it is to come as ASGI.
"""


def _takes_none(*_: Any) -> bool:
    return False


class _Head:
    """A request until its body is there: what uvicorn asks its parser for when a head is read, asked at that moment."""

    __slots__ = ("complete", "expects", "headers", "keep_alive", "method", "parts", "target", "version")

    def __init__(
        self, parser: httptools.HttpRequestParser, target: bytes, headers: RawHeaders, *, expects: bool
    ) -> None:
        self.method = parser.get_method()
        self.version = parser.get_http_version()
        self.keep_alive = parser.should_keep_alive()
        self.target = target
        self.headers = headers
        self.expects = expects
        self.parts: list[bytes] = []
        self.complete = False

    def get_method(self) -> bytes:
        return self.method

    def get_http_version(self) -> str:
        return self.version

    def should_keep_alive(self) -> bool:
        return self.keep_alive

    def should_upgrade(self) -> bool:
        return False


class _Unheard:
    """Nobody waits for this event."""

    def set(self) -> None: ...


class _Taken:
    """A request that was taken whole, where uvicorn has its cycle: as much of one as it looks at."""

    message_event: ClassVar[_Unheard] = _Unheard()
    response_started: ClassVar[bool] = False

    __slots__ = ("disconnected", "keep_alive", "response_complete")

    def __init__(self, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_complete = False


class _Heads:
    """The heads of answers as bytes. The last one is kept: most answers of one second begin alike."""

    def __init__(self) -> None:
        self._start: Message = {}
        self._beside: Sequence[tuple[bytes, bytes]] = ()
        self._bytes = b""

    def of(self, start: Message, beside: Sequence[tuple[bytes, bytes]]) -> bytes:
        """Status line and headers, without the empty line at their end. `beside`: the server's own headers."""
        if start is not self._start or beside is not self._beside:
            self._start, self._beside = start, beside
            lines = [b"%b: %b\r\n" % pair for pair in (*beside, *start["headers"])]
            self._bytes = STATUS_LINE[start["status"]] + b"".join(lines)
        return self._bytes


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's httptools protocol, with bounds on the size and the time of what is no body.

    A request that comes in one piece, as most do, needs no scope, cycle or task: the application's `take` has it.
    """

    heads: ClassVar[_Heads] = _Heads()
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
        self._head: _Head | None = None

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
        super().data_received(data)
        if self._head is not None:
            self._begin_last(self._head)
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
        if self._head is not None:
            self._begin(self._head)
        if len(self.pipeline) >= PIPELINED:
            raise OverflowError("too many requests ahead of their answers")  # the parser stops: 400, and the end
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._in_head = True
        self._body_bytes = 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head = _Head(self.parser, self.url, self.headers, expects=self.expect_100_continue)
        self.headers = []  # a trailer is no header: it comes after the checks (RFC 9110, 6.5.1)

    def on_body(self, body: bytes) -> None:
        self._beside_bytes -= len(body)
        self._body_bytes += len(body)
        if self._head is not None:
            self._head.parts.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._beside_bytes = 0
        if self._head is not None:
            self._head.complete = True
        else:
            super().on_message_complete()

    # --- a request begins --------------------------------------------------------------------------------------------

    def _begin_last(self, head: _Head) -> None:
        """All that has come is read. What came behind a request may have been refused: then nobody can be answered."""
        if self.transport.is_closing():
            self._head = None
            return
        try:
            self._begin(head)
        except (httptools.HttpParserError, UnicodeDecodeError):  # its target is none
            self.send_400_response("Invalid HTTP request received.")

    def _begin(self, head: _Head) -> None:
        """Begin what is read: at once where it is whole and no other is under way, else as uvicorn does."""
        self._head = None
        before: RequestResponseCycle | None = self.cycle
        free = before is None or before.response_complete
        if not (free and head.complete and self._is_taken(head)):
            self._open(head)

    def _is_taken(self, head: _Head) -> bool:
        if head.expects or head.method == b"HEAD" or self.flow.write_paused:
            return False
        taken = _Taken(keep_alive=head.keep_alive and head.version != "1.0")
        before, self.cycle = self.cycle, cast("RequestResponseCycle", taken)
        parts, peer = head.parts, self.client
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        say = partial(self._answer, taken)
        if self._take(head.method.decode("ascii"), head.target, head.headers, peer[0] if peer else "", body, say):
            return True
        self.cycle = before
        return False

    def _open(self, head: _Head) -> None:
        """Its scope, its cycle and its task, from what the parser has told."""
        super().on_message_begin()
        self.url, self.expect_100_continue = head.target, head.expects
        self.headers += head.headers
        parser, self.parser = self.parser, cast("httptools.HttpRequestParser", head)
        try:
            super().on_headers_complete()
        finally:
            self.parser = parser
        self.headers = []
        for part in head.parts:
            super().on_body(part)
        if head.complete:
            super().on_message_complete()

    def _answer(self, taken: _Taken, answer: Answer) -> None:
        """Write an answer as uvicorn would, at once. Its headers are ours, and say nothing of the connection."""
        if taken.disconnected or self.transport.is_closing():
            return
        start, body = answer
        end = b"\r\n" if taken.keep_alive else b"connection: close\r\n\r\n"
        self.transport.write(b"".join((self.heads.of(start, self.server_state.default_headers), end, body["body"])))
        taken.response_complete = True
        if not taken.keep_alive:
            self.transport.close()
        self.on_response_complete()

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
