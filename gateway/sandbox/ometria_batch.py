"""Ometria's website-personalisation Batch API, as VENDORS describes it: a ZIP is uploaded, its receipt is processed, a
report tells what came of it.
"""

import base64
import binascii
import hashlib
import io
import re
import zipfile
from collections import Counter
from typing import Any

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway import document
from gateway.clock import Chance, Clock
from gateway.sandbox.api import Api, Refused, answer, handled_of, turn_away
from gateway.sandbox.faults import asked
from gateway.sandbox.simulator import Figure
from gateway.sandbox.witness import Witness

KINDS = ("full", "delta")
NAMES = ("categories.json", "products.json", "pages.json", "definitions.json")
RECEIPTS_MAX = 10_000
UNPACKED_MAX_BYTES = 256 << 20
ERRORS_KEPT = 1_000

MOVES: dict[str, dict[str, str]] = {
    "uploaded": {"process": "processing"},
    "processing": {"complete": "completed", "fail": "failed", "cancel": "cancelled"},
    "completed": {"reprocess": "processing"},
    "failed": {},
    "cancelled": {},
}
"""What may be done to a receipt in each state, and what it becomes. Anything else is a 409."""


class Rules(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the simulated API does. `process_s`: how long processing takes. `failing`: receipts processed from now on
    fail. `retention_s`: how long a receipt may be processed again. `keys` None: any `key:secret`.
    """

    process_s: float = 3.0
    failing: bool = False
    retention_s: float = 7 * 86_400.0
    keys: tuple[str, ...] | None = None
    body_bytes: int = 64 << 20


class Receipt(Struct):
    """An upload, and how far it is. Times are of the monotonic clock (`_s`) or the wall clock (`_ms`)."""

    id: str
    kind: str
    digest: str
    files: dict[str, list[Any]]
    state: str = "uploaded"
    delete_after: bool = False
    started_at_ms: int = 0
    completed_at_ms: int = 0
    due_s: float = 0.0
    ends_as: str = "complete"
    deleted: bool = False


class OmetriaBatch(Api):
    """The API, mounted so that `base_url` is `http://host:port/ometria_batch`."""

    name = "ometria_batch"
    title = "Ometria Batch API"
    hint = "/ometria_batch"
    plays = frozenset({"expired_token", "busy"})

    def __init__(self, clock: Clock, chance: Chance, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self._clock = clock
        self._chance = chance
        self.reset()
        super().__init__()
        self.body_max_bytes = self.rules.body_bytes

    def reset(self) -> None:
        self.witness = Witness(self._clock)
        self.receipts: dict[str, Receipt] = {}
        self.catalogue: dict[str, dict[str, Any]] = {name: {} for name in NAMES}
        self._processed: Counter[str] = Counter()

    def routes(self) -> list[Route]:
        return [
            Route("/batch/upload/{kind}", self._upload, methods=["POST"]),
            Route("/batch/process/{receipt}", self._process, methods=["PUT"]),
            Route("/batch/cancel/{receipt}", self._cancel, methods=["PUT"]),
            Route("/batch/reprocess/{receipt}", self._reprocess, methods=["PUT"]),
            Route("/batch/export/{receipt}", self._export, methods=["GET"]),
            Route("/reporting/report/{receipt}", self._report, methods=["GET"]),
        ]

    def witness_of(self, _request: Request, /) -> Witness | None:
        return self.witness

    def refusal(self, _request: Request, refused: Refused, /) -> Response:
        return answer({"error": {"status": refused.status, "message": refused.message}}, refused.status)

    def _enter(self, request: Request) -> None:
        """The key, in the header with the name that the documents print."""
        turn_away(request)
        if asked(request.scope) == "expired_token":
            raise Refused(401, "Unauthorized")
        if asked(request.scope) == "busy":
            raise Refused(503, "Service unavailable")
        given = request.headers.get("authentication")
        if given is None:
            rule = "wrong_header" if "authorization" in request.headers else "key_missing"
            raise Refused(401, "Unauthorized", rule)
        scheme, _, text = given.partition(" ")
        try:
            key = base64.b64decode(text, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            key = ""
        known = ":" in key if self.rules.keys is None else key in self.rules.keys
        if scheme != "Basic" or not known:
            raise Refused(401, "Unauthorized", "unknown_key")
        self._advance()

    # --- uploading ---------------------------------------------------------------------------------------------------

    async def _upload(self, request: Request) -> Response:
        self._enter(request)
        kind = request.path_params["kind"]
        if kind not in KINDS:
            raise Refused(400, "full or delta is expected", "wrong_type", kind)
        fields = _fields(request.headers.get("content-type", ""), await self.body(request))
        archive = fields.get("files")
        if archive is None:
            raise Refused(400, "a file named `files` is expected", "file_missing", ", ".join(fields))
        _verify(archive, request.headers.get("content-md5"), fields.get("md5"))
        files = _unpacked(archive)
        if kind == "full" and set(files) != set(NAMES):
            self.witness.breach("full_without_all_files", ", ".join(sorted(set(NAMES) - set(files))))
        handled = handled_of(request)
        handled.records = sum(map(len, files.values()))
        handled.what = f"{kind}: {', '.join(files)}"
        receipt = Receipt(self._chance.nonce(12).hex(), kind, hashlib.sha256(archive).hexdigest(), files)
        if len(self.receipts) >= RECEIPTS_MAX:
            del self.receipts[next(iter(self.receipts))]
        self.receipts[receipt.id] = receipt
        return answer({"data": {"receipt": receipt.id}})

    # --- processing --------------------------------------------------------------------------------------------------

    async def _process(self, request: Request) -> Response:
        receipt = self._receipt(request)
        receipt.delete_after = request.query_params.get("delete_on_completion") == "true"
        self._begin(receipt, "process")
        self._processed[receipt.digest] += 1
        if self._processed[receipt.digest] > 1:
            self.witness.breach("processed_twice", receipt.id)
        for name, items in receipt.files.items():
            for item in items:
                self.witness.came(f"{name.removesuffix('.json')}:{_id(item)}", document.dump(item))
        return self._said(receipt)

    async def _reprocess(self, request: Request) -> Response:
        receipt = self._receipt(request)
        age_s = (self._clock.now_ms() - receipt.completed_at_ms) / 1000
        if receipt.deleted or (receipt.state == "completed" and age_s > self.rules.retention_s):
            raise Refused(404, "The upload is no longer kept", "receipt_gone", receipt.id)
        self._begin(receipt, "reprocess")
        return self._said(receipt)

    async def _cancel(self, request: Request) -> Response:
        receipt = self._receipt(request)
        self._move(receipt, "cancel")
        return self._said(receipt)

    def _begin(self, receipt: Receipt, step: str) -> None:
        self._move(receipt, step)
        receipt.started_at_ms = self._clock.now_ms()
        receipt.due_s = self._clock.monotonic_s() + self.rules.process_s
        receipt.ends_as = "fail" if self.rules.failing else "complete"

    def _move(self, receipt: Receipt, step: str) -> None:
        after = MOVES[receipt.state].get(step)
        if after is None:
            raise Refused(409, f"The receipt is {receipt.state}", "wrong_state", f"{step} while {receipt.state}")
        receipt.state = after

    def _advance(self) -> None:
        """End what is due, in the order it is due."""
        now_s = self._clock.monotonic_s()
        due = [one for one in self.receipts.values() if one.state == "processing" and one.due_s <= now_s]
        for receipt in sorted(due, key=lambda one: one.due_s):
            receipt.completed_at_ms = self._clock.now_ms()
            self._move(receipt, receipt.ends_as)
            if receipt.state == "completed":
                self._apply(receipt)
                receipt.deleted = receipt.delete_after

    def _apply(self, receipt: Receipt) -> None:
        for name, items in receipt.files.items():
            if receipt.kind == "full":
                self.catalogue[name] = {}
            self.catalogue[name].update((_id(item), item) for item in items if _id(item))

    # --- reading -----------------------------------------------------------------------------------------------------

    async def _report(self, request: Request) -> Response:
        receipt = self._receipt(request)
        if receipt.state not in ("completed", "failed"):
            raise Refused(404, "There is no report yet")
        files = {
            name: {"records": len(items), "errors": _errors(items)[:ERRORS_KEPT]}
            for name, items in receipt.files.items()
        }
        body = {
            "receipt": receipt.id,
            "type": receipt.kind,
            "status": receipt.state,
            "started_at": receipt.started_at_ms,
            "completed_at": receipt.completed_at_ms,
            "files": files,
        }
        return answer({"data": body})

    async def _export(self, request: Request) -> Response:
        receipt = self._receipt(request)
        if receipt.deleted:
            raise Refused(404, "The upload is no longer kept")
        return answer({"data": receipt.files})

    def _receipt(self, request: Request) -> Receipt:
        self._enter(request)
        receipt = self.receipts.get(request.path_params["receipt"])
        if receipt is None:
            raise Refused(404, "Unknown receipt", "unknown_receipt", request.path_params["receipt"])
        handled_of(request).what = receipt.id
        return receipt

    def _said(self, receipt: Receipt) -> Response:
        return answer({"data": {"receipt": receipt.id, "status": receipt.state}})

    # --- for the server and for tests --------------------------------------------------------------------------------

    def view(self) -> dict[str, Any]:
        self._advance()
        receipts = [
            {"receipt": one.id, "type": one.kind, "state": one.state, "records": sum(map(len, one.files.values()))}
            for one in self.receipts.values()
        ]
        return {
            "vendor": self.name,
            "rules": msgspec.to_builtins(self.rules) | {"keys": None},
            "receipts": receipts,
            "catalogue": {name: list(items.values())[-1_000:] for name, items in self.catalogue.items()},
            **self.witness.view(),
        }

    def figures(self) -> list[Figure]:
        self._advance()
        breaches = self.witness.broken.total()
        states = Counter(one.state for one in self.receipts.values())
        return [
            Figure("requests", str(self.witness.statuses.total())),
            Figure("receipts", str(len(self.receipts))),
            Figure("processed", str(states["completed"])),
            Figure("products", str(len(self.catalogue["products.json"]))),
            Figure("rules broken", str(breaches), breaches > 0),
        ]

    def adjust(self, change: dict[str, Any]) -> None:
        self.rules = msgspec.convert({**msgspec.to_builtins(self.rules), **change}, Rules)
        self.body_max_bytes = self.rules.body_bytes


def _fields(kind: str, body: bytes) -> dict[str, bytes]:
    """The fields of a multipart form, by name. Raises Refused (400) for anything else."""
    boundary = re.search(r'boundary="?([^";]+)"?', kind)
    if not kind.startswith("multipart/form-data") or boundary is None:
        raise Refused(400, "multipart/form-data is expected", "content_type", kind[:100])
    fields: dict[str, bytes] = {}
    for part in body.split(b"--" + boundary[1].encode())[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        if name is not None:
            fields[name[1].decode(errors="replace")] = content.removesuffix(b"\r\n")
    return fields


def _verify(archive: bytes, header: str | None, field: bytes | None) -> None:
    """The MD5 sums, where they are given (base64 in the header, hexadecimal in the field)."""
    digest = hashlib.md5(archive, usedforsecurity=False)
    in_header, in_field = base64.b64encode(digest.digest()).decode(), digest.hexdigest().encode()
    if (header is not None and header != in_header) or (field is not None and field != in_field):
        raise Refused(400, "The MD5 sum does not fit", "wrong_md5")


def _unpacked(archive: bytes) -> dict[str, list[Any]]:
    """The records of each file. Raises Refused (400) for what is no ZIP of the known JSON files."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            members = opened.infolist()
            if not members or sum(one.file_size for one in members) > UNPACKED_MAX_BYTES:
                raise Refused(400, "The ZIP is empty or too large", "wrong_zip")
            return {one.filename: _records(one.filename, opened.read(one)) for one in members}
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
        raise Refused(400, "A ZIP is expected", "wrong_zip", str(error)) from None


def _records(name: str, content: bytes) -> list[Any]:
    if name not in NAMES:
        raise Refused(400, f"{name} is not expected", "wrong_file", name)
    try:
        records = document.parse(content)
    except document.Unreadable as error:
        raise Refused(400, f"{name} is not JSON", "unreadable", str(error)) from None
    return records if isinstance(records, list) else [records]


def _id(item: Any) -> str:
    return str(item["id"]) if isinstance(item, dict) and item.get("id") not in (None, "") else ""


def _errors(items: list[Any]) -> list[dict[str, Any]]:
    """What is wrong with single items: those that carry no id."""
    return [
        {"index": place, "id": None, "message": "id is required"} for place, one in enumerate(items) if not _id(one)
    ]
