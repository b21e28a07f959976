import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from gateway.telemetry import processes
from gateway.telemetry.processes import Folder, Processes

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
def folder(tmp_path: Path) -> Iterator[Folder]:
    claimed = processes.claim(tmp_path)
    yield claimed
    claimed.close()


Run = Callable[..., int]


@pytest.fixture
def run(folder: Folder) -> Run:
    def run(code: str = RECEIVER, revision: int = 1) -> int:
        environment = {**os.environ, **folder.environment, "REVISION": str(revision)}
        return int(subprocess.check_output([sys.executable, "-c", code], env=environment))

    return run


def read(folder: Folder, name: str, **labels: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(Processes(folder))
    return registry.get_sample_value(name, labels)


def test_the_counts_of_real_processes_are_added_up(folder: Folder, run: Run) -> None:
    run(revision=4)
    run(revision=3)

    assert read(folder, "gateway_events_accepted_total", source="uk-shop") == 6
    assert read(folder, "gateway_commit_seconds_count") == 2
    assert read(folder, "gateway_requests_waiting") == 10
    assert read(folder, "gateway_configuration_revision", role="receiver") == 3, "the oldest in force"
    assert read(folder, "gateway_loop_lag_seconds", role="receiver") == 0.4, "the worst"


def test_a_dead_process_keeps_its_counts_and_loses_its_gauges(folder: Folder, run: Run) -> None:
    gone, alive = run(revision=2), run(revision=5)

    folder.bury(gone)
    folder.bury(gone)

    assert alive != gone
    assert read(folder, "gateway_events_accepted_total", source="uk-shop") == 6
    assert read(folder, "gateway_commit_seconds_bucket", le="0.005") == 2
    assert read(folder, "gateway_requests_waiting") == 5
    assert read(folder, "gateway_configuration_revision", role="receiver") == 5


def test_a_child_that_keeps_dying_does_not_fill_the_folder(folder: Folder, run: Run) -> None:
    for _ in range(2):
        folder.bury(run())
    files = sorted(file.name for file in folder.path.glob("*.db"))

    assert files == ["counter_gone.db", "histogram_gone.db"]
    assert read(folder, "gateway_events_accepted_total", source="uk-shop") == 6


def test_the_last_word_on_an_account_counts_whoever_said_it(folder: Folder, run: Run) -> None:
    say = "import os\nfrom gateway.telemetry import metrics\nmetrics.account('a').stands('{}')\nprint(os.getpid())"
    run(say.format("broken"))
    run(say.format("open"))

    assert read(folder, "gateway_account_standing", account="a", standing="open") == 1
    assert read(folder, "gateway_account_standing", account="a", standing="broken") == 0


def test_two_gateways_on_one_machine_have_a_folder_each(tmp_path: Path) -> None:
    one, other = processes.claim(tmp_path), processes.claim(tmp_path)

    assert one.path != other.path
    one.close()
    other.close()


def test_a_folder_that_a_crash_left_is_taken_again_and_empty(tmp_path: Path) -> None:
    crashed = processes.claim(tmp_path)
    (crashed.path / "counter_1.db").write_bytes(b"left over")
    crashed._lock.close()  # what the end of a process does, however it ends

    again = processes.claim(tmp_path)

    assert again.path == crashed.path
    assert list(again.path.glob("*.db")) == []
    again.close()


def test_a_folder_is_given_up_once_and_again(tmp_path: Path) -> None:
    folder = processes.claim(tmp_path)
    folder.close()
    folder.close()

    processes.claim(tmp_path).close()


def test_without_a_place_for_it_there_is_a_fault_and_no_guess(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(OSError, match="no folder for metrics"):
        processes.claim(tmp_path / "file")


def test_a_process_alone_shows_its_own_counts() -> None:
    names = {metric.name for metric in Processes(None).collect()}

    assert "gateway_events_accepted" in names
    assert not processes.in_children({})
    assert processes.in_children({processes.VARIABLE: "somewhere"})
