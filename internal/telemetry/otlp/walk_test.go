package otlp_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	rpc "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
	"github.com/moorage-dev/moorage/internal/telemetry/otlp"
)

// station is an inlet in front of a real archive. Requests come from the sandbox in From, if it is set.
type station struct {
	*archive.Archive
	inlet *otlp.Inlet
	url   string
	from  *telemetry.Source
	birth time.Time
}

func newStation(t *testing.T) *station {
	t.Helper()
	return openStation(t, archive.Options{Dir: t.TempDir()})
}

func openStation(t testing.TB, o archive.Options) *station {
	t.Helper()
	o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	a, err := archive.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	s := &station{Archive: a, inlet: otlp.New(a.Append, a.Codec(), o.Log)}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.from != nil {
			r = r.WithContext(telemetry.WithBirth(telemetry.WithSource(r.Context(), *s.from), s.birth))
		}
		s.inlet.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	s.url = srv.URL
	return s
}

// post sends a body to a path and returns the answer.
func (s *station) post(t *testing.T, path, media, encoding string, body []byte) (int, []byte, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", media)
	if encoding != "" {
		r.Header.Set("Content-Encoding", encoding)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer, resp.Header
}

// send delivers spans as protobuf and fails the test unless they are taken.
func (s *station) send(t *testing.T, spans ptrace.Traces) {
	t.Helper()
	raw, err := ptraceotlp.NewExportRequestFromTraces(spans).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	if status, answer, _ := s.post(t, "/v1/traces", "application/x-protobuf", "", raw); status != http.StatusOK {
		t.Fatalf("status %d: %q", status, answer)
	}
}

// sheet is spans in the making.
type sheet struct {
	ptrace.Traces
	spans ptrace.SpanSlice
	began time.Time
}

func newSheet() *sheet {
	t := ptrace.NewTraces()
	r := t.ResourceSpans().AppendEmpty()
	r.Resource().Attributes().PutStr("service.name", "newsroom")
	return &sheet{t, r.ScopeSpans().AppendEmpty().Spans(), time.Now().Add(-time.Minute)}
}

// add makes a span of trace n with a number of its own, below another unless parent is 0, that runs from
// one to another moment, in milliseconds.
func (s *sheet) add(trace, id, parent uint64, name string, from, to int, attributes map[string]any) ptrace.Span {
	span := s.spans.AppendEmpty()
	span.SetTraceID(traceID(trace))
	span.SetSpanID(spanID(id))
	if parent != 0 {
		span.SetParentSpanID(spanID(parent))
	}
	span.SetName(name)
	span.SetStartTimestamp(pcommon.NewTimestampFromTime(s.began.Add(time.Duration(from) * time.Millisecond)))
	span.SetEndTimestamp(pcommon.NewTimestampFromTime(s.began.Add(time.Duration(to) * time.Millisecond)))
	if err := span.Attributes().FromRaw(attributes); err != nil {
		panic(err)
	}
	return span
}

func traceID(n uint64) (id pcommon.TraceID) { binary.BigEndian.PutUint64(id[8:], n); return id }
func spanID(n uint64) (id pcommon.SpanID)   { binary.BigEndian.PutUint64(id[:], n); return id }

func (s *station) trace(t *testing.T, n uint64) telemetry.Trace {
	t.Helper()
	out, err := s.Trace(t.Context(), telemetry.TraceID(traceID(n)))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (s *station) traces(t *testing.T, q archive.Query) []telemetry.TraceSummary {
	t.Helper()
	page, _, err := s.Traces(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// modelCall is one call as three layers report it: the agent, its framework and the client library.
func modelCall(s *sheet) {
	usage := map[string]any{"gen_ai.usage.input_tokens": 21245, "gen_ai.usage.output_tokens": 310, "gen_ai.request.model": "nova-pro"}
	with := func(operation string) map[string]any {
		out := map[string]any{"gen_ai.operation.name": operation, "session.id": "s-outside"}
		for k, v := range usage {
			out[k] = v
		}
		return out
	}
	s.add(1, 1, 0, "POST /invocations", 0, 1000, map[string]any{"http.request.method": "POST", "session.id": "s-outside"})
	s.add(1, 2, 1, "invoke_agent supervisor", 10, 990, with("invoke_agent"))
	s.add(1, 3, 2, "chat", 20, 900, with("chat"))
	s.add(1, 4, 3, "chat nova-pro", 30, 890, with("chat"))
}

func TestTraces_countAModelCallOnce(t *testing.T) {
	s := newStation(t)
	spans := newSheet()
	modelCall(spans)
	s.send(t, spans.Traces)
	list := s.traces(t, archive.Query{})
	if len(list) != 1 {
		t.Fatalf("%d traces", len(list))
	}
	got := list[0]
	if got.Input != 21245 || got.Output != 310 || got.ModelCalls != 1 || got.Spans != 4 || got.DurationMs != 1000 || got.Name != "POST /invocations" {
		t.Errorf("the list says %+v", got)
	}
	if got.SessionID != "s-outside" || got.Runtime != "newsroom" {
		t.Errorf("session %q of %q", got.SessionID, got.Runtime)
	}
	whole := s.trace(t, 1)
	if whole.Input != 21245 || len(whole.Spans) != 4 || whole.Spans[3].Depth != 3 || !whole.Spans[3].Model.Counted || whole.Spans[2].Model.Counted {
		t.Errorf("the trace says %+v", whole)
	}
	if self := whole.Spans[0].SelfMs; self != 20 {
		t.Errorf("the root ran alone for %v ms", self)
	}
}

// The outer spans of a call end last and so come last: what was counted is taken back.
func TestTraces_countOnceWhateverComesFirst(t *testing.T) {
	all := newSheet()
	modelCall(all)
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 3, 1, 0}, {2, 0, 3, 1}} {
		s := newStation(t)
		for _, n := range order {
			one := newSheet()
			all.spans.At(n).CopyTo(one.spans.AppendEmpty())
			s.send(t, one.Traces)
			s.send(t, one.Traces) // and once more, as a client does that saw no answer
		}
		got := s.traces(t, archive.Query{})[0]
		if got.Input != 21245 || got.ModelCalls != 1 || got.Spans != 4 {
			t.Errorf("in the order %v: %+v", order, got)
		}
	}
}

func TestTraces_spanPartitionsAndRestarts(t *testing.T) {
	all := newSheet()
	modelCall(all)
	dir := t.TempDir()
	for n := range 4 {
		s := openStation(t, archive.Options{Dir: dir, Partition: 1}) // every commit fills one
		one := newSheet()
		all.spans.At(3 - n).CopyTo(one.spans.AppendEmpty())
		s.send(t, one.Traces)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := openStation(t, archive.Options{Dir: dir})
	list := s.traces(t, archive.Query{Limit: 2})
	if len(list) != 1 || list[0].Input != 21245 || list[0].Spans != 4 || list[0].Name != "POST /invocations" || list[0].DurationMs != 1000 {
		t.Errorf("the list says %+v", list)
	}
	if whole := s.trace(t, 1); len(whole.Spans) != 4 || whole.Spans[3].Depth != 3 {
		t.Errorf("the trace says %+v", whole)
	}
	sessions, _, err := s.Sessions(t.Context(), archive.Query{})
	if err != nil || len(sessions) != 1 || sessions[0].Traces != 1 || sessions[0].Input != 21245 || sessions[0].P95Ms != 1000 {
		t.Errorf("sessions: %+v, %v", sessions, err)
	}
}

func TestInlet_aSandboxCannotPoseAsAnother(t *testing.T) {
	s := newStation(t)
	s.from = &telemetry.Source{Runtime: "mine-0123456789", Session: "s1", Caller: "caller-1", Sandbox: "box"}
	spans := newSheet()
	modelCall(spans)
	s.send(t, spans.Traces)
	got := s.traces(t, archive.Query{})[0]
	if got.SessionID != "s1" || got.Runtime != "mine-0123456789" || got.CallerSessionID != "caller-1" {
		t.Errorf("the trace went to %+v", got)
	}
	if n := s.inlet.Overruled(); n != 4 {
		t.Errorf("%d spans were overruled", n)
	}
}

func TestInlet_aCloneReportsOnlyWhatItDidItself(t *testing.T) {
	s := newStation(t)
	spans := newSheet()
	s.from, s.birth = &telemetry.Source{Runtime: "mine-0123456789", Sandbox: "clone"}, spans.began.Add(time.Second)
	spans.add(1, 1, 0, "imported", 0, 2000, nil)
	spans.add(2, 2, 0, "answered", 1500, 2000, nil)
	s.send(t, spans.Traces)
	if got := s.traces(t, archive.Query{}); len(got) != 1 || got[0].Name != "answered" {
		t.Errorf("kept: %+v", got)
	}
	if n := s.inlet.Inherited(); n != 1 {
		t.Errorf("%d spans were counted as inherited", n)
	}
}

func TestInlet_takesEveryFormOfOTLP(t *testing.T) {
	spans := newSheet()
	modelCall(spans)
	request := ptraceotlp.NewExportRequestFromTraces(spans.Traces)
	protobuf, err := request.MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	text, err := request.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		media, encoding string
		body            []byte
	}{
		"protobuf":         {"application/x-protobuf", "", protobuf},
		"protobuf, zipped": {"application/x-protobuf", "gzip", zipped(t, protobuf)},
		"JSON":             {"application/json; charset=utf-8", "", text},
		"JSON, zipped":     {"application/json", "gzip", zipped(t, text)},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStation(t)
			status, answer, header := s.post(t, "/v1/traces", c.media, c.encoding, c.body)
			if status != http.StatusOK || !strings.HasPrefix(c.media, header.Get("Content-Type")) {
				t.Fatalf("%d %q %q", status, answer, header.Get("Content-Type"))
			}
			if len(s.trace(t, 1).Spans) != 4 {
				t.Error("not all spans are there")
			}
		})
	}
}

