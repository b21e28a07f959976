"""Calls that a crash cuts off: keyed ones go out again as they were, stepped ones go on, others are ambiguous."""

import asyncio
from typing import Any

from gateway import document
from gateway.deliver.account import Account
from gateway.deliver.exchange import Exchange
from gateway.deliver.intent import batch_of, intent_of, step_of
from gateway.deliver.outbound import Left
from gateway.deliver.plan import Destination
from gateway.deliver.token import Tokens
from gateway.errors import Reason
from gateway.journal.memory import MemoryJournal
from gateway.model import Intent, State
from gateway.vendors import base
from gateway.vendors.base import Batch, Delivered, Request, Response, Step, same
from tests.deliver.making import RULES, account, destination, feed, now, record, work
from tests.simulation.paper import Paper, PaperSettings
from tests.simulation.virtual import VirtualClock, simulate

BATCH = Batch("paper", "order", (record(1), record(2)), 100_000)


class Archive(Paper):
    """Upload, then process: two requests for one batch."""

    def request(self, batch: Batch) -> Request:  # noqa: ARG002  the archive is always the same
        return Request("POST", "https://archive.example/upload", (), b"zip", intent="steps")

    def step_request(self, batch: Batch, step: Step) -> Request:  # noqa: ARG002  the handle says it all
        return Request("PUT", f"https://archive.example/{step.name}/{step.handle}", (), b"")

    def follow(self, batch: Batch, step: Step | None, answer: base.Answer) -> Step | base.Verdict:  # noqa: ARG002  always well
        return Step("process", "r1", 30.0) if step is None else same(Delivered(step.handle), batch)


class Heard:
    """A way out that remembers, and answers 200 to all."""

    def __init__(self) -> None:
        self.urls: list[str] = []

    async def send(
        self,
        request: Request,
        timeout_s: float,  # noqa: ARG002  it answers at once
        left: Left = None,  # noqa: ARG002  nobody waits for it
    ) -> base.Answer:
        self.urls.append(request.url)
        return Response(200, {}, b"[200, 200]")


def cut_off(kind: str, step: Step | None = None) -> Intent:
    return intent_of("paper", BATCH, kind, step, 100_000)


def reopened(kind: str) -> Account:
    """An account after the crash: its lane reads the two events again, and one more."""
    one = work()
    made = account(one)
    made.resume(cut_off(kind))
    feed(made, one, record(1), record(2), record(3))
    return made


def test_an_intent_holds_its_batch_whole() -> None:
    again = batch_of(cut_off("keyed"))
    assert (again, again.key) == (BATCH, BATCH.key)


def test_an_intent_knows_where_a_call_of_several_requests_was() -> None:
    assert step_of(cut_off("steps", Step("process", "r1"))) == Step("process", "r1")
    assert step_of(cut_off("steps")) is None


def test_a_keyed_batch_goes_out_again_with_the_same_members_before_anything_else() -> None:
    made = reopened("keyed")
    first, second = made.next_batch(now(100.0)), made.next_batch(now(100.0))
    assert isinstance(first, Batch)
    assert isinstance(second, Batch)
    assert (first.key, [one.seq for one in second.records]) == (BATCH.key, [3])


def test_a_batch_that_was_cut_off_waits_until_its_events_are_read_again() -> None:
    one = work()
    made = account(one)
    made.resume(cut_off("keyed"))
    feed(made, one, record(1))
    assert made.next_batch(now(100.0)) is None
    feed(made, one, record(2))
    assert isinstance(made.next_batch(now(100.0)), Batch)


def test_the_settle_of_its_outcomes_ends_the_intent() -> None:
    made = reopened("keyed")
    batch = made.next_batch(now(100.0))
    assert isinstance(batch, Batch)
    made.intent_done(batch)
    made.finished(batch, Response(200, {}, b""), same(Delivered(), batch), 0.1, now(100.0))
    settlement = made.settlement(0)
    assert settlement is not None
    assert settlement.intents_done == (bytes.fromhex(BATCH.key),)
    assert settlement.lanes[0].counts.delivered == 2


def test_what_must_not_go_twice_is_dead_as_ambiguous() -> None:
    made = reopened("once")
    batch = made.next_batch(now(100.0))
    assert isinstance(batch, Batch)
    assert [one.seq for one in batch.records] == [3]
    settlement = made.settlement(0)
    assert settlement is not None
    assert [(row.seq, row.state, row.reason) for row in settlement.lanes[0].parked] == [
        (1, State.DEAD, Reason.AMBIGUOUS),
        (2, State.DEAD, Reason.AMBIGUOUS),
    ]
    assert settlement.intents_done == (bytes.fromhex(BATCH.key),)


def test_a_member_that_no_longer_exists_is_passed_over() -> None:
    one = work()
    made = account(one)
    made.resume(cut_off("keyed"))
    feed(made, one, record(1))
    one.read_to = 2
    batch = made.next_batch(now(100.0))
    assert isinstance(batch, Batch)
    made.finished(batch, Response(200, {}, b""), same(Delivered(), batch), 0.1, now(100.0))
    settlement = made.settlement(0)
    assert settlement is not None
    assert settlement.lanes[0].counts.delivered == 1


def archive() -> Destination:
    settings = PaperSettings(vendor="paper")
    return Destination("paper", settings, Archive("paper", settings), "paper", "paper", (), RULES)


async def _exchanged(step: Step | None) -> tuple[list[str], Any, tuple[Intent, ...]]:
    journal, heard = MemoryJournal(), Heard()
    lease = await journal.claim("paper", "here", None)
    assert lease is not None
    clock = VirtualClock(asyncio.get_running_loop())
    exchange = Exchange(lease, journal, Tokens(heard, clock), clock)
    _, verdict, _ = await exchange.of(archive(), BATCH, step)
    return heard.urls, verdict, await journal.intents([1])


def test_a_call_of_several_requests_notes_each_step_before_it_is_sent() -> None:
    urls, verdict, intents = simulate(_exchanged(None))
    assert urls == ["https://archive.example/upload", "https://archive.example/process/r1"]
    assert verdict == same(Delivered("r1"), BATCH)
    assert [(one.step, one.handle) for one in intents] == [("process", "r1")]


def test_a_call_that_was_cut_off_between_two_steps_uploads_nothing_again() -> None:
    urls, _, _ = simulate(_exchanged(Step("process", "r1")))
    assert urls == ["https://archive.example/process/r1"]


def test_a_destination_with_one_request_writes_no_intent() -> None:
    made = account(work(to=destination()))
    assert made.settlement(0) is None
    assert document.parse(cut_off("keyed").payload)["channel"] == "order"
