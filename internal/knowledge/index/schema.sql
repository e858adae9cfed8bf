CREATE TABLE documents (
    id          INTEGER PRIMARY KEY,
    source      TEXT NOT NULL,
    uri         TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    metadata    TEXT NOT NULL, -- JSON
    UNIQUE (source, uri)
);
CREATE TABLE chunks (
    id       INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again: a hit names a chunk by it
    document INTEGER NOT NULL,
    text     TEXT NOT NULL
);
CREATE INDEX chunks_by_document ON chunks (document);
CREATE TABLE signatures (chunk INTEGER PRIMARY KEY, document INTEGER NOT NULL, bits BLOB NOT NULL); -- read whole when the index opens
CREATE TABLE vectors (chunk INTEGER PRIMARY KEY, vector BLOB NOT NULL);                             -- float32, little-endian
CREATE VIRTUAL TABLE words USING fts5(text, content='chunks', content_rowid='id', tokenize="unicode61 remove_diacritics 2");
CREATE VIRTUAL TABLE vocabulary USING fts5vocab(words, 'row');
