"""Ometria's Data API v2, as VENDORS describes it: limits, sizes, the queue behind `push`, merge and null, `_errors`.

`push` answers at once and a queue is drained at a rate, as there; the draining is computed from the clock whenever
somebody looks, so that nothing runs in the background and a test's clock is enough.
"""

from collections.abc import Collection
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway import document
from gateway.clock import Clock
from gateway.sandbox import ometria_fields
from gateway.sandbox.api import Api, Refused, answer, handled_of, kind_of, path_of, turn_away
from gateway.sandbox.faults import asked
from gateway.sandbox.ometria_account import (
    DEFAULT_COLLECTION,
    EVENT_TYPE_MAX,
    RECORDS_MAX,
    Account,
    Rules,
    Stored,
    name_of,
)
from gateway.sandbox.simulator import Figure, integer, masked
from gateway.sandbox.witness import Witness

ACCOUNTS_MAX = 100
PAGE_MAX = 250
TOO_LARGE = "Payload invalid: Record is too large."
ATTACHMENTS_MAX = 10
ATTACHMENTS_BYTES = 10_000_000
PROPERTY_MAX = 512
COLLECTION_OF = {"order": "orders", "product": "products", "custom_event": "custom_events"}


def _sound(record: Any) -> bool:
    """Whether a record has the structure that is looked at before it is queued."""
    return (
        isinstance(record, dict)
        and record.get("@type") in ometria_fields.TYPES
        and isinstance(record.get("id"), str | int)
        and not isinstance(record.get("id"), bool)
        and record.get("id") != ""
    )


