-- Values of the runtime's options: a session's own, and those that came with a turn's prompt; the
-- form that a turn's answer must have, and what the turn came to. Those of agents are in the bodies
-- of their versions.

ALTER TABLE sessions ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';
ALTER TABLE turns ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';
ALTER TABLE turns ADD COLUMN output_schema TEXT;
ALTER TABLE turns ADD COLUMN result TEXT;
