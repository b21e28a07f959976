"""`gateway journal copy`: from one engine to another, by the command."""

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway import app
from gateway.errors import JournalError
from gateway.journal import transfer
from tests import postgres
from tests.cli.conftest import Run, answer
from tests.journal.databases import make
from tests.journal.making import Lanehand, accept


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "WATCH_S", 0.05)


@pytest.fixture
def source(tmp_path: Path) -> str:
    """The URL of a journal with 5 events, 3 of them delivered."""
    url = f"sqlite:///{tmp_path}/old.db"

    async def lived() -> None:
        journal = app.open_journal(url, create=True)
        await journal.open()
        hand = await Lanehand.on(journal)
        await accept(journal, 5)
        await hand.deliver(1, 3)
        await journal.close()

    asyncio.run(lived())
    return url


def test_a_journal_moves_to_postgresql(run: Run, config: Path, tmp_path: Path, source: str) -> None:
    name = f"moved_{os.getpid()}"
    asyncio.run(make(name))
    target = postgres.database_url(name)
    said = run("journal", "copy", "--from", source, "--to", target)
    assert said.exit_code == 0
    assert "both journals balance and are the same" in said.stdout
    config.write_text(config.read_text().replace(f"sqlite:///{tmp_path}/gateway.db", target))
    (lane,) = answer(run("audit", "--json"))["lanes"]
    assert (lane["delivered"], lane["waiting"]) == (3, 2)
    assert len(answer(run("events", "list", "--json"))["events"]) == 5


def test_a_second_copy_into_the_same_journal_is_refused(run: Run, tmp_path: Path, source: str) -> None:
    target = f"sqlite:///{tmp_path}/new.db"
    first = answer(run("journal", "copy", "--from", source, "--to", target, "--json"))
    assert (first["done"], first["differences"]) == (True, [])
    assert first["rows"] > 5
    again = run("journal", "copy", "--from", source, "--to", target)
    assert again.exit_code == 2
    assert "the target is not empty: it has 1 sources" in again.stderr


def test_what_is_not_there_and_what_is_the_same_is_refused(run: Run, tmp_path: Path, source: str) -> None:
    refused = run("journal", "copy", "--from", f"sqlite:///{tmp_path}/none.db", "--to", source)
    assert refused.exit_code == 2
    assert "there is no journal at" in refused.stderr
    assert run("journal", "copy", "--from", source, "--to", source).exit_code == 2


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_nothing_runs_on_half_a_copy(run: Run, config: Path, tmp_path: Path, source: str, engine: str) -> None:
    target = f"sqlite:///{tmp_path}/half.db"
    if engine == "postgres":
        asyncio.run(make(f"half_{os.getpid()}"))
        target = postgres.database_url(f"half_{os.getpid()}")
    asyncio.run(_half(source, target))
    config.write_text(config.read_text().replace(f"sqlite:///{tmp_path}/gateway.db", target))
    for words in (["serve"], ["migrate"], ["audit"], ["events", "list"], ["lanes", "list"], ["dead", "list"]):
        refused = run(*words)
        assert (words, refused.exit_code) == (words, 2)
        assert "is a copy that is not complete: `gateway journal copy" in refused.stderr
    refused = run("journal", "copy", "--from", target, "--to", f"sqlite:///{tmp_path}/third.db")
    assert "is a copy that is not complete" in refused.stderr
    assert answer(run("journal", "copy", "--from", source, "--to", target, "--json"))["done"]
    assert run("audit").exit_code == 0


async def _half(source: str, target: str, slices: int = 3) -> None:
    """A copy that is killed after some slices."""
    journal = app.open_journal(target, create=True)
    await journal.open()
    await journal.close()
    async with app.open_shelf(source) as one, app.open_shelf(target) as other:
        work = transfer.Copy(one, other)
        await work.begin()
        for _ in range(slices):
            await work.step()


def test_a_copy_that_is_not_the_same_is_never_let_go(run: Run, tmp_path: Path, source: str) -> None:
    file = tmp_path / "other.db"
    target = f"sqlite:///{file}"
    asyncio.run(_half(source, target, slices=100))
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("UPDATE lanes SET delivered = delivered + 1")
    said = run("journal", "copy", "--from", source, "--to", target)
    assert (said.exit_code, "does not balance" in said.stderr) == (1, True)
    with pytest.raises(JournalError, match="not complete"):
        asyncio.run(app.open_journal(target).open())
