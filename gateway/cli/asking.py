"""What the commands share that ask a vendor's API: which destination, one answer, rows as people read them.

What is asked counts on the vendor's limits beside what the gateway sends: each command asks once, or few times.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import click

from gateway import app, document
from gateway.cli import show
from gateway.clock import SystemClock
from gateway.config.values import masked
from gateway.config.wording import near
from gateway.deliver.outbound import HttpOutbound, Outbound
from gateway.deliver.plan import Destination
from gateway.deliver.token import Tokens
from gateway.vendors.base import Answer, Failure, Outcome, Request, Response

SAID_CHARS = 500
WIDTH = 80
"""Characters of a cell."""


def destination(config: Path, name: str, vendor: str) -> Destination:
    """The destination of that name. Raises BadParameter where there is none, or it is another vendor's."""
    loaded = app.load_config(config)
    settings = loaded.destinations.get(name)
    if settings is None or settings.vendor != vendor:
        known = [one for one, other in loaded.destinations.items() if other.vendor == vendor]
        what = "there is no destination" if settings is None else f"its vendor is {settings.vendor}, not {vendor}:"
        raise click.BadParameter(f"{what} {name}: {near(name, known)}", param_hint="DESTINATION")
    return app.destinations_of(loaded)[name]


@asynccontextmanager
async def line_to(of: Destination) -> AsyncIterator["Line"]:
    """A line to a destination's API, while the context lasts."""
    async with HttpOutbound() as outbound:
        yield Line(of, outbound)


class Line:
    """An open line to a destination's API."""

    def __init__(self, of: Destination, outbound: Outbound) -> None:
        self._destination = of
        self._tokens = Tokens(outbound, SystemClock())

    async def ask(self, request: Request) -> Response:
        """A 2xx answer. Raises ClickException with the vendor's words, the key masked, for any other."""
        of = self._destination
        answer = await self._tokens.send(of.vendor, request, of.settings.timeout)
        if isinstance(answer, Response) and answer.status // 100 == HTTPStatus.OK // 100:
            return answer
        said = masked(f"{of.name}: {_said(answer)}", of.vendor.secrets())
        raise click.ClickException(show.clean(said[:SAID_CHARS]))


def _said(answer: Answer | Outcome) -> str:
    if isinstance(answer, Response):
        return f"{answer.status} {show.text_of(answer.body)}"
    if isinstance(answer, Failure):
        return f"{answer.reason}: {answer.detail}"
    return f"no token: {getattr(answer, 'detail', '')}"


def parsed(answer: Response, request: Request) -> Any:
    """The answer's document. Raises ClickException where it is none, or longer than is read."""
    if len(answer.body) >= request.answer_bytes:
        raise click.ClickException(f"the answer is longer than {request.answer_bytes >> 20} MiB: ask for less")
    try:
        return document.parse(answer.body)
    except document.Unreadable as error:
        raise click.ClickException(f"the answer is no JSON: {error}") from None


def rows(found: Sequence[Any], nothing: str) -> None:
    """Objects under all the names that they have, in the order of the first to have them."""
    tables = [one if isinstance(one, dict) else {"": one} for one in found]
    columns = list(dict.fromkeys(name for table in tables for name in table))
    show.table(columns, [[_cell(table.get(name)) for name in columns] for table in tables], nothing)


def _cell(value: Any) -> Any:
    text = value if value is None or isinstance(value, str | bool | int) else document.dump(value).decode()
    return f"{text[: WIDTH - 1]}…" if isinstance(text, str) and len(text) > WIDTH else text
