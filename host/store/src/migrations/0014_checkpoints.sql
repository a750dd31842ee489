-- Checkpoints of sessions' files at their turns' ends, forks and restorations that are made of them,
-- and files of old sessions, which are removed.

-- `state` is 'pending' from the turn's end on until it is made, then 'ready' or 'failed'.
CREATE TABLE checkpoints (
    session_id   TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    turn         INTEGER NOT NULL,
    state        TEXT NOT NULL,
    -- The CLI's own name for the conversation as it was then.
    resume_token TEXT,
    -- What the whole of it takes of the disk, and what of that it does not share with the one
    -- before it.
    bytes        INTEGER NOT NULL DEFAULT 0,
    new_bytes    INTEGER NOT NULL DEFAULT 0,
    -- Why it was not made.
    error        TEXT,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (session_id, turn)
) STRICT, WITHOUT ROWID;
CREATE INDEX checkpoints_pending ON checkpoints (session_id) WHERE state = 'pending';

ALTER TABLE sessions ADD COLUMN checkpoint_bytes INTEGER NOT NULL DEFAULT 0;
-- What it is a copy of. That session may be gone.
ALTER TABLE sessions ADD COLUMN forked_from TEXT;
ALTER TABLE sessions ADD COLUMN forked_turn INTEGER;
-- The turn whose end it went back to, until its next turn goes on from there.
ALTER TABLE sessions ADD COLUMN restored_to INTEGER;
-- A folder in the session's own whose content is to take the place of its files.
ALTER TABLE sessions ADD COLUMN replacement TEXT;
-- When its files will be removed, as was announced, and when they were.
ALTER TABLE sessions ADD COLUMN expires_at INTEGER;
ALTER TABLE sessions ADD COLUMN files_removed_at INTEGER;
-- Whether some of them may be there still.
ALTER TABLE sessions ADD COLUMN is_removing INTEGER NOT NULL DEFAULT 0;
CREATE INDEX sessions_replacing ON sessions (id) WHERE replacement IS NOT NULL;
CREATE INDEX sessions_removing ON sessions (id) WHERE is_removing;

-- The turn that it goes on from, where that is not the one before it.
ALTER TABLE turns ADD COLUMN continues INTEGER;
-- Whether the session went back to an earlier turn.
ALTER TABLE turns ADD COLUMN undone INTEGER NOT NULL DEFAULT 0;
