"""What payloads looked like outlives the process: it is recalled from the events that are stored."""

import pytest

from gateway.deliver.recall import EVENTS_MAX, recall
from gateway.errors import JournalUnavailable
from gateway.journal.base import EventFilter
from gateway.journal.memory import MemoryJournal
from gateway.mapping.drift import LEARNED, ROUND, Watches
from gateway.model import Event
from gateway.telemetry import metrics
from tests.journal.making import Lanehand, accept
from tests.sandbox.clock import ManualClock

USUAL = b'{"id": 1, "total": "1.00"}'
OTHER = {"id": 1, "total": 1, "gift": True}
FULL = LEARNED + 10


class Life:
    """The watches of one process."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.watches = Watches(self.clock, recalling=True)

    def look(self, source: str, times: int = ROUND) -> None:
        """So many of the other payload arrive."""
        for _ in range(times):
            self.clock.move(1.0)
            self.watches.of(source).look("orders/create", OTHER)


def told(source: str) -> float:
    found = (metrics.schema_drift.labels(source, change)._value.get() for change in ("appeared", "changed"))
    return float(sum(found))


async def taken(source: str, settled: int, events: int = FULL, body: bytes = USUAL) -> MemoryJournal:
    """A journal with so many events, of which so many are settled."""
    journal = MemoryJournal()
    hand = await Lanehand.on(journal, source)
    await accept(journal, events, source=source, body=body)
    if settled:
        await hand.deliver(1, settled)
    return journal


async def test_what_was_learned_is_known_again_after_a_restart() -> None:
    journal = await taken("recall-one", FULL)
    life = Life()
    await recall(journal, life.watches, ["recall-one"])
    assert told("recall-one") == 0
    life.look("recall-one")
    assert told("recall-one") == 2


async def test_without_stored_events_it_is_learned_anew() -> None:
    life = Life()
    await recall(MemoryJournal(), life.watches, ["recall-two"])
    life.look("recall-two", LEARNED + ROUND)
    assert told("recall-two") == 0


async def test_what_still_waits_is_not_taken_for_known() -> None:
    journal = await taken("recall-three", FULL)
    await accept(journal, FULL, source="recall-three", body=b'{"id": 1, "total": 1, "gift": true}')
    life = Life()
    await recall(journal, life.watches, ["recall-three"])
    life.look("recall-three")
    assert told("recall-three") == 2


async def test_nothing_is_looked_at_until_all_is_recalled() -> None:
    journal = await taken("recall-four", FULL)
    life = Life()
    life.look("recall-four", LEARNED)
    await recall(journal, life.watches, ["recall-four"])
    life.look("recall-four")
    assert told("recall-four") == 2


async def test_a_source_that_is_new_is_watched_at_once() -> None:
    life = Life()
    await recall(MemoryJournal(), life.watches, [])
    watch = life.watches.of("recall-five")
    for _ in range(LEARNED):
        watch.look("orders/create", {"id": 1, "total": "1"})
    life.look("recall-five")
    assert told("recall-five") == 2


async def test_a_body_that_cannot_be_read_is_passed_by() -> None:
    journal = await taken("recall-six", FULL)
    hand_over = await accept(journal, 5, source="recall-six", body=b"{")
    assert len(hand_over) == 5
    life = Life()
    await recall(journal, life.watches, ["recall-six"])
    life.look("recall-six")
    assert told("recall-six") == 2


class Counting(MemoryJournal):
    """Counts the events that are read, and may fail."""

    def __init__(self, *, fails: bool = False) -> None:
        super().__init__()
        self.read_events = 0
        self._fails = fails

    async def events(self, which: EventFilter) -> tuple[Event, ...]:
        if self._fails:
            raise JournalUnavailable("disk I/O error")
        found = await super().events(which)
        self.read_events += len(found)
        return found


@pytest.mark.parametrize(("body", "most"), [(USUAL, EVENTS_MAX), (b'{"a": "' + b"x" * 900_000 + b'"}', 50)])
async def test_no_more_is_read_than_is_needed(body: bytes, most: int) -> None:
    journal = Counting()
    hand = await Lanehand.on(journal, "recall-seven")
    events = EVENTS_MAX + 50 if body == USUAL else 60
    await accept(journal, events, source="recall-seven", body=body)
    await hand.deliver(1, events)
    await recall(journal, Life().watches, ["recall-seven"])
    assert 0 < journal.read_events <= most


async def test_a_journal_that_does_not_answer_only_costs_the_memory() -> None:
    journal = Counting(fails=True)
    hand = await Lanehand.on(journal, "recall-eight")
    await accept(journal, 1, source="recall-eight")
    await hand.deliver(1, 1)
    life = Life()
    await recall(journal, life.watches, ["recall-eight"])
    life.look("recall-eight", LEARNED)
    assert told("recall-eight") == 0
