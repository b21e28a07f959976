"""`gateway batch`: a whole catalogue to Ometria's Batch API, from what the journal holds."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import click
from msgspec.structs import replace

from gateway import app
from gateway.cli import asking, show
from gateway.cli.desk import ask
from gateway.cli.options import DONE, NO, config_option, json_option
from gateway.clock import SystemClock
from gateway.config.load import Loaded
from gateway.deliver.newer import is_newer
from gateway.deliver.outbound import HttpOutbound
from gateway.deliver.plan import Destination
from gateway.journal.base import Journal
from gateway.vendors.base import Batch, Delivered, Record, Request, Step, SteppedVendor, Verdict, json_array

FILES = ("categories.json", "products.json", "pages.json", "definitions.json")
"""What a full upload holds: a shop's webhooks tell of products alone."""
EMPTY = b"[]"
PAGE = 500

Tell = Callable[[str], None]


class Uploads(SteppedVendor, Protocol):
    """What this command needs of the vendor."""

    def upload(self, kind: Literal["full", "delta"], files: Mapping[str, bytes], key: str) -> Request:
        """The upload of one archive."""
        ...


@click.group()
def batch() -> None:
    """Send whole catalogues."""


@batch.command(short_help="Replace the catalogue by what the journal knows.")
@click.argument("destination")
@click.option("--dry-run", is_flag=True, help="Count the products, and send nothing.")
@config_option
@json_option
@click.pass_context
def full(ctx: click.Context, destination: str, config: Path, *, dry_run: bool, as_json: bool) -> None:
    """Send the newest state of every product in the journal to DESTINATION as one full upload, and wait for its report.

    It replaces the catalogue: products that the journal does not know are gone from it, as are categories and pages.
    Exits 1 when Ometria refuses any of it.
    """
    loaded = app.load_config(config)
    of = asking.destination(config, destination, "ometria_batch")
    tell: Tell = lambda text: click.echo(text, err=True)  # noqa: E731  one line, told to the other stream
    newest = ask(loaded, lambda journal: _newest(journal, loaded, of, tell))
    said: dict[str, Any] = {"products": len(newest), "receipt": None, "delivered": 0, "refused": []}
    if newest and not dry_run:
        said |= asyncio.run(_sent(of, newest, tell))
    if as_json:
        show.as_json(said)
    else:
        click.echo(f"{said['products']} products, {said['delivered']} delivered, {len(said['refused'])} refused")
        for one in said["refused"]:
            click.echo(show.clean(f"{one['product']}: {one['reason']}: {one['detail']}"))
    ctx.exit(DONE if dry_run or said["delivered"] == len(newest) else NO)


async def _newest(journal: Journal, loaded: Loaded, of: Destination, tell: Tell) -> list[Record]:
    """The newest state of each product, as the routes and mappings in force make it."""
    planner = app.planners_of(loaded)()
    of = replace(of, settings=of.settings.model_copy(update={"stale": True}))  # what it says of its age is read
    found: dict[str, Record] = {}
    at, head = 0, (await journal.head()).seq
    while at < head:
        page = await journal.read(at, sources=loaded.config.sources.keys(), limit=PAGE)
        for event in page.events:
            for record in planner.plan(event, of, lane=0).records:
                known = found.get(record.draft.key)
                if known is None or is_newer(record, known):
                    found[record.draft.key] = record
        at = max(page.read_to, at + 1)
        tell(f"{min(at, head)} of {head} events read, {len(found)} products")
    return list(found.values())


async def _sent(of: Destination, newest: list[Record], tell: Tell) -> dict[str, Any]:
    """Upload, process, report: what became of the products."""
    vendor = cast("Uploads", of.vendor)
    clock = SystemClock()
    whole = Batch(of.name, "products", tuple(newest), clock.now_ms())
    files = {**dict.fromkeys(FILES, EMPTY), "products.json": json_array(whole)}
    step: Step | None = None
    async with HttpOutbound() as outbound:
        request = vendor.upload("full", files, whole.key)
        tell(f"uploading {len(newest)} products, {len(request.body)} bytes")
        while True:
            found = vendor.follow(whole, step, await outbound.send(request, of.settings.timeout))
            if isinstance(found, Verdict):
                return {"receipt": step.handle if step else None, **_outcomes(whole, found)}
            step = found
            tell(f"{step.name} {step.handle}" + (f" in {step.after_s:g} s" if step.after_s else ""))
            await clock.sleep(step.after_s)
            request = vendor.step_request(whole, step)


def _outcomes(whole: Batch, verdict: Verdict) -> dict[str, Any]:
    refused = [
        {"product": record.draft.key, "reason": str(outcome.reason), "detail": outcome.detail}
        for record, outcome in zip(whole.records, verdict.outcomes, strict=True)
        if not isinstance(outcome, Delivered)
    ]
    return {"delivered": len(whole.records) - len(refused), "refused": refused}


COMMANDS = (batch,)
