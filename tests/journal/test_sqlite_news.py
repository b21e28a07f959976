"""How a process hears of another's commits: by the bell that writers ring, and by looking where nobody rings."""

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.journal.base import Head, Journal
from gateway.journal.sqlite import SqliteJournal, bell, journal, log, watcher
from tests.journal.making import Lanehand, accept, group, offer, opened

LATE_S = 60.0

needs_inotify = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@asynccontextmanager
async def _two(path: Path) -> AsyncIterator[tuple[Journal, Journal]]:
    async with opened(SqliteJournal(path)) as one, opened(SqliteJournal(path)) as other:
        yield one, other


@needs_inotify
async def test_a_commit_is_heard_without_looking(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "NET_S", LATE_S)
    monkeypatch.setattr(watcher, "POLL_S", LATE_S)
    async with _two(path) as (one, other):
        for number in range(3):
            waiting = asyncio.create_task(other.wait(await other.head(), LATE_S))
            await asyncio.sleep(0.01)
            await one.append(group(offer(f"n{number}")))
            async with asyncio.timeout(5):
                assert (await waiting).seq == number + 1


@needs_inotify
async def test_who_listens_looks_seldom(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = _looks(monkeypatch)
    async with _two(path) as (_, other):
        seen = await other.head()
        assert await other.wait(seen, 0.4) == seen

    assert len(looks) <= 2


async def test_the_head_is_read_again_only_after_a_commit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Head] = []
    head = log.head

    def noted(db: sqlite3.Connection) -> Head:
        reads.append(head(db))
        return reads[-1]

    monkeypatch.setattr(log, "head", noted)
    async with _two(path) as (one, other):
        seen = await other.wait(Head(0, 0), 0)
        for _ in range(3):
            seen = await other.wait(seen, 0.01)
        assert len(reads) == 1
        for number in range(2):
            await one.append(group(offer(f"n{number}")))
            seen = await other.wait(seen, LATE_S)
            assert seen.seq == number + 1
        assert (await other.wait(seen, 0.01), len(reads)) == (seen, 3)


async def test_where_nobody_can_listen_it_is_looked_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "NET_S", LATE_S)
    monkeypatch.setattr(bell, "listening", lambda _: None)
    async with _two(path) as (one, other):
        waiting = asyncio.create_task(other.wait(await other.head(), LATE_S))
        await asyncio.sleep(0.01)
        await one.append(group(offer("n")))
        async with asyncio.timeout(5):
            assert (await waiting).seq == 1


@needs_inotify
async def test_who_has_missed_two_commits_looks_from_then_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "NET_S", 0.05)
    looks = _looks(monkeypatch)
    async with _two(path) as (one, other):
        await accept(one, 1)
        await other.wait(Head(0, 0), 0)
        for _ in range(2):
            waiting = asyncio.create_task(other.wait(await other.head(), 5))
            await asyncio.sleep(0.02)
            _write_unheard(path)
            await waiting
        monkeypatch.setattr(watcher, "NET_S", LATE_S)
        looks.clear()
        await other.wait(await other.head(), 0.4)

    assert len(looks) > 5


async def test_moves_of_the_head_that_follow_each_other_closely_are_heard_of_together(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "GATHER_S", 0.2)
    async with _two(path) as (one, other):
        seen = await other.wait(Head(0, 0), 0)
        await accept(one, 1)
        seen = await other.wait(seen, LATE_S)
        assert seen.seq == 1
        waiting = asyncio.create_task(other.wait(seen, LATE_S))
        for _ in range(3):
            await accept(one, 1)
        assert (await waiting).seq == 4
        assert (await other.wait(Head(0, 0), 0)).seq == 4


@needs_inotify
async def test_settles_wake_nobody_and_the_bell_is_trusted_as_before(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "NET_S", LATE_S)
    looks = _looks(monkeypatch)
    async with _two(path) as (one, other):
        hand = await Lanehand.on(one)
        seen = await other.wait(Head(0, 0), 0)
        for _ in range(3):
            waiting = asyncio.create_task(other.wait(seen, 0.05))
            await asyncio.sleep(0.01)
            looks.clear()
            await hand.settle()
            await asyncio.sleep(0.02)
            assert not looks
            assert await waiting == seen
        waiting = asyncio.create_task(other.wait(seen, LATE_S))
        await asyncio.sleep(0.01)
        await accept(one, 1)
        async with asyncio.timeout(5):
            assert (await waiting).seq == 1


@needs_inotify
async def test_commits_that_are_seen_before_the_bell_is_rung_cost_no_trust(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "NET_S", LATE_S)
    monkeypatch.setattr(watcher, "POLL_S", LATE_S)
    rung: list[Path] = []
    ring = bell.ring
    monkeypatch.setattr(bell, "ring", rung.append)
    async with _two(path) as (one, other):
        hand = await Lanehand.on(one)
        seen = await other.wait(Head(0, 0), 0)
        for _ in range(2):
            await hand.settle()
            seen = await other.wait(seen, 0)
            await accept(one, 1)
            seen = await other.wait(seen, 0)
            while rung:
                ring(rung.pop())
            await asyncio.sleep(0.01)
        waiting = asyncio.create_task(other.wait(seen, LATE_S))
        await asyncio.sleep(0.01)
        await accept(one, 1)
        ring(rung.pop())
        async with asyncio.timeout(5):
            assert (await waiting).seq == seen.seq + 1


async def test_nothing_is_held_open_at_the_end(path: Path) -> None:
    before = _open_descriptors()
    async with _two(path) as (_, other):
        await other.wait(await other.head(), 0.02)

    assert _open_descriptors() == before


def _open_descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def _looks(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Grows with each look at the file."""
    found: list[None] = []
    look = watcher.Watcher._look

    def noted(self: watcher.Watcher) -> int | None:
        found.append(None)
        return look(self)

    monkeypatch.setattr(watcher.Watcher, "_look", noted)
    return found


def _write_unheard(path: Path) -> None:
    """What an older version commits, which rings no bell: an operation."""
    with sqlite3.connect(path) as db:
        db.execute("UPDATE meta SET value = value + 1 WHERE key = 'operations'")
    db.close()
