"""`gateway amperity`: what became of the rows behind the streams."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, cast

import click

from gateway.cli import asking, show
from gateway.cli.options import MOMENT, config_option, json_option
from gateway.clock import SystemClock
from gateway.deliver.plan import Destination
from gateway.vendors.base import Request, Response

DAY_MS = 86_400_000
WINDOW_MS = 7 * DAY_MS
"""Amperity API: ingest jobs are asked for by a window of at most seven days."""
PAGE = 100
ITEMS_MAX = 1_000
"""Ten pages: Amperity takes ten calls a second."""


class Lists(Protocol):
    """What these commands need of the vendor."""

    def read(self, path: str, next_token: str = "", **parameters: str | int) -> Request:
        """The request for a page of a list."""
        ...

    def page_of(self, answer: Response) -> tuple[list[Any], str]:
        """A page's items, and the token of the next page (empty: there is none)."""
        ...


@click.group()
def amperity() -> None:
    """Ask Amperity what became of its jobs."""


@amperity.command(short_help="Show ingest jobs.")
@click.argument("destination")
@click.option("--from", "from_ms", type=MOMENT, help="Created since. Default: a week before --to.")
@click.option("--to", "to_ms", type=MOMENT, help="Created until. Default: now.")
@click.option(
    "--limit", type=click.IntRange(1, ITEMS_MAX), default=PAGE, show_default=True, help="Show at most this many."
)
@config_option
@json_option
def jobs(destination: str, config: Path, as_json: bool, **chosen: Any) -> None:  # noqa: FBT001  click's way of a flag
    """Show the ingest jobs of DESTINATION's tenant that were created in a window of at most seven days."""
    to_ms = SystemClock().now_ms() if chosen["to_ms"] is None else chosen["to_ms"]
    from_ms = to_ms - WINDOW_MS if chosen["from_ms"] is None else chosen["from_ms"]
    if not 0 <= to_ms - from_ms <= WINDOW_MS:
        raise click.UsageError("a window has at most seven days, and --from is before --to")
    of = asking.destination(config, destination, "amperity")
    window = {"created_from": _moment(from_ms), "created_to": _moment(to_ms)}
    found, more = asyncio.run(_listed(of, "/ingest/jobs", chosen["limit"], window))
    if as_json:
        show.as_json({"jobs": found, "more": more})
        return
    asking.rows(found, "no jobs")
    if more:
        click.echo(f"there are more than {len(found)}: --limit", err=True)


async def _listed(of: Destination, path: str, limit: int, asked: dict[str, str]) -> tuple[list[Any], bool]:
    """At most `limit` items of a list, page by page, and whether there are more."""
    vendor = cast("Lists", of.vendor)
    found: list[Any] = []
    token = ""
    async with asking.line_to(of) as line:
        while len(found) < limit:
            size = min(PAGE, limit - len(found))
            items, token = vendor.page_of(await line.ask(vendor.read(path, token, **asked, limit=size)))
            found += items
            if not token or not items:
                break
    return found[:limit], bool(token)


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


COMMANDS = (amperity,)
