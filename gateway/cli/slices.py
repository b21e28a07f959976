"""Long work of a command, slice by slice: progress while it goes on, and Ctrl-C stops it between two slices."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

Slice = Callable[[], Awaitable[int]]
"""Does some more of the work: how much (0: there was nothing left)."""


class Done(NamedTuple):
    """How many were done, and whether it was stopped before the end."""

    number: int
    stopped: bool


async def in_slices(step: Slice, done: str, total: int) -> Done:
    """Work until nothing is left, or Ctrl-C is pressed: then what is under way is finished.

    `done` is the word for it (`retried`), `total` what there is to do, as far as is known: more may have come.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stop.set)
    try:
        with _progress(done, total) as tell:
            count = 0
            while more := await step():
                count += more
                tell(count)
                if stop.is_set() and count < total:
                    return Done(count, stopped=True)
        return Done(count, stopped=False)
    finally:
        loop.remove_signal_handler(signal.SIGINT)


@contextmanager
def _progress(done: str, total: int) -> Iterator[Callable[[int], None]]:
    """Who is told how much is done: a bar on a terminal, else a line for each slice but a single one."""
    if not sys.stderr.isatty():
        yield _lines(done, total)
        return
    columns = (TextColumn(f"{done} {{task.completed}} of {{task.total}}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda count: bar.update(task, completed=count, total=max(count, total))


def _lines(done: str, total: int) -> Callable[[int], None]:
    told = False

    def tell(count: int) -> None:
        nonlocal told
        if told or count < total:
            click.echo(f"{done} {count} of {max(count, total)}", err=True)
            told = True

    return tell