func zipped(t *testing.T, raw []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestInlet_refusesWhatIsTooMuchOrNothing(t *testing.T) {
	s := newStation(t)
	for name, c := range map[string]struct {
		path, media, encoding string
		body                  []byte
		status                int
	}{
		"another path":     {"/v1/profiles", "application/x-protobuf", "", nil, 404},
		"another type":     {"/v1/traces", "text/plain", "", nil, 400},
		"another encoding": {"/v1/traces", "application/json", "br", nil, 400},
		"no protobuf":      {"/v1/traces", "application/x-protobuf", "", []byte("\xff\xff\xff"), 400},
		"no JSON":          {"/v1/traces", "application/json", "", []byte("{"), 400},
		"no gzip":          {"/v1/traces", "application/json", "gzip", []byte("{}"), 400},
		"large":            {"/v1/traces", "application/json", "", make([]byte, otlp.MaxBody+1), 413},
		"a bomb":           {"/v1/traces", "application/json", "gzip", zipped(t, make([]byte, otlp.MaxInflated+1)), 413},
		"deep protobuf":    {"/v1/traces", "application/x-protobuf", "", deep(t, 2_000), 400},
		"deep JSON":        {"/v1/traces", "application/json", "", bytes.Repeat([]byte(`{"resourceSpans":[`), 100_000), 400},
	} {
		t.Run(name, func(t *testing.T) {
			status, answer, _ := s.post(t, c.path, c.media, c.encoding, c.body)
			if status != c.status {
				t.Errorf("answered %d %q, want %d", status, answer, c.status)
			}
			if said := new(rpc.Status); c.media != "application/json" && (proto.Unmarshal(answer, said) != nil || said.Message == "") {
				t.Errorf("the answer is no status: %q", answer)
			}
		})
	}
}

// deep is a span with an attribute of lists in lists.
func deep(t *testing.T, levels int) []byte {
	t.Helper()
	field := func(n byte, content []byte) []byte {
		return append(binary.AppendUvarint([]byte{n<<3 | 2}, uint64(len(content))), content...)
	}
	value := []byte{}
	for range levels {
		value = field(5, field(1, value))
	}
	span := field(9, field(2, value))
	return field(1, field(2, field(2, span)))
}

func TestInlet_saysWhichSpansItRefuses(t *testing.T) {
	s := newStation(t)
	spans := newSheet()
	spans.add(7, 1, 0, "fine", 0, 1, nil)
	spans.add(7, 0, 0, "nameless", 0, 1, nil)
	raw, err := ptraceotlp.NewExportRequestFromTraces(spans.Traces).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	_, answer, _ := s.post(t, "/v1/traces", "application/x-protobuf", "", raw)
	response := ptraceotlp.NewExportResponse()
	if err := response.UnmarshalProto(answer); err != nil || response.PartialSuccess().RejectedSpans() != 1 {
		t.Errorf("%q, %v", answer, err)
	}
	if n := len(s.trace(t, 7).Spans); n != 1 {
		t.Errorf("%d spans are there", n)
	}
}

// Orphans hang where their times fit; those that would be above themselves hang somewhere too.
func TestTrace_isATreeWhateverComes(t *testing.T) {
	s := newStation(t)
	spans := newSheet()
	spans.add(2, 1, 0, "root", 0, 100, nil)
	spans.add(2, 2, 99, "orphan", 10, 20, nil)
	spans.add(2, 3, 2, "below it", 11, 12, nil)
	spans.add(2, 4, 5, "loop", 30, 40, nil)
	spans.add(2, 5, 4, "loop", 31, 39, nil)
	spans.add(2, 6, 6, "own parent", 50, 40, nil)
	s.send(t, spans.Traces)
	got := s.trace(t, 2)
	if len(got.Spans) != 6 {
		t.Fatalf("%d spans", len(got.Spans))
	}
	seen := map[string]bool{"": true}
	for _, span := range got.Spans {
		if !seen[span.ParentID] {
			t.Errorf("%s comes before its parent", span.Name)
		}
		seen[span.SpanID] = true
		if (span.Depth == 0) != (span.ParentID == "") || span.DurationMs < 0 || span.SelfMs < 0 {
			t.Errorf("%+v", span)
		}
	}
	if o := got.Spans[1]; o.Name != "orphan" || o.ParentID != got.Spans[0].SpanID || o.ReportedID == "" {
		t.Errorf("the orphan is %+v", o)
	}
	spans = newSheet()
	spans.add(2, 99, 1, "late parent", 5, 25, nil)
	s.send(t, spans.Traces)
	for _, span := range s.trace(t, 2).Spans {
		if span.Name == "orphan" && span.ReportedID != "" {
			t.Errorf("the parent came, and the orphan is still %+v", span)
		}
	}
}

func TestAppend_fullQueueAsksToComeAgain(t *testing.T) {
	a, err := archive.Open(t.Context(), archive.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	inlet := otlp.New(func(context.Context, telemetry.Batch) error { return archive.ErrFull }, a.Codec(), slog.New(slog.DiscardHandler))
	t.Cleanup(func() { a.Close() })
	spans := newSheet()
	spans.add(1, 1, 0, "x", 0, 1, nil)
	raw, err := ptraceotlp.NewExportRequestFromTraces(spans.Traces).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "/v1/traces", bytes.NewReader(raw))
	r.Header.Set("Content-Type", "application/x-protobuf")
	w := httptest.NewRecorder()
	inlet.ServeHTTP(w, r)
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
}
