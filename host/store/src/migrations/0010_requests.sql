-- What users ask of sessions besides prompts: limits, titles and labels, and prompts that wait.

ALTER TABLE sessions ADD COLUMN limits TEXT NOT NULL DEFAULT '{}';
ALTER TABLE sessions ADD COLUMN title TEXT;
ALTER TABLE sessions ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}';
-- What the last turn came to.
ALTER TABLE sessions ADD COLUMN result TEXT;
ALTER TABLE turns ADD COLUMN limits TEXT NOT NULL DEFAULT '{}';
-- Requests to the model.
ALTER TABLE turns ADD COLUMN rounds INTEGER NOT NULL DEFAULT 0;
-- What it was while it waited in the queue, if it did.
ALTER TABLE turns ADD COLUMN queued_id TEXT;

-- What each user's turns used on each day since the Unix epoch, those of deleted sessions among
-- them.
CREATE TABLE spending (
    owner         TEXT NOT NULL REFERENCES users (id),
    day           INTEGER NOT NULL,
    rounds        INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cost_usd      REAL NOT NULL,
    PRIMARY KEY (owner, day)
) STRICT, WITHOUT ROWID;

-- Prompts that wait for the end of their session's turn, in the order of `seq`.
CREATE TABLE queue (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    id            TEXT NOT NULL UNIQUE,
    session_id    TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    prompt        TEXT NOT NULL,
    blocks        TEXT,
    timeout       INTEGER,
    settings      TEXT NOT NULL,
    output_schema TEXT,
    limits        TEXT NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX queue_by_session ON queue (session_id);
