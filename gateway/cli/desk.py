"""`audit rejected backup migrate`, and the journal as every command opens it: while the gateway is up or down."""

import asyncio
import getpass
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import click

from gateway import app
from gateway.admin import audited, views
from gateway.cli import show
from gateway.cli.options import DONE, NO, WRONG_USE, config_option, json_option
from gateway.clock import SystemClock
from gateway.config.load import Loaded
from gateway.errors import JournalUnavailable
from gateway.journal.base import Journal, Operation

T = TypeVar("T")

STATES = ("delivered", "filtered", "superseded", "parked", "dead", "discarded")
FIGURES = ("source", "destination", "cursor", "waiting", *STATES)


@asynccontextmanager
async def opened(loaded: Loaded) -> AsyncIterator[Journal]:
    """The configuration's journal, open."""
    journal = app.open_journal(loaded.config.journal.url, listen_url=loaded.config.journal.listen_url)
    await journal.open()
    try:
        yield journal
    finally:
        await journal.close()


def has_journal(loaded: Loaded) -> bool:
    """Whether there is a journal to ask, as far as can be told without connecting."""
    url = loaded.config.journal.url
    return not url.startswith(app.SQLITE) or Path(url.removeprefix(app.SQLITE)).is_file()


def ask(loaded: Loaded, question: Callable[[Journal], Awaitable[T]]) -> T:
    """What a question to the journal answers. Raises JournalUnavailable for one that is not there: a command that reads
    creates nothing.
    """
    if not has_journal(loaded):
        path = loaded.config.journal.url.removeprefix(app.SQLITE)
        raise JournalUnavailable(f"there is no journal at {path} yet: `gateway serve` makes it")

    async def answer() -> T:
        async with opened(loaded) as journal:
            return await question(journal)

    return asyncio.run(answer())


def operation(what: str, subject: str) -> Operation:
    """What this operator does now."""
    try:
        who = getpass.getuser()
    except (OSError, KeyError):  # a container's user has no name
        who = str(os.getuid())
    return Operation(at_ms=SystemClock().now_ms(), who=f"cli:{who}", what=what, subject=subject)


@click.command()
@config_option
@json_option
@click.pass_context
def audit(ctx: click.Context, config: Path, as_json: bool) -> None:  # noqa: FBT001  click's way of a flag
    """Recount every lane from its rows. Exits 1, naming the lane, when one does not balance."""
    found = audited.audit(ask(app.load_config(config), lambda journal: journal.audit()))
    if as_json:
        show.as_json(views.plain(found))
    else:
        columns = (*FIGURES, "kind", "balanced")
        show.table(columns, [[getattr(lane, column) for column in columns] for lane in found.lanes], "no lanes yet")
        for lane in found.lanes:
            if not lane.balanced:
                why = f"{lane.source} > {lane.destination} does not balance: {lane.why}"
                click.echo(show.clean(why), err=True)
    ctx.exit(DONE if found.balanced else NO)


@click.group()
def rejected() -> None:
    """Requests that were refused, and why."""


@rejected.command("list")
@click.option("--source", help="Only requests to this source.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Show at most this many.")
@config_option
@json_option
def rejected_list(config: Path, as_json: bool, source: str | None, limit: int) -> None:  # noqa: FBT001  a flag
    """List refused requests, newest first."""
    found = views.rejected(ask(app.load_config(config), lambda journal: journal.rejected(source, limit)))
    if as_json:
        show.as_json(views.plain(found))
        return
    columns = ("at", "source", "cause", "method", "client", "detail")
    lines = [[getattr(one, column) for column in columns] for one in found.rejected]
    show.table(columns, lines, "nothing was refused")
    show.advised(one.cause for one in found.rejected)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@config_option
@json_option
@click.pass_context
def backup(ctx: click.Context, config: Path, file: Path, as_json: bool) -> None:  # noqa: FBT001  click's way of a flag
    """Write a consistent copy of the journal to FILE. The gateway goes on meanwhile."""
    loaded = app.load_config(config)
    if file.exists() or not file.parent.is_dir():
        why = "is there already" if file.exists() else "is in no folder that exists"
        click.echo(f"Error: {file} {why}", err=True)
        ctx.exit(WRONG_USE)
    ask(loaded, lambda journal: journal.backup(str(file)))
    size_bytes = file.stat().st_size
    if as_json:
        show.as_json({"file": str(file), "bytes": size_bytes})
    else:
        click.echo(f"wrote {file}, {size_bytes} bytes")


@click.command()
@config_option
@json_option
def migrate(config: Path, as_json: bool) -> None:  # noqa: FBT001  click's way of a flag
    """Make the journal where there is none, and bring its schema forward to this version.

    `gateway serve` does so too; a job may do it ahead of a roll-out. Running it again changes nothing.
    """
    journal = app.load_config(config).config.journal

    async def prepare() -> None:
        one = app.open_journal(journal.url, listen_url=journal.listen_url, create=True)
        try:
            await one.open()
            await one.probe()
        finally:
            await one.close()

    asyncio.run(prepare())
    if as_json:
        show.as_json({"ready": True})
    else:
        click.echo("the journal is ready for this version")


COMMANDS = (rejected, audit, backup, migrate)
