"""`gateway parked`: what waits for its next attempt."""

from pathlib import Path

import click

from gateway import app
from gateway.admin import views
from gateway.admin.parked import parked as waiting
from gateway.cli import show
from gateway.cli.desk import ask
from gateway.cli.options import config_option, json_option


@click.group()
def parked() -> None:
    """Records that wait for their next attempt."""


@parked.command("list")
@click.option("--source", help="Only records from this source.")
@click.option("--destination", help="Only records to this destination.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Show at most this many.")
@config_option
@json_option
def parked_list(config: Path, as_json: bool, source: str | None, destination: str | None, limit: int) -> None:  # noqa: FBT001  a flag
    """List what waits for its next attempt, those first that go first."""
    found = ask(app.load_config(config), lambda journal: waiting(journal, source, destination, limit))
    if as_json:
        show.as_json(views.plain(found))
        return
    columns = ("due_at", "event_id", "source", "destination", "part", "reason", "attempts", "detail")
    lines = [[getattr(one, column) for column in columns] for one in found.parked]
    show.table(columns, lines, "nothing waits for another attempt")
    show.advised(one.reason for one in found.parked)
    if found.more:
        click.echo(f"there are more than {limit}: see --limit", err=True)


COMMANDS = (parked,)
