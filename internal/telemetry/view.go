package telemetry

import "time"

// TraceSummary is one trace in a list. Everything in it may still change while spans arrive.
type TraceSummary struct {
	TraceID         string    `json:"traceId"`
	SessionID       string    `json:"sessionId,omitempty"`       // internal id
	CallerSessionID string    `json:"callerSessionId,omitempty"` // the caller's own
	Runtime         string    `json:"runtime,omitempty"`         // id
	Endpoint        string    `json:"endpoint,omitempty"`
	Name            string    `json:"name"` // the root span's
	Start           time.Time `json:"start"`
	End             time.Time `json:"end"`
	DurationMs      float64   `json:"durationMs"` // of the root span; of everything so far while that is not there
	Rooted          bool      `json:"rooted"`     // the root span is there
	Spans           int       `json:"spans"`
	Hidden          int       `json:"hidden"` // how many of them are plumbing
	Errors          int       `json:"errors"`
	Error           string    `json:"error,omitempty"` // the first failure's own words
	ModelCalls      int       `json:"modelCalls"`
	ToolCalls       int       `json:"toolCalls"`
	Usage
	CostUSD float64 `json:"costUsd"`
}

// Trace is a whole trace.
type Trace struct {
	TraceSummary
	Spans     []Span           `json:"spans"`     // parents before their children, siblings by start
	Resources []map[string]any `json:"resources"` // attributes of whoever sent spans; Span.Resource is an index
	Logs      []Log            `json:"logs"`      // by time
}

// Span is one step of a trace, as far as it is understood, and as it came.
type Span struct {
	SpanID     string    `json:"spanId"`
	ParentID   string    `json:"parentId,omitempty"`   // where it hangs in the tree
	ReportedID string    `json:"reportedId,omitempty"` // the parent that it named, where that never came
	Depth      int       `json:"depth"`                // 0 for roots
	Name       string    `json:"name"`
	Kind       Kind      `json:"kind"`
	Noise      bool      `json:"noise,omitempty"` // plumbing: folded and counted
	Start      time.Time `json:"start"`
	OffsetMs   float64   `json:"offsetMs"` // from the start of the trace
	DurationMs float64   `json:"durationMs"`
	SelfMs     float64   `json:"selfMs"` // without what its children cover
	Status     string    `json:"status"` // unset, ok or error
	Error      string    `json:"error,omitempty"`

	Agent  string     `json:"agent,omitempty"` // the agent's name, of an agent's span
	Model  *ModelCall `json:"model,omitempty"`
	Tool   *ToolCall  `json:"tool,omitempty"`
	Input  []Message  `json:"input,omitempty"`
	Output []Message  `json:"output,omitempty"`

	SpanKind   string         `json:"spanKind"` // OpenTelemetry's: server, client, internal, …
	Scope      string         `json:"scope,omitempty"`
	Resource   int            `json:"resource"`
	Attributes map[string]any `json:"attributes"` // as they came
	Events     []Event        `json:"events,omitempty"`
	Links      []Link         `json:"links,omitempty"`
}

// ModelCall is what is known of a call to a model.
type ModelCall struct {
	Name     string `json:"name,omitempty"`
	Provider string `json:"provider,omitempty"`
	Usage
	CostUSD      float64 `json:"costUsd"`
	Priced       bool    `json:"priced"`  // the price table knows the model
	Counted      bool    `json:"counted"` // false where an inner span reports the same call: the sums count that
	FirstTokenMs float64 `json:"firstTokenMs,omitempty"`
	FinishReason string  `json:"finishReason,omitempty"`
}

// ToolCall is what is known of a call to a tool. Arguments and Result are JSON values where they
// could be read as such, else strings.
type ToolCall struct {
	Name      string `json:"name,omitempty"`
	CallID    string `json:"callId,omitempty"`
	Arguments any    `json:"arguments,omitempty"`
	Result    any    `json:"result,omitempty"`
}

// Message is one message to or from a model, agent or tool.
type Message struct {
	Role         string `json:"role"` // system, user, assistant or tool
	Parts        []Part `json:"parts"`
	FinishReason string `json:"finishReason,omitempty"`
}

// Part is a piece of a message.
type Part struct {
	Type   string `json:"type"` // text, reasoning, tool_call, tool_result, or other
	Text   string `json:"text,omitempty"`
	Name   string `json:"name,omitempty"`   // of the tool
	CallID string `json:"callId,omitempty"` // that joins a call and its result
	Value  any    `json:"value,omitempty"`  // a call's arguments, a result, or something of another kind
}

