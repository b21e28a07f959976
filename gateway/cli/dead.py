"""`gateway dead`: what was given up, and what is to become of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from msgspec.structs import asdict

from gateway import app
from gateway.admin import views
from gateway.cli import show
from gateway.cli.desk import ask, operation
from gateway.cli.options import DONE, NO, config_option, json_option
from gateway.journal.base import DeadFilter, DeadRow, Journal


def _filters(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--reason", help="Those with this reason."),
        click.option("--source", help="Those from this source."),
        click.option("--destination", help="Those to this destination."),
    ):
        command = option(command)
    return command


@click.group()
def dead() -> None:
    """Records that were given up."""


@dead.command("list")
@_filters
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=10_000, show_default=True, help="At most so many.")
@config_option
@json_option
def dead_list(config: Path, as_json: bool, limit: int, **filters: Any) -> None:  # noqa: FBT001  click's way of a flag
    """List dead letters, oldest first."""
    rows = ask(app.load_config(config), lambda journal: _rows(journal, DeadFilter(**filters), limit + 1))
    found = views.dead(rows[:limit], more=len(rows) > limit)
    if as_json:
        show.as_json(views.plain(found))
        return
    columns = ("id", "at", "source", "destination", "part", "reason", "attempts", "detail")
    lines = [[getattr(letter, column) for column in columns] for letter in found.dead]
    show.table(columns, lines, "no dead letters")
    if found.more:
        click.echo(f"there are more than {limit}: see --limit", err=True)


async def _rows(journal: Journal, which: DeadFilter, limit: int) -> list[DeadRow]:
    rows: list[DeadRow] = []
    async for row in journal.dead(which):
        rows.append(row)
        if len(rows) >= limit:
            break
    return rows


@dead.command("show")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@config_option
@json_option
@click.pass_context
def dead_show(ctx: click.Context, config: Path, ids: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001  a flag
    """Show dead letters whole: the record as it was last sent, and what the vendor answered."""
    rows = ask(app.load_config(config), lambda journal: _rows(journal, DeadFilter(ids=ids), len(set(ids))))
    found = views.dead_letters(rows)
    if as_json:
        show.as_json(views.plain(found))
    else:
        for letter in found.dead:
            show.fields({name: value for name, value in asdict(letter).items() if name != "record"})
            click.echo(f"{show.pretty(letter.record)}\n")
    missing = sorted(set(ids) - {row.id for row in rows})
    for name in missing:
        click.echo(f"Error: there is no dead letter {show.clean(name)}", err=True)
    ctx.exit(NO if missing else DONE)


def _decide(what: str, done: str, words: str) -> None:
    """One command that decides about dead letters."""

    @dead.command(what, help=words)
    @click.argument("ids", metavar="ID...", nargs=-1)
    @_filters
    @click.option("--all", "everything", is_flag=True, help="Every dead letter.")
    @click.option("--dry-run", is_flag=True, help="Only count.")
    @config_option
    @json_option
    @click.pass_context
    def decide(ctx: click.Context, /, config: Path, ids: tuple[str, ...], **chosen: Any) -> None:
        which = DeadFilter(ids=ids, **{name: chosen[name] for name in ("reason", "source", "destination")})
        if which == DeadFilter() and not chosen["everything"]:
            raise click.UsageError("name dead letters by ID, --reason, --source or --destination, or say --all")
        count = ask(app.load_config(config), lambda journal: _decided(journal, what, which, only=chosen["dry_run"]))
        letters = f"{count} dead letter{'' if count == 1 else 's'}"
        if chosen["as_json"]:
            show.as_json({"dead": count, "dry_run": True} if chosen["dry_run"] else {done: count})
        else:
            click.echo(f"{letters} would be {done}" if chosen["dry_run"] else f"{done} {letters}")
        ctx.exit(NO if ids and count == 0 else DONE)


async def _decided(journal: Journal, what: str, which: DeadFilter, *, only: bool) -> int:
    if only:
        return sum([1 async for _ in journal.dead(which)])
    named = [f"{name}={value}" for name, value in asdict(which).items() if value]
    by = operation(what, ", ".join(named) or "all")
    return await (journal.retry(which, by) if what == "retry" else journal.discard(which, by))


_decide("retry", "retried", "Map dead letters anew and send them.")
_decide("discard", "discarded", "Give dead letters up for good.")

COMMANDS = (dead,)
