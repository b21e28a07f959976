"""Lanes, leases and intents on SQLite: rows in, values out."""

import json
from collections.abc import Collection, Sequence
from typing import Any

from msgspec import structs

from gateway.errors import JournalConflict, JournalError
from gateway.journal.filters import is_intended
from gateway.journal.ledger import LaneBook
from gateway.journal.records import pack_counts, pack_ranges, pack_whole, unpack_counts, unpack_intent, unpack_ranges
from gateway.journal.sqlite import versions
from gateway.journal.sqlite.connection import Db
from gateway.journal.sqlite.counting import head_seq
from gateway.model import LIVE, Counts, Intent, Lane, LaneSpec, Lease, Replay

_COLUMNS = (
    "id, source, destination, kind, start_seq, end_seq, cursor, ahead, delivered, filtered, superseded, parked, dead,"
    " discarded, version, changed, paused, ended, began_as, account, floor_seq, removed, removed_events"
)


def books(db: Db) -> list[LaneBook]:
    """Every lane, in the order they were registered."""
    return [_book(row) for row in db.execute(f"SELECT {_COLUMNS} FROM lanes ORDER BY id")]  # noqa: S608  a constant


def book(db: Db, lane: int) -> LaneBook:
    """One lane. Raises JournalError when there is none."""
    row = db.execute(f"SELECT {_COLUMNS} FROM lanes WHERE id = ?", (lane,)).fetchone()  # noqa: S608  a constant
    if row is None:
        raise JournalError(f"there is no lane {lane}")
    return _book(row)


def write(db: Db, after: LaneBook) -> None:
    """Write a lane as it stands."""
    lane, counts = after.lane, after.lane.counts
    db.execute(
        "UPDATE lanes SET cursor = ?, ahead = ?, delivered = ?, filtered = ?, superseded = ?, parked = ?, dead = ?,"
        " discarded = ?, version = ?, changed = ?, paused = ?, ended = ?, floor_seq = ?, removed = ?,"
        " removed_events = ? WHERE id = ?",
        (
            lane.cursor,
            pack_ranges(lane.ahead),
            counts.delivered,
            counts.filtered,
            counts.superseded,
            counts.parked,
            counts.dead,
            counts.discarded,
            lane.version,
            lane.changed,
            lane.paused,
            lane.ended,
            after.floor_seq,
            pack_counts(after.removed),
            after.removed_events,
            lane.id,
        ),
    )


def register(db: Db, specs: Sequence[LaneSpec]) -> tuple[Lane, ...]:
    """Make sure that lanes exist."""
    return tuple(_registered(db, spec) for spec in specs)


def revise(db: Db, digest: str, revision: int | None) -> int:
    """The revision of a configuration that is in force from now on."""
    key = f"revision:{digest}"
    last = db.execute("SELECT key, value FROM meta WHERE key LIKE 'revision:%'").fetchone() or ("", 0)
    if revision is None:
        revision = int(last[1]) + (last[0] != key)
    if last != (key, revision):
        db.execute("DELETE FROM meta WHERE key LIKE 'revision:%'")
        db.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (key, revision))
    return revision


def operated(db: Db) -> None:
    """Something was changed that every process has to hear of."""
    db.execute("UPDATE meta SET value = value + 1 WHERE key = 'operations'")


def _registered(db: Db, spec: LaneSpec) -> Lane:
    found = _live(db, spec.source, spec.destination, spec.kind)
    if found is not None:
        return found
    for name in spec.was if spec.kind == LIVE else ():
        former = _live(db, spec.source, name, spec.kind)
        if former is not None:
            db.execute(_RENAME, {"source": spec.source, "before": name, "after": spec.destination})
            versions.rename(db, name, spec.destination)
            operated(db)
            return book(db, former.id).lane
    return _begun(db, spec)


_RENAME = """
UPDATE lanes SET destination = :after, began_as = coalesce(nullif(began_as, ''), :before), changed = changed + 1
WHERE source = :source AND destination = :before AND ended = 0 AND kind NOT IN
    (SELECT kind FROM lanes WHERE source = :source AND destination = :after AND ended = 0)
"""
"""The live lane, and those of its replays that have none of the new name."""


def _begun(db: Db, spec: LaneSpec) -> Lane:
    """A new lane: it begins where its spec says, or now, with its past on a lane of its own."""
    head = head_seq(db)
    start_seq = spec.start_seq if spec.start_seq is not None else head
    if spec.backfill is not None:
        if start_seq < head:
            write_replay(db, spec.backfill)
            _begun(db, LaneSpec(spec.source, spec.destination, spec.backfill.id, start_seq, head))
        start_seq = head
    number = db.execute(
        "INSERT INTO lanes (source, destination, kind, start_seq, end_seq, cursor, floor_seq)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?4, ?4)",
        (spec.source, spec.destination, spec.kind, start_seq, spec.end_seq),
    ).lastrowid
    operated(db)
    return book(db, number or 0).lane


def write_replay(db: Db, replay: Replay) -> None:
    """Write a replay down."""
    db.execute(
        "INSERT INTO replays (id, at_ms, packed) VALUES (?, ?, ?)", (replay.id, replay.at_ms, pack_whole(replay))
    )


