"""`journal copy`: a journal into another, of any engine, while no gateway runs on either."""

import asyncio
from pathlib import Path
from typing import NamedTuple

import click

from gateway import app
from gateway.cli import show
from gateway.cli.options import DONE, NO, json_option
from gateway.cli.slices import in_slices
from gateway.errors import JournalError
from gateway.journal.base import AuditRow
from gateway.journal.transfer import Copy, at_rest, differences


class Copied(NamedTuple):
    """How many rows were copied now, whether it was stopped before the end, and what is not the same in both."""

    rows: int
    stopped: bool
    wrong: list[str]


@click.group()
def journal() -> None:
    """Copy a journal into another database."""


@journal.command("copy")
@click.option("--from", "source", required=True, metavar="URL", help="The journal to copy, as in `journal.url`.")
@click.option("--to", "target", required=True, metavar="URL", help="An empty one, or one that a copy was killed in.")
@json_option
@click.pass_context
def copy(ctx: click.Context, source: str, target: str, as_json: bool) -> None:  # noqa: FBT001  click's way of a flag
    """Copy a journal into another, as from SQLite to PostgreSQL, with everything it holds.

    No gateway may run on either meanwhile. A copy that was killed goes on when the same command is given again; until
    it is complete nothing else opens the target. In the end both are audited: exits 1 when they are not the same.
    """
    if source == target:
        raise JournalError("a journal cannot be copied into itself")
    if source.startswith(app.SQLITE) and not Path(source.removeprefix(app.SQLITE)).is_file():
        raise JournalError(f"there is no journal at {source.removeprefix(app.SQLITE)}")
    copied = asyncio.run(_copied(source, target))
    if as_json:
        show.as_json({"rows": copied.rows, "done": not copied.stopped, "differences": copied.wrong})
    elif copied.stopped:
        click.echo(f"stopped after {copied.rows} rows: the same command does the rest")
    elif not copied.wrong:
        click.echo(f"copied {copied.rows} rows; both journals balance and are the same")
    for line in copied.wrong:
        click.echo(show.clean(line), err=True)
    ctx.exit(NO if copied.wrong or copied.stopped else DONE)


async def _copied(source: str, target: str) -> Copied:
    await _migrated(source)
    await _migrated(target, target=True)
    async with app.open_shelf(source) as one, app.open_shelf(target) as other:
        click.echo("looking whether a gateway runs on either", err=True)
        await at_rest(one, other)
    async with app.open_shelf(source) as one, app.open_shelf(target) as other:
        work = Copy(one, other)
        await work.begin()
        rows, stopped = await in_slices(work.step, "copied", work.total)
        if stopped:
            return Copied(rows, stopped, [])
        await work.end()
        wrong = differences(await _audit(source), await _audit(target))
        if not wrong:
            await work.release()
    return Copied(rows, stopped, wrong)


async def _migrated(url: str, *, target: bool = False) -> None:
    """Its schema is this version's."""
    journal = app.open_journal(url, create=target, copying=target)
    try:
        await journal.open()
    finally:
        await journal.close()


async def _audit(url: str) -> tuple[AuditRow, ...]:
    journal = app.open_journal(url, copying=True)
    try:
        return await journal.audit()
    finally:
        await journal.close()


COMMANDS = (journal,)
