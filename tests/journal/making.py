"""What the journal's tests are made of: offers and groups, and a hand that settles a lane."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from gateway.journal.base import AuditRow, DeadFilter, Journal, Keep, Kept, Operation
from gateway.model import (
    Attempt,
    Counts,
    Group,
    Lane,
    LaneSettle,
    LaneSpec,
    Lease,
    Offer,
    ParkedRow,
    Ranges,
    Receipt,
    Rejection,
    Resolved,
    Settlement,
    State,
)

NOW_MS = 1_764_000_000_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS

_groups = count(1)
_marks = count(1)


@asynccontextmanager
async def opened(journal: Journal) -> AsyncIterator[Journal]:
    await journal.open()
    try:
        yield journal
    finally:
        await journal.close()


def offer(name: str = "", source: str = "shop", **fields: Any) -> Offer:
    """An offer. One with a name has it as its identity; one without is always new."""
    body = f'{{"note":"{name or next(_marks)}"}}'.encode()
    said: dict[str, Any] = {
        "source": source,
        "topic": "orders/create",
        "received_at_ms": NOW_MS,
        "revision": 1,
        "method": "POST",
        "query": "",
        "headers": (("content-type", "application/json"),),
        "body": body,
        "identity": name.encode().rjust(16, b".") if name else None,
        "identity_window_ms": WEEK_MS,
    }
    return Offer(**said | fields)


def group(*offers: Offer, id_: bytes | None = None, rejections: Sequence[Rejection] = ()) -> Group:
    """A group with an id of its own."""
    return Group(id_ or next(_groups).to_bytes(16, "big"), offers, tuple(rejections))


def rejection(source: str = "shop", cause: str = "signature_wrong", at_ms: int = NOW_MS) -> Rejection:
    return Rejection(source, at_ms, cause, "", "POST", "203.0.113.7", (), b"{}")


async def accept(journal: Journal, number: int, source: str = "shop", **fields: Any) -> tuple[Receipt, ...]:
    """So many new events in one group."""
    return await journal.append(group(*(offer(source=source, **fields) for _ in range(number))))


def row(seq: int, part: str = "order", state: State = State.PARKED, **fields: Any) -> ParkedRow:
    said: dict[str, Any] = {
        "seq": seq,
        "part": part,
        "channel": "order",
        "key": b"k" * 16,
        "state": state,
        "attempt": 1,
        "due_at_ms": NOW_MS + 5_000,
        "first_failed_at_ms": NOW_MS,
        "at_ms": NOW_MS,
        "reason": "server_error" if state is State.PARKED else "record_refused",
        "detail": "upstream said no",
        "answer": b"<h1>no</h1>",
        "record": b'{"id":"1"}',
    }
    return ParkedRow(**said | fields)


def tried(seq: int, outcome: State = State.DELIVERED, part: str = "order") -> Attempt:
    return Attempt(seq, part, outcome, 200 if outcome is State.DELIVERED else 0, 12)


def by(what: str, at_ms: int = NOW_MS, subject: str = "") -> Operation:
    return Operation(at_ms, "ada", what, subject)


class Lanehand:
    """Settles one lane as a dispatcher does, under a lease of its own."""

    def __init__(self, journal: Journal, lane: Lane, lease: Lease) -> None:
        self.journal = journal
        self.lane = lane
        self.lease = lease

    @classmethod
    async def on(cls, journal: Journal, source: str = "shop", destination: str = "crm", **fields: Any) -> "Lanehand":
        (lane,) = await journal.register([LaneSpec(source, destination, **fields)])
        lease = await journal.claim(f"account-of-{destination}", "me", None)
        assert lease is not None
        return cls(journal, lane, lease)

    async def settle(
        self,
        cursor: int | None = None,
        *,
        ahead: Ranges = (),
        counts: Counts | None = None,
        parked: Iterable[ParkedRow] = (),
        resolved: Iterable[tuple[int, str, State]] = (),
        attempts: Iterable[Attempt] = (),
        versions: Iterable[tuple[bytes, int]] = (),
        **fields: Any,
    ) -> Lane:
        """Settle, at the version last seen."""
        step = LaneSettle(
            lane=self.lane.id,
            version=self.lane.version,
            cursor=self.lane.cursor if cursor is None else cursor,
            ahead=ahead,
            counts=counts or Counts(),
            parked=tuple(parked),
            resolved=tuple(Resolved(*one) for one in resolved),
            attempts=tuple(attempts),
            versions=tuple(versions),
        )
        at_ms = fields.pop("at_ms", NOW_MS)
        (self.lane,) = await self.journal.settle(Settlement(self.lease, at_ms, (step,), **fields))
        return self.lane

    async def deliver(self, first: int, last: int, at_ms: int = NOW_MS) -> Lane:
        """Events first..last are delivered, each with one record, and the cursor stands on the last."""
        number = last - first + 1
        attempts = [tried(seq) for seq in range(first, last + 1)]
        return await self.settle(last, counts=Counts(delivered=number), attempts=attempts, at_ms=at_ms)

    async def seen(self) -> Lane:
        """The lane as it stands in the journal now; settles go on from there."""
        self.lane = next(lane for lane in await self.journal.lanes() if lane.id == self.lane.id)
        return self.lane

    async def audited(self) -> AuditRow:
        return next(one for one in await self.journal.audit() if one.lane.id == self.lane.id)


async def dead_ids(journal: Journal, which: DeadFilter | None = None) -> list[str]:
    return [one.id async for one in journal.dead(which or DeadFilter())]


def rules(now_ms: int, **fields: int | None) -> Keep:
    """What to keep: everything for ever, but for what is said."""
    ages = ("keep_ms", "keep_at_most_ms", "identities_ms", "attempts_ms", "dead_ms")
    said: dict[str, Any] = {**dict.fromkeys(ages, 10_000 * DAY_MS), "max_bytes": None}
    return Keep(now_ms=now_ms, **said | fields)


async def keep_all(journal: Journal, wanted: Keep) -> Kept:
    """Slice by slice until nothing is left; the sum of what was done."""
    names = [name for name in Kept.__struct_fields__ if name != "more"]
    done = dict.fromkeys(names, 0)
    for _ in range(1_000):
        kept = await journal.keep(wanted)
        done = {name: done[name] + getattr(kept, name) for name in names}
        if not kept.more:
            return Kept(**done, more=False)
    raise AssertionError("keeping never ends")
