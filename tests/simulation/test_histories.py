"""Random histories of deaths, freezes, moods, jumping clocks and operators break no promise.

`python -m tests.simulation SEED` replays one, and says which of its turns it takes to break it.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.config.quiet import QuietHours
from gateway.deliver import still
from gateway.deliver.account import Account
from gateway.deliver.breaker import Breaker
from gateway.deliver.gate import Gate
from gateway.deliver.lane import LaneWork
from gateway.deliver.reader import Reader
from gateway.deliver.replay import Again
from gateway.errors import Reason
from gateway.journal.memory.store import Store
from gateway.journal.postgres import PostgresJournal, connection
from gateway.journal.sqlite import SqliteJournal
from gateway.model import LIVE
from gateway.telemetry import log
from gateway.vendors.base import Answer, Batch, Delivered, Limit, Request, Retry, Verdict, same
from gateway.vendors.lookup import Lookup
from tests.journal import databases
from tests.journal.databases import EmptyPostgres
from tests.simulation import configured, paper
from tests.simulation.__main__ import run
from tests.simulation.configured import Kind, kind
from tests.simulation.history import History
from tests.simulation.paper import Paper
from tests.simulation.virtual import VirtualLoop

MORE = int(os.environ.get("GATEWAY_TEST_HISTORIES", "12"))
"""Histories over PostgreSQL, beside the few that always run."""


@pytest.fixture(autouse=True)
def _quiet(tmp_path: Path) -> Iterator[None]:
    with (tmp_path / "log").open("w") as stream:
        log.configure("json", "error", stream=stream)
        yield


@pytest.mark.parametrize("first", range(0, 60, 10))
def test_a_random_history_breaks_no_promise(first: int) -> None:
    assert {seed: found for seed in range(first, first + 10) if (found := run(seed))} == {}


@pytest.mark.slow
@pytest.mark.parametrize("first", range(10_000, 11_000, 100))
def test_a_thousand_random_histories_break_no_promise(first: int) -> None:
    assert {seed: found for seed in range(first, first + 100) if (found := run(seed))} == {}


class Threaded:
    """A journal that works in threads, as a history on virtual time can use it."""

    def __init__(self, path: Path) -> None:
        self._journal: Any = SqliteJournal(path)
        for name in ("_writer", "_reader", "_desk"):
            worker: Any = getattr(self._journal, name)
            worker.run = partial(self._outside, worker.run)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._journal, name)
        return partial(self._outside, method) if name in ("open", "close") else method

    async def _outside(self, method: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        with loop.outside():
            return await method(*args, **kwargs)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20_000, 20_015))
def test_a_random_history_over_sqlite_breaks_no_promise(seed: int, tmp_path: Path) -> None:
    assert run(seed, lambda: Threaded(tmp_path / "gateway.db")) == []


class Served:
    """A journal on a server, as a history on virtual time can use it: no time passes while the server is asked, and
    what is committed is heard of at the next look.
    """

    def __init__(self, url: str) -> None:
        self._journal: Any = PostgresJournal(url)
        inside = vars(self._journal)
        inside["_listener"] = _Unheard()
        for name in ("_db", "_desk"):
            vars(inside[name])["one"] = partial(self._outside, inside[name].one)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        with loop.outside():
            await self._journal.close()

    @asynccontextmanager
    async def _outside(self, one: Callable[[float], AbstractAsyncContextManager[Any]], timeout_s: float) -> Any:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        with loop.outside():
            async with one(timeout_s) as connection:
                yield connection


class _Unheard:
    """Nobody is told of commits."""

    def heard(self) -> None: ...

    def promise(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()

    def forget(self, promise: asyncio.Future[None]) -> None:
        promise.cancel()

    async def close(self) -> None: ...


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty journal. Its connections are good however much virtual time passes."""

    async def emptied() -> None:
        journal = EmptyPostgres(tmp_path)
        await journal.open()
        await journal.close()

    asyncio.run(emptied())
    monkeypatch.setattr(connection, "IDLE_S", float("inf"))
    return databases.url()


@pytest.mark.parametrize("seed", range(30_000, 30_004))
def test_a_random_history_over_postgresql_breaks_no_promise(seed: int, database: str) -> None:
    assert run(seed, lambda: Served(database), replica=lambda: Served(database)) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30_004, 30_004 + MORE))
def test_more_random_histories_over_postgresql_break_no_promise(seed: int, database: str) -> None:
    assert run(seed, lambda: Served(database), replica=lambda: Served(database)) == []


def of_kind(wanted: Kind, most: int) -> Iterator[str]:
    """What the first histories of a kind broke."""
    for seed in islice((seed for seed in count() if kind(seed) is wanted), most):
        yield from run(seed)


