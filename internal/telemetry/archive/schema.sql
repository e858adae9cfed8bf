CREATE TABLE sources (
	id  INTEGER PRIMARY KEY,
	doc TEXT NOT NULL -- JSON of a telemetry.Source; it may be there more than once
);

-- Spans of traces that came together. Where those of a trace are is said by traces.pack and pack_traces.
CREATE TABLE packs (
	id     INTEGER PRIMARY KEY,
	chunks BLOB NOT NULL, -- of each chunk in doc, in order: its trace, and as uvarints its source, bytes and ResourceSpans
	doc    BLOB NOT NULL
);

-- The packs of a trace beside the one that began it.
CREATE TABLE pack_traces (
	trace BLOB NOT NULL,
	pack  INTEGER NOT NULL REFERENCES packs,
	PRIMARY KEY (trace, pack)
) WITHOUT ROWID;

-- Which traces are in packs, for sure or perhaps; written when the partition is full.
CREATE TABLE filters (
	doc BLOB NOT NULL
);

-- Service spans of many traces; which ones is said by traces.calls.
CREATE TABLE calls (
	id      INTEGER PRIMARY KEY,
	sources TEXT NOT NULL, -- JSON array of telemetry.Source, one for each ResourceSpans of doc
	doc     BLOB NOT NULL
);

CREATE TABLE blocks (
	id     INTEGER PRIMARY KEY,
	source INTEGER NOT NULL REFERENCES sources,
	runtime TEXT NOT NULL,
	session TEXT NOT NULL,
	first  INTEGER NOT NULL, -- ns
	last   INTEGER NOT NULL, -- ns
	lines  INTEGER NOT NULL,
	doc    BLOB NOT NULL
);
CREATE INDEX blocks_session ON blocks (session, first);
CREATE INDEX blocks_runtime ON blocks (runtime, first);

CREATE TABLE block_traces (
	trace BLOB NOT NULL,
	block INTEGER NOT NULL REFERENCES blocks,
	PRIMARY KEY (trace, block)
) WITHOUT ROWID;

-- Rows are in the order of arrival: what is written then is pages beside each other, and the indexes are small.
CREATE TABLE traces (
	id         INTEGER PRIMARY KEY,
	trace      BLOB NOT NULL,
	session    TEXT NOT NULL,
	runtime    TEXT NOT NULL,
	endpoint   TEXT NOT NULL,
	caller     TEXT NOT NULL,
	name       TEXT NOT NULL,
	start      INTEGER NOT NULL, -- ns
	finish     INTEGER NOT NULL, -- ns
	root_start INTEGER,          -- ns; null while no root came
	root_end   INTEGER,
	spans      INTEGER NOT NULL,
	hidden     INTEGER NOT NULL,
	errors     INTEGER NOT NULL,
	error      TEXT NOT NULL,    -- of the first failure
	models     INTEGER NOT NULL,
	tools      INTEGER NOT NULL,
	input      INTEGER NOT NULL,
	output     INTEGER NOT NULL,
	cached     INTEGER NOT NULL,
	written    INTEGER NOT NULL,
	reasoning  INTEGER NOT NULL,
	cost       INTEGER NOT NULL, -- billionths of a dollar
	calls      INTEGER REFERENCES calls, -- where the span is with which a call began the trace; null if none did
	pack       INTEGER REFERENCES packs, -- with which its spans began to come; null if they began in another row or partition
	UNIQUE (trace, session)
);
CREATE INDEX traces_start ON traces (start, trace);
CREATE INDEX traces_session ON traces (session, start);

-- While much comes in, this is up to half a second behind traces.
CREATE TABLE sessions (
	session   TEXT NOT NULL PRIMARY KEY,
	runtime   TEXT NOT NULL,
	endpoint  TEXT NOT NULL,
	last      INTEGER NOT NULL -- ns
) WITHOUT ROWID;
CREATE INDEX sessions_last ON sessions (last);

-- How far something is kept here: the journal of a sandbox, as an offset in it, or what a session used.
CREATE TABLE marks (
	sandbox TEXT PRIMARY KEY, -- or another key of a telemetry.Mark
	next    INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE series (
	id       INTEGER PRIMARY KEY,
	runtime  TEXT NOT NULL,
	endpoint TEXT NOT NULL,
	name     TEXT NOT NULL,
	unit     TEXT NOT NULL,
	labels   TEXT NOT NULL, -- JSON object
	UNIQUE (name, runtime, endpoint, labels, unit)
);

CREATE TABLE minutes (
	minute INTEGER NOT NULL, -- since 1970
	series INTEGER NOT NULL REFERENCES series,
	count  INTEGER NOT NULL,
	errors INTEGER NOT NULL,
	sum    REAL NOT NULL,
	lowest REAL NOT NULL,
	high   REAL NOT NULL,
	sketch BLOB NOT NULL,    -- DDSketch
	PRIMARY KEY (series, minute)
) WITHOUT ROWID;
