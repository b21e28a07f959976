"""Long work of a command: slice by slice, with progress, and stopped between two slices."""

import asyncio
import os
import pty
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from gateway.cli.slices import Done, in_slices
from gateway.journal.sqlite import SqliteJournal
from gateway.model import State
from tests.cli.conftest import ENV
from tests.journal.making import Lanehand, accept, opened, row

LETTERS = 20_000
TIMEOUT_S = 60


class Work:
    """So much to do, so much of it in a slice; something may happen before a slice."""

    def __init__(self, left: int, most: int, interrupted_at: int | None = None) -> None:
        self.left = left
        self.most = most
        self.slices = 0
        self._interrupted_at = interrupted_at

    async def slice(self) -> int:
        if self.slices == self._interrupted_at:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(0.01)
        self.slices += 1
        count = min(self.left, self.most)
        self.left -= count
        return count


def done(work: Work, total: int) -> Done:
    return asyncio.run(in_slices(work.slice, "retried", total))


def test_work_goes_on_until_a_slice_finds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    work = Work(2_500, 1_000)
    assert done(work, 2_500) == Done(2_500, stopped=False)
    out, err = capsys.readouterr()
    assert (out, err) == ("", "retried 1000 of 2500\nretried 2000 of 2500\nretried 2500 of 2500\n")


def test_work_of_one_slice_is_done_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert done(Work(7, 1_000), 7) == Done(7, stopped=False)
    assert capsys.readouterr() == ("", "")


def test_an_interrupt_stops_after_the_slice_that_is_under_way(capsys: pytest.CaptureFixture[str]) -> None:
    work = Work(5_000, 1_000, interrupted_at=1)
    assert done(work, 5_000) == Done(2_000, stopped=True)
    assert work.left == 3_000
    assert "retried 2000 of 5000" in capsys.readouterr().err


def test_an_interrupt_in_the_last_slice_stops_nothing() -> None:
    assert done(Work(900, 1_000, interrupted_at=0), 900) == Done(900, stopped=False)


@pytest.fixture
def letters(config: Path) -> Path:
    """A journal full of dead letters."""

    async def fill() -> None:
        async with opened(SqliteJournal(config.parent / "gateway.db")) as journal:
            hand = await Lanehand.on(journal, "uk-shop", "crm")
            for first in range(1, LETTERS, 2_000):
                await accept(journal, 2_000, source="uk-shop")
                rows = [row(seq, state=State.DEAD) for seq in range(first, first + 2_000)]
                await hand.settle(first + 1_999, parked=rows)

    asyncio.run(fill())
    return config.parent / "gateway.db"


def _left(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        (count,) = db.execute("SELECT count(*) FROM parked WHERE state = 'dead'").fetchone()
    return int(count)


@pytest.mark.slow
async def test_control_c_stops_a_real_command_between_slices_and_it_says_how_far_it_came(
    letters: Path, config: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "dead", "discard", "--all", "--config", str(config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **ENV},
    )
    assert process.stderr is not None
    async with asyncio.timeout(TIMEOUT_S):
        first = await process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert first.startswith(b"discarded 1000 of 20000")
    assert process.returncode == 1
    left = _left(letters)
    assert 0 < left < LETTERS
    assert out.decode() == f"discarded {LETTERS - left} dead letters\n"
    assert f"stopped after {LETTERS - left} of {LETTERS}: the same command does the rest" in err.decode()
    async with opened(SqliteJournal(letters)) as journal:
        assert [one.balanced for one in await journal.audit()] == [True]


@pytest.mark.slow
async def test_on_a_terminal_a_bar_shows_how_far_it_is(letters: Path, config: Path) -> None:
    screen, terminal = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "dead", "retry", "--all", "--config", str(config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=terminal,
        env={**os.environ, **ENV, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(terminal)
    shown = asyncio.create_task(asyncio.to_thread(_read, screen))
    async with asyncio.timeout(TIMEOUT_S):
        out, _ = await process.communicate()
        text = await shown
    assert out == b"retried 20000 dead letters\n"
    assert b"of 20000" in text
    assert b"%" in text
    assert _left(letters) == 0


def _read(screen: int) -> bytes:
    """All that is written to a terminal until nobody has it open."""
    text = b""
    try:
        while more := os.read(screen, 65_536):
            text += more
    except OSError:  # EIO: the other end is closed
        pass
    finally:
        os.close(screen)
    return text
