"""`gateway replay` and `gateway replays`: what was delivered once goes again, and how far it is."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from msgspec.structs import replace

from gateway import app
from gateway.admin import replays as views
from gateway.admin.replays import ReplayView, Standing, Would
from gateway.admin.views import plain
from gateway.cli import show
from gateway.cli.desk import STATES, ask, operation
from gateway.cli.options import DONE, MOMENT, NO, config_option, json_option
from gateway.cli.progress import Tell, progress
from gateway.clock import SystemChance, SystemClock
from gateway.config.load import Loaded
from gateway.deliver.forecast import forecast
from gateway.deliver.selection import CHOICES, TEXT_CHARS, Selection, Ticket, choose
from gateway.journal.base import Journal
from gateway.model import State

LOOK_S = 0.5
LINES_S = 5.0
"""Elsewhere than on a terminal a line is written so often, at most."""
ID_BYTES = 8
HOUR_S, MINUTE_S = 3600, 60

_OPTIONS = (
    click.option("--from", "from_ms", type=MOMENT, help="Received at or after this: RFC 3339, or an age such as 2h."),
    click.option("--to", "to_ms", type=MOMENT, help="Received before this."),
    click.option("--source", help="Events from this source."),
    click.option("--destination", help="To this destination only."),
    click.option("--type", "types", multiple=True, help="Events of this type, as order.*; may be repeated."),
    click.option(
        "--state",
        "states",
        multiple=True,
        type=click.Choice([str(state) for state in CHOICES]),
        help="Events that are this on their lane; may be repeated. Without it: whatever has come to an end.",
    ),
    click.option("--id", "ids", multiple=True, metavar="EVENT", help="This event; may be repeated."),
    click.option("--when", help="Events for whose normal form this JMESPath expression holds."),
    click.option("--every-state", is_flag=True, help="Send old states too, even over newer ones."),
)


def _selecting(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command(short_help="Send events again.")
@_selecting
@click.option("--note", default="", help="Why: kept with the replay.")
@click.option("--dry-run", is_flag=True, help="Only count what would be sent.")
@click.option("--wait", is_flag=True, help="Follow it to its end. Ctrl-C stops following, not the replay.")
@config_option
@json_option
@click.pass_context
def replay(ctx: click.Context, /, config: Path, **given: Any) -> None:
    """Send events again that have come to an end, on lanes of their own beside what comes in.

    Prints the replay's id and returns; the dispatcher does it, live events first. A state (an upsert) is not sent
    where the journal holds a newer one of the same record; --every-state sends it nevertheless. Exits 1 when nothing
    is selected; with --wait also when it was cancelled or left dead letters.
    """
    selection = _selection(given)
    if not selection.names_something():
        raise click.UsageError("say what: --from 2h, --id, --source, --destination, --type, --state or --when")
    loaded = app.load_config(config)
    made = operation("replay", "")
    ticket = Ticket(f"rpl_{SystemChance().nonce(ID_BYTES).hex()}", made.at_ms, made.who, given["note"][:TEXT_CHARS])
    found = ask(loaded, lambda journal: _do(journal, loaded, selection, ticket, dry_run=given["dry_run"]))
    if found is None:
        click.echo("Error: nothing is selected: no event that has come to an end on a live lane fits", err=True)
        ctx.exit(NO)
    if isinstance(found, Would):
        _tell_would(found, as_json=given["as_json"])
        return
    if not given["wait"]:
        if given["as_json"]:
            show.as_json(plain(found))
        else:
            click.echo(found.id)
        return
    if not given["as_json"]:
        click.echo(found.id)
    last = ask(loaded, lambda journal: _follow(journal, found))
    _tell_end(last, as_json=given["as_json"])
    ctx.exit(DONE if last.status is Standing.DONE and not last.dead else NO)


def _selection(given: dict[str, Any]) -> Selection:
    return Selection(
        source=given["source"],
        destination=given["destination"],
        from_ms=given["from_ms"],
        to_ms=given["to_ms"],
        types=given["types"],
        states=tuple(State(state) for state in given["states"]),
        ids=given["ids"],
        when=given["when"],
        every_state=given["every_state"],
    )


async def _do(
    journal: Journal, loaded: Loaded, selection: Selection, ticket: Ticket, *, dry_run: bool
) -> Would | ReplayView | None:
    """Begin the replay, or count it; None where nothing is selected."""
    setup = app.trial_of(loaded)
    chosen = await choose(journal, setup, selection, ticket)
    if not chosen.lanes:
        return None
    if dry_run:
        with progress("planned", _lines("planned")) as tell:
            return views.would(await forecast(journal, setup, chosen, tell))
    await journal.replay(chosen.replay, chosen.lanes, views.operation(chosen))
    return await views.one(journal, ticket.id)


# --- following -------------------------------------------------------------------------------------------------------


async def _follow(journal: Journal, found: ReplayView) -> ReplayView:
    """Watch a replay until it is over, or Ctrl-C: it goes on without us."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stop.set)
    try:
        with progress("settled", _lines("settled")) as tell:
            while True:
                tell(found.settled, found.total)
                if found.status in (Standing.DONE, Standing.CANCELLED) or stop.is_set():
                    return found
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOK_S)
                found = await views.one(journal, found.id)
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def _lines(done: str) -> Tell:
    """A line now and then."""
    now_s = SystemClock().monotonic_s
    told_s = now_s()

    def tell(count: int, total: int) -> None:
        nonlocal told_s
        if now_s() - told_s >= LINES_S:
            told_s = now_s()
            click.echo(f"{done} {count} of {total}", err=True)

    return tell


