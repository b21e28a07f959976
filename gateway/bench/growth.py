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
        began_s = time.perf_counter()
        await append(journal, groups * GROUP, first=step * groups * GROUP, at_ms=1_770_000_000_000 + step)
        rates.append(groups * GROUP / (time.perf_counter() - began_s))
    return rates


async def append(journal: Journal, events: int, *, first: int = 0, at_ms: int = 1_770_000_000_000) -> None:
    """So many small events, in groups, as the receiver offers them; `first` keeps them apart from others."""
    chance, draw = SystemChance(), random.Random(first)
    body = draw.randbytes(BODY_BYTES // 2).hex().encode()
    headers = (("content-type", "application/json"), ("x-event-type", "order.created"))
    for begin in range(first, first + events, GROUP):
        numbers = range(begin, min(begin + GROUP, first + events))
        offers = tuple(_offer(number, at_ms, headers, body, draw) for number in numbers)
        await journal.append(Group(at_ms.to_bytes(8, "big") + chance.nonce(8), offers))


def _offer(number: int, at_ms: int, headers: tuple[tuple[str, str], ...], body: bytes, draw: random.Random) -> Offer:
    text = b'{"id": "%d", "text": "%b"}' % (number, body[: BODY_BYTES - 40])
    return Offer(
        "bench",
        "order.created",
        at_ms,
        0,
        "POST",
        "",
        headers,
        text,
        identity=draw.randbytes(16),
        identity_window_ms=WINDOW_MS,
    )
