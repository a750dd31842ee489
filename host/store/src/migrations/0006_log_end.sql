-- The number of the last entry that a turn has in its session's log, noted once that is on the disk:
-- a log that ends before it has lost what was given.

ALTER TABLE turns ADD COLUMN last_id INTEGER;
