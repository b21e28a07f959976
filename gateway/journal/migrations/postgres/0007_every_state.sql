-- An operator's retry that sends an old state even where a newer one was sent.
ALTER TABLE gateway.parked ADD COLUMN IF NOT EXISTS every_state boolean NOT NULL DEFAULT false;

-- Rows of parked and dead records: those that go, those that are written whole, those that learn of the other parts of
-- their event, those that are due now to be mapped anew.
CREATE OR REPLACE FUNCTION gateway.write_rows(change jsonb) RETURNS void LANGUAGE sql AS $$
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
        generation = p.generation + 1, every_state = coalesce(a.every_state, false)
    FROM jsonb_to_recordset(change -> 'again') AS a(lane integer, seq bigint, at_ms bigint, every_state boolean)
    WHERE p.lane = a.lane AND p.seq = a.seq AND p.state = 'dead';
$$;
