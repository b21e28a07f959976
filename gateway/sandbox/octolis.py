"""Octolis' Data API, as VENDORS describes it: datasets with dedup keys and master records, results per item, points
over key and account, prepared records, webhooks.
"""

import csv
import hashlib
import io
import math
from collections import Counter, deque
from collections.abc import Callable, Collection
from typing import Any, Literal

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway import document
from gateway.clock import Chance, Clock
from gateway.sandbox.api import Api, Refused, answer, handled_of, kind_of, turn_away
from gateway.sandbox.faults import asked
from gateway.sandbox.octolis_dataset import Dataset, Shape, Written, iso_times
from gateway.sandbox.simulator import Figure, integer, masked
from gateway.sandbox.windows import Bursty, FixedWindow
from gateway.sandbox.witness import Witness

DATASETS_MAX = 1_000
KEYS_MAX = 100
PAGE_MAX = 50_000
HOOKS_KEPT = 2_000
BUSY = {"detail": "The dataset is being processed, try again in a few seconds"}
BUSY_REST_S = 4.5
"""A busy dataset is left alone for about five seconds."""
READ_POINTS, WRITE_POINTS = 1, 10


class Hook(Struct, frozen=True, forbid_unknown_fields=True):
    """Who may call a webhook: methods, and headers that each request must carry."""

    methods: tuple[str, ...] = ("POST", "PUT")
    headers: dict[str, str] = {}


