package otlp_test

import (
	"bytes"
	"context"
	"net/http"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
)

// Log records go where the headers of CloudWatch's OTLP endpoint say, but a sandbox stays who it is.
func TestLogs_goWhereTheirHeadersSay(t *testing.T) {
	s := newStation(t)
	s.inlet.Address = func(_ context.Context, group, _ string) (telemetry.Source, error) {
		switch group {
		case "/my/group":
			return telemetry.Source{Group: group}, nil
		case "of-a-runtime":
			return telemetry.Source{Runtime: "news-0123456789", Endpoint: "DEFAULT"}, nil
		}
		return telemetry.Source{}, moorage.Errorf(moorage.Denied, "it is another runtime's")
	}
	inside := telemetry.Source{Runtime: "news-0123456789", Endpoint: "DEFAULT", Session: "s1", Sandbox: "box"}
	for name, c := range map[string]struct {
		from          *telemetry.Source
		group, stream string
		status        int
		want          telemetry.Source
		in            string // the stream that is on record
	}{
		"elsewhere, from outside":    {nil, "/my/group", "mine", 200, telemetry.Source{Group: "/my/group"}, "mine"},
		"a runtime's, from outside":  {nil, "of-a-runtime", "otel-rt-logs", 200, telemetry.Source{Runtime: "news-0123456789", Endpoint: "DEFAULT", Session: "claimed"}, ""},
		"elsewhere, from inside":     {&inside, "/my/group", "mine", 200, telemetry.Source{Runtime: "news-0123456789", Endpoint: "DEFAULT", Session: "s1", Sandbox: "box", Group: "/my/group"}, "mine"},
		"its own, from inside":       {&inside, "of-a-runtime", "own", 200, inside, "own"},
		"another's":                  {&inside, "another", "x", 403, telemetry.Source{}, ""},
		"a group without its stream": {nil, "/my/group", "", 400, telemetry.Source{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s.from = c.from
			if status := s.sendTo(t, c.group, c.stream, name); status != c.status {
				t.Fatalf("status %d", status)
			}
			seen := 0
			for r, err := range s.Records(t.Context(), archive.RecordQuery{}) {
				if err != nil {
					t.Fatal(err)
				}
				if r.Log.Body().Str() != name {
					continue
				}
				seen++
				stream := ""
				if v, ok := r.Log.Attributes().Get(telemetry.LogStreamKey); ok {
					stream = v.AsString()
				}
				if r.Source != c.want || stream != c.in {
					t.Errorf("%+v in %q, want %+v in %q", r.Source, stream, c.want, c.in)
				}
			}
			if seen != 1 && c.status == 200 || seen != 0 && c.status != 200 {
				t.Errorf("%d records are kept", seen)
			}
		})
	}
}

// sendTo delivers one log record to a group and stream, and returns the status.
func (s *station) sendTo(t *testing.T, group, stream, text string) int {
	t.Helper()
	l := plog.NewLogs()
	record := l.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	record.Body().SetStr(text)
	record.Attributes().PutStr("session.id", "claimed")
	raw, err := plogotlp.NewExportRequestFromLogs(l).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/v1/logs", bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Content-Type": {"application/x-protobuf"}, "X-Aws-Log-Group": {group}, "X-Aws-Log-Stream": {stream}}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}
