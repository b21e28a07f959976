"""The versions that destinations have of their records, on SQLite."""

from collections.abc import Collection, Sequence

from gateway.journal.sqlite.connection import Db

KEYS_PER_LOOK = 200

_ITS_NAME = "(SELECT destination FROM lanes WHERE id = ?)"


def write(db: Db, destination: str, versions: Sequence[tuple[bytes, int]], at_ms: int) -> None:
    """A destination has these versions now; one that is older than what is known changes nothing."""
    db.executemany(
        "INSERT INTO versions (destination, key, version, at_ms) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (destination, key) DO UPDATE SET version = excluded.version, at_ms = excluded.at_ms"
        " WHERE excluded.version >= version",
        [(destination, key, version, at_ms) for key, version in versions],
    )


def read(db: Db, lane: int, keys: Collection[bytes]) -> dict[bytes, int]:
    """The versions that a lane's destination has of these keys, where they are known."""
    ordered = sorted(keys)
    found: dict[bytes, int] = {}
    for start in range(0, len(ordered), KEYS_PER_LOOK):
        chunk = ordered[start : start + KEYS_PER_LOOK]
        marks = ", ".join("?" * len(chunk))
        found.update(
            db.execute(
                f"SELECT key, version FROM versions WHERE destination = {_ITS_NAME} AND key IN ({marks})",  # noqa: S608  marks
                (lane, *chunk),
            )
        )
    return found


def rename(db: Db, before: str, after: str) -> None:
    """A destination has another name."""
    db.execute("UPDATE OR REPLACE versions SET destination = ? WHERE destination = ?", (after, before))


def are_old(db: Db, before_ms: int) -> bool:
    """Whether some were settled before then."""
    return db.execute("SELECT 1 FROM versions WHERE at_ms < ? LIMIT 1", (before_ms,)).fetchone() is not None


def remove_old(db: Db, before_ms: int, limit: int) -> int:
    """Some that were settled before then go; how many."""
    return db.execute(
        "DELETE FROM versions WHERE (destination, key) IN"
        " (SELECT destination, key FROM versions WHERE at_ms < ? LIMIT ?)",
        (before_ms, limit),
    ).rowcount
