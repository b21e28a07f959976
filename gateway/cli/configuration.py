"""`gateway check` and `gateway schema`: the configuration, before it is in force."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from gateway import app
from gateway.cli import show
from gateway.cli.options import NO, config_option, json_option
from gateway.config.load import Loaded, json_schema
from gateway.errors import ConfigurationError, Fault


@click.command(short_help="Find every fault of the configuration.")
@config_option
@json_option
@click.pass_context
def check(ctx: click.Context, config: Path, as_json: bool) -> None:  # noqa: FBT001  click's way of a flag
    """Look for faults in the configuration; tell all of them.

    A fault is FILE:LINE:COLUMN: KEY PATH: CAUSE (HINT). Exits 1 when there is one.
    """
    try:
        loaded = app.load_config(config)
    except ConfigurationError as error:
        if as_json:
            show.as_json({"ok": False, "faults": _rows(error.faults)})
        else:
            show.faults(error)
        ctx.exit(NO)
    if as_json:
        show.as_json({"ok": True, "faults": [], "warnings": _rows(loaded.warnings)})
    else:
        _sound(loaded)


def _sound(loaded: Loaded) -> None:
    for warning in loaded.warnings:
        click.echo(f"{click.style('warning', fg='yellow')}: {show.clean(warning)}", err=True)
    config = loaded.config
    counts = {"source": config.sources, "destination": config.destinations, "route": config.routes}
    parts = [f"{len(found)} {name}{'' if len(found) == 1 else 's'}" for name, found in counts.items()]
    click.echo(f"{', '.join(loaded.files)}: no faults; {', '.join(parts)}; version {loaded.digest}")


def _rows(faults: Sequence[Fault]) -> list[dict[str, Any]]:
    names = ("file", "line", "column", "path", "cause", "hint")
    return [{name: getattr(fault, name) for name in names} for fault in faults]


@click.command(short_help="Print the configuration's JSON Schema.")
def schema() -> None:
    """Print the configuration's JSON Schema, by which editors complete and check."""
    show.as_json(json_schema(app.registry()))


COMMANDS = (check, schema)
