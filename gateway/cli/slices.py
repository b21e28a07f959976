"""Long work of a command, slice by slice: progress while it goes on, and Ctrl-C stops it between two slices."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import click

from gateway.cli.progress import Tell, progress

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
        with progress(done, _lines(done)) as tell:
            count = 0
            while more := await step():
                count += more
                tell(count, max(count, total))
                if stop.is_set() and count < total:
                    return Done(count, stopped=True)
        return Done(count, stopped=False)
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def _lines(done: str) -> Tell:
    """A line for each slice but a single one."""
    told = False

    def tell(count: int, total: int) -> None:
        nonlocal told
        if told or count < total:
            click.echo(f"{done} {count} of {total}", err=True)
            told = True

    return tell
