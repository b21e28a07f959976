"""`gateway check` and `gateway schema`: the configuration, before it is in force."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from gateway import app
from gateway.checks import lanes
from gateway.cli import show
from gateway.cli.desk import ask, has_journal
from gateway.cli.options import DONE, NO, StandIn, config_option
from gateway.config.load import Loaded, Problem, json_schema
from gateway.config.reference import page
from gateway.errors import ConfigurationError, Fault, JournalError


@click.command(short_help="Find every fault of the configuration.")
@config_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    help="As text, as JSON, or as annotations that GitHub shows beside the lines.",
)
@click.option("--json", "form", flag_value="json", help="Print one JSON object.")
@click.option("--stand-in", is_flag=True, help="Something stands in for variables that are not set: CI has no secrets.")
@click.option("--strict", is_flag=True, help="A warning is a fault: exit 1.")
@click.pass_context
def check(ctx: click.Context, /, config: Path, form: str, *, stand_in: bool, strict: bool) -> None:
    """Look for faults in the configuration; tell all of them. Nothing is sent.

    A fault is FILE:LINE:COLUMN: KEY PATH: CAUSE (HINT). Where the journal is there, lanes that the configuration would
    leave behind or begin are told as warnings. Exits 1 when there is a fault.
    """
    loaded: Loaded | None = None
    faults: Sequence[Fault] = ()
    try:
        loaded = app.load_config(config, StandIn(os.environ) if stand_in else os.environ, checks=(_lanes,))
        warnings = loaded.warnings
    except ConfigurationError as error:
        faults, warnings = error.faults, error.warnings
    _FORMS[form](faults, warnings)
    if loaded and form == "text":
        _sound(loaded)
    ctx.exit(NO if faults or (strict and warnings) else DONE)


def _lanes(loaded: Loaded) -> Iterator[Problem]:
    """What would become of the lanes that there are; nothing where there is no journal yet."""
    if not has_journal(loaded):
        return
    try:
        rows = ask(loaded, lambda journal: journal.lane_rows())
    except JournalError as error:
        cause = f"the journal cannot be read now, so its lanes are not looked at: {error}"
        yield Problem(("journal", "url"), cause, warning=True)
        return
    yield from lanes.changes(loaded, rows)


def _sound(loaded: Loaded) -> None:
    config = loaded.config
    counts = {"source": config.sources, "destination": config.destinations, "route": config.routes}
    counts |= {"look-up": config.lookups} if config.lookups else {}
    parts = [f"{len(found)} {name}{'' if len(found) == 1 else 's'}" for name, found in counts.items()]
    click.echo(f"{', '.join(loaded.files)}: no faults; {', '.join(parts)}; version {loaded.digest}")


# --- forms -----------------------------------------------------------------------------------------------------------


def _text(faults: Sequence[Fault], warnings: Sequence[Fault]) -> None:
    show.warnings(warnings)
    if faults:
        show.faults(ConfigurationError(faults))


def _json(faults: Sequence[Fault], warnings: Sequence[Fault]) -> None:
    show.as_json({"ok": not faults, "faults": _rows(faults), "warnings": _rows(warnings)})


def _github(faults: Sequence[Fault], warnings: Sequence[Fault]) -> None:
    """Workflow commands: https://docs.github.com/actions/reference/workflow-commands-for-github-actions."""
    for level, found in (("error", faults), ("warning", warnings)):
        for fault in found:
            place = f"file={_property(fault.file)},line={fault.line},col={fault.column}"
            told = f"{fault.cause}\n{fault.hint}" if fault.hint else fault.cause
            click.echo(f"::{level} {place},title={_property(fault.path or 'configuration')}::{_data(told)}")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


_FORMS = {"text": _text, "json": _json, "github": _github}


def _rows(faults: Sequence[Fault]) -> list[dict[str, Any]]:
    names = ("file", "line", "column", "path", "cause", "hint")
    return [{name: getattr(fault, name) for name in names} for fault in faults]


# --- what is made from the models ------------------------------------------------------------------------------------


@click.command(short_help="Print the configuration's JSON Schema.")
def schema() -> None:
    """Print the configuration's JSON Schema, by which editors complete and check."""
    show.as_json(json_schema(app.registry()))


@click.command(hidden=True)
def reference() -> None:
    """Print the configuration's reference page, which is docs/configuration.md."""
    click.echo(page(app.registry()), nl=False)


COMMANDS = (check, schema, reference)
