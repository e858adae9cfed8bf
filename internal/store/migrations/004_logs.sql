-- Log groups that somebody made; those of runtimes are there without a row.
CREATE TABLE log_groups (
	name       TEXT PRIMARY KEY,
	created_at INTEGER NOT NULL,            -- ns
	retention  INTEGER NOT NULL DEFAULT 0   -- days; 0 is for as long as telemetry is kept
) WITHOUT ROWID;

CREATE TABLE log_streams (
	log_group  TEXT NOT NULL,
	name       TEXT NOT NULL,
	created_at INTEGER NOT NULL, -- ns
	PRIMARY KEY (log_group, name)
) WITHOUT ROWID;
