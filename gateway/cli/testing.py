"""`gateway test`: cases beside the configuration, run in milliseconds; a new one recorded from a stored event."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from gateway import app
from gateway.cli import cases, comparing, recording, show
from gateway.cli.options import DONE, NO, WRONG_USE, StandIn, config_option, json_option
from gateway.clock import SystemClock
from gateway.config.places import Place
from gateway.trial.way import Guide

_SHOWN = 12  # differences of one case
_LONG = 300  # characters of a value


class Result(Struct, frozen=True):
    """What came of one case."""

    name: str
    place: Place
    milliseconds: float
    differences: list[comparing.Difference]


@click.command(short_help="Run the cases beside the configuration.")
@click.argument("path", type=click.Path(path_type=Path, exists=True), required=False)
@click.option("--record", "event", metavar="EVENT_ID", help="Write a case from a stored event, personal data replaced.")
@click.option("--into", type=click.Path(path_type=Path), help="The file it goes into. Default: one of its own.")
@config_option
@json_option
@click.pass_context
def test(ctx: click.Context, /, path: Path | None, config: Path, **chosen: Any) -> None:
    """Run the cases in PATH: a file, or a folder of them. Default: the folder `tests` beside the configuration.

    A case is a payload and what must become of it: the normal event, the records by destination, or why it is dead.
    Something stands in for variables that are not set. Exits 1 when something is not as expected.
    """
    loaded = app.load_config(config, StandIn(os.environ))
    if chosen["event"] is not None:
        click.echo(recording.record(loaded, config, chosen["event"], chosen["into"] or path))
        return
    where = path or cases.beside(config)
    found = cases.read(where) if where.exists() else []
    if not found:
        click.echo(f"Error: there are no cases in {where}: write one, or --record one", err=True)
        ctx.exit(WRONG_USE)
    guide = Guide(loaded)
    results = [_run(guide, one) for one in found]
    if chosen["as_json"]:
        show.as_json(_as_table(results))
    else:
        _tell(results)
    ctx.exit(DONE if all(not result.differences for result in results) else NO)


def _run(guide: Guide, found: cases.Found) -> Result:
    clock = SystemClock()
    before_s = clock.monotonic_s()
    way = cases.run(guide, found)
    differences = comparing.differences(found.case.expect, way)
    return Result(found.case.name, found.place, (clock.monotonic_s() - before_s) * 1000, differences)


# --- telling ---------------------------------------------------------------------------------------------------------


def _as_table(results: Sequence[Result]) -> dict[str, Any]:
    rows = [
        {
            "name": result.name,
            "file": result.place.file,
            "line": result.place.line,
            "ok": not result.differences,
            "milliseconds": round(result.milliseconds, 3),
            "differences": [_row(one) for one in result.differences],
        }
        for result in results
    ]
    return {"ok": all(row["ok"] for row in rows), "cases": rows}


def _row(one: comparing.Difference) -> dict[str, Any]:
    """A difference; what is not there has no key."""
    pair = {"expected": one.expected, "found": one.found}
    return {"path": one.path} | {name: value for name, value in pair.items() if value is not comparing.ABSENT}


def _tell(results: Sequence[Result]) -> None:
    for result in results:
        mark = click.style("no", fg="red", bold=True) if result.differences else click.style("ok", fg="green")
        click.echo(f"{mark}  {show.clean(result.name)}  {click.style(f'{result.milliseconds:.1f} ms', dim=True)}")
        if result.differences:
            click.echo(click.style(f"    {result.place.file}:{result.place.line}", dim=True))
        for one in result.differences[:_SHOWN]:
            _tell_difference(one)
        if len(result.differences) > _SHOWN:
            click.echo(f"    and {len(result.differences) - _SHOWN} more")
    wrong = sum(bool(result.differences) for result in results)
    total = sum(result.milliseconds for result in results)
    colour = "red" if wrong else "green"
    said = f"{len(results)} cases, {wrong} not as expected" if wrong else f"{len(results)} cases, all as expected"
    click.echo(f"{click.style(said, fg=colour, bold=True)}, {total:.0f} ms")


def _tell_difference(one: comparing.Difference) -> None:
    click.echo(f"    {click.style(show.clean(one.path), bold=True)}")
    click.echo(f"      {click.style(f'- {_value(one.expected)}', fg='red')}")
    click.echo(f"      {click.style(f'+ {_value(one.found)}', fg='green')}")


def _value(value: Any) -> str:
    if value is comparing.ABSENT:
        return "(nothing)"
    text = show.compact(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]} ..."


COMMANDS = (test,)
