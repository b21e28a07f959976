"""`gateway ometria`: what Ometria dropped of what it had taken."""

import asyncio
from pathlib import Path
from typing import Any, cast

import click

from gateway.cli import asking, show
from gateway.cli.options import config_option, json_option
from gateway.deliver.plan import Destination
from gateway.vendors.base import DroppingVendor, Request


@click.group()
def ometria() -> None:
    """Ask Ometria what it took and dropped."""


@ometria.command(short_help="Show what Ometria dropped.")
@click.argument("destination")
@config_option
@json_option
def errors(destination: str, config: Path, as_json: bool) -> None:  # noqa: FBT001  click's way of a flag
    """Show the 100 latest records that Ometria took for DESTINATION's account with a 202, and dropped later.

    It does not say which records they were, nor which of the account's senders sent them.
    """
    of = asking.destination(config, destination, "ometria")
    found = asyncio.run(_asked(of, cast("DroppingVendor", of.vendor).errors()))
    if as_json:
        show.as_json({"errors": found})
    else:
        asking.rows(found, "no errors")


async def _asked(of: Destination, request: Request) -> list[Any]:
    async with asking.line_to(of) as line:
        found = asking.parsed(await line.ask(request), request)
    return found if isinstance(found, list) else [found]


COMMANDS = (ometria,)
