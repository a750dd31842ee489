-- Users, tokens, agents, environments, sessions and turns.
--
-- `seq` is the order of arrival. Lists go by it rather than by `created_at`, so that neither two
-- rows of one microsecond nor a clock set back can reorder them; an index on `owner` alone ends
-- in it, since SQLite appends the rowid to every index.
-- Ids are lower-case UUIDs, moments are microseconds since the Unix epoch, JSON is text.

CREATE TABLE users (
    seq        INTEGER PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL UNIQUE,
    admin      INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE tokens (
    seq          INTEGER PRIMARY KEY,
    id           TEXT NOT NULL UNIQUE,
    user_id      TEXT NOT NULL REFERENCES users (id),
    name         TEXT NOT NULL,
    sha256       BLOB NOT NULL UNIQUE CHECK (length(sha256) = 32),
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    expires_at   INTEGER,
    revoked_at   INTEGER
) STRICT;
CREATE INDEX tokens_by_user ON tokens (user_id);

CREATE TABLE agents (
    seq         INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    owner       TEXT NOT NULL REFERENCES users (id),
    version     INTEGER NOT NULL,
    archived_at INTEGER,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX agents_by_owner ON agents (owner);

-- What an agent was at each version. The row of the present version is the agent's body.
CREATE TABLE agent_versions (
    id         TEXT NOT NULL REFERENCES agents (id),
    version    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    body       TEXT NOT NULL,
    PRIMARY KEY (id, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE environments (
    seq         INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    owner       TEXT NOT NULL REFERENCES users (id),
    version     INTEGER NOT NULL,
    archived_at INTEGER,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    -- Set with the first session, and kept when that session is deleted.
    used        INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX environments_by_owner ON environments (owner);

CREATE TABLE environment_versions (
    id         TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
    version    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    body       TEXT NOT NULL,
    PRIMARY KEY (id, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE sealed (
    kind       TEXT NOT NULL,
    record     TEXT NOT NULL,
    name       TEXT NOT NULL,
    owner      TEXT NOT NULL REFERENCES users (id),
    blob       BLOB NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (kind, record, name)
) STRICT;

-- A session keeps the versions that it began with, so an update of its agent or environment does
-- not reach it.
CREATE TABLE sessions (
    seq                 INTEGER PRIMARY KEY,
    id                  TEXT NOT NULL UNIQUE,
    owner               TEXT NOT NULL REFERENCES users (id),
    agent_id            TEXT NOT NULL,
    agent_version       INTEGER NOT NULL,
    environment_id      TEXT,
    environment_version INTEGER,
    runtime             TEXT NOT NULL,
    model               TEXT NOT NULL,
    status              TEXT NOT NULL,
    provisioned         INTEGER NOT NULL DEFAULT 0,
    timeout             INTEGER NOT NULL,
    exit_code           INTEGER,
    error               TEXT,
    resources           TEXT NOT NULL,
    turn_count          INTEGER NOT NULL,
    input_tokens        INTEGER NOT NULL DEFAULT 0,
    output_tokens       INTEGER NOT NULL DEFAULT 0,
    cached_tokens       INTEGER NOT NULL DEFAULT 0,
    cost_usd            REAL,
    adapter_digest      TEXT,
    install_key         TEXT,
    resume_token        TEXT,
    created_at          INTEGER NOT NULL,
    updated_at          INTEGER NOT NULL,
    FOREIGN KEY (agent_id, agent_version) REFERENCES agent_versions (id, version),
    FOREIGN KEY (environment_id, environment_version)
        REFERENCES environment_versions (id, version)
) STRICT;
CREATE INDEX sessions_by_owner ON sessions (owner);
CREATE INDEX sessions_by_owner_status ON sessions (owner, status);
CREATE INDEX sessions_by_owner_agent ON sessions (owner, agent_id);
CREATE INDEX sessions_by_owner_runtime ON sessions (owner, runtime);
CREATE INDEX sessions_by_status ON sessions (status);
CREATE INDEX sessions_by_agent_version ON sessions (agent_id, agent_version);
CREATE INDEX sessions_by_environment_version ON sessions (environment_id, environment_version);

CREATE TABLE turns (
    session_id      TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    number          INTEGER NOT NULL,
    prompt          TEXT NOT NULL,
    timeout         INTEGER NOT NULL,
    -- 'pending', 'running' or 'ended'; an ended turn's word is its outcome.
    phase           TEXT NOT NULL,
    outcome         TEXT,
    exit_code       INTEGER,
    error           TEXT,
    created_at      INTEGER NOT NULL,
    started_at      INTEGER,
    ended_at        INTEGER,
    input_tokens    INTEGER NOT NULL DEFAULT 0,
    output_tokens   INTEGER NOT NULL DEFAULT 0,
    cached_tokens   INTEGER NOT NULL DEFAULT 0,
    cost_usd        REAL,
    adapter_digest  TEXT,
    -- What a user asked of it while it waited or ran: 'interrupt' or 'terminate'.
    stop_requested  TEXT,
    -- The event that ends the turn in the log, and whether the log is known to hold it.
    terminal        TEXT,
    terminal_logged INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (session_id, number),
    CHECK ((phase = 'ended') = (outcome IS NOT NULL))
) STRICT, WITHOUT ROWID;
-- What a start must look at: a handful of rows among many.
CREATE INDEX turns_unsettled ON turns (session_id, number) WHERE terminal_logged = 0;

CREATE TABLE idempotency (
    owner      TEXT NOT NULL REFERENCES users (id),
    key        TEXT NOT NULL,
    body_mac   BLOB NOT NULL CHECK (length(body_mac) = 32),
    status     INTEGER NOT NULL,
    response   TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (created_at);
