-- Drop a bucket that is closed; how many identities went. NULL: somebody reads its table (a dump), and it stays for now:
-- nobody is to wait behind it.
CREATE OR REPLACE FUNCTION gateway.drop_bucket(number integer) RETURNS bigint LANGUAGE plpgsql
SET lock_timeout = '50ms' AS $$
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
EXCEPTION WHEN lock_not_available THEN
    RETURN NULL;
END
$$;
