"""Altcraft's platform API, as VENDORS describes it: errors in the body of a 200, profiles with five ways of matching,
JSON and XML, and the memory of requests that swallows repetitions for a day.
"""

import base64
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Any, Literal
from xml.parsers.expat import ExpatError

import msgspec
import xmltodict
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway import document
from gateway.clock import Chance, Clock
from gateway.sandbox.altcraft_profiles import TEXTS, Profiles, Wrong, check, query_of
from gateway.sandbox.api import Api, Handled, Refused, handled_of, kind_of, turn_away
from gateway.sandbox.faults import asked
from gateway.sandbox.simulator import Figure, masked
from gateway.sandbox.windows import SlidingLog
from gateway.sandbox.witness import Witness

BATCH_ADVISED = 10_000
TARIFF, TARIFF_REST_S = "tariff", 3_000.0
"""A tariff that is used up is not topped up within the hour."""
DATABASES_MAX = 100
MEMORY_MAX = 100_000
PAGE = 1_000
CHANGING = frozenset(f"profiles/{way}{many}" for way in ("import", "add", "update") for many in ("", "_batch"))
READING = frozenset({"profiles/get", "profiles/list", "databases/list"})
METHODS = CHANGING | READING | {"profiles/delete"}
HEADER_NAMES = {"old": ("x-request-id",), "new": ("request-id",), "both": ("request-id", "x-request-id")}
_HOP = frozenset({"host", "content-length", "connection", "accept-encoding", "user-agent", "date"})


