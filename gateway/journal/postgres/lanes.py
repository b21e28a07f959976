"""Lanes, leases and intents on PostgreSQL: rows in, values out."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import structs

from gateway.errors import JournalError
from gateway.journal.base import Operation
from gateway.journal.filters import is_intended
from gateway.journal.ledger import LaneBook
from gateway.journal.postgres.connection import Asks, Connections, Row
from gateway.journal.records import pack_whole, unpack_counts, unpack_intent, unpack_ranges, unpack_replay
from gateway.model import Counts, Intent, Lane, LaneSpec, Lease, Replay

_COLUMNS = (
    "id, source, destination, kind, start_seq, end_seq, cursor, ahead, delivered, filtered, superseded, parked, dead,"
    " discarded, version, changed, paused, ended, began_as, account, floor_seq, removed, removed_events, stamp"
)


class Read(NamedTuple):
    """A lane's books as they were read: a change of them is written only while the stamp is still this one."""

    book: LaneBook
    stamp: int

    @property
    def lane(self) -> Lane:
        return self.book.lane


async def read_all(db: Asks) -> list[Read]:
    """Every lane, in the order they were registered."""
    return [_read(row) for row in await db.fetch(f"SELECT {_COLUMNS} FROM gateway.lanes ORDER BY id")]  # noqa: S608  a constant


async def read(db: Asks, numbers: Sequence[int]) -> list[Read]:
    """These lanes, in order. Raises JournalError where there is none."""
    rows = await db.fetch(f"SELECT {_COLUMNS} FROM gateway.lanes WHERE id = ANY ($1)", list(numbers))  # noqa: S608  a constant
    found = {row[0]: _read(row) for row in rows}
    for number in numbers:
        if number not in found:
            raise JournalError(f"there is no lane {number}")
    return [found[number] for number in numbers]


async def register(db: Connections, specs: Sequence[LaneSpec]) -> list[Read]:
    """Make sure that lanes exist."""
    return await read(db, await db.value("SELECT gateway.register($1::text::jsonb)", _told(specs)))


async def replay(db: Connections, one: Replay, specs: Sequence[LaneSpec], by: Operation) -> list[Read]:
    """Write a replay down and begin its lanes."""
    numbers = await db.value(
        "SELECT gateway.replay($1::text::jsonb, $2::text::jsonb, $3::text::jsonb)",
        json(_replay(one)),
        _told(specs),
        json(operation(by, 0)),
    )
    return await read(db, numbers)


async def replays(db: Asks) -> tuple[Replay, ...]:
    """Every replay, newest first."""
    rows = await db.fetch("SELECT packed FROM gateway.replays ORDER BY at_ms DESC, id DESC")
    return tuple(unpack_replay(row[0]) for row in rows)


async def versions(db: Asks, lane: int, keys: Collection[bytes]) -> dict[bytes, int]:
    """The versions that a lane's destination has of these keys, where they are known."""
    rows = await db.fetch(
        "SELECT key, version FROM gateway.versions"
        " WHERE destination = (SELECT destination FROM gateway.lanes WHERE id = $1) AND key = ANY ($2)",
        lane,
        list(keys),
    )
    return {row[0]: row[1] for row in rows}


def operation(by: Operation, count: int) -> dict[str, Any]:
    """What an operator did, as `gateway.note` takes it."""
    return {**{name: plain(text) for name, text in _texts(by)}, "at_ms": by.at_ms, "count": count or by.count}


def _texts(by: Operation) -> Iterable[tuple[str, str]]:
    return (("who", by.who), ("what", by.what), ("subject", by.subject), ("note", by.note))


def json(value: Any) -> str:
    """As our functions take it; bytes travel as base64."""
    return msgspec.json.encode(value).decode()


