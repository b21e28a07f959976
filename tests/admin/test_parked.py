"""What waits for its next attempt: since when, why and until when."""

import pytest

from gateway.admin.app import build
from gateway.admin.parked import parked
from gateway.config.values import Secret
from gateway.journal.memory import MemoryJournal
from gateway.model import State
from tests.admin.asgi import Client
from tests.admin.conftest import TOKEN, Gateway
from tests.admin.shelf import Still
from tests.admin.test_pages import signed_in
from tests.journal.making import NOW_MS, Lanehand, accept, row


@pytest.fixture
async def journal() -> MemoryJournal:
    made = MemoryJournal()
    hand, other = await Lanehand.on(made, "uk-shop", "crm"), await Lanehand.on(made, "uk-shop", "lake")
    await accept(made, 4, source="uk-shop")
    late = row(1, "order:1", reason="timeout", due_at_ms=NOW_MS + 60_000, detail="no answer in <30 s>")
    soon = row(2, "order:2", reason="server_error", due_at_ms=NOW_MS + 5_000)
    await hand.settle(4, parked=[late, soon, row(3, state=State.DEAD)])
    await other.settle(4, parked=[row(4, "order:4", due_at_ms=NOW_MS + 30_000)])
    return made


async def test_what_waits_is_listed_by_when_it_goes(journal: MemoryJournal) -> None:
    found = await parked(journal, None, None, 10)
    assert [(one.destination, one.part) for one in found.parked] == [
        ("crm", "order:2"),
        ("lake", "order:4"),
        ("crm", "order:1"),
    ]
    assert [one.due_at for one in found.parked] == sorted(one.due_at for one in found.parked)
    assert (found.parked[2].reason, found.parked[2].detail, found.more) == ("timeout", "no answer in <30 s>", False)
    view = await journal.view(found.parked[2].seq)
    assert view is not None
    assert found.parked[2].event_id == view.event.id


async def test_what_waits_is_bounded_and_chosen_by_lane(journal: MemoryJournal) -> None:
    assert [one.part for one in (await parked(journal, "uk-shop", "lake", 10)).parked] == ["order:4"]
    assert (await parked(journal, "erp", None, 10)).parked == ()
    some = await parked(journal, None, None, 2)
    assert (len(some.parked), some.more) == (2, True)


async def test_the_page_and_the_api_tell_what_waits(journal: MemoryJournal, gateway: Gateway, clock: Still) -> None:
    app = build(journal, gateway.status, Secret(TOKEN), clock=clock)
    text = (await (await signed_in(Client(app))).get("/parked?destination=crm")).text
    assert "no answer in &lt;30 s&gt;" in text
    assert "order:4" not in text
    api = Client(app, {"authorization": f"Bearer {TOKEN}"})
    assert [one["part"] for one in (await api.get("/api/parked?limit=1")).json["parked"]] == ["order:2"]
    assert (await api.get("/api/parked?destination=nowhere")).json == {"parked": [], "more": False}
