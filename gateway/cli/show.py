"""How answers look: JSON, rich tables on a terminal, plain aligned lines elsewhere."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import click
import msgspec

from gateway import document
from gateway.admin.advice import advice
from gateway.errors import ConfigurationError, Fault


def as_json(answer: dict[str, Any]) -> None:
    """One JSON object on standard output."""
    click.echo(pretty(answer))


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], nothing: str) -> None:
    """Rows under their columns, or `nothing` where there are none. Numbers stand to the right."""
    if not rows:
        click.echo(nothing)
        return
    texts = [[clean(value) for value in row] for row in rows]
    right = [all(isinstance(row[place], int | float) for row in rows) for place in range(len(columns))]
    if sys.stdout.isatty():
        _rich(columns, texts, right)
    else:
        _plain(columns, texts, right)


def _rich(columns: Sequence[str], texts: list[list[str]], right: list[bool]) -> None:
    """On a terminal that is too narrow, columns that hold nothing are left out; only the last may break its lines."""
    from rich.console import Console  # noqa: PLC0415  only a terminal needs it
    from rich.table import Table  # noqa: PLC0415  as above
    from rich.text import Text  # noqa: PLC0415  as above

    console = Console()
    places = list(range(len(columns)))
    if sum(_widths([columns, *texts])) + 2 * len(columns) > console.width:
        places = [place for place in places if any(row[place] not in _EMPTY for row in texts)]
    shown = Table(box=None, header_style="bold", pad_edge=False)
    for place in places:
        is_last = place == places[-1]
        shown.add_column(
            columns[place], justify="right" if right[place] else "left", no_wrap=not is_last, overflow="fold"
        )
    for row in texts:
        shown.add_row(*(Text(row[place]) for place in places))
    console.print(shown)


_EMPTY = frozenset(("0", "0.0", "-", ""))


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]


def _plain(columns: Sequence[str], texts: list[list[str]], right: list[bool]) -> None:
    whole = [[column.upper() for column in columns], *texts]
    widths = _widths(whole)
    for row in whole:
        cells = [
            text.rjust(width) if is_number else text.ljust(width)
            for text, width, is_number in zip(row, widths, right, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())


def fields(row: dict[str, Any]) -> None:
    """One thing, a line for each of its fields."""
    width = max(len(name) for name in row)
    for name, value in row.items():
        click.echo(f"{name.ljust(width)}  {clean(value)}")
    click.echo()


def advised(words: Iterable[str]) -> None:
    """What each of these causes or reasons means and what helps, once, on standard error: no part of the table."""
    found = [(word, advice(word)) for word in dict.fromkeys(words)]
    for word, text in found:
        if text:
            click.echo(f"{click.style(word, fg='yellow')}: {text}", err=True)


def clean(value: Any) -> str:
    """A value as text for a terminal: what came from outside cannot move its cursor."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    return text if text.isprintable() else "".join(sign if sign.isprintable() else "�" for sign in text)


def text_of(body: bytes) -> str:
    """A body as text; what is not UTF-8 is shown as U+FFFD."""
    return body.decode("utf-8", "replace")


def warnings(found: Sequence[Fault]) -> None:
    """What is worth a look, on standard error."""
    for one in found:
        click.echo(f"{click.style('warning', fg='yellow')}: {clean(one)}", err=True)


def faults(error: ConfigurationError) -> None:
    """Every fault of a configuration on standard error, one a line."""
    for fault in error.faults:
        if "\n" not in fault.hint:
            click.echo(clean(fault), err=True)
            continue
        click.echo(clean(replace(fault, hint="")), err=True)
        for line in fault.hint.splitlines():  # an expression with a caret under the place
            click.echo(f"    {clean(line)}", err=True)
    count = len(error.faults)
    click.echo(f"{count} fault{'s' if count > 1 else ''}", err=True)


def pretty(value: Any) -> str:
    """A document as indented JSON; a text line by line, without what would move a terminal's cursor."""
    if isinstance(value, str):
        return "\n".join(clean(line) for line in value.splitlines())
    return msgspec.json.format(document.dump(value), indent=2).decode()


def compact(value: Any) -> str:
    """A value on one line, as JSON."""
    return clean(document.dump(value).decode())


def highlighted(value: Any) -> None:
    """A document as indented JSON, in colours on a terminal."""
    text = pretty(value)
    if sys.stdout.isatty():
        from rich.console import Console  # noqa: PLC0415  as above
        from rich.highlighter import JSONHighlighter  # noqa: PLC0415  as above
        from rich.text import Text  # noqa: PLC0415  as above

        Console(soft_wrap=True).print(JSONHighlighter()(Text(text)))
    else:
        click.echo(text)