class Ometria(Api):
    """The API, mounted so that `base_url` is `http://host:port/ometria/v2`. `keys`: those it knows (None: any)."""

    name = "ometria"
    title = "Ometria Data API"
    hint = "/ometria/v2"
    plays = frozenset({"forced_429", "queue_full", "expired_token"})

    def __init__(self, clock: Clock, rules: Rules | None = None, keys: Collection[str] | None = None) -> None:
        self.rules = rules or Rules()
        self.accounts: dict[str, Account] = {}
        self.refused_keys = 0
        self._clock = clock
        self._keys = keys
        super().__init__()

    def routes(self) -> list[Route]:
        gets = {
            "/push/_errors": self._errors,
            "/contacts": self._collections,
            "/contacts/{collection}": self._contacts,
            "/contacts/{collection}/{id}": self._contact,
            "/orders": self._orders,
            "/orders/{id}": self._order,
            "/products": self._products,
            "/products/{id}": self._product,
            "/profiles": self._profiles,
            "/data-deletion-requests": self._deletions,
            "/data-deletion-requests/{id}": self._deletion,
        }
        posts = {
            "/push": self._push,
            "/contacts/{collection}/{id}": self._put_one,
            "/orders/{id}": self._put_one,
            "/products/{id}": self._put_one,
            "/transactional-email/send": self._email,
            "/data-deletion-requests": self._delete,
        }
        return [
            *(Route(f"/v2{path}", endpoint, methods=["POST"]) for path, endpoint in posts.items()),
            *(Route(f"/v2{path}", endpoint, methods=["GET"]) for path, endpoint in gets.items()),
        ]

    def witness_of(self, request: Request, /) -> Witness | None:
        account = self._known(request)
        return account.witness if account is not None else None

    def refusal(self, request: Request, refused: Refused, /) -> Response:
        account = self._known(request)
        headers = None
        if account is not None and refused.status == HTTPStatus.TOO_MANY_REQUESTS:
            headers = _queue_headers(account, full=asked(request.scope) == "queue_full")
        return answer({"status": "ERROR", "message": refused.message}, refused.status, headers)

    def _known(self, request: Request) -> Account | None:
        key = request.headers.get("x-ometria-auth", "")
        known = bool(key) if self._keys is None else key in self._keys
        if not known or asked(request.scope) == "expired_token":
            return None
        if key not in self.accounts and len(self.accounts) < ACCOUNTS_MAX:
            self.accounts[key] = Account(key, self._clock, self.rules)
        return self.accounts.get(key)

    def _account(self, request: Request, limit: str) -> Account:
        """The account of the request's key, with the request counted against its limit."""
        account = self._known(request)
        if account is None:
            self.refused_keys += not asked(request.scope)
            raise Refused(403, "API key is not authorised to access this resource")
        account.take(limit)
        turn_away(request)
        if asked(request.scope) == "forced_429":
            raise Refused(429, "Too many requests")
        if request.method == "POST" and kind_of(request) != "application/json":
            account.witness.breach("content_type", kind_of(request))
        return account

    # --- push --------------------------------------------------------------------------------------------------------

    async def _push(self, request: Request) -> Response:
        account = self._account(request, "push")
        handled = handled_of(request)
        records = _array(await self.json(request), self.rules)
        handled.records = len(records)
        handled.what = ", ".join(_types(records))
        if self.rules.strict and len(_types(records)) > 1:
            raise Refused(400, "Payload invalid: Only one type of object per call.", "mixed_types", handled.what)
        encoded = [document.dump(record) for record in records]
        if any(len(text) > self.rules.record_bytes for text in encoded):
            raise Refused(400, TOO_LARGE, "record_too_large", str(max(map(len, encoded))))
        self._queued(account, request, len(records))
        sound = [(record, text) for record, text in zip(records, encoded, strict=True) if _sound(record)]
        handled.keys = account.witness.enter(name_of(record) for record, _ in sound)
        return self._accept(account, sound, len(records) - len(sound))

    def _queued(self, account: Account, request: Request, records: int) -> None:
        if asked(request.scope) == "queue_full":
            raise Refused(429, "Too many requests")
        if account.room() < records:
            raise Refused(429, "Too many requests", "queue_full", f"{records} records, room for {account.room()}")

    def _accept(self, account: Account, sound: list[tuple[dict[str, Any], bytes]], rejected: int) -> Response:
        for record, text in sound:
            account.witness.came(name_of(record), text)
            _habits(account.witness, record)
        if rejected:
            account.rejected += rejected
            account.witness.breach("malformed_record", f"{rejected} of {rejected + len(sound)}")
        account.enqueue(record for record, _ in sound)
        number = account.witness.statuses.total() + 1
        body = {
            "status": "OK",
            "request_id": f"{number:08x}-{self._clock.now_ms():013x}",
            "accepted": len(sound),
            "rejected": rejected,
            "skipped": 0,
        }
        return answer(body, 202, _queue_headers(account))

    async def _put_one(self, request: Request) -> Response:
        account = self._account(request, "data")
        record = _object(await self.json(request))
        kind = path_of(request.scope).split("/")[2].removesuffix("s")
        record = {**record, "@type": kind, "id": request.path_params["id"]}
        if kind == "contact":
            record["@collection"] = request.path_params["collection"]
        account.witness.came(name_of(record), document.dump(record))
        account.drain()
        account.apply(record)
        return answer({"status": "OK"}, 200)

    # --- reading -----------------------------------------------------------------------------------------------------

    async def _errors(self, request: Request) -> Response:
        account = self._account(request, "data")
        account.drain()
        return answer(list(account.errors), 200)

    async def _collections(self, request: Request) -> Response:
        contacts = self._account(request, "data").of("contact:")
        names = dict.fromkeys(str(one.document.get("@collection", DEFAULT_COLLECTION)) for one in contacts)
        return answer([{"id": name} for name in names], 200)

    async def _contacts(self, request: Request) -> Response:
        return _page(request, self._account(request, "data").of(f"contact:{request.path_params['collection']}:"))

    async def _contact(self, request: Request) -> Response:
        name = f"contact:{request.path_params['collection']}:{request.path_params['id']}"
        return _one(self._account(request, "data").get(name))

    async def _orders(self, request: Request) -> Response:
        return _page(request, self._account(request, "data").of("order:"))

    async def _order(self, request: Request) -> Response:
        return _one(self._account(request, "data").get(f"order:{request.path_params['id']}"))

    async def _products(self, request: Request) -> Response:
        products = self._account(request, "data").of("product:")
        if request.query_params.get("active") is not None:
            wanted = request.query_params["active"].lower() in ("1", "true")
            products = [one for one in products if one.document.get("is_active", True) is wanted]
        if request.query_params.get("includeVariants", "").lower() != "true":
            products = [one for one in products if one.document.get("is_variant") is not True]
        return _page(request, products)

    async def _product(self, request: Request) -> Response:
        return _one(self._account(request, "data").get(f"product:{request.path_params['id']}"))

    async def _profiles(self, request: Request) -> Response:
        contacts = self._account(request, "data").of("contact:")
        by_email: dict[str, list[dict[str, Any]]] = {}
        for one in contacts:
            by_email.setdefault(str(one.document.get("email", "")).lower(), []).append(one.document)
        wanted = request.query_params.get("email")
        if wanted is not None:
            by_email = {wanted.lower(): by_email.get(wanted.lower(), [])}
        return answer([{"email": email, "listings": them} for email, them in by_email.items() if email and them], 200)

    # --- e-mail and deletion -----------------------------------------------------------------------------------------

    async def _email(self, request: Request) -> Response:
        account = self._account(request, "email")
        message = _object(await self.json(request))
        _check_email(message)
        key = f"email:{document.dump(message['to']).decode()}:{message['subject']}"
        before = account.witness.repeats(key)
        account.witness.came(key, document.dump(message))
        if account.witness.repeats(key) > before:
            account.witness.breach("email_twice", str(message["subject"]))
        account.emails.append({"at_ms": self._clock.now_ms(), "to": message["to"], "subject": message["subject"]})
        return answer({"status": "OK"}, 200)

    async def _delete(self, request: Request) -> Response:
        account = self._account(request, "deletion")
        asked_for = _object(await self.json(request))
        identities = asked_for.get("identities")
        known = isinstance(identities, list) and all(isinstance(one, dict) and one.get("email") for one in identities)
        if asked_for.get("action") != "anonymise" or not identities or not known:
            raise Refused(400, "Payload invalid: action and identities are required", "malformed_record")
        number = str(len(account.deletions) + 1)
        account.deletions[number] = deletion = {
            "id": number,
            "action": "anonymise",
            "comment": asked_for.get("comment"),
            "identities": [{"hashed_email": masked(str(one.get("email", "")))} for one in identities],
            "source": {"origin": "api"},
            "timestamp_created": self._clock.now_ms(),
            "timestamp_completed": None,
        }
        return answer(deletion, 200)

    async def _deletions(self, request: Request) -> Response:
        return answer(list(self._account(request, "deletion").deletions.values()), 200)

    async def _deletion(self, request: Request) -> Response:
        found = self._account(request, "deletion").deletions.get(request.path_params["id"])
        if found is None:
            raise Refused(404, "Not found")
        return answer(found, 200)

    # --- for the server and for tests --------------------------------------------------------------------------------

    def view(self) -> dict[str, Any]:
        accounts = [
            {
                "account": account.name,
                "counts": account.counts(),
                "queue": {"limit": account.rules.queue, "remaining": account.room()},
                "errors": list(account.errors),
                "emails": list(account.emails),
                **account.witness.view(),
            }
            for account in self.accounts.values()
        ]
        return {
            "vendor": self.name,
            "rules": msgspec.to_builtins(self.rules),
            "refused_keys": self.refused_keys,
            "accounts": accounts,
        }

    def figures(self) -> list[Figure]:
        counts = [account.counts() for account in self.accounts.values()]
        breaches = sum(account.witness.broken.total() for account in self.accounts.values())
        requests = sum(account.witness.statuses.total() for account in self.accounts.values())
        labels = {"contact": "contacts", **COLLECTION_OF, "received_again": "received again", "queue": "in its queue"}
        return [
            Figure("requests", str(requests)),
            *(Figure(label.replace("_", " "), str(sum(one[key] for one in counts))) for key, label in labels.items()),
            Figure("validation errors", str(sum(one["failed"] for one in counts))),
            Figure("rules broken", str(breaches), breaches > 0),
        ]

    def adjust(self, change: dict[str, Any]) -> None:
        self.rules = msgspec.convert({**msgspec.to_builtins(self.rules), **change}, Rules)
        for account in self.accounts.values():
            account.drain()
            account.follow(self.rules)

    def reset(self) -> None:
        self.accounts.clear()
        self.refused_keys = 0