# --- telling ---------------------------------------------------------------------------------------------------------


def _tell_would(found: Would, *, as_json: bool) -> None:
    if as_json:
        show.as_json(plain(found))
        return
    columns = ("source", "destination", "events", "records", "superseded", "dead", "filtered", "takes")
    lines = [[*(getattr(one, name) for name in columns[:-1]), span(one.seconds)] for one in found.destinations]
    show.table(columns, lines, "")
    takes = f"{span(found.seconds)} at the vendors' pace" if found.seconds else "no limit is declared"
    click.echo(f"{found.events} events would become {found.records} records: {takes}")


def span(seconds: float) -> str:
    """A length of time as people say it."""
    whole = round(seconds)
    if seconds < 1:
        return "under 1 s"
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min {whole % MINUTE_S} s"
    return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S} min"


def _tell_end(found: ReplayView, *, as_json: bool) -> None:
    if as_json:
        show.as_json(plain(found))
        return
    figures = ", ".join(f"{getattr(found, name)} {name}" for name in STATES if getattr(found, name))
    click.echo(f"{found.status}: {found.settled} of {found.total} events{': ' if figures else ''}{figures}")
    if found.status in (Standing.RUNNING, Standing.PAUSED):
        click.echo(f"it goes on without this command: gateway replays show {found.id}", err=True)


@click.group()
def replays() -> None:
    """Replays and backfills: how far they are."""


@replays.command("list")
@config_option
@json_option
def replays_list(config: Path, as_json: bool) -> None:  # noqa: FBT001  click's way of a flag
    """List replays and backfills, newest first."""
    found = ask(app.load_config(config), views.read)
    if as_json:
        show.as_json(plain(found))
        return
    columns = ("id", "why", "at", "who", "status", "settled", "total", *STATES, "note")
    lines = [[getattr(one, column) for column in columns] for one in found.replays]
    show.table(columns, lines, "no replays yet")


@replays.command("show")
@click.argument("name", metavar="ID")
@config_option
@json_option
def replays_show(config: Path, name: str, as_json: bool) -> None:  # noqa: FBT001  click's way of a flag
    """Show one replay, lane by lane."""
    found = ask(app.load_config(config), lambda journal: views.one(journal, name))
    if as_json:
        show.as_json({"replays": [plain(found)]})
        return
    told = plain(found)
    lanes = told.pop("lanes")
    told["types"] = " ".join(found.types) or None
    show.fields(told)
    columns = tuple(lanes[0]) if lanes else ()
    show.table(columns, [list(lane.values()) for lane in lanes], "it has no lanes")


def _change(what: str, word: str, done: str, words: str) -> None:
    """One command that changes replays."""

    @replays.command(word, help=words)
    @click.argument("names", metavar="ID...", nargs=-1, required=True)
    @click.option("--note", default="", help="Why: kept with the operation.")
    @config_option
    @json_option
    @click.pass_context
    def change(ctx: click.Context, /, config: Path, names: tuple[str, ...], note: str, *, as_json: bool) -> None:
        loaded = app.load_config(config)

        async def do(journal: Journal) -> dict[str, int]:
            for name in names:
                await views.one(journal, name)
            by = {name: replace(operation(what, name), note=note) for name in names}
            return {name: len(await views.change(journal, name, what, by[name])) for name in names}

        changed = ask(loaded, do)
        if as_json:
            show.as_json({"replays": [{"id": name, "lanes": count} for name, count in changed.items()]})
        else:
            for name, count in changed.items():
                click.echo(f"{done} {name} ({count} lanes)" if count else f"{name}: nothing to {word}")
        ctx.exit(DONE if all(changed.values()) else NO)


_change("pause", "pause", "paused", "Pause replays: what they still mean stays.")
_change("resume", "resume", "resumed", "Let paused replays go on.")
_change("end", "cancel", "cancelled", "Cancel replays for good: what still waits on them is discarded.")

COMMANDS = (replay, replays)
