"""`gateway dead`: what was given up, and what is to become of it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import click
from msgspec.structs import asdict, astuple, replace

from gateway import app
from gateway.admin import views
from gateway.cli import show
from gateway.cli.desk import ask, operation
from gateway.cli.options import DONE, NO, config_option, json_option
from gateway.cli.slices import Done, in_slices
from gateway.journal.base import DeadFilter, DeadRow, Journal

LETTERS_PER_SLICE = 1_000


def _filters(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--reason", help="Only records with this reason."),
        click.option("--source", help="Only records from this source."),
        click.option("--destination", help="Only records to this destination."),
    ):
        command = option(command)
    return command


@click.group()
def dead() -> None:
    """Records that were given up."""


@dead.command("list")
@_filters
@click.option(
    "--limit", type=click.IntRange(1, 1_000_000), default=10_000, show_default=True, help="Show at most this many."
)
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
    show.advised(letter.reason for letter in found.dead)
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
            show.advised([letter.reason])
    missing = sorted(set(ids) - {row.id for row in rows})
    for name in missing:
        click.echo(f"Error: there is no dead letter {show.clean(name)}", err=True)
    ctx.exit(NO if missing else DONE)


def _decide(what: Literal["retry", "discard"], done: str, words: str) -> None:
    """One command that decides about dead letters."""

    @dead.command(what, help=f"{words} Many go slice by slice: Ctrl-C stops between two, and says how far it came.")
    @click.argument("ids", metavar="ID...", nargs=-1)
    @_filters
    @click.option("--all", "everything", is_flag=True, help="Every dead letter.")
    @_options_of(what)
    @click.option("--note", default="", help="Why: kept with the operation.")
    @click.option("--dry-run", is_flag=True, help="Only count, by reason.")
    @config_option
    @json_option
    @click.pass_context
    def decide(ctx: click.Context, /, config: Path, ids: tuple[str, ...], **chosen: Any) -> None:
        which = DeadFilter(ids=ids, **{name: chosen[name] for name in ("reason", "source", "destination")})
        if which == DeadFilter() and not chosen["everything"]:
            raise click.UsageError("name dead letters by ID, --reason, --source or --destination, or say --all")
        loaded = app.load_config(config)
        if chosen["dry_run"]:
            groups = views.dead_groups(ask(loaded, lambda journal: journal.dead_groups(which)))
            _would(groups, done, as_json=chosen["as_json"])
            ctx.exit(NO if ids and not groups.dead else DONE)
        work = _Work(what, done, which, chosen["note"], every_state=chosen.get("every_state", False))
        total, told = ask(loaded, work.do)
        if chosen["as_json"]:
            show.as_json({done: told.number, **({"stopped": True} if told.stopped else {})})
        else:
            click.echo(f"{done} {_letters(told.number)}")
        if told.stopped:
            click.echo(f"stopped after {told.number} of {total}: the same command does the rest", err=True)
        ctx.exit(NO if told.stopped or (ids and not told.number) else DONE)


@dataclass(frozen=True)
class _Work:
    """What is to become of which dead letters."""

    what: Literal["retry", "discard"]
    done: str
    which: DeadFilter
    note: str
    every_state: bool

    async def do(self, journal: Journal) -> tuple[int, Done]:
        """How many there were at the beginning, and how far it came. What dies again meanwhile is left alone."""
        groups = await journal.dead_groups(self.which)
        if not groups:
            return 0, Done(0, stopped=False)
        some = replace(self.which, limit=LETTERS_PER_SLICE, to_ms=max(group.last_at_ms for group in groups))
        retry = partial(journal.retry, every_state=self.every_state)
        change = retry if self.what == "retry" else journal.discard
        named = [f"{name}={value}" for name, value in asdict(self.which).items() if value]
        by = replace(operation(self.what, ", ".join(named) or "all"), note=self.note)
        total = sum(group.count for group in groups)
        return total, await in_slices(lambda: change(some, by), self.done, total)


def _would(groups: views.DeadGroups, done: str, *, as_json: bool) -> None:
    """What a decision would be about."""
    if as_json:
        show.as_json({"dead": groups.dead, "dry_run": True, "groups": views.plain(groups)["groups"]})
        return
    columns = ("reason", "source", "destination", "letters", "first", "last")
    lines = [astuple(group) for group in groups.groups]
    if lines:
        show.table(columns, lines, "")
    click.echo(f"{_letters(groups.dead)} would be {done}")


def _letters(count: int) -> str:
    return f"{count} dead letter{'' if count == 1 else 's'}"


def _options_of(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """What only one of the decisions has."""
    every_state = "Send an old state even where a newer one of the same record was sent."
    return click.option("--every-state", is_flag=True, help=every_state) if what == "retry" else lambda command: command


_decide("retry", "retried", "Map dead letters anew and send them.")
_decide("discard", "discarded", "Give dead letters up for good.")

COMMANDS = (dead,)
