-- A session's own variables that are no secrets. Those of environments are in the bodies of their
-- versions.

ALTER TABLE sessions ADD COLUMN vars TEXT NOT NULL DEFAULT '{}';
