-- The journal on SQLite: a log of record batches, a cursor for each lane, rows only for what did not go well.
-- Times are milliseconds since the Unix epoch and come from the caller. Blobs named `packed` are MessagePack.

-- Counters: `operations` grows with every change that a dispatcher has to hear of, `probe` with every probe.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO meta (key, value) VALUES ('operations', 0), ('probe', 0);

-- `total`: how many events of the source were ever accepted. `bytes`: the payloads of the batches that are there, each
-- booked on its source with the lowest id.
CREATE TABLE sources (
    id    INTEGER PRIMARY KEY,
    name  TEXT NOT NULL UNIQUE,
    total INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0
) STRICT;

-- One row per group commit. The newest is never removed: it holds the head.
-- `duplicates`: which places of the group were none of its events, and what they repeat (packed; NULL: none).
CREATE TABLE batches (
    first_seq       INTEGER PRIMARY KEY,
    count           INTEGER NOT NULL,
    group_id        BLOB NOT NULL UNIQUE,
    received_min_ms INTEGER NOT NULL,
    received_max_ms INTEGER NOT NULL,
    duplicates      BLOB,
    payload         BLOB NOT NULL
) STRICT;

-- What a batch holds of one source, so that a reader of the source passes by other batches, and the ledger counts
-- without unpacking. `total_before`: events of the source before this batch. `places`: a little-endian bitmap of the
-- source's events in the batch (NULL: all of them are the source's).
CREATE TABLE batch_sources (
    source_id    INTEGER NOT NULL,
    first_seq    INTEGER NOT NULL,
    last_seq     INTEGER NOT NULL,
    count        INTEGER NOT NULL,
    total_before INTEGER NOT NULL,
    places       BLOB,
    PRIMARY KEY (source_id, first_seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX batch_sources_of ON batch_sources (first_seq);

-- The identities of a group, until they are merged into pages. `entries`: identity, source and what it stands for, one
-- after the other. `until_ms`: the latest of their times.
CREATE TABLE identity_lists (
    last_seq INTEGER PRIMARY KEY,
    until_ms INTEGER NOT NULL,
    entries  BLOB NOT NULL
) STRICT;

-- Spans of time whose identities go together. The newest is the one in force.
CREATE TABLE identity_buckets (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    from_ms  INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    count    INTEGER NOT NULL
) STRICT;

-- The pages of all buckets: `id` is the bucket's times the pages of a bucket, and the page's by the first bits of its
-- identities. `filter`: what says of most identities that they are not on the page.
CREATE TABLE identity_pages (
    id      INTEGER PRIMARY KEY,
    filter  BLOB NOT NULL,
    entries BLOB NOT NULL
) STRICT;

-- The last merge: lists up to `to_seq` go into `bucket`; its slices below `slice` are done.
CREATE TABLE identity_merge (
    number INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    to_seq INTEGER NOT NULL,
    slice  INTEGER NOT NULL
) STRICT;

INSERT INTO identity_merge (number, bucket, to_seq, slice) VALUES (0, 0, 0, 64);

-- `floor_seq`: up to here settled events are no longer recounted but stand in `removed` (counts by state, packed).
-- `removed_events`: events of the lane whose batches are gone.
CREATE TABLE lanes (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    source         TEXT NOT NULL,
    destination    TEXT NOT NULL,
    kind           TEXT NOT NULL,
    start_seq      INTEGER NOT NULL,
    end_seq        INTEGER,
    cursor         INTEGER NOT NULL,
    ahead          BLOB,
    delivered      INTEGER NOT NULL DEFAULT 0,
    filtered       INTEGER NOT NULL DEFAULT 0,
    superseded     INTEGER NOT NULL DEFAULT 0,
    parked         INTEGER NOT NULL DEFAULT 0,
    dead           INTEGER NOT NULL DEFAULT 0,
    discarded      INTEGER NOT NULL DEFAULT 0,
    version        INTEGER NOT NULL DEFAULT 0,
    changed        INTEGER NOT NULL DEFAULT 0,
    paused         INTEGER NOT NULL DEFAULT 0,
    ended          INTEGER NOT NULL DEFAULT 0,
    floor_seq      INTEGER NOT NULL,
    removed        BLOB,
    removed_events INTEGER NOT NULL DEFAULT 0
) STRICT;

-- A lane that has ended makes room for a new one of the same name.
CREATE UNIQUE INDEX lanes_name ON lanes (source, destination, kind) WHERE ended = 0;

-- A record that waits (parked) or was given up (dead). `past`: bits of the final states of the event's other parts.
-- `tail`: the end of the event's group id, so that its id is known when the event is gone.
CREATE TABLE parked (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT,
    lane               INTEGER NOT NULL,
    seq                INTEGER NOT NULL,
    part               TEXT NOT NULL,
    channel            TEXT NOT NULL,
    key                BLOB NOT NULL,
    state              TEXT NOT NULL,
    attempt            INTEGER NOT NULL,
    due_at_ms          INTEGER NOT NULL,
    first_failed_at_ms INTEGER NOT NULL,
    at_ms              INTEGER NOT NULL,
    reason             TEXT NOT NULL,
    mapping            TEXT NOT NULL,
    generation         INTEGER NOT NULL,
    past               INTEGER NOT NULL,
    tail               BLOB NOT NULL,
    delivered_parts    BLOB,
    detail             TEXT NOT NULL,
    answer             BLOB,
    record             BLOB,
    UNIQUE (lane, seq, part)
) STRICT;

CREATE INDEX parked_waiting ON parked (lane, seq) WHERE state = 'parked';
CREATE INDEX parked_dead ON parked (at_ms) WHERE state = 'dead';
CREATE INDEX parked_needs ON parked (seq) WHERE reason <> 'expired';

-- One row per settle and lane. `counted`: 1 the dispatcher's; 2 the journal's own, of rows that an operator or retention
-- removed; 0 to be seen only: what came of an event after its books were closed, or before they were opened.
CREATE TABLE attempts (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    lane      INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL,
    at_ms     INTEGER NOT NULL,
    counted   INTEGER NOT NULL,
    outcomes  BLOB NOT NULL
) STRICT;

CREATE INDEX attempts_of ON attempts (lane, last_seq, first_seq);
CREATE INDEX attempts_at ON attempts (at_ms, lane, last_seq, counted);

-- What an operator skipped: `count` events of the lane with after_seq < seq <= last_seq were waiting and no longer are.
CREATE TABLE skips (
    lane      INTEGER NOT NULL,
    after_seq INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL,
    count     INTEGER NOT NULL,
    at_ms     INTEGER NOT NULL,
    PRIMARY KEY (lane, last_seq)
) STRICT, WITHOUT ROWID;

-- What must be known before a send. `packed`: the whole intent.
CREATE TABLE intents (
    key     BLOB PRIMARY KEY,
    account TEXT NOT NULL,
    packed  BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX intents_of ON intents (account);

-- Who may send for an account. No times: a holder is watched by its renewals.
CREATE TABLE leases (
    account  TEXT PRIMARY KEY,
    owner    TEXT NOT NULL,
    token    INTEGER NOT NULL,
    renewals INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The last refused requests of each source. A group offered again does not write its own twice.
CREATE TABLE rejected (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    source   TEXT NOT NULL,
    group_id BLOB NOT NULL,
    place    INTEGER NOT NULL,
    packed   BLOB NOT NULL,
    UNIQUE (group_id, place)
) STRICT;

CREATE INDEX rejected_of ON rejected (source, id);

-- What operators did.
CREATE TABLE operations (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms   INTEGER NOT NULL,
    who     TEXT NOT NULL,
    what    TEXT NOT NULL,
    subject TEXT NOT NULL,
    count   INTEGER NOT NULL,
    note    TEXT NOT NULL
) STRICT;
