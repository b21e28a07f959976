"""Reading the log for many lanes: near the head from memory, behind it page by page, and no page twice."""

import asyncio
from typing import Any

import pytest

from gateway.deliver import reader as reading
from gateway.deliver.reader import Reader
from gateway.errors import JournalUnavailable
from gateway.journal.base import Head, Page
from gateway.journal.memory import MemoryJournal
from gateway.model import Group, Offer


class Counting:
    """A log that counts how often it is read."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal = journal
        self.reads = 0
        self.fails = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    async def read(self, *args: Any, **kwargs: Any) -> Page:
        self.reads += 1
        await asyncio.sleep(0)
        if self.fails:
            self.fails -= 1
            raise JournalUnavailable("the disk stands still")
        return await self._journal.read(*args, **kwargs)


async def filled(count: int, sources: tuple[str, ...] = ("shop",), revision: int = 0) -> Counting:
    log = Counting(MemoryJournal())
    await add(log, count, sources, revision)
    return log


async def add(log: Counting, count: int, sources: tuple[str, ...] = ("shop",), revision: int = 0) -> None:
    head = await log.head()
    for place in range(count):
        number = head.seq + place
        offer = Offer(sources[place % len(sources)], "t", 1000, revision, "POST", "", (), b"{}")
        await log.append(Group(number.to_bytes(16, "big"), (offer,)))


def seqs(page: Page) -> list[int]:
    return [event.seq for event in page.events]


async def test_what_comes_after_the_start_is_read_once_for_all_lanes() -> None:
    log = await filled(0)
    one = Reader(log, Head(0, 0), 0)
    await add(log, 6, ("a", "b"))
    await one.advance(await log.head())
    assert [seqs(await one.page(source, 0)) for source in ("a", "b", "a")] == [[1, 3, 5], [2, 4, 6], [1, 3, 5]]
    assert log.reads == 1


async def test_a_lane_that_lags_reads_its_own_source_and_no_page_twice() -> None:
    log = await filled(10, ("a", "b"))
    one = Reader(log, await log.head(), 0)
    assert seqs(await one.page("a", 0)) == [1, 3, 5, 7, 9]
    assert seqs(await one.page("a", 5)) == [7, 9]
    assert log.reads == 1


async def test_lanes_that_lag_together_read_a_page_once_while_it_is_being_read() -> None:
    log = await filled(10, ("a", "b"))
    one = Reader(log, await log.head(), 0)
    pages = await asyncio.gather(one.page("a", 0), one.page("a", 0), one.page("b", 0), one.page("a", 5))
    assert [seqs(page) for page in pages] == [[1, 3, 5, 7, 9], [1, 3, 5, 7, 9], [2, 4, 6, 8, 10], [7, 9]]
    assert log.reads == 2


async def test_the_next_page_of_a_lane_that_lags_is_read_while_this_one_is_planned() -> None:
    log = await filled(450)
    one = Reader(log, await log.head(), 0)
    assert seqs(await one.page("shop", 0))[-1] == 200
    await asyncio.sleep(0.001)
    assert log.reads == 2
    assert seqs(await one.page("shop", 200)) == list(range(201, 401))
    assert seqs(await one.page("shop", 400)) == list(range(401, 451))
    await asyncio.sleep(0.001)
    assert log.reads == 3


async def test_what_is_being_read_ahead_is_forgotten_with_the_rest() -> None:
    log = await filled(450)
    one = Reader(log, await log.head(), 0)
    await one.page("shop", 0)
    one.forget()
    await asyncio.sleep(0.001)
    assert log.reads == 1
    assert seqs(await one.page("shop", 200))[0] == 201


async def test_nothing_is_read_ahead_where_many_sources_lag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LAG_MAX", 1)
    log = await filled(900, ("a", "b"))
    one = Reader(log, await log.head(), 0)
    await one.page("a", 0)
    await one.page("b", 0)
    await asyncio.sleep(0.001)
    assert log.reads == 3


async def test_what_cannot_be_read_ahead_is_read_when_it_is_asked_for() -> None:
    log = await filled(250)
    one = Reader(log, await log.head(), 0)
    log.fails = 1
    with pytest.raises(JournalUnavailable):
        await one.page("shop", 0)
    await one.page("shop", 0)
    log.fails = 1
    await asyncio.sleep(0.001)
    assert log.fails == 0
    assert seqs(await one.page("shop", 200))[0] == 201


async def test_the_tail_is_bounded_and_who_falls_behind_it_reads_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "TAIL_EVENTS", 4)
    log = await filled(0)
    one = Reader(log, Head(0, 0), 0)
    await add(log, 10)
    await one.advance(await log.head())
    reads = log.reads
    assert seqs(await one.page("shop", 7)) == [8, 9, 10]
    assert log.reads == reads
    assert seqs(await one.page("shop", 2))[0] == 3
    assert log.reads == reads + 1


async def test_a_quiet_source_moves_on_with_the_head() -> None:
    log = await filled(0)
    one = Reader(log, Head(0, 0), 0)
    await add(log, 5, ("other",))
    await one.advance(await log.head())
    assert await one.page("shop", 0) == Page((), 5)


async def test_no_event_of_a_newer_configuration_is_given() -> None:
    log = await filled(0)
    one = Reader(log, Head(0, 0), 1)
    await add(log, 2, revision=1)
    await add(log, 2, revision=2)
    await one.advance(await log.head())
    page = await one.page("shop", 0)
    assert (seqs(page), page.read_to) == ([1, 2], 2)
    one.swap(2)
    assert seqs(await one.page("shop", 2)) == [3, 4]