def plain(text: str) -> str:
    """Text as the database takes it: Unicode without NUL."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _told(specs: Sequence[LaneSpec]) -> str:
    """Lanes as `gateway.register` takes them."""
    return json(
        [{**structs.asdict(spec), "backfill": _replay(spec.backfill) if spec.backfill else None} for spec in specs]
    )


def _replay(one: Replay) -> dict[str, Any]:
    return {"id": one.id, "at_ms": one.at_ms, "packed": pack_whole(one)}


def _read(row: Row) -> Read:
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
        paused=row[16],
        ended=row[17],
        began_as=row[18],
        account=row[19],
    )
    return Read(LaneBook(lane, row[20], unpack_counts(row[21]), row[22]), row[23])


# --- leases ----------------------------------------------------------------------------------------------------------


async def leases(db: Asks) -> tuple[Lease, ...]:
    """Every lease row."""
    rows = await db.fetch("SELECT account, owner, token, renewals, note FROM gateway.leases ORDER BY account")
    return tuple(Lease(*row) for row in rows)


async def claim(db: Asks, account: str, owner: str, seen: Lease | None) -> Lease | None:
    """Take a lease that is free, or unchanged since it was seen. Lease rows never go, so one that is not there was
    never there.
    """
    values = (seen.owner, seen.token, seen.renewals) if seen is not None else (None, None, None)
    rows = await db.fetch(_CLAIM, account, owner, *values)
    return Lease(*rows[0]) if rows else None


_CLAIM = """
INSERT INTO gateway.leases AS l (account, owner, token, renewals)
SELECT $1, $2, 1, 0 WHERE $3::text IS NULL OR EXISTS (SELECT FROM gateway.leases WHERE account = $1)
ON CONFLICT (account) DO UPDATE SET owner = excluded.owner, token = l.token + 1, renewals = 0
WHERE l.owner = '' OR (l.owner, l.token, l.renewals) = ($3, $4::bigint, $5::bigint)
RETURNING account, owner, token, renewals, note
"""


async def renew(db: Asks, held: Sequence[Lease], *, release: bool) -> tuple[Lease, ...]:
    """Renew, or let go of, those that are still held."""
    change = "owner = ''" if release else "renewals = l.renewals + 1"
    rows = await db.fetch(
        f"UPDATE gateway.leases l SET note = h.note, {change}"  # noqa: S608  two constants
        " FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[]) h(account, owner, token, note)"
        " WHERE l.account = h.account AND l.owner = h.owner AND l.token = h.token"
        " RETURNING l.account, l.owner, l.token, l.renewals, l.note",
        [one.account for one in held],
        [one.owner for one in held],
        [one.token for one in held],
        [plain(one.note) for one in held],
    )
    now = {row[0]: Lease(*row) for row in rows}
    return tuple(now[one.account] for one in held if one.account in now)


async def hold(db: Connections, lease: Lease, wanted: Collection[int]) -> list[Read]:
    """Serve these lanes under the lease's account, and no others: those that are its from now on."""
    held = "SELECT gateway.hold($1, $2, $3, $4)"
    return await read(db, await db.value(held, lease.account, lease.owner, lease.token, list(wanted)))


# --- intents ---------------------------------------------------------------------------------------------------------


async def intend(db: Asks, lease: Lease, intents: Sequence[Intent]) -> None:
    """Write intents down before a send."""
    last = {one.key: one for one in intents}.values()
    await db.fetch(
        "SELECT gateway.intend($1, $2, $3, $4, $5, $6, $7)",
        lease.account,
        lease.owner,
        lease.token,
        [one.key for one in last],
        [one.account for one in last],
        [pack_whole(one) for one in last],
        [_array({lane for lane, _, _ in one.members}) for one in last],
    )


async def intents(db: Asks, lanes: Collection[int]) -> tuple[Intent, ...]:
    """What was intended for these lanes and not done, oldest first."""
    rows = await db.fetch("SELECT packed FROM gateway.intents WHERE lanes IS NULL OR lanes && $1", list(lanes))
    found = (one for row in rows if is_intended(one := unpack_intent(row[0]), lanes))
    return tuple(sorted(found, key=lambda one: (one.at_ms, one.key)))


def _array(numbers: Iterable[int]) -> str:
    """As the text of a database's array."""
    return f"{{{','.join(map(str, sorted(numbers)))}}}"
