"""The door that senders knock at: a plain ASGI callable, and the application around it.

Starlette's Request and Response objects cost more than all the checks together, so the endpoint reads the scope and
sends the messages itself. Order of checks: source, method, addresses, headers, API key, size, encoding, signature over
the bytes on the wire, what the body says, topic, identity; then the event is accepted.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Route

from gateway.clock import Chance, Clock
from gateway.config.schema import Config
from gateway.errors import Cause, ConfigurationError, Fault, Rejected
from gateway.journal.base import Log
from gateway.model import Receipt, Rejection
from gateway.receive.accept import Acceptor, Outcome, receipts_of
from gateway.receive.answers import Answer, answer, problem, refusal
from gateway.receive.aside import NoEvent
from gateway.receive.body import Bodies, Gone, check_encoding, declared_length, unpack
from gateway.receive.door import Door, Keeper, compile_door, problems
from gateway.receive.guards import Clients
from gateway.receive.keys import KeyNeeded, Keys
from gateway.receive.observe import Observer
from gateway.receive.presets import Preset
from gateway.receive.request import RawHeaders, Request
from gateway.telemetry.watch import ReceiverWatch

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

SOURCES = "/webhooks/"

REJECTED_BODY_BYTES = 4096
"""How much of a refused body is kept."""

KEYS_PER_REQUEST = 2
"""Keys that are fetched before a request is judged: a certificate, and who issued it."""

_OURS = frozenset({Cause.OVERLOADED, Cause.JOURNAL_UNAVAILABLE, Cause.KEY_UNAVAILABLE})
"""Causes that are not the sender's: answered and counted, not kept among the rejected."""

_NOTHING = answer(200, b"", "application/json")
_ALIVE = answer(200, b'{"status": "alive"}', "application/json")


@dataclass(frozen=True)
class Rules:
    """One configuration of all sources. A request uses the one it began with."""

    doors: Mapping[str, Door]
    revision: int
    clients: Clients
    at: Mapping[bytes, Door]
    """The doors by their paths."""

    @classmethod
    def of(cls, config: Config, presets: Mapping[str, Preset], revision: int, keys: Keys) -> "Rules":
        """Compile every source. Raises ConfigurationError with all faults."""
        faults = [
            Fault("", 0, 0, ".".join(map(str, found.path)), found.cause, found.hint)
            for found in problems(config)
            if not found.warning
        ]
        faults += [
            Fault("", 0, 0, f"sources.{name}.preset", f"there is no preset {source.preset}")
            for name, source in config.sources.items()
            if source.preset not in presets
        ]
        if faults:
            raise ConfigurationError(faults)
        clients = Clients(config.receiver.trusted_proxies, config.receiver.forwarded)
        doors = {
            name: compile_door(name, source, presets[source.preset], config, clients, keys)
            for name, source in config.sources.items()
        }
        return cls(doors, revision, clients, {f"{SOURCES}{name}".encode(): door for name, door in doors.items()})


