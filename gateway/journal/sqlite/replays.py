"""Replays on SQLite: what is done again, and on which lanes."""

from collections.abc import Sequence

from gateway.journal.base import Operation
from gateway.journal.records import unpack_replay
from gateway.journal.sqlite import desk, lanes
from gateway.journal.sqlite.connection import Db
from gateway.model import Lane, LaneSpec, Replay


def begin(db: Db, replay: Replay, specs: Sequence[LaneSpec], by: Operation) -> tuple[Lane, ...]:
    """Write a replay down and begin its lanes."""
    if db.execute("SELECT 1 FROM replays WHERE id = ?", (replay.id,)).fetchone() is None:
        lanes.write_replay(db, replay)
        desk.note(db, by, 0)
    return lanes.register(db, specs)


def replays(db: Db) -> tuple[Replay, ...]:
    """Every replay, newest first."""
    return tuple(unpack_replay(row[0]) for row in db.execute("SELECT packed FROM replays ORDER BY at_ms DESC, id DESC"))
