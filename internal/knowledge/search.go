package knowledge

import (
	"encoding/json"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// Search is one search in a base, as it went.
type Search struct {
	Base  string
	Query Query
	Found []Passage
	Began time.Time
	Took  time.Duration
	Err   error
}

// maxShown is how much of each passage, in characters, a span tells.
const maxShown = 1000

// Describe writes a search into a span. Source: OpenTelemetry semantic conventions for generative AI, retrievals.
func (s Search) Describe(span ptrace.Span) {
	span.SetName("retrieval " + s.Base)
	span.SetKind(ptrace.SpanKindClient)
	span.SetStartTimestamp(pcommon.NewTimestampFromTime(s.Began))
	span.SetEndTimestamp(pcommon.NewTimestampFromTime(s.Began.Add(s.Took)))
	a := span.Attributes()
	a.PutStr("gen_ai.operation.name", "retrieval")
	a.PutStr("gen_ai.provider.name", "aws.bedrock")
	a.PutStr("gen_ai.data_source.id", s.Base)
	a.PutStr("gen_ai.retrieval.query.text", s.Query.Text)
	if s.Err != nil {
		span.Status().SetCode(ptrace.StatusCodeError)
		span.Status().SetMessage(s.Err.Error())
		return
	}
	if doc, err := json.Marshal(s.documents()); err == nil { // texts and numbers always can be
		a.PutStr("gen_ai.retrieval.documents", string(doc))
	}
}

// document is a passage as a span tells of it.
type document struct {
	ID      string  `json:"id"`
	Score   float64 `json:"score"`
	Source  string  `json:"source"`
	Entity  string  `json:"entity,omitempty"` // whose sub-query found it
	Content string  `json:"content"`
}

func (s Search) documents() []document {
	out := []document{}
	for _, p := range s.Found {
		text := []rune(p.Text)
		out = append(out, document{p.ID, p.Score, p.Document.URI, p.Entity, string(text[:min(len(text), maxShown)])})
	}
	return out
}
