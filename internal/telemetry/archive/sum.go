package archive

import (
	"strings"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// sum is what spans add up to.
type sum struct {
	name               string // of the earliest root, or else the earliest span
	start, end         int64
	rooted             bool
	rootStart, rootEnd int64
	spans, hidden      int
	errors             int
	failure            string // of the earliest that failed
	models, tools      int
	usage              telemetry.Usage
	cost               int64
}

// sumOf adds up new spans, and what counting their trace's model calls anew changed.
func sumOf(fresh []telemetry.Fact, changes []change) sum {
	s := sum{start: fresh[0].Start, end: fresh[0].End, name: fresh[0].Name}
	failed := int64(0)
	for _, f := range fresh {
		s.span(f)
		if f.Error != "" && (failed == 0 || f.Start < failed) {
			failed, s.failure = f.Start, firstBytes(f.Error, maxError)
		}
	}
	for _, c := range changes {
		s.models += int(c.sign)
		s.cost += c.sign * c.cost
		if c.sign > 0 {
			s.usage = s.usage.Add(c.usage)
		} else {
			s.usage = s.usage.Minus(c.usage)
		}
	}
	return s
}

func (s *sum) span(f telemetry.Fact) {
	s.spans++
	if f.Noise {
		s.hidden++
	}
	if f.Error != "" {
		s.errors++
	}
	if f.Kind == telemetry.Tool {
		s.tools++
	}
	if isRoot(f) {
		s.root(f)
	} else if !s.rooted && f.Start < s.start {
		s.name = f.Name
	}
	s.start, s.end = min(s.start, f.Start), max(s.end, f.End)
}

// isRoot reports whether a trace begins with a span here: what called the platform is not ours to show.
func isRoot(f telemetry.Fact) bool { return f.Parent.IsZero() || f.Kind == telemetry.Service }

func (s *sum) root(f telemetry.Fact) {
	if !s.rooted || f.Start < s.rootStart {
		s.name, s.rootStart = f.Name, f.Start
	}
	s.rootEnd = max(s.rootEnd, f.End)
	s.rooted = true
}

func firstBytes(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "")
}
