"""What delivering does to accepting: how long an acknowledgement takes beside it, in rounds that alternate."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from statistics import median

from msgspec import Struct

from gateway.bench import load, machine, processes, setups
from gateway.bench.accept import OK, PLACES, SHARES, WARM_UP_S, Candidate, candidate, delivering
from gateway.bench.orders import Orders
from gateway.bench.report import Report, Scale, Site

ALONE = "nothing delivered"


class Waits(Struct):
    """How long acknowledgements took, round by round, in milliseconds, and how many orders a second were delivered
    meanwhile.
    """

    p50_ms: list[float]
    p99_ms: list[float]
    delivered_per_s: list[float]


async def beside(site: Site, scale: Scale) -> Report:
    """p50 and p99 at 70 % of the maximum: with nothing delivered, and while a dispatcher sends what a burst has left
    behind and what comes meanwhile, as it came, in batches of 100.
    """
    measured, loading = machine.cores()
    with machine.on_core(loading):
        async with AsyncExitStack() as stack:
            alone = processes.gateway(setups.shop({}), site.folder / "alone", role="receiver", core=measured)
            found = [candidate(ALONE, await stack.enter_async_context(alone))]
            for name, core in zip(PLACES, (measured, loading), strict=True):
                one = delivering(site, name, measured, core, plain=True)
                found.append(await stack.enter_async_context(one))
            waits = await _rounds(site, scale, found, Orders(site.samples, setups.SOURCE))
    return _report(waits)


async def _rounds(site: Site, scale: Scale, found: Sequence[Candidate], orders: Orders) -> dict[str, Waits]:
    """Every candidate in turn: a burst, then the open loop at a share of what the first one could take."""
    waits = {one.name: Waits([], [], []) for one in found}
    for one in found:
        await one.take(orders, scale, min(WARM_UP_S, scale.round_s))
    rate_per_s = 0.0
    for number in range(scale.rounds):
        for place, one in enumerate(found):
            site.tell(f"{one.name}, round {number + 1}", (number + place / len(found)) / scale.rounds)
            burst = one.took(await load.closed(one.running.port, orders.next, scale.connections, seconds=scale.round_s))
            rate_per_s = burst.rate_per_s * SHARES[-1] if one.name == ALONE else rate_per_s
            had = one.sink.records if one.sink else 0
            outcome = one.took(await load.open_loop(one.running.port, orders.next, rate_per_s, 2 * scale.round_s))
            one.accepted += burst.statuses[OK] + outcome.statuses[OK]
            told = waits[one.name]
            told.p50_ms.append(outcome.ms(0.5))
            told.p99_ms.append(outcome.ms(0.99))
            told.delivered_per_s.append((one.sink.records - had) / outcome.took_s if one.sink else 0.0)
            await one.delivered()
    return waits


def _report(waits: dict[str, Waits]) -> Report:
    alone_ms = median(waits[ALONE].p99_ms)
    rows = [
        [
            name,
            *(round(median(values), 1) for values in (told.p50_ms, told.p99_ms)),
            *(round(value, 1) for value in (min(told.p99_ms), max(told.p99_ms))),
            round(median(told.p99_ms) / alone_ms, 2),
            round(median(told.delivered_per_s)),
        ]
        for name, told in waits.items()
    ]
    headline = {f"p99_ms, {name}": round(median(told.p99_ms), 1) for name, told in waits.items()}
    columns = ["what", "p50, ms", "p99, ms", "lowest", "highest", "p99 to that with nothing delivered", "delivered/s"]
    about = f"an acknowledgement at {SHARES[-1]:.0%} of the maximum, beside delivery"
    return Report("beside", about, columns, rows, headline, ["Medians over rounds."], drawn="p99, ms")
