package knowledge

import (
	"encoding/json"
	"time"
)

// Base is a knowledge base.
type Base struct {
	ID          string `json:"id"` // 10 letters and digits
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Role        string `json:"role"` // ARN; kept and told, not evaluated
	// Config and Storage are the caller's own words, told back as they came. Whatever store they name,
	// the index is ours.
	Config     json.RawMessage   `json:"config"`
	Storage    json.RawMessage   `json:"storage,omitempty"`
	Tags       map[string]string `json:"tags,omitempty"`
	Embedder   string            `json:"embedder"`   // whose vectors the index holds
	Dimensions int               `json:"dimensions"` // of each vector
	Token      string            `json:"token,omitempty"`
	CreatedAt  time.Time         `json:"createdAt"`
	UpdatedAt  time.Time         `json:"updatedAt"`
}

// Source is where documents of a base come from: the objects of a bucket below a prefix.
type Source struct {
	ID          string          `json:"id"`
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Bucket      string          `json:"bucket"`
	Prefix      string          `json:"prefix,omitempty"`
	Config      json.RawMessage `json:"config"`              // the caller's words
	Ingestion   json.RawMessage `json:"ingestion,omitempty"` // the caller's words
	Chunking    Chunking        `json:"chunking"`
	// Retain keeps the chunks when the source is deleted.
	Retain    bool      `json:"retain,omitempty"`
	Token     string    `json:"token,omitempty"`
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// Status of a job.
type Status string

const (
	Starting   Status = "STARTING"
	InProgress Status = "IN_PROGRESS"
	Complete   Status = "COMPLETE"
	Failed     Status = "FAILED"
)

// Job is one reading of a source.
type Job struct {
	ID          string    `json:"id"`
	Source      string    `json:"source"`
	Description string    `json:"description,omitempty"`
	Status      Status    `json:"status"`
	Counts      Counts    `json:"counts"`
	Failures    []string  `json:"failures,omitempty"` // why documents, or the job, failed; at most 20
	Token       string    `json:"token,omitempty"`
	StartedAt   time.Time `json:"startedAt"`
	UpdatedAt   time.Time `json:"updatedAt"`
}

// Counts are documents.
type Counts struct {
	Scanned, ScannedMetadata, New, Modified, ModifiedMetadata, Deleted, Failed, Skipped int64
}

// done reports whether a job has come to its end.
func (j Job) done() bool { return j.Status == Complete || j.Status == Failed }
