"""The one door out: sends a vendor's request with aiohttp and says what came back. Every limit is here.

Redirects are not followed, cookies are not kept, of an answer no more is read than its request asks for.
"""

from collections.abc import Callable
from functools import lru_cache
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from gateway import __version__
from gateway.errors import Reason
from gateway.vendors.base import Answer, Failure, Request, Response

ANSWER_BYTES_MAX = 32 << 20
CONNECT_TIMEOUT_S = 10.0
CONNECTIONS = 768
CONNECTIONS_PER_HOST = 512
TIMEOUTS = 128
"""Different timeouts of which aiohttp's form is kept."""


Left = Callable[[], None] | None
"""Called when a request's bytes leave."""


class Outbound(Protocol):
    """Something that sends requests."""

    async def send(self, request: Request, timeout_s: float, left: Left = None) -> Answer:
        """What came back, or why nothing did. Raises nothing but cancellation.

        `left` is called when the request's bytes leave, which a connection that has to be opened delays; never, where
        they do not.
        """
        ...


class HttpOutbound:
    """Outbound over aiohttp, one pool of connections for the process."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._timed: aiohttp.ClientSession | None = None
        self._proxies = getproxies()  # once: aiohttp would read the environment, and .netrc, for every request

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=CONNECTIONS, limit_per_host=CONNECTIONS_PER_HOST, keepalive_timeout=60)
        self._session = _session(connector, [])
        self._timed = _session(connector, [_tells_departure()])  # tracing costs: only what has no body needs it
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in (self._timed, self._session):
            if session is not None:
                await session.close()

    async def send(self, request: Request, timeout_s: float, left: Left = None) -> Answer:
        """One request. A failure to connect was surely not applied; a timeout or a broken connection perhaps was."""
        session = self._session if left is None or request.body else self._timed
        if session is None:
            raise RuntimeError("the door is closed")
        try:
            async with session.request(
                request.method,
                request.url,
                data=_body(request.body, left),
                headers=request.headers,
                timeout=_timeout(timeout_s),
                allow_redirects=False,
                proxy=self._proxy(request.url),
                trace_request_ctx=left,
            ) as response:
                body = await _bounded(response, request.answer_bytes)
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Response(response.status, headers, body)
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL, aiohttp.ConnectionTimeoutError) as error:
            return Failure(Reason.CONNECTION_FAILED, _named(error))
        except TimeoutError:
            return Failure(Reason.TIMEOUT, f"no answer within {timeout_s:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Failure(Reason.TIMEOUT, _named(error))

    def _proxy(self, url: str) -> str | None:
        """The proxy that the environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY) names for a URL."""
        if not self._proxies:
            return None
        parts = urlsplit(url)
        return None if proxy_bypass(parts.hostname or "") else self._proxies.get(parts.scheme)


def _session(connector: aiohttp.TCPConnector, tracing: list[aiohttp.TraceConfig]) -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": f"webhook-gateway/{__version__}"},
        auto_decompress=True,
        trace_configs=tracing,
    )
    # Else a PUT or GET whose connection breaks is sent once more behind our back: uncounted by the pace, and perhaps
    # applied already.
    session._retry_connection = False  # noqa: SLF001  there is no public switch; aiohttp's own tests use this one
    return session


def _tells_departure() -> aiohttp.TraceConfig:
    """Calls a request's `left` as its headers go to the socket: it has no body."""

    async def leaves(
        _session: aiohttp.ClientSession, context: Any, _sent: aiohttp.TraceRequestHeadersSentParams
    ) -> None:
        context.trace_request_ctx()

    tracing = aiohttp.TraceConfig()
    tracing.on_request_headers_sent.append(leaves)
    return tracing


class _Body(aiohttp.BytesPayload):
    """A body that calls `left` as it goes to the socket: the headers wait for it."""

    def __init__(self, body: bytes, left: Callable[[], None]) -> None:
        super().__init__(body)
        self._left = left

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self._left()
        await super().write_with_length(writer, content_length)


def _body(body: bytes, left: Left) -> bytes | _Body | None:
    if not body:
        return None
    return body if left is None else _Body(body, left)


async def _bounded(response: aiohttp.ClientResponse, answer_bytes: int) -> bytes:
    """The first `answer_bytes` of the body; the connection is closed when there is more."""
    most = min(answer_bytes, ANSWER_BYTES_MAX)
    body = bytearray()
    while chunk := await response.content.readany():
        body += chunk
        if len(body) >= most:
            response.close()
            break
    return bytes(body[:most])


@lru_cache(TIMEOUTS)
def _timeout(timeout_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(CONNECT_TIMEOUT_S, timeout_s))


def _named(error: Exception) -> str:
    """The error's kind, without the URL it may carry (a key may stand there)."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"{type(error).__name__}: {error.os_error.strerror or error.os_error}"
    return type(error).__name__