class Rules(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the simulated Octolis allows. Figures: Octolis data API collection; see VENDORS for what is inferred.

    `datasets`: those that are set up; `open`: any other is made on its first write, taking every column.
    `float_digits`: what "six digits" means. `busy`: datasets that answer 423 until they are taken out.
    """

    key_points: float = 25
    key_per_s: float = 1.0
    burst_points: float = 150
    burst_per_s: float = 60.0
    account_points: float = 2_000
    account_per_s: float = 60.0
    records: int = 500
    prep_delay_s: float = 2.0
    float_digits: Literal["decimals", "significant"] = "decimals"
    open: bool = True
    datasets: dict[str, Shape] = {}
    busy: tuple[str, ...] = ()
    hooks: dict[str, Hook] = {}


class Octolis(Api):
    """The API, one account, mounted so that `base_url` is `http://host:port/octolis/v1/data`. `keys`: those it knows
    (None: any).
    """

    name = "octolis"
    title = "Octolis Data API"
    hint = "/octolis/v1/data"
    plays = frozenset({"forced_429", "busy", "expired_token"})

    def __init__(
        self, clock: Clock, chance: Chance, rules: Rules | None = None, keys: Collection[str] | None = None
    ) -> None:
        self.rules = rules or Rules()
        self._clock = clock
        self._chance = chance
        self._keys = keys
        self.reset()
        super().__init__()

    def reset(self) -> None:
        self.witness = Witness(self._clock)
        self.datasets: dict[str, Dataset] = {}
        self.hooked: deque[dict[str, Any]] = deque(maxlen=HOOKS_KEPT)
        self.points: Counter[str] = Counter()
        self._windows()

    def _windows(self) -> None:
        self._by_key: dict[str, Bursty] = {}
        self._account = FixedWindow(self.rules.account_points, self.rules.account_per_s)

    def routes(self) -> list[Route]:
        records = "/v1/data/datasets/{dataset}/records"
        return [
            Route(records, self._upsert, methods=["POST"]),
            Route(records, self._list, methods=["GET"]),
            Route(f"{records}/batch", self._upsert_many, methods=["POST"]),
            Route(f"{records}/batch", self._update_many, methods=["PATCH"]),
            Route(f"{records}/count", self._count, methods=["GET"]),
            Route(f"{records}/{{master}}", self._update, methods=["PATCH"]),
            Route(f"{records}/{{master}}", self._get, methods=["GET"]),
            Route("/v1/data/webhook/{hook}", self._hook, methods=["POST", "PUT", "GET", "PATCH", "DELETE"]),
        ]

    def witness_of(self, _request: Request, /) -> Witness | None:
        return self.witness

    def refusal(self, _request: Request, refused: Refused, /) -> Response:
        headers = self._traced() | refused.more.pop("headers", {})
        return answer(self._error(refused), refused.status, headers)

    def _error(self, refused: Refused) -> dict[str, Any]:
        return {"title": refused.message, "detail": refused.message, "status": refused.status, **refused.more}

    def _traced(self) -> dict[str, str]:
        """The headers that Octolis' support asks for."""
        trace, span = self._chance.nonce(16).hex(), self._chance.nonce(8).hex()
        return {"apigw-requestid": self._chance.nonce(9).hex(), "traceparent": f"00-{trace}-{span}-00"}

    def _say(self, body: Any) -> Response:
        return answer(body, 200, self._traced())

    # --- before anything ---------------------------------------------------------------------------------------------

    def _enter(self, request: Request, points: int) -> None:
        """Key, headers, points, in this order."""
        key = request.query_params.get("api-key", "")
        known = bool(key) if self._keys is None else key in self._keys
        if not known:
            raise Refused(401, "Unauthorized", "unknown_key", masked(key))
        self._headers(request)
        self.witness.back(f"key {masked(key)}")
        self._spend(key, points)
        turn_away(request)
        if asked(request.scope) == "expired_token":
            raise Refused(401, "Unauthorized")
        if asked(request.scope) == "forced_429":
            self.witness.rest(f"key {masked(key)}", 1.0)
            raise Refused(429, "Too many requests", more={"headers": {"Retry-After": "1"}})

    def _headers(self, request: Request) -> None:
        accepts = [part.split(";")[0].strip() for part in request.headers.get("accept", "").split(",")]
        if "*/*" not in accepts:
            raise Refused(400, "Bad request", "header_missing", "Accept: */*")
        if kind_of(request) != "application/json":
            raise Refused(400, "Bad request", "header_missing", "Content-Type: application/json")

    def _spend(self, key: str, points: int) -> None:
        now_s = self._clock.monotonic_s()
        if key not in self._by_key and len(self._by_key) >= KEYS_MAX:
            raise Refused(401, "Unauthorized", "unknown_key", masked(key))
        rules = self.rules
        limit = self._by_key.setdefault(
            key,
            Bursty(FixedWindow(rules.key_points, rules.key_per_s), FixedWindow(rules.burst_points, rules.burst_per_s)),
        )
        if not limit.take(now_s, points):
            self.witness.rest(f"key {masked(key)}", limit.wait_s(now_s))
            raise self._too_fast("rate_limit_key", limit.wait_s(now_s))
        if not self._account.take(now_s, points):
            raise self._too_fast("rate_limit_account", self._account.wait_s(now_s))
        self.points[masked(key)] += points

    def _too_fast(self, rule: str, wait_s: float) -> Refused:
        wait = max(1, math.ceil(wait_s))
        return Refused(429, "Too many requests", rule, f"for {wait} s", {"headers": {"Retry-After": str(wait)}})

    def _dataset(self, request: Request, *, write: bool) -> Dataset:
        name = request.path_params["dataset"]
        dataset = self.datasets.get(name) or self._made(name, write=write)
        if dataset is None:
            raise Refused(404, "Dataset not found", "unknown_dataset", name)
        if write and dataset.shape.kind == "sql":
            raise Refused(400, "SQL datasets are read-only", "read_only", name)
        if write:
            self.witness.back(f"dataset {name}")
        if write and (name in self.rules.busy or asked(request.scope) == "busy"):
            self.witness.rest(f"dataset {name}", BUSY_REST_S)
            raise Refused(423, "Dataset is busy", more=BUSY)
        handled_of(request).what = name
        return dataset

    def _made(self, name: str, *, write: bool) -> Dataset | None:
        shape = self.rules.datasets.get(name)
        if (shape is None and not (self.rules.open and write)) or len(self.datasets) >= DATASETS_MAX:
            return None
        significant = self.rules.float_digits == "significant"
        made = Dataset(shape or Shape(), self._clock, self._chance, self.rules.prep_delay_s, significant=significant)
        self.datasets[name] = made
        return made

    # --- writing -----------------------------------------------------------------------------------------------------

    async def _upsert(self, request: Request) -> Response:
        self._enter(request, WRITE_POINTS)
        dataset = self._dataset(request, write=True)
        given = await self.json(request)
        self._came(request, dataset, [given])
        return self._say(dataset.upsert(given).body())

    async def _upsert_many(self, request: Request) -> Response:
        self._enter(request, WRITE_POINTS)
        dataset = self._dataset(request, write=True)
        given = self._many(await self.json(request))
        self._came(request, dataset, given)
        return self._say({"results": [self._one(dataset.upsert, one) for one in given]})

    async def _update(self, request: Request) -> Response:
        self._enter(request, WRITE_POINTS)
        dataset = self._dataset(request, write=True)
        given = await self.json(request)
        self._came(request, dataset, [given])
        return self._say(dataset.update(request.path_params["master"], given).body())

    async def _update_many(self, request: Request) -> Response:
        self._enter(request, WRITE_POINTS)
        dataset = self._dataset(request, write=True)
        given = self._many(await self.json(request))
        self._came(request, dataset, given)

        def update(one: Any) -> Written:
            master = one.get("__masterid__") if isinstance(one, dict) else None
            if not isinstance(master, str):
                raise Refused(400, "Missing __masterid__", "missing_columns", "__masterid__")
            return dataset.update(master, one)

        return self._say({"results": [self._one(update, one) for one in given]})

    def _many(self, given: Any) -> list[Any]:
        if not isinstance(given, list) or not given:
            raise Refused(400, "Bad request", "not_an_array", more={"detail": "an array of records is expected"})
        if len(given) > self.rules.records:
            raise Refused(400, "Bad request", "too_many_records", f"{len(given)} of {self.rules.records}")
        return given

    def _one(self, write: Callable[[Any], Written], given: Any) -> dict[str, Any]:
        """An item's result: what was written, or the error that a request of it alone would have got."""
        try:
            return {"written": True, **write(given).body()}
        except Refused as refused:
            self.witness.breach(refused.rule, refused.detail)
            return {"written": False, "error": self._error(refused)}

    def _came(self, request: Request, dataset: Dataset, given: list[Any]) -> None:
        """Note what came: how often each record, what is under way, what is against the rules though it is taken."""
        name = request.path_params["dataset"]
        handled = handled_of(request)
        handled.records = len(given)
        keys = [f"{name}:{text}" for one in given for text in dataset.key_texts(one)]
        twice = [key for key, times in Counter(keys).items() if times > 1]
        for key in twice:
            self.witness.breach("key_twice_in_batch", key)
        for one in given:
            for column in iso_times(one):
                self.witness.breach("iso_datetime", f"{name}.{column}")
        handled.keys = self.witness.enter(keys)
        for one in given:
            texts = dataset.key_texts(one)
            self.witness.came(f"{name}:{texts[0] if texts else '?'}", document.dump(one))

    # --- reading -----------------------------------------------------------------------------------------------------

    async def _get(self, request: Request) -> Response:
        self._enter(request, READ_POINTS)
        record, merged = self._dataset(request, write=False).prepared(request.path_params["master"])
        return self._say({"record": record, **({"isMerged": True} if merged else {})})

    async def _list(self, request: Request) -> Response:
        self._enter(request, READ_POINTS)
        query = request.query_params
        records = _filtered(self._dataset(request, write=False).all_prepared(), query.get("filter", ""))
        if query.get("order") == "asc":
            records.reverse()
        size = max(1, integer(query.get("pageSize"), PAGE_MAX, PAGE_MAX))
        page = max(1, integer(query.get("page"), 1, PAGE_MAX))
        records = records[(page - 1) * size : page * size]
        if selection := [name for name in query.get("selection", "").split(",") if name]:
            records = [{name: one.get(name) for name in selection} for one in records]
        if query.get("format") == "csv":
            return Response(_csv(records, header=query.get("header") == "true"), media_type="text/csv")
        return self._say({"records": records})

    async def _count(self, request: Request) -> Response:
        self._enter(request, READ_POINTS)
        records = self._dataset(request, write=False).all_prepared()
        count = len(_filtered(records, request.query_params.get("filter", "")))
        if request.query_params.get("format") == "csv":
            return Response(f"count\n{count}\n", media_type="text/csv")
        return self._say({"count": count})

    # --- webhooks ----------------------------------------------------------------------------------------------------

    async def _hook(self, request: Request) -> Response:
        name = request.path_params["hook"]
        hook = self.rules.hooks.get(name, Hook() if self.rules.open else None)
        key = request.query_params.get("api-key", "")
        if hook is None or not (key if self._keys is None else key in self._keys):
            raise Refused(403, "Forbidden", "unknown_key", name)
        wrong = [header for header, value in hook.headers.items() if request.headers.get(header) != value]
        if request.method not in hook.methods or wrong:
            raise Refused(403, "Forbidden", "not_allowed", request.method if not wrong else wrong[0])
        content = await self.json(request)
        encoded = document.dump(content)
        self.witness.came(f"hook:{name}:{hashlib.blake2b(encoded, digest_size=8).hexdigest()}", encoded)
        self.hooked.append({"at_ms": self._clock.now_ms(), "hook": name, "method": request.method, "content": content})
        return self._say({})

    # --- for the server and for tests --------------------------------------------------------------------------------

    def view(self) -> dict[str, Any]:
        return {
            "vendor": self.name,
            "rules": msgspec.to_builtins(self.rules),
            "points": dict(self.points),
            "datasets": {name: {"keys": one.keys, "records": len(one)} for name, one in self.datasets.items()},
            "webhooks": list(self.hooked),
            **self.witness.view(),
        }

    def figures(self) -> list[Figure]:
        received = self.witness.received.values()
        breaches = self.witness.broken.total()
        return [
            Figure("requests", str(self.witness.statuses.total())),
            *(Figure(name, str(len(one))) for name, one in list(self.datasets.items())[:20]),
            Figure("webhooks", str(len(self.hooked))),
            Figure("received again", str(sum(seen.times - 1 for seen in received))),
            Figure("points spent", str(self.points.total())),
            Figure("rules broken", str(breaches), breaches > 0),
        ]

    def adjust(self, change: dict[str, Any]) -> None:
        self.rules = msgspec.convert({**msgspec.to_builtins(self.rules), **change}, Rules)
        for name in change.get("datasets", ()):
            self.datasets.pop(name, None)
        self._windows()


def _filtered(records: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """`col:val,col:val`: values of one column are alternatives, columns must all fit."""
    wanted: dict[str, set[str]] = {}
    for part in filter(None, text.split(",")):
        column, _, value = part.partition(":")
        wanted.setdefault(column, set()).add(value)
    return [one for one in records if all(str(one.get(name)) in values for name, values in wanted.items())]


def _csv(records: list[dict[str, Any]], *, header: bool) -> str:
    names = list(dict.fromkeys(name for one in records for name in one))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="")
    if header:
        writer.writeheader()
    writer.writerows(records)
    return text.getvalue()
