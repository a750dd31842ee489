-- Webhooks, what is to be sent to them, and the questions that running turns ask.

-- A session's own webhook outlives it for as long as it is owed messages.
CREATE TABLE webhooks (
    seq             INTEGER PRIMARY KEY,
    id              TEXT NOT NULL UNIQUE,
    owner           TEXT NOT NULL REFERENCES users (id),
    -- The one session that it is told of.
    session_id      TEXT,
    url             TEXT NOT NULL,
    -- A list of words; an empty one stands for all.
    events          TEXT NOT NULL,
    description     TEXT,
    enabled         INTEGER NOT NULL,
    disabled_reason TEXT,
    -- Until then messages are signed with the secret before the present one, too.
    overlap_until   INTEGER,
    -- Whether its session was deleted.
    is_orphan       INTEGER NOT NULL DEFAULT 0,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX webhooks_by_owner ON webhooks (owner);
CREATE INDEX webhooks_orphaned ON webhooks (seq) WHERE is_orphan;
CREATE INDEX webhooks_by_session ON webhooks (session_id) WHERE session_id IS NOT NULL;

-- Messages, one for each webhook that is told. They are written in the transaction that makes what
-- they tell of.
CREATE TABLE webhook_deliveries (
    seq             INTEGER PRIMARY KEY,
    id              TEXT NOT NULL UNIQUE,
    webhook_id      TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    message_id      TEXT NOT NULL,
    event           TEXT NOT NULL,
    session_id      TEXT,
    turn            INTEGER,
    payload         TEXT NOT NULL,
    -- 'pending', 'delivered' or 'failed'.
    state           TEXT NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    last_status     INTEGER,
    last_error      TEXT,
    last_attempt_at INTEGER,
    next_attempt_at INTEGER,
    -- From when on its tries are counted: its creation, or the last wish to send it again.
    since           INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    delivered_at    INTEGER,
    CHECK ((state = 'pending') = (next_attempt_at IS NOT NULL)),
    UNIQUE (webhook_id, message_id)
) STRICT;
CREATE INDEX webhook_deliveries_by_webhook ON webhook_deliveries (webhook_id);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, next_attempt_at)
    WHERE state = 'pending';
CREATE INDEX webhook_deliveries_settled ON webhook_deliveries (created_at)
    WHERE state <> 'pending';

-- What the turns that run have asked; gone with the turn's end.
CREATE TABLE questions (
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    turn       INTEGER NOT NULL,
    id         TEXT NOT NULL,
    body       TEXT NOT NULL,
    asked_at   INTEGER NOT NULL,
    -- Whether it waits for an answer.
    is_open    INTEGER NOT NULL,
    PRIMARY KEY (session_id, turn, id)
) STRICT, WITHOUT ROWID;
