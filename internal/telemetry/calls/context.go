package calls

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// The headers by which a trace goes on from one process to the next.
const (
	headerParent  = "Traceparent"
	headerState   = "Tracestate"
	headerXRay    = "X-Amzn-Trace-Id"
	headerBaggage = "Baggage"
)

// traceContext is the trace that a call is in, and the span that made it; zero where nobody said.
type traceContext struct {
	trace  telemetry.TraceID
	parent telemetry.SpanID
	begun  bool // by this call
}

// contextOf reads the caller's trace, or begins one. As X-Ray's do, its id begins with the time.
func contextOf(h http.Header, now time.Time) (c traceContext) {
	if c, ok := parseParent(h.Get(headerParent)); ok {
		return c
	}
	if c, ok := parseXRay(h.Get(headerXRay)); ok {
		return c
	}
	c.begun = true
	binary.BigEndian.PutUint64(c.trace[8:], rand.Uint64())
	binary.BigEndian.PutUint64(c.trace[:8], uint64(now.Unix())<<32|uint64(rand.Uint32()))
	return c
}

func newSpanID() (id telemetry.SpanID) {
	binary.BigEndian.PutUint64(id[:], rand.Uint64()|1) // never zero, which is no span
	return id
}

// parseParent reads W3C's traceparent: VERSION-TRACE-PARENT-FLAGS.
func parseParent(text string) (c traceContext, ok bool) {
	if len(text) < 55 || text[2] != '-' || text[35] != '-' || text[52] != '-' || text[:2] == "ff" {
		return c, false
	}
	_, err := hex.Decode(c.trace[:], []byte(text[3:35]))
	_, bad := hex.Decode(c.parent[:], []byte(text[36:52]))
	return c, err == nil && bad == nil && c.trace != telemetry.TraceID{} && !c.parent.IsZero()
}

// parseXRay reads Root=1-8-24;Parent=16;Sampled=1, of which all but Root may be missing.
func parseXRay(text string) (c traceContext, ok bool) {
	for part := range strings.SplitSeq(text, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch key {
		case "Root":
			c.trace, ok = telemetry.ParseTraceID(value)
		case "Parent":
			if raw, err := hex.DecodeString(value); err == nil && len(raw) == len(c.parent) {
				copy(c.parent[:], raw)
			}
		}
	}
	return c, ok && c.trace != telemetry.TraceID{}
}

// Propagate makes the agent's request part of the trace. The caller's own baggage stays; the session
// in it is ours.
func (s *Span) Propagate(to http.Header) {
	if s == nil {
		return
	}
	if _, ok := parseParent(to.Get(headerParent)); !ok {
		to.Del(headerState) // it belongs to a trace that was none
	}
	trace, span := s.context.trace[:], s.id[:]
	var room [1 << 8]byte
	b := hex.AppendEncode(append(room[:0], "00-"...), trace)
	b = append(hex.AppendEncode(append(b, '-'), span), "-01"...)
	parent := len(b)
	b = hex.AppendEncode(append(b, "Root=1-"...), trace[:4])
	b = hex.AppendEncode(append(b, '-'), trace[4:])
	b = append(hex.AppendEncode(append(b, ";Parent="...), span), ";Sampled=1"...)
	text := string(b)
	values := []string{text[:parent], text[parent:], baggage(to[headerBaggage], s.call.Source.Caller)}
	to[headerParent], to[headerXRay], to[headerBaggage] = values[:1:1], values[1:2:2], values[2:]
}

// maxBaggage is how much of a caller's baggage is handed on, in bytes. Source: W3C Baggage, limits.
const maxBaggage = 8192

// baggage is the caller's without the session that it may name, and ours.
func baggage(sent []string, session string) string {
	ours := "session.id=" + url.PathEscape(session)
	if len(sent) == 0 {
		return ours
	}
	var kept []string
	left := maxBaggage
	for _, line := range sent {
		for member := range strings.SplitSeq(line, ",") {
			key, _, _ := strings.Cut(member, "=")
			if member = strings.TrimSpace(member); member == "" || strings.TrimSpace(key) == "session.id" {
				continue
			}
			if left -= len(member) + 1; left < 0 {
				break
			}
			kept = append(kept, member)
		}
	}
	return strings.Join(append(kept, ours), ",")
}

// ParentOf is what a request from inside a session belongs to: what its headers say, else the call that the
// session is answering, the last one where there are several. Trace is zero where there is neither.
func (r *Recorder) ParentOf(h http.Header, session string) (telemetry.TraceID, telemetry.SpanID) {
	if c := contextOf(h, time.Time{}); !c.begun {
		return c.trace, c.parent
	}
	if s, ok := r.current.Load(session); ok && session != "" {
		return s.(*Span).context.trace, s.(*Span).id
	}
	return telemetry.TraceID{}, telemetry.SpanID{}
}