// Event is something that happened within a span.
type Event struct {
	Name       string         `json:"name"`
	Time       time.Time      `json:"time"`
	Attributes map[string]any `json:"attributes,omitempty"`
}

// Link points to a span of another trace.
type Link struct {
	TraceID string `json:"traceId"`
	SpanID  string `json:"spanId"`
}

// Log is one log record, or one line that an agent printed.
type Log struct {
	ID         string         `json:"id"` // stable and unique
	Time       time.Time      `json:"time"`
	Stream     string         `json:"stream"` // stdout, stderr, or otel for what came as OTLP
	Severity   string         `json:"severity,omitempty"`
	Message    string         `json:"message"`
	Body       any            `json:"body,omitempty"` // where it is more than a string
	Attributes map[string]any `json:"attributes,omitempty"`
	TraceID    string         `json:"traceId,omitempty"`
	SpanID     string         `json:"spanId,omitempty"`
	RequestID  string         `json:"requestId,omitempty"`
	SessionID  string         `json:"sessionId,omitempty"`
	Runtime    string         `json:"runtime,omitempty"`
	// Inferred is set on a line of a trace that names no trace itself: the session printed it while the
	// trace ran.
	Inferred bool `json:"inferred,omitempty"`
}

// SessionSummary is what the traces of one session add up to.
type SessionSummary struct {
	SessionID       string    `json:"sessionId"`
	CallerSessionID string    `json:"callerSessionId,omitempty"`
	Runtime         string    `json:"runtime,omitempty"`
	Endpoint        string    `json:"endpoint,omitempty"`
	First           time.Time `json:"first"`
	Last            time.Time `json:"last"`
	Traces          int       `json:"traces"`
	Spans           int       `json:"spans"`
	Errors          int       `json:"errors"` // traces with a failure in them
	ModelCalls      int       `json:"modelCalls"`
	ToolCalls       int       `json:"toolCalls"`
	Usage
	CostUSD float64 `json:"costUsd"`
	P50Ms   float64 `json:"p50Ms"` // of its traces' durations
	P95Ms   float64 `json:"p95Ms"`
}

// SessionTrace is everything that is known of a session, in order.
type SessionTrace struct {
	Session SessionSummary `json:"session"`
	Traces  []Trace        `json:"traces"` // by start
	Logs    []Log          `json:"logs"`   // those that belong to no trace, by time
	Cut     bool           `json:"cut"`    // there is more than one answer holds
}

// MetricSeries is a metric over time, for the labels by which it was asked.
type MetricSeries struct {
	Labels map[string]string `json:"labels"`
	Points []MetricPoint     `json:"points"` // by time; none where nothing was measured
}

// MetricPoint is what was measured in one step. Quantiles are within one percent; they are 0 where only
// sums are known.
type MetricPoint struct {
	Time   time.Time `json:"time"` // when the step begins
	Count  int64     `json:"count"`
	Errors int64     `json:"errors,omitempty"`
	Sum    float64   `json:"sum"`
	Mean   float64   `json:"mean"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
	P50    float64   `json:"p50"`
	P90    float64   `json:"p90"`
	P95    float64   `json:"p95"`
	P99    float64   `json:"p99"`
}

// MetricName is a metric that can be asked for.
type MetricName struct {
	Name   string   `json:"name"`
	Unit   string   `json:"unit,omitempty"`
	Labels []string `json:"labels"` // by which it can be split, beside runtime and endpoint
}

// TailItem is something that came in just now.
type TailItem struct {
	Type      string `json:"type"` // trace: spans of a trace came; log: a line came
	TraceID   string `json:"traceId,omitempty"`
	SessionID string `json:"sessionId,omitempty"`
	Runtime   string `json:"runtime,omitempty"`
	Endpoint  string `json:"endpoint,omitempty"`
	Spans     int    `json:"spans,omitempty"`  // how many
	Errors    int    `json:"errors,omitempty"` // among them
	Ended     bool   `json:"ended,omitempty"`  // a root is among them: the call is over
	Log       *Log   `json:"log,omitempty"`
	Missed    int    `json:"missed,omitempty"` // items before this one that the reader was too slow for
}
