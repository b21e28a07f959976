-- What each merge adds to a bucket, page by page, as rows of their own behind those of the merge before: a merge writes
-- what is new, and never again what lies there. `id`: the bucket's times 64, the merge's number in it, times the pages of
-- a bucket, and the page's. When the next bucket begins they are brought together, into `entries` of `identity_pages`.
-- There is all that the version before has written, too; a process of that version looks only there: it must not write
-- beside this one.
CREATE TABLE identity_runs (
    id      INTEGER PRIMARY KEY,
    entries BLOB NOT NULL
) STRICT;

-- The merges whose rows may be there.
ALTER TABLE identity_buckets ADD COLUMN runs INTEGER NOT NULL DEFAULT 0;

UPDATE identity_buckets SET runs = 1 WHERE id = (SELECT bucket FROM identity_merge);
