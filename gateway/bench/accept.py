"""How fast events are accepted, against a bare Starlette endpoint, in rounds that alternate; and how long it takes."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import product
from statistics import median

from msgspec import Struct
from msgspec.structs import replace

from gateway.bench import load, machine, processes, setups
from gateway.bench.orders import Orders
from gateway.bench.processes import Running
from gateway.bench.report import BenchFailed, Report, Scale, Site
from gateway.bench.sink import Sink, sinking

WARM_UP_S = 0.5
SHARES = (0.5, 0.7)
"""Loads at which latency is measured, as shares of each candidate's own maximum."""
BUSY = 0.95
LOOK_S = 0.005
DELIVERED_S = 120.0
PLACES = ("one core for both", "delivery on the load's core")
"""Where delivering runs beside accepting."""
PASSED_ON = ", passed on"
"""Of a candidate that delivers orders as they came."""
OK = 200


class Candidate(Struct):
    """Something that takes orders: its rates, its shares of the first one's, and CPU microseconds for one order, round
    by round; what the load itself used of its core; latencies in milliseconds. With a sink a round lasts until
    everything has come there.
    """

    name: str
    running: Running
    rates: list[float]
    ratios: list[float]
    cpu_us: list[float]
    busy: float = 0.0
    latencies_ms: tuple[float, ...] = ()
    sink: Sink | None = None
    accepted: int = 0

    async def take(self, orders: Orders, scale: Scale, seconds: float) -> load.Outcome:
        """As many orders as it can in so many seconds."""
        outcome = self.took(await load.closed(self.running.port, orders.next, scale.connections, seconds=seconds))
        if self.sink is None:
            return outcome
        self.accepted += outcome.statuses[OK]
        return replace(outcome, took_s=outcome.took_s + await self.delivered())

    async def delivered(self) -> float:
        """Wait until everything that was accepted has come to the sink, if there is one; how many seconds that took."""
        began_s = time.perf_counter()
        while self.sink is not None and self.sink.records < self.accepted:
            if time.perf_counter() - began_s > DELIVERED_S:
                raise BenchFailed(f"{self.name}: {self.accepted - self.sink.records} orders were not delivered")
            await asyncio.sleep(LOOK_S)
        return time.perf_counter() - began_s

    def took(self, outcome: load.Outcome) -> load.Outcome:
        """Raises BenchFailed where anything but 200 was answered."""
        if set(outcome.statuses) != {OK}:
            raise BenchFailed(f"{self.name} did not take everything: {outcome.statuses}")
        return outcome


def candidate(name: str, running: Running) -> Candidate:
    """One that has not been measured yet."""
    return Candidate(name, running, [], [], [])


async def accept(site: Site, scale: Scale) -> Report:
    """The receiver alone: verified, deduplicated, on disk."""
    measured, loading = machine.cores()
    with machine.on_core(loading):
        async with (
            processes.bare(site.folder, measured) as bare,
            processes.gateway(
                setups.shop({}) | site.journal(), site.folder / "receiver", role="receiver", core=measured
            ) as receiver,
        ):
            found = (candidate("bare Starlette", bare), candidate("gateway", receiver))
            orders = Orders(site.samples, setups.SOURCE)
            await _rounds(site, scale, found, orders, done=0.7)
            await _latencies(site, scale, found, orders, done=0.7)
    return _report("accept", "orders of 3.1 KB accepted on one core, the load on another", found)


async def both(site: Site, scale: Scale) -> Report:
    """Accepting while everything is delivered to one sink in batches of 100, mapped and as it came, as it can be kept
    up: a round counts until the last has come there.
    """
    measured, loading = machine.cores()
    with machine.on_core(loading):
        async with processes.bare(site.folder, measured) as bare, AsyncExitStack() as stack:
            found = [candidate("bare Starlette", bare)]
            for (name, core), shape in product(zip(PLACES, (measured, loading), strict=True), ("", PASSED_ON)):
                one = delivering(site, f"{name}{shape}", measured, core, plain=bool(shape))
                found.append(await stack.enter_async_context(one))
            await _rounds(site, scale, found, Orders(site.samples, setups.SOURCE), done=1.0)
    return _report("both", "orders accepted while all are delivered to one sink in batches of 100", found)


