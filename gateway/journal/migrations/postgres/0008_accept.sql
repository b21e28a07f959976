-- Accepting costs the same whatever the journal holds: the table of identities that is written to stays small enough for
-- memory, and older ones, which never change, are asked only for what the caller's filters do not rule out.

-- `from_seq`: the log's head when the bucket began; no more identities lie in it than there were events since.
ALTER TABLE gateway.identity_buckets ADD COLUMN from_seq bigint NOT NULL DEFAULT 0;

-- The bucket of identities to write to: a new one when the newest has had its span (half the window, an hour at least),
-- the clock has jumped, or a million seqs have been given since (`first`: the one to be given now).
CREATE FUNCTION gateway.bucket_in_force(now_ms bigint, wanted_ms bigint, first bigint) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    newest gateway.identity_buckets;
    number integer;
BEGIN
    SELECT * INTO newest FROM gateway.identity_buckets ORDER BY id DESC LIMIT 1;
    wanted_ms := greatest(wanted_ms, newest.window_ms);
    IF newest.id IS NOT NULL AND abs(now_ms - newest.from_ms) < greatest(wanted_ms / 2, 3600000)
        AND first - newest.from_seq < 1048576 THEN
        IF wanted_ms > newest.window_ms THEN
            UPDATE gateway.identity_buckets SET window_ms = wanted_ms WHERE id = newest.id;
        END IF;
        RETURN newest.id;
    END IF;
    UPDATE gateway.identity_buckets SET until_ms = now_ms WHERE id = newest.id;
    INSERT INTO gateway.identity_buckets (from_ms, window_ms, from_seq) VALUES (now_ms, wanted_ms, first)
    RETURNING id INTO number;
    EXECUTE format(
        'CREATE TABLE gateway.identities_%s (seq bigint NOT NULL, at_ms bigint NOT NULL, source_id integer,'
        ' hash bytea, tail bytea NOT NULL, PRIMARY KEY (hash, source_id))'
        ' WITH (autovacuum_vacuum_insert_threshold = -1)',
        number
    );
    RETURN number;
END
$$;

-- Remember the identities of accepted offers (those that stand for a seq of this group), over older ones. In order, so
-- that neighbours share pages.
CREATE FUNCTION gateway.remember(
    bucket integer, first bigint, numbers integer[], named integer[], identities bytea[], seqs bigint[], tails bytea[],
    times_ms bigint[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'INSERT INTO gateway.identities_%s (seq, at_ms, source_id, hash, tail)'
        ' SELECT DISTINCT ON (o.hash, source_id) o.seq, o.at_ms, ($2)[o.name] AS source_id, o.hash, o.tail'
        ' FROM unnest($1, $3, $4, $5, $6) o(hash, name, seq, tail, at_ms)'
        ' WHERE o.hash IS NOT NULL AND o.seq >= $7 ORDER BY o.hash, source_id, o.seq DESC'
        ' ON CONFLICT (hash, source_id) DO UPDATE'
        ' SET seq = excluded.seq, tail = excluded.tail, at_ms = excluded.at_ms',
        bucket
    ) USING identities, numbers, named, seqs, tails, times_ms, first;
END
$$;

-- Commit a group. For each offer: the place of its source in `names` (from 1), its identity (NULL: none), time and
-- window, and the place of the last offer before it with the same identity (from 1; 0: none). `packed` holds all offers.
-- The caller has looked through all buckets from `known_from` to `known_to` that have had their time, and found that
-- they hold no identity but perhaps `maybe_places` (from 1) in `maybe_buckets`.
-- Gives the first seq, which places (from 0) repeat what: all others are events, in order; and the bucket in force.
-- Everything is looked up by an index: of tables that are new and not analysed yet the planner would read all.
CREATE FUNCTION gateway.accept(
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
    FROM gateway.batches b WHERE b.group_id = offered;
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
    FROM gateway.batches b ORDER BY b.first_seq DESC LIMIT 1;
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

    INSERT INTO gateway.batches
    SELECT first, taken, offered, min(o.at_ms), max(o.at_ms), coalesce(before, 0), length(packed),
        accept.places, accept.seqs, accept.tails, packed
    FROM unnest(times_ms) WITH ORDINALITY o(at_ms, place) WHERE o.place - 1 <> ALL (coalesce(accept.places, '{}'));
    PERFORM gateway.book_sources(first, taken, numbers, named, coalesce(places, '{}'));
    PERFORM pg_notify('gateway', '');
END
$$;

-- For replicas of the version before, and whoever has no filters.
CREATE OR REPLACE FUNCTION gateway.append(
    offered bytea, names text[], named integer[], identities bytea[], times_ms bigint[], windows_ms bigint[],
    earlier integer[], packed bytea, refused_of text[], refused bytea[],
    OUT first bigint, OUT places integer[], OUT seqs bigint[], OUT tails bytea[]
) LANGUAGE plpgsql SET lock_timeout = '8s' AS $$
BEGIN
    SELECT a.first, a.places, a.seqs, a.tails INTO first, places, seqs, tails FROM gateway.accept(
        offered, names, named, identities, times_ms, windows_ms, earlier, packed, refused_of, refused,
        NULL, NULL, '{}', '{}'
    ) a;
END
$$;

-- A change, and events that derive from it, together: whether it was written, and the bucket in force.
CREATE FUNCTION gateway.change_and_accept(
    change jsonb, offered bytea, names text[], named integer[], identities bytea[], times_ms bigint[],
    windows_ms bigint[], earlier integer[], packed bytea, refused_of text[], refused bytea[],
    known_from integer, known_to integer, maybe_places integer[], maybe_buckets integer[],
    OUT written boolean, OUT bucket integer
) LANGUAGE plpgsql AS $$
BEGIN
    written := gateway.change(change);
    IF written THEN
        SELECT a.bucket INTO bucket FROM gateway.accept(
            offered, names, named, identities, times_ms, windows_ms, earlier, packed, refused_of, refused,
            known_from, known_to, maybe_places, maybe_buckets
        ) a;
    END IF;
END
$$;

-- The identities of a bucket that begin with these bytes, as a filter wants them: for each page (the first 18 bits of an
-- identity), in order, how many there are; and the third to fifth byte of each with a tag behind them.
CREATE FUNCTION gateway.filter_part(
    number integer, low bytea, high bytea, tag bytea, OUT pages integer[], OUT counts integer[], OUT marks bytea
) LANGUAGE plpgsql STABLE AS $$
BEGIN
    EXECUTE format(
        'SELECT array_agg(p.page ORDER BY p.page), array_agg(p.count ORDER BY p.page),'
        ' string_agg(p.marks, ''''::bytea ORDER BY p.page) FROM ('
        ' SELECT get_byte(i.hash, 0) * 1024 + get_byte(i.hash, 1) * 4 + get_byte(i.hash, 2) / 64 AS page,'
        ' count(*)::integer AS count,'
        ' string_agg(substr(i.hash, 3, 3) || $3, ''''::bytea) AS marks'
        ' FROM gateway.identities_%s i WHERE i.hash >= $1 AND i.hash < $2 GROUP BY 1'
        ') p', number
    ) INTO pages, counts, marks USING low, high, tag;
END
$$;
