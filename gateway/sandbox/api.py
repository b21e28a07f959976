"""What all simulated APIs share: a request is watched from its arrival until its answer has left, what is refused is
raised, and the rule that was broken is remembered.
"""

from typing import Any

from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from gateway import document
from gateway.sandbox.faults import TURNED_AWAY, asked
from gateway.sandbox.simulator import BodyTooLarge, body_of
from gateway.sandbox.witness import Witness

BODY_MAX_BYTES = 16 << 20

_HANDLED = "gateway.sandbox.handled"


class Refused(Exception):  # noqa: N818  an answer, raised from within the checks
    """The request is refused: status, message, and the rule that was broken (empty: none, a fault that was asked)."""

    def __init__(self, status: int, message: str, rule: str = "", detail: str = "", more: Any = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.rule = rule
        self.detail = detail
        self.more: dict[str, Any] = more or {}


class Handled(Struct):
    """What a request turned out to be, noted while it is handled."""

    status: int = 500
    records: int = 0
    bytes: int = 0
    what: str = ""
    keys: tuple[str, ...] = ()


class Api:
    """A simulated API. What inherits it says which routes there are, who watches a request, how it refuses."""

    body_max_bytes = BODY_MAX_BYTES

    def __init__(self) -> None:
        self._app = Starlette(routes=self.routes(), exception_handlers={Refused: self._refused})

    def routes(self) -> list[Route]:
        """The API's paths, below where it is mounted."""
        raise NotImplementedError

    def witness_of(self, request: Request, /) -> Witness | None:
        """Who remembers this request; None: nobody (its key is not known)."""
        raise NotImplementedError

    def refusal(self, request: Request, refused: Refused, /) -> Response:
        """The vendor's way of saying no."""
        raise NotImplementedError

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        witness = self.witness_of(Request(scope)) if scope["type"] == "http" else None
        handled = scope[_HANDLED] = Handled()

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                handled.status = message["status"]
            await send(message)

        if witness is None:
            await self._app(scope, receive, watched)
            return
        with witness.handling() as arrival:
            try:
                await self._app(scope, receive, watched)
            finally:
                witness.leave(handled.keys)
                sizes = (handled.records, handled.bytes)
                witness.visit(arrival, scope["method"], path_of(scope), handled.status, sizes, handled.what)

    async def _refused(self, request: Request, refused: Exception) -> Response:
        if not isinstance(refused, Refused):
            raise refused
        witness = self.witness_of(request)
        if witness is not None and refused.rule:
            witness.breach(refused.rule, refused.detail)
        return self.refusal(request, refused)

    async def body(self, request: Request) -> bytes:
        """The request's body, its size noted. Raises Refused over the simulator's bound."""
        try:
            body = await body_of(request, self.body_max_bytes)
        except BodyTooLarge:
            raise Refused(413, "Payload too large", "body_too_large") from None
        handled_of(request).bytes = len(body)
        return body

    async def json(self, request: Request) -> Any:
        """The request's body as JSON. Raises Refused where it is none."""
        try:
            return document.parse(await self.body(request))
        except document.Unreadable as error:
            raise Refused(400, "Payload invalid: not JSON", "unreadable", str(error)) from None


def turn_away(request: Request) -> None:
    """Raises Refused where the request is to fail by the way; called once it has counted on the limits."""
    if asked(request.scope) == TURNED_AWAY:
        raise Refused(503, "a fault that was asked for")


def handled_of(request: Request) -> Handled:
    """The note on this request."""
    handled: Handled = request.scope[_HANDLED]
    return handled


def kind_of(request: Request) -> str:
    """The media type of the request's body, without its parameters."""
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


def path_of(scope: Scope) -> str:
    """The path below where the simulator is mounted."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer; decimals keep their digits."""
    return Response(document.dump(body), status, headers, "application/json")