def _live(db: Db, source: str, destination: str, kind: str) -> Lane | None:
    row = db.execute(
        f"SELECT {_COLUMNS} FROM lanes WHERE source = ? AND destination = ? AND kind = ? AND ended = 0",  # noqa: S608  a constant
        (source, destination, kind),
    ).fetchone()
    return _book(row).lane if row else None


def _book(row: tuple[Any, ...]) -> LaneBook:
    lane = Lane(
        id=row[0],
        source=row[1],
        destination=row[2],
        kind=row[3],
        start_seq=row[4],
        end_seq=row[5],
        cursor=row[6],
        ahead=unpack_ranges(row[7]),
        counts=Counts(*row[8:14]),
        version=row[14],
        changed=row[15],
        paused=bool(row[16]),
        ended=bool(row[17]),
        began_as=row[18],
        account=row[19],
    )
    return LaneBook(lane, row[20], unpack_counts(row[21]), row[22])


# --- leases ----------------------------------------------------------------------------------------------------------


def leases(db: Db) -> tuple[Lease, ...]:
    """Every lease row."""
    rows = db.execute(f"SELECT {_LEASE} FROM leases ORDER BY account")  # noqa: S608  a constant
    return tuple(Lease(*row) for row in rows)


def claim(db: Db, account: str, owner: str, seen: Lease | None) -> Lease | None:
    """Take a lease that is free, or unchanged since it was seen."""
    now = _lease(db, account)
    if now is not None and now.owner and now != seen:
        return None
    if now is None and seen is not None:
        return None
    lease = Lease(account, owner, now.token + 1, 0, now.note) if now is not None else Lease(account, owner, 1, 0)
    db.execute(f"INSERT OR REPLACE INTO leases ({_LEASE}) VALUES (?, ?, ?, ?, ?)", structs.astuple(lease))  # noqa: S608  a constant
    return lease


_LEASE = "account, owner, token, renewals, note"


def renew(db: Db, held: Sequence[Lease], *, release: bool) -> tuple[Lease, ...]:
    """Renew, or let go of, those that are still held."""
    change = "owner = ''" if release else "renewals = renewals + 1"
    kept = []
    for lease in held:
        row = db.execute(
            f"UPDATE leases SET note = ?, {change} WHERE account = ? AND owner = ? AND token = ? RETURNING {_LEASE}",  # noqa: S608  constants
            (lease.note, lease.account, lease.owner, lease.token),
        ).fetchone()
        if row is not None:
            kept.append(Lease(*row))
    return tuple(kept)


def fence(db: Db, lease: Lease) -> None:
    """Raise JournalConflict unless the lease is still held."""
    now = _lease(db, lease.account)
    if now is None or now.owner != lease.owner or now.token != lease.token or not now.owner:
        raise JournalConflict(f"the lease on {lease.account} is no longer held by {lease.owner or 'anybody'}")


def hold(db: Db, lease: Lease, wanted: Collection[int]) -> tuple[Lane, ...]:
    """Serve these lanes under the lease's account, and no others: those that are its from now on."""
    fence(db, lease)
    numbers = json.dumps(list(wanted))
    let_go = db.execute(
        f"UPDATE lanes SET account = '' WHERE account = ? AND id NOT IN {_THESE}",  # noqa: S608  a constant
        (lease.account, numbers),
    )
    if let_go.rowcount:
        operated(db)
    db.execute(
        f"UPDATE lanes SET account = ? WHERE id IN {_THESE}"  # noqa: S608  a constant
        " AND account NOT IN (SELECT account FROM leases WHERE owner <> '')",
        (lease.account, numbers),
    )
    held = db.execute(f"SELECT {_COLUMNS} FROM lanes WHERE account = ? ORDER BY id", (lease.account,))  # noqa: S608  a constant
    return tuple(_book(row).lane for row in held)


_THESE = "(SELECT value FROM json_each(?))"


def _lease(db: Db, account: str) -> Lease | None:
    row = db.execute(f"SELECT {_LEASE} FROM leases WHERE account = ?", (account,)).fetchone()  # noqa: S608  a constant
    return Lease(*row) if row else None


# --- intents ---------------------------------------------------------------------------------------------------------


def intend(db: Db, lease: Lease, intents: Sequence[Intent]) -> None:
    """Write intents down before a send."""
    fence(db, lease)
    db.executemany(
        "INSERT OR REPLACE INTO intents (key, account, packed, lanes) VALUES (?, ?, ?, ?)",
        [(one.key, one.account, pack_whole(one), json.dumps(_lanes_of(one))) for one in intents],
    )


def intents(db: Db, lanes: Collection[int]) -> tuple[Intent, ...]:
    """What was intended for these lanes and not done, oldest first."""
    rows = db.execute(_INTENDED, (json.dumps(list(lanes)),))
    found = (one for row in rows if is_intended(one := unpack_intent(row[0]), lanes))
    return tuple(sorted(found, key=lambda one: (one.at_ms, one.key)))


_INTENDED = """
SELECT packed FROM intents
WHERE lanes IS NULL OR EXISTS (SELECT 1 FROM json_each(lanes) WHERE value IN (SELECT value FROM json_each(?)))
"""


def _lanes_of(intent: Intent) -> list[int]:
    return sorted({lane for lane, _, _ in intent.members})
