package archive

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/DataDog/sketches-go/ddsketch"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// The metrics that are drawn from spans. Durations are milliseconds, and their Errors are the failed.
const (
	CallsMetric  = "moorage.calls"         // duration of data-plane calls, by operation
	FaultsMetric = "moorage.calls.failed"  // failed calls, by operation and fault
	SpansMetric  = "moorage.spans"         // duration of steps that are no plumbing, by kind and name
	InputMetric  = "moorage.tokens.input"  // by model
	OutputMetric = "moorage.tokens.output" // by model
	CachedMetric = "moorage.tokens.cached" // by model; part of input
	CostMetric   = "moorage.cost"          // US dollars, by model
)

// bucket is one minute of one series. Its sketch knows quantiles within one percent.
type bucket struct {
	series            int64
	minute            int64 // since 1970
	count, errors     int64
	sum, lowest, high float64
	sketch            *ddsketch.DDSketch
	changed           bool
}

// accuracy of quantiles, relative, and how many bins a sketch has at most: what is smallest is merged then.
const (
	accuracy = 0.01
	maxBins  = 1024
)

func newSketch() *ddsketch.DDSketch {
	s, err := ddsketch.LogCollapsingLowestDenseDDSketch(accuracy, maxBins)
	if err != nil {
		panic(err) // of constants that it refuses
	}
	return s
}

// observe adds an observation that was made so many times; with count 0 the sum changes alone.
func (b *bucket) observe(value float64, count int64, failed bool) {
	if count > 0 {
		if b.count == 0 {
			b.lowest, b.high = value, value
		}
		b.lowest, b.high = min(b.lowest, value), max(b.high, value)
		b.sketch.AddWithCount(value, float64(count)) // it refuses what no float of use is
	}
	b.count += count
	b.sum += value * float64(max(count, 1))
	if failed {
		b.errors++
	}
	b.changed = true
}

type bucketKey struct {
	series telemetry.Series
	minute int64
}

// minutes holds the buckets of the partition that is written, as far as they were touched lately.
type minutes struct {
	buckets map[bucketKey]*bucket
	series  map[telemetry.Series]int64
	names   map[string]map[string]bool // of spans, by runtime
	labels  map[[3]string]string       // of kinds and names of spans, and of models
	touched []*bucket                  // in this commit
}

func newMinutes() *minutes {
	return &minutes{map[bucketKey]*bucket{}, map[telemetry.Series]int64{}, map[string]map[string]bool{}, map[[3]string]string{}, nil}
}

// Bounds of what is held in memory, and of how many names of spans a runtime has: more are one.
const (
	maxBuckets = 4000 // of about seven kilobytes
	maxNames   = 200
	otherName  = "(other)"
)

// name bounds how many names become series: agents may put ids in them.
func (m *minutes) name(runtime, name string) string {
	known := m.names[runtime]
	if known == nil {
		known = map[string]bool{}
		m.names[runtime] = known
	}
	if !known[name] && len(known) >= maxNames {
		return otherName
	}
	known[name] = true
	return name
}

// labelled returns the labels of a kind and name, or of an operation or model, whose kind is empty.
func (m *minutes) labelled(kind, by, name string) string {
	key := [3]string{kind, by, name}
	labels, ok := m.labels[key]
	if !ok {
		if labels = labelsOf(by, name); kind != "" {
			labels = labelsOf("kind", kind, by, name)
		}
		if len(m.labels) >= maxBuckets {
			clear(m.labels)
		}
		m.labels[key] = labels
	}
	return labels
}

// observe adds an observation to its minute.
func (t *transaction) observe(ctx context.Context, s telemetry.Series, at int64, value float64, count int64, failed bool) error {
	b, err := t.bucket(ctx, s, at)
	if err != nil {
		return err
	}
	b.observe(value, count, failed)
	return nil
}

func (t *transaction) bucket(ctx context.Context, s telemetry.Series, at int64) (*bucket, error) {
	key := bucketKey{s, at / int64(time.Minute)}
	b := t.minutes.buckets[key]
	if b == nil {
		var err error
		if b, err = t.loadBucket(ctx, key); err != nil {
			return nil, err
		}
		t.minutes.buckets[key] = b
	}
	if !b.changed {
		b.changed = true
		t.minutes.touched = append(t.minutes.touched, b)
	}
	return b, nil
}

