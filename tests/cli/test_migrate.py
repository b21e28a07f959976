"""`gateway migrate`, and commands on a journal in PostgreSQL."""

import asyncio
import os
from pathlib import Path

from gateway.journal.sqlite import SqliteJournal
from tests import postgres
from tests.cli.conftest import Run, answer
from tests.journal.databases import make


def test_a_journal_is_made_where_there_is_none_and_a_second_time_nothing_changes(run: Run, tmp_path: Path) -> None:
    for _ in range(2):
        assert answer(run("migrate", "--json")) == {"ready": True}
    assert (tmp_path / "gateway.db").is_file()
    assert "ready" in run("migrate").stdout
    assert asyncio.run(_head(tmp_path / "gateway.db")) == 0


async def _head(path: Path) -> int:
    journal = SqliteJournal(path)
    try:
        return (await journal.head()).seq
    finally:
        await journal.close()


def test_commands_work_on_postgresql(run: Run, config: Path, tmp_path: Path) -> None:
    name = f"commands_{os.getpid()}"
    asyncio.run(make(name))
    sqlite = f"sqlite:///{tmp_path}/gateway.db"
    config.write_text(config.read_text().replace(sqlite, postgres.database_url(name)))
    missing = run("audit")
    assert missing.exit_code == 2
    assert "there is no journal in this database yet" in missing.stderr
    for _ in range(2):
        assert answer(run("migrate", "--json")) == {"ready": True}
    assert answer(run("audit", "--json")) == {"balanced": True, "lanes": []}
    assert answer(run("events", "list", "--json")) == {"events": []}
    refused = run("backup", str(tmp_path / "copy.db"))
    assert refused.exit_code == 2
    assert "pg_dump" in refused.stderr


def test_a_database_that_cannot_be_reached_is_a_sentence(run: Run, config: Path, tmp_path: Path) -> None:
    sqlite = f"sqlite:///{tmp_path}/gateway.db"
    config.write_text(config.read_text().replace(sqlite, "postgresql://me:whisper@127.0.0.1:9/none"))
    refused = run("migrate")
    assert refused.exit_code == 2
    assert "the database" in refused.stderr
    assert "whisper" not in refused.stderr
