"""`gateway coverage`: what of a source's payloads no mapping reads, what nothing fills, what changed lately."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from gateway import app
from gateway.cli import show
from gateway.cli.desk import ask
from gateway.cli.fates import events_of
from gateway.cli.options import MOMENT, config_option, json_option
from gateway.cli.sending import known_source
from gateway.cli.study import Study, Topic, names
from gateway.journal.base import Journal
from gateway.mapping.shape import dotted, drift
from gateway.model import Event

_LATELY = 5  # one in so many events counts as lately, unless told
_SHOWN = 40  # fields of one list


@click.command(short_help="What of a source's payloads is read, filled and new.")
@click.argument("source")
@click.option(
    "--last", type=click.IntRange(1, 100_000), default=1000, show_default=True, help="How many of the last events."
)
@click.option("--since", type=MOMENT, help="What counts as lately. Default: the last fifth of each topic.")
@config_option
@json_option
def coverage(source: str, config: Path, last: int, since: int | None, as_json: bool) -> None:  # noqa: FBT001  a flag
    """Look through the stored payloads of SOURCE.

    Which of their fields no mapping reads; which fields of the normal form and of each destination's records nothing
    fills; which fields appeared, vanished or changed their kind lately. Values are not shown.
    """
    loaded = app.load_config(config)
    study = Study(loaded, known_source(loaded, source))
    events = ask(loaded, lambda journal: _read(journal, source, last))
    totals, seen = Counter(event.topic for event in events), Counter[str]()
    for event in events:
        newest = seen[event.topic] < max(1, totals[event.topic] // _LATELY)
        study.look(event, lately=newest if since is None else event.received_at_ms >= since)
        seen[event.topic] += 1
    if as_json:
        show.as_json(study.as_table())
    else:
        _tell(study)


async def _read(journal: Journal, source: str, last: int) -> list[Event]:
    return [event async for event in events_of(journal, source, last)]


# --- telling ---------------------------------------------------------------------------------------------------------

_COLOURS = {"appeared": "green", "vanished": "red", "changed": "yellow"}


def _tell(study: Study) -> None:
    click.echo(f"{study.events} events of {study.source}")
    for topic in study.topics.values():
        _tell_topic(study, topic)
    for one in study.normals.values():
        _list(f"normal {one.entity}: never filled", names(one.unfilled()))
    for made_there in study.records.values():
        about = f"{made_there.name} {made_there.entity} by {made_there.mapping}"
        _list(f"{about}: never filled in {made_there.shape.payloads} records", names(made_there.unfilled()))


def _tell_topic(study: Study, topic: Topic) -> None:
    by = f"by {topic.mapping}" if topic.mapping else "as it is: no mapping normalises it"
    count = topic.before.payloads + topic.lately.payloads
    click.echo(f"\n{click.style(show.clean(topic.name), bold=True)}: {count} events, {by}")
    unread = [f"{dotted(path)}{f' ({fields} fields)' if fields > 1 else ''}" for path, fields, _ in study.unread(topic)]
    _list("  never read", unread)
    for one in drift(topic.before, topic.lately):
        kinds = " > ".join(filter(None, (", ".join(one.before), ", ".join(one.after))))
        change = click.style(one.change, fg=_COLOURS[one.change])
        click.echo(show.clean(f"  lately {dotted(one.path)} ").rstrip() + f" {change} ({kinds})")
    if not topic.before.payloads:
        click.echo(click.style("  nothing older to compare with", dim=True))


def _list(title: str, found: Sequence[str]) -> None:
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        click.echo(f"{click.style(title, fg='cyan')}: {show.clean(', '.join(found[:_SHOWN]))}{more}")


COMMANDS = (coverage,)
