"""Every simulator on one port, each under its own path, with faults on request and a page that shows what they hold.

/                       the page
/{name}/...             a vendor's API
/_sandbox               what is served here, JSON
/_sandbox/{name}        GET what it holds · PATCH its rules · DELETE what it holds
/keys/jwks.json         the sandbox's own public key, as Saleor publishes its own; /keys/public.pem as Wix shows it
/_sandbox/faults        GET the faults in force · POST one · DELETE all, or /_sandbox/faults/{id}
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

import msgspec
import uvicorn
import uvloop
from jinja2 import Environment, PackageLoader
from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.clock import Chance, Clock, SystemChance, SystemClock
from gateway.sandbox.altcraft import Altcraft
from gateway.sandbox.amperity import Amperity
from gateway.sandbox.api import Api
from gateway.sandbox.bigcommerce import BigCommerce
from gateway.sandbox.faults import TRANSPORT, Fault, Faults, Faulty
from gateway.sandbox.keypair import KeyPair
from gateway.sandbox.octolis import Octolis
from gateway.sandbox.ometria import Ometria
from gateway.sandbox.ometria_batch import OmetriaBatch
from gateway.sandbox.simulator import BodyTooLarge, Simulator, body_of
from gateway.sandbox.sink import Sink

LISTEN = "127.0.0.1:9900"
ORDER_MAX_BYTES = 64 << 10

T = TypeVar("T")

_pages = Environment(loader=PackageLoader("gateway.sandbox", "."), autoescape=True)


class Sandbox:
    """All simulators of one process, and the ASGI app (`app`) that serves them."""

    def __init__(self, clock: Clock, chance: Chance, pair: KeyPair | None = None) -> None:
        self._pair = pair
        self.faults = Faults(clock, chance)
        self.ometria = Ometria(clock)
        self.altcraft = Altcraft(clock, chance)
        self.octolis = Octolis(clock, chance)
        self.amperity = Amperity(clock, chance)
        self.ometria_batch = OmetriaBatch(clock, chance)
        self.bigcommerce = BigCommerce(clock)
        self.sink = Sink(clock)
        self.simulators: dict[str, Simulator] = {one.name: one for one in self._all()}
        self.app = Starlette(routes=self._routes())

    def _all(self) -> tuple[Simulator, ...]:
        return (
            self.ometria,
            self.ometria_batch,
            self.altcraft,
            self.octolis,
            self.amperity,
            self.bigcommerce,
            self.sink,
        )

    def _routes(self) -> list[Route | Mount]:
        served = {
            name: Faulty(one, self.faults, one.plays, counts=isinstance(one, Api))
            for name, one in self.simulators.items()
        }
        return [
            Route("/", self._page),
            Route("/keys/jwks.json", self._jwks),
            Route("/keys/public.pem", self._public_key),
            Route("/_sandbox", self._index),
            Route("/_sandbox/faults", self._fault, methods=["GET", "POST", "DELETE"]),
            Route("/_sandbox/faults/{id:int}", self._clear, methods=["DELETE"]),
            Route("/_sandbox/{name}", self._desk, methods=["GET", "PATCH", "DELETE"]),
            *(Route(f"/{name}", _Rooted(f"/{name}", app)) for name, app in served.items()),
            *(Mount(f"/{name}", app) for name, app in served.items()),
        ]

    async def _page(self, request: Request) -> Response:
        part = "figures.html" if "figures" in request.query_params else "page.html"
        page = _pages.get_template(part)
        origin = f"{request.url.scheme}://{request.url.netloc}"
        return HTMLResponse(page.render(simulators=self._shown(), faults=self.faults.view(), origin=origin))

    def _shown(self) -> list[dict[str, Any]]:
        return [
            {"name": one.name, "title": one.title, "hint": one.hint, "figures": one.figures()}
            for one in self.simulators.values()
        ]

    @property
    def pair(self) -> KeyPair:
        """The sandbox's own key; made when it is first asked for, where none was given."""
        if self._pair is None:
            self._pair = KeyPair.generate()
        return self._pair

    async def _jwks(self, _request: Request) -> Response:
        return Response(self.pair.jwks(), media_type="application/json")

    async def _public_key(self, _request: Request) -> Response:
        return Response(self.pair.public_pem(), media_type="application/x-pem-file")

    async def _index(self, _request: Request) -> Response:
        shown = {one.name: {"base_url": one.hint, "faults": sorted(one.plays)} for one in self.simulators.values()}
        return JSONResponse({"simulators": shown, "faults": self.faults.view()})

    async def _desk(self, request: Request) -> Response:
        simulator = self.simulators.get(request.path_params["name"])
        if simulator is None:
            return _problem(404, f"there is {', '.join(self.simulators)}, and faults")
        if request.method == "DELETE":
            simulator.reset()
            return Response(status_code=204)
        if request.method == "PATCH":
            try:
                simulator.adjust(await _asked(request, dict[str, Any]))
            except (ValueError, BodyTooLarge) as error:
                return _problem(400, str(error))
        return Response(msgspec.json.encode(simulator.view(), enc_hook=str), media_type="application/json")

    async def _fault(self, request: Request) -> Response:
        if request.method == "DELETE":
            return JSONResponse({"cleared": self.faults.clear()})
        if request.method == "GET":
            return JSONResponse({"faults": self.faults.view()})
        try:
            ordered = self.faults.order(await _asked(request, Fault))
        except (ValueError, BodyTooLarge) as error:
            return _problem(400, str(error))
        return JSONResponse(msgspec.to_builtins(ordered), 201)

    async def _clear(self, request: Request) -> Response:
        return JSONResponse({"cleared": self.faults.clear(request.path_params["id"])})


