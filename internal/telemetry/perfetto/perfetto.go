// Package perfetto writes traces in Chrome's trace event format, which Perfetto (ui.perfetto.dev) and
// chrome://tracing open.
//
// Each trace is a process. Spans that ran at once and do not contain each other lie on rows of their own.
package perfetto

import (
	"cmp"
	"encoding/json"
	"io"
	"slices"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// event is one of the format's. Times are microseconds.
type event struct {
	Name  string         `json:"name"`
	Kind  string         `json:"cat,omitempty"`
	Phase string         `json:"ph"` // X: from a moment for a while; i: at a moment; M: about the process
	At    float64        `json:"ts"`
	Took  float64        `json:"dur,omitempty"`
	PID   int            `json:"pid"`
	TID   int            `json:"tid"`
	Scope string         `json:"s,omitempty"`
	Args  map[string]any `json:"args,omitempty"`
}

// Write writes traces. Plumbing is there too.
func Write(w io.Writer, traces ...telemetry.Trace) error {
	doc := struct {
		Events []event `json:"traceEvents"`
		Unit   string  `json:"displayTimeUnit"`
	}{[]event{}, "ms"}
	for i, t := range traces {
		doc.Events = append(doc.Events, event{Name: "process_name", Phase: "M", PID: i + 1, Args: map[string]any{"name": t.Name + " " + t.TraceID}})
		doc.Events = append(doc.Events, eventsOf(i+1, t)...)
	}
	return json.NewEncoder(w).Encode(doc)
}

func eventsOf(pid int, t telemetry.Trace) (out []event) {
	spans := slices.Clone(t.Spans)
	slices.SortStableFunc(spans, func(a, b telemetry.Span) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(b.DurationMs, a.DurationMs), cmp.Compare(a.Depth, b.Depth))
	})
	rows := &rows{of: map[string]int{}}
	for _, s := range spans {
		from := float64(s.Start.UnixNano()) / 1e3
		row := rows.place(s.SpanID, s.ParentID, from, from+s.DurationMs*1e3)
		out = append(out, event{Name: s.Name, Kind: string(s.Kind), Phase: "X", At: from, Took: s.DurationMs * 1e3, PID: pid, TID: row, Args: argsOf(s)})
	}
	for _, l := range t.Logs {
		out = append(out, event{Name: l.Message, Kind: "log", Phase: "i", At: float64(l.Time.UnixNano()) / 1e3, PID: pid, TID: rows.of[l.SpanID], Scope: "t"})
	}
	return out
}

func argsOf(s telemetry.Span) map[string]any {
	args := map[string]any{"spanId": s.SpanID, "attributes": s.Attributes}
	if s.Error != "" {
		args["error"] = s.Error
	}
	if s.Model != nil {
		args["model"] = s.Model
	}
	if s.Tool != nil {
		args["tool"] = s.Tool
	}
	return args
}

// rows are what spans lie on: on one, each contains the next or is over before it.
type rows struct {
	ends [][]float64    // of the spans that are open on each row, the innermost last
	of   map[string]int // row by span
}

// place finds a row for a span: its parent's if there is room, else the first that has some.
func (r *rows) place(id, parent string, from, to float64) int {
	first := r.of[parent]
	for i := range len(r.ends) + 1 {
		row := (first + i) % (len(r.ends) + 1)
		if row == len(r.ends) {
			r.ends = append(r.ends, nil)
		}
		open := r.ends[row]
		for len(open) > 0 && open[len(open)-1] <= from {
			open = open[:len(open)-1]
		}
		r.ends[row] = open
		if len(open) == 0 || open[len(open)-1] >= to {
			r.ends[row] = append(open, to)
			r.of[id] = row
			return row
		}
	}
	return 0
}
