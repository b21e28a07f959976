"""An event's page and its API name what a look-up found for it, and what it was found for."""

from msgspec.structs import replace

from gateway.admin.app import build
from gateway.admin.derived import derived_from
from gateway.config.schema import LOOKUP, DestinationSettings
from gateway.config.values import Secret
from gateway.journal.base import AttemptRow, EventFilter, EventView
from gateway.journal.memory import MemoryJournal
from gateway.model import Attempt, Counts, Event, State, event_id
from tests.admin.asgi import Client
from tests.admin.conftest import TOKEN, Gateway
from tests.admin.shelf import EVENT, LANE, Shelf, Still
from tests.admin.test_pages import signed_in
from tests.journal.making import NOW_MS, Lanehand, accept, offer, tried

FOUND = replace(EVENT, seq=5, id=event_id(5, b"0123456789abcdef"), derived_from=EVENT.id)


class Looked(Shelf):
    """A desk on which the event was looked up, and what was found for it."""

    async def view(self, seq: int) -> EventView | None:
        asked = AttemptRow(NOW_MS, Attempt(4, "order", "delivered", 200))
        return EventView(FOUND if seq == FOUND.seq else EVENT, ((LANE, State.DELIVERED, (), (asked,)),))

    async def events(self, which: EventFilter) -> tuple[Event, ...]:
        return (FOUND, EVENT) if (which.from_ms, which.to_ms) == (NOW_MS, NOW_MS) else ()


async def test_what_derives_is_found_by_when_its_look_up_was_settled() -> None:
    journal = MemoryJournal()
    await journal.open()
    hand = await Lanehand.on(journal, destination="shop-api")
    first, second = await accept(journal, 2)
    for seq, one, body in ((1, first, b"one"), (2, second, b"two")):
        found = offer(body=body, derived_from=one.id, received_at_ms=NOW_MS)
        await hand.settle(seq, counts=Counts(delivered=1), attempts=[tried(seq)], derived=(found,))
    views = [await journal.view(seq) for seq in (1, 2, 3)]
    ids = [await derived_from(journal, view, ["shop-api"]) for view in views if view]
    events = [await journal.event(seq) for seq in (3, 4)]
    assert ids == [(events[0].id,) if events[0] else (), (events[1].id,) if events[1] else (), ()]
    assert [event.derived_from for event in events if event] == [first.id, second.id]
    assert [await derived_from(journal, view, []) for view in views if view] == [(), (), ()]
    await journal.close()


async def test_the_page_of_each_leads_to_the_other() -> None:
    gateway = Gateway()
    gateway.settings = DestinationSettings(vendor=LOOKUP)
    app = build(Looked(), gateway.status, Secret(TOKEN), clock=Still())
    browser, program = await signed_in(Client(app)), Client(app, {"authorization": f"Bearer {TOKEN}"})
    thin, found = [(await browser.get(f"/events/{one.id}")).text for one in (EVENT, FOUND)]
    assert f'href="/events/{FOUND.id}"' in thin
    assert f'href="/events/{EVENT.id}"' in found
    said = (await program.get(f"/api/events/{EVENT.id}")).text
    assert FOUND.id in said
