-- An operator's retry that sends an old state even where a newer one was sent.
ALTER TABLE parked ADD COLUMN every_state INTEGER NOT NULL DEFAULT 0;