// loadBucket reads a bucket from the partition, or begins it.
func (t *transaction) loadBucket(ctx context.Context, key bucketKey) (*bucket, error) {
	id, err := t.seriesID(ctx, key.series)
	if err != nil {
		return nil, err
	}
	b := &bucket{series: id, minute: key.minute, sketch: newSketch()}
	var sketch []byte
	err = t.prepared.findMinute.QueryRowContext(ctx, key.minute, id).Scan(&b.count, &b.errors, &b.sum, &b.lowest, &b.high, &sketch)
	if errors.Is(err, sql.ErrNoRows) {
		return b, nil
	}
	if err != nil {
		return nil, err
	}
	return b, b.sketch.DecodeAndMergeWith(sketch)
}

func (t *transaction) seriesID(ctx context.Context, s telemetry.Series) (id int64, err error) {
	if id, ok := t.minutes.series[s]; ok {
		return id, nil
	}
	if err := t.prepared.series.QueryRowContext(ctx, s.Runtime, s.Endpoint, s.Name, s.Unit, s.Labels).Scan(&id); err != nil {
		return 0, err
	}
	t.minutes.series[s] = id
	return id, nil
}

// writeMinutes writes the buckets that this commit touched.
func (t *transaction) writeMinutes(ctx context.Context) error {
	for _, b := range t.minutes.touched {
		var sketch []byte
		b.sketch.Encode(&sketch, false)
		if _, err := t.prepared.minute.ExecContext(ctx, b.minute, b.series, b.count, b.errors, b.sum, b.lowest, b.high, sketch); err != nil {
			return err
		}
		b.changed = false
	}
	t.minutes.touched = t.minutes.touched[:0]
	if len(t.minutes.buckets) > maxBuckets {
		clear(t.minutes.buckets)
		clear(t.minutes.series)
	}
	return nil
}

// measure adds to the metrics what new spans say, and what counting model calls anew changed.
func (t *transaction) measure(ctx context.Context, from telemetry.Source, fresh []telemetry.Fact, changes []change) error {
	for _, f := range fresh {
		if err := t.measureSpan(ctx, from, f); err != nil {
			return err
		}
	}
	for _, c := range changes {
		labels := t.minutes.labelled("", "model", c.model)
		for _, each := range [...]struct {
			name  string
			value float64
		}{
			{InputMetric, float64(c.usage.Input)}, {OutputMetric, float64(c.usage.Output)}, {CachedMetric, float64(c.usage.Cached)}, {CostMetric, dollars(c.cost)},
		} {
			if each.value == 0 {
				continue
			}
			s := telemetry.Series{Runtime: from.Runtime, Endpoint: from.Endpoint, Name: each.name, Labels: labels}
			if err := t.observe(ctx, s, c.start, float64(c.sign)*each.value, max(c.sign, 0), false); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *transaction) measureSpan(ctx context.Context, from telemetry.Source, f telemetry.Fact) error {
	s := telemetry.Series{Runtime: from.Runtime, Endpoint: from.Endpoint, Unit: "ms"}
	took := milliseconds(f.End - f.Start)
	switch {
	case f.Noise, f.Kind == telemetry.Internal:
		return nil
	case f.Kind == telemetry.Service:
		s.Name, s.Labels = CallsMetric, t.minutes.labelled("", "operation", f.Name)
		if f.Fault != telemetry.NoFault {
			failed := telemetry.Series{Runtime: from.Runtime, Endpoint: from.Endpoint, Name: FaultsMetric, Labels: labelsOf("fault", string(f.Fault), "operation", f.Name)}
			if err := t.observe(ctx, failed, f.Start, 1, 1, false); err != nil {
				return err
			}
		}
	default:
		s.Name, s.Labels = SpansMetric, t.minutes.labelled(string(f.Kind), "name", t.minutes.name(from.Runtime, f.Name))
	}
	return t.observe(ctx, s, f.Start, took, 1, f.Error != "")
}

// labelsOf writes labels as JSON. The pairs come sorted by name.
func labelsOf(pairs ...string) string {
	labels := make(map[string]string, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		labels[pairs[i]] = firstBytes(pairs[i+1], 256)
	}
	doc, err := json.Marshal(labels) // sorts by name
	if err != nil {
		panic(err) // of strings that it refuses
	}
	return string(doc)
}

// point adds a number that an agent measured itself.
func (t *transaction) point(ctx context.Context, p telemetry.Point) error {
	b, err := t.bucket(ctx, p.Series, p.Time)
	if err != nil {
		return err
	}
	if p.Count > 0 {
		if b.count == 0 {
			b.lowest, b.high = p.Min, p.Max
		}
		b.lowest, b.high = min(b.lowest, p.Min), max(b.high, p.Max)
	}
	b.count, b.sum = b.count+p.Count, b.sum+p.Value
	for _, part := range p.Parts {
		b.sketch.AddWithCount(part.Value, float64(part.Count))
	}
	return nil
}
