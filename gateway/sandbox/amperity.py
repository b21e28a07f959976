"""Amperity, as VENDORS describes it: streaming ingest, real-time events, the control plane with versions and cursors,
and tokens that expire.
"""

import base64
import hashlib
import hmac
import math
from collections import Counter, deque
from typing import Any
from urllib.parse import parse_qs
from xml.parsers.expat import ExpatError

import msgspec
import xmltodict
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway import document
from gateway.clock import Chance, Clock
from gateway.sandbox.amperity_control import Control
from gateway.sandbox.api import Api, Refused, answer, handled_of, kind_of, path_of, turn_away
from gateway.sandbox.faults import asked
from gateway.sandbox.simulator import Figure, masked
from gateway.sandbox.windows import SlidingLog
from gateway.sandbox.witness import Witness

STREAM_MAX_BYTES = 1 << 20
EVENT_MAX_BYTES = 64 << 10
ROWS_KEPT = 10_000
STREAMS_MAX = 100
ROW_IDS = ("event_id", "gateway_event_id")
ROW_KEYS = (*ROW_IDS, "id", "_id")
VERSION = "2024-04-01"


class Rules(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the simulated Amperity allows. Sources: Amperity API, streaming and OpenAPI documents; see VENDORS for what
    is inferred.

    `tenant` empty: any. `clients`: ids and secrets (None: any). `tokens`: given ones that are known (None: any).
    `expires_in_s`: how long an issued token lives. `revoked_before_ms`: tokens issued earlier are refused. `streams`
    None: any. `closed`: real-time streams that take nothing now; `dropping`: those that take and drop.
    """

    api_per_s: int = 10
    stream_per_s: int = 1_000
    tenant: str = ""
    clients: dict[str, str] | None = None
    tokens: tuple[str, ...] | None = None
    expires_in_s: int = 3_600
    revoked_before_ms: int = 0
    streams: tuple[str, ...] | None = None
    closed: tuple[str, ...] = ()
    dropping: tuple[str, ...] = ()
    cursor_s: float = 300.0


class Stream(Struct):
    """What one stream got: its payload type, the latest rows, how many in all."""

    kind: str
    rows: deque[dict[str, Any]]
    count: int = 0
    bytes: int = 0


class Amperity(Api):
    """One tenant, mounted so that `base_url` is `http://host:port/amperity`."""

    name = "amperity"
    title = "Amperity"
    hint = "/amperity"
    plays = frozenset({"forced_429", "busy", "expired_token"})

    def __init__(self, clock: Clock, chance: Chance, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self._clock = clock
        self._chance = chance
        self._secret = chance.nonce(32)
        self.reset()
        super().__init__()

    def reset(self) -> None:
        self.witness = Witness(self._clock)
        self.streams: dict[str, Stream] = {}
        self.events: Counter[str] = Counter()
        self.tokens_issued = 0
        self.control = Control(self._clock, self._chance, self.rules.cursor_s)
        self._follow()

    def _follow(self) -> None:
        self.limits = {
            "api": SlidingLog(self.rules.api_per_s, 1.0),
            "stream": SlidingLog(self.rules.stream_per_s, 1.0),
        }
        self.control.cursor_s = self.rules.cursor_s

    def routes(self) -> list[Route]:
        return [
            Route("/api/v0/oauth2/token", self._token, methods=["POST"]),
            Route("/stream/v0/data/{stream}", self._stream, methods=["POST"]),
            Route("/prof/events/{stream}", self._event, methods=["POST"]),
            Route("/api/workflow/runs", self._start, methods=["POST"]),
            Route("/api/workflow/runs/{id}/stop", self._stop, methods=["POST"]),
            Route("/api/workflow/runs/{id}", self._run, methods=["GET"]),
            Route("/api/ingest/jobs/{id}", self._job, methods=["GET"]),
            Route("/api/{listing:path}", self._list, methods=["GET"]),
        ]

    def witness_of(self, _request: Request, /) -> Witness | None:
        return self.witness

    def refusal(self, _request: Request, refused: Refused, /) -> Response:
        ids = {"request_id": self._chance.nonce(8).hex(), "trace_id": self._chance.nonce(8).hex()}
        return answer({"status": refused.status, "message": refused.message, **ids}, refused.status)

    # --- who is asking, and how often --------------------------------------------------------------------------------

    def _enter(self, request: Request, limit: str | None, *, version: bool = False) -> None:
        """Token, tenant, version, limit: in this order."""
        self._bearer(request)
        self._tenant(request)
        if version:
            given = request.headers.get("api-version") or request.query_params.get("api_version")
            if given != VERSION:
                raise Refused(400, "Unsupported API version", "wrong_version", str(given))
        self._count(limit)
        turn_away(request)
        if asked(request.scope) == "forced_429":
            raise Refused(429, "Too many requests")
        if asked(request.scope) == "busy":
            raise Refused(503, "Service unavailable")

    def _count(self, limit: str | None) -> None:
        if limit is not None and not self.limits[limit].take(self._clock.monotonic_s()):
            raise Refused(429, "Too many requests", "rate_limit", limit)

    def _tenant(self, request: Request) -> None:
        given = {request.headers.get(name) for name in ("amperity-tenant", "x-amperity-tenant")} - {None, ""}
        streaming = path_of(request.scope).startswith(("/stream/", "/api/v0/oauth2/"))
        own = "x-amperity-tenant" if streaming else "amperity-tenant"
        if given and own not in request.headers:
            self.witness.breach("tenant_header", own)
        if len(given) != 1 or (self.rules.tenant and given != {self.rules.tenant}):
            raise Refused(403, "Tenant is not allowed", "wrong_tenant", ", ".join(map(str, given)))

    def _bearer(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refused(401, "Token is missing", "token_missing")
        claims = self._claims(token)
        if claims is not None:
            self.witness.back(_named(token), "refused_token_used")
        if asked(request.scope) == "expired_token":
            self.witness.rest(_named(token), math.inf)
            raise Refused(401, "Token is expired")
        if claims is None:
            if self.rules.tokens is not None and token not in self.rules.tokens:
                raise Refused(401, "Token is invalid", "unknown_token", masked(token))
        elif claims["exp"] <= self._clock.now_ms() // 1000 or claims["iat_ms"] < self.rules.revoked_before_ms:
            raise Refused(401, "Token is expired", "expired_token")

    # --- tokens ------------------------------------------------------------------------------------------------------

    async def _token(self, request: Request) -> Response:
        self._tenant(request)
        self._count("api")
        turn_away(request)
        fields = {name: values[-1] for name, values in parse_qs((await self.body(request)).decode("latin-1")).items()}
        client = fields.get("client_id", "")
        handled_of(request).keys = self.witness.enter([f"token:{client}"])
        if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            raise Refused(400, "a form is expected", "content_type")
        if fields.get("grant_type") != "client_credentials":
            raise Refused(400, "unsupported grant type", "wrong_grant")
        secret, clients = fields.get("client_secret", ""), self.rules.clients
        known = bool(client and secret) if clients is None else bool(secret) and clients.get(client) == secret
        if not known:
            raise Refused(401, "Client is unknown", "unknown_client", masked(client))
        self.tokens_issued += 1
        body = {"access_token": self._issued(client), "expires_in": self.rules.expires_in_s, "token_type": "Bearer"}
        return answer(body)

    def _issued(self, client: str) -> str:
        now_ms = self._clock.now_ms()
        claims = {"sub": client, "iat_ms": now_ms, "exp": now_ms // 1000 + self.rules.expires_in_s}
        text = f"{_text(document.dump({'alg': 'HS256', 'typ': 'JWT'}))}.{_text(document.dump(claims))}"
        return f"{text}.{self._signature(text)}"

    def _signature(self, text: str) -> str:
        return _text(hmac.new(self._secret, text.encode(), hashlib.sha256).digest())

    def _claims(self, token: str) -> dict[str, Any] | None:
        """The claims of a token that was issued here; None for any other."""
        text, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(text).encode()):
            return None
        body = text.partition(".")[2]
        claims: dict[str, Any] = document.parse(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return claims

    # --- ingest ------------------------------------------------------------------------------------------------------

    async def _stream(self, request: Request) -> Response:
        self._enter(request, "stream")
        name = request.path_params["stream"]
        if self.rules.streams is not None and name not in self.rules.streams:
            raise Refused(400, "Unknown stream", "unknown_stream", name)
        kind = kind_of(request)
        body = await self.body(request)
        if len(body) > STREAM_MAX_BYTES:
            raise Refused(413, "Payload too large", "record_too_large", str(len(body)))
        rows = self._rows(kind, body)
        stream = self._opened(name, kind)
        handled = handled_of(request)
        handled.records, handled.what = len(rows), name
        keys = [f"{name}:{_key(row, body)}" for row in rows]
        handled.keys = self.witness.enter(keys)
        for key, row in zip(keys, rows, strict=True):
            self.witness.came(key, document.dump(row))
            stream.rows.append(row)
        stream.count += len(rows)
        stream.bytes += len(body)
        return Response(status_code=202)

    def _rows(self, kind: str, body: bytes) -> list[dict[str, Any]]:
        """The rows of a payload: one JSON object, or `<records>`, which is not looked at closely at once."""
        if kind == "application/json":
            try:
                row = document.parse(body)
            except document.Unreadable as error:
                raise Refused(400, "Malformed JSON", "unreadable", str(error)) from None
            if not isinstance(row, dict):
                raise Refused(400, "One JSON object is expected", "not_an_object")
            if not any(row.get(name) for name in ROW_IDS):
                self.witness.breach("row_without_event_id")
            if any(isinstance(value, dict | list) for value in row.values()):
                self.witness.breach("nested_row", next(k for k, v in row.items() if isinstance(v, dict | list)))
            return [row]
        if kind != "application/xml":
            raise Refused(400, "Unsupported content type", "content_type", kind)
        return _xml_rows(body)

    def _opened(self, name: str, kind: str) -> Stream:
        stream = self.streams.get(name)
        if stream is None:
            if len(self.streams) >= STREAMS_MAX:
                raise Refused(400, "Unknown stream", "unknown_stream", name)
            stream = self.streams[name] = Stream(kind, deque(maxlen=ROWS_KEPT))
        if stream.kind != kind:
            raise Refused(400, "The stream takes another payload type", "mixed_types", kind)
        return stream

    async def _event(self, request: Request) -> Response:
        self._enter(request, None)
        name = request.path_params["stream"]
        if self.rules.streams is not None and name not in self.rules.streams:
            raise Refused(404, "Unknown stream", "unknown_stream", name)
        if name in self.rules.closed:
            raise Refused(409, "The stream does not accept events")
        if "content-length" not in request.headers:
            raise Refused(411, "Content-Length is required", "length_missing")
        if kind_of(request) != "application/json":
            raise Refused(415, "Unsupported content type", "content_type")
        if int(request.headers["content-length"]) > EVENT_MAX_BYTES:
            raise Refused(413, "Payload too large", "record_too_large", request.headers["content-length"])
        content = await self.json(request)
        if not isinstance(content, dict):
            raise Refused(400, "One JSON object is expected", "not_an_object")
        self.witness.came(f"{name}:{_key(content, b'')}", document.dump(content))
        self.events[name] += 1
        return Response(status_code=204 if name in self.rules.dropping else 202)

    # --- the control plane -------------------------------------------------------------------------------------------

    async def _list(self, request: Request) -> Response:
        self._enter(request, "api", version=True)
        return answer(self.control.page(request.path_params["listing"], dict(request.query_params)))

    async def _job(self, request: Request) -> Response:
        self._enter(request, "api", version=True)
        return answer(self.control.one("ingest/jobs", request.path_params["id"]))

    async def _run(self, request: Request) -> Response:
        self._enter(request, "api", version=True)
        return answer(self.control.run(request.path_params["id"]))

    async def _start(self, request: Request) -> Response:
        self._enter(request, "api", version=True)
        wanted = await self.json(request)
        if not isinstance(wanted, dict) or not isinstance(wanted.get("config_id"), str):
            raise Refused(400, "config_id is required", "malformed_record")
        self.witness.came(f"workflow:{wanted['config_id']}", document.dump(wanted))
        return answer(self.control.start(wanted, self.rules.tenant), 201)

    async def _stop(self, request: Request) -> Response:
        self._enter(request, "api", version=True)
        return answer(self.control.stop(request.path_params["id"]))

    # --- for the server and for tests --------------------------------------------------------------------------------

    def view(self) -> dict[str, Any]:
        streams = {
            name: {"type": one.kind, "rows": one.count, "bytes": one.bytes, "latest": list(one.rows)[-100:]}
            for name, one in self.streams.items()
        }
        return {
            "vendor": self.name,
            "rules": msgspec.to_builtins(self.rules) | {"clients": None, "tokens": None},
            "streams": streams,
            "events": dict(self.events),
            "tokens_issued": self.tokens_issued,
            "workflows": self.control.runs_started(),
            **self.witness.view(),
        }

    def figures(self) -> list[Figure]:
        breaches = self.witness.broken.total()
        again = sum(seen.times - 1 for seen in self.witness.received.values())
        return [
            Figure("requests", str(self.witness.statuses.total())),
            *(Figure(name, str(one.count)) for name, one in list(self.streams.items())[:20]),
            Figure("received again", str(again)),
            Figure("tokens issued", str(self.tokens_issued)),
            Figure("rules broken", str(breaches), breaches > 0),
        ]

    def adjust(self, change: dict[str, Any]) -> None:
        self.rules = msgspec.convert({**msgspec.to_builtins(self.rules), **change}, Rules)
        self._follow()


def _xml_rows(body: bytes) -> list[dict[str, Any]]:
    """The records of `<records>`. What cannot be read is taken as well, as one row without content."""
    try:
        content = xmltodict.parse(body, force_list=("record",))
    except (ExpatError, ValueError):
        return [{}]
    records = (content.get("records") or {}).get("record", [])
    return [one if isinstance(one, dict) else {} for one in records] or [{}]


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _named(token: str) -> str:
    """A token by a name that does not tell it."""
    return f"token {hashlib.blake2b(token.encode(), digest_size=4).hexdigest()}"


def _key(row: dict[str, Any], body: bytes) -> str:
    """By what a row is counted: the id that it carries, else its own bytes."""
    known = next((str(row[name]) for name in ROW_KEYS if row.get(name) is not None), None)
    return known or hashlib.blake2b(document.dump(row) if row else body, digest_size=8).hexdigest()
