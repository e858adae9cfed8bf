package perfetto_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/perfetto"
)

func span(id, parent string, from, took int) telemetry.Span {
	return telemetry.Span{SpanID: id, ParentID: parent, Name: id, Kind: telemetry.Tool, Start: time.UnixMilli(int64(from)), DurationMs: float64(took)}
}

func TestWrite_whatRanAtOnceLiesOnRowsOfItsOwn(t *testing.T) {
	trace := telemetry.Trace{TraceSummary: telemetry.TraceSummary{Name: "call"}, Spans: []telemetry.Span{
		span("root", "", 0, 100), span("left", "root", 10, 50), span("right", "root", 20, 60), span("within left", "left", 15, 5), span("after", "root", 85, 10),
	}}
	var out bytes.Buffer
	if err := perfetto.Write(&out, trace); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		TraceEvents []struct {
			Name, Ph string
			Ts, Dur  float64
			Tid      int
		}
	}
	if err := json.Unmarshal(out.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	row := map[string]int{}
	for _, e := range doc.TraceEvents {
		if e.Ph == "X" {
			row[e.Name] = e.Tid
		}
	}
	if row["left"] != row["root"] || row["within left"] != row["root"] || row["right"] == row["left"] || row["after"] != row["root"] {
		t.Errorf("rows: %v", row)
	}
}
