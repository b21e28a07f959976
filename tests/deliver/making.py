"""Lanes, destinations and records for the tests of delivery."""

from typing import Any

from gateway import document
from gateway.clock import Chance
from gateway.deliver.account import Account
from gateway.deliver.gate import Gate
from gateway.deliver.lane import LaneWork
from gateway.deliver.pace import Pace
from gateway.deliver.plan import Death, Destination, Planned
from gateway.deliver.queue import Now
from gateway.model import Counts, Lane, Lease, ParkedRow
from gateway.vendors.base import BatchRules, Draft, Limit, Record
from tests.simulation.paper import Paper, PaperSettings

LEASE = Lease("paper", "here", 1, 0)
RULES = BatchRules(records=5, body_bytes=10_000, record_bytes=1_000)


class Half(Chance):
    """Chance without chance: always the middle."""

    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2

    def nonce(self, size: int) -> bytes:
        return bytes(size)


def destination(
    name: str = "paper", rules: BatchRules = RULES, limits: tuple[Limit, ...] = (), **settings: Any
) -> Destination:
    told = PaperSettings(vendor="paper", **settings)
    return Destination(name, told, Paper(name, told), "paper", "paper", limits, rules)


def lane(number: int = 1, source: str = "shop", to: str = "paper", cursor: int = 0, **more: Any) -> Lane:
    return Lane(
        id=number,
        source=source,
        destination=to,
        kind="live",
        start_seq=0,
        end_seq=None,
        cursor=cursor,
        ahead=more.pop("ahead", ()),
        counts=Counts(),
        version=0,
        changed=0,
        **more,
    )


def work(number: int = 1, to: Destination | None = None, parked: tuple[ParkedRow, ...] = (), **more: Any) -> LaneWork:
    to = to or destination()
    return LaneWork(lane(number, to=to.name, **more), to, parked)


def record(seq: int, key: str = "", channel: str = "order", number: int = 1, size: int = 20) -> Record:
    data = {"key": key or f"k{seq}", "pad": "x" * size}
    draft = Draft(channel, key or f"k{seq}", data)
    return Record(number, seq, "shop", draft.part, draft, document.dump(data), event_id=f"evt_{seq}")


def planned(*records: Record, deaths: tuple[Death, ...] = ()) -> Planned:
    return Planned(records, deaths)


def account(*works: LaneWork, limits: tuple[Limit, ...] = ()) -> Account:
    made = Account("paper", LEASE, Pace(limits), Gate(), Half())
    for one in works:
        made.add(one)
    return made


def now(at_s: float) -> Now:
    return Now(int(at_s * 1000), at_s)


def feed(made: Account, one: LaneWork, *records: Record, at_s: float = 100.0) -> None:
    """Each record as an event of its own."""
    for each in records:
        one.read_to = each.seq
        made.take(one, [(each.seq, planned(each))], now(at_s))
