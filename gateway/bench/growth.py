"""Whether the journal stays as fast as it grows: small events appended in groups, without HTTP.

One machine drifts by more than what is looked for. So events are appended in turns to the journal that grows and to one
that stays small, and what is told is the ratio of the two within each step of the way.
"""

import random
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple

from gateway.bench.report import BenchFailed, Report, Scale, Site
from gateway.clock import SystemChance
from gateway.errors import JournalError
from gateway.journal.base import Journal
from gateway.model import Group, Offer

GROUP = 256
BODY_BYTES = 256
STEPS = 8
TIMES = 20
"""Events, in backlogs of the scale: appending is much faster than the rest."""
SMALL = 250_000
"""A small journal is begun anew before it has more events than that."""
PIECE = 32 * GROUP
"""Events in a turn of the journal that grows."""
SHARE = 3
"""The small one has every third turn: no divisor of what comes by and by, as merges do."""
WINDOW_MS = 7 * 86_400_000
HEADERS = (("content-type", "application/json"), ("x-event-type", "order.created"))


class Took(NamedTuple):
    """What appending took: seconds, and seconds of this process's CPU."""

    s: float
    cpu_s: float


class Small:
    """A journal that stays small: it is begun anew before it has more than 250,000 events."""

    def __init__(self, site: Site, beside: str) -> None:
        self._site = site
        self._beside = beside
        self._stack = AsyncExitStack()
        self._journal: Journal | None = None
        self._events = 0

    async def append(self, events: int, at_ms: int) -> Took:
        """So many small events more, as `append`."""
        if self._journal is None or self._events + events > SMALL:
            await self.close()
            self._journal, self._events = await self._begun(), 0
        self._events += events
        return await append(self._journal, events, first=self._events, at_ms=at_ms)

    async def close(self) -> None:
        """Let go of it."""
        await self._stack.aclose()

    async def _begun(self) -> Journal:
        url = await self._stack.enter_async_context(self._site.journal_beside(self._beside))
        journal = self._site.open_journal(url)
        self._stack.push_async_callback(journal.close)
        await journal.open()
        return journal


class Step(NamedTuple):
    """What one event took of late: in the journal that grows, in a small one."""

    grown: Took
    small: Took


async def growth(site: Site, scale: Scale) -> Report:
    """The rate of each eighth of the way, and that of a small journal in turns with it."""
    each = max(scale.events * TIMES // GROUP // STEPS, 1) * GROUP
    url = site.url(site.folder)
    async with AsyncExitStack() as stack:
        journal, small = site.open_journal(url), Small(site, url)
        stack.push_async_callback(journal.close)
        stack.push_async_callback(small.close)
        try:
            await journal.open()
            steps = await _steps(site, journal, small, each)
        except JournalError as error:
            raise BenchFailed(str(error)) from error
    rows = [
        [
            (number + 1) * each,
            round(1 / one.grown.s),
            round(1 / one.small.s),
            round(one.small.s / one.grown.s, 2),
            round(one.grown.cpu_s * 1e6, 1),
            round(one.small.cpu_s * 1e6, 1),
            round(one.small.cpu_s / one.grown.cpu_s, 2),
        ]
        for number, one in enumerate(steps)
    ]
    last = {"last to small": rows[-1][3], "last to small, CPU": rows[-1][6], "events": float(rows[-1][0])}
    about = f"events of {BODY_BYTES} bytes appended in groups of {GROUP}, in turns with a journal of at most {SMALL:,}"
    columns = ["events in the journal", "events/s", "small", "ratio", "CPU µs", "small, CPU µs", "CPU ratio"]
    return Report("growth", about, columns, rows, last, drawn="events/s")


async def _steps(site: Site, journal: Journal, small: Small, each: int) -> list[Step]:
    steps = []
    for number in range(STEPS):
        site.tell(f"{number * each:,} events", number / STEPS)
        grown: list[Took] = []
        beside: list[Took] = []
        at_ms, turned = 1_770_000_000_000 + number, 0
        for turn, done in enumerate(range(0, each, PIECE)):
            events = min(PIECE, each - done)
            grown.append(await append(journal, events, first=number * each + done, at_ms=at_ms))
            if turn % SHARE == 0:
                beside.append(await small.append(events, at_ms))
                turned += events
        steps.append(Step(_of_one(grown, each), _of_one(beside, turned)))
    return steps


def _of_one(took: Sequence[Took], events: int) -> Took:
    """What one of so many events took."""
    return Took(sum(one.s for one in took) / events, sum(one.cpu_s for one in took) / events)


async def append(journal: Journal, events: int, *, first: int = 0, at_ms: int = 1_770_000_000_000) -> Took:
    """So many small events, in groups, as the receiver offers them; `first` keeps them apart from others. Gives what
    the journal took.
    """
    chance, draw = SystemChance(), random.Random(first)
    took_s = cpu_s = 0.0
    for begin in range(first, first + events, GROUP):
        numbers = range(begin, min(begin + GROUP, first + events))
        group = Group(at_ms.to_bytes(8, "big") + chance.nonce(8), tuple(_offer(at_ms, draw) for _ in numbers))
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        await journal.append(group)
        took_s += time.perf_counter() - began_s
        cpu_s += time.process_time() - began_cpu_s
    return Took(took_s, cpu_s)


def _offer(at_ms: int, draw: random.Random) -> Offer:
    """An event whose body is half noise: it compresses two to one, as bodies do."""
    identity = draw.randbytes(16)
    body = b'{"text": "%b"}' % draw.randbytes((BODY_BYTES - 12) // 2).hex().encode()
    return Offer(
        "bench", "order.created", at_ms, 0, "POST", "", HEADERS, body, identity=identity, identity_window_ms=WINDOW_MS
    )
