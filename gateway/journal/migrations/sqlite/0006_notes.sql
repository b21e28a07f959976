-- What the holder of a lease knows of its account that whoever comes next is to know as well.
ALTER TABLE leases ADD COLUMN note TEXT NOT NULL DEFAULT '';