class Endpoint:
    """`/webhooks/{source}`. Never raises into the server, never answers 500."""

    def __init__(
        self, rules: Rules, acceptor: Acceptor, bodies: Bodies, keys: Keys, clock: Clock, observer: Observer
    ) -> None:
        self.rules = rules
        self._acceptor = acceptor
        self._bodies = bodies
        self._keys = keys
        self._clock = clock
        self._observer = observer
        self._keep = Keeper()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        rules = self.rules
        request = self._request(scope)
        door = rules.doors.get(scope["path_params"]["source"])
        try:
            reply = await self._take(door, request, receive, rules.revision)
        except Rejected as rejected:
            reply = self._refuse(door, request, rejected, rules)
        except Gone:
            return
        except asyncio.CancelledError:  # a stop that waits no longer: come again, rather than the server's 500
            await _say(send, problem(Cause.OVERLOADED))
            raise
        except Exception as error:  # noqa: BLE001  whatever is wrong here is ours: the sender is to come again
            reply = self._failed(error)
        await send(reply[0])
        await send(reply[1])

    def take(
        self, method: str, target: bytes, headers: RawHeaders, peer: str, body: bytes, say: Callable[[Answer], None]
    ) -> bool:
        """The same for an event whose body is there as a whole, without a task that waits for its commit: `say` is
        called with the answer, once. False: nothing was done, since it is no event, or has to wait for something else
        (`server.Take`).
        """
        rules = self.rules
        path, _, query = target.partition(b"?")
        door = rules.at.get(path)
        if door is None or method not in door.methods or len(body) > door.limit_bytes or not _is_plain(query):
            return False
        request = Request(method, headers, query, peer, self._clock.now_ms())
        try:
            door.admit(request)
            _check_length(door, request)
            request.wire = request.body = body
            if self._prove(door, request) is not None:
                return False
            offers = [door.offer(event, rules.revision) for event in door.events(request)]
            if not offers:
                say(door.answer or _NOTHING)
            else:
                self._acceptor.submit(offers, partial(self._tell, say, door, request, rules))
        except KeyNeeded:
            return False
        except Rejected as rejected:
            say(self._refuse(door, request, rejected, rules))
        except Exception as error:  # noqa: BLE001  whatever is wrong here is ours: the sender is to come again
            say(self._failed(error))
        return True

    def _tell(
        self, say: Callable[[Answer], None], door: Door, request: Request, rules: Rules, outcomes: Sequence[Outcome]
    ) -> None:
        """Answer a request by what became of its offers."""
        try:
            reply = _committed(door, receipts_of(outcomes))
        except Rejected as rejected:
            reply = self._refuse(door, request, rejected, rules)
        say(reply)

    def _request(self, scope: Scope) -> Request:
        peer = scope.get("client")
        return Request(
            scope["method"],
            scope["headers"],
            scope["query_string"],
            peer[0] if peer else "",
            self._clock.now_ms(),
        )

    def _failed(self, error: Exception) -> Answer:
        self._observer.failed("request", error)
        return problem(Cause.JOURNAL_UNAVAILABLE)

    async def _take(self, door: Door | None, request: Request, receive: Receive, revision: int) -> Answer:
        """Answer one request, or raise Rejected or Gone."""
        if door is None:
            raise Rejected(Cause.UNKNOWN_SOURCE)
        handshake = None if request.method in door.methods else door.handshakes.get(request.method)
        if request.method not in door.methods and handshake is None:
            raise Rejected(Cause.METHOD_NOT_ALLOWED, headers=(("allow", door.allow),))
        door.admit(request)
        if handshake is not None:
            return handshake(request)
        _check_length(door, request)
        request.wire = request.body = await self._bodies.read(receive, door.limit_bytes)
        aside = await self._proved(door, request)
        if aside is not None:
            return self._no_event(door, request, aside)
        offers = [door.offer(event, revision) for event in door.events(request)]
        if not offers:
            return door.answer or _NOTHING
        return _committed(door, await self._acceptor.accept(offers))

    async def _proved(self, door: Door, request: Request) -> NoEvent | None:
        """`_prove`; where a published key, or its certificate's issuer, is missing, fetch it and try again."""
        for _ in range(KEYS_PER_REQUEST):
            try:
                return self._prove(door, request)
            except KeyNeeded as needed:
                await self._keys.fetch(needed)
        try:
            return self._prove(door, request)
        except KeyNeeded:
            raise Rejected(Cause.KEY_UNAVAILABLE) from None

    def _prove(self, door: Door, request: Request) -> NoEvent | None:
        """Signature, encoding, what the body says. Gives what the request is instead of an event, if it is none."""
        for aside in door.unsigned_asides:
            if aside.holds(request):
                return aside
        if door.verify is not None:
            door.verify(request.wire, request.fields, request.arrived_ms)
        encoding = request.fields.get(b"content-encoding")
        if encoding is not None:
            request.body = unpack(request.wire, check_encoding(encoding), door.limit_bytes)
        door.understand(request)
        for aside in door.asides:
            if aside.holds(request):
                return aside
        return None

    def _no_event(self, door: Door, request: Request, aside: NoEvent) -> Answer:
        if aside.keep:
            client = door.clients.address(request)
            self._observer.refused(door.source, Cause.NOT_AN_EVENT, aside.detail, client, request.method)
            self._keep_rejection(door, request, Rejected(Cause.NOT_AN_EVENT, aside.detail))
        if (url := aside.visit(request)) is not None:
            self._keys.visit(url)
        return aside.answer(request)

    def _refuse(self, door: Door | None, request: Request, rejected: Rejected, rules: Rules) -> Answer:
        """Tell, keep and answer a refusal."""
        client = rules.clients.address(request)
        source = "" if door is None else door.source
        self._observer.refused(source, rejected.cause, rejected.detail, client, request.method)
        if door is not None and rejected.cause not in _OURS:
            self._keep_rejection(door, request, rejected)
        return refusal(rejected)

    def _keep_rejection(self, door: Door, request: Request, rejected: Rejected) -> None:
        self._acceptor.reject(
            Rejection(
                source=door.source,
                at_ms=request.arrived_ms,
                cause=str(rejected.cause),
                detail=rejected.detail,
                method=request.method[:16],
                client=door.clients.address(request),
                headers=door.keep(request.headers),
                body=request.wire[:REJECTED_BODY_BYTES],
            )
        )


