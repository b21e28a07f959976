import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from gateway.telemetry.folder import VARIABLE, claimed
from gateway.telemetry.processes import Processes, bury

RECEIVER = """
import os
from gateway.telemetry import metrics
metrics.source("uk-shop").accepted.inc(3)
metrics.commit_seconds.observe(0.003)
metrics.requests_waiting.set(5)
metrics.configuration_revision.labels("receiver").set(int(os.environ["REVISION"]))
metrics.loop_lag_seconds.labels("receiver").set(int(os.environ["REVISION"]) / 10)
print(os.getpid())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with claimed(tmp_path) as path:
        yield path


Run = Callable[..., int]


@pytest.fixture
def run(folder: Path) -> Run:
    def run(code: str = RECEIVER, revision: int = 1) -> int:
        environment = {**os.environ, VARIABLE: str(folder), "REVISION": str(revision)}
        return int(subprocess.check_output([sys.executable, "-c", code], env=environment))

    return run


def read(folder: Path, name: str, **labels: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(Processes(folder))
    return registry.get_sample_value(name, labels)


def test_the_counts_of_real_processes_are_added_up(folder: Path, run: Run) -> None:
    run(revision=4)
    run(revision=3)

    assert read(folder, "gateway_events_accepted_total", source="uk-shop") == 6
    assert read(folder, "gateway_commit_seconds_count") == 2
    assert read(folder, "gateway_requests_waiting") == 10
    assert read(folder, "gateway_configuration_revision", role="receiver") == 3, "the oldest in force"
    assert read(folder, "gateway_loop_lag_seconds", role="receiver") == 0.4, "the worst"


def test_a_dead_process_keeps_its_counts_and_loses_its_gauges(folder: Path, run: Run) -> None:
    gone, alive = run(revision=2), run(revision=5)

    bury(folder, gone)
    bury(folder, gone)

    assert alive != gone
    assert read(folder, "gateway_events_accepted_total", source="uk-shop") == 6
    assert read(folder, "gateway_commit_seconds_bucket", le="0.005") == 2
    assert read(folder, "gateway_requests_waiting") == 5
    assert read(folder, "gateway_configuration_revision", role="receiver") == 5


def test_a_child_that_keeps_dying_does_not_fill_the_folder(folder: Path, run: Run) -> None:
    for _ in range(2):
        bury(folder, run())
    files = sorted(file.name for file in folder.glob("*.db"))

    assert files == ["counter_gone.db", "histogram_gone.db"]
    assert read(folder, "gateway_events_accepted_total", source="uk-shop") == 6


def test_the_last_word_on_an_account_counts_whoever_said_it(folder: Path, run: Run) -> None:
    say = "import os\nfrom gateway.telemetry import metrics\nmetrics.account('a').stands('{}')\nprint(os.getpid())"
    run(say.format("broken"))
    run(say.format("open"))

    assert read(folder, "gateway_account_standing", account="a", standing="open") == 1
    assert read(folder, "gateway_account_standing", account="a", standing="broken") == 0


def test_a_process_alone_shows_its_own_counts() -> None:
    names = {metric.name for metric in Processes(None).collect()}

    assert "gateway_events_accepted" in names
