package archive

import (
	"context"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// LogQuery says which log lines to find. The zero value is all of them.
type LogQuery struct {
	Runtime string
	Session string
	Trace   telemetry.TraceID
	Since   time.Time // written at or after
	Until   time.Time // written before
	Text    string    // that have this in them, whatever its case
	Limit   int       // 0 is 1,000, at most 10,000: the newest of those that match
}

// MaxLogs is how many lines an answer holds at most.
const MaxLogs = 10_000

func (q *LogQuery) limit() int {
	if q.Limit <= 0 {
		return 1000
	}
	return min(q.Limit, MaxLogs)
}

func (q *LogQuery) matches(record plog.LogRecord) bool {
	at := int64(logTime(record))
	if !q.Since.IsZero() && at < q.Since.UnixNano() || !q.Until.IsZero() && at >= q.Until.UnixNano() {
		return false
	}
	if q.Trace != (telemetry.TraceID{}) && telemetry.TraceID(record.TraceID()) != q.Trace {
		return false
	}
	return q.Text == "" || strings.Contains(strings.ToLower(record.Body().AsString()), strings.ToLower(q.Text))
}

// Logs finds log lines and returns them by time.
func (a *Archive) Logs(ctx context.Context, q LogQuery) (out []telemetry.Log, err error) {
	where, args := q.conditions()
	// The blocks are put in order by their ids alone: their documents would all go through the sorter before the first is seen.
	// LIMIT keeps the order of what is joined.
	query := `SELECT b.id, s.doc, b.doc FROM (SELECT b.id FROM blocks b` + and(where) + ` ORDER BY b.last DESC LIMIT -1) newest
		CROSS JOIN blocks b ON b.id = newest.id CROSS JOIN sources s ON s.id = b.source`
	for _, p := range slices.Backward(a.all()) {
		err := a.search(ctx, p, &q, query, args, &out)
		if err != nil {
			return nil, err
		}
		if len(out) >= q.limit() {
			break
		}
	}
	slices.SortStableFunc(out, func(a, b telemetry.Log) int { return a.Time.Compare(b.Time) })
	return out[max(0, len(out)-q.limit()):], nil
}

// conditions are about blocks, which have a time from first to last.
func (q *LogQuery) conditions() (where []string, args []any) {
	add := func(condition string, arg any) { where, args = append(where, condition), append(args, arg) }
	if q.Runtime != "" {
		add("b.runtime = ?", q.Runtime)
	}
	if q.Session != "" {
		add("b.session = ?", q.Session)
	}
	if q.Trace != (telemetry.TraceID{}) {
		add("b.id IN (SELECT block FROM block_traces WHERE trace = ?)", q.Trace[:])
	}
	if !q.Since.IsZero() {
		add("b.last >= ?", q.Since.UnixNano())
	}
	if !q.Until.IsZero() {
		add("b.first < ?", q.Until.UnixNano())
	}
	return where, args
}

// search adds what a partition has, its newest blocks first, until there is enough.
func (a *Archive) search(ctx context.Context, p *partition, q *LogQuery, query string, args []any, out *[]telemetry.Log) error {
	return a.eachStored(ctx, p, func(block stored) (more bool, err error) {
		if block.source.Group != "" { // nobody's words: they are read by the group's name
			return true, nil
		}
		if q.Text != "" {
			if may, err := a.codec.LogsMayHave(block.doc, q.Text); err != nil || !may {
				return true, err
			}
		}
		err = a.records(block, func(id string, record plog.LogRecord) {
			if q.matches(record) {
				*out = append(*out, logView(block.source, id, record))
			}
		})
		return len(*out) < 2*q.limit(), err // blocks overlap in time: some more than asked for
	}, query, args...)
}
