"""Group commit: who waits for whom, what a failing or hanging log does to requests, what a close drains."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.errors import Cause, GroupRefused, JournalUnavailable, Rejected
from gateway.model import Group, Offer, Rejection
from gateway.receive.accept import REJECTIONS_PER_S, Acceptor
from tests.receive.knock import CommandedLog, CountingChance, StillClock, Told


def offer(name: str = "a", *, body: bytes = b"{}", identity: bytes | None = None) -> Offer:
    return Offer("shop", name, 1_000, 1, "POST", "", (), body, identity, 60_000)


def rejection(source: str = "shop", detail: str = "") -> Rejection:
    return Rejection(source, 1_000, "signature_wrong", detail, "POST", "198.51.100.7", (), b"")


@asynccontextmanager
async def accepting(log: CommandedLog, **limits: Any) -> AsyncIterator[tuple[Acceptor, Told]]:
    told = Told()
    acceptor = Acceptor(log, StillClock(), CountingChance(), observer=told, **limits)
    acceptor.start()
    try:
        yield acceptor, told
    finally:
        log.gate.set()
        await acceptor.close()


async def held(log: CommandedLog, acceptor: Acceptor) -> asyncio.Task[Any]:
    """A first request whose commit is under way and does not end."""
    log.gate.clear()
    log.arrived.clear()
    first = asyncio.create_task(acceptor.accept((offer("first"),)))
    await log.arrived.wait()
    return first


def topics(group: Group) -> list[str]:
    return [one.topic for one in group.offers]


async def test_a_request_alone_is_committed_at_once() -> None:
    log = CommandedLog()
    async with accepting(log) as (acceptor, _):
        (receipt,) = await acceptor.accept((offer(),))
    assert (receipt.seq, receipt.duplicate) == (1, False)
    assert len(log.offered) == 1


async def test_requests_that_arrive_while_a_commit_is_under_way_form_the_next_group() -> None:
    log = CommandedLog()
    async with accepting(log) as (acceptor, _):
        first = await held(log, acceptor)
        rest = [asyncio.create_task(acceptor.accept((offer(str(n)),))) for n in range(50)]
        await asyncio.sleep(0)
        log.gate.set()
        receipts = [await task for task in (first, *rest)]
    assert [len(group.offers) for group in log.offered] == [1, 50]
    assert [receipt[0].seq for receipt in receipts] == list(range(1, 52))


async def test_a_group_takes_in_what_comes_while_it_is_read_and_then_waits_no_longer() -> None:
    log = CommandedLog()
    async with accepting(log) as (acceptor, _):
        tasks = [asyncio.create_task(acceptor.accept((offer("0"),)))]
        for n in range(1, 5):
            await asyncio.sleep(0)
            tasks.append(asyncio.create_task(acceptor.accept((offer(str(n)),))))
        await asyncio.gather(*tasks)
        late = await acceptor.accept((offer("late"),))
    assert [len(group.offers) for group in log.offered] == [5, 1]
    assert late[0].seq == 6


async def test_requests_that_never_cease_to_come_do_not_keep_a_group_from_its_commit() -> None:
    log, clock = CommandedLog(), StillClock()
    acceptor = Acceptor(log, clock, CountingChance())
    acceptor.start()
    tasks: list[asyncio.Task[Any]] = []
    while not log.offered:
        tasks.append(asyncio.create_task(acceptor.accept((offer(str(len(tasks))),))))
        clock.mono_s += 0.001
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    await acceptor.close()
    assert 1 < len(log.offered[0].offers) < 10


async def test_a_group_takes_no_more_than_its_limit() -> None:
    log = CommandedLog()
    async with accepting(log, group_limit=20) as (acceptor, _):
        first = await held(log, acceptor)
        rest = [asyncio.create_task(acceptor.accept((offer(str(n)),))) for n in range(50)]
        await asyncio.sleep(0)
        log.gate.set()
        await asyncio.gather(first, *rest)
    assert [len(group.offers) for group in log.offered] == [1, 20, 20, 10]


async def test_offers_of_one_request_stay_in_one_group() -> None:
    log = CommandedLog()
    async with accepting(log, group_limit=4) as (acceptor, _):
        first = await held(log, acceptor)
        second = asyncio.create_task(acceptor.accept((offer("b"), offer("b"), offer("b"))))
        third = asyncio.create_task(acceptor.accept((offer("c"), offer("c"))))
        await asyncio.sleep(0)
        log.gate.set()
        await asyncio.gather(first, second, third)
    assert [topics(group) for group in log.offered] == [["first"], ["b", "b", "b"], ["c", "c"]]


async def test_more_than_may_wait_are_turned_away_at_once_and_served_again_later() -> None:
    log = CommandedLog()
    async with accepting(log, waiting_limit=3) as (acceptor, _):
        first = await held(log, acceptor)
        waiting = [asyncio.create_task(acceptor.accept((offer(),))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Rejected) as refused:
            await acceptor.accept((offer(),))
        assert refused.value.cause is Cause.OVERLOADED
        log.gate.set()
        await asyncio.gather(first, *waiting)
        await acceptor.accept((offer(),))
    assert len(log.events) == 4


async def test_a_journal_that_fails_is_tried_once_more_with_the_same_group() -> None:
    log = CommandedLog()
    failures = iter([JournalUnavailable("connection lost")])
    log.trouble = lambda _: next(failures, None)
    async with accepting(log) as (acceptor, _):
        (receipt,) = await acceptor.accept((offer(),))
    assert receipt.seq == 1
    assert log.offered[0].id == log.offered[1].id


async def test_a_full_disk_is_answered_at_once_and_service_resumes_by_itself() -> None:
    log = CommandedLog()
    log.trouble = lambda _: JournalUnavailable("disk full")
    async with accepting(log) as (acceptor, told):
        for _ in range(3):
            with pytest.raises(Rejected) as refused:
                await acceptor.accept((offer(),))
            assert refused.value.cause is Cause.JOURNAL_UNAVAILABLE
        log.trouble = lambda _: None
        await acceptor.accept((offer(),))
    assert len(log.events) == 1
    assert told.failures


async def test_one_bad_event_never_fails_its_neighbours() -> None:
    log = CommandedLog()
    log.trouble = lambda group: ValueError("a bug") if "bad" in topics(group) else None
    async with accepting(log) as (acceptor, _):
        first = await held(log, acceptor)
        rest = [asyncio.create_task(acceptor.accept((offer(name),))) for name in ("a", "bad", "b")]
        await asyncio.sleep(0)
        log.gate.set()
        results = await asyncio.gather(first, *rest, return_exceptions=True)
    assert [isinstance(result, Rejected) for result in results] == [False, False, True, False]
    assert [one.topic for one in log.offers] == ["first", "a", "b"]


async def test_events_that_can_never_be_stored_are_taken_out_and_the_rest_goes_as_one_group() -> None:
    log = CommandedLog()

    def trouble(group: Group) -> BaseException | None:
        faults = {place: "never" for place, topic in enumerate(topics(group)) if topic == "bad"}
        return GroupRefused(faults) if faults else None

    log.trouble = trouble
    async with accepting(log) as (acceptor, _):
        first = await held(log, acceptor)
        rest = [asyncio.create_task(acceptor.accept((offer(name),))) for name in ("bad", "a", "bad", "b")]
        await asyncio.sleep(0)
        log.gate.set()
        results = await asyncio.gather(first, *rest, return_exceptions=True)
    causes = [result.cause if isinstance(result, Rejected) else None for result in results]
    assert causes == [None, Cause.BODY_UNREADABLE, None, Cause.BODY_UNREADABLE, None]
    assert [topics(group) for group in log.offered] == [["first"], ["bad", "a", "bad", "b"], ["a", "b"]]


async def test_a_commit_that_hangs_is_answered_503_and_offered_again_with_the_same_id_until_it_is_known() -> None:
    log = CommandedLog()
    async with accepting(log, commit_timeout_s=0.03) as (acceptor, _):
        first = await held(log, acceptor)
        with pytest.raises(Rejected) as refused:
            await first
        assert refused.value.cause is Cause.JOURNAL_UNAVAILABLE
        assert not log.events
        log.gate.set()
        (receipt,) = await acceptor.accept((offer("second"),))
    assert receipt.seq == 2
    assert [one.topic for one in log.offers] == ["first", "second"]
    assert len({group.id for group in log.offered}) == 2


async def test_what_waits_behind_a_hanging_commit_is_answered_503_and_never_stored() -> None:
    log = CommandedLog()
    async with accepting(log, commit_timeout_s=0.03) as (acceptor, _):
        first = await held(log, acceptor)
        second = asyncio.create_task(acceptor.accept((offer("second"),)))
        results = await asyncio.gather(first, second, return_exceptions=True)
        log.gate.set()
        await acceptor.accept((offer("third"),))
    assert all(isinstance(result, Rejected) for result in results)
    assert [one.topic for one in log.offers] == ["first", "third"]


async def test_a_request_that_is_given_up_does_not_give_up_the_others() -> None:
    log = CommandedLog()
    async with accepting(log) as (acceptor, _):
        first = await held(log, acceptor)
        second = asyncio.create_task(acceptor.accept((offer("second"),)))
        third = asyncio.create_task(acceptor.accept((offer("third"),)))
        await asyncio.sleep(0)
        second.cancel()
        log.gate.set()
        results = await asyncio.gather(first, second, third, return_exceptions=True)
    assert isinstance(results[1], asyncio.CancelledError)
    assert len(log.events) == 3


async def test_a_close_commits_what_waits_and_takes_no_more() -> None:
    log = CommandedLog()
    async with accepting(log) as (acceptor, _):
        first = await held(log, acceptor)
        second = asyncio.create_task(acceptor.accept((offer("second"),)))
        await asyncio.sleep(0)
        closing = asyncio.create_task(acceptor.close())
        await asyncio.sleep(0)
        with pytest.raises(Rejected):
            await acceptor.accept((offer("late"),))
        log.gate.set()
        await asyncio.gather(first, second, closing)
        await acceptor.close()
    assert [one.topic for one in log.offers] == ["first", "second"]


async def test_a_close_over_a_hanging_journal_ends_and_answers_everybody() -> None:
    log = CommandedLog()
    async with accepting(log, commit_timeout_s=0.03) as (acceptor, _):
        first = await held(log, acceptor)
        second = asyncio.create_task(acceptor.accept((offer("second"),)))
        await asyncio.sleep(0)
        await asyncio.wait_for(acceptor.close(), 1)
        results = await asyncio.gather(first, second, return_exceptions=True)
    assert all(isinstance(result, Rejected) for result in results)


async def test_group_ids_are_ordered_by_time_even_when_the_clock_goes_back() -> None:
    log = CommandedLog()
    clock = StillClock()
    acceptor = Acceptor(log, clock, CountingChance())
    acceptor.start()
    for at_ms in (5_000, 5_000, 4_000, 6_000):
        clock.at_ms = at_ms
        await acceptor.accept((offer(),))
    await acceptor.close()
    ids = [group.id for group in log.offered]
    assert ids == sorted(ids)
    assert {len(one) for one in ids} == {16}


async def test_rejected_requests_ride_with_the_next_group() -> None:
    log = CommandedLog()
    async with accepting(log) as (acceptor, _):
        acceptor.reject(rejection(detail="x"))
        await acceptor.accept((offer(),))
    assert [len(group.rejections) for group in log.offered] == [1]
    assert [one.detail for one in log.rejections] == ["x"]


async def test_rejected_requests_are_written_soon_when_no_event_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.receive.accept.REJECTIONS_WITHIN_S", 0.01)
    log = CommandedLog()
    async with accepting(log) as (acceptor, _):
        acceptor.reject(rejection())
        await asyncio.wait_for(log.arrived.wait(), 1)
    assert len(log.rejections) == 1
    assert not log.events


async def test_ten_rejected_requests_a_second_of_one_source_are_kept_and_the_rest_counted() -> None:
    log = CommandedLog()
    async with accepting(log) as (acceptor, told):
        for _ in range(25):
            acceptor.reject(rejection("noisy"))
        acceptor.reject(rejection("quiet"))
        await acceptor.accept((offer(),))
    assert len(log.rejections) == REJECTIONS_PER_S + 1
    assert told.lost_count == 25 - REJECTIONS_PER_S


async def test_rejected_requests_that_a_failing_journal_cannot_take_are_counted() -> None:
    log = CommandedLog()
    log.trouble = lambda _: JournalUnavailable("disk full")
    async with accepting(log) as (acceptor, told):
        acceptor.reject(rejection())
        with pytest.raises(Rejected):
            await acceptor.accept((offer(),))
    assert told.lost_count == 1


async def test_a_commit_tells_what_was_accepted_and_what_was_recognised() -> None:
    log = CommandedLog()
    async with accepting(log) as (acceptor, told):
        await acceptor.accept((offer(identity=b"1" * 16), offer(identity=b"1" * 16)))
    assert told.commits == [({"shop": 1}, {"shop": 1})]
