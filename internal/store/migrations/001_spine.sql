CREATE TABLE instance (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE access_keys (
    id         TEXT PRIMARY KEY,
    secret     BLOB NOT NULL,              -- sealed
    principal  TEXT NOT NULL,              -- ARN
    active     INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE runtimes (
    id             TEXT PRIMARY KEY,
    name           TEXT NOT NULL UNIQUE,
    arn            TEXT NOT NULL,
    latest         INTEGER NOT NULL,
    status         TEXT NOT NULL,
    failure_reason TEXT NOT NULL DEFAULT '',
    identity       TEXT NOT NULL,
    created_at     INTEGER NOT NULL,       -- all times: nanoseconds since 1970, UTC
    updated_at     INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE versions (
    runtime_id     TEXT NOT NULL REFERENCES runtimes (id) ON DELETE CASCADE,
    number         INTEGER NOT NULL,
    config         TEXT NOT NULL,          -- JSON of moorage.Config
    environment    BLOB NOT NULL,          -- sealed JSON
    status         TEXT NOT NULL,
    failure_reason TEXT NOT NULL DEFAULT '',
    last_words     TEXT NOT NULL DEFAULT '[]',
    program        TEXT NOT NULL DEFAULT '', -- JSON of moorage.Program once built
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    PRIMARY KEY (runtime_id, number)
) WITHOUT ROWID;
CREATE INDEX versions_by_status ON versions (status);

CREATE TABLE endpoints (
    runtime_id     TEXT NOT NULL REFERENCES runtimes (id) ON DELETE CASCADE,
    name           TEXT NOT NULL,
    id             TEXT NOT NULL,
    arn            TEXT NOT NULL,
    description    TEXT NOT NULL DEFAULT '',
    live           INTEGER NOT NULL,
    target         INTEGER NOT NULL,
    status         TEXT NOT NULL,
    failure_reason TEXT NOT NULL DEFAULT '',
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    PRIMARY KEY (runtime_id, name)
) WITHOUT ROWID;

CREATE TABLE tags (
    arn   TEXT NOT NULL,
    key   TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (arn, key)
) WITHOUT ROWID;

CREATE TABLE resource_policies (arn TEXT PRIMARY KEY, document TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE idempotency (
    operation  TEXT NOT NULL,
    token      TEXT NOT NULL,
    digest     TEXT NOT NULL,              -- of the request's parameters
    response   TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (operation, token)
) WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (created_at);

CREATE TABLE sessions (
    id             TEXT PRIMARY KEY,
    caller_id      TEXT NOT NULL,
    runtime_id     TEXT NOT NULL,
    endpoint       TEXT NOT NULL,
    owner          TEXT NOT NULL,
    version        INTEGER NOT NULL,
    state          TEXT NOT NULL,
    sandbox_id     TEXT NOT NULL,
    started_by     TEXT NOT NULL,
    start_took     INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    last_active_at INTEGER NOT NULL,
    ended_at       INTEGER NOT NULL DEFAULT 0, -- 0 while it lives
    end_reason     TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE UNIQUE INDEX sessions_alive ON sessions (runtime_id, endpoint, owner, caller_id) WHERE ended_at = 0;
CREATE INDEX sessions_by_runtime ON sessions (runtime_id, created_at);
CREATE INDEX sessions_by_end ON sessions (ended_at);
