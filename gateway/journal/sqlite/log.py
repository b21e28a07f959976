"""The log on SQLite: a group becomes one row, and is read back batch by batch."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from heapq import merge
from itertools import groupby
from operator import itemgetter
from sqlite3 import IntegrityError

from gateway.journal.admission import GROUP_ID_BYTES, Admitted, admit, check, check_text
from gateway.journal.base import Head, Page
from gateway.journal.parts import bitmap
from gateway.journal.records import (
    event_of,
    events_of,
    pack_duplicates,
    pack_offers,
    pack_whole,
    receipts_again,
    unpack_duplicates,
    unpack_stored,
)
from gateway.journal.sqlite.connection import Db
from gateway.journal.sqlite.counting import head_seq, source_id
from gateway.journal.sqlite.identities import Identities
from gateway.model import Event, Group, Offer, Receipt, Rejection

REJECTED_PER_SOURCE = 1_000
REJECTED_MAX = 50_000
"""Rejections of all sources together, whatever the sources are called."""


class Append:
    """A group on its way into the log. `prepare` does all that needs no lock."""

    def __init__(self, group: Group, identities: Identities) -> None:
        if len(group.id) != GROUP_ID_BYTES:
            raise ValueError(f"a group's id has {GROUP_ID_BYTES} bytes, not {len(group.id)}")
        self._group = group
        self._identities = identities
        self._payload = b""

    def prepare(self) -> None:
        """Refuse what can never be stored, and pack the group as if no offer of it were a duplicate."""
        check(self._group.offers)
        self._payload = _packed(self._group.offers)

    def __call__(self, db: Db) -> tuple[Receipt, ...]:
        """Write it, inside the caller's transaction."""
        group = self._group
        _reject(db, group.id, group.rejections)
        if not group.offers:
            return ()
        numbers = _source_ids(db, group.offers)
        keys = {(offer.source, offer.identity) for offer in group.offers if offer.identity is not None}
        known = self._identities.look(db, keys, numbers) if keys else {}
        if known and (again := _receipts_of(db, group)) is not None:
            return again
        first_seq = head_seq(db) + 1
        admitted = admit(group.offers, known, first_seq - 1, group.id)
        if admitted.offers:
            payload = _packed(admitted.offers) if admitted.duplicates else self._payload
            try:
                _write(db, group.id, first_seq, admitted, payload, numbers)
            except IntegrityError:  # its id is there: offered again, and nothing tells its events but that
                again = _receipts_of(db, group)
                if again is None:
                    raise
                return again
        if admitted.identities:
            last_seq = first_seq + len(admitted.offers) - 1
            window_ms = max(offer.identity_window_ms for offer in admitted.offers)
            self._identities.remember(db, admitted.identities, last_seq, window_ms, numbers)
        return admitted.receipts


def _packed(offers: Sequence[Offer]) -> bytes:
    try:
        return pack_offers(offers)
    except UnicodeEncodeError as error:
        raise check_text(offers) from error


def _receipts_of(db: Db, group: Group) -> tuple[Receipt, ...] | None:
    """The receipts of a group that was committed before. Looked for only where that may be: some of its identities are
    known, or its id meets itself. One of only duplicates has no row, and is judged again: each of its offers is a
    duplicate still.
    """
    row = db.execute("SELECT first_seq, duplicates FROM batches WHERE group_id = ?", (group.id,)).fetchone()
    if row is None:
        return None
    return receipts_again(group.id, row[0], len(group.offers), unpack_duplicates(row[1]))


def _source_ids(db: Db, offers: Sequence[Offer]) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for name in {offer.source for offer in offers}:
        number = source_id(db, name)
        if number is None:
            number = db.execute("INSERT INTO sources (name) VALUES (?)", (name,)).lastrowid or 0
        numbers[name] = number
    return numbers


def _write(
    db: Db, group_id: bytes, first_seq: int, admitted: Admitted, payload: bytes, numbers: dict[str, int]
) -> None:
    offers = admitted.offers
    times = [offer.received_at_ms for offer in offers]
    db.execute(
        "INSERT INTO batches (first_seq, count, group_id, received_min_ms, received_max_ms, duplicates, payload)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (first_seq, len(offers), group_id, min(times), max(times), pack_duplicates(admitted.duplicates), payload),
    )
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, offer in enumerate(offers):
        places[offer.source].append(place)
    last_seq = first_seq + len(offers) - 1
    lowest = min(numbers[name] for name in places)
    for name, mine in places.items():
        (total,) = db.execute(
            "UPDATE sources SET total = total + ?, bytes = bytes + ? WHERE id = ? RETURNING total",
            (len(mine), len(payload) if numbers[name] == lowest else 0, numbers[name]),
        ).fetchone()
        marks = bitmap(mine) if len(mine) < len(offers) else None
        db.execute(
            "INSERT INTO batch_sources (source_id, first_seq, last_seq, count, total_before, places)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (numbers[name], first_seq, last_seq, len(mine), total - len(mine), marks),
        )


