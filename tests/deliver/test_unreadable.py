"""What another version of the gateway stored, or what is damaged: it is dead, and everything else goes on."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.deliver.intent import intent_of
from gateway.errors import Reason
from gateway.journal.base import DeadFilter, Operation
from gateway.journal.memory import MemoryJournal
from gateway.model import Intent, Lane, ParkedRow, Replay, State
from gateway.telemetry import log
from gateway.vendors.base import Batch
from tests.deliver.making import account, feed, now, record, work
from tests.deliver.town import Town
from tests.simulation.virtual import START_MS, simulate

BATCH = Batch("paper", "order", (record(1), record(2)), 100_000)


@pytest.fixture
def said(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "log"
    with path.open("w") as stream:
        log.configure("json", "warning", stream=stream)
        yield path


class Elsewhere(MemoryJournal):
    """A journal in which some parked records and replays are written as this version does not read them."""

    odd: bytes | None = None
    odd_when: str | None = None
    stumbles = 0

    async def parked(
        self, lane: int, refs: Sequence[tuple[int, str]] | None = None, *, limit: int = 100_000
    ) -> tuple[ParkedRow, ...]:
        rows = await super().parked(lane, refs, limit=limit)
        return tuple(replace(row, record=self.odd if self.odd and row.seq == 1 else row.record) for row in rows)

    async def lanes(self) -> tuple[Lane, ...]:
        if self.stumbles:
            self.stumbles -= 1
            raise LookupError("a lane of tomorrow")
        return await super().lanes()

    async def replays(self) -> tuple[Replay, ...]:
        return tuple(replace(one, when=self.odd_when) for one in await super().replays())


@pytest.mark.parametrize("odd", [b'{"v": 2, "thing": 1}', b'{"channel": 7}', b"(\xb5/\xfd", b"[]"])
@pytest.mark.parametrize("coalesce", [False, True])
def test_a_parked_record_that_cannot_be_read_is_dead_and_its_account_goes_on(
    odd: bytes, said: Path, *, coalesce: bool
) -> None:
    async def history() -> None:
        town = Town(coalesce=coalesce)
        town.journal = journal = Elsewhere()
        async with town:
            town.site.mood = "failing"
            first = await town.event("a", 1)
            await asyncio.sleep(2.0)
            second = await town.event("a", 2)
            other = await town.event("b", 3)
            await asyncio.sleep(2.0)
            journal.odd = odd
            town.site.mood = "well"
            await town.settled()
            assert await town.states() == {first: State.DEAD, second: State.DELIVERED, other: State.DELIVERED}
            (letter,) = [one async for one in journal.dead(DeadFilter())]
            assert letter.row.reason == Reason.UNREADABLE
            assert "stored" in letter.row.detail
            assert all(row.balanced for row in await journal.audit())
            journal.odd = None
            await journal.retry(DeadFilter(), Operation(START_MS, "ada", "retry", ""), every_state=True)
            await town.settled()
            assert (await town.states())[first] is State.DELIVERED

    simulate(history())
    assert "process.failed" not in said.read_text()


def spoilt(kind: str) -> Intent:
    return replace(intent_of("paper", BATCH, kind, None, 100_000), payload=b'{"members": 3}')


@pytest.mark.parametrize("kind", ["keyed", "steps", "once"])
def test_a_call_that_was_cut_off_and_cannot_be_read_is_ambiguous(kind: str) -> None:
    one = work()
    made = account(one)
    made.resume(spoilt(kind))
    feed(made, one, record(1), record(2), record(3))
    batch = made.next_batch(now(100.0))
    assert isinstance(batch, Batch)
    assert [each.seq for each in batch.records] == [3]
    settlement = made.settlement(0)
    assert settlement is not None
    assert [(row.seq, row.state, row.reason) for row in settlement.lanes[0].parked] == [
        (1, State.DEAD, Reason.AMBIGUOUS),
        (2, State.DEAD, Reason.AMBIGUOUS),
    ]
    assert settlement.intents_done == (bytes.fromhex(BATCH.key),)


def test_one_of_parked_records_is_ambiguous_as_well() -> None:
    first, second = (
        ParkedRow(one.seq, one.part, "order", one.draft.key_hash, State.PARKED, 1, 0, 0, 0, "server_error")
        for one in BATCH.records
    )
    one = work(parked=(first, second), cursor=2)
    made = account(one)
    made.resume(spoilt("keyed"))
    assert made.next_batch(now(100.0)) is None
    settlement = made.settlement(0)
    assert settlement is not None
    assert {(row.seq, row.state, row.reason) for row in settlement.lanes[0].parked} == {
        (1, State.DEAD, Reason.AMBIGUOUS),
        (2, State.DEAD, Reason.AMBIGUOUS),
    }


def test_a_replay_that_cannot_be_read_stands_still_and_the_others_go_on(said: Path) -> None:
    async def history() -> None:
        town = Town()
        town.journal = journal = Elsewhere()
        async with town:
            first = await town.event("a", 1)
            await town.settled()
            journal.odd_when = "of_tomorrow(data)"
            lane = await town.replay(when="data")
            await asyncio.sleep(5.0)
            later = await town.event("b", 2)
            await asyncio.sleep(5.0)
            assert town.applied() == [first, later]
            assert town.applied(lane) == []
            await journal.change_lane(lane.id, Operation(START_MS, "ada", "end", ""))
            await town.settled()

    simulate(history())
    told = said.read_text()
    assert "process.failed" not in told
    assert told.count("replay.unreadable") == 1
    assert "of_tomorrow" in told


def test_a_stumble_over_what_operators_did_ends_nothing(said: Path) -> None:
    async def history() -> None:
        town = Town()
        town.journal = journal = Elsewhere()
        async with town:
            await town.event("a", 1)
            await town.settled()
            (lane,) = await journal.lanes()
            journal.stumbles = 1
            await journal.change_lane(lane.id, Operation(START_MS, "ada", "pause", ""))
            await asyncio.sleep(5.0)
            await journal.change_lane(lane.id, Operation(START_MS, "ada", "resume", ""))
            later = await town.event("b", 2)
            await town.settled()
            assert town.applied()[-1] == later

    simulate(history())
    assert "a lane of tomorrow" in said.read_text()