class _Front(Starlette):
    """Starlette, with its middleware and routing passed by on the way to a source: they take 9 of 125 us a request, and
    the endpoint answers for its own faults.
    """

    def __init__(self, endpoint: Endpoint, **settings: Any) -> None:
        super().__init__(**settings)
        self._endpoint = endpoint
        self.take = endpoint.take

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        if scope["type"] == "http" and _to_source(scope):
            return self._endpoint(scope, receive, send)
        return super().__call__(scope, receive, send)


def _committed(door: Door, receipts: Sequence[Receipt]) -> Answer:
    first = receipts[0]
    return door.accepted(first.id, duplicate=first.duplicate and all(receipt.duplicate for receipt in receipts))


def _check_length(door: Door, request: Request) -> None:
    """Refuse a body by what its headers say of it, before a byte of it is read."""
    fields = request.fields
    if declared_length(fields.get(b"content-length")) > door.limit_bytes:
        raise Rejected(Cause.BODY_TOO_LARGE)
    if b"content-encoding" in fields:
        check_encoding(fields[b"content-encoding"])


def _is_plain(query: bytes) -> bool:
    """Whether it is what a URL's query may be: no fragment behind it, nothing that a URL has to escape."""
    return not query or (query.isascii() and b"#" not in query)


def _to_source(scope: Scope) -> bool:
    """Whether the path is `/webhooks/{source}`; the scope says then which."""
    path = scope["path"]
    name = path.removeprefix(SOURCES)
    if not name or name == path or "/" in name or scope.get("root_path"):
        return False
    scope["path_params"] = {"source": name}
    return True


class Receiver:
    """The receiver as the application holds it: its ASGI app, and the sources in force."""

    def __init__(
        self,
        config: Config,
        presets: Mapping[str, Preset],
        log: Log,
        revision: int,
        clock: Clock,
        chance: Chance,
        observer: Observer | None = None,
        keys: Keys | None = None,
    ) -> None:
        observer = observer or ReceiverWatch(clock, config.log.accepted)
        self._keys = keys or Keys(clock, observer=observer)
        settings = config.receiver
        self.acceptor = Acceptor(
            log,
            clock,
            chance,
            group_limit=settings.group_limit,
            waiting_limit=settings.waiting_limit,
            commit_timeout_s=settings.commit_timeout,
            observer=observer,
        )
        rules = Rules.of(config, presets, revision, self._keys)
        self._endpoint = Endpoint(rules, self.acceptor, Bodies(settings.body_timeout), self._keys, clock, observer)
        self.app = _Front(
            self._endpoint,
            routes=[Route(f"{SOURCES}{{source}}", self._endpoint), Route("/healthz", _Fixed(_ALIVE))],
            lifespan=self._lifespan,
        )
        self.app.router.redirect_slashes = False  # senders count a redirect as failure, or lose the event by it
        self.app.router.default = _not_found
        self.app.state.receiver = self

    @property
    def revision(self) -> int:
        """The revision in force."""
        return self._endpoint.rules.revision

    def swap(self, config: Config, presets: Mapping[str, Preset], revision: int) -> None:
        """Let requests that begin from now on find these sources. Raises ConfigurationError, changing nothing.

        Limits of the receiver itself (`group_limit`, `waiting_limit`, timeouts, `listen`) change at a restart.
        """
        self._endpoint.rules = Rules.of(config, presets, revision, self._keys)

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        self.acceptor.start()
        self._keys.start()
        try:
            yield
        finally:
            await self._keys.close()
            await self.acceptor.close()


def build(
    config: Config,
    presets: Mapping[str, Preset],
    log: Log,
    revision: int,
    clock: Clock,
    chance: Chance,
    observer: Observer | None = None,
    keys: Keys | None = None,
) -> Starlette:
    """The receiver's ASGI application.

    `observer`: what is told of its work (default: log lines and metrics). `keys`: the keys that platforms publish.
    `app.state.receiver` is the Receiver, whose `swap` changes the sources.

    Its lifespan starts and drains the acceptor. Raises ConfigurationError for sources that cannot be served.
    """
    return Receiver(config, presets, log, revision, clock, chance, observer, keys).app


async def _say(send: Send, reply: Answer) -> None:
    await send(reply[0])
    await send(reply[1])


class _Fixed:
    """One answer to GET and HEAD, whatever is asked."""

    def __init__(self, reply: Answer) -> None:
        self._reply = reply

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  ASGI's signature
        reply = self._reply
        if scope["method"] not in {"GET", "HEAD"}:
            reply = problem(Cause.METHOD_NOT_ALLOWED, headers=(("allow", "GET, HEAD"),))
        await _say(send, reply)


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001  ASGI's signature
    """Every other path; a WebSocket is closed."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000, "reason": ""})
        return
    await _say(send, problem(Cause.UNKNOWN_SOURCE, "there is nothing here"))
