"""Replays and backfills: what was delivered goes again, but never an old state over a newer one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.deliver.replay import Newest
from gateway.journal.base import DeadFilter, Head, Journal, Keep, Operation
from gateway.model import LaneSpec, Pick, Replay, State
from tests.deliver.making import record
from tests.deliver.town import BY, LIMIT, Town
from tests.simulation.virtual import START_MS, simulate


def test_a_replay_sends_what_was_delivered_again_under_new_keys() -> None:
    async def main() -> None:
        async with Town() as town:
            await town.events({"key": "a", "n": 1}, {"key": "b", "n": 2})
            await town.settled()
            lane = await town.replay()
            await town.settled()
            assert town.applied() == [1, 2]
            assert sorted(town.applied(lane)) == [1, 2]
            assert len({one.id for one in town.site.applied}) == 4
            assert await town.states(lane) == {1: State.DELIVERED, 2: State.DELIVERED}

    simulate(main())


def test_an_old_state_is_not_sent_over_a_newer_one_that_the_journal_holds() -> None:
    async def main() -> None:
        async with Town() as town:
            await town.events({"key": "a", "n": 1}, {"key": "b", "n": 2}, {"key": "a", "n": 3}, {"key": "b", "n": 4})
            await town.settled()
            lane = await town.replay(end_seq=3)
            await town.settled()
            assert town.applied(lane) == [3]
            assert await town.states(lane) == {1: State.SUPERSEDED, 2: State.SUPERSEDED, 3: State.DELIVERED}

    simulate(main())


def test_every_state_is_sent_again_when_told_so() -> None:
    async def main() -> None:
        async with Town() as town:
            await town.events({"key": "a", "n": 1}, {"key": "a", "n": 2})
            await town.settled()
            lane = await town.replay(every_state=True)
            await town.settled()
            assert town.applied(lane) == [1, 2]

    simulate(main())


def test_what_comes_in_while_a_replay_runs_is_newer_than_it() -> None:
    async def main() -> None:
        async with Town(batch={"records": 1}) as town:
            await town.events(*({"key": f"k{n}", "n": n} for n in range(60)))
            await town.settled()
            lane = await town.replay()
            await asyncio.sleep(0.5)
            late = await town.event("k59", 61)
            await town.settled()
            assert 60 not in town.applied(lane)
            assert town.applied()[-1] == late
            assert (await town.states(lane))[60] is State.SUPERSEDED

    simulate(main())


def test_a_replay_means_only_what_its_filter_says() -> None:
    async def main() -> None:
        async with Town() as town:
            await town.events({"key": "a", "n": 1}, {"key": "b", "n": 20}, {"key": "c", "n": 30})
            await town.events({"key": "d", "n": 40}, topic="other/update")
            await town.settled()
            lane = await town.replay(types=("thing.*",), when="data.n > `10`", picked=(Pick("shop", "crm", ((1, 2),)),))
            await town.settled()
            assert town.applied(lane) == [2]
            assert [state for _, state in sorted((await town.states(lane)).items())] == [
                State.FILTERED,
                State.DELIVERED,
                State.FILTERED,
                State.FILTERED,
            ]

    simulate(main())


def test_a_replay_means_the_events_of_its_time() -> None:
    async def main() -> None:
        async with Town() as town:
            for n in range(4):
                await town.event(f"k{n}", n)
                await asyncio.sleep(10)
            lane = await town.replay(from_ms=START_MS + 10_000, to_ms=START_MS + 30_000)
            await town.settled()
            assert sorted(town.applied(lane)) == [2, 3]

    simulate(main())


def test_a_replay_goes_on_after_a_restart_without_sending_again() -> None:
    async def main() -> None:
        async with Town(batch={"records": 1}) as town:
            await town.events(*({"key": f"k{n}", "n": n} for n in range(40)))
            await town.settled()
            lane = await town.replay()
            await asyncio.sleep(2)
            await town.close()
            assert 0 < len(town.applied(lane)) < 40
            town.open()
            await town.settled()
            assert sorted(town.applied(lane)) == list(range(1, 41))

    simulate(main())


def test_a_replay_that_is_paused_stands_still_and_one_that_is_ended_is_given_up() -> None:
    async def main() -> None:
        async with Town(batch={"records": 1}) as town:
            await town.events(*({"key": f"k{n}", "n": n} for n in range(40)))
            await town.settled()
            lane = await town.replay()
            await asyncio.sleep(1)
            await town.journal.change_lane(lane.id, Operation(START_MS, "ada", "pause", ""))
            await asyncio.sleep(5)
            count = len(town.applied(lane))
            await asyncio.sleep(60)
            assert len(town.applied(lane)) == count < 40
            await town.journal.change_lane(lane.id, Operation(START_MS, "ada", "end", ""))
            await asyncio.sleep(60)
            assert len(town.applied(lane)) == count
            assert await town.event("new", 1) == 41
            await town.settled()
            assert town.applied()[-1] == 41
            assert all(row.balanced for row in await town.journal.audit())

    simulate(main())


def test_live_events_go_before_a_replay() -> None:
    async def main() -> None:
        async with Town(batch={"records": 1}) as town:
            await town.events(*({"key": f"k{n}", "n": n} for n in range(400)))
            await town.settled()
            lane = await town.replay()
            await asyncio.sleep(2)
            began = len(town.site.applied)
            await town.events(*({"key": f"l{n}", "n": n} for n in range(80)))
            await asyncio.sleep(5)
            ours = [one.lane for one in town.site.applied[began : began + 45]]
            assert 0.15 <= sum(one == lane.id for one in ours) / len(ours) <= 0.3

    simulate(main())


def test_a_destination_is_filled_from_the_past_while_live_events_flow() -> None:
    async def main() -> None:
        async with Town() as town:
            await town.journal.change_lane(1, Operation(START_MS, "ada", "end", ""))
            await town.events({"key": "a", "n": 1}, {"key": "b", "n": 2}, {"key": "a", "n": 3})
            backfill = Replay("rpl_b", START_MS, "gateway", why="backfill")
            await town.journal.register([LaneSpec("shop", "crm", start_seq=0, backfill=backfill)])
            (past,) = [lane for lane in await town.journal.lanes() if lane.kind == "rpl_b"]
            await town.event("b", 4)
            await town.settled()
            assert town.applied(past) == [3]
            assert [one.seq for one in town.site.applied if one.lane != past.id] == [4]

    simulate(main())


def test_a_replay_of_nothing_is_over_at_once() -> None:
    async def main() -> None:
        async with Town() as town:
            await town.events({"key": "a", "n": 1})
            await town.settled()
            lane = await town.replay(picked=(Pick("shop", "lake", ((1, 1),)),))
            await town.settled()
            (row,) = [row for row in await town.journal.lane_rows() if row.lane.id == lane.id]
            assert (row.lane.cursor, row.lane.counts.filtered) == (1, 1)

    simulate(main())


def test_the_end_is_written_down_where_the_last_events_are_of_others() -> None:
    async def main() -> None:
        async with Town() as town:
            await town.events({"key": "a", "n": 1})
            await town.settled()
            lane = await town.replay(end_seq=1)
            await town.journal.replay(
                Replay("rpl_far", START_MS, "ada"), [LaneSpec("shop", "crm", "rpl_far", start_seq=1, end_seq=1)], BY
            )
            await town.settled()
            lanes = {one.kind: one for one in await town.journal.lanes()}
            assert lanes["rpl_far"].cursor == 1
            assert lanes[lane.kind].cursor == 1

    simulate(main())


def test_a_dead_letter_of_a_replay_can_be_retried_when_the_replay_is_over() -> None:
    async def main() -> None:
        async with Town() as town:
            await town.events({"key": "a", "n": 1, "poison": True})
            await town.settled()
            lane = await town.replay()
            await town.settled()
            assert (await town.states(lane)) == {1: State.DEAD}
            await town.journal.retry(DeadFilter(), BY)
            await town.settled()
            assert (await town.states(lane)) == {1: State.DEAD}
            assert len(town.site.requests) == 3  # live and replay went again together

    simulate(main())


@pytest.mark.parametrize("number", [10, 5_000])
def test_the_newest_state_of_each_key_is_known_for_any_number_of_keys(number: int) -> None:
    newest = Newest()
    newest.note(record(seq, key=f"k{seq % number}") for seq in range(1, 2 * number + 1))
    newest.note([record(1, key="k1")])
    assert newest.of(record(1, key="k1").draft.key_hash) == number + 1
    assert newest.of(b"unknown") == 0
    newest.close()


def test_the_limit_goes_for_live_and_replay_together() -> None:
    async def main() -> None:
        async with Town(batch={"records": 1}) as town:
            await town.events(*({"key": f"k{n}", "n": n} for n in range(50)))
            await town.replay()
            await town.settled()
            times = [at_s for at_s, *_ in town.site.requests]
            allowed = int(LIMIT.allow)
            assert all(late - early >= 0.999 for early, late in zip(times, times[allowed:], strict=False))

    simulate(main())


async def _over_what_is_gone() -> None:
    async with Town() as town:
        seqs = [await town.event(f"k{n}", n) for n in range(4)]
        await town.settled()
        later_ms = town.process.clock.now_ms() + 1_000
        year_ms = 365 * 86_400_000
        while (await town.journal.keep(Keep(later_ms, 0, year_ms, year_ms, year_ms, year_ms))).more:
            pass
        left = [event.seq for event in (await town.journal.read(0)).events]
        assert left == seqs[-1:]
        lane = await town.replay()
        await town.settled()
        assert town.applied(lane) == left
        assert [row.why for row in await town.journal.audit()] == ["", ""]


def test_a_replay_has_nothing_of_what_retention_removed_before() -> None:
    simulate(_over_what_is_gone())


def test_a_replay_that_begins_before_the_log_was_heard_of_knows_the_newer_states_too() -> None:
    async def main() -> None:
        town = Town()
        journal: Any = town.journal
        journal.wait = _late_news(journal)
        async with town:
            await asyncio.sleep(1.0)
            await town.events({"key": "a", "n": 1}, {"key": "a", "n": 2})
            await town.journal.change_lane(1, replace(BY, what="skip"))
            lane = await town.replay(end_seq=1)
            town.swap()
            await town.settled()
            assert town.applied(lane) == []

    simulate(main())


def _late_news(journal: Journal) -> Callable[[Head, float], Awaitable[Head]]:
    """Commits are heard of half a minute later."""

    async def wait(_: Head, __: float) -> Head:
        await asyncio.sleep(30.0)
        return await journal.head()

    return wait
