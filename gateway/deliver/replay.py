"""What is done again: which events a replay means, and which states that it or a retried letter would send are old.

Before anything of a replay is sent, the log is surveyed from the lane's place to its head, and the newest state of each
key noted; from then on whatever the other lanes of the destination plan is noted too. An old state is not sent over a
newer one that the journal holds, unless the replay says so. A dead letter that is retried waits for the same, from its
own event on.
"""

import sqlite3
from collections.abc import Iterable

from gateway.deliver.parked import Ref
from gateway.deliver.route import globs, holds
from gateway.journal.ranges import contains
from gateway.mapping.expressions import EvaluationError, compile_expression
from gateway.model import Event, Lane, NormalEvent, Ranges, Replay
from gateway.vendors.base import Record

SURVEY_KEPT_S = 600.0
"""For so long after the last letter that was retried its lane goes on noting which states are the newest."""
NEWEST_CACHE_KIB = 8 * 1024
"""What an index keeps in memory; the rest lies in a temporary file that nobody else sees."""


class Newest:
    """The seq of the newest state of each key: exact for any number of keys, in bounded memory."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute(f"PRAGMA cache_size = -{NEWEST_CACHE_KIB}")
        self._db.execute("CREATE TABLE newest (key BLOB PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID")

    def note(self, records: Iterable[Record]) -> None:
        """The journal holds these records; those that are states count."""
        self._db.executemany(
            "INSERT INTO newest VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET seq = max(seq, excluded.seq)",
            [(record.draft.key_hash, record.seq) for record in records if record.draft.kind == "state"],
        )

    def of(self, key: bytes) -> int:
        """The seq of the newest state of a key that was noted; 0 where none was."""
        row = self._db.execute("SELECT seq FROM newest WHERE key = ?", (key,)).fetchone()
        return int(row[0]) if row else 0

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()


class Meaning:
    """Which events a replay means on the lane of a source and a destination."""

    def __init__(self, replay: Replay, source: str, destination: str) -> None:
        self._replay = replay
        self._types = globs(replay.types) if replay.types else None
        self._when = compile_expression(replay.when) if replay.when is not None else None
        self._picked = _picked(replay, source, destination)

    @property
    def wants_all(self) -> bool:
        """Whether every normal form of an event is meant."""
        return self._types is None and self._when is None

    def means(self, event: Event) -> bool:
        """Whether the replay means the event, as far as its time and place tell."""
        replay, at_ms = self._replay, event.received_at_ms
        in_time = (replay.from_ms is None or replay.from_ms <= at_ms) and (replay.to_ms is None or at_ms < replay.to_ms)
        return in_time and (self._picked is None or contains(self._picked, event.seq))

    def wants(self, normal: NormalEvent) -> bool:
        """Whether the replay means this normal form of an event."""
        if self._types is not None and self._types.match(normal.type) is None:
            return False
        try:
            return self._when is None or holds(self._when(normal.document()))
        except EvaluationError:
            return False


class Survey:
    """The newest state of each key among the events above a seq, so that an older one is known to be old. Up to
    `survey_to` the log is read, from `surveyed_to` on; later ones are noted as they are planned.
    """

    def __init__(self, from_seq: int, head_seq: int) -> None:
        self._newest = Newest()
        self._waiting: list[Ref] = []
        self._used_s = 0.0
        self._from_seq = from_seq
        self.surveyed_to = from_seq
        self.survey_to = head_seq

    def surveyed(self) -> bool:
        """Whether the newest states are known."""
        return self.surveyed_to >= self.survey_to

    def reach(self, seq: int) -> None:
        """It is wanted for a state with this seq as well."""
        if seq < self._from_seq:
            self.survey_to = self._from_seq if self.surveyed() else self.survey_to
            self._from_seq = self.surveyed_to = seq

    def knows(self, ref: Ref, now_s: float) -> bool:
        """Whether the states of a letter that is retried can be judged. Else it waits until the log is surveyed."""
        self._used_s = now_s
        self.reach(ref[0])
        if not self.surveyed():
            self._waiting.append(ref)
        return self.surveyed()

    def waited(self) -> list[Ref]:
        """The letters that waited."""
        waited, self._waiting = self._waiting, []
        return waited

    def idle(self, now_s: float) -> bool:
        """Whether no letter has asked for long."""
        return not self._waiting and now_s > self._used_s + SURVEY_KEPT_S

    def note(self, records: Iterable[Record]) -> None:
        """These records were planned, on whatever lane of the destination."""
        self._newest.note(records)

    def is_old(self, record: Record) -> bool:
        """Whether the journal holds a newer state of the record's key."""
        return record.draft.kind == "state" and self._newest.of(record.draft.key_hash) > record.seq

    def close(self) -> None:
        """It is wanted no more."""
        self._newest.close()


class Again(Meaning, Survey):
    """A replay on one lane."""

    def __init__(self, replay: Replay, lane: Lane, from_seq: int, head_seq: int) -> None:
        Meaning.__init__(self, replay, lane.source, lane.began_as or lane.destination)
        first_seq = min(from_seq, lane.cursor)
        Survey.__init__(self, first_seq, first_seq if replay.every_state else head_seq)
        self._every_state = replay.every_state

    def reach(self, seq: int) -> None:
        if not self._every_state:
            super().reach(seq)

    def note(self, records: Iterable[Record]) -> None:
        if not self._every_state:
            super().note(records)


def _picked(replay: Replay, source: str, destination: str) -> Ranges | None:
    for pick in replay.picked:
        if (pick.source, pick.destination) == (source, destination):
            return pick.seqs
    return () if replay.picked else None
