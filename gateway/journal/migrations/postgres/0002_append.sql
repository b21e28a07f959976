-- Accepting, in one call that takes the lock first and then looks: each statement of a function sees what was committed
-- before that statement began, while a lock and a look in one statement would look at what was there before the lock.

-- Whoever appends, one after the other. Sequence order is commit order because the lock is let go of after the commit
-- can be seen. A server told to acknowledge before it has flushed (synchronous_commit = off) is overruled.
CREATE FUNCTION gateway.begin_append() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1734440037, 1);
    PERFORM gateway.durably();
END
$$;

CREATE FUNCTION gateway.durably() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
END
$$;

-- What is answered from what is there must be as safe as if it were written now: a commit that waits for the same disk
-- and the same standby as the one it repeats (whose own wait may have been given up).
CREATE FUNCTION gateway.repeat() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_logical_emit_message(true, 'gateway', ''::text);
END
$$;

CREATE FUNCTION gateway.head_seq() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT first_seq + count - 1 FROM gateway.batches ORDER BY first_seq DESC LIMIT 1), 0)
$$;

-- A seq up to which every batch was received before a time: by halves over the batches.
CREATE FUNCTION gateway.batches_before(time_ms bigint) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
    low bigint := 0;
    high bigint := gateway.head_seq();
    middle bigint;
    batch gateway.batches;
BEGIN
    WHILE low < high LOOP
        middle := (low + high + 1) / 2;
        SELECT b.first_seq, b.count, b.received_max_ms INTO batch.first_seq, batch.count, batch.received_max_ms
        FROM gateway.batches b WHERE b.first_seq <= middle ORDER BY b.first_seq DESC LIMIT 1;
        IF batch.first_seq IS NULL OR batch.received_max_ms < time_ms THEN
            low := greatest(middle, batch.first_seq + batch.count - 1);
        ELSE
            high := batch.first_seq - 1;
        END IF;
    END LOOP;
    RETURN low;
END
$$;

-- The numbers of sources, in order; new ones get theirs.
CREATE FUNCTION gateway.source_ids(names text[]) RETURNS integer[] LANGUAGE plpgsql AS $$
DECLARE
    found integer[];
BEGIN
    LOOP
        SELECT array_agg(s.id ORDER BY n.place) INTO found
        FROM unnest(names) WITH ORDINALITY n(name, place) LEFT JOIN gateway.sources s ON s.name = n.name;
        EXIT WHEN array_position(found, NULL) IS NULL;
        INSERT INTO gateway.sources (name) SELECT unnest(names) ON CONFLICT DO NOTHING;
    END LOOP;
    RETURN found;
END
$$;

-- The bucket of identities to write to at this time: a new one when the newest has had its span (half the window, an
-- hour at least), or the clock has jumped.
CREATE FUNCTION gateway.bucket_in_force(now_ms bigint, wanted_ms bigint) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    newest gateway.identity_buckets;
    number integer;
BEGIN
    SELECT * INTO newest FROM gateway.identity_buckets ORDER BY id DESC LIMIT 1;
    wanted_ms := greatest(wanted_ms, newest.window_ms);
    IF newest.id IS NOT NULL AND abs(now_ms - newest.from_ms) < greatest(wanted_ms / 2, 3600000) THEN
        IF wanted_ms > newest.window_ms THEN
            UPDATE gateway.identity_buckets SET window_ms = wanted_ms WHERE id = newest.id;
        END IF;
        RETURN newest.id;
    END IF;
    UPDATE gateway.identity_buckets SET until_ms = now_ms WHERE id = newest.id;
    INSERT INTO gateway.identity_buckets (from_ms, window_ms) VALUES (now_ms, wanted_ms) RETURNING id INTO number;
    EXECUTE format(
        'CREATE TABLE gateway.identities_%s (hash bytea, source_id integer, seq bigint NOT NULL, tail bytea NOT NULL,'
        ' at_ms bigint NOT NULL, PRIMARY KEY (hash, source_id)) WITH (autovacuum_vacuum_insert_threshold = -1)',
        number
    );
    RETURN number;
END
$$;

