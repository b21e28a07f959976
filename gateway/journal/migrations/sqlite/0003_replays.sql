-- What is done again. `packed`: the whole replay; its lanes are those whose `kind` is its id.
CREATE TABLE replays (
    id     TEXT PRIMARY KEY,
    at_ms  INTEGER NOT NULL,
    packed BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- The version (when an entity was last changed, by its own word) that a destination has of a record, by its key. Written
-- only for destinations that ask for it. `at_ms`: when it was settled.
CREATE TABLE versions (
    destination TEXT NOT NULL,
    key         BLOB NOT NULL,
    version     INTEGER NOT NULL,
    at_ms       INTEGER NOT NULL,
    PRIMARY KEY (destination, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX versions_at ON versions (at_ms);
