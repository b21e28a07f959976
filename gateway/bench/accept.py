"""How fast events are accepted, against a bare Starlette endpoint, in rounds that alternate; and how long it takes."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from statistics import median

from msgspec import Struct

from gateway.bench import load, machine, processes, setups
from gateway.bench.orders import Orders
from gateway.bench.report import BenchFailed, Report, Scale, Site
from gateway.bench.sink import sinking

WARM_UP_S = 0.5
SHARES = (0.5, 0.7)
"""Loads at which latency is measured, as shares of each candidate's own maximum."""
BUSY = 0.95
OK = 200


class Candidate(Struct):
    """Something that takes orders at a port: its rate and its share of the first one's, round by round, what the load
    itself used of its core, and latencies.
    """

    name: str
    port: int
    rates: list[float]
    ratios: list[float]
    busy: float = 0.0
    latencies: tuple[tuple[float, float], ...] = ()


def candidate(name: str, port: int) -> Candidate:
    """One that has not been measured yet."""
    return Candidate(name, port, [], [])


async def accept(site: Site, scale: Scale) -> Report:
    """The receiver alone: verified, deduplicated, on disk."""
    measured, loading = machine.cores()
    with machine.on_core(loading):
        async with (
            processes.bare(site.folder, measured) as bare,
            processes.gateway(setups.shop({}), site.folder / "receiver", role="receiver", core=measured) as receiver,
        ):
            found = (candidate("bare Starlette", bare), candidate("gateway", receiver.port))
            orders = Orders(site.samples, setups.SOURCE)
            await _rounds(site, scale, found, orders, done=0.7)
            await _latencies(site, scale, found, orders, done=0.7)
    return _report("accept", "orders of 3.1 KB accepted on one core, the load on another", found)


async def both(site: Site, scale: Scale) -> Report:
    """Accepting while everything is delivered to one sink in batches of 100."""
    measured, loading = machine.cores()
    with machine.on_core(loading):
        async with sinking() as sink, processes.bare(site.folder, measured) as bare, AsyncExitStack() as stack:
            found = [candidate("bare Starlette", bare)]
            for name, core in (("one core for both", measured), ("delivery on the load's core", loading)):
                running = await stack.enter_async_context(_delivering(site, sink.port, name, measured))
                running.move("dispatcher", core)
                found.append(candidate(name, running.port))
            await _rounds(site, scale, found, Orders(site.samples, setups.SOURCE), done=1.0)
    return _report("both", "orders accepted while all are delivered to one sink in batches of 100", found)


@asynccontextmanager
async def _delivering(site: Site, port: int, name: str, core: int | None) -> AsyncIterator[processes.Running]:
    config = setups.shop({"sink": setups.batched(port)})
    async with processes.gateway(config, site.folder / name.replace(" ", "-"), core=core) as running:
        yield running


async def _rounds(site: Site, scale: Scale, found: Sequence[Candidate], orders: Orders, done: float) -> None:
    """Every candidate in turn, `scale.rounds` times, after one short turn that does not count."""
    for one in found:
        await load.closed(one.port, orders.next, scale.connections, seconds=min(WARM_UP_S, scale.round_s))
    for number in range(scale.rounds):
        for place, one in enumerate(found):
            site.tell(f"{one.name}, round {number + 1}", done * (number + place / len(found)) / scale.rounds)
            outcome = await load.closed(one.port, orders.next, scale.connections, seconds=scale.round_s)
            one.rates.append(_taken(one, outcome).rate_per_s)
            one.ratios.append(one.rates[-1] / found[0].rates[-1])
            one.busy = max(one.busy, outcome.busy)


async def _latencies(site: Site, scale: Scale, found: Sequence[Candidate], orders: Orders, done: float) -> None:
    """p50 and p99 of each candidate at shares of its maximum, by an open loop."""
    steps = [(one, share) for share in SHARES for one in found]
    for place, (one, share) in enumerate(steps):
        site.tell(f"{one.name} at {share:.0%}", done + (1 - done) * place / len(steps))
        outcome = await load.open_loop(one.port, orders.next, median(one.rates) * share, 2 * scale.round_s)
        one.latencies = (*one.latencies, (_taken(one, outcome).ms(0.5), outcome.ms(0.99)))


def _taken(one: Candidate, outcome: load.Outcome) -> load.Outcome:
    if set(outcome.statuses) != {OK}:
        raise BenchFailed(f"{one.name} did not take everything: {outcome.statuses}")
    return outcome


def _report(name: str, about: str, found: Sequence[Candidate]) -> Report:
    loads = [f"{quantile} at {share:.0%}, ms" for share in SHARES for quantile in ("p50", "p99")]
    columns = ["what", "events/s", "ratio", "lowest", "highest", *(loads if found[0].latencies else [])]
    rows = [
        [
            one.name,
            round(median(one.rates)),
            round(median(one.ratios), 2),
            round(min(one.ratios), 2),
            round(max(one.ratios), 2),
            *(round(value, 1) for pair in one.latencies for value in pair),
        ]
        for one in found
    ]
    headline = {f"ratio, {one.name}": round(median(one.ratios), 3) for one in found[1:]}
    if found[-1].latencies:
        headline["p99_ms at 70%"] = round(found[-1].latencies[-1][1], 1)
    busiest = max(one.busy for one in found)
    notes = [f"The load itself used {busiest:.0%} of its core at most."]
    if busiest > BUSY:
        notes.append("So the fastest of them could have taken more: ratios to it are too high.")
    return Report(name, about, columns, rows, headline, notes)