def _array(records: Any, rules: Rules) -> list[Any]:
    if not isinstance(records, list) or not records:
        raise Refused(400, "Payload invalid: an array of records is expected.", "not_an_array")
    if len(records) > rules.records:
        raise Refused(
            400, f"Payload invalid: More than {rules.records} records.", "too_many_records", str(len(records))
        )
    return records


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Refused(400, "Payload invalid: an object is expected.", "malformed_record")
    return value


def _types(records: list[Any]) -> list[str]:
    return sorted({str(record.get("@type")) for record in records if isinstance(record, dict)})


def _habits(witness: Witness, record: dict[str, Any]) -> None:
    """Rules that Ometria states but does not enforce in its answer."""
    if "@" in str(record["id"]) or str(record["id"]) in (record.get("phone_number"), record.get("email")):
        witness.breach("pii_in_id", record["@type"])
    if record.get("@force_optin") and record.get("marketing_optin") is None:
        witness.breach("force_optin_alone", name_of(record))
    if len(str(record.get("event_type", ""))) > EVENT_TYPE_MAX:
        witness.breach("event_type_truncated", name_of(record))
    if record["@type"] == "custom_event" and isinstance(record.get("properties"), dict):
        for name, value in record["properties"].items():
            if isinstance(value, dict | list) or (isinstance(value, str) and len(value) > PROPERTY_MAX):
                witness.breach("property_not_segmentable", name)