@asynccontextmanager
async def delivering(
    site: Site, name: str, receiving: int | None, sending: int | None, *, plain: bool
) -> AsyncIterator[Candidate]:
    """One that delivers what it accepts to a sink of its own, receiving and sending on these cores. `plain`: as it
    came, else mapped to Ometria.
    """
    folder = site.folder / name.replace(",", "").replace(" ", "-")
    async with sinking() as sink:
        config = setups.shop({"sink": (setups.passed_on if plain else setups.batched)(sink.port)}, plain=plain)
        async with processes.gateway(config, folder, core=receiving) as running:
            running.move("dispatcher", sending)
            one = candidate(name, running)
            one.sink = sink
            yield one


async def _rounds(site: Site, scale: Scale, found: Sequence[Candidate], orders: Orders, done: float) -> None:
    """Every candidate in turn, `scale.rounds` times, after one short turn that does not count."""
    for one in found:
        await one.take(orders, scale, min(WARM_UP_S, scale.round_s))
    for number in range(scale.rounds):
        for place, one in enumerate(found):
            site.tell(f"{one.name}, round {number + 1}", done * (number + place / len(found)) / scale.rounds)
            used_s = one.running.cpu_s()
            outcome = await one.take(orders, scale, scale.round_s)
            one.cpu_us.append((one.running.cpu_s() - used_s) / outcome.statuses[OK] * 1e6)
            one.rates.append(outcome.rate_per_s)
            one.ratios.append(one.rates[-1] / found[0].rates[-1])
            one.busy = max(one.busy, outcome.busy)


async def _latencies(site: Site, scale: Scale, found: Sequence[Candidate], orders: Orders, done: float) -> None:
    """p50 and p99 of each candidate by an open loop, at shares of the maximum that it has just shown."""
    steps = [(share, one) for share in SHARES for one in found]
    for place, (share, one) in enumerate(steps):
        site.tell(f"{one.name} at {share:.0%}", done + (1 - done) * place / len(steps))
        most = await one.take(orders, scale, min(WARM_UP_S, scale.round_s))
        rate_per_s = most.rate_per_s * share
        outcome = one.took(await load.open_loop(one.running.port, orders.next, rate_per_s, 2 * scale.round_s))
        one.latencies_ms = (*one.latencies_ms, outcome.ms(0.5), outcome.ms(0.99))


def _report(name: str, about: str, found: Sequence[Candidate]) -> Report:
    loads = [f"{quantile} at {share:.0%}, ms" for share in SHARES for quantile in ("p50", "p99")]
    columns = ["what", "events/s", "ratio", "lowest", "highest", "CPU µs", "CPU ratio"]
    rows = [
        [
            one.name,
            round(median(one.rates)),
            *(round(value, 2) for value in (median(one.ratios), min(one.ratios), max(one.ratios))),
            round(median(one.cpu_us)),
            round(median(found[0].cpu_us) / (median(one.cpu_us) or 1), 2),
            *(round(value, 1) for value in one.latencies_ms),
        ]
        for one in found
    ]
    columns += loads[: len(found[0].latencies_ms)]
    return Report(name, about, columns, rows, _headline(found), _notes(found), drawn="ratio")


def _headline(found: Sequence[Candidate]) -> dict[str, float]:
    headline = {f"ratio, {one.name}": round(median(one.ratios), 3) for one in found[1:]}
    if found[-1].latencies_ms:
        headline["p99_ms at 70%"] = round(found[-1].latencies_ms[-1], 1)
    return headline


def _notes(found: Sequence[Candidate]) -> list[str]:
    busiest = max(one.busy for one in found)
    notes = [f"Ratios are medians over rounds. The load itself used {busiest:.0%} of its core at most."]
    if busiest > BUSY:
        notes.append("So the fastest of them could have taken more: ratios to it are too high.")
    return notes
