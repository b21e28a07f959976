"""Whether the journal stays as fast as it grows: small events appended in groups, without HTTP."""

import random
import time

from gateway.bench import processes
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


async def growth(site: Site, scale: Scale) -> Report:
    """The rate of each eighth of the way."""
    total = max(scale.events * TIMES // GROUP, STEPS) * GROUP
    journal = site.open_journal(processes.url_in(site.folder))
    await journal.open()
    try:
        rates = await _rates(site, journal, total)
    finally:
        await journal.close()
    rows = [[(step + 1) * total // STEPS, round(rate), round(rate / rates[0], 2)] for step, rate in enumerate(rates)]
    headline = {"last to first": round(rates[-1] / rates[0], 3), "events": float(total)}
    about = f"events of {BODY_BYTES} bytes appended in groups of {GROUP}, each with an identity"
    return Report("growth", about, ["events in the journal", "events/s", "ratio"], rows, headline)


async def _rates(site: Site, journal: Journal, total: int) -> list[float]:
    rates = []
    for step in range(STEPS):
        site.tell(f"{step * total // STEPS:,} events", step / STEPS)
        groups = total // GROUP // STEPS
        took_s = await append(journal, groups * GROUP, first=step * groups * GROUP, at_ms=1_770_000_000_000 + step)
        rates.append(groups * GROUP / took_s)
    return rates


async def append(journal: Journal, events: int, *, first: int = 0, at_ms: int = 1_770_000_000_000) -> float:
    """So many small events, in groups, as the receiver offers them; `first` keeps them apart from others. Gives the
    seconds that the journal took.
    """
    chance, draw = SystemChance(), random.Random(first)
    took_s = 0.0
    for begin in range(first, first + events, GROUP):
        numbers = range(begin, min(begin + GROUP, first + events))
        group = Group(at_ms.to_bytes(8, "big") + chance.nonce(8), tuple(_offer(at_ms, draw) for _ in numbers))
        began_s = time.perf_counter()
        await journal.append(group)
        took_s += time.perf_counter() - began_s
    return took_s


def _offer(at_ms: int, draw: random.Random) -> Offer:
    """An event whose body is half noise: it compresses two to one, as bodies do."""
    identity = draw.randbytes(16)
    body = b'{"text": "%b"}' % draw.randbytes((BODY_BYTES - 12) // 2).hex().encode()
    return Offer(
        "bench", "order.created", at_ms, 0, "POST", "", HEADERS, body, identity=identity, identity_window_ms=WINDOW_MS
    )