class _Rooted:
    """An app at its very path, without a slash behind it, where Starlette's Mount would answer with a redirect."""

    def __init__(self, root: str, app: ASGIApp) -> None:
        self._root = root
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, "root_path": self._root}, receive, send)


async def _asked(request: Request, kind: type[T]) -> T:
    """The request's JSON as a `kind`. Raises ValueError with what is wrong."""
    return msgspec.json.decode(await body_of(request, ORDER_MAX_BYTES), type=kind)


def _problem(status: int, detail: str) -> Response:
    return JSONResponse({"status": status, "detail": detail}, status, media_type="application/problem+json")


def build(clock: Clock | None = None, chance: Chance | None = None, pair: KeyPair | None = None) -> Sandbox:
    """A sandbox that is not served yet. `pair`: the key that it publishes."""
    return Sandbox(clock or SystemClock(), chance or SystemChance(), pair)


# --- serving ---------------------------------------------------------------------------------------------------------


class _Protocol(HttpToolsProtocol):
    """uvicorn's own, handing the transport to the app so that a fault can reset the connection for real."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: {"transport": self.transport}}


class _Server(uvicorn.Server):
    """A server that leaves the process' signals alone (whoever started it stops it), and says when it is up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Served(Struct, frozen=True):
    """A sandbox that is being served. `url`: scheme, host and port, without a slash at the end."""

    sandbox: Sandbox
    url: str


@contextlib.asynccontextmanager
async def serving(listen: str = LISTEN, sandbox: Sandbox | None = None) -> AsyncIterator[Served]:
    """Serve a sandbox while the context lasts. `listen` is host:port; port 0 takes a free one.

    Raises OSError when the address is taken. Requests still under way at the end are broken off.
    """
    sandbox = sandbox or build()
    host, _, port = listen.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host.strip("[]"), int(port)))
    except OSError:
        bound.close()
        raise
    server = _Server(_config(sandbox))
    running = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        await _started(server, running)
        yield Served(sandbox, f"http://{host}:{bound.getsockname()[1]}")
    finally:
        server.should_exit = server.force_exit = True
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        await running
        bound.close()


def _config(sandbox: Sandbox) -> uvicorn.Config:
    return uvicorn.Config(
        sandbox.app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
    )


async def _started(server: _Server, running: asyncio.Task[None]) -> None:
    up = asyncio.create_task(server.up.wait())
    await asyncio.wait({up, running}, return_when=asyncio.FIRST_COMPLETED)
    if not up.done():
        up.cancel()
        await running


async def serve(listen: str = LISTEN, sandbox: Sandbox | None = None) -> None:
    """Serve until cancelled."""
    async with serving(listen, sandbox):
        await asyncio.Event().wait()


def run(listen: str = LISTEN, announce: Callable[[str], None] | None = None, pair: KeyPair | None = None) -> None:
    """Serve until SIGINT or SIGTERM: what `gateway sandbox` does. `announce` is told the address when it answers.

    Raises OSError when the address is taken.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_until_told(listen, announce, pair))


async def _until_told(listen: str, announce: Callable[[str], None] | None, pair: KeyPair | None) -> None:
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with serving(listen, build(pair=pair)) as served:
        if announce is not None:
            announce(served.url)
        await told.wait()
