"""Live pages: what a stream says, when it is silent, and when it ends."""

import re
from collections.abc import AsyncIterator

import pytest

from gateway.admin import live
from gateway.admin.answers import Problem
from gateway.admin.api import Room
from gateway.errors import JournalUnavailable
from gateway.journal.memory import MemoryJournal
from tests.admin.conftest import Gateway
from tests.admin.shelf import Shelf, Still
from tests.journal.making import accept


async def some(stream: AsyncIterator[str], number: int) -> list[str]:
    """The first pieces of a stream."""
    found: list[str] = []
    async for piece in stream:
        found.append(piece)
        if len(found) == number:
            break
    return found


def event(piece: str) -> str:
    """The HTML of a message."""
    assert piece.endswith("\n\n")
    return "\n".join(line.removeprefix("data: ") for line in piece.splitlines())


async def test_the_figures_are_told_at_once_and_again_when_they_change(
    desk: Shelf, gateway: Gateway, clock: Still
) -> None:
    room = Room(desk, gateway.status, clock)
    stream = live.figures(room, live.Streams())
    (first,) = await some(stream, 1)
    assert "uk-shop" in event(first)
    gateway.roles[0] = type(gateway.roles[0])("receiver", ready=False, why="journal_unavailable")
    (second,) = await some(live.figures(room, live.Streams()), 1)
    assert "journal_unavailable" in event(second)


async def test_a_stream_without_news_only_says_that_it_lives(clock: Still) -> None:
    async def look() -> str:
        return "<p>same</p>"

    room = Room(Shelf(), Gateway().status, clock)
    assert await some(live.changes(room, look, live.Streams()), 3) == [
        "data: <p>same</p>\n\n",
        ": alive\n\n",
        ": alive\n\n",
    ]


async def test_a_stream_ends_after_a_while(clock: Still) -> None:
    async def look() -> str:
        return ""

    room = Room(Shelf(), Gateway().status, clock)
    found = await some(live.changes(room, look, live.Streams()), 10_000)
    assert set(found) == {": alive\n\n"}
    assert len(found) <= live.STREAM_S / live.BEAT_S


async def test_a_journal_that_does_not_answer_ends_nothing(clock: Still) -> None:
    answers = ["<p>1</p>", None, None, "<p>2</p>"]

    async def look() -> str:
        found = answers.pop(0)
        if found is None:
            raise JournalUnavailable("disk I/O error")
        return found

    room = Room(Shelf(), Gateway().status, clock)
    assert await some(live.changes(room, look, live.Streams()), 2) == ["data: <p>1</p>\n\n", "data: <p>2</p>\n\n"]


async def test_the_tail_has_each_event_once_the_newest_first(clock: Still) -> None:
    journal = MemoryJournal()
    old = await accept(journal, 2)
    room = Room(journal, Gateway().status, clock)
    stream = live.tail(room, live.Streams(), "shop", "", after_seq=2)
    new = await accept(journal, 3)
    await accept(journal, 1, source="erp")
    text = event(await anext(aiter(stream)))
    assert re.findall(r"/events/(evt_\w+)", text) == [one.id for one in reversed(new)]
    assert not [one for one in old if one.id in text]
    (more,) = await accept(journal, 1)
    text = event(await anext(aiter(stream)))
    assert more.id in text
    assert new[-1].id not in text


async def test_so_many_look_on_at_once_and_no_more() -> None:
    async def nothing() -> AsyncIterator[str]:
        yield ""

    streams = live.Streams()
    for _ in range(live.STREAMS_MAX):
        streams.answer(nothing())
    with pytest.raises(Problem, match="overloaded"):
        streams.answer(nothing())


async def test_when_the_gateway_stops_every_stream_ends(clock: Still) -> None:
    streams = live.Streams()
    found = []
    async for piece in live.figures(Room(Shelf(), Gateway().status, clock), streams):
        found.append(piece)
        streams.close()
    assert len(found) == 1
