package telemetry

import (
	"encoding/hex"
	"time"
)

// TraceID and SpanID are OpenTelemetry's.
type (
	TraceID [16]byte
	SpanID  [8]byte
)

func (id TraceID) String() string { return hex.EncodeToString(id[:]) }
func (id SpanID) String() string  { return hex.EncodeToString(id[:]) }

// IsZero reports whether there is no such span: the parent of a root.
func (id SpanID) IsZero() bool { return id == SpanID{} }

// ParseTraceID reads 32 hexadecimal digits, or the form 1-8-24 that X-Ray writes.
func ParseTraceID(text string) (id TraceID, ok bool) {
	if len(text) == 35 && text[:2] == "1-" && text[10] == '-' {
		text = text[2:10] + text[11:]
	}
	raw, err := hex.DecodeString(text)
	return TraceID(append(raw, id[:]...)[:16]), err == nil && len(raw) == 16
}

// ParseSpanID reads 16 hexadecimal digits.
func ParseSpanID(text string) (id SpanID, ok bool) {
	raw, err := hex.DecodeString(text)
	return SpanID(append(raw, id[:]...)[:8]), err == nil && len(raw) == 8
}

// Kind says what a span is about.
type Kind string

// The kinds of spans.
const (
	Service   Kind = "service"   // a call as the platform saw it
	Agent     Kind = "agent"     // an agent, or one turn of its loop
	Model     Kind = "model"     // a call to a language or embedding model
	Tool      Kind = "tool"      // a tool, MCP included
	Retrieval Kind = "retrieval" // a search in a knowledge base
	Memory    Kind = "memory"    // an agent's memory
	HTTP      Kind = "http"      // a request in or out
	Internal  Kind = "internal"  // everything else
)

// Usage is what model calls consumed, in tokens. Cached and CacheWritten are part of Input.
type Usage struct {
	Input        int64 `json:"inputTokens"`
	Output       int64 `json:"outputTokens"`
	Cached       int64 `json:"cachedTokens,omitempty"`
	CacheWritten int64 `json:"cacheWrittenTokens,omitempty"`
	Reasoning    int64 `json:"reasoningTokens,omitempty"` // part of Output
}

// Add returns u and v together.
func (u Usage) Add(v Usage) Usage {
	return Usage{u.Input + v.Input, u.Output + v.Output, u.Cached + v.Cached, u.CacheWritten + v.CacheWritten, u.Reasoning + v.Reasoning}
}

// Minus returns u without v.
func (u Usage) Minus(v Usage) Usage {
	return u.Add(Usage{-v.Input, -v.Output, -v.Cached, -v.CacheWritten, -v.Reasoning})
}

// Fact is what sums and lists need to know of one span.
type Fact struct {
	ID, Parent SpanID
	Name       string
	Kind       Kind
	Noise      bool   // plumbing that readers see folded
	Start, End int64  // nanoseconds since 1970; End is never before Start
	Error      string // why it failed; empty for one that did not
	Model      string // of a model call
	Tool       string // of a tool call
	Usage      Usage  // of a model call
	Fault      Fault  // of a service span
}

// Fault says whose a failed call's failure is.
type Fault string

// The faults of a call. Source: error_type of AgentCore's service spans.
const (
	NoFault     Fault = ""
	UserFault   Fault = "user"
	SystemFault Fault = "system"
	Throttle    Fault = "throttle"
)

// Chunk is the spans of one trace and source that came together.
type Chunk struct {
	Trace     TraceID
	Source    Source
	Size      int    // bytes of its part of the unpacked document
	Resources int    // how many ResourceSpans these are
	Facts     []Fact // one for each span
}

// Pack is chunks that came together. They are alike, and take less room and time packed together than one by one.
type Pack struct {
	Doc    []byte // an OTLP TracesData message for each of Chunks, in order, one after the other; compressed
	Chunks []Chunk
}

// Calls are service spans that ended together, of calls that began a trace each.
type Calls struct {
	Sources []Source // each once
	Doc     []byte   // an OTLP TracesData message with a ResourceSpans for each of Sources, in order; compressed
	Begun   []Begun  // one for each span
}

// Begun is a trace that a call began. Trace is an id that nobody had before.
type Begun struct {
	Trace  TraceID
	Source Source
	Fact   Fact
}

// Lines are log records that came together from one source.
type Lines struct {
	Source      Source
	Doc         []byte // compressed
	Count       int
	First, Last int64     // times of the records, nanoseconds since 1970
	Traces      []TraceID // that some of them belong to, each once
	Mark        int64     // how far the journal of the source's sandbox was read with them; 0 for other records
}

// Batch is what is kept in one piece: all of it, or nothing.
type Batch struct {
	Packs    []Pack
	Calls    []Calls
	Lines    []Lines
	Points   []Point
	Marks    []Mark
	Used     []Used
	Received time.Time
}

// Used is what a session took of the machine in a stretch of time, in its keeper's form.
type Used struct {
	Session     string // internal id
	First, Last int64  // nanoseconds since 1970
	Doc         []byte
}

// Mark says how far something is kept, in whatever its keeper counts: what is committed with it is not counted again.
type Mark struct {
	Key  string // of the keeper's making, as "usage/ID"; those of journals are their sandboxes' ids
	Next int64
}

// Point is what was measured of a metric in one interval.
type Point struct {
	Series   Series
	Time     int64   // nanoseconds since 1970
	Value    float64 // sum of all observations
	Count    int64   // how many these were
	Min, Max float64
	Parts    []Observed // the observations, as far as they are known one by one or in buckets
}

// Series names a metric of one source.
type Series struct {
	Runtime  string
	Endpoint string
	Name     string
	Unit     string
	Labels   string // JSON object with sorted keys, or empty
}

// Observed is a value that was seen so many times.
type Observed struct {
	Value float64
	Count int64
}
