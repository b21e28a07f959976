"""Each bench runs in its smallest form and tells its figures. How fast anything is is not asserted."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.bench.every import BENCHES
from gateway.bench.growth import STEPS, growth
from gateway.bench.mapping import mapping
from gateway.bench.report import Report, spread
from tests.bench.making import TINY, site
from tests.journal.making import opened

HEADLINES = {
    "accept": {"ratio, gateway", "p99_ms at 70%"},
    "both": {"ratio, one core for both", "ratio, delivery on the load's core"},
    "deliver": {"cpu_us, batches of 100", "cpu_us, as they come, batches of 100", "cpu_us, one by one"},
    "fanout": {f"cpu_us, {fan} destinations" for fan in (1, 2, 5, 10)},
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
    assert report.headline["last to first"] > 0


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
