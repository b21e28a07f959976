"""Metrics over several processes: a folder of files, one set for each process, added up at the scrape.

When a child has died, its gauges go and its counts are kept: `bury` adds them to those of all processes that are gone,
so that counters never fall and the folder does not grow with each restart.
"""

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

from gateway.telemetry import metrics

_GONE = "gone"
_ADDED_UP = ("counter", "histogram", "summary")
_collector: Any = MultiProcessCollector
_file: Any = MmapedDict
_reading = threading.Lock()


class Processes:
    """The metrics of all processes as a collector: the folder's, or without one this process's own."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        """Reads files: not for an event loop."""
        if self._folder is None:
            return metrics.REGISTRY.collect()
        with _reading:
            return tuple(_collector(CollectorRegistry(), str(self._folder)).collect())


def bury(folder: Path, pid: int) -> None:
    """A child has died: its gauges go, its counts are kept. Harmless to call again."""
    with _reading:
        for file in sorted(folder.glob(f"*_{pid}.db")):
            kind = file.name.removesuffix(f"_{pid}.db")
            if kind in _ADDED_UP:
                _add_up(file, folder / f"{kind}_{_GONE}.db")
            file.unlink(missing_ok=True)


def _add_up(file: Path, total: Path) -> None:
    kept = _file(str(total))
    try:
        for key, value, _, _ in _file.read_all_values_from_file(str(file)):
            before, _ = kept.read_value(key)
            kept.write_value(key, before + value, 0.0)
    finally:
        kept.close()
