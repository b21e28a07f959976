"""Every bench by its name."""

from collections.abc import Callable, Coroutine
from typing import Any

from gateway.bench.accept import accept, both
from gateway.bench.deliver import deliver, fanout
from gateway.bench.growth import growth
from gateway.bench.idle import idle, memory
from gateway.bench.mapping import mapping
from gateway.bench.pace import pace
from gateway.bench.report import Report, Scale, Site

Bench = Callable[[Site, Scale], Coroutine[Any, Any, Report]]

BENCHES: dict[str, Bench] = {
    "accept": accept,
    "both": both,
    "deliver": deliver,
    "fanout": fanout,
    "mapping": mapping,
    "pace": pace,
    "growth": growth,
    "idle": idle,
    "memory": memory,
}
"""In the order they are run. A new bench is a line here."""
