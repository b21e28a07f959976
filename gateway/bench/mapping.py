"""What mapping costs: a payload to its normal event, and that to each vendor's record, in this process."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from gateway.bench.report import Report, Scale, Site
from gateway.config.schema import Source
from gateway.errors import MappingError
from gateway.mapping.book import Book
from gateway.mapping.normalise import Normaliser
from gateway.model import Event, NormalEvent

PLATFORM = "shopify"
ENTITIES = ("order", "customer", "product")
TIMED_SHARE = 0.1
"""Of a round, for each mapping."""
VARIETY = 32
"""Different payloads in turn, so that caches help no more than they do in life."""


async def mapping(site: Site, scale: Scale) -> Report:
    """Every shipped mapping of the platform's entities, the best of several rounds."""
    book = Book({})
    rows: list[list[Any]] = []
    for place, entity in enumerate(ENTITIES):
        site.tell(entity, place / len(ENTITIES))
        events = [_event(site, entity, number) for number in range(1, VARIETY + 1)]
        normaliser = _normaliser(entity, book)
        normals = [normaliser.normal(event)[0] for event in events]
        took_us = _timed(normaliser.normal, events, scale)
        rows.append([f"{PLATFORM}/{entity}", "payload to normal event", len(events[0].body), round(took_us, 1)])
        rows += _to_vendors(book, entity, normals, scale)
    headline = {f"us, {row[0]}": row[3] for row in rows}
    notes = ["Parsing is part of the first row of each entity."]
    return Report("mapping", "one mapping of one payload", ["mapping", "from", "bytes", "µs"], rows, headline, notes)


def _event(site: Site, entity: str, number: int) -> Event:
    sample = site.samples(PLATFORM, entity, number)
    headers = (("content-type", "application/json"), ("x-shopify-topic", sample.topic))
    at_ms = 1_770_000_000_000 + number
    return Event(number, f"evt_{number}", "shop", sample.topic, at_ms, 0, "POST", "", headers, sample.body)


def _normaliser(entity: str, book: Book) -> Normaliser:
    source = Source.model_validate({"preset": PLATFORM, "country": "GB", "currency": "GBP"})
    return Normaliser("shop", source, {"*": f"{PLATFORM}/{entity}"}, book)


def _to_vendors(book: Book, entity: str, normals: list[NormalEvent], scale: Scale) -> Iterator[list[Any]]:
    documents = [normal.document() for normal in normals]
    for name in book.names():
        if not name.endswith(f"/{entity}") or not _takes(book, name, documents[0]):
            continue
        took_us = _timed(book.get(name).apply, documents, scale)
        yield [name, "normal event to record", 0, round(took_us, 1)]


def _takes(book: Book, name: str, document: dict[str, Any]) -> bool:
    """Whether it is a vendor's mapping: a platform's makes nothing of a normal event."""
    try:
        made = book.get(name).apply(document)
    except MappingError:
        return False
    return bool(made) and bool(made[0])


def _timed(act: Callable[[Any], object], values: list[Any], scale: Scale) -> float:
    """Microseconds for one, the best of `scale.rounds`."""
    best_us = float("inf")
    for _ in range(scale.rounds):
        count, began_s = 0, time.perf_counter()
        until_s = began_s + scale.round_s * TIMED_SHARE / scale.rounds
        while (now_s := time.perf_counter()) < until_s or not count:
            for value in values:
                act(value)
            count += len(values)
        best_us = min(best_us, (now_s - began_s) / count * 1e6)
    return best_us