class Rules(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the simulated Altcraft allows. Sources: Altcraft requests format and developer guide; see VENDORS for what
    is inferred.

    `http_status`: body (200 whatever the body says) or mirror. `databases` None: any. `resources`: the database each
    subscription resource belongs to (empty: any). `denied`: methods the token has no right to. `tariff`: changes until
    the tariff is used up. `header_era`: which spelling of the request id counts. `memory_s`: how long a request is
    remembered. `replay_errors`: whether an error is repeated from memory as well.
    """

    http_status: Literal["body", "mirror"] = "body"
    databases: tuple[int, ...] | None = None
    resources: dict[str, int] = {}
    denied: tuple[str, ...] = ()
    tariff: int | None = None
    requests_per_s: int | None = None
    header_era: Literal["old", "new", "both"] = "both"
    memory_s: float = 86_400.0
    replay_errors: bool = True
    unique: tuple[str, ...] = ("email",)
    body_bytes: int = 10_000_000


class Remembered(Struct, frozen=True):
    """A request that was answered: its key, when, what it was, what it got."""

    key: str
    at_s: float
    checksum: str
    said: dict[str, Any]


class Altcraft(Api):
    """The API, mounted so that `base_url` is `http://host:port/altcraft`. `tokens`: those it knows (None: any)."""

    name = "altcraft"
    title = "Altcraft Marketing"
    hint = "/altcraft"
    plays = frozenset({"forced_429", "busy", "expired_token"})

    def __init__(
        self, clock: Clock, chance: Chance, rules: Rules | None = None, tokens: Collection[str] | None = None
    ) -> None:
        self.rules = rules or Rules()
        self._clock = clock
        self._chance = chance
        self._tokens = tokens
        self.reset()
        super().__init__()

    def reset(self) -> None:
        self.witness = Witness(self._clock)
        self.databases: dict[int, Profiles] = {}
        self.remembered: OrderedDict[str, Remembered] = OrderedDict()
        self.changes = self.swallowed = 0
        self._follow()

    def _follow(self) -> None:
        self.body_max_bytes = self.rules.body_bytes
        allow = self.rules.requests_per_s
        self._limit = SlidingLog(allow, 1.0) if allow else None

    def routes(self) -> list[Route]:
        return [Route("/api/v1.1/{method:path}", self._call, methods=["POST"])]

    def witness_of(self, _request: Request, /) -> Witness | None:
        return self.witness

    def refusal(self, request: Request, refused: Refused, /) -> Response:
        """HTTP's own errors: a body too large, too many requests."""
        return _written(request, {"error": refused.status, "error_text": refused.message}, refused.status)

    # --- a call ------------------------------------------------------------------------------------------------------

    async def _call(self, request: Request) -> Response:
        if self._limit is not None and not self._limit.take(self._clock.monotonic_s()):
            raise Refused(429, "Too many requests", "rate_limit")
        turn_away(request)
        if asked(request.scope) == "forced_429":
            raise Refused(429, "Too many requests")
        method = request.path_params["method"]
        handled_of(request).what = method
        body = await self.body(request)
        try:
            content = _read(request, body)
            self._admit(request, method, content)
        except Wrong as wrong:
            return self._wrong(request, wrong)
        if method not in CHANGING:
            return self._answer(request, self._done(method, content, request))
        return self._once(request, method, content, body)

    def _admit(self, request: Request, method: str, content: dict[str, Any]) -> None:
        """Token, method, rights, database: in this order."""
        if "token" in request.query_params:
            self.witness.breach("token_in_url")
        token = str(content.get("token") or request.query_params.get("token") or _bearer(request))
        known = bool(token) if self._tokens is None else token in self._tokens
        if asked(request.scope) == "expired_token":
            raise Wrong(401)
        if not known:
            raise Wrong(401, rule="unknown_token")
        if method not in METHODS:
            raise Wrong(501, method, "no_such_method")
        if method in self.rules.denied:
            raise Wrong(403, method)
        if method != "databases/list":
            self._database(content)
        if method in CHANGING:
            self.witness.back(TARIFF)
        request.scope["altcraft.token"] = masked(token) + hashlib.blake2b(token.encode(), digest_size=4).hexdigest()

    def _database(self, content: dict[str, Any]) -> Profiles:
        number = _whole(content.get("db_id"))
        if number is None:
            raise Wrong(400, "db_id is required", "incorrect_request")
        if self.rules.databases is not None and number not in self.rules.databases:
            raise Wrong(404, "database", "unknown_database")
        resource = content.get("resource_id")
        if resource is not None and self.rules.resources and self.rules.resources.get(str(resource)) != number:
            raise Wrong(413, rule="wrong_resource")
        if number not in self.databases and len(self.databases) >= DATABASES_MAX:
            raise Wrong(404, "database", "unknown_database")
        return self.databases.setdefault(number, Profiles(self._chance, self.rules.unique))

    # --- the memory of requests --------------------------------------------------------------------------------------

    def _once(self, request: Request, method: str, content: dict[str, Any], body: bytes) -> Response:
        """Do it, or say again what was said when it was done."""
        checksum = _checksum(request, body)
        key = self._key(request, checksum)
        known = self._recall(key)
        if known is None:
            said = self._done(method, content, request)
            if self.rules.replay_errors or said["error"] == 0:
                self._remember(Remembered(key, self._clock.monotonic_s(), checksum, said))
            return self._answer(request, said)
        self.swallowed += 1
        if key.endswith(checksum):
            self.witness.breach("dropped_as_duplicate", method)
        elif known.checksum != checksum:
            self.witness.breach("request_id_reused", method)
        return self._answer(request, known.said, _duplicate_headers(key))

    def _key(self, request: Request, checksum: str) -> str:
        given = [request.headers.get(name) for name in HEADER_NAMES[self.rules.header_era]]
        ids = [one for one in given if one]
        if not ids:
            self.witness.breach("request_id_missing")
        if len(set(ids)) > 1:
            self.witness.breach("request_ids_differ")
        return f"{request.scope['altcraft.token']}:{ids[0] if ids else checksum}"

    def _recall(self, key: str) -> Remembered | None:
        known = self.remembered.get(key)
        if known is None or self._clock.monotonic_s() - known.at_s >= self.rules.memory_s:
            return None
        return known

    def _remember(self, one: Remembered) -> None:
        self.remembered[one.key] = one
        self.remembered.move_to_end(one.key)
        if len(self.remembered) > MEMORY_MAX:
            self.remembered.popitem(last=False)

    # --- the methods -------------------------------------------------------------------------------------------------

    def _done(self, method: str, content: dict[str, Any], request: Request) -> dict[str, Any]:
        try:
            return {"error": 0, "error_text": TEXTS[0], **self._do(method, content, request)}
        except Wrong as wrong:
            return self._said(wrong)

    def _do(self, method: str, content: dict[str, Any], request: Request) -> dict[str, Any]:
        if asked(request.scope) == "busy":
            raise Wrong(500)
        if method == "databases/list":
            return {"data": [{"id": number, "profiles": len(one)} for number, one in self.databases.items()]}
        database = self._database(content)
        if method.endswith("_batch"):
            return self._write_many(database, method, content, request)
        if method in CHANGING:
            return {"profile_id": self._write(database, method, content, content, handled_of(request))}
        if method == "profiles/list":
            names = sorted(name for name, _ in database.items() if name > str(content.get("from_id", "")))
            limit = min(_whole(content.get("limit")) or PAGE, PAGE)
            return {"data": [{"_id": name, **database.get(name)} for name in names[:limit]]}
        name = self._named(database, content)
        if method == "profiles/get":
            return {"data": {"_id": name, **database.get(name)}}
        database.delete(name)
        return {}

    def _write_many(self, database: Profiles, method: str, content: dict[str, Any], request: Request) -> dict[str, Any]:
        items = content.get("data")
        items = [items] if isinstance(items, dict) else items
        if not isinstance(items, list) or not items or not all(isinstance(one, dict) for one in items):
            raise Wrong(400, "data is a list of profiles", "incorrect_request")
        if len(items) > BATCH_ADVISED:
            self.witness.breach("batch_too_large", str(len(items)))
        handled = handled_of(request)
        results: list[dict[str, Any]] = []
        for item in items:
            try:
                results.append({"error": 0, "profile_id": self._write(database, method, content, item, handled)})
            except Wrong as wrong:
                results.append(self._said(wrong))
        return {"result": results}

    def _write(
        self, database: Profiles, method: str, content: dict[str, Any], item: dict[str, Any], handled: Handled
    ) -> str:
        handled.records += 1
        if self.rules.tariff is not None and self.changes >= self.rules.tariff:
            self.witness.rest(TARIFF, TARIFF_REST_S)
            raise Wrong(402)
        query = query_of(item, str(item.get("matching") or content.get("matching") or "email"))
        data = check({} if item.get("data") is None else item["data"])
        if any(value is None for value in data.values()):
            self.witness.breach("null_value", query.index)
        counted = f"{content.get('db_id')}:{query.index}:{query.value}"
        if counted not in handled.keys:
            handled.keys += self.witness.enter([counted])
        self.witness.came(counted, document.dump(item))
        way = method.removeprefix("profiles/").removesuffix("_batch")
        name = database.write(query, data, way)
        self.changes += 1
        return name

    def _named(self, database: Profiles, content: dict[str, Any]) -> str:
        name = database.find(query_of(content, str(content.get("matching", "email"))))
        if name is None:
            raise Wrong(404, "profile", "not_found")
        return name

    # --- answering ---------------------------------------------------------------------------------------------------

    def _said(self, wrong: Wrong) -> dict[str, Any]:
        if wrong.rule:
            self.witness.breach(wrong.rule, wrong.text)
        return {"error": wrong.code, "error_text": wrong.text}

    def _wrong(self, request: Request, wrong: Wrong) -> Response:
        return self._answer(request, self._said(wrong))

    def _answer(self, request: Request, said: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
        code = said["error"]
        mirrored = code if self.rules.http_status == "mirror" and code in _MIRRORED else 400
        status = 200 if code == 0 or self.rules.http_status == "body" else mirrored
        return _written(request, said, status, headers)

    # --- for the server and for tests --------------------------------------------------------------------------------

    def view(self) -> dict[str, Any]:
        return {
            "vendor": self.name,
            "rules": msgspec.to_builtins(self.rules),
            "databases": {str(number): {"profiles": len(one)} for number, one in self.databases.items()},
            "changes": self.changes,
            "swallowed": self.swallowed,
            "remembered": len(self.remembered),
            **self.witness.view(),
        }

    def figures(self) -> list[Figure]:
        breaches = self.witness.broken.total()
        return [
            Figure("requests", str(self.witness.statuses.total())),
            Figure("profiles", str(sum(map(len, self.databases.values())))),
            Figure("changes", str(self.changes)),
            Figure("repetitions swallowed", str(self.swallowed)),
            Figure("rules broken", str(breaches), breaches > 0),
        ]

    def adjust(self, change: dict[str, Any]) -> None:
        self.rules = msgspec.convert({**msgspec.to_builtins(self.rules), **change}, Rules)
        self._follow()


LISTS = ("phones", "subscriptions")
"""Fields that hold lists: in XML an element that stands once is a list of one there."""

_MIRRORED = frozenset({400, 401, 403, 404, 413, 415, 500, 501})


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else ""


def _whole(value: Any) -> int | None:
    """A whole number, written as one or (in XML) as text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    return value if isinstance(value, int) else None


def _read(request: Request, body: bytes) -> dict[str, Any]:
    """The request's document, by its content type. Raises Wrong: 415, or 400 where it cannot be read."""
    kind = kind_of(request)
    readers: dict[str, Callable[[bytes], Any]] = {
        "application/json": document.parse,
        "application/xml": lambda text: next(iter(xmltodict.parse(text, force_list=LISTS).values())),
    }
    if kind not in readers:
        raise Wrong(415, kind, "content_type")
    try:
        content = readers[kind](body)
    except (ValueError, ExpatError) as error:
        raise Wrong(400, str(error)[:100], "unreadable") from None
    if not isinstance(content, dict):
        raise Wrong(400, "an object is expected", "incorrect_request")
    return content


def _written(request: Request, said: dict[str, Any], status: int, headers: dict[str, str] | None = None) -> Response:
    """The answer in the format that the request asks for."""
    wanted = request.query_params.get("format") or request.headers.get("accept", "")
    if "xml" in wanted and "json" not in wanted:
        return Response(xmltodict.unparse({"xml": said}), status, headers, "application/xml")
    return Response(document.dump(said), status, headers, "application/json")


def _checksum(request: Request, body: bytes) -> str:
    """What tells two requests without an id apart: address, headers, body."""
    kept = sorted((name, value) for name, value in request.headers.items() if name not in _HOP)
    text = document.dump([request.url.path, request.url.query, kept])
    return hashlib.blake2b(text + body, digest_size=16).hexdigest()


def _duplicate_headers(key: str) -> dict[str, str]:
    """Both spellings: the Confluence pages' and the current ones'."""
    shown = base64.b64encode(key.encode()).decode()
    pairs = {"Duplicate-Key": shown, "Duplicate-Request": "true"}
    return pairs | {f"X-{name}": value for name, value in pairs.items()}
