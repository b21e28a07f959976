-- Whose a lane is. `began_as`: the destination's name when the lane began, where it has another by now. `account`: whose
-- dispatcher serves the lane; empty: nobody's (or that of a version before this one, which does not tell).
ALTER TABLE gateway.lanes ADD COLUMN IF NOT EXISTS began_as text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE gateway.lanes ADD COLUMN IF NOT EXISTS account text COLLATE "C" NOT NULL DEFAULT '';

-- The lanes of an intent's members (NULL: nobody has told).
ALTER TABLE gateway.intents ADD COLUMN IF NOT EXISTS lanes integer[];

-- A destination has another name: its lane, those of the replays of that lane which have none of the new name, and what
-- it has of records.
CREATE OR REPLACE FUNCTION gateway.rename_lane(number integer, before text, after text) RETURNS void LANGUAGE plpgsql
AS $$
DECLARE
    of_source text := (SELECT l.source FROM gateway.lanes l WHERE l.id = number);
BEGIN
    UPDATE gateway.lanes l SET
        destination = after, began_as = coalesce(nullif(l.began_as, ''), before), changed = l.changed + 1,
        stamp = l.stamp + 1
    WHERE l.source = of_source AND l.destination = before AND NOT l.ended AND NOT EXISTS (
        SELECT FROM gateway.lanes o
        WHERE o.source = of_source AND o.destination = after AND o.kind = l.kind AND NOT o.ended
    );
    DELETE FROM gateway.versions v
    WHERE v.destination = after
        AND EXISTS (SELECT FROM gateway.versions o WHERE o.destination = before AND o.key = v.key);
    UPDATE gateway.versions SET destination = after WHERE destination = before;
    PERFORM gateway.operated();
END
$$;

-- Serve these lanes under the account of a lease, and no others: those that are the account's from now on. Another's stay
-- so while the lease on it is held.
CREATE OR REPLACE FUNCTION gateway.hold(account text, owner text, token bigint, wanted integer[]) RETURNS integer[]
LANGUAGE plpgsql SET lock_timeout = '8s' AS $$
BEGIN
    PERFORM gateway.durably();
    PERFORM gateway.fence(account, owner, token);
    PERFORM FROM gateway.lanes l WHERE l.id = ANY (wanted) OR l.account = hold.account ORDER BY l.id FOR UPDATE;
    UPDATE gateway.lanes l SET account = '', stamp = l.stamp + 1
    WHERE l.account = hold.account AND NOT l.id = ANY (wanted);
    IF FOUND THEN
        PERFORM gateway.operated();
    END IF;
    UPDATE gateway.lanes l SET account = hold.account, stamp = l.stamp + 1
    WHERE l.id = ANY (wanted) AND NOT EXISTS (
        SELECT FROM gateway.leases s WHERE s.account = l.account AND s.owner <> ''
    );
    RETURN ARRAY (SELECT l.id FROM gateway.lanes l WHERE l.account = hold.account ORDER BY l.id);
END
$$;

-- Write intents down before a send. `served`: the lanes of each one's members, as an array's text.
CREATE OR REPLACE FUNCTION gateway.intend(
    account text, owner text, token bigint, keys bytea[], accounts text[], packs bytea[], served text[]
) RETURNS void LANGUAGE plpgsql SET lock_timeout = '8s' AS $$
BEGIN
    PERFORM gateway.durably();
    PERFORM gateway.fence(account, owner, token);
    INSERT INTO gateway.intents (key, account, packed, lanes)
    SELECT i.key, i.account, i.packed, i.lanes::integer[]
    FROM unnest(keys, accounts, packs, served) AS i(key, account, packed, lanes)
    ON CONFLICT (key) DO UPDATE SET account = excluded.account, packed = excluded.packed, lanes = excluded.lanes;
END
$$;
