-- The journal on PostgreSQL: a log of record batches, a cursor for each lane, rows only for what did not go well.
-- Times are milliseconds since the Unix epoch and come from the caller. Columns named `packed` are MessagePack.
-- Text that may hold anything a vendor or a shop says (a part, a detail) is kept as bytes: PostgreSQL's has no NUL.

-- Counters: `operations` grows with every change that a dispatcher has to hear of, `probe` with every probe,
-- `bytes_removed` with the payloads of batches that go.
CREATE TABLE gateway.meta (
    key   text COLLATE "C" PRIMARY KEY,
    value bigint NOT NULL
) WITH (fillfactor = 50);

INSERT INTO gateway.meta VALUES ('operations', 0), ('probe', 0), ('bytes_removed', 0);

-- `total`: events of the source up to the newest of its batches that is gone. How many there ever were is told by the
-- newest one that is there, so that an append changes no row.
CREATE TABLE gateway.sources (
    id    integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name  text COLLATE "C" NOT NULL UNIQUE,
    total bigint NOT NULL DEFAULT 0
);

-- One row per group commit. The newest is never removed: it holds the head. `bytes_before`: the payloads of all batches
-- before it, ever. `places`, `seqs`, `tails`: the places of the group (from 0) that are none of its events although the
-- payload holds them, and the seq and the end of the group id of what each repeats (NULL: none).
CREATE TABLE gateway.batches (
    first_seq       bigint PRIMARY KEY,
    count           integer NOT NULL,
    group_id        bytea NOT NULL UNIQUE,
    received_min_ms bigint NOT NULL,
    received_max_ms bigint NOT NULL,
    bytes_before    bigint NOT NULL,
    size_bytes      integer NOT NULL,
    places          integer[],
    seqs            bigint[],
    tails           bytea[],
    payload         bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05, toast.autovacuum_vacuum_scale_factor = 0.05);

-- It is compressed already.
ALTER TABLE gateway.batches ALTER COLUMN payload SET STORAGE EXTERNAL;

