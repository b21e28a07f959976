"""What has come of a lane's events, until a settle says so. Pure."""

from collections.abc import Sequence

from msgspec.structs import replace

from gateway.deliver.parked import Ref
from gateway.model import Attempt, Counts, ParkedRow, Resolved, State, state_of_parts
from gateway.vendors.base import Derived, Record


class Open:
    """An event of which some parts have no outcome yet."""

    __slots__ = ("attempts", "derived", "records", "rows", "states", "waiting")

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = records
        self.waiting = {record.part: record for record in records}
        self.states: dict[str, State] = {}
        self.attempts: list[Attempt] = []
        self.rows: list[ParkedRow] = []
        self.derived: list[tuple[Record, Derived]] = []

    def keys(self) -> set[bytes]:
        """What its records are about."""
        return {record.draft.key_hash for record in self.records}


class Unsettled:
    """What the next settle will say of the lane."""

    __slots__ = ("attempts", "derived", "parked", "resolved", "states", "versions")

    def __init__(self) -> None:
        self.states: list[State] = []
        self.parked: dict[Ref, ParkedRow] = {}
        self.resolved: list[Resolved] = []
        self.attempts: list[Attempt] = []
        self.derived: list[tuple[Record, Derived]] = []
        self.versions: dict[bytes, int] = {}

    def take(self, opened: Open) -> None:
        """An event of which every part has an outcome."""
        self.attempts += opened.attempts
        self.derived += opened.derived
        if not opened.rows:
            self.states.append(state_of_parts(opened.states.values()))
            return
        delivered = tuple(part for part, state in opened.states.items() if state is State.DELIVERED)
        for row in opened.rows:
            self.parked[row.seq, row.part] = replace(row, delivered_parts=delivered) if delivered else row

    def empty(self) -> bool:
        return not (self.parked or self.resolved or self.attempts or self.states)

    def counts(self) -> Counts:
        """The events that are settled without a row of theirs."""
        of = self.states.count
        return Counts(delivered=of(State.DELIVERED), filtered=of(State.FILTERED), superseded=of(State.SUPERSEDED))
