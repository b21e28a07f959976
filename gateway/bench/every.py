"""Every bench by its name."""

from collections.abc import Callable, Coroutine
from typing import Any

from gateway.bench.accept import accept, both
from gateway.bench.beside import beside
from gateway.bench.deliver import deliver, fanout
from gateway.bench.growth import growth
from gateway.bench.idle import idle, memory
from gateway.bench.mapping import mapping
from gateway.bench.pace import pace
from gateway.bench.report import Report, Scale, Site
from gateway.bench.start import start

Bench = Callable[[Site, Scale], Coroutine[Any, Any, Report]]

BENCHES: dict[str, Bench] = {
    "accept": accept,
    "both": both,
    "beside": beside,
    "deliver": deliver,
    "fanout": fanout,
    "mapping": mapping,
    "pace": pace,
    "growth": growth,
    "start": start,
    "idle": idle,
    "memory": memory,
}
"""In the order they are run. A new bench is a line here."""

ANY_JOURNAL = frozenset({"accept", "growth", "start"})
"""Those that can be run on a journal that is given; the others copy their journal's files, or run several."""