-- Keep refused requests: the last 1,000 of each source, 50,000 of all.
CREATE FUNCTION gateway.reject(offered bytea, sources text[], packs bytea[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO gateway.rejected (source, group_id, place, packed)
    SELECT r.source, offered, r.place, r.packed
    FROM unnest(sources, packs) WITH ORDINALITY r(source, packed, place) ORDER BY r.place
    ON CONFLICT DO NOTHING;
    DELETE FROM gateway.rejected r USING (SELECT DISTINCT unnest(sources) AS source) s
    WHERE r.source = s.source AND r.id <= (
        SELECT l.id FROM gateway.rejected l WHERE l.source = s.source ORDER BY l.id DESC OFFSET 1000 LIMIT 1
    );
    DELETE FROM gateway.rejected WHERE id <= (SELECT max(id) - 50000 FROM gateway.rejected);
END
$$;

-- What a group holds of each source. `numbers`: the sources; `named`: which of them each offer is of (from 1);
-- `repeats`: the places (from 0) that are no events.
CREATE FUNCTION gateway.book_sources(
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
    INSERT INTO gateway.batch_sources
    SELECT s.id, first, first + taken - 1, m.count, coalesce(
            (SELECT l.total_before + l.count FROM gateway.batch_sources l WHERE l.source_id = s.id
             ORDER BY l.first_seq DESC LIMIT 1),
            s.total
        ), CASE WHEN m.count < taken THEN m.places END
    FROM unnest(numbers, counts, marks) m(id, count, places) JOIN gateway.sources s ON s.id = m.id
    WHERE m.count > 0;
END
$$;

-- Remember the identities of accepted offers (those that stand for a seq of this group), over older ones. In order, so
-- that neighbours share pages.
CREATE FUNCTION gateway.remember(
    first bigint, numbers integer[], named integer[], identities bytea[], seqs bigint[], tails bytea[],
    times_ms bigint[], window_ms bigint
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    newest_ms bigint;
BEGIN
    SELECT max(o.at_ms) INTO newest_ms FROM unnest(identities, seqs, times_ms) o(hash, seq, at_ms)
    WHERE o.hash IS NOT NULL AND o.seq >= first;
    IF newest_ms IS NOT NULL THEN
        EXECUTE format(
            'INSERT INTO gateway.identities_%s SELECT DISTINCT ON (o.hash, source_id)'
            ' o.hash, ($2)[o.name] AS source_id, o.seq, o.tail, o.at_ms'
            ' FROM unnest($1, $3, $4, $5, $6) o(hash, name, seq, tail, at_ms)'
            ' WHERE o.hash IS NOT NULL AND o.seq >= $7 ORDER BY o.hash, source_id, o.seq DESC'
            ' ON CONFLICT (hash, source_id) DO UPDATE'
            ' SET seq = excluded.seq, tail = excluded.tail, at_ms = excluded.at_ms',
            gateway.bucket_in_force(newest_ms, window_ms)
        ) USING identities, numbers, named, seqs, tails, times_ms, first;
    END IF;
END
$$;

-- Commit a group. For each offer: the place of its source in `names` (from 1), its identity (NULL: none), time and
-- window, and the place of the last offer before it with the same identity (from 1; 0: none). `packed` holds all offers.
-- Gives the first seq, and which places (from 0) repeat what: all others are events, in order.
CREATE FUNCTION gateway.append(
    offered bytea, names text[], named integer[], identities bytea[], times_ms bigint[], windows_ms bigint[],
    earlier integer[], packed bytea, refused_of text[], refused bytea[],
    OUT first bigint, OUT places integer[], OUT seqs bigint[], OUT tails bytea[]
) LANGUAGE plpgsql SET lock_timeout = '8s' AS $$
DECLARE
    size integer := cardinality(named);
    tail bytea := substr(offered, 13);
    taken integer := 0;
    window_ms bigint := 0;
    before bigint;
    numbers integer[];
    bucket integer;
    hit record;
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

    -- What is known of the identities: in every bucket, newest first, since a younger entry hides an older one.
    FOR bucket IN SELECT i.id FROM gateway.identity_buckets i WHERE NOT i.gone ORDER BY i.id DESC LOOP
        FOR hit IN EXECUTE format(
            'SELECT o.place, i.seq, i.tail, i.at_ms FROM unnest($1, $2) WITH ORDINALITY o(hash, name, place)'
            ' JOIN gateway.identities_%s i ON i.hash = o.hash AND i.source_id = ($3)[o.name]', bucket
        ) USING identities, named, numbers LOOP
            CONTINUE WHEN known_seq[hit.place] IS NOT NULL;
            known_seq[hit.place] := hit.seq;
            known_ms[hit.place] := hit.at_ms;
            known_tail[hit.place] := hit.tail;
        END LOOP;
    END LOOP;

    -- Each offer is accepted or recognised, in order; what it stands for then is what a later one may repeat.
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
        window_ms := greatest(window_ms, windows_ms[place]);
        taken := taken + 1;
    END LOOP;
    IF taken = 0 THEN
        PERFORM gateway.repeat();
        RETURN;
    END IF;

    INSERT INTO gateway.batches
    SELECT first, taken, offered, min(o.at_ms), max(o.at_ms), coalesce(before, 0), length(packed),
        append.places, append.seqs, append.tails, packed
    FROM unnest(times_ms) WITH ORDINALITY o(at_ms, place) WHERE o.place - 1 <> ALL (coalesce(append.places, '{}'));
    PERFORM gateway.book_sources(first, taken, numbers, named, coalesce(places, '{}'));
    PERFORM gateway.remember(first, numbers, named, identities, known_seq, known_tail, known_ms, window_ms);
    PERFORM pg_notify('gateway', '');
END
$$;
