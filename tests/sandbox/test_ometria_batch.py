import base64
import hashlib
import io
import json
import zipfile
from typing import Any

import pytest

from gateway.sandbox.faults import ASKED
from gateway.sandbox.ometria_batch import MOVES, NAMES, OmetriaBatch, Rules
from tests.sandbox.asgi import Answer, call
from tests.sandbox.clock import KnownChance, ManualClock

KEY = "Basic " + base64.b64encode(b"key:secret").decode()
PRODUCTS = {"products.json": [{"id": "p1", "titles": {"en": "A jumper"}}, {"id": "p2"}]}


def zipped(files: dict[str, Any]) -> bytes:
    text = io.BytesIO()
    with zipfile.ZipFile(text, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content if isinstance(content, bytes) else json.dumps(content))
    return text.getvalue()


def form(**fields: bytes) -> tuple[bytes, str]:
    parts = [
        b'--xyz\r\nContent-Disposition: form-data; name="%s"; filename="a.zip"\r\n\r\n%s\r\n' % (name.encode(), content)
        for name, content in fields.items()
    ]
    return b"".join(parts) + b"--xyz--\r\n", "multipart/form-data; boundary=xyz"


class Client:
    """Somebody with a key, a simulated Batch API, and its clock."""

    def __init__(self, **rules: Any) -> None:
        self.clock = ManualClock()
        self.batch = OmetriaBatch(self.clock, KnownChance(), Rules(**rules))

    def broken(self) -> dict[str, int]:
        return dict(self.batch.witness.broken)

    async def ask(self, method: str, path: str, **headers: str) -> Answer:
        return await call(self.batch, method, path, headers={"Authentication": KEY, **headers})

    async def post(self, archive: bytes, kind: str = "delta", **more: Any) -> Answer:
        raw, content_type = form(files=archive, **more.get("fields", {}))
        headers = {"Authentication": KEY, "Content-Type": content_type, **more.get("headers", {})}
        return await call(self.batch, "POST", f"/batch/upload/{kind}", raw=raw, headers=headers)

    async def uploaded(self, files: dict[str, Any], kind: str = "delta") -> str:
        answer = await self.post(zipped(files), kind)
        assert answer.status == 200
        return str(answer.json()["data"]["receipt"])

    async def processed(self, files: dict[str, Any], kind: str = "delta", query: str = "") -> str:
        receipt = await self.uploaded(files, kind)
        assert (await self.ask("PUT", f"/batch/process/{receipt}{query}")).status == 200
        self.clock.move(3)
        self.batch.view()
        return receipt

    async def report(self, receipt: str) -> Any:
        answer = await self.ask("GET", f"/reporting/report/{receipt}")
        return answer.json()["data"] if answer.status == 200 else answer.status


@pytest.fixture
def client() -> Client:
    return Client()


# --- the key ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "rule"),
    [
        ({}, "key_missing"),
        ({"Authorization": KEY}, "wrong_header"),
        ({"Authentication": "Basic not-base64"}, "unknown_key"),
        ({"Authentication": KEY.replace("Basic", "Bearer")}, "unknown_key"),
    ],
)
async def test_the_key_stands_in_the_header_that_the_documents_print(
    client: Client, headers: dict[str, str], rule: str
) -> None:
    answer = await call(client.batch, "PUT", "/batch/process/x", headers=headers)
    assert (answer.status, client.broken()) == (401, {rule: 1})


async def test_an_unknown_key_is_refused_where_keys_are_given() -> None:
    assert (await Client(keys=("another:key",)).ask("PUT", "/batch/process/x")).status == 401


# --- uploading -------------------------------------------------------------------------------------------------------


async def test_an_upload_gets_a_receipt_and_has_no_effect_yet(client: Client) -> None:
    receipt = await client.uploaded(PRODUCTS)
    client.clock.move(60)
    assert client.batch.view()["receipts"] == [{"receipt": receipt, "type": "delta", "state": "uploaded", "records": 2}]
    assert not client.batch.catalogue["products.json"]


@pytest.mark.parametrize(
    ("archive", "rule"),
    [
        (b"no zip at all", "wrong_zip"),
        (zipped({}), "wrong_zip"),
        (zipped({"shoes.json": []}), "wrong_file"),
        (zipped({"products.csv": b"id"}), "wrong_file"),
        (zipped({"products.json": b"{"}), "unreadable"),
    ],
)
async def test_a_zip_that_does_not_do_is_refused(client: Client, archive: bytes, rule: str) -> None:
    assert (await client.post(archive)).status == 400
    assert client.broken() == {rule: 1}


async def test_the_type_and_the_form_are_checked(client: Client) -> None:
    assert (await client.post(zipped(PRODUCTS), "half")).status == 400
    assert (await client.ask("POST", "/batch/upload/delta")).status == 400
    raw, content_type = form(file=zipped(PRODUCTS))
    headers = {"Authentication": KEY, "Content-Type": content_type}
    assert (await call(client.batch, "POST", "/batch/upload/delta", raw=raw, headers=headers)).status == 400
    assert client.broken() == {"wrong_type": 1, "content_type": 1, "file_missing": 1}


async def test_md5_sums_are_checked_where_they_are_given(client: Client) -> None:
    archive = zipped(PRODUCTS)
    digest = hashlib.md5(archive, usedforsecurity=False)
    good = {"Content-MD5": base64.b64encode(digest.digest()).decode()}
    assert (await client.post(archive, headers=good, fields={"md5": digest.hexdigest().encode()})).status == 200
    assert (await client.post(archive, headers={"Content-MD5": "x"})).status == 400
    assert (await client.post(archive, fields={"md5": b"\xff"})).status == 400


