package otlp

import (
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/genai"
)

// spanMessage writes a span with attributes of every type, an event, a link and a status.
func spanMessage(tb testing.TB, change func(ptrace.Span)) []byte {
	tb.Helper()
	doc := ptrace.NewTraces()
	span := doc.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	span.SetTraceID([16]byte{1})
	span.SetSpanID([8]byte{2})
	span.SetParentSpanID([8]byte{3})
	span.SetName("chat nova")
	span.SetStartTimestamp(4)
	span.SetEndTimestamp(5)
	span.SetFlags(1)
	a := span.Attributes()
	a.PutStr("gen_ai.operation.name", "chat")
	a.PutStr("gen_ai.request.model", "nova")
	a.PutInt("gen_ai.usage.input_tokens", 12)
	a.PutDouble("gen_ai.usage.output_tokens", 3)
	a.PutBool("yes", true)
	a.PutEmptyBytes("bytes").FromRaw([]byte{1})
	a.PutEmptySlice("gen_ai.response.finish_reasons").AppendEmpty().SetStr("stop")
	a.PutEmptyMap("map").PutEmptyMap("in").PutStr("it", "text")
	a.PutStr("gen_ai.conversation.id", "second")
	a.PutStr("session.id", "first")
	event := span.Events().AppendEmpty()
	event.SetName("gen_ai.choice")
	event.Attributes().PutStr("message", "hi")
	link := span.Links().AppendEmpty()
	link.SetTraceID([16]byte{6})
	link.SetSpanID([8]byte{7})
	span.Status().SetCode(ptrace.StatusCodeOk)
	change(span)
	message, err := marshalSpan(doc)
	if err != nil {
		tb.Fatal(err)
	}
	return message
}

func TestPlain_isWhatHasNothingToMend(t *testing.T) {
	for name, each := range map[string]struct {
		change func(ptrace.Span)
		plain  bool
	}{
		"a span of everything": {func(ptrace.Span) {}, true},
		"a failure":            {func(s ptrace.Span) { s.Status().SetCode(ptrace.StatusCodeError) }, false},
		"a secret":             {func(s ptrace.Span) { s.Attributes().PutStr("aws.auth.account.access_key", "AKIA") }, false},
		"a secret within":      {func(s ptrace.Span) { s.Attributes().PutEmptyMap("m").PutStr("aws.auth.account.access_key", "AKIA") }, false},
		"a secret of an event": {func(s ptrace.Span) { s.Events().At(0).Attributes().PutStr("aws.auth.account.access_key", "AKIA") }, false},
		"a long value":         {func(s ptrace.Span) { s.Attributes().PutStr("v", string(make([]byte, maxValue+1))) }, false},
		"a long name":          {func(s ptrace.Span) { s.SetName(string(make([]byte, maxName+1))) }, false},
		"no trace":             {func(s ptrace.Span) { s.SetTraceID([16]byte{}) }, false},
	} {
		message := spanMessage(t, each.change)
		if _, ok := readPlain(message); ok != each.plain {
			t.Errorf("%s is plain: %v", name, ok)
		}
		checkPlain(t, message)
	}
}

// FuzzPlain reads spans both ways: what is plain, OTLP's own library reads as well, has nothing to cut of it, and means the same.
func FuzzPlain(f *testing.F) {
	f.Add(spanMessage(f, func(ptrace.Span) {}))
	f.Add(spanMessage(f, func(s ptrace.Span) { s.Attributes().PutEmptySlice("session.id").AppendEmpty().SetDouble(1) }))
	f.Fuzz(func(t *testing.T, message []byte) {
		if checkDepth(append(appendHead(nil, 2, len(message)), message...), newSchema().traces[1][2]) == nil {
			checkPlain(t, message)
		}
	})
}

func checkPlain(t *testing.T, message []byte) {
	t.Helper()
	p, ok := readPlain(message)
	if !ok {
		return
	}
	p.scan.Complete(&p.fact, "scope")
	doc, err := unmarshalSpan(message)
	if err != nil {
		t.Fatal(err)
	}
	span := doc.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
	before, _ := marshalSpan(doc)
	trimSpan(span)
	if after, _ := marshalSpan(doc); string(before) != string(after) {
		t.Fatalf("%q has something to mend: %q", before, after)
	}
	if want := genai.Draw(span, "scope"); p.fact != want || p.trace != telemetry.TraceID(span.TraceID()) {
		t.Fatalf("%+v, and not %+v", p.fact, want)
	}
	if want := sessionOf(span.Attributes(), ""); short(p.session) != want {
		t.Fatalf("the session is %q, and not %q", p.session, want)
	}
}
