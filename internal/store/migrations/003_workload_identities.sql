CREATE TABLE workload_identities (
    name        TEXT PRIMARY KEY,
    arn         TEXT NOT NULL,
    return_urls TEXT NOT NULL DEFAULT '[]', -- JSON
    runtime_id  TEXT NOT NULL DEFAULT '',   -- of the runtime whose own it is
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) WITHOUT ROWID;

INSERT INTO workload_identities SELECT id, identity, '[]', id, created_at, created_at FROM runtimes;
