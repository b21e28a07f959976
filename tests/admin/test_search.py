"""Finding events by what is in them."""

import pytest
from msgspec.structs import replace

from gateway.admin.search import EVENTS_PER_LOOK, holds, search
from gateway.journal.base import EventFilter, EventView
from gateway.model import Event, event_id
from tests.admin.shelf import EVENT, Shelf, Still


def made(seq: int, body: bytes, topic: str = "orders/create") -> Event:
    return replace(EVENT, seq=seq, id=event_id(seq, b"0123456789abcdef"), topic=topic, body=body)


class Full(Shelf):
    """A desk with events of its own; each look at it takes a second."""

    def __init__(self, events: list[Event], clock: Still) -> None:
        super().__init__()
        self.all = events
        self.clock = clock
        self.looks = 0

    async def events(self, which: EventFilter) -> tuple[Event, ...]:
        self.looks += 1
        self.clock.now += 1_000
        found = [one for one in reversed(self.all) if which.before_seq is None or one.seq < which.before_seq]
        return tuple(found[: which.limit])

    async def view(self, seq: int) -> EventView | None:
        return next((EventView(one, ()) for one in self.all if one.seq == seq), None)


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("1001", b'{"name": "#1001"}'),
        ("#1001", b'{"name": "#1001"}'),
        ("Ada@Example.com", b'{"email": "ada@example.COM"}'),
        ("Z\N{LATIN SMALL LETTER U WITH DIAERESIS}rich", '{"city": "Zürich"}'.encode()),
        ("Z\N{LATIN SMALL LETTER U WITH DIAERESIS}rich", b'{"city": "Z\\u00FCrich"}'),
        ("ada@example.com", b"email=ada%40example.com&x=1"),
        ('5" shelf', b'{"title": "5\\" shelf"}'),
    ],
)
def test_a_text_is_found_however_the_body_writes_it(text: str, body: bytes) -> None:
    assert holds(made(1, body), text)
    assert not holds(made(1, b'{"id": 7}'), text)


async def test_events_that_hold_a_text_come_newest_first_and_paged() -> None:
    clock = Still()
    shelf = Full([made(seq, b'{"order": %d}' % (seq % 3)) for seq in range(1, 2001)], clock)

    found = await search(shelf, EventFilter(limit=2), clock, contains='"order": 1')
    assert ([one.seq for one in found.events], found.looked_back_to) == ([1999, 1996], None)
    found = await search(shelf, EventFilter(limit=2, before_seq=1996), clock, contains='"order": 1')
    assert [one.seq for one in found.events] == [1993, 1990]


async def test_a_search_ends_with_the_events_or_with_its_time_and_says_which() -> None:
    clock = Still()
    shelf = Full([made(seq, b"{}") for seq in range(1, 5001)], clock)

    whole = await search(shelf, EventFilter(), clock, contains="nowhere")
    assert (whole.events, whole.looked_back_to) == ((), None)
    late = await search(shelf, EventFilter(), clock, contains="nowhere", budget_s=3)
    assert (late.events, late.looked_back_to) == ((), 5001 - 3 * EVENTS_PER_LOOK)
    rest = await search(shelf, EventFilter(before_seq=late.looked_back_to), clock, contains="nowhere")
    assert rest.looked_back_to is None


async def test_a_rare_topic_is_looked_for_as_a_text_is() -> None:
    clock = Still()
    shelf = Full([made(1, b"{}", "orders/paid"), *(made(seq, b"{}") for seq in range(2, 5001))], clock)

    paid = EventFilter(topic="orders/paid")
    assert (await search(shelf, paid, clock, budget_s=3)).looked_back_to == 5001 - 3 * EVENTS_PER_LOOK
    found = await search(shelf, paid, clock)
    assert [one.seq for one in found.events] == [1]


async def test_the_id_of_an_event_is_found_at_once() -> None:
    clock = Still()
    shelf = Full([made(seq, b"{}") for seq in range(1, 5001)], clock)

    found = await search(shelf, EventFilter(), clock, contains=shelf.all[6].id)
    assert ([one.seq for one in found.events], shelf.looks) == ([7], 0)


async def test_without_a_text_or_a_topic_one_look_is_enough() -> None:
    clock = Still()
    shelf = Full([made(seq, b"{}") for seq in range(1, 5001)], clock)

    found = await search(shelf, EventFilter(limit=3), clock, budget_s=0)
    assert ([one.seq for one in found.events], shelf.looks) == ([5000, 4999, 4998], 1)