def _check_email(message: dict[str, Any]) -> None:
    missing = [
        name for name in ("to", "from") if not (isinstance(message.get(name), dict) and message[name].get("email"))
    ]
    missing += [] if message.get("subject") else ["subject"]
    if missing or not (message.get("template_id") or message.get("content")):
        raise Refused(400, "Payload invalid: required key not provided", "malformed_record", ", ".join(missing))
    names = [one.get("name") for one in message.get("attachments") or ()]
    size = sum(len(str(one.get("data", ""))) for one in message.get("attachments") or ())
    if len(names) > ATTACHMENTS_MAX or len(names) != len(set(names)) or size * 3 / 4 > ATTACHMENTS_BYTES:
        raise Refused(400, "Payload invalid: attachments", "malformed_record", "attachments")


def _queue_headers(account: Account, *, full: bool = False) -> dict[str, str]:
    remaining = 0 if full else account.room()
    return {"X-QueueSize-Limit": str(account.rules.queue), "X-QueueSize-Remaining": str(remaining)}


def _page(request: Request, stored: list[Stored]) -> Response:
    if request.query_params.get("orderby") == "timestamp_update":
        stored = sorted(stored, key=lambda one: one.updated_at_ms)
    offset = integer(request.query_params.get("offset"), 0, RECORDS_MAX)
    limit = integer(request.query_params.get("limit"), 10, PAGE_MAX)
    return answer([one.document for one in stored[offset : offset + limit]], 200)


def _one(stored: Stored | None) -> Response:
    if stored is None:
        raise Refused(404, "Not found")
    return answer(stored.document, 200)
