CREATE TABLE credential_providers (
    kind       TEXT NOT NULL,          -- apikey or oauth2
    name       TEXT NOT NULL,
    document   TEXT NOT NULL,          -- JSON, nothing in it is secret
    secret     BLOB NOT NULL,          -- sealed by the vault
    secret_key TEXT NOT NULL,          -- which of the vault's keys sealed it
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;

-- Tokens that users consented to.
CREATE TABLE resource_tokens (
    id         TEXT PRIMARY KEY,       -- digest of workload, user, provider and scopes
    workload   TEXT NOT NULL,
    provider   TEXT NOT NULL,
    secret     BLOB NOT NULL,
    secret_key TEXT NOT NULL,
    updated_at INTEGER NOT NULL
) WITHOUT ROWID;

-- Consents that users are being asked for.
CREATE TABLE consents (
    id         TEXT PRIMARY KEY,       -- digest of the session's URI
    state      TEXT NOT NULL UNIQUE,   -- digest of the parameter state
    workload   TEXT NOT NULL,
    provider   TEXT NOT NULL,
    status     TEXT NOT NULL,
    secret     BLOB NOT NULL,
    secret_key TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX consents_by_expiry ON consents (expires_at);
