-- The digest of the configuration that a settle was made under; empty for what no configuration did.
ALTER TABLE attempts ADD COLUMN config TEXT NOT NULL DEFAULT '';
