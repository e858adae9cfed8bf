-- What a session was like, beyond its server's life.
ALTER TABLE sessions ADD COLUMN steps      TEXT NOT NULL DEFAULT '[]'; -- of its start: JSON of []moorage.Step
ALTER TABLE sessions ADD COLUMN sleeps     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN woke_took  INTEGER NOT NULL DEFAULT 0; -- nanoseconds, as are the next
ALTER TABLE sessions ADD COLUMN cpu        INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN slept      INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN slept_from INTEGER NOT NULL DEFAULT 0; -- 0 while awake
ALTER TABLE sessions ADD COLUMN peak_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN parent_id  TEXT NOT NULL DEFAULT '';   -- of a branch: the session that it was forked from
ALTER TABLE sessions ADD COLUMN forked_at  INTEGER NOT NULL DEFAULT 0; -- the moment that both remember
ALTER TABLE sessions ADD COLUMN shares     TEXT NOT NULL DEFAULT '';   -- of a branch: what it has in common with its parent that it should not
