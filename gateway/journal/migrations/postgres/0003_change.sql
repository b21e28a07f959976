-- Changes of lanes and their rows, each in one call: what is to be written was worked out beforehand from what was read,
-- and is written only if none of the lanes has changed since (its stamp is the one that was read). So no lock is ever
-- held while a client thinks. Locks are taken in one order: the lease, lanes by number, the log.

-- Something was changed that every process has to hear of.
CREATE FUNCTION gateway.operated() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE gateway.meta SET value = value + 1 WHERE key = 'operations';
    PERFORM pg_notify('gateway', '');
END
$$;

-- Refuse (GW001) unless the lease is held by this owner and token, and stays so until the commit.
CREATE FUNCTION gateway.fence(account text, owner text, token bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM gateway.leases l
    WHERE l.account = fence.account AND l.owner = fence.owner AND l.token = fence.token AND l.owner <> '' FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the lease on % is no longer held by %', account, coalesce(nullif(owner, ''), 'anybody')
            USING ERRCODE = 'GW001';
    END IF;
END
$$;

-- The end of the id of the group that an event was accepted in, while its batch is there.
CREATE FUNCTION gateway.tail_of(seq bigint) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT coalesce((
        SELECT substr(group_id, 13) FROM
            (SELECT * FROM gateway.batches WHERE first_seq <= seq ORDER BY first_seq DESC LIMIT 1) b
        WHERE seq < first_seq + count
    ), '\x00000000')
$$;

-- Lock the lanes of a change. False: one of them is no longer as it was read.
CREATE FUNCTION gateway.hold_lanes(change jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT * FROM jsonb_to_recordset(change -> 'lanes') AS l(id integer, stamp bigint) ORDER BY l.id LOOP
        PERFORM FROM gateway.lanes l WHERE l.id = one.id AND l.stamp = one.stamp FOR UPDATE;
        IF NOT FOUND THEN
            RETURN false;
        END IF;
    END LOOP;
    RETURN true;
END
$$;

CREATE FUNCTION gateway.write_lanes(change jsonb) RETURNS void LANGUAGE sql AS $$
    UPDATE gateway.lanes l SET
        cursor = n.cursor, ahead = decode(n.ahead, 'base64'), delivered = n.delivered, filtered = n.filtered,
        superseded = n.superseded, parked = n.parked, dead = n.dead, discarded = n.discarded, version = n.version,
        changed = n.changed, paused = n.paused, ended = n.ended, floor_seq = n.floor_seq,
        removed = decode(n.removed, 'base64'), removed_events = n.removed_events, stamp = l.stamp + 1
    FROM jsonb_to_recordset(change -> 'lanes') AS n(
        id integer, cursor bigint, ahead text, delivered bigint, filtered bigint, superseded bigint, parked bigint,
        dead bigint, discarded bigint, version bigint, changed bigint, paused boolean, ended boolean, floor_seq bigint,
        removed text, removed_events bigint
    )
    WHERE l.id = n.id;
$$;

-- Rows of parked and dead records: those that go, those that are written whole, those that learn of the other parts of
-- their event, those that are due now to be mapped anew.
CREATE FUNCTION gateway.write_rows(change jsonb) RETURNS void LANGUAGE sql AS $$
    DELETE FROM gateway.parked p
    USING jsonb_to_recordset(change -> 'gone') AS g(lane integer, seq bigint, part text)
    WHERE p.lane = g.lane AND p.seq = g.seq AND p.part = decode(g.part, 'base64');

    INSERT INTO gateway.parked (
        lane, seq, part, channel, key, state, attempt, due_at_ms, first_failed_at_ms, at_ms, reason, mapping, generation,
        past, tail, delivered_parts, detail, answer, record
    )
    SELECT
        r.lane, r.seq, decode(r.part, 'base64'), decode(r.channel, 'base64'), decode(r.key, 'base64'), r.state, r.attempt,
        r.due_at_ms, r.first_failed_at_ms, r.at_ms, r.reason, r.mapping, r.generation, r.past, gateway.tail_of(r.seq),
        decode(r.delivered_parts, 'base64'), decode(r.detail, 'base64'), decode(r.answer, 'base64'),
        decode(r.record, 'base64')
    FROM jsonb_to_recordset(change -> 'rows') AS r(
        lane integer, seq bigint, part text, channel text, key text, state text, attempt integer, due_at_ms bigint,
        first_failed_at_ms bigint, at_ms bigint, reason text, mapping text, generation integer, past integer,
        delivered_parts text, detail text, answer text, record text
    )
    ON CONFLICT (lane, seq, part) DO UPDATE SET
        channel = excluded.channel, key = excluded.key, state = excluded.state, attempt = excluded.attempt,
        due_at_ms = excluded.due_at_ms, first_failed_at_ms = excluded.first_failed_at_ms, at_ms = excluded.at_ms,
        reason = excluded.reason, mapping = excluded.mapping, generation = excluded.generation, past = excluded.past,
        delivered_parts = excluded.delivered_parts, detail = excluded.detail, answer = excluded.answer,
        record = excluded.record;

    UPDATE gateway.parked p SET past = s.past, delivered_parts = decode(s.delivered_parts, 'base64')
    FROM jsonb_to_recordset(change -> 'siblings') AS s(
        lane integer, seq bigint, part text, past integer, delivered_parts text
    )
    WHERE p.lane = s.lane AND p.seq = s.seq AND p.part = decode(s.part, 'base64');

    UPDATE gateway.parked p SET
        state = 'parked', record = NULL, attempt = 0, due_at_ms = a.at_ms, first_failed_at_ms = a.at_ms,
        generation = p.generation + 1
    FROM jsonb_to_recordset(change -> 'again') AS a(lane integer, seq bigint, at_ms bigint)
    WHERE p.lane = a.lane AND p.seq = a.seq AND p.state = 'dead';
$$;

CREATE FUNCTION gateway.write_attempts(change jsonb) RETURNS void LANGUAGE sql AS $$
    INSERT INTO gateway.attempts (lane, first_seq, last_seq, at_ms, counted, config, outcomes)
    SELECT a.lane, a.first_seq, a.last_seq, a.at_ms, a.counted, a.config, decode(a.outcomes, 'base64')
    FROM jsonb_to_recordset(change -> 'attempts') AS a(
        lane integer, first_seq bigint, last_seq bigint, at_ms bigint, counted smallint, config text, outcomes text
    );

    DELETE FROM gateway.attempts a
    USING jsonb_array_elements_text(change -> 'attempts_gone') AS g(id) WHERE a.id = g.id::bigint;

    INSERT INTO gateway.skips
    SELECT s.* FROM jsonb_to_recordset(change -> 'skips') AS s(
        lane integer, after_seq bigint, last_seq bigint, count bigint, at_ms bigint
    );

    DELETE FROM gateway.skips s
    USING jsonb_to_recordset(change -> 'skips_gone') AS g(lane integer, to_seq bigint)
    WHERE s.lane = g.lane AND s.last_seq <= g.to_seq;
$$;

-- The versions that destinations have now; one that is older than what is known changes nothing.
CREATE FUNCTION gateway.write_versions(change jsonb) RETURNS void LANGUAGE sql AS $$
    INSERT INTO gateway.versions AS v
    SELECT DISTINCT ON (n.destination, n.key) n.destination, decode(n.key, 'base64'), n.version, n.at_ms
    FROM jsonb_to_recordset(change -> 'versions') AS n(destination text, key text, version bigint, at_ms bigint)
    ORDER BY n.destination, n.key, n.version DESC
    ON CONFLICT (destination, key) DO UPDATE SET version = excluded.version, at_ms = excluded.at_ms
    WHERE excluded.version >= v.version;
$$;

-- Write down what an operator did. One that goes on in another slice is still one operation. The last 10,000 are kept.
CREATE FUNCTION gateway.note(operation jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    said record;
    number bigint;
BEGIN
    SELECT * INTO said FROM jsonb_to_record(operation) AS o(
        at_ms bigint, who text, what text, subject text, note text, count bigint
    );
    UPDATE gateway.operations o SET count = o.count + said.count
    WHERE o.id = (SELECT max(id) FROM gateway.operations)
        AND (o.at_ms, o.who, o.what, o.subject, o.note) = (said.at_ms, said.who, said.what, said.subject, said.note);
    IF NOT FOUND THEN
        INSERT INTO gateway.operations (at_ms, who, what, subject, count, note)
        VALUES (said.at_ms, said.who, said.what, said.subject, said.count, said.note) RETURNING id INTO number;
        DELETE FROM gateway.operations WHERE id <= number - 10000;
    END IF;
END
$$;

-- Write a change. False: it is stale, and nothing was written.
CREATE FUNCTION gateway.change(change jsonb) RETURNS boolean LANGUAGE plpgsql SET lock_timeout = '8s' AS $$
DECLARE
    lease jsonb := nullif(change -> 'lease', 'null');
    operation jsonb := nullif(change -> 'operation', 'null');
BEGIN
    PERFORM gateway.durably();
    IF lease IS NOT NULL THEN
        PERFORM gateway.fence(lease ->> 'account', lease ->> 'owner', (lease ->> 'token')::bigint);
    END IF;
    IF NOT gateway.hold_lanes(change) THEN
        RETURN false;
    END IF;
    PERFORM gateway.write_lanes(change);
    PERFORM gateway.write_rows(change);
    PERFORM gateway.write_attempts(change);
    PERFORM gateway.write_versions(change);
    DELETE FROM gateway.intents i
    USING jsonb_array_elements_text(change -> 'intents_done') AS d(key) WHERE i.key = decode(d.key, 'base64');
    IF operation IS NOT NULL THEN
        PERFORM gateway.note(operation);
    END IF;
    IF (change ->> 'heard')::boolean THEN
        PERFORM gateway.operated();
    END IF;
    RETURN true;
END
$$;

-- A change, and events that derive from it, together.
CREATE FUNCTION gateway.change_and_append(
    change jsonb, offered bytea, names text[], named integer[], identities bytea[], times_ms bigint[],
    windows_ms bigint[], earlier integer[], packed bytea
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF NOT gateway.change(change) THEN
        RETURN false;
    END IF;
    PERFORM gateway.append(offered, names, named, identities, times_ms, windows_ms, earlier, packed, '{}', '{}');
    RETURN true;
END
$$;

CREATE FUNCTION gateway.begin_lane(
    source text, destination text, kind text, start_seq bigint, end_seq bigint
) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    number integer;
BEGIN
    INSERT INTO gateway.lanes (source, destination, kind, start_seq, end_seq, cursor, floor_seq)
    VALUES (source, destination, kind, start_seq, end_seq, start_seq, start_seq) RETURNING id INTO number;
    PERFORM gateway.operated();
    RETURN number;
END
$$;

-- A destination has another name: its lane and what it has of records.
CREATE FUNCTION gateway.rename_lane(number integer, before text, after text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE gateway.lanes SET destination = after, changed = changed + 1, stamp = stamp + 1 WHERE id = number;
    DELETE FROM gateway.versions v
    WHERE v.destination = after
        AND EXISTS (SELECT FROM gateway.versions o WHERE o.destination = before AND o.key = v.key);
    UPDATE gateway.versions SET destination = after WHERE destination = before;
    PERFORM gateway.operated();
END
$$;

-- Make sure that lanes exist; their numbers, in order. With a lane that is new, its `backfill` (a replay: id, at_ms,
-- packed) begins, over what lies before its start, which is now.
CREATE FUNCTION gateway.register(specs jsonb) RETURNS integer[] LANGUAGE plpgsql SET lock_timeout = '8s' AS $$
DECLARE
    spec record;
    former record;
    number integer;
    numbers integer[] := '{}';
    head bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(1734440037, 2);
    PERFORM gateway.durably();
    head := gateway.head_seq();
    FOR spec IN SELECT s.* FROM ROWS FROM (jsonb_to_recordset(specs) AS (
        source text, destination text, kind text, start_seq bigint, end_seq bigint, was jsonb, backfill jsonb
    )) WITH ORDINALITY s(source, destination, kind, start_seq, end_seq, was, backfill, place) ORDER BY s.place LOOP
        SELECT l.id INTO number FROM gateway.lanes l
        WHERE l.source = spec.source AND l.destination = spec.destination AND l.kind = spec.kind AND NOT l.ended;
        IF NOT FOUND AND spec.kind = 'live' THEN
            SELECT l.id, l.destination INTO former
            FROM jsonb_array_elements_text(spec.was) WITH ORDINALITY w(name, place) JOIN gateway.lanes l
                ON l.source = spec.source AND l.destination = w.name AND l.kind = 'live' AND NOT l.ended
            ORDER BY w.place LIMIT 1;
            IF FOUND THEN
                number := former.id;
                PERFORM gateway.rename_lane(number, former.destination, spec.destination);
            END IF;
        END IF;
        IF number IS NULL THEN
            spec.start_seq := coalesce(spec.start_seq, head);
            IF nullif(spec.backfill, 'null') IS NOT NULL THEN
                IF spec.start_seq < head THEN
                    PERFORM gateway.write_replay(spec.backfill);
                    PERFORM gateway.begin_lane(
                        spec.source, spec.destination, spec.backfill ->> 'id', spec.start_seq, head
                    );
                END IF;
                spec.start_seq := head;
            END IF;
            number := gateway.begin_lane(spec.source, spec.destination, spec.kind, spec.start_seq, spec.end_seq);
        END IF;
        numbers := numbers || number;
    END LOOP;
    RETURN numbers;
END
$$;

-- Write a replay down; whether it is new.
CREATE FUNCTION gateway.write_replay(replay jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO gateway.replays
    VALUES (replay ->> 'id', (replay ->> 'at_ms')::bigint, decode(replay ->> 'packed', 'base64'))
    ON CONFLICT DO NOTHING;
    RETURN FOUND;
END
$$;

-- Begin a replay on these lanes; their numbers.
CREATE FUNCTION gateway.replay(replay jsonb, specs jsonb, operation jsonb) RETURNS integer[] LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1734440037, 2);
    IF gateway.write_replay(replay) THEN
        PERFORM gateway.note(operation);
    END IF;
    RETURN gateway.register(specs);
END
$$;

-- The revision of a configuration that is in force from now on.
CREATE FUNCTION gateway.revise(digest text, wanted bigint) RETURNS bigint LANGUAGE plpgsql SET lock_timeout = '8s' AS $$
DECLARE
    last gateway.meta;
BEGIN
    PERFORM pg_advisory_xact_lock(1734440037, 2);
    SELECT * INTO last FROM gateway.meta WHERE key LIKE 'revision:%';
    wanted := coalesce(wanted, coalesce(last.value, 0) + (last.key IS DISTINCT FROM 'revision:' || digest)::integer);
    IF last.key IS DISTINCT FROM 'revision:' || digest OR last.value <> wanted THEN
        DELETE FROM gateway.meta WHERE key LIKE 'revision:%';
        INSERT INTO gateway.meta VALUES ('revision:' || digest, wanted);
    END IF;
    RETURN wanted;
END
$$;

-- Write intents down before a send.
CREATE FUNCTION gateway.intend(
    account text, owner text, token bigint, keys bytea[], accounts text[], packs bytea[]
) RETURNS void LANGUAGE plpgsql SET lock_timeout = '8s' AS $$
BEGIN
    PERFORM gateway.durably();
    PERFORM gateway.fence(account, owner, token);
    INSERT INTO gateway.intents SELECT * FROM unnest(keys, accounts, packs)
    ON CONFLICT (key) DO UPDATE SET account = excluded.account, packed = excluded.packed;
END
$$;

-- Remove batches, and write down on their lanes how many of their events are gone. `newest_lane`: the newest there was
-- when it was judged that nobody needs them; with a newer one nothing is done (0).
CREATE FUNCTION gateway.remove_batches(
    firsts bigint[], newest_lane integer, booked_first bigint[], booked_lane integer[], booked bigint[]
) RETURNS bigint LANGUAGE plpgsql SET lock_timeout = '1s' AS $$
DECLARE
    gone bigint[];
    events bigint;
    bytes bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(1734440037, 2);
    IF newest_lane <> (SELECT coalesce(max(id), 0) FROM gateway.lanes) THEN
        RETURN 0;
    END IF;
    PERFORM FROM gateway.lanes WHERE id = ANY (booked_lane) ORDER BY id FOR UPDATE;
    WITH d AS (DELETE FROM gateway.batches WHERE first_seq = ANY (firsts) RETURNING first_seq, count, size_bytes)
    SELECT array_agg(d.first_seq), coalesce(sum(d.count), 0), coalesce(sum(d.size_bytes), 0) INTO gone, events, bytes
    FROM d;
    WITH d AS (
        DELETE FROM gateway.batch_sources WHERE first_seq = ANY (gone) RETURNING source_id, total_before + count AS total
    ), t AS (SELECT source_id, max(total) AS total FROM d GROUP BY source_id)
    UPDATE gateway.sources s SET total = greatest(s.total, t.total) FROM t WHERE s.id = t.source_id;
    UPDATE gateway.meta SET value = value + bytes WHERE key = 'bytes_removed';
    UPDATE gateway.lanes l SET removed_events = l.removed_events + b.events, stamp = l.stamp + 1
    FROM (
        SELECT u.lane, sum(u.events) AS events FROM unnest(booked_first, booked_lane, booked) u(first_seq, lane, events)
        WHERE u.first_seq = ANY (gone) GROUP BY u.lane
    ) b
    WHERE l.id = b.lane;
    RETURN events;
END
$$;

-- No append looks at this bucket any more.
CREATE FUNCTION gateway.close_bucket(number integer) RETURNS void LANGUAGE plpgsql SET lock_timeout = '1s' AS $$
BEGIN
    PERFORM gateway.begin_append();
    UPDATE gateway.identity_buckets SET gone = true WHERE id = number;
END
$$;

-- Drop a bucket that is closed; how many identities went. Whoever reads its table (a dump) is waited for, but not long.
CREATE FUNCTION gateway.drop_bucket(number integer) RETURNS bigint LANGUAGE plpgsql SET lock_timeout = '1s' AS $$
DECLARE
    place oid := to_regclass(format('gateway.identities_%s', number));
    went bigint;
BEGIN
    IF place IS NOT NULL THEN
        EXECUTE format('ANALYZE gateway.identities_%s', number);
        SELECT reltuples INTO went FROM pg_class WHERE oid = place;
        EXECUTE format('DROP TABLE gateway.identities_%s', number);
    END IF;
    DELETE FROM gateway.identity_buckets WHERE id = number AND gone;
    RETURN coalesce(went, 0);
END
$$;
