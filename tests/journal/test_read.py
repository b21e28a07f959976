"""Reading and waiting: everything committed, in order, byte for byte."""

import asyncio

from gateway.journal.base import Head, Journal
from tests.journal.making import NOW_MS, accept, group, offer


async def test_an_event_is_read_back_as_it_was_received(journal: Journal) -> None:
    said = offer(
        "a",
        topic="orders/paid",
        revision=7,
        method="PUT",
        query="shop=uk&x=%C3%A9",
        headers=(("x-topic", "orders/paid"), ("x-twice", "1"), ("x-twice", "2"), ("x-latin", "é")),
        body=bytes(range(256)) * 9,
        derived_from="evt_x",
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    )
    (receipt,) = await journal.append(group(said))
    event = await journal.event(receipt.seq)
    assert event is not None
    for field in said.__struct_fields__:
        if not field.startswith("identity"):
            assert getattr(event, field) == getattr(said, field)
    assert (event.seq, event.id) == (receipt.seq, receipt.id)


async def test_an_empty_journal_reads_as_nothing(journal: Journal) -> None:
    page = await journal.read(0)
    assert (page.events, page.read_to) == ((), 0)
    assert await journal.event(1) is None
    assert await journal.head() == Head(0, (await journal.head()).operations)


async def test_reading_goes_on_where_it_stopped(journal: Journal) -> None:
    for _ in range(5):
        await accept(journal, 7)
    seen: list[int] = []
    page = await journal.read(0, limit=4)
    while page.events:
        assert len(page.events) <= 4
        seen += [event.seq for event in page.events]
        page = await journal.read(page.read_to, limit=4)
    assert seen == list(range(1, 36))


async def test_a_read_may_begin_inside_a_group(journal: Journal) -> None:
    await accept(journal, 10)
    assert [event.seq for event in (await journal.read(6)).events] == [7, 8, 9, 10]


async def test_only_the_wanted_sources_are_read(journal: Journal) -> None:
    await journal.append(group(offer(source="a"), offer(source="b"), offer(source="c"), offer(source="a")))
    await accept(journal, 3, source="b")
    await accept(journal, 2, source="c")
    page = await journal.read(0, sources=["a", "c"])
    assert [(event.seq, event.source) for event in page.events] == [(1, "a"), (3, "c"), (4, "a"), (8, "c"), (9, "c")]
    assert page.read_to == 9


async def test_a_source_without_events_is_looked_through_to_the_head(journal: Journal) -> None:
    await accept(journal, 3)
    page = await journal.read(0, sources=["nobody"])
    assert (page.events, page.read_to) == ((), 3)
    page = await journal.read(0, sources=[])
    assert (page.events, page.read_to) == ((), 3)


async def test_everything_up_to_read_to_is_in_the_page(journal: Journal) -> None:
    for number in range(40):
        await accept(journal, 1 + number % 3, source="ab"[number % 2])
    after, seen = 0, []
    while True:
        page = await journal.read(after, sources=["b"], limit=3)
        seen += [event.seq for event in page.events]
        if page.read_to == after:
            break
        after = page.read_to
    assert seen == [event.seq for event in (await journal.read(0)).events if event.source == "b"]


async def test_several_sources_are_read_page_by_page_in_one_order(journal: Journal) -> None:
    for number in range(20):
        await journal.append(group(*(offer(source="abcd"[(number * place) % 4]) for place in range(1, 4))))
    wanted = [event.seq for event in (await journal.read(0)).events if event.source in "ac"]
    for limit in (1, 2, 5):
        after, seen = 0, []
        while (page := await journal.read(after, sources=["c", "nobody", "a"], limit=limit)).read_to != after:
            assert len(page.events) <= limit
            seen += [event.seq for event in page.events]
            after = page.read_to
        assert seen == wanted


async def test_a_page_is_bounded_in_bytes_but_never_empty(journal: Journal) -> None:
    await journal.append(group(*(offer(body=b"x" * 1_000) for _ in range(10))))
    page = await journal.read(0, limit_bytes=3_500)
    assert [event.seq for event in page.events] == [1, 2, 3]
    assert page.read_to == 3
    page = await journal.read(0, limit_bytes=10)
    assert [event.seq for event in page.events] == [1]


async def test_reading_beyond_the_head_gives_nothing_and_does_not_go_back(journal: Journal) -> None:
    await accept(journal, 2)
    page = await journal.read(9)
    assert (page.events, page.read_to) == ((), 9)


async def test_waiting_ends_within_50_ms_of_a_commit(journal: Journal) -> None:
    seen = await journal.head()
    waiting = asyncio.create_task(journal.wait(seen, 30))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    loop = asyncio.get_running_loop()
    await accept(journal, 1)
    begun = loop.time()
    assert (await waiting).seq == 1
    assert loop.time() - begun < 0.05


async def test_waiting_for_what_is_there_already_returns_at_once(journal: Journal) -> None:
    await accept(journal, 1)
    assert (await journal.wait(Head(0, 0), 30)).seq == 1


async def test_waiting_ends_without_a_commit(journal: Journal) -> None:
    seen = await journal.head()
    assert await journal.wait(seen, 0.03) == seen
    assert await journal.wait(seen, 0) == seen


async def test_many_may_wait(journal: Journal) -> None:
    seen = await journal.head()
    tasks = [asyncio.create_task(journal.wait(seen, 30)) for _ in range(10)]
    tasks[3].cancel()
    await asyncio.sleep(0)
    await accept(journal, 1)
    heads = await asyncio.gather(*tasks, return_exceptions=True)
    assert [head.seq for head in heads if isinstance(head, Head)] == [1] * 9


async def test_a_retry_alone_does_not_move_the_head(journal: Journal) -> None:
    await journal.append(group(offer("a")))
    seen = await journal.head()
    await journal.append(group(offer("a", received_at_ms=NOW_MS + 5)))
    assert await journal.wait(seen, 0.03) == seen
