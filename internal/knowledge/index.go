package knowledge

import "context"

// Document is what a chunk was cut from.
type Document struct {
	Source      string // id of the data source
	URI         string // s3://bucket/key; with Source it names the document in its base
	Fingerprint string // changes when the document, its metadata or how it is cut does
	// Metadata is what filters ask for: strings, float64s, bools and []any of strings.
	Metadata map[string]any
}

// Chunk is a passage of a document, ready for the index.
type Chunk struct {
	Text   string
	Vector []float32 // of length 1, in as many dimensions as the base has
}

// Entry is a document with all its chunks.
type Entry struct {
	Document
	Chunks []Chunk
}

// Hit is a chunk that was found.
type Hit struct {
	ID       string // names the chunk in its base until its document is indexed again
	Document Document
	Text     string
	Score    float64 // higher is better; comparable within one answer only
}

// Index keeps the chunks of one base and finds them by their words and by their vectors. Its methods may
// be called at the same time. What Put and Remove have returned nil for is on disk, and is found.
type Index interface {
	// Put replaces whatever the index has of these documents, all or none of them.
	Put(ctx context.Context, entries []Entry) error
	// Remove forgets documents of a source. Those it does not have are no error.
	Remove(ctx context.Context, source string, uris []string) error
	// Fingerprints are those of a source's documents, by URI.
	Fingerprints(ctx context.Context, source string) (map[string]string, error)
	// Words finds chunks that share words with the text, those that share rarer ones first.
	Words(ctx context.Context, text string, k int, f *Filter) ([]Hit, error)
	// Near finds the chunks whose vectors have the smallest angle to this one. Score is the cosine.
	Near(ctx context.Context, vector []float32, k int, f *Filter) ([]Hit, error)
	// Size counts documents and chunks.
	Size(ctx context.Context) (documents, chunks int, err error)
	// Close is called once; the files stay.
	Close() error
}
