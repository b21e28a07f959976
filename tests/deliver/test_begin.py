"""A configuration's lanes, and the past of those that ask for it."""

from typing import Any

import pytest

from gateway.config.schema import Config
from gateway.deliver.begin import begin
from gateway.journal.memory import MemoryJournal
from tests.deliver.making import Half
from tests.journal.making import HOUR_MS, NOW_MS, accept
from tests.simulation.paper import PaperSettings


class Clock:
    """It is always the same time."""

    def now_ms(self) -> int:
        return NOW_MS

    def monotonic_s(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)


async def _begun(**settings: Any) -> tuple[MemoryJournal, list[tuple[str, int, int | None]]]:
    """A journal of three hours, under a configuration of one route; its lanes."""
    journal = MemoryJournal()
    for hour in range(3):
        await accept(journal, 2, received_at_ms=NOW_MS + hour * HOUR_MS)
    for _ in range(2):
        config = Config.model_validate({"sources": {"shop": {}}, "routes": [{"to": ["crm"]}]})
        await begin(journal, config, {"crm": PaperSettings(vendor="paper", **settings)}, Clock(), Half())
    return journal, [(lane.kind, lane.start_seq, lane.end_seq) for lane in await journal.lanes()]


async def test_a_lane_begins_with_what_comes_in() -> None:
    _, lanes = await _begun()
    assert lanes == [("live", 6, None)]


@pytest.mark.parametrize(
    ("start", "after"), [("beginning", 0), ("2025-11-24T17:00:00Z", 2), ("2025-11-24T18:30:00+01:00", 4)]
)
async def test_the_past_that_a_destination_asks_for_goes_beside_it(start: str, after: int) -> None:
    journal, lanes = await _begun(start=start)
    assert sorted(lanes) == [("live", 6, None), ("rpl_0000000000000000", after, 6)]
    (replay,) = await journal.replays()
    assert (replay.why, replay.at_ms) == ("backfill", NOW_MS)
    assert (replay.from_ms is None) == (start == "beginning")


async def test_a_past_that_is_still_to_come_is_no_past() -> None:
    _, lanes = await _begun(start="2031-01-01T00:00:00Z")
    assert lanes == [("live", 6, None)]