def test_the_promises_see_a_vendor_file_that_says_delivered_too_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hasty(Paper):
        def judge(self, batch: Batch, answer: Answer) -> Verdict:  # noqa: ARG002  that is its fault
            return same(Delivered(), batch)

    monkeypatch.setattr(configured, "Paper", Hasty)
    assert any("never came" in line for seed in range(20) for line in run(seed))


def test_the_promises_see_a_pace_that_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configured, "LIMIT", Limit(allow=40, per_s=1.0))
    assert any("requests within" in line for line in of_kind(Kind.CROWDED, 5))


def test_the_promises_see_a_hold_that_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LaneWork, "_held", lambda *_: False)
    assert any("before its hold was over" in line for seed in range(20) for line in run(seed))


def test_the_promises_see_quiet_hours_that_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(still, "QuietHours", lambda _: QuietHours([]))
    assert any("in its quiet hours" in line for line in of_kind(Kind.LONG, 30))


def test_the_promises_see_a_look_up_that_finds_nothing_and_says_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    class Empty(Lookup):
        def judge(self, batch: Batch, answer: Answer) -> Verdict:  # noqa: ARG002  that is its fault
            return same(Delivered(), batch)

    monkeypatch.setattr(configured, "Lookup", Empty)
    assert any("0 events derive from it" in line for seed in range(20) for line in run(seed))


@pytest.mark.slow
def test_the_promises_see_an_answer_that_is_older_than_its_event(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgiving(Lookup):
        def request(self, batch: Batch) -> Request:
            return replace(super().request(batch), cache_s=3600.0)

    monkeypatch.setattr(configured, "Lookup", Forgiving)
    assert any("is not what" in line for line in of_kind(Kind.LONG, 100))


def test_the_promises_see_events_that_are_read_under_an_older_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reader, "_seen", lambda _, page: page)
    assert any("as revision" in line for line in of_kind(Kind.LONG, 20))


def test_the_promises_see_a_replay_of_what_retention_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen where it can happen: in histories of events, keeping and replays alone."""
    monkeypatch.setattr(Reader, "forget", lambda _: None)
    monkeypatch.setattr(History, "_anything", lambda self: [self._events, self._keep, self._replay])
    assert any("are booked" in line for line in of_kind(Kind.LONG, 400))


def test_the_promises_see_lanes_that_are_served_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Account, "_by_need", lambda self: [queue for _, queue in sorted(self._queues.items())])
    assert any("waited until" in line for line in of_kind(Kind.CROWDED, 10))


@pytest.mark.slow
def test_the_promises_see_replays_that_go_before_live_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LaneWork, "weight", property(lambda self: 1.0 if self.lane.kind == LIVE else 20.0))
    assert any("waited until" in line for line in of_kind(Kind.CROWDED, 40))


@pytest.mark.slow
def test_the_promises_see_replays_that_starve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LaneWork, "weight", property(lambda self: 1.0 if self.lane.kind == LIVE else 0.02))
    assert any("waited until" in line for line in of_kind(Kind.CROWDED, 40))


def test_the_promises_see_a_breaker_that_never_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Breaker, "failed", lambda *_: False)
    assert any("is broken until" in line for line in of_kind(Kind.FAILING, 10))


def test_the_promises_see_a_breaker_that_closes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Breaker, "share", lambda *_: 1.0)
    assert any("is asked again after" in line for line in of_kind(Kind.FAILING, 10))


@pytest.mark.slow
def test_the_promises_see_a_refused_key_that_is_tried_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    suspend = Gate.suspend
    monkeypatch.setattr(Gate, "suspend", lambda self, outcome, now_s, _=0.0: suspend(self, outcome, now_s, 5.0))
    assert any("is suspended until" in line for line in of_kind(Kind.FAILING, 20))


def test_the_promises_see_a_probe_of_many_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gate, "probing", lambda _: False)
    assert any("is probed with" in line for line in of_kind(Kind.FAILING, 10))


@pytest.mark.slow
def test_the_promises_see_two_probes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Account, "concurrency", lambda *_: 8)
    assert any("has two requests" in line for line in of_kind(Kind.FAILING, 40))


@pytest.mark.slow
def test_the_promises_see_attempts_that_a_refused_key_burns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(paper.MEANING, 401, Retry(Reason.KEY_REFUSED, "401"))
    assert any("lost an attempt" in line for line in of_kind(Kind.FAILING, 20))


@pytest.mark.slow
def test_the_promises_see_a_past_that_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "seq_at", lambda self, _: self.head_seq)
    assert any("lanes of late" in line for line in of_kind(Kind.CROWDED, 20))


@pytest.mark.slow
def test_the_promises_see_old_states_that_go_over_newer_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Again, "is_old", lambda *_: False)
    assert any(" over " in line for line in of_kind(Kind.LONG, 100))