-- What a batch holds of one source, so that a reader of the source passes by other batches, and the ledger counts
-- without unpacking. `total_before`: events of the source before this batch. `places`: a little-endian bitmap of the
-- source's events among the batch's (NULL: all of them are the source's).
CREATE TABLE gateway.batch_sources (
    source_id    integer NOT NULL,
    first_seq    bigint NOT NULL,
    last_seq     bigint NOT NULL,
    count        integer NOT NULL,
    total_before bigint NOT NULL,
    places       bytea,
    PRIMARY KEY (source_id, first_seq)
) WITH (autovacuum_vacuum_scale_factor = 0.05);

CREATE INDEX batch_sources_of ON gateway.batch_sources (first_seq);

-- Identities lie in tables `identities_<id>`, one for each span of time, which are dropped whole; the newest row is the
-- one in force. They are no partitions of one table: to add or drop one would wait for whoever reads the parent (a
-- dump), and the append behind it. `until_ms`: when the next one took over. `gone`: it is looked at no more.
CREATE TABLE gateway.identity_buckets (
    id        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    from_ms   bigint NOT NULL,
    until_ms  bigint,
    window_ms bigint NOT NULL,
    gone      boolean NOT NULL DEFAULT false
);

-- `floor_seq`: up to here settled events are no longer recounted but stand in `removed` (counts by state, packed).
-- `removed_events`: events of the lane whose batches are gone. `stamp` grows with whatever changes the lane or its rows.
CREATE TABLE gateway.lanes (
    id             integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source         text COLLATE "C" NOT NULL,
    destination    text COLLATE "C" NOT NULL,
    kind           text COLLATE "C" NOT NULL,
    start_seq      bigint NOT NULL,
    end_seq        bigint,
    cursor         bigint NOT NULL,
    ahead          bytea,
    delivered      bigint NOT NULL DEFAULT 0,
    filtered       bigint NOT NULL DEFAULT 0,
    superseded     bigint NOT NULL DEFAULT 0,
    parked         bigint NOT NULL DEFAULT 0,
    dead           bigint NOT NULL DEFAULT 0,
    discarded      bigint NOT NULL DEFAULT 0,
    version        bigint NOT NULL DEFAULT 0,
    changed        bigint NOT NULL DEFAULT 0,
    paused         boolean NOT NULL DEFAULT false,
    ended          boolean NOT NULL DEFAULT false,
    floor_seq      bigint NOT NULL,
    removed        bytea,
    removed_events bigint NOT NULL DEFAULT 0,
    stamp          bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- A lane that has ended makes room for a new one of the same name.
CREATE UNIQUE INDEX lanes_name ON gateway.lanes (source, destination, kind) WHERE NOT ended;

-- A record that waits (parked) or was given up (dead). `past`: bits of the final states of the event's other parts.
-- `tail`: the end of the event's group id, so that its id is known when the event is gone.
CREATE TABLE gateway.parked (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane               integer NOT NULL,
    seq                bigint NOT NULL,
    part               bytea NOT NULL,
    channel            bytea NOT NULL,
    key                bytea NOT NULL,
    state              text COLLATE "C" NOT NULL,
    attempt            integer NOT NULL,
    due_at_ms          bigint NOT NULL,
    first_failed_at_ms bigint NOT NULL,
    at_ms              bigint NOT NULL,
    reason             text COLLATE "C" NOT NULL,
    mapping            text COLLATE "C" NOT NULL,
    generation         integer NOT NULL,
    past               integer NOT NULL,
    tail               bytea NOT NULL,
    delivered_parts    bytea,
    detail             bytea NOT NULL,
    answer             bytea,
    record             bytea,
    UNIQUE (lane, seq, part)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

ALTER TABLE gateway.parked ALTER COLUMN record SET STORAGE EXTERNAL;
CREATE INDEX parked_waiting ON gateway.parked (lane, seq) WHERE state = 'parked';
CREATE INDEX parked_dead ON gateway.parked (at_ms) WHERE state = 'dead';
CREATE INDEX parked_needs ON gateway.parked (seq) WHERE reason <> 'expired';
-- Dead letters in their order, and by what they are counted and chosen by: a slice of many is found without the others.
CREATE INDEX parked_letters ON gateway.parked (id, lane, reason, at_ms) WHERE state = 'dead';

-- One row per settle and lane. `counted`: 1 the dispatcher's; 2 the journal's own, of rows that an operator or retention
-- removed; 0 to be seen only: what came of an event after its books were closed, or before they were opened.
-- `config`: the digest of the configuration that a settle was made under; empty for what no configuration did.
CREATE TABLE gateway.attempts (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane      integer NOT NULL,
    first_seq bigint NOT NULL,
    last_seq  bigint NOT NULL,
    at_ms     bigint NOT NULL,
    counted   smallint NOT NULL,
    config    text COLLATE "C" NOT NULL DEFAULT '',
    outcomes  bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05);

ALTER TABLE gateway.attempts ALTER COLUMN outcomes SET STORAGE EXTERNAL;
CREATE INDEX attempts_of ON gateway.attempts (lane, last_seq, first_seq);
CREATE INDEX attempts_at ON gateway.attempts (at_ms, lane, last_seq, counted);

-- What an operator skipped: `count` events of the lane with after_seq < seq <= last_seq were waiting and no longer are.
CREATE TABLE gateway.skips (
    lane      integer NOT NULL,
    after_seq bigint NOT NULL,
    last_seq  bigint NOT NULL,
    count     bigint NOT NULL,
    at_ms     bigint NOT NULL,
    PRIMARY KEY (lane, last_seq)
);

-- What must be known before a send. `packed`: the whole intent.
CREATE TABLE gateway.intents (
    key     bytea PRIMARY KEY,
    account text COLLATE "C" NOT NULL,
    packed  bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02);

CREATE INDEX intents_of ON gateway.intents (account);

-- Who may send for an account. No times: a holder is watched by its renewals.
CREATE TABLE gateway.leases (
    account  text COLLATE "C" PRIMARY KEY,
    owner    text COLLATE "C" NOT NULL,
    token    bigint NOT NULL,
    renewals bigint NOT NULL
) WITH (fillfactor = 50);

-- What is done again. `packed`: the whole replay; its lanes are those whose `kind` is its id.
CREATE TABLE gateway.replays (
    id     text COLLATE "C" PRIMARY KEY,
    at_ms  bigint NOT NULL,
    packed bytea NOT NULL
);

-- The version (when an entity was last changed, by its own word) that a destination has of a record, by its key. Written
-- only for destinations that ask for it. `at_ms`: when it was settled.
CREATE TABLE gateway.versions (
    destination text COLLATE "C" NOT NULL,
    key         bytea NOT NULL,
    version     bigint NOT NULL,
    at_ms       bigint NOT NULL,
    PRIMARY KEY (destination, key)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);

CREATE INDEX versions_at ON gateway.versions (at_ms);

-- The last refused requests of each source. A group offered again does not write its own twice.
CREATE TABLE gateway.rejected (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source   text COLLATE "C" NOT NULL,
    group_id bytea NOT NULL,
    place    integer NOT NULL,
    packed   bytea NOT NULL,
    UNIQUE (group_id, place)
) WITH (autovacuum_vacuum_scale_factor = 0.05);

CREATE INDEX rejected_of ON gateway.rejected (source, id);

-- What operators did.
CREATE TABLE gateway.operations (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at_ms   bigint NOT NULL,
    who     text NOT NULL,
    what    text NOT NULL,
    subject text NOT NULL,
    count   bigint NOT NULL,
    note    text NOT NULL
);
