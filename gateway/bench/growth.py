"""Whether the journal stays as fast as it grows: small events appended in groups, without HTTP."""

import random
import time
from typing import NamedTuple

from gateway.bench.report import Report, Scale, Site
from gateway.clock import SystemChance
from gateway.journal.base import Journal
from gateway.model import Group, Offer

GROUP = 256
BODY_BYTES = 256
STEPS = 8
TIMES = 20
"""Events, in backlogs of the scale: appending is much faster than the rest."""
WINDOW_MS = 7 * 86_400_000
HEADERS = (("content-type", "application/json"), ("x-event-type", "order.created"))


class Took(NamedTuple):
    """What appending took: seconds, and seconds of this process's CPU."""

    s: float
    cpu_s: float


async def growth(site: Site, scale: Scale) -> Report:
    """The rate of each eighth of the way."""
    each = max(scale.events * TIMES // GROUP // STEPS, 1) * GROUP
    journal = site.open_journal(site.url(site.folder))
    await journal.open()
    try:
        took = await _steps(site, journal, each)
    finally:
        await journal.close()
    rows = [
        [
            (step + 1) * each,
            round(each / one.s),
            round(took[0].s / one.s, 2),
            round(one.cpu_s / each * 1e6, 1),
            round(took[0].cpu_s / one.cpu_s, 2),
        ]
        for step, one in enumerate(took)
    ]
    last = {"last to first": rows[-1][2], "last to first, CPU": rows[-1][4], "events": float(rows[-1][0])}
    about = f"events of {BODY_BYTES} bytes appended in groups of {GROUP}, each with an identity"
    columns = ["events in the journal", "events/s", "ratio", "CPU µs", "CPU ratio"]
    return Report("growth", about, columns, rows, last, drawn="events/s")


async def _steps(site: Site, journal: Journal, each: int) -> list[Took]:
    took = []
    for step in range(STEPS):
        site.tell(f"{step * each:,} events", step / STEPS)
        took.append(await append(journal, each, first=step * each, at_ms=1_770_000_000_000 + step))
    return took


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
