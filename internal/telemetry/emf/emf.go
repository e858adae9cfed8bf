// Package emf reads metrics that are embedded in log lines, as AWS's embedded metric format has them:
//
//	{"_aws": {"Timestamp": 1574109732004, "CloudWatchMetrics": [
//	    {"Namespace": "shop", "Dimensions": [["region"]], "Metrics": [{"Name": "latency", "Unit": "Milliseconds"}]}]},
//	 "region": "eu", "latency": [12, 14]}
//
// Source: CloudWatch user guide, embedded metric format specification.
package emf

import (
	"encoding/json"
	"math"
	"strings"
	"time"

	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
)

// Bounds of one line, by the specification: directives, metrics and dimension sets of each, dimensions of
// a set, and values of a metric.
const (
	maxDirectives = 100
	maxMetrics    = 100
	maxSets       = 30
	maxDimensions = 30
	maxValues     = 100
	maxPoints     = 1000
	maxName       = 256
)

type document struct {
	AWS struct {
		Timestamp         int64
		CloudWatchMetrics []directive
	} `json:"_aws"`
}

type directive struct {
	Namespace  string
	Dimensions [][]string
	Metrics    []struct{ Name, Unit string }
}

// mayHold tells lines that are worth reading from others.
func mayHold(line string) bool {
	return strings.HasPrefix(line, "{") && strings.Contains(line, `"CloudWatchMetrics"`)
}

// Parse returns what a line of a source measures; none for a line that is no embedded metric, and
// without what breaks the specification. At is when the line was written, for one that does not say.
func Parse(from telemetry.Source, line string, at time.Time) (out []telemetry.Point) {
	if line = strings.TrimSpace(line); !mayHold(line) {
		return nil
	}
	var doc document
	var fields map[string]json.RawMessage
	if json.Unmarshal([]byte(line), &doc) != nil || json.Unmarshal([]byte(line), &fields) != nil {
		return nil
	}
	if ms := doc.AWS.Timestamp; ms > 0 && ms < at.Add(2*time.Hour).UnixMilli() && ms > at.Add(-14*24*time.Hour).UnixMilli() {
		at = time.UnixMilli(ms)
	}
	for _, d := range doc.AWS.CloudWatchMetrics[:min(len(doc.AWS.CloudWatchMetrics), maxDirectives)] {
		out = append(out, d.points(from, fields, at)...)
		if len(out) > maxPoints {
			return out[:maxPoints]
		}
	}
	return out
}

func (d directive) points(from telemetry.Source, fields map[string]json.RawMessage, at time.Time) (out []telemetry.Point) {
	if d.Namespace == "" || len(d.Namespace) > maxName || strings.HasPrefix(d.Namespace, "AWS/") {
		return nil
	}
	sets := d.Dimensions
	if len(sets) == 0 {
		sets = [][]string{{}}
	}
	for _, m := range d.Metrics[:min(len(d.Metrics), maxMetrics)] {
		seen := values(fields[m.Name])
		if len(seen) == 0 || m.Name == "" || len(m.Name) > maxName || strings.HasPrefix(m.Name, "moorage.") {
			continue
		}
		for _, set := range sets[:min(len(sets), maxSets)] {
			labels, ok := dimensions(set, fields)
			if !ok {
				continue
			}
			labels[telemetry.NamespaceLabel] = d.Namespace
			p := telemetry.Point{
				Series: telemetry.Series{Runtime: from.Runtime, Endpoint: from.Endpoint, Name: m.Name, Unit: m.Unit, Labels: archive.Labels(labels)},
				Time:   at.UnixNano(), Min: seen[0], Max: seen[0],
			}
			for _, v := range seen {
				p.Value, p.Count, p.Min, p.Max = p.Value+v, p.Count+1, min(p.Min, v), max(p.Max, v)
				p.Parts = append(p.Parts, telemetry.Observed{Value: v, Count: 1})
			}
			if out = append(out, p); len(out) > maxPoints {
				return out
			}
		}
	}
	return out
}

// values reads a number, or a list of them.
func values(raw json.RawMessage) []float64 {
	var one float64
	var many []float64
	if json.Unmarshal(raw, &one) == nil && len(raw) > 0 && raw[0] != 'n' {
		many = []float64{one}
	} else if json.Unmarshal(raw, &many) != nil || len(many) > maxValues {
		return nil
	}
	for _, v := range many {
		if !(math.Abs(v) <= 1e18) {
			return nil
		}
	}
	return many
}

// dimensions reads the values of a set. Each has to be a string that is there.
func dimensions(set []string, fields map[string]json.RawMessage) (map[string]string, bool) {
	if len(set) > maxDimensions {
		return nil, false
	}
	labels := map[string]string{}
	for _, name := range set {
		var value string
		if json.Unmarshal(fields[name], &value) != nil || value == "" || len(value) > 1024 || len(name) > maxName {
			return nil, false
		}
		labels[name] = value
	}
	return labels, true
}
