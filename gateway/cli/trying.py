"""`gateway try`: one payload's whole way, shown."""

import json
from pathlib import Path
from typing import Any

import click

from gateway import app
from gateway.cli import show
from gateway.cli.options import DONE, NO, config_option, json_option
from gateway.cli.sending import given_headers, known_source, read, target
from gateway.clock import SystemClock
from gateway.config.load import Loaded
from gateway.config.values import duration
from gateway.config.wording import near
from gateway.deliver.route import Decision
from gateway.errors import Cause
from gateway.model import Offer
from gateway.trial.platform import Post, pretended
from gateway.trial.table import as_table, dead, filtered, identity, readable
from gateway.trial.way import DERIVED_FROM, Guide, Sent, Way


@click.command("try", short_help="Show one payload's whole way, without sending.")
@click.argument("source")
@click.argument("file", type=click.File("rb"))
@click.option("--topic", help="The topic it came under.")
@click.option(
    "--header", "headers", multiple=True, metavar="K:V", help="A header to add, or to send in place of the platform's."
)
@click.option("--to", "destination", help="Only this destination.")
@click.option("--derived", is_flag=True, help="Take FILE as what a look-up found, under --topic.")
@config_option
@json_option
@click.pass_context
def try_(ctx: click.Context, /, source: str, config: Path, **chosen: Any) -> None:
    """Show what would become of FILE (- is standard input) if SOURCE sent it. Nothing is kept, nothing is sent.

    Its identity, the normal event, which routes want it and why not, and each vendor's exact request with the secrets
    masked. Exits 1 when it would be rejected or dead.
    """
    loaded = app.load_config(config)
    known_source(loaded, source)
    to = chosen["destination"]
    known_destination(loaded, to)
    if chosen["derived"]:
        way = Guide(loaded).taken((_found(source, chosen),), to)
    else:
        way = Guide(loaded).request(source, posted(loaded, source, chosen), to)
    if way.rejected is not None and way.rejected.cause is Cause.BODY_UNREADABLE:
        _tell_where(chosen["file"])
    told(ctx, way, as_json=chosen["as_json"])


def _tell_where(file: Any) -> None:
    """Where a file stops being JSON, if it is none."""
    if not file.seekable():
        return
    file.seek(0)
    try:
        json.loads(read(file))
    except json.JSONDecodeError as error:
        click.echo(f"{file.name}:{error.lineno}:{error.colno}: {error.msg}", err=True)
    except ValueError as error:
        click.echo(f"{file.name}: {error}", err=True)


def told(ctx: click.Context, way: Way, *, as_json: bool) -> None:
    """Show a way, and end the command with what it comes to."""
    if as_json:
        show.as_json(as_table(way))
    else:
        _tell(way)
    ctx.exit(DONE if way.is_fine else NO)


def known_destination(loaded: Loaded, name: str | None) -> None:
    """Raises BadParameter for a destination that is not configured; None is every one."""
    if name is not None and name not in loaded.targets:
        raise click.BadParameter(
            f"there is no destination `{show.clean(name)}`: {near(name, loaded.targets)}", param_hint="--to"
        )


def _found(source: str, chosen: dict[str, Any]) -> Offer:
    """The event that a look-up would make of a file."""
    if chosen["topic"] is None:
        raise click.UsageError("--derived needs the --topic that the look-up gives it: lookup/TOPIC, unless it says so")
    headers = [("content-type", "application/json"), *((n.lower(), v) for n, v in given_headers(chosen["headers"]))]
    return Offer(
        source=source,
        topic=chosen["topic"],
        received_at_ms=SystemClock().now_ms(),
        revision=0,
        method="GET",
        query="",
        headers=tuple(dict(headers).items()),
        body=read(chosen["file"]),
        derived_from=DERIVED_FROM,
    )


def posted(loaded: Loaded, source: str, chosen: dict[str, Any]) -> Post:
    """The request that the platform would make of a file."""
    url, body = target(loaded, source, None), read(chosen["file"])
    return pretended(loaded, source, url, body, chosen["topic"], given_headers(chosen["headers"]))


# --- for people ------------------------------------------------------------------------------------------------------

COLOURS = {"delivered": "green", "filtered": "yellow", "dead": "red", "rejected": "red"}
_WIDTH = len("routes[0]")


def _tell(way: Way) -> None:
    if way.rejected is not None:
        _line("rejected", f"{way.rejected.status} {way.rejected.cause} {way.rejected.detail}", "red")
        if way.rejected.cause is Cause.TOPIC_MISSING:
            click.echo("say which with --topic", err=True)
        return
    for offer in way.offers:
        _line("identity", identity(offer) or "none: every request is a new event")
    for normal, decisions in way.decisions:
        _line("event", f"{normal.type} {normal.subject or ''}")
        show.highlighted(normal.document())
        for decision in decisions:
            _tell_route(decision)
    for sent in way.requests:
        _tell_request(sent)
    for name in filtered(way):
        _line("filtered", f"{name}: it takes nothing of this", "yellow")
    for one in dead(way):
        _line("dead", f"{one['destination'] or 'everywhere'}: {one['reason']}: {one['detail']}", "red")
    _line("outcome", way.outcome, COLOURS[way.outcome])


def _tell_route(decision: Decision) -> None:
    to = ", ".join(f"{name} by {mapping}" if mapping else name for name, mapping in decision.to)
    held = f", held for {duration(decision.hold_s)}" if decision.hold_s else ""
    text = f"to {to}{held}" if decision.wants else f"no: {decision.why}"
    _line(f"routes[{decision.route}]", text, "green" if decision.wants else "yellow")


def _tell_request(sent: Sent) -> None:
    _line("request", f"{sent.destination}: {sent.request.method} {sent.request.url}", "green")
    for name, value in sent.request.headers:
        click.echo(f"{click.style(show.clean(name), fg='blue')}: {show.clean(value)}")
    click.echo()
    show.highlighted(readable(sent.request.body))
    click.echo()


def _line(name: str, text: str, colour: str = "cyan") -> None:
    click.echo(f"{click.style(name.ljust(_WIDTH), fg=colour, bold=True)}  {show.clean(text).rstrip()}")


COMMANDS = (try_,)
