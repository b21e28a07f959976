"""`python -m tests.simulation FIRST COUNT`: random histories by seed; prints what each broken one broke."""

import argparse
import io
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from gateway.journal.memory import MemoryJournal
from gateway.telemetry import log
from tests.simulation.history import History, turns
from tests.simulation.promises import broken
from tests.simulation.virtual import Stuck, simulate

SPIN_S = 10
"""A history that computes for this long without virtual time passing never ends."""


async def outcome(history: History) -> list[str]:
    """What a history broke."""
    try:
        await history.run()
        return await broken(history)
    finally:
        await history.close()


def run(seed: int, journal: Callable[[], Any] = MemoryJournal, without: frozenset[int] = frozenset()) -> list[str]:
    """What the history of a seed broke; that it never ends is broken too."""
    try:
        return simulate(outcome(History(seed, journal(), without)))
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


def main() -> int:
    """Run the histories of a range of seeds."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("first", type=int)
    parser.add_argument("count", type=int, nargs="?", default=1)
    asked = parser.parse_args()
    log.configure("json", "error", stream=io.StringIO())
    signal.signal(signal.SIGALRM, _spins)
    failed = 0
    began_s = time.monotonic()
    for seed in range(asked.first, asked.first + asked.count):
        signal.alarm(SPIN_S)
        found = run(seed)
        failed += bool(found)
        for line in found[:5]:
            say(f"seed {seed}: {line}")
        if found:
            say(f"seed {seed}: still broken without the turns {sorted(shrunk(seed))} of {turns(seed)}")
    signal.alarm(0)
    each_ms = (time.monotonic() - began_s) / asked.count * 1000
    say(f"{asked.count} histories, {failed} broken, {each_ms:.1f} ms each")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
