-- A group is committed by statements whose plans a connection keeps: the newest table of identities is known to whoever
-- appends by a view that names it (as that of events is), and no plan is made anew for the lengths of a group's arrays.

-- Begin the next bucket of identities; `closing`: the one before, which has had its time (NULL: there is none). Gives the
-- one to write to: still the one before where somebody reads the view, and nobody is to wait behind that.
CREATE FUNCTION gateway.begin_bucket(closing integer, now_ms bigint, wanted_ms bigint, first bigint) RETURNS integer
LANGUAGE plpgsql SET lock_timeout = '10ms' AS $$
DECLARE
    number integer;
BEGIN
    UPDATE gateway.identity_buckets SET until_ms = now_ms WHERE id = closing;
    INSERT INTO gateway.identity_buckets (from_ms, window_ms, from_seq) VALUES (now_ms, wanted_ms, first)
    RETURNING id INTO number;
    EXECUTE format(
        'CREATE TABLE gateway.identities_%s (seq bigint NOT NULL, at_ms bigint NOT NULL, source_id integer,'
        ' hash bytea, tail bytea NOT NULL, PRIMARY KEY (hash, source_id))'
        ' WITH (autovacuum_vacuum_insert_threshold = -1)',
        number
    );
    PERFORM gateway.remember_in(number);
    RETURN number;
EXCEPTION WHEN lock_not_available THEN
    IF closing IS NULL THEN
        RAISE;
    END IF;
    RETURN closing;
END
$$;

-- Whoever appends writes to this bucket.
CREATE FUNCTION gateway.remember_in(number integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'CREATE OR REPLACE VIEW gateway.newest_identities AS'
        ' SELECT seq, at_ms, source_id, hash, tail FROM gateway.identities_%s', number
    );
END
$$;

-- A replica of the version before that appends meanwhile waits, and begins no bucket that the view does not know.
SELECT gateway.begin_append();
SELECT gateway.remember_in(id) FROM gateway.identity_buckets ORDER BY id DESC LIMIT 1;

-- The bucket of identities to write to: a new one when the newest has had its span (half the window, an hour at least),
-- the clock has jumped, or a million seqs have been given since (`first`: the one to be given now).
CREATE OR REPLACE FUNCTION gateway.bucket_in_force(now_ms bigint, wanted_ms bigint, first bigint) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    newest gateway.identity_buckets;
BEGIN
    SELECT * INTO newest FROM gateway.identity_buckets ORDER BY id DESC LIMIT 1;
    wanted_ms := greatest(wanted_ms, newest.window_ms);
    IF newest.id IS NULL OR abs(now_ms - newest.from_ms) >= greatest(wanted_ms / 2, 3600000)
        OR first - newest.from_seq >= 1048576 THEN
        RETURN gateway.begin_bucket(newest.id, now_ms, wanted_ms, first);
    END IF;
    IF wanted_ms > newest.window_ms THEN
        UPDATE gateway.identity_buckets SET window_ms = wanted_ms WHERE id = newest.id;
    END IF;
    RETURN newest.id;
END
$$;

-- For a copy, which tells no seq.
CREATE OR REPLACE FUNCTION gateway.bucket_in_force(now_ms bigint, wanted_ms bigint) RETURNS integer
LANGUAGE plpgsql AS $$
BEGIN
    RETURN gateway.bucket_in_force(now_ms, wanted_ms, 0);
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
SET lock_timeout = '8s' SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    size integer := cardinality(named);
    mine bytea := substr(offered, 13);
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
    is_new := NOT 0 < ANY (earlier);

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
        FOR hit IN
            WITH offers AS MATERIALIZED (
                SELECT o.hash, numbers[o.name] AS source_id, o.at_ms, o.place
                FROM unnest(identities, named, times_ms) WITH ORDINALITY o(hash, name, at_ms, place)
                WHERE o.hash IS NOT NULL
            ), hits AS MATERIALIZED (
                SELECT o.place, i.seq, i.tail, i.at_ms
                FROM offers o JOIN gateway.newest_identities i ON i.hash = o.hash AND i.source_id = o.source_id
            ), remembered AS (
                INSERT INTO gateway.newest_identities (seq, at_ms, source_id, hash, tail)
                SELECT first + o.place - 1, o.at_ms, o.source_id, o.hash, mine FROM offers o
                WHERE is_new AND NOT EXISTS (SELECT FROM hits) ORDER BY o.hash
            )
            SELECT * FROM hits
        LOOP
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
            known_tail[place] := mine;
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