def _reject(db: Db, group_id: bytes, rejections: Sequence[Rejection]) -> None:
    """Keep refused requests: the last ones of each source."""
    for place, one in enumerate(rejections):
        db.execute(
            "INSERT OR IGNORE INTO rejected (source, group_id, place, packed) VALUES (?, ?, ?, ?)",
            (one.source, group_id, place, pack_whole(one)),
        )
    for source in {one.source for one in rejections}:
        db.execute(
            "DELETE FROM rejected WHERE source = ?1 AND id <="
            " (SELECT id FROM rejected WHERE source = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
            (source, REJECTED_PER_SOURCE),
        )
    if rejections:
        db.execute("DELETE FROM rejected WHERE id <= (SELECT max(id) FROM rejected) - ?", (REJECTED_MAX,))


# --- reading ---------------------------------------------------------------------------------------------------------


def head(db: Db) -> Head:
    """How far the journal has come."""
    (operations,) = db.execute("SELECT value FROM meta WHERE key = 'operations'").fetchone()
    return Head(head_seq(db), operations)


def read(db: Db, after_seq: int, sources: Collection[str] | None, limit: int, limit_bytes: int) -> Page:
    """Events in order, batch by batch, up to the limits. A batch that would go beyond `limit` is left to the next page:
    it is unpacked once.
    """
    wanted = frozenset(sources) if sources is not None else None
    events: list[Event] = []
    size = 0
    for first_seq, count, group_id, payload in _batches(db, after_seq, wanted):
        if events and len(events) + count > limit:
            return Page(tuple(events), events[-1].seq)
        for event in events_of(unpack_stored(payload), first_seq, group_id):
            if event.seq <= after_seq or (wanted is not None and event.source not in wanted):
                continue
            size += len(event.body)
            if events and (size > limit_bytes or len(events) >= limit):
                return Page(tuple(events), events[-1].seq)
            events.append(event)
    return Page(tuple(events), max(head_seq(db), after_seq))


def event(db: Db, seq: int) -> Event | None:
    """One event, or None."""
    row = db.execute(
        "SELECT first_seq, count, group_id, payload FROM batches WHERE first_seq <= ? ORDER BY first_seq DESC LIMIT 1",
        (seq,),
    ).fetchone()
    if row is None or seq >= row[0] + row[1]:
        return None
    return event_of(unpack_stored(row[3])[seq - row[0]], seq, row[2])


def seq_at(db: Db, at_ms: int) -> int:
    """A seq up to which every event was received before a time: by halves over the batches, then within one."""
    low, high = 0, head_seq(db)
    while low < high:
        middle = (low + high + 1) // 2
        row = db.execute(
            "SELECT first_seq, first_seq + count - 1, received_max_ms FROM batches WHERE first_seq <= ?"
            " ORDER BY first_seq DESC LIMIT 1",
            (middle,),
        ).fetchone()
        if row is None or row[2] < at_ms:
            low = max(middle, row[1] if row else 0)
        else:
            high = row[0] - 1
    row = db.execute(
        "SELECT first_seq, payload FROM batches WHERE first_seq > ? ORDER BY first_seq LIMIT 1", (low,)
    ).fetchone()
    for place, stored in enumerate(unpack_stored(row[1]) if row else ()):
        if stored.received_at_ms >= at_ms:
            break
        low = row[0] + place
    return low


def group_of(db: Db, seq: int) -> bytes | None:
    """The id of the group that an event was accepted in, while its batch is there."""
    row = db.execute(
        "SELECT first_seq, count, group_id FROM batches WHERE first_seq <= ? ORDER BY first_seq DESC LIMIT 1", (seq,)
    ).fetchone()
    return row[2] if row is not None and seq < row[0] + row[1] else None


_Batch = tuple[int, int, bytes, bytes]
"""Where it begins, how many of its events may be wanted, its group's id, its payload."""


def _batches(db: Db, after_seq: int, wanted: frozenset[str] | None) -> Iterator[_Batch]:
    """The batches that hold something above a seq, in order, each read when it is its turn. Of some sources only: their
    lists merged.
    """
    if wanted is None:
        return db.execute(_ALL, (after_seq,))
    numbers = [number for name in sorted(wanted) if (number := source_id(db, name)) is not None]
    lists = [db.execute(_OF_SOURCE, (after_seq, number)) for number in numbers]
    return lists[0] if len(lists) == 1 else _merged(lists)


def _merged(lists: Sequence[Iterator[_Batch]]) -> Iterator[_Batch]:
    for _, same in groupby(merge(*lists, key=itemgetter(0)), key=itemgetter(0)):
        (first_seq, count, group_id, payload), *others = same
        yield first_seq, count + sum(other[1] for other in others), group_id, payload


_ALL = """
SELECT first_seq, count, group_id, payload FROM batches
WHERE first_seq + count > ?1 + 1
    AND first_seq >= coalesce((SELECT max(first_seq) FROM batches WHERE first_seq <= ?1), 0)
ORDER BY first_seq
"""
_OF_SOURCE = """
SELECT s.first_seq, s.count, b.group_id, b.payload FROM batch_sources s JOIN batches b ON b.first_seq = s.first_seq
WHERE s.source_id = ?2 AND s.last_seq > ?1 AND s.first_seq >= coalesce(
    (SELECT max(first_seq) FROM batch_sources WHERE source_id = ?2 AND first_seq <= ?1), 0)
ORDER BY s.first_seq
"""
