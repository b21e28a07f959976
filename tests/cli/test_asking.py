"""`gateway octolis`, `ometria` and `amperity` ask the vendors' APIs, here their simulators."""

import asyncio
import csv
import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from click.testing import CliRunner, Result

from gateway.cli import gateway
from gateway.sandbox.faults import Fault
from gateway.sandbox.server import Sandbox, build, serving
from tests.cli.conftest import answer
from tests.sandbox.asgi import Headers, call

KEYS = {"OCTOLIS_KEY": "tide pool/9", "OMETRIA_KEY": "amber-kiln", "AMPERITY_SECRET": "fell-moor"}
CONFIG = """
sources: {{erp: {{api_key: k}}}}
destinations:
  rows:
    vendor: octolis
    base_url: {url}/octolis/v1/data
    api_key: ${{OCTOLIS_KEY}}
    datasets: {{customer: {{id: ds-customers, keys: [email]}}}}
    webhooks: {{cart: wh-carts}}
  crm: {{vendor: ometria, base_url: "{url}/ometria/v2", api_key: "${{OMETRIA_KEY}}"}}
  streams:
    vendor: amperity
    base_url: {url}/amperity
    tenant: acme
    client_id: id-1
    client_secret: ${{AMPERITY_SECRET}}
    streams: {{customer: is-1}}
  nowhere: {{vendor: ometria, base_url: "http://127.0.0.1:9/v2", api_key: "${{OMETRIA_KEY}}"}}
routes: [{{to: [rows, crm, streams, nowhere]}}]
"""

Run = Callable[..., Result]


class Vendors:
    """The sandbox, served from a thread of its own while a command blocks this one."""

    def __init__(self) -> None:
        self.url = ""
        self.sandbox: Sandbox = build()
        self._up = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._told = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    def __enter__(self) -> Self:
        self._thread.start()
        self._up.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._told.set)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self) -> None:
        async with serving("127.0.0.1:0", self.sandbox) as served:
            self.url = served.url
            self._up.set()
            await self._told.wait()


@pytest.fixture(scope="module")
def vendors() -> Iterator[Vendors]:
    with Vendors() as vendors:
        vendors.sandbox.octolis.adjust({"prep_delay_s": 0.0})
        yield vendors


@pytest.fixture(autouse=True)
def _clean(vendors: Vendors) -> None:
    vendors.sandbox.faults.clear()
    for simulator in vendors.sandbox.simulators.values():
        simulator.reset()


@pytest.fixture
def run(vendors: Vendors, tmp_path: Path) -> Run:
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG.format(url=vendors.url))

    def invoke(*words: str) -> Result:
        result = CliRunner().invoke(gateway, [*words, "--config", str(file)], env=KEYS)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


def post(vendors: Vendors, target: str, body: Any, headers: Headers) -> None:
    """Somebody else's request."""
    assert asyncio.run(call(vendors.sandbox.app, "POST", target, body=body, headers=headers)).status < 300


def filled(vendors: Vendors) -> None:
    rows = [{"email": f"{name}@example.test", "city": "Leeds", "spent": 9.5} for name in ("ada", "bob", "eve")]
    post(vendors, "/octolis/v1/data/datasets/ds-customers/records/batch?api-key=any", rows, {"Accept": "*/*"})


# --- Octolis ---------------------------------------------------------------------------------------------------------


def test_rows_are_read_back_as_json(run: Run, vendors: Vendors) -> None:
    filled(vendors)
    found = answer(run("octolis", "get", "rows", "customer", "--filter", "email:bob@example.test"))
    (row,) = found["records"]
    assert (row["email"], row["city"], row["spent"]) == ("bob@example.test", "Leeds", 9.5)
    (one,) = [answer(run("octolis", "get", "rows", "customer", "--id", row["__masterid__"]))["record"]]
    assert one["email"] == "bob@example.test"


def test_rows_are_read_back_as_csv(run: Run, vendors: Vendors) -> None:
    filled(vendors)
    words = ("--select", "email", "--select", "city", "--page-size", "2", "--format", "csv")
    pages = [run("octolis", "get", "rows", "customer", *words, "--page", page).stdout for page in ("1", "2")]
    rows = [row for page in pages for row in csv.DictReader(io.StringIO(page))]
    assert [page.count("Leeds") for page in pages] == [2, 1]
    assert {row["email"] for row in rows} == {f"{name}@example.test" for name in ("ada", "bob", "eve")}


