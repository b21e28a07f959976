-- What the holder of a lease knows of its account that whoever comes next is to know as well.
ALTER TABLE gateway.leases ADD COLUMN IF NOT EXISTS note text NOT NULL DEFAULT '';
