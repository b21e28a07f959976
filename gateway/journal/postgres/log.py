"""The log on PostgreSQL: a group becomes one row by one call, and is read back batch by batch."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from gateway.journal import records
from gateway.journal.admission import GROUP_ID_BYTES, Key, check, check_text
from gateway.journal.base import Head, Page
from gateway.journal.postgres.connection import Asks, Connections, Row
from gateway.journal.postgres.filters import Filters, Hints
from gateway.journal.records import Duplicate, pack_offers, pack_whole, receipts_again, unpack_stored
from gateway.model import Event, Group, Offer, Receipt

BATCHES_PER_LOOK = 64

ACCEPT = "SELECT * FROM gateway.accept($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"


class Prepared(NamedTuple):
    """A group as `gateway.accept` takes it (see there): all that needs no lock is done."""

    group: Group
    names: list[str]
    named: list[int]
    identities: list[bytes | None]
    earlier: list[int]
    packed: bytes

    def offered(self, hints: Hints) -> tuple[Any, ...]:
        """The arguments, with what filters say of the identities."""
        offers, refused = self.group.offers, self.group.rejections
        return (
            self.group.id,
            self.names,
            self.named,
            self.identities,
            [offer.received_at_ms for offer in offers],
            [offer.identity_window_ms for offer in offers],
            self.earlier,
            self.packed,
            [one.source.replace("\0", "\ufffd") for one in refused],
            [pack_whole(one) for one in refused],
            *hints,
        )


def prepare(group: Group) -> Prepared:
    """Refuse what can never be stored, and pack the group. Raises GroupRefused."""
    if len(group.id) != GROUP_ID_BYTES:
        raise ValueError(f"a group's id has {GROUP_ID_BYTES} bytes, not {len(group.id)}")
    check(group.offers)
    try:
        packed = pack_offers(group.offers) if group.offers else b""
    except UnicodeEncodeError as error:
        raise check_text(group.offers) from error
    places: dict[str, int] = {}
    named = [places.setdefault(offer.source, len(places) + 1) for offer in group.offers]
    identities = [offer.identity for offer in group.offers]
    alone = len(set(identities)) == len(identities)
    return Prepared(group, list(places), named, identities, [] if alone else list(_earlier(group.offers)), packed)


def _earlier(offers: Iterable[Offer]) -> Iterator[int]:
    """For each offer the place (from 1) of the last one before it with the same identity; 0: none."""
    last: dict[Key, int] = {}
    for place, offer in enumerate(offers, 1):
        if offer.identity is None:
            yield 0
        else:
            key = (offer.source, offer.identity)
            yield last.get(key, 0)
            last[key] = place


async def append(db: Connections, prepared: Prepared, filters: Filters) -> tuple[Receipt, ...]:
    """Commit a group: one call, committed by itself."""
    group = prepared.group
    (row,) = await db.fetch_again(ACCEPT, lambda: prepared.offered(filters.look(prepared.identities)))
    filters.heard(row["bucket"])
    return receipts_again(group.id, row["first"] or 0, len(group.offers), _duplicates(row))


def _duplicates(row: Row) -> list[Duplicate]:
    told = zip(row["places"] or (), row["seqs"] or (), row["tails"] or (), strict=True)
    return [Duplicate(*one) for one in told]


# --- reading ---------------------------------------------------------------------------------------------------------


async def head(db: Asks) -> Head:
    """How far the journal has come."""
    (row,) = await db.fetch("SELECT gateway.head_seq(), value FROM gateway.meta WHERE key = 'operations'")
    return Head(*row)


async def read(db: Asks, after_seq: int, sources: Collection[str] | None, limit: int, limit_bytes: int) -> Page:
    """Events in order, some batches at a time, up to the limits."""
    wanted = frozenset(sources) if sources is not None else None
    events: list[Event] = []
    size, from_seq = 0, after_seq
    while True:
        look = await _look(db, from_seq, wanted, limit - len(events), max(limit_bytes - size, 1))
        for event in (one for row in look.batches for one in events_of(row)):
            if event.seq <= after_seq or (wanted is not None and event.source not in wanted):
                continue
            size += len(event.body)
            if events and size > limit_bytes:
                return Page(tuple(events), events[-1].seq)
            events.append(event)
            if len(events) >= limit:
                return Page(tuple(events), event.seq)
        if not look.more:
            return Page(tuple(events), max(look.head_seq, after_seq, events[-1].seq if events else 0))
        from_seq = look.batches[-1]["last_seq"]


class _Look(NamedTuple):
    """Batches in order (one that is lost has no payload), the head as of the look, and whether there are more."""

    batches: list[Row]
    head_seq: int
    more: bool


async def _look(db: Asks, after_seq: int, wanted: frozenset[str] | None, limit: int, limit_bytes: int) -> _Look:
    """The next batches with something above a seq: as many as the limits allow for, one at least where there is one.

    Mostly they are in the newest table: the others are looked at where the seq is of one of them.
    """
    firsts, values = (_ALL, ()) if wanted is None else (_OF_SOURCES, (sorted(wanted),))
    rows = await db.fetch(_in_tables("newest_", firsts), after_seq, limit, limit_bytes, *values)
    if after_seq + 1 < rows[0]["from_seq"]:
        rows = await db.fetch(_in_tables("", firsts), after_seq, limit, limit_bytes, *values)
    batches = [row for row in rows if row["first_seq"] is not None]
    looked_at: int = rows[0]["looked_at"]
    return _Look(batches, rows[0]["head"], looked_at == BATCHES_PER_LOOK or looked_at > len(batches))


def _in_tables(which: str, firsts: str) -> str:
    return _CHOSEN.format(firsts=firsts.format(which=which), which=which)


_ALL = f"""
SELECT first_seq, first_seq + count - 1 AS last_seq, count FROM gateway.{{which}}batches WHERE first_seq >= coalesce(
    (SELECT first_seq FROM gateway.{{which}}batches WHERE first_seq <= $1 + 1 ORDER BY first_seq DESC LIMIT 1), 0)
    AND first_seq + count - 1 > $1
