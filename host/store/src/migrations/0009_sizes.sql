-- What a session's folders take of the disk, as it was measured at its last turn's end; null where
-- it never was. `sizes_partial` says that there was more than is looked at.

ALTER TABLE sessions ADD COLUMN home_bytes INTEGER;
ALTER TABLE sessions ADD COLUMN workspace_bytes INTEGER;
ALTER TABLE sessions ADD COLUMN log_bytes INTEGER;
ALTER TABLE sessions ADD COLUMN sizes_partial INTEGER NOT NULL DEFAULT 0;
