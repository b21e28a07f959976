"""Answers that serve again: never older than what their event tells of, unless they may be."""

import asyncio

from gateway.config.schema import Route, Source
from gateway.deliver.exchange import Exchange
from gateway.deliver.kept import ANSWERS, BYTES, Answers, Asked
from gateway.deliver.outbound import Left
from gateway.deliver.plan import Destination, Planner
from gateway.deliver.route import Router
from gateway.deliver.token import Tokens
from gateway.journal.memory import MemoryJournal
from gateway.mapping.book import Book
from gateway.mapping.normalise import Normaliser
from gateway.model import Event
from gateway.vendors.base import Answer, Batch, Delivered, Record, Request, Response
from gateway.vendors.lookup import Lookup, LookupSettings
from tests.deliver.making import LEASE
from tests.simulation.virtual import VirtualClock, simulate

FOUND = Response(200, {}, b"{}")
AT = Asked(head_seq=7, at_s=50.0)


def test_it_serves_what_was_there_before_it_was_asked_for() -> None:
    answers = Answers()
    answers.keep("order 1", FOUND, AT)
    assert answers.find("order 1", 7, 9_999.0, 0.0) is FOUND
    assert answers.find("order 1", 8, 50.0, 0.0) is None
    assert answers.find("order 2", 1, 50.0, 60.0) is None


def test_it_serves_what_came_later_while_it_may_be_so_old() -> None:
    answers = Answers()
    answers.keep("order 1", FOUND, AT)
    assert answers.find("order 1", 8, 109.9, 60.0) is FOUND
    assert answers.find("order 1", 8, 110.0, 60.0) is None


def test_they_are_bounded_by_number_and_by_size() -> None:
    answers = Answers()
    for number in range(ANSWERS + 5):
        answers.keep(number, FOUND, AT)
    assert [answers.find(number, 0, 50.0, 0.0) is None for number in (4, 5)] == [True, False]
    big = Response(200, {}, b"x" * (BYTES - 1))
    answers.keep("big", big, AT)
    assert answers.find("big", 0, 50.0, 0.0) is big
    answers.keep("another", Response(200, {}, b"xx"), AT)
    assert answers.find("big", 0, 50.0, 0.0) is None
    for _ in range(3):
        answers.keep("another", big, AT)
    assert answers.find("another", 0, 50.0, 0.0) is big


# --- in an exchange --------------------------------------------------------------------------------------------------


class Shop:
    """An API that counts what it is asked, and answers with how often."""

    def __init__(self, status: int = 200) -> None:
        self.asked = 0
        self._status = status

    async def send(self, request: Request, timeout_s: float, left: Left = None) -> Answer:  # noqa: ARG002  it answers at once
        self.asked += 1
        return Response(self._status, {}, b"%d" % self.asked)


HEAD_SEQ = 3
"""How far the journal was known whenever something was asked."""


def looked_up(cache: str = "0s") -> Destination:
    told = LookupSettings.model_validate({"urls": {"*": "https://shop.test/{subject}"}, "cache": cache})
    vendor = Lookup("orders", told)
    return Destination("orders", told, vendor, "shop", "shop", (), vendor.rules())


def thin(seq: int, subject: str = "7", derived_from: str | None = None) -> Event:
    return Event(
        seq=seq,
        id=f"evt_{seq}",
        source="shop",
        topic="order.changed",
        received_at_ms=0,
        revision=0,
        method="POST",
        query="",
        headers=(),
        body=b'{"id":"%b"}' % subject.encode(),
        derived_from=derived_from,
    )


def planner(*lookups: str, to: str = "elsewhere") -> Planner:
    book = Book({})
    router = Router([Route(events=["*"], to=[to])])
    return Planner({"shop": Normaliser("shop", Source(), {}, book)}, router, book, {"shop": lookups})


def a_batch(to: Destination, *events: Event) -> Batch:
    records: list[Record] = []
    for event in events:
        records += planner("orders").plan(event, to, 1).records
    return Batch("orders", records[0].draft.channel, tuple(records), 0)


async def bodies(shop: Shop, to: Destination, *batches: Batch) -> list[bytes]:
    found: list[bytes] = []
    clock = VirtualClock(asyncio.get_running_loop())
    exchange = Exchange(LEASE, MemoryJournal(), Tokens(shop, clock), clock, head=lambda: HEAD_SEQ)
    for batch in batches:
        _, verdict, _ = await exchange.of(to, batch, None)
        found += [one.derived.body for one in verdict.outcomes if isinstance(one, Delivered) and one.derived]
    return found


def run(shop: Shop, to: Destination, *batches: Batch) -> list[bytes]:
    made: list[bytes] = []

    async def main() -> None:
        made.extend(await bodies(shop, to, *batches))

    simulate(main())
    return made


def test_events_that_waited_are_answered_by_one_request() -> None:
    shop, to = Shop(), looked_up()
    assert run(shop, to, a_batch(to, thin(1), thin(2)), a_batch(to, thin(3))) == [b"1"] * 3
    assert shop.asked == 1


def test_an_event_that_came_after_the_answer_is_asked_for_anew() -> None:
    shop, to = Shop(), looked_up()
    assert run(shop, to, a_batch(to, thin(3)), a_batch(to, thin(4)), a_batch(to, thin(4, "8"))) == [b"1", b"2", b"3"]


def test_unless_an_answer_may_grow_old() -> None:
    shop, to = Shop(), looked_up("60s")
    assert run(shop, to, a_batch(to, thin(3)), a_batch(to, thin(4))) == [b"1", b"1"]


def test_what_failed_is_not_kept() -> None:
    shop, to = Shop(503), looked_up("60s")
    assert run(shop, to, a_batch(to, thin(1)), a_batch(to, thin(2))) == []
    assert shop.asked == 2


# --- who is looked up ------------------------------------------------------------------------------------------------


def wanted(plan: Planner, event: Event) -> list[str]:
    return [name for _, targets in plan.routed(event) for name in targets]


def test_a_thin_event_goes_where_routes_say_and_to_its_sources_look_ups() -> None:
    assert wanted(planner("orders", "stock"), thin(1)) == ["elsewhere", "orders", "stock"]


def test_what_a_look_up_found_is_not_looked_up_again() -> None:
    assert wanted(planner("orders"), thin(1, derived_from="evt_0")) == ["elsewhere"]
    assert planner("orders").plan(thin(1, derived_from="evt_0"), looked_up(), 1).records == ()


def test_a_source_without_look_ups_asks_nothing() -> None:
    assert wanted(planner(), thin(1)) == ["elsewhere"]