ORDER BY first_seq LIMIT {BATCHES_PER_LOOK}
"""  # noqa: S608  a number
_OF_SOURCES = f"""
SELECT p.first_seq, p.last_seq, sum(p.count) AS count
FROM gateway.sources s CROSS JOIN LATERAL (
    (SELECT first_seq, last_seq, count FROM gateway.{{which}}batch_sources
     WHERE source_id = s.id AND first_seq <= $1 ORDER BY first_seq DESC LIMIT 1)
    UNION ALL
    (SELECT first_seq, last_seq, count FROM gateway.{{which}}batch_sources
     WHERE source_id = s.id AND first_seq > $1 ORDER BY first_seq LIMIT {BATCHES_PER_LOOK})
) p
WHERE s.name = ANY ($4) AND p.last_seq > $1
GROUP BY p.first_seq, p.last_seq ORDER BY p.first_seq LIMIT {BATCHES_PER_LOOK}
"""  # noqa: S608  a number
_CHOSEN = """
WITH firsts AS ({firsts}), chosen AS (
    SELECT f.first_seq, f.last_seq, b.group_id, b.places,
        sum(f.count) OVER w - f.count AS events, sum(b.size_bytes) OVER w - b.size_bytes AS bytes
    FROM firsts f LEFT JOIN gateway.{which}batches b USING (first_seq) WINDOW w AS (ORDER BY f.first_seq)
)
SELECT (SELECT gateway.head_seq()) AS head, (SELECT count(*) FROM firsts) AS looked_at,
    (SELECT coalesce(max(from_seq), 0) FROM gateway.event_tables) AS from_seq,
    c.first_seq, c.last_seq, c.group_id, c.places, b.payload
FROM (SELECT) AS one LEFT JOIN chosen c ON c.events < $2 AND coalesce(c.bytes, 0) < $3
LEFT JOIN gateway.{which}batches b USING (first_seq)
ORDER BY c.first_seq
"""


async def event(db: Asks, seq: int) -> Event | None:
    """One event, or None."""
    rows = await db.fetch(
        "SELECT first_seq, count, group_id, places, payload FROM gateway.batches WHERE first_seq <= $1"
        " ORDER BY first_seq DESC LIMIT 1",
        seq,
    )
    if not rows or seq >= rows[0]["first_seq"] + rows[0]["count"]:
        return None
    return next(one for one in events_of(rows[0]) if one.seq == seq)


async def seq_at(db: Asks, at_ms: int) -> int:
    """A seq up to which every event was received before a time."""
    ((low,),) = await db.fetch("SELECT gateway.batches_before($1)", at_ms)
    batch = await db.fetch(
        "SELECT first_seq, group_id, places, payload FROM gateway.batches WHERE first_seq > $1"
        " ORDER BY first_seq LIMIT 1",
        low,
    )
    for event in (one for row in batch for one in events_of(row)):
        if event.received_at_ms >= at_ms:
            break
        low = event.seq
    return int(low)


def events_of(row: Row) -> Iterator[Event]:
    """The events of a batch, in order: what its payload holds but for the places that repeat others."""
    if row["payload"] is None:
        return iter(())
    batch, repeats = unpack_stored(row["payload"]), set(row["places"] or ())
    if repeats:
        batch = [stored for place, stored in enumerate(batch) if place not in repeats]
    return records.events_of(batch, row["first_seq"], row["group_id"])
