package calls

import (
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/telemetry"
)

// Bounds of what is kept of payloads: bytes of each, and of all that wait to be written. A record has room for that at AWS, too.
const (
	maxWords   = 100 << 10
	maxWaiting = 32 << 20
)

// ApplicationStream is the log stream of application logs.
const ApplicationStream = "BedrockAgentCoreRuntime_ApplicationLogs"

// Vended is where the application logs of an endpoint go: a record for each call of an agent, with what was asked and answered.
type Vended struct {
	Group  string
	Fields []string // of the record; none is all
}

// Words are what a call said and was answered, as far as that is kept. Nil keeps nothing.
type Words struct {
	recorder *Recorder
	to       []Vended

	mu              sync.Mutex // the transport may still read when the answer is there
	asked, answered []byte
	cut             [2]bool
}

// Words returns what keeps the payloads of a call; nil where nobody wants them.
func (s *Span) Words() *Words {
	if s == nil || s.recorder.Vend == nil {
		return nil
	}
	if to := s.recorder.Vend(s.call.Source); len(to) > 0 {
		s.words = &Words{recorder: s.recorder, to: to}
	}
	return s.words
}

// Asked takes in a piece of the request.
func (w *Words) Asked(b []byte) {
	if w != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.asked, w.cut[0] = w.keep(w.asked, b, w.cut[0])
	}
}

// Answered takes in a piece of the answer.
func (w *Words) Answered(b []byte) {
	if w != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.answered, w.cut[1] = w.keep(w.answered, b, w.cut[1])
	}
}

func (w *Words) keep(to, b []byte, cut bool) ([]byte, bool) {
	n := min(len(b), maxWords-len(to))
	if cut || w.recorder.waiting.Add(int64(n)) > maxWaiting {
		w.recorder.waiting.Add(int64(-n))
		return to, true
	}
	return append(to, b[:n]...), n < len(b)
}

// take returns them, and makes room for others'.
func (w *Words) take() (asked, answered any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.recorder.waiting.Add(-int64(len(w.asked) + len(w.answered)))
	asked, answered = payload(w.asked, w.cut[0]), payload(w.answered, w.cut[1])
	w.asked, w.answered, w.cut = nil, nil, [2]bool{true, true} // what comes now comes too late
	return asked, answered
}

// payload is a payload as records show it: JSON as itself, all else as text.
func payload(b []byte, cut bool) any {
	switch {
	case len(b) == 0 && !cut:
		return nil
	case !cut && json.Valid(b):
		return json.RawMessage(b)
	}
	for cut && len(b) > 0 && !utf8.FullRune(b[max(0, len(b)-utf8.UTFMax):]) {
		b = b[:len(b)-1]
	}
	text := string(b)
	if cut {
		text += "… (cut)"
	}
	return text
}

// application writes the record of a call. Source: AgentCore developer guide, application log data, and records of accounts.
func (s *Span) application() map[string]any {
	asked, answered := s.words.take()
	record := map[string]any{
		"resource_arn":    moorage.RuntimeARN(s.recorder.region, s.recorder.account, s.call.Source.Runtime).String(),
		"event_timestamp": s.began.Add(s.took).UnixMilli(), "account_id": s.recorder.account, "request_id": s.call.RequestID,
		"session_id": s.call.Source.Caller, "trace_id": s.context.trace.String(), "span_id": s.id.String(),
		"service_name": "AgentCoreCodeRuntime", "operation": s.call.Operation,
	}
	if asked != nil {
		record["request_payload"] = asked
	}
	switch {
	case answered != nil:
		record["response_payload"] = answered
	case s.err != nil:
		record["response_payload"] = map[string]string{"error": s.err.Error()}
	}
	return record
}

// vended writes the application logs of finished calls, by the group.
func (r *Recorder) vended(finished []*Span) (out []telemetry.Lines, err error) {
	logs, groups := map[string]plog.LogRecordSlice{}, map[string]plog.Logs{}
	first, last := finished[0].began, finished[0].began
	for _, s := range finished {
		record := s.application()
		at := s.began.Add(s.took)
		if at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
		for _, to := range s.words.to {
			if _, ok := groups[to.Group]; !ok {
				groups[to.Group] = plog.NewLogs()
				logs[to.Group] = groups[to.Group].ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
			}
			text, err := json.Marshal(to.pick(record))
			if err != nil {
				return nil, err
			}
			line := logs[to.Group].AppendEmpty()
			line.SetTimestamp(pcommon.NewTimestampFromTime(at))
			line.Body().SetStr(string(text))
			line.Attributes().PutStr(telemetry.LogStreamKey, ApplicationStream)
		}
	}
	for group, doc := range groups {
		packed, err := r.codec.PackLogs(doc)
		if err != nil {
			return nil, err
		}
		out = append(out, telemetry.Lines{
			Source: telemetry.Source{Group: group}, Doc: packed, Count: doc.LogRecordCount(), First: first.UnixNano(), Last: last.UnixNano(),
		})
	}
	return out, nil
}

func (v Vended) pick(record map[string]any) map[string]any {
	if len(v.Fields) == 0 {
		return record
	}
	picked := maps.Clone(record)
	maps.DeleteFunc(picked, func(name string, _ any) bool { return !slices.Contains(v.Fields, name) })
	return picked
}
