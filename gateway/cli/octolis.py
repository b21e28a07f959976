"""`gateway octolis`: what a dataset holds, to compare it with what was sent."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import click

from gateway.cli import asking, show
from gateway.cli.options import config_option, json_option
from gateway.config.wording import near
from gateway.deliver.plan import Destination
from gateway.vendors.base import Request, Response

PAGE_MAX = 50_000
"""Octolis Data API: the largest page."""


class Datasets(Protocol):
    """What these commands need of the vendor."""

    def read(self, entity: str, path: str = "", **parameters: str | int) -> Request:
        """A request that reads a dataset. Raises KeyError for an entity that has none."""
        ...


@click.group()
def octolis() -> None:
    """Read back what Octolis holds."""


_filter = click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="COLUMN:VALUE",
    help="Rows with this value; for one column any of them.",
)


@octolis.command("get", short_help="Show a dataset's rows.")
@click.argument("destination")
@click.argument("entity")
@_filter
@click.option("--id", "master", help="One record, by its master id.")
@click.option("--select", "columns", multiple=True, metavar="COLUMN", help="Only these columns.")
@click.option("--order", type=click.Choice(["desc", "asc"]), default="desc", help="By when a row was changed.")
@click.option("--page", type=click.IntRange(1), default=1, show_default=True, help="Which page.")
@click.option("--page-size", type=click.IntRange(1, PAGE_MAX), default=100, show_default=True, help="Rows of a page.")
@click.option("--format", "form", type=click.Choice(["json", "csv"]), help="As Octolis writes it.  [default: json]")
@config_option
@json_option
def get(destination: str, entity: str, config: Path, **chosen: Any) -> None:
    """Show the rows of ENTITY's dataset at DESTINATION, the latest change first. Each request costs a point of the key.

    Octolis prepares a row some time after it is written.
    """
    form = _form(chosen["form"], as_json=chosen["as_json"]) or "json"
    of = asking.destination(config, destination, "octolis")
    if chosen["master"] is not None:
        request = _read(of, entity, f"/{_id(chosen['master'])}")
    else:
        request = _read(of, entity, "", **_parameters(chosen, form))
    _tell(asyncio.run(_asked(of, request)), request, form)


@octolis.command("count", short_help="Count a dataset's rows.")
@click.argument("destination")
@click.argument("entity")
@_filter
@click.option("--format", "form", type=click.Choice(["json", "csv"]), help="As Octolis writes it.")
@config_option
@json_option
def count(
    destination: str, entity: str, config: Path, filters: Sequence[str], form: str | None, *, as_json: bool
) -> None:
    """Count the rows of ENTITY's dataset at DESTINATION."""
    form = _form(form, as_json=as_json)
    of = asking.destination(config, destination, "octolis")
    request = _read(of, entity, "/count", **_filtered(filters), format=form or "json")
    answer = asyncio.run(_asked(of, request))
    if form is not None:
        _tell(answer, request, form)
        return
    found = asking.parsed(answer, request)
    click.echo(show.clean(found.get("count") if isinstance(found, dict) else found))


def _read(of: Destination, entity: str, path: str, **parameters: str | int) -> Request:
    try:
        return cast("Datasets", of.vendor).read(entity, path, **parameters)
    except KeyError:
        known = cast("Any", of.settings).datasets
        raise click.BadParameter(f"{of.name} has no dataset for {entity}: {near(entity, known)}") from None


def _form(form: str | None, *, as_json: bool) -> str | None:
    """What `--format` and `--json` ask for together."""
    if as_json and form == "csv":
        raise click.UsageError("--json is JSON, not csv: one of the two")
    return "json" if as_json else form


def _id(text: str) -> str:
    if not text.replace("-", "").isalnum():
        raise click.BadParameter(f"{text!r} is no master id", param_hint="--id")
    return text


def _filtered(filters: Sequence[str]) -> dict[str, str]:
    for one in filters:
        if not one.partition(":")[1] or "," in one:
            raise click.BadParameter("write COLUMN:VALUE, without a comma", param_hint="--filter")
    return {"filter": ",".join(filters)} if filters else {}


def _parameters(chosen: dict[str, Any], form: str) -> dict[str, str | int]:
    selection = {"selection": ",".join(chosen["columns"])} if chosen["columns"] else {}
    header = {"header": "true"} if form == "csv" else {}
    page: dict[str, str | int] = {"page": chosen["page"], "pageSize": chosen["page_size"], "order": chosen["order"]}
    return {"format": form, **header, **_filtered(chosen["filters"]), **selection, **page}


async def _asked(of: Destination, request: Request) -> Response:
    async with asking.line_to(of) as line:
        return await line.ask(request)


def _tell(answer: Response, request: Request, form: str) -> None:
    if form == "json":
        click.echo(show.pretty(asking.parsed(answer, request)))
    else:
        click.echo(show.pretty(show.text_of(answer.body)))


COMMANDS = (octolis,)
