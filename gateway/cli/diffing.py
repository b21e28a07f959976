"""`gateway diff`: the last events of the journal under two configurations, and what would change, by destination."""

from pathlib import Path
from typing import Any

import click

from gateway import app
from gateway.cli import show
from gateway.cli.comparing import ABSENT, Difference
from gateway.cli.desk import ask
from gateway.cli.fates import Change, Pair, Report
from gateway.cli.options import DONE, NO, json_option

_NAMED = 8  # fields that are only named
_LONG = 120  # characters of a value


@click.command(short_help="What a new configuration would change for stored events.")
@click.option("--config", "new", type=click.Path(path_type=Path), required=True, help="The new configuration.")
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    envvar="GATEWAY_CONFIG",
    default=Path("config"),
    show_default="config/",
    help="The one in force, whose journal is read. Also GATEWAY_CONFIG.",
)
@click.option(
    "--last", type=click.IntRange(1, 100_000), default=200, show_default=True, help="How many of the last events."
)
@click.option("--source", help="Only events of this source.")
@json_option
@click.pass_context
def diff(ctx: click.Context, /, new: Path, against: Path, **chosen: Any) -> None:
    """Run the last events of the journal through both configurations; tell what would change, by destination.

    Nothing is sent. Exits 1 when an event would be dead that is not.
    """
    old_loaded, new_loaded = app.load_config(against), app.load_config(new)
    pair = Pair(old_loaded, new_loaded)
    report = ask(old_loaded, lambda journal: pair.compared(journal, chosen["source"], chosen["last"]))
    if chosen["as_json"]:
        show.as_json(_as_table(report))
    else:
        _tell(report)
    ctx.exit(NO if report.kills else DONE)


# --- telling ---------------------------------------------------------------------------------------------------------


def _moved(report: Report) -> dict[str, tuple[str, str]]:
    """Destinations whose requests go somewhere else."""
    pairs = {name: (", ".join(sorted(was)), ", ".join(sorted(now))) for name, (was, now) in report.addresses.items()}
    return {name: pair for name, pair in pairs.items() if all(pair) and pair[0] != pair[1]}


def _sorted(report: Report) -> list[Change]:
    return sorted(report.changes.values(), key=lambda change: (change.destination, -change.count, change.kind))


def _as_table(report: Report) -> dict[str, Any]:
    names = ("destination", "kind", "type", "count", "example", "why")
    changes = [
        {name: getattr(change, name) for name in names} | {"fields": [_row(one) for one in change.differences]}
        for change in _sorted(report)
    ]
    moved = [{"destination": name, "before": pair[0], "after": pair[1]} for name, pair in _moved(report).items()]
    return {"events": report.events, "same": report.same, "changes": changes, "moved": moved}


def _row(one: Difference) -> dict[str, Any]:
    pair = {"before": one.expected, "after": one.found}
    return {"path": one.path} | {name: value for name, value in pair.items() if value is not ABSENT}


KINDS = {
    "dead": ("would be dead", "red"),
    "revived": ("would be sent, and is dead", "green"),
    "spared": ("would be filtered, and is dead", "yellow"),
    "added": ("would be sent", "green"),
    "removed": ("would no longer be sent", "yellow"),
    "changed": ("would change", "cyan"),
}
"""What may become of events for a destination, in words, and their colour."""


def _tell(report: Report) -> None:
    click.echo(f"{report.events} events, {report.same} the same")
    destination = ""
    for change in _sorted(report):
        if change.destination != destination:
            destination = change.destination
            click.echo(click.style(f"\n{destination}", bold=True))
        _tell_change(change)
    for name, (before, after) in _moved(report).items():
        click.echo(f"\n{click.style(name, bold=True)}: requests go elsewhere\n  - {before}\n  + {after}")


def _tell_change(change: Change) -> None:
    words, colour = KINDS[change.kind]
    more = f" and {len(change.fields) - _NAMED} more" if len(change.fields) > _NAMED else ""
    what = f": {', '.join(change.fields[:_NAMED])}{more}" if change.fields else f": {change.why}" if change.why else ""
    click.echo(f"  {change.count:>5}  {show.clean(change.type)} {click.style(words, fg=colour)}{show.clean(what)}")
    for one in change.differences:
        path = click.style(show.clean(one.path), bold=True)
        click.echo(f"         {path}: {_value(one.expected)} > {_value(one.found)}")
    click.echo(click.style(f"         for example {change.example}", dim=True))


def _value(value: Any) -> str:
    text = "(nothing)" if value is ABSENT else show.compact(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]} ..."


COMMANDS = (diff,)