async def test_a_full_upload_without_all_four_files_is_noticed(client: Client) -> None:
    await client.uploaded(PRODUCTS, "full")
    await client.uploaded({name: [] for name in NAMES}, "full")
    assert client.broken() == {"full_without_all_files": 1}


async def test_a_body_over_the_bound_is_refused() -> None:
    assert (await Client(body_bytes=100).post(zipped(PRODUCTS))).status == 413


# --- processing ------------------------------------------------------------------------------------------------------


async def test_processing_takes_its_time_and_then_there_is_a_report(client: Client) -> None:
    receipt = await client.uploaded(PRODUCTS)
    await client.ask("PUT", f"/batch/process/{receipt}")
    assert await client.report(receipt) == 404
    client.clock.move(3)
    report = await client.report(receipt)
    assert (report["status"], report["type"], report["receipt"]) == ("completed", "delta", receipt)
    assert report["files"] == {"products.json": {"records": 2, "errors": []}}
    assert set(client.batch.catalogue["products.json"]) == {"p1", "p2"}


async def test_items_without_an_id_are_in_the_report_by_their_place(client: Client) -> None:
    receipt = await client.processed({"products.json": [{"id": "p1"}, {"titles": {}}]})
    [error] = (await client.report(receipt))["files"]["products.json"]["errors"]
    assert error == {"index": 1, "id": None, "message": "id is required"}


async def test_a_delta_adds_and_a_full_upload_replaces(client: Client) -> None:
    await client.processed({"products.json": [{"id": "p1"}]})
    await client.processed({"products.json": [{"id": "p2"}]})
    assert set(client.batch.catalogue["products.json"]) == {"p1", "p2"}
    await client.processed({"products.json": [{"id": "p3"}]}, "full")
    assert set(client.batch.catalogue["products.json"]) == {"p3"}


async def test_processing_what_is_processed_is_a_conflict(client: Client) -> None:
    receipt = await client.uploaded(PRODUCTS)
    statuses = [(await client.ask("PUT", f"/batch/process/{receipt}")).status for _ in range(2)]
    client.clock.move(3)
    statuses.append((await client.ask("PUT", f"/batch/process/{receipt}")).status)
    assert (statuses, client.broken()) == ([200, 409, 409], {"wrong_state": 2})


async def test_the_same_catalogue_processed_under_two_receipts_is_noticed(client: Client) -> None:
    archive = zipped(PRODUCTS)
    for _ in range(2):
        receipt = (await client.post(archive)).json()["data"]["receipt"]
        await client.ask("PUT", f"/batch/process/{receipt}")
    assert client.broken() == {"processed_twice": 1}


async def test_a_running_receipt_is_cancelled_and_a_completed_one_is_not(client: Client) -> None:
    receipt = await client.uploaded(PRODUCTS)
    await client.ask("PUT", f"/batch/process/{receipt}")
    assert (await client.ask("PUT", f"/batch/cancel/{receipt}")).json()["data"]["status"] == "cancelled"
    client.clock.move(3)
    assert await client.report(receipt) == 404
    done = await client.processed({"products.json": [{"id": "p9"}]})
    assert (await client.ask("PUT", f"/batch/cancel/{done}")).status == 409


async def test_a_completed_receipt_is_processed_again_while_it_is_kept(client: Client) -> None:
    receipt = await client.processed(PRODUCTS)
    await client.report(receipt)
    assert (await client.ask("PUT", f"/batch/reprocess/{receipt}")).status == 200
    client.clock.move(3)
    await client.report(receipt)
    client.clock.move(7 * 86_400 + 1)
    assert (await client.ask("PUT", f"/batch/reprocess/{receipt}")).status == 404


async def test_deleting_on_completion_voids_processing_again(client: Client) -> None:
    receipt = await client.processed(PRODUCTS, query="?delete_on_completion=true")
    assert (await client.report(receipt))["status"] == "completed"
    assert (await client.ask("PUT", f"/batch/reprocess/{receipt}")).status == 404
    assert (await client.ask("GET", f"/batch/export/{receipt}")).status == 404


async def test_a_failing_receipt_reports_so_and_changes_nothing(client: Client) -> None:
    client.batch.adjust({"failing": True})
    receipt = await client.processed(PRODUCTS)
    assert (await client.report(receipt))["status"] == "failed"
    assert not client.batch.catalogue["products.json"]


async def test_an_upload_can_be_read_back(client: Client) -> None:
    receipt = await client.uploaded(PRODUCTS)
    assert (await client.ask("GET", f"/batch/export/{receipt}")).json()["data"] == PRODUCTS


async def test_an_unknown_receipt_is_a_404(client: Client) -> None:
    assert await client.report("none") == 404


@pytest.mark.parametrize(("fault", "status"), [("busy", 503), ("expired_token", 401)])
async def test_faults_are_no_breach(client: Client, fault: str, status: int) -> None:
    async def faulty(scope: Any, receive: Any, send: Any) -> None:
        await client.batch({**scope, ASKED: fault}, receive, send)

    answer = await call(faulty, "PUT", "/batch/process/x", headers={"Authentication": KEY})
    assert (answer.status, client.broken()) == (status, {})


def test_every_move_leads_to_a_state_of_the_table() -> None:
    assert {after for moves in MOVES.values() for after in moves.values()} <= MOVES.keys()
