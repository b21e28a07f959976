"""What delivery costs: a backlog that the receiver accepted, emptied by the real dispatcher into a local sink."""

import asyncio
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.bench import machine, processes, setups
from gateway.bench.report import BenchFailed, Report, Scale, Site
from gateway.bench.setups import Destinations
from gateway.bench.sink import Sink, sinking

CPU = "CPU µs per event"
AS_THEY_COME = "as they come, batches of 100"
FANS = (1, 2, 5, 10)
FAN_EVENTS_SHARE = 4
"""A fan-out has this part of the backlog: it goes out thirty-six times."""
STALLED_S = 20.0
LOOK_S = 0.05


class Emptied(Struct, frozen=True):
    """A backlog that is gone: seconds from the start to the last request, CPU seconds of the dispatcher, requests."""

    took_s: float
    cpu_s: float
    requests: int


async def deliver(site: Site, scale: Scale) -> Report:
    """One sink: orders mapped, in batches of 100; the same passed on as they came; one event a request."""
    rows, headline = [], {}
    async with sinking() as sink:
        shapes = {
            "batches of 100": setups.batched(sink.port),
            AS_THEY_COME: setups.passed_on(sink.port),
            "one by one": setups.single(sink.port),
        }
        backlog = await _filled(site, scale, shapes)
        for place, (shape, destination) in enumerate(shapes.items()):
            site.tell(shape, (place + 1) / (len(shapes) + 1))
            config = setups.shop({_named(shape): destination}, plain=shape == AS_THEY_COME)
            one = await _emptied(site, sink, backlog, config, scale.events)
            cpu_us = one.cpu_s / scale.events * 1e6
            rows.append([shape, scale.events, one.requests, round(scale.events / one.took_s), round(cpu_us)])
            headline[f"cpu_us, {shape}"] = round(cpu_us, 1)
    columns = ["what", "events", "requests", "events/s", CPU]
    about = "a backlog of orders delivered to a local sink by one core"
    return Report("deliver", about, columns, rows, headline, drawn=CPU)


async def fanout(site: Site, scale: Scale) -> Report:
    """The same backlog to 1, 2, 5 and 10 destinations, in batches of 100: mapped, and as it came."""
    rows: list[list[Any]] = []
    headline = {}
    first_us = 0.0
    scale = replace(scale, events=max(scale.events // FAN_EVENTS_SHARE, 1))
    async with sinking() as sink:
        shapes = {
            shape: {f"{key}-{number}": made(sink.port, number) for number in range(1, FANS[-1] + 1)}
            for shape, key, made in (("mapped", "fan", setups.batched), ("passed on", "plain", setups.passed_on))
        }
        backlog = await _filled(site, scale, {**shapes["mapped"], **shapes["passed on"]})
        for place, (shape, fan) in enumerate(product(shapes, FANS)):
            site.tell(f"{shape}, {fan} destinations", (place + 1) / (len(shapes) * len(FANS) + 1))
            chosen = dict(list(shapes[shape].items())[:fan])
            config = setups.shop(chosen, plain=shape == "passed on")
            one = await _emptied(site, sink, backlog, config, scale.events)
            cpu_us = one.cpu_s / scale.events * 1e6
            first_us = cpu_us if fan == 1 else first_us
            each_us = (cpu_us - first_us) / (fan - 1) if fan > 1 else cpu_us
            deliveries_per_s = round(scale.events * fan / one.took_s)
            rows.append([shape, fan, scale.events * fan, deliveries_per_s, round(cpu_us), round(each_us)])
            headline[f"cpu_us, {shape}, {fan} destinations"] = round(cpu_us, 1)
    columns = ["what", "destinations", "deliveries", "deliveries/s", CPU, "of that for each further one"]
    return Report("fanout", "one order to many destinations, in batches of 100", columns, rows, headline, drawn=CPU)


async def _filled(site: Site, scale: Scale, shapes: Destinations) -> Path:
    site.tell("a backlog", 0.0)
    return await setups.fill(site, scale, {_named(name): settings for name, settings in shapes.items()})


def _named(shape: str) -> str:
    """A destination's name by what it shows."""
    return shape.replace(",", "").replace(" ", "-")


async def _emptied(site: Site, sink: Sink, backlog: Path, config: dict[str, Any], events: int) -> Emptied:
    """Run a dispatcher on a copy of the backlog until the sink has had everything and it is settled."""
    destinations = config["destinations"]
    folder = setups.copied(backlog, site.folder / f"to-{len(destinations)}-{next(iter(destinations))}")
    measured, loading = machine.cores()
    sink.requests, sink.records, sink.first_s = 0, 0, 0.0
    with machine.on_core(loading):
        async with processes.gateway(config, folder, role="dispatcher", core=measured) as running:
            ready_s, began_s = time.perf_counter(), running.cpu_s("dispatcher")
            await _arrived(sink, events * len(destinations))
            await _settled(site, folder, list(destinations))
            used_s = running.cpu_s("dispatcher") - began_s
    took_s = max(sink.last_s - min(ready_s, sink.first_s), LOOK_S)
    return Emptied(took_s, used_s, sink.requests)


async def _arrived(sink: Sink, wanted: int) -> None:
    had, since_s = -1, time.perf_counter()
    while sink.records < wanted:
        if sink.records > had:
            had, since_s = sink.records, time.perf_counter()
        elif time.perf_counter() - since_s > STALLED_S:
            raise BenchFailed(f"{sink.records} of {wanted} records have arrived, and no more come")
        await asyncio.sleep(LOOK_S)


async def _settled(site: Site, folder: Path, destinations: Sequence[str]) -> None:
    """Until the journal says that nothing waits on these lanes."""
    journal = site.open_journal(site.url(folder))
    await journal.open()
    try:
        for _ in range(int(STALLED_S / LOOK_S)):
            rows = await journal.lane_rows()
            if not any(row.waiting for row in rows if row.lane.destination in destinations):
                return
            await asyncio.sleep(LOOK_S)
        raise BenchFailed("what was delivered is not settled")
    finally:
        await journal.close()
