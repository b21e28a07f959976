"""`python -m tests.simulation FIRST COUNT`: random histories by seed, on all cores; prints what each one broke."""

import argparse
import gc
import io
import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from gateway.journal.memory import MemoryJournal
from gateway.telemetry import log
from tests.simulation.history import History, turns
from tests.simulation.promises import broken
from tests.simulation.virtual import Stuck, simulate

SPIN_S = 10
"""A history that computes for this long without virtual time passing never ends."""
CHUNK = 20
"""Histories that a process is given at once."""


async def outcome(history: History) -> list[str]:
    """What a history broke."""
    try:
        await history.run()
        return await broken(history)
    finally:
        await history.close()


def run(
    seed: int,
    journal: Callable[[], Any] = MemoryJournal,
    without: frozenset[int] = frozenset(),
    replica: Callable[[], Any] | None = None,
) -> list[str]:
    """What the history of a seed broke; that it never ends is broken too."""
    try:
        return simulate(outcome(History(seed, journal(), without, replica)))
    except Stuck as error:
        return [f"stuck: {error}"]


def shrunk(seed: int) -> frozenset[int]:
    """The turns that a broken history can do without and still be broken."""
    without: frozenset[int] = frozenset()
    for place in range(turns(seed)):
        if run(seed, without=without | {place}):
            without |= {place}
    return without


def _spins(*_: object) -> None:
    raise Stuck("it computes and computes, and no time passes")


def say(line: str) -> None:
    """A line for whoever watches."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def say_of(seed: int) -> list[str]:
    """What there is to say of the history of a seed: nothing when it broke nothing."""
    signal.alarm(SPIN_S)
    found = [f"seed {seed}: {line}" for line in run(seed)[:5]]
    signal.alarm(0)
    if found:
        found.append(f"seed {seed}: still broken without the turns {sorted(shrunk(seed))} of {turns(seed)}")
    return found


def prepare() -> None:
    """Make a process ready for histories: nothing is logged, and one that spins is told from one that ends."""
    log.configure("json", "error", stream=io.StringIO())
    signal.signal(signal.SIGALRM, _spins)
    gc.freeze()


def main() -> int:
    """Run the histories of a range of seeds."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("first", type=int)
    parser.add_argument("count", type=int, nargs="?", default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (default: one for each core)")
    asked = parser.parse_args()
    failed = 0
    began_s = time.monotonic()
    seeds = range(asked.first, asked.first + asked.count)
    with ProcessPoolExecutor(asked.jobs, initializer=prepare) as pool:
        for lines in pool.map(say_of, seeds, chunksize=CHUNK):
            failed += bool(lines)
            for line in lines:
                say(line)
    took_s = time.monotonic() - began_s
    say(f"{asked.count} histories, {failed} broken, {asked.count / took_s * 60:.0f} in a minute")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
