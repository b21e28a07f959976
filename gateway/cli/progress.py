"""How far long work is: a bar on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

Tell = Callable[[int, int], None]
"""Is told how much of how much is done."""


@contextmanager
def progress(done: str, lines: Tell) -> Iterator[Tell]:
    """Who is told: a bar, or `lines` where there is no terminal. `done` is the word for it (`retried`)."""
    if not sys.stderr.isatty():
        yield lines
        return
    columns = (TextColumn(f"{done} {{task.completed}} of {{task.total}}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda count, total: bar.update(task, completed=count, total=total)
