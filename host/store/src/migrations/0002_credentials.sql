-- Users' registered credentials and the trail of what was done with them.
-- A credential's value is in `sealed`, under kind 'credential', its owner's id and its name.

CREATE TABLE credentials (
    owner        TEXT NOT NULL REFERENCES users (id),
    name         TEXT NOT NULL,
    kind         TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    PRIMARY KEY (owner, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    owner      TEXT NOT NULL REFERENCES users (id),
    actor      TEXT NOT NULL,
    credential TEXT NOT NULL,
    action     TEXT NOT NULL,
    -- No reference: the trail outlives the session.
    session_id TEXT,
    turn       INTEGER
) STRICT;
CREATE INDEX audit_by_owner ON audit (owner);

CREATE TRIGGER audit_keeps_its_rows BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_keeps_its_words BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
