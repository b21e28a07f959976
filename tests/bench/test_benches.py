"""Each bench runs in its smallest form and tells its figures. How fast anything is is not asserted."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from msgspec import structs

from gateway.bench.every import BENCHES
from gateway.bench.growth import GROUP, STEPS, growth
from gateway.bench.mapping import mapping
from gateway.bench.report import BenchFailed, Report, spread
from tests import postgres
from tests.bench.making import TINY, site
from tests.journal.databases import make
from tests.journal.making import opened

HEADLINES = {
    "accept": {"ratio, gateway", "p99_ms at 70%"},
    "both": {
        f"ratio, {name}{shape}"
        for name in ("one core for both", "delivery on the load's core")
        for shape in ("", ", passed on")
    },
    "beside": {f"p99_ms, {name}" for name in ("nothing delivered", "one core for both", "delivery on the load's core")},
    "deliver": {"cpu_us, batches of 100", "cpu_us, as they come, batches of 100", "cpu_us, one by one"},
    "fanout": {f"cpu_us, {shape}, {fan} destinations" for shape in ("mapped", "passed on") for fan in (1, 2, 5, 10)},
    "pace": {"share, ometria", "share, octolis", "share, amperity"},
    "start": {"seconds", "events"},
    "idle": {"cores"},
    "memory": {"mib, parent", "mib, receiver", "mib, dispatcher"},
}


def gateway_bench(*arguments: str) -> "subprocess.CompletedProcess[str]":
    tiny = ("--seconds", "0.1", "--rounds", "1", "--events", "100", "--connections", "4")
    return subprocess.run(
        [sys.executable, "-m", "gateway", "bench", *arguments, *tiny], capture_output=True, text=True, check=False
    )


async def test_mapping_times_every_shipped_mapping_of_the_platform(tmp_path: Path) -> None:
    told: list[tuple[str, float]] = []

    report = await mapping(site(tmp_path, told), TINY)

    assert {"us, shopify/order", "us, ometria/order", "us, ometria/customer"} <= set(report.headline)
    assert all(value > 0 for value in report.headline.values())
    assert told[0] == ("order", 0.0)


async def test_what_is_appended_to_grow_is_in_the_journal_that_is_named(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'other.db'}"
    named = site(tmp_path, journal_url=url)
    report = await growth(named, TINY)

    assert named.journal() == {"journal": {"url": url}}
    async with opened(named.open_journal(url)) as journal:
        assert (await journal.head()).seq == report.headline["events"]


async def test_growth_tells_the_rate_of_each_step_of_the_way(tmp_path: Path) -> None:
    report = await growth(site(tmp_path), TINY)

    assert [row[0] for row in report.rows] == sorted(row[0] for row in report.rows)
    assert len(report.rows) == STEPS
    assert report.headline["events"] == report.rows[-1][0]
    assert report.headline["last to small"] > 0
    assert [name for name in os.listdir(tmp_path) if "beside" in name] == []  # noqa: PTH208  pathlib's would block


async def test_the_journal_to_compare_with_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.bench.growth.SMALL", 3 * GROUP)
    one = site(tmp_path)
    begun: list[str] = []
    beside = one.journal_beside

    @asynccontextmanager
    async def counted(url: str) -> AsyncIterator[str]:
        async with beside(url) as another:
            begun.append(another)
            yield another
            async with opened(one.open_journal(another)) as journal:
                assert 0 < (await journal.head()).seq <= 3 * GROUP

    await growth(structs.replace(one, journal_beside=counted), TINY)
    assert len(set(begun)) == STEPS // 3 + 1


async def test_on_postgresql_the_journal_to_compare_with_is_another_database(tmp_path: Path) -> None:
    name = f"growth_{os.getpid()}"
    await make(name)
    report = await growth(site(tmp_path, journal_url=postgres.database_url(name)), TINY)
    assert report.rows[-1][0] == report.headline["events"]
    connection = await asyncpg.connect(postgres.database_url(name))
    left = await connection.fetch("SELECT datname FROM pg_database WHERE datname LIKE 'gateway_bench_%'")
    await connection.close()
    assert left == []


async def test_a_role_that_may_create_no_database_is_told_so(tmp_path: Path) -> None:
    name = f"growth_poor_{os.getpid()}"
    await make(name)
    connection = await asyncpg.connect(postgres.database_url(name))
    await connection.execute(f"CREATE ROLE {name} LOGIN; ALTER DATABASE {name} OWNER TO {name}")
    await connection.close()
    url = postgres.database_url(name).replace("postgres@", f"{name}@")
    with pytest.raises(BenchFailed, match="CREATEDB"):
        await growth(site(tmp_path, journal_url=url), TINY)


def test_a_report_as_json_has_its_rows_under_its_columns() -> None:
    report = Report("name", "about", ["what", "value"], [["a", 1], ["b", 2]], {"value": 2.0}, ["a note"])

    assert report.document() == {
        "name": "name",
        "about": "about",
        "headline": {"value": 2.0},
        "rows": [{"what": "a", "value": 1}, {"what": "b", "value": 2}],
        "notes": ["a note"],
    }


def test_a_spread_is_the_value_below_which_a_share_lies() -> None:
    assert spread([1.0, 2.0, 3.0, 4.0], 0.5) == 3.0
    assert spread([1.0, 2.0], 0.99) == 2.0
    assert spread([1.0, 2.0], 1.0) == 2.0
    assert spread([], 0.5) == 0.0


def test_a_bench_that_there_is_not_is_wrong_use() -> None:
    done = gateway_bench("acept")

    assert done.returncode == 2
    assert "there is no acept: accept, both" in " ".join(done.stderr.split())


def test_a_bench_that_makes_its_own_journals_takes_none() -> None:
    done = gateway_bench("deliver", "--journal", "sqlite:////tmp/none.db")

    assert done.returncode == 2
    assert "deliver makes journals of its own" in " ".join(done.stderr.split())


def test_the_results_are_drawn_into_a_file(tmp_path: Path) -> None:
    done = gateway_bench("growth", "--svg", str(tmp_path / "bench.svg"))

    assert done.returncode == 0, done.stderr
    assert "growth: events/s" in (tmp_path / "bench.svg").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADLINES)
def test_a_bench_runs_the_real_thing_and_tells_its_figures(name: str) -> None:
    done = gateway_bench(name, "--json")

    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["machine"]["cores"] >= 1
    (report,) = answer["benches"]
    assert report["name"] == name
    assert set(report["headline"]) == HEADLINES[name]
    assert report["rows"]
    assert name in done.stderr  # how far it is, where there is no terminal


def test_every_bench_is_tested() -> None:
    assert {*HEADLINES, "mapping", "growth"} == set(BENCHES)
