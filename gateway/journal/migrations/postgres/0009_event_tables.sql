-- Old events go by dropping tables. Batches lie in tables `batches_<id>` and `batch_sources_<id>`, one pair for each span
-- of the log: children of `batches` and `batch_sources`, which show all of them, and hold what was there before, and what
-- is kept when its table goes. They are no partitions: to drop one of those would wait for whoever reads the parent (a
-- dump), and everybody else behind it. Whoever appends knows the newest pair alone, by views that name it.

-- A pair takes what is appended until the next one has begun, at `from_seq` - 1. `from_bytes`: the payloads of all
-- batches before it, ever. Of a pair that has had its time: how many batches it had (`batches`), when the youngest of
-- its events was received (`newest_ms`), and who last moved what is still needed out of it (`moved`).
CREATE TABLE gateway.event_tables (
    id         integer PRIMARY KEY,
    from_seq   bigint NOT NULL,
    from_ms    bigint NOT NULL,
    from_bytes bigint NOT NULL,
    batches    bigint,
    newest_ms  bigint,
    moved      xid8
);

-- Whoever appends writes to the pair with this suffix, and looks for the group's id in the one before too: a group is
-- offered again within seconds.
CREATE FUNCTION gateway.write_to(newest text, previous text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    groups text := 'SELECT group_id, first_seq, places, seqs, tails FROM ONLY gateway.batches%s';
BEGIN
    EXECUTE format('CREATE OR REPLACE VIEW gateway.newest_batches AS SELECT * FROM ONLY gateway.batches%s', newest);
    EXECUTE format(
        'CREATE OR REPLACE VIEW gateway.newest_batch_sources AS SELECT * FROM ONLY gateway.batch_sources%s', newest
    );
    EXECUTE 'CREATE OR REPLACE VIEW gateway.latest_groups AS ' || format(groups, newest)
        || coalesce(' UNION ALL ' || format(groups, previous), '');
END
$$;

SELECT gateway.write_to('', NULL);

-- Begin the next pair, where `newest` (0: none has begun) still is the newest. NULL: somebody holds it up (a vacuum), and
-- nobody is to wait behind it.
CREATE FUNCTION gateway.begin_events(newest integer, now_ms bigint) RETURNS boolean LANGUAGE plpgsql
SET lock_timeout = '50ms' AS $$
DECLARE
    number integer := newest + 1;
    last record;
BEGIN
    LOCK TABLE ONLY gateway.batches, ONLY gateway.batch_sources IN SHARE UPDATE EXCLUSIVE MODE;
    PERFORM set_config('lock_timeout', '1s', true);
    PERFORM gateway.begin_append();
    PERFORM set_config('lock_timeout', '50ms', true);
    SELECT b.first_seq + b.count AS next_seq, b.bytes_before + b.size_bytes AS bytes INTO last
    FROM gateway.newest_batches b ORDER BY b.first_seq DESC LIMIT 1;
    IF NOT FOUND OR newest <> (SELECT coalesce(max(id), 0) FROM gateway.event_tables) THEN
        RETURN false;
    END IF;
    INSERT INTO gateway.event_tables (id, from_seq, from_ms, from_bytes)
    VALUES (number, last.next_seq, now_ms, last.bytes);
    UPDATE gateway.sources s SET total = greatest(s.total, l.total)
    FROM gateway.sources o CROSS JOIN LATERAL (
        SELECT p.total_before + p.count AS total FROM gateway.newest_batch_sources p WHERE p.source_id = o.id
        ORDER BY p.first_seq DESC LIMIT 1
    ) l
    WHERE s.id = o.id;
    EXECUTE format(
        'CREATE TABLE gateway.batches_%s (PRIMARY KEY (first_seq), UNIQUE (group_id)) INHERITS (gateway.batches)'
        ' WITH (autovacuum_vacuum_insert_threshold = -1)', number
    );
    EXECUTE format(
        'CREATE TABLE gateway.batch_sources_%s (PRIMARY KEY (source_id, first_seq)) INHERITS (gateway.batch_sources)'
        ' WITH (autovacuum_vacuum_insert_threshold = -1)', number
    );
    EXECUTE format('CREATE INDEX ON gateway.batch_sources_%s (first_seq)', number);
    PERFORM gateway.write_to('_' || number, CASE WHEN newest > 0 THEN '_' || newest ELSE '' END);
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN NULL;
END
$$;

-- The batches of a pair (with seqs from `low` to `high`) that something still needs, at most so many: rows of parked and
-- dead records, or sources (`names`) whose lanes have settled only up to `settled`. A letter that has expired needs none.
CREATE FUNCTION gateway.needed(
    number integer, low bigint, high bigint, names text[], settled bigint[], most bigint
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    found bigint[];
BEGIN
    EXECUTE format(
        'SELECT array_agg(n.first_seq ORDER BY n.first_seq) FROM ('
        ' SELECT b.first_seq FROM gateway.parked r CROSS JOIN LATERAL ('
        ' SELECT first_seq, count FROM gateway.batches_%1$s WHERE first_seq <= r.seq ORDER BY first_seq DESC LIMIT 1'
        ' ) b WHERE r.seq BETWEEN $1 AND $2 AND r.reason <> ''expired'' AND r.seq < b.first_seq + b.count'
        ' UNION'
        ' SELECT p.first_seq FROM unnest($3, $4) u(name, seq) JOIN gateway.sources s ON s.name = u.name'
        ' JOIN gateway.batch_sources_%1$s p ON p.source_id = s.id AND p.last_seq > u.seq'
        ' LIMIT $5) n', number
    ) INTO found USING low, high, names, settled, most;
    RETURN coalesce(found, '{}');
END
$$;

-- Move batches that are still needed out of a pair, so that it can go.
CREATE FUNCTION gateway.set_aside(number integer, firsts bigint[]) RETURNS void LANGUAGE plpgsql
SET lock_timeout = '1s' AS $$
DECLARE
    name text;
BEGIN
    PERFORM pg_advisory_xact_lock(1734440037, 2);
    FOREACH name IN ARRAY ARRAY['batches', 'batch_sources'] LOOP
        EXECUTE format(
            'WITH d AS (DELETE FROM gateway.%1$I_%2$s WHERE first_seq = ANY ($1) RETURNING *)'
            ' INSERT INTO gateway.%1$I SELECT * FROM d', name, number
        ) USING firsts;
    END LOOP;
    UPDATE gateway.event_tables SET moved = pg_current_xact_id() WHERE id = number;
END
$$;

-- Drop a pair, and write down on its lanes how many of their events are gone: how many events went. It is what it was
-- when it was judged: it has this many batches (nothing is added to it, and every removal takes lock 2), no lane is newer
-- than `newest_lane`, and no row needs it. NULL: it is not, or somebody reads it, and nobody is to wait behind that; or
-- somebody looks at the log as it was before batches were moved out of it.
CREATE FUNCTION gateway.drop_events(
    number integer, low bigint, high bigint, had bigint, newest_lane integer, booked_lane integer[], booked bigint[]
) RETURNS bigint LANGUAGE plpgsql SET lock_timeout = '50ms' AS $$
DECLARE
    batches bigint;
    events bigint;
    bytes bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(1734440037, 2);
    IF newest_lane <> (SELECT coalesce(max(id), 0) FROM gateway.lanes)
        OR NOT EXISTS (SELECT FROM gateway.event_tables WHERE id = number)
        OR EXISTS (
            SELECT FROM gateway.event_tables t JOIN pg_stat_get_activity(NULL) a
                ON age(a.backend_xmin) >= age(t.moved::xid)
            WHERE t.id = number AND a.pid <> pg_backend_pid()
        )
    THEN
        RETURN NULL;
    END IF;
    EXECUTE format(
        'SELECT count(*), coalesce(sum(count), 0), coalesce(sum(size_bytes), 0) FROM gateway.batches_%s', number
    ) INTO batches, events, bytes;
    IF batches <> had OR gateway.needed(number, low, high, '{}', '{}', 1) <> '{}' THEN
        RETURN NULL;
    END IF;
    EXECUTE format(
        'UPDATE gateway.sources s SET total = greatest(s.total, t.total)'
        ' FROM (SELECT source_id, max(total_before + count) AS total FROM gateway.batch_sources_%s GROUP BY 1) t'
        ' WHERE s.id = t.source_id', number
    );
    UPDATE gateway.meta SET value = value + bytes WHERE key = 'bytes_removed';
    PERFORM FROM gateway.lanes WHERE id = ANY (booked_lane) ORDER BY id FOR UPDATE;
    UPDATE gateway.lanes l SET removed_events = l.removed_events + b.events, stamp = l.stamp + 1
    FROM unnest(booked_lane, booked) b(lane, events) WHERE l.id = b.lane;
    DELETE FROM gateway.event_tables WHERE id = number;
    EXECUTE format('DROP TABLE gateway.batches_%1$s, gateway.batch_sources_%1$s', number);
    RETURN events;
EXCEPTION WHEN lock_not_available THEN
    RETURN NULL;
END
$$;

-- The last seq: in the newest pair, unless nothing was appended to it yet.
CREATE OR REPLACE FUNCTION gateway.head_seq() RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
    seq bigint := (SELECT first_seq + count - 1 FROM gateway.newest_batches ORDER BY first_seq DESC LIMIT 1);
BEGIN
    IF seq IS NULL THEN
        seq := (SELECT first_seq + count - 1 FROM gateway.batches ORDER BY first_seq DESC LIMIT 1);
    END IF;
    RETURN coalesce(seq, 0);
END
$$;

-- What a group holds of each source. `numbers`: the sources; `named`: which of them each offer is of (from 1);
-- `repeats`: the places (from 0) that are no events.
CREATE OR REPLACE FUNCTION gateway.book_sources(
    first bigint, taken integer, numbers integer[], named integer[], repeats integer[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    counts integer[] := ARRAY[taken];
    marks bytea[] := ARRAY[NULL]::bytea[];
    nth integer := 0;
BEGIN
    IF cardinality(numbers) > 1 THEN
        counts := array_fill(0, ARRAY[cardinality(numbers)]);
        marks := array_fill(decode(repeat('00', (taken + 7) / 8), 'hex'), ARRAY[cardinality(numbers)]);
        FOR place IN 1 .. cardinality(named) LOOP
            CONTINUE WHEN place - 1 = ANY (repeats);
            counts[named[place]] := counts[named[place]] + 1;
            marks[named[place]] := set_bit(marks[named[place]], nth, 1);
            nth := nth + 1;
        END LOOP;
    END IF;
    INSERT INTO gateway.newest_batch_sources
    SELECT s.id, first, first + taken - 1, m.count, coalesce(
            (SELECT l.total_before + l.count FROM gateway.newest_batch_sources l WHERE l.source_id = s.id
             ORDER BY l.first_seq DESC LIMIT 1),
            s.total
        ), CASE WHEN m.count < taken THEN m.places END
    FROM unnest(numbers, counts, marks) m(id, count, places) JOIN gateway.sources s ON s.id = m.id
    WHERE m.count > 0;
END
$$;

-- Commit a group. For each offer: the place of its source in `names` (from 1), its identity (NULL: none), time and
-- window, and the place of the last offer before it with the same identity (from 1; 0: none). `packed` holds all offers.
-- The caller has looked through all buckets from `known_from` to `known_to` that have had their time, and found that
-- they hold no identity but perhaps `maybe_places` (from 1) in `maybe_buckets`.
-- Gives the first seq, which places (from 0) repeat what: all others are events, in order; and the bucket in force.
-- Everything is looked up by an index: of tables that are new and not analysed yet the planner would read all.
CREATE OR REPLACE FUNCTION gateway.accept(
    offered bytea, names text[], named integer[], identities bytea[], times_ms bigint[], windows_ms bigint[],
    earlier integer[], packed bytea, refused_of text[], refused bytea[],
    known_from integer, known_to integer, maybe_places integer[], maybe_buckets integer[],
    OUT first bigint, OUT places integer[], OUT seqs bigint[], OUT tails bytea[], OUT bucket integer
) LANGUAGE plpgsql
SET lock_timeout = '8s' SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    size integer := cardinality(named);
    tail bytea := substr(offered, 13);
    taken integer := size;
    window_ms bigint;
    newest_ms bigint;
    before bigint;
    numbers integer[];
    older record;
    hit record;
    is_new boolean;
    known_seq bigint[] := array_fill(NULL::bigint, ARRAY[size]);
    known_ms bigint[] := known_seq;
    known_tail bytea[] := array_fill(NULL::bytea, ARRAY[size]);
BEGIN
    PERFORM gateway.begin_append();
    SELECT b.first_seq, b.places, b.seqs, b.tails INTO first, places, seqs, tails
    FROM gateway.latest_groups b WHERE b.group_id = offered;
    IF FOUND THEN
        PERFORM gateway.repeat();
        RETURN;
    END IF;
    IF cardinality(refused) > 0 THEN
        PERFORM gateway.reject(offered, refused_of, refused);
    END IF;
    IF size = 0 THEN
        RETURN;
    END IF;
    numbers := gateway.source_ids(names);
    SELECT b.first_seq + b.count, b.bytes_before + b.size_bytes INTO first, before
    FROM gateway.newest_batches b ORDER BY b.first_seq DESC LIMIT 1;
    IF first IS NULL THEN
        SELECT b.first_seq + b.count, b.bytes_before + b.size_bytes INTO first, before
        FROM gateway.batches b ORDER BY b.first_seq DESC LIMIT 1;
    END IF;
    first := coalesce(first, 1);
    SELECT max(o.at_ms), max(o.window_ms) INTO newest_ms, window_ms
    FROM unnest(identities, times_ms, windows_ms) o(hash, at_ms, window_ms) WHERE o.hash IS NOT NULL;
    is_new := NOT EXISTS (SELECT FROM unnest(earlier) e WHERE e > 0);

    IF newest_ms IS NOT NULL THEN
        bucket := gateway.bucket_in_force(newest_ms, window_ms, first);
        -- What is known of the identities: in every bucket, older ones first, since a younger entry hides them.
        FOR older IN SELECT i.id, i.until_ms IS NOT NULL AND coalesce(i.id BETWEEN known_from AND known_to, false)
                AS is_known
            FROM gateway.identity_buckets i WHERE NOT i.gone AND i.id < bucket ORDER BY i.id
        LOOP
            CONTINUE WHEN older.is_known AND older.id <> ALL (maybe_buckets);
            FOR hit IN EXECUTE format(
                'SELECT o.place, i.seq, i.tail, i.at_ms FROM unnest($1, $2) WITH ORDINALITY o(hash, name, place)'
                ' JOIN gateway.identities_%s i ON i.hash = o.hash AND i.source_id = ($3)[o.name]'
                ' WHERE NOT $4 OR EXISTS (SELECT FROM unnest($5, $6) m(place, bucket)'
                ' WHERE m.place = o.place AND m.bucket = $7)', older.id
            ) USING identities, named, numbers, older.is_known, maybe_places, maybe_buckets, older.id LOOP
                known_seq[hit.place] := hit.seq;
                known_ms[hit.place] := hit.at_ms;
                known_tail[hit.place] := hit.tail;
                is_new := false;
            END LOOP;
        END LOOP;
        -- In the one in force; where nothing is known at all, everything is remembered in the same statement.
        FOR hit IN EXECUTE format(
            'WITH offers AS MATERIALIZED ('
            ' SELECT o.hash, ($3)[o.name] AS source_id, o.at_ms, o.place'
            ' FROM unnest($1, $2, $4) WITH ORDINALITY o(hash, name, at_ms, place) WHERE o.hash IS NOT NULL'
            '), hits AS MATERIALIZED ('
            ' SELECT o.place, i.seq, i.tail, i.at_ms'
            ' FROM offers o JOIN gateway.identities_%1$s i ON i.hash = o.hash AND i.source_id = o.source_id'
            '), remembered AS ('
            ' INSERT INTO gateway.identities_%1$s (seq, at_ms, source_id, hash, tail)'
            ' SELECT $5 + o.place - 1, o.at_ms, o.source_id, o.hash, $6 FROM offers o'
            ' WHERE $7 AND NOT EXISTS (SELECT FROM hits) ORDER BY o.hash'
            ') SELECT * FROM hits', bucket
        ) USING identities, named, numbers, times_ms, first, tail, is_new LOOP
            known_seq[hit.place] := hit.seq;
            known_ms[hit.place] := hit.at_ms;
            known_tail[hit.place] := hit.tail;
            is_new := false;
        END LOOP;
    END IF;

    -- Each offer is accepted or recognised, in order; what it stands for then is what a later one may repeat.
    IF NOT is_new THEN
        taken := 0;
        FOR place IN 1 .. size LOOP
            IF earlier[place] > 0 THEN
                known_seq[place] := known_seq[earlier[place]];
                known_ms[place] := known_ms[earlier[place]];
                known_tail[place] := known_tail[earlier[place]];
            END IF;
            IF known_seq[place] IS NOT NULL AND times_ms[place] - known_ms[place] < windows_ms[place] THEN
                places := places || (place - 1);
                seqs := seqs || known_seq[place];
                tails := tails || known_tail[place];
                CONTINUE;
            END IF;
            known_seq[place] := first + taken;
            known_ms[place] := times_ms[place];
            known_tail[place] := tail;
            taken := taken + 1;
        END LOOP;
        IF taken = 0 THEN
            PERFORM gateway.repeat();
            RETURN;
        END IF;
        PERFORM gateway.remember(bucket, first, numbers, named, identities, known_seq, known_tail, known_ms);
    END IF;

    INSERT INTO gateway.newest_batches
    SELECT first, taken, offered, min(o.at_ms), max(o.at_ms), coalesce(before, 0), length(packed),
        accept.places, accept.seqs, accept.tails, packed
    FROM unnest(times_ms) WITH ORDINALITY o(at_ms, place) WHERE o.place - 1 <> ALL (coalesce(accept.places, '{}'));
    PERFORM gateway.book_sources(first, taken, numbers, named, coalesce(places, '{}'));
    PERFORM pg_notify('gateway', '');
END
$$;
