"""`gateway events`: what was accepted, and what it is on every lane."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import click
from msgspec.structs import asdict

from gateway import app
from gateway.admin import views
from gateway.admin.derived import derived_from
from gateway.admin.search import search
from gateway.cli import show
from gateway.cli.desk import ask
from gateway.cli.options import DONE, MOMENT, NO, config_option, json_option
from gateway.cli.sending import known_source
from gateway.cli.trying import known_destination, told
from gateway.clock import SystemClock
from gateway.journal.base import EventFilter, EventView, Journal
from gateway.model import LIVE, seq_of
from gateway.trial.way import Guide

_SEQ_DIGITS = 18


@click.group()
def events() -> None:
    """Events that were accepted, and what became of them."""


@events.command("list")
@click.option("--source", help="Only events from this source.")
@click.option("--topic", help="Only events with this topic.")
@click.option("--contains", default="", help="Only events with this text in the body: an order number, an e-mail.")
@click.option("--from", "from_ms", type=MOMENT, help="Received at or after this: RFC 3339, or an age such as 2h.")
@click.option("--to", "to_ms", type=MOMENT, help="Received at or before this.")
@click.option("--before", "before", help="Only events before this one: the next page.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Show at most this many.")
@config_option
@json_option
def events_list(config: Path, as_json: bool, contains: str, **filters: Any) -> None:  # noqa: FBT001  a flag
    """List events, newest first, with what they are on every lane."""
    before = filters.pop("before")
    loaded = app.load_config(config)
    which = EventFilter(before_seq=None if before is None else _seq(before), **filters)
    found = views.events(ask(loaded, lambda journal: _listed(journal, which, contains)), app.types_of(loaded))
    if as_json:
        show.as_json(views.plain(found))
        return
    columns = ("id", "received_at", "source", "topic", "type")
    lines = [[*(getattr(event, column) for column in columns), _states(event.lanes)] for event in found.events]
    show.table([*columns, "lanes"], lines, "no events")


def _states(lanes: Sequence[views.EventLane]) -> str:
    return ", ".join(f"{_name(lane)} {lane.state}" for lane in lanes)


def _name(lane: views.EventLane) -> str:
    """The lane's destination, and the replay that it is of."""
    return lane.destination if lane.kind == LIVE else f"{lane.destination} ({lane.kind})"


def _seq(text: str) -> int:
    """An event's seq from its id, or the seq itself."""
    seq = int(text) if text.isdecimal() and text.isascii() and len(text) <= _SEQ_DIGITS else seq_of(text)
    if seq is None:
        raise click.UsageError(f"{show.clean(text)!r} is no event's id: those begin with evt_")
    return seq


async def _listed(journal: Journal, which: EventFilter, contains: str) -> list[EventView]:
    events = (await search(journal, which, SystemClock(), contains=contains)).events
    found = [await journal.view(event.seq) for event in events]
    return [view for view in found if view is not None]


@events.command("show")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@config_option
@json_option
@click.pass_context
def events_show(ctx: click.Context, config: Path, ids: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001  a flag
    """Show events whole: headers, body, and on each lane what waits and what was attempted."""
    loaded = app.load_config(config)
    seqs = {name: _seq(name) for name in ids}
    found, derived = ask(loaded, lambda journal: _by_seq(journal, seqs, loaded.lookups))
    type_of = app.types_of(loaded)
    details = tuple(
        detail for view in found.values() for detail in views.event(view, type_of, derived[view.event.id]).events
    )
    if as_json:
        show.as_json(views.plain(views.EventDetails(details)))
    else:
        for detail in details:
            _tell(detail)
    for name in seqs.keys() - found.keys():
        click.echo(f"Error: there is no event {show.clean(name)}", err=True)
    ctx.exit(DONE if found.keys() == seqs.keys() else NO)


@events.command("try")
@click.argument("event_id", metavar="ID")
@click.option("--to", "destination", help="Only this destination.")
@config_option
@json_option
@click.pass_context
def events_try(ctx: click.Context, config: Path, event_id: str, destination: str | None, as_json: bool) -> None:  # noqa: FBT001  a flag
    """Show what would become of a stored event under this configuration. Nothing is sent.

    The normal event, which routes want it and why not, and each vendor's exact request with the secrets masked. Exits 1
    when it would be dead.
    """
    loaded = app.load_config(config)
    known_destination(loaded, destination)
    seq = _seq(event_id)
    view = ask(loaded, lambda journal: journal.view(seq))
    if view is None:
        raise click.ClickException(f"there is no event {show.clean(event_id)}")
    known_source(loaded, view.event.source)
    told(ctx, Guide(loaded).events([view.event], destination), as_json=as_json)


async def _by_seq(
    journal: Journal, seqs: dict[str, int], lookups: Collection[str]
) -> tuple[dict[str, EventView], dict[str, tuple[str, ...]]]:
    """The events that there are, and what was found for each. An id of another journal may hold a seq of this one."""
    found = {name: await journal.view(seq) for name, seq in seqs.items()}
    views = {name: view for name, view in found.items() if view and name in (view.event.id, str(view.event.seq))}
    return views, {view.event.id: await derived_from(journal, view, lookups) for view in views.values()}


_PART = "  {state} {part}: {reason} {detail} (attempts {attempts}, due {due_at})"
_ATTEMPT = "  {at} {outcome} {part} {status} {latency_ms} ms"


def _tell(event: views.EventDetail) -> None:
    shown = asdict(event) | {"derived": ", ".join(event.derived) or None}
    show.fields({name: value for name, value in shown.items() if name not in ("lanes", "headers", "body")})
    for name, value in event.headers:
        click.echo(f"{show.clean(name)}: {show.clean(value)}")
    click.echo(f"\n{show.pretty(event.body)}\n")
    for lane in event.lanes:
        click.echo(show.clean(f"{event.source} > {_name(lane)}: {lane.state}"))
        for part in lane.parts:
            click.echo(show.clean(_PART.format(**asdict(part))))
        for one in lane.attempts:
            under = f"(configuration {one.config})" if one.config else ""
            told = (_ATTEMPT.format(**asdict(one)), one.reason, one.receipt, under)
            click.echo(show.clean(" ".join(text for text in told if text)))


COMMANDS = (events,)
