"""`gateway lanes`: how far every lane is, and what an operator may do to it."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from gateway import app
from gateway.admin import views
from gateway.admin.status import Status
from gateway.cli import show
from gateway.cli.desk import FIGURES, ask, opened, operation
from gateway.cli.options import NO, config_option, json_option
from gateway.clock import SystemClock
from gateway.config.load import Loaded
from gateway.deliver.lane import is_history
from gateway.journal.base import Journal, LaneRow
from gateway.model import Lane


@click.group()
def lanes() -> None:
    """The flows from each source to each destination."""


@lanes.command("list")
@click.option("--all", "everything", is_flag=True, help="Include the lanes of replays that are over.")
@config_option
@json_option
def lanes_list(config: Path, everything: bool, as_json: bool) -> None:  # noqa: FBT001  click's way of a flag
    """How far every lane is, and how many of its events are in which state."""
    loaded = app.load_config(config)
    if as_json:
        rows, balanced = ask(loaded, _balanced)
        found = _figures(rows, loaded, everything=everything)
        show.as_json({"lanes": [{**row, "balanced": balanced[row["id"]]} for row in found]})
        return
    found = _figures(ask(loaded, lambda journal: journal.lane_rows()), loaded, everything=everything)
    columns = (*FIGURES, "lag_seconds", "kind")
    lines = [[*(row[column] for column in columns), _standing(row)] for row in found]
    show.table([*columns, "state"], lines, "no lanes yet")


async def _balanced(journal: Journal) -> tuple[Sequence[LaneRow], dict[int, bool]]:
    """The lanes, and whether each balances: recounted, so that one page tells all that `audit` does."""
    audited = await journal.audit()
    rows = await journal.lane_rows()
    known = {row.lane.id: row.balanced for row in audited}
    return rows, {row.lane.id: known.get(row.lane.id, True) for row in rows}


def _figures(rows: Sequence[LaneRow], loaded: Loaded, *, everything: bool) -> list[dict[str, Any]]:
    """The lanes as they are shown. YAML pauses a lane as a command does."""
    status = Status((), loaded.digest, 0, 0, sources=loaded.config.sources, destinations=loaded.targets)
    found = views.lanes(rows, SystemClock().now_ms(), status, everything=everything)
    return [views.plain(lane) for lane in found.lanes]


def _standing(row: dict[str, Any]) -> str:
    quiet = f"quiet until {row['quiet_until'][:16]}Z" if row["quiet_until"] else "open"
    return next((state for state in ("ended", "orphaned", "paused") if row[state]), quiet)


def _change(what: str, done: str, warning: str = "") -> None:
    """One command that changes lanes."""
    words = warning or f"{what.capitalize()} lanes."

    @lanes.command(what, help=f"{words} LANE is a destination, or SOURCE/DESTINATION.")
    @click.argument("names", metavar="LANE...", nargs=-1)
    @click.option("--source", help="Lanes from this source.")
    @click.option("--destination", help="Lanes to this destination.")
    @click.option("--account", help="Lanes to the destinations of this account.")
    @click.option("--all", "everything", is_flag=True, help="Every lane.")
    @click.option("--yes", is_flag=True, help="Do not ask.")
    @config_option
    @json_option
    @click.pass_context
    def change(ctx: click.Context, /, config: Path, **chosen: Any) -> None:
        loaded = app.load_config(config)
        if not any(chosen[name] for name in ("names", "source", "destination", "account", "everything")):
            raise click.UsageError("name lanes, or --source, --destination, --account or --all")
        found = _chosen(ask(loaded, lambda journal: journal.lanes()), chosen, app.accounts_of(loaded))
        if not found:
            click.echo("Error: there is no such lane; `gateway lanes list` names them", err=True)
            ctx.exit(NO)
        if warning and not chosen["yes"] and sys.stdin.isatty():
            click.confirm(f"{warning} {', '.join(map(_path, found))}. Sure?", abort=True)
        changed = asyncio.run(_changed(loaded, found, what))
        if chosen["as_json"]:
            show.as_json({"lanes": [{"source": lane.source, "destination": lane.destination} for lane in changed]})
            return
        for lane in changed:
            click.echo(show.clean(f"{done} {_path(lane)}"))


def _chosen(known: Sequence[Lane], chosen: dict[str, Any], accounts: Mapping[str, Sequence[str]]) -> list[Lane]:
    """The lanes that the options name; none at all where a name names none. Ended lanes are gone, and those of replays
    that are over.
    """
    fit = [
        lane
        for lane in known
        if not (lane.ended or is_history(lane))
        and chosen["source"] in (None, lane.source)
        and chosen["destination"] in (None, lane.destination)
        and (chosen["account"] is None or lane.destination in accounts.get(chosen["account"], ()))
    ]
    names: tuple[str, ...] = chosen["names"]
    if not names:
        return fit
    found = {name: [lane for lane in fit if name in (lane.destination, _path(lane))] for name in names}
    if not found[names[0]]:
        return [lane for lane in fit if (lane.source, lane.destination) == names]  # LANE is SOURCE DESTINATION
    return [lane for lane in fit if any(lane in of for of in found.values())] if all(found.values()) else []


def _path(lane: Lane) -> str:
    return f"{lane.source}/{lane.destination}"


async def _changed(loaded: Loaded, found: Sequence[Lane], what: str) -> list[Lane]:
    async with opened(loaded) as journal:
        return [await journal.change_lane(lane.id, operation(what, _path(lane))) for lane in found]


_change("pause", "paused")
_change("resume", "resumed")
_change("skip", "skipped what waits on", "Skip what waits on lanes: it is discarded, and not sent.")
_change("end", "ended", "End lanes for good: what waits, is parked or dead on them is discarded.")

COMMANDS = (lanes,)
