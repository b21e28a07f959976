"""Random histories of deaths, freezes, moods, jumping clocks and operators break no promise.

`python -m tests.simulation SEED` replays one, and says which of its turns it takes to break it.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.telemetry import log
from gateway.vendors.base import Answer, Batch, Delivered, Limit, Verdict, same
from tests.simulation import history
from tests.simulation.__main__ import run
from tests.simulation.paper import Paper


@pytest.fixture(autouse=True)
def _quiet(tmp_path: Path) -> Iterator[None]:
    with (tmp_path / "log").open("w") as stream:
        log.configure("json", "error", stream=stream)
        yield


@pytest.mark.parametrize("first", range(0, 60, 10))
def test_a_random_history_breaks_no_promise(first: int) -> None:
    assert {seed: found for seed in range(first, first + 10) if (found := run(seed))} == {}


@pytest.mark.slow
@pytest.mark.parametrize("first", range(10_000, 11_000, 100))
def test_a_thousand_random_histories_break_no_promise(first: int) -> None:
    assert {seed: found for seed in range(first, first + 100) if (found := run(seed))} == {}


def test_the_promises_see_a_vendor_file_that_says_delivered_too_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hasty(Paper):
        def judge(self, batch: Batch, answer: Answer) -> Verdict:  # noqa: ARG002  that is its fault
            return same(Delivered(), batch)

    monkeypatch.setattr(history, "Paper", Hasty)
    assert any("never came" in line for seed in range(20) for line in run(seed))


def test_the_promises_see_a_pace_that_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "LIMIT", Limit(allow=40, per_s=1.0))
    assert any("requests within" in line for seed in range(20) for line in run(seed))
