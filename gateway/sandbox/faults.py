"""Faults on request, for any path: answers that fail, come late, never come, or break off.

An ASGI wrapper around each simulator. Under `server.py` a reset is a real one (RST on the wire): the server puts its
transport into the scope (`TRANSPORT`). Without a transport (an app called in process) a reset raises
ConnectionResetError.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from typing import Any, Literal

import msgspec
from msgspec import Struct
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.clock import Chance, Clock

TRANSPORT = "gateway.sandbox.transport"
"""The key of `scope["extensions"]` under which the server hands over the connection's transport."""

ASKED = "gateway.sandbox.fault"
"""The key of the scope under which a simulator finds the fault that it is to play itself."""

TURNED_AWAY = "turned_away"
"""What a simulator is asked for a request that fails before it is looked at: it counts on the limits all the same."""

FAULTS_MAX = 100
HANG_S = 600.0
"""How long a hanging answer keeps the connection when the client does not give up first."""

Kind = Literal[
    "status", "latency", "hang", "hang_after", "reset_before", "reset_after", "cut",
    "forced_429", "queue_full", "busy", "expired_token",
]  # fmt: skip

PLAYED: dict[str, int] = {"forced_429": 429, "queue_full": 429, "busy": 423, "expired_token": 401}
"""Faults that a simulator plays in its vendor's own words, and the bare status where it has none for it."""


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to go wrong, where, how often.

    `path`: a glob over the whole path (`/ometria/*`; `*` crosses slashes). `fault`: status (`status`, `headers`,
    `body`; nothing is applied) · latency (applied at once, answered after `latency_s`) · hang (not applied, never
    answered) · hang_after (applied, never answered) · reset_before and reset_after (the connection is reset before or
    after applying) · cut (the answer breaks off half-way) · forced_429, queue_full, busy, expired_token (in the
    vendor's own words). `count`: how many requests it meets (None: until it is cleared), after the first `skip` ones,
    each with the probability `rate`.
    """

    path: str = "*"
    method: str = ""
    fault: Kind
    status: int = 503
    headers: dict[str, str] = {}
    body: str = ""
    retry_after: float | None = None
    latency_s: float = 0.0
    count: int | None = None
    skip: int = 0
    rate: float = 1.0


class Ordered(Struct):
    """A fault that was ordered: its number, and what is left of it."""

    id: int
    fault: Fault
    skip: int
    left: int | None
    met: int = 0


class Faults:
    """The faults in force, oldest first. The first one that meets a request is its fault."""

    def __init__(self, clock: Clock, chance: Chance) -> None:
        self.clock = clock
        self._chance = chance
        self._ordered: list[Ordered] = []
        self._next = 1

    def order(self, fault: Fault) -> Ordered:
        """Put a fault in force. Raises ValueError when there are FAULTS_MAX."""
        if len(self._ordered) >= FAULTS_MAX:
            raise ValueError(f"at most {FAULTS_MAX} faults at once")
        ordered = Ordered(self._next, fault, fault.skip, fault.count)
        self._next += 1
        self._ordered.append(ordered)
        return ordered

    def clear(self, number: int | None = None) -> int:
        """Take back one fault, or all. Says how many went."""
        before = len(self._ordered)
        self._ordered = [one for one in self._ordered if number is not None and one.id != number]
        return before - len(self._ordered)

    def view(self) -> list[dict[str, Any]]:
        """The faults in force, as JSON shows them."""
        return [msgspec.to_builtins(one) for one in self._ordered]

    def meet(self, method: str, path: str) -> Fault | None:
        """The fault of a request, if it has one; counted as met."""
        for one in self._ordered:
            if _concerns(one.fault, method, path) and self._strikes(one):
                one.met += 1
                return one.fault
        return None

    def _strikes(self, one: Ordered) -> bool:
        if one.skip:
            one.skip -= 1
            return False
        if one.left == 0 or self._chance.uniform(0.0, 1.0) >= one.fault.rate:
            return False
        if one.left is not None:
            one.left -= 1
        return True


def _concerns(fault: Fault, method: str, path: str) -> bool:
    return (not fault.method or fault.method == method) and fnmatchcase(path, fault.path)


def asked(scope: Scope) -> str:
    """The fault that a simulator is to play for this request; empty for none."""
    return str(scope.get(ASKED, ""))


class Faulty:
    """An app with faults in front. `plays` are the faults that the app plays itself; `counts`: it counts on its limits
    what is turned away before it.
    """

    def __init__(
        self, app: ASGIApp, faults: Faults, plays: frozenset[str] = frozenset(), *, counts: bool = False
    ) -> None:
        self._app = app
        self._faults = faults
        self._plays = plays
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = self._faults.meet(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if fault is None:
            await self._app(scope, receive, send)
            return
        way = self._ways().get(fault.fault, self._play)
        await way(fault, scope, receive, send)

    def _ways(self) -> dict[str, Callable[[Fault, Scope, Receive, Send], Awaitable[None]]]:
        return {
            "status": self._status,
            "latency": self._late,
            "hang": self._hang,
            "hang_after": self._hang_after,
            "reset_before": self._reset_before,
            "reset_after": self._reset_after,
            "cut": self._cut,
        }

    async def _status(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        await self._faults.clock.sleep(fault.latency_s)
        await self._turn_away(scope, receive)
        await _bare(fault, fault.status)(scope, receive, send)

    async def _turn_away(self, scope: Scope, receive: Receive) -> None:
        """Read the request to its end, so that the client has sent all of it when the fault strikes."""
        if self._counts:
            await self._app({**scope, ASKED: TURNED_AWAY}, receive, _swallow)
        while (message := await receive())["type"] == "http.request" and message.get("more_body", False):
            pass

    async def _play(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        await self._faults.clock.sleep(fault.latency_s)
        if fault.fault in self._plays:
            await self._app({**scope, ASKED: fault.fault}, receive, send)
            return
        await self._turn_away(scope, receive)
        await _bare(fault, PLAYED[fault.fault])(scope, receive, send)

    async def _late(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        async def late(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._faults.clock.sleep(fault.latency_s)
            await send(message)

        await self._app(scope, receive, late)

    async def _hang(self, _fault: Fault, scope: Scope, receive: Receive, _send: Send) -> None:
        await self._turn_away(scope, receive)
        await _gone(receive)
        await _reset(scope, receive)

    async def _hang_after(self, _fault: Fault, scope: Scope, receive: Receive, _send: Send) -> None:
        await self._app(scope, receive, _swallow)
        await _gone(receive)
        await _reset(scope, receive)

    async def _reset_before(self, _fault: Fault, scope: Scope, receive: Receive, _send: Send) -> None:
        await self._turn_away(scope, receive)
        await _reset(scope, receive)

    async def _reset_after(self, _fault: Fault, scope: Scope, receive: Receive, _send: Send) -> None:
        await self._app(scope, receive, _swallow)
        await _reset(scope, receive)

    async def _cut(self, _fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        async def half(message: Message) -> None:
            if message["type"] == "http.response.body":
                body = message.get("body", b"")
                message = {"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True}
            await send(message)

        await self._app(scope, receive, half)
        await _reset(scope, receive)


def _bare(fault: Fault, status: int) -> Response:
    headers = dict(fault.headers)
    if fault.retry_after is not None:
        headers["Retry-After"] = f"{fault.retry_after:g}"
    body = fault.body or f'{{"status":{status},"message":"a fault that was asked for: {fault.fault}"}}'
    media_type = None if any(name.lower() == "content-type" for name in headers) else "application/json"
    return Response(body, status, headers, media_type)


async def _swallow(_message: Message) -> None:
    """The answer goes nowhere."""


async def _gone(receive: Receive) -> None:
    """Return when the client has given up, or after HANG_S."""
    try:
        async with asyncio.timeout(HANG_S):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return


async def _reset(scope: Scope, receive: Receive) -> None:
    """Reset the connection: no lingering, nothing flushed, RST on the wire."""
    transport = scope.get("extensions", {}).get(TRANSPORT, {}).get("transport")
    if transport is None:
        raise ConnectionResetError("a fault that was asked for")
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:  # else the client has gone already
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await _gone(receive)
