-- `began_as`: the destination's name when the lane began, where it has another by now. `account`: whose dispatcher serves
-- the lane; empty: nobody's.
ALTER TABLE lanes ADD COLUMN began_as TEXT NOT NULL DEFAULT '';
ALTER TABLE lanes ADD COLUMN account TEXT NOT NULL DEFAULT '';

-- The lanes of an intent's members, as JSON (NULL: nobody has told).
ALTER TABLE intents ADD COLUMN lanes TEXT;
