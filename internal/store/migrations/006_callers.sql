ALTER TABLE access_keys ADD COLUMN used_at INTEGER NOT NULL DEFAULT 0;    -- 0: never
ALTER TABLE access_keys ADD COLUMN used_for TEXT NOT NULL DEFAULT '';     -- signing name of the service

-- Users and roles: what IAM calls principals.
CREATE TABLE principals (
    kind         TEXT NOT NULL,              -- user or role
    name         TEXT NOT NULL,
    id           TEXT NOT NULL,              -- AIDA… or AROA…, never used again
    path         TEXT NOT NULL,
    trust        TEXT NOT NULL DEFAULT '',   -- of a role: who may become it
    description  TEXT NOT NULL DEFAULT '',
    max_duration INTEGER NOT NULL DEFAULT 0, -- of a role's sessions, in seconds
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;

-- The policies of users and roles: inline ones, and names of built-in ones, whose document is empty.
CREATE TABLE principal_policies (
    kind     TEXT NOT NULL,
    name     TEXT NOT NULL,
    policy   TEXT NOT NULL,                  -- its name, or its ARN
    document TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (kind, name, policy),
    FOREIGN KEY (kind, name) REFERENCES principals (kind, name) ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE api_keys (
    id         TEXT PRIMARY KEY,
    runtime_id TEXT NOT NULL REFERENCES runtimes (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    hash       BLOB NOT NULL,                -- SHA-256 of the key
    scopes     TEXT NOT NULL,                -- JSON
    endpoints  TEXT NOT NULL,                -- JSON; [] is all
    active     INTEGER NOT NULL DEFAULT 1,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL DEFAULT 0,   -- 0: never
    used_at    INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

-- User pools with their clients, users, domains, resource servers and keys: one sealed document each.
CREATE TABLE pool_items (
    pool TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    doc  BLOB NOT NULL,
    PRIMARY KEY (pool, kind, name)
) WITHOUT ROWID;