def test_rows_are_counted(run: Run, vendors: Vendors) -> None:
    filled(vendors)
    assert run("octolis", "count", "rows", "customer").stdout == "3\n"
    two = ("--filter", "email:ada@example.test", "--filter", "email:bob@example.test")
    assert answer(run("octolis", "count", "rows", "customer", *two, "--format", "json")) == {"count": 2}
    assert run("octolis", "count", "rows", "customer", "--format", "csv").stdout == "count\n3\n"


def test_what_octolis_holds_is_one_json_object(run: Run, vendors: Vendors) -> None:
    filled(vendors)
    assert answer(run("octolis", "count", "rows", "customer", "--json")) == {"count": 3}
    assert len(answer(run("octolis", "get", "rows", "customer", "--json"))["records"]) == 3
    for words in (("count",), ("get",)):
        result = run("octolis", *words, "rows", "customer", "--json", "--format", "csv")
        assert (result.exit_code, "--json is JSON, not csv" in result.stderr) == (2, True)


def test_a_vendors_no_is_told_without_the_key(run: Run, vendors: Vendors) -> None:
    result = run("octolis", "get", "rows", "customer")
    assert result.exit_code == 1
    assert "rows: 404" in result.stderr
    said = "no tide pool/9 nor tide%20pool%2F9"
    vendors.sandbox.faults.order(Fault(path="/octolis/*", fault="status", status=401, body=said))
    result = run("octolis", "count", "rows", "customer")
    assert (result.exit_code, result.stderr) == (1, "Error: rows: 401 no *** nor ***\n")


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (("octolis", "get", "row", "customer"), "did you mean `rows`?"),
        (("octolis", "get", "crm", "customer"), "its vendor is ometria, not octolis"),
        (("octolis", "get", "rows", "order"), "there is: customer"),
        (("octolis", "get", "rows", "cart"), "has no dataset for cart"),
        (("octolis", "get", "rows", "customer", "--id", "../count"), "no master id"),
        (("octolis", "count", "rows", "customer", "--filter", "email"), "COLUMN:VALUE"),
        (("octolis", "count", "rows", "customer", "--filter", "email:a,b"), "without a comma"),
        (("ometria", "errors", "rows"), "its vendor is octolis, not ometria"),
        (("amperity", "jobs", "streams", "--from", "9d", "--to", "1d"), "at most seven days"),
        (("amperity", "jobs", "streams", "--from", "1d", "--to", "2d"), "at most seven days"),
    ],
)
def test_wrong_use_is_told(run: Run, words: tuple[str, ...], cause: str) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert cause in " ".join(result.stderr.replace("│", " ").split())


# --- Ometria ---------------------------------------------------------------------------------------------------------


def dropped(vendors: Vendors) -> list[Any]:
    vendors.sandbox.ometria.adjust({"drain_per_s": 1_000_000.0})
    records = [{"@type": "contact", "id": "C-1", "@collection": "shop", "marketing_optin": "perhaps"}]
    post(vendors, "/ometria/v2/push", records, {"X-Ometria-Auth": KEYS["OMETRIA_KEY"]})
    (account,) = vendors.sandbox.ometria.accounts.values()
    account.drain()
    return list(account.errors)


def test_what_ometria_dropped_is_shown(run: Run, vendors: Vendors) -> None:
    assert run("ometria", "errors", "crm").stdout == "no errors\n"
    wanted = dropped(vendors)
    assert wanted
    assert answer(run("ometria", "errors", "crm", "--json")) == {"errors": wanted}
    shown = run("ometria", "errors", "crm").stdout
    assert all(str(value) in shown for value in wanted[0].values())


def test_a_vendor_that_cannot_be_reached_is_told(run: Run) -> None:
    result = run("ometria", "errors", "nowhere")
    assert result.exit_code == 1
    assert "nowhere: connection_failed" in result.stderr


# --- Amperity --------------------------------------------------------------------------------------------------------


def test_ingest_jobs_are_shown_under_a_fetched_token(run: Run) -> None:
    found = answer(run("amperity", "jobs", "streams", "--json"))
    assert ([job["id"] for job in found["jobs"]], found["more"]) == ([f"jb-{number:03}" for number in range(7)], False)


def test_jobs_are_bounded_and_it_is_told_that_there_are_more(run: Run) -> None:
    result = run("amperity", "jobs", "streams", "--limit", "3", "--from", "2d", "--to", "1d")
    assert result.stdout.count("jb-") == 3
    assert "more than 3" in result.stderr


def test_a_client_that_is_refused_is_told_without_its_secret(run: Run, vendors: Vendors) -> None:
    vendors.sandbox.faults.order(Fault(path="/amperity/*", fault="status", status=403, body="no fell-moor"))
    result = run("amperity", "jobs", "streams")
    assert (result.exit_code, result.stderr) == (1, "Error: streams: no token: 403 no ***\n")
