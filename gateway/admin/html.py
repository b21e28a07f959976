"""HTML: templates, how values read in them, and the forms that come back. Plain pages that work without a script."""

import shlex
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from msgspec import json
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway import document
from gateway.admin.advice import advice
from gateway.admin.answers import SAFE, Problem
from gateway.admin.api import read_body

HERE = Path(__file__).parent
_CURLS_OWN = frozenset(("host", "content-length", "content-encoding", "transfer-encoding", "connection"))
"""Headers that curl makes itself, or that are not true of a body that is shown as text."""
FIELDS_MAX = 500
"""Fields of a form."""


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["advice"] = advice
    made.filters["span"] = span
    made.filters["short"] = short
    made.filters["readable"] = readable
    made.filters["pretty"] = pretty
    made.filters["compact"] = compact
    made.filters["curl"] = curl
    return made


def span(seconds: float) -> str:
    """A length of time as people say it: 42 s, 7 min, 3 h, 2 d."""
    for unit, length_s in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def short(moment: str) -> str:
    """A time without its fraction, as the tables show it."""
    return moment[:19].replace("T", " ")


def readable(body: str) -> str:
    """JSON with line breaks; anything else as it is. Numbers keep the digits they have."""
    try:
        document.check(body.encode("utf-8", "surrogatepass"))
    except document.Unreadable:
        return body
    return json.format(body.removeprefix("\N{BYTE ORDER MARK}"), indent=2)


def pretty(value: Any) -> str:
    """A document with line breaks; a text as it is."""
    return value if isinstance(value, str) else json.format(document.dump(value), indent=2).decode()


def compact(value: Any) -> str:
    """A document on one line; a text as it is."""
    return value if isinstance(value, str) else document.dump(value).decode()


def curl(method: str, url: str, headers: Iterable[tuple[str, str]], body: str) -> str:
    """A request as a command for a shell."""
    parts = [f"curl -X {shlex.quote(method)} {shlex.quote(url)}"]
    parts += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in headers if name.lower() not in _CURLS_OWN]
    if body:
        parts.append(f"--data-raw {shlex.quote(body)}")
    return " \\\n  ".join(parts)


TEMPLATES = _environment()


def render(name: str, code: int = 200, **values: Any) -> Response:
    """A template as an answer."""
    return Response(TEMPLATES.get_template(name).render(**values), code, SAFE, "text/html; charset=utf-8")


def see(path: str) -> Response:
    """Go and see another page: what follows a form that was taken."""
    return RedirectResponse(path, HTTPStatus.SEE_OTHER, SAFE)


class Form:
    """The fields of a form that was sent."""

    def __init__(self, fields: dict[str, list[str]]) -> None:
        self._fields = fields

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of a field."""
        return tuple(self._fields.get(name, ()))

    def one(self, name: str, default: str = "") -> str:
        """The first value of a field."""
        return self._fields.get(name, [default])[0]


async def form_of(request: Request, most_bytes: int = 1 << 16) -> Form:
    """The form in a request. Raises Problem."""
    try:
        text = (await read_body(request, most_bytes)).decode()
        return Form(parse_qs(text, max_num_fields=FIELDS_MAX, errors="strict", keep_blank_values=True))
    except ValueError as error:
        raise Problem(400, "form", str(error)) from None
