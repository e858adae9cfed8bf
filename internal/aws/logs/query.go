package logs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/logs/insights"
)

// Bounds of queries: how long one runs, how many do at once, how long their answers stay, and how many.
// Source: CloudWatch Logs quotas, 30 queries at once; theirs run for an hour and stay for a week.
const (
	queryTime   = 5 * time.Minute
	maxRunning  = 30
	answerStays = time.Hour
	maxAnswers  = 1000
)

// queries are those of the last hour.
type queries struct {
	mu    sync.Mutex
	byID  map[string]*query
	order []*query
}

// query is one that was started. What changes is guarded by queries.mu.
type query struct {
	id, text string
	groups   []string
	began    time.Time
	took     time.Duration
	status   QueryStatus
	answer   insights.Answer
	stop     context.CancelFunc
}

func (s *Service) startQuery(ctx context.Context, in *StartQueryInput) (*StartQueryOutput, error) {
	if in.QueryLanguage != "" && in.QueryLanguage != QueryLanguageCwli {
		return nil, wrong("queryLanguage %s is not offered: write the query in CWLI", in.QueryLanguage)
	}
	parsed, err := insights.Parse(in.QueryString)
	if err != nil {
		return nil, &moorage.Error{Code: moorage.Invalid, Exception: "MalformedQueryException", Message: err.Error()}
	}
	if in.Limit != nil {
		parsed.Limit(int(*in.Limit))
	}
	groups, err := s.queried(ctx, in, parsed)
	if err != nil {
		return nil, err
	}
	if in.EndTime < in.StartTime {
		return nil, wrong("endTime must not be before startTime; both are seconds since 1970")
	}
	q := &query{id: uuid.NewString(), text: in.QueryString, began: time.Now(), status: QueryStatusRunning}
	for _, g := range groups {
		q.groups = append(q.groups, g.name)
	}
	running, stop := context.WithTimeout(s.ctx, queryTime)
	q.stop = stop
	if err := s.queries.add(q); err != nil {
		stop()
		return nil, err
	}
	since, until := time.Unix(in.StartTime, 0), time.Unix(in.EndTime, 0).Add(time.Second) // the last second belongs to it
	s.working.Go(func() {
		defer stop()
		answer, err := parsed.Run(s.scan(running, groups, parsed, since, until))
		s.queries.finish(q, answer, err)
		if err != nil && running.Err() == nil {
			s.Log.Warn("a query failed", "query", q.id, "err", err)
		}
	})
	return &StartQueryOutput{QueryId: &q.id}, nil
}

// queried are the groups that a request names, or all where its query has a SOURCE.
func (s *Service) queried(ctx context.Context, in *StartQueryInput, parsed *insights.Query) (out []group, err error) {
	names := slices.Concat(in.LogGroupNames, in.LogGroupIdentifiers)
	if in.LogGroupName != nil {
		names = append(names, *in.LogGroupName)
	}
	if len(names) == 0 && parsed.Anywhere() {
		all, err := s.groups(ctx)
		for _, known := range all {
			g := newGroup(known.name)
			if known.retention > 0 {
				g.since = time.Now().Add(-Days(known.retention))
			}
			out = append(out, g)
		}
		return out, err
	}
	if len(names) == 0 {
		return nil, wrong("name a log group: logGroupName, logGroupNames or logGroupIdentifiers")
	}
	for _, name := range names {
		g, err := s.find(ctx, &name, nil)
		if err != nil {
			return nil, err
		}
		out = append(out, g)
	}
	return out, nil
}

// scan yields what a query looks at.
func (s *Service) scan(ctx context.Context, groups []group, q *insights.Query, since, until time.Time) iter.Seq2[insights.Record, error] {
	traces := tracesIn(q)
	return func(yield func(insights.Record, error) bool) {
		for _, g := range groups {
			for e, err := range s.scanGroup(ctx, g, q, traces, since, until) {
				if err == nil {
					err = ctx.Err()
				}
				if !yield(&fieldsOf{s: s, g: g, e: e}, err) || err != nil {
					return
				}
			}
		}
	}
}

func (s *Service) scanGroup(ctx context.Context, g group, q *insights.Query, traces traceIDs, since, until time.Time) iter.Seq2[event, error] {
	return func(yield func(event, error) bool) {
		if g.lines {
			for record, err := range s.Archive.Records(ctx, recordQuery(g, traces, since, until)) {
				if !yield(event{record: &record}, err) || err != nil {
					return
				}
			}
		}
		if g.spans != "" && !(g.lines && q.Requires("kind")) {
			for e, err := range s.spans(ctx, g, spanQuery(traces, since, until)) {
				if !yield(e, err) || err != nil {
					return
				}
			}
		}
	}
}

// add keeps a query and forgets old ones.
func (q *queries) add(one *query) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	running := 0
	q.order = slices.DeleteFunc(q.order, func(each *query) bool {
		if each.status == QueryStatusRunning {
			running++
			return false
		}
		old := one.began.Sub(each.began) > answerStays
		if old {
			delete(q.byID, each.id)
		}
		return old
	})
	if running >= maxRunning || len(q.order) >= maxAnswers {
		return &moorage.Error{Code: moorage.Quota, Exception: "LimitExceededException", Message: fmt.Sprintf("%d queries run, and %d of the last hour are kept: wait for some, or stop them", running, len(q.order))}
	}
	if q.byID == nil {
		q.byID = map[string]*query{}
	}
	q.byID[one.id] = one
	q.order = append(q.order, one)
	return nil
}

func (q *queries) finish(one *query, answer insights.Answer, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	one.answer, one.took = answer, time.Since(one.began)
	switch {
	case one.status == QueryStatusCancelled:
	case errors.Is(err, context.DeadlineExceeded):
		one.status = QueryStatusTimeout
	case err != nil:
		one.status = QueryStatusFailed
	default:
		one.status = QueryStatusComplete
	}
}

func (q *queries) find(id string) (query, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	one := q.byID[id]
	if one == nil {
		return query{}, moorage.Errorf(moorage.NotFound, "no query of the last hour has the id %s", id)
	}
	return *one, nil
}

func (s *Service) getQueryResults(_ context.Context, in *GetQueryResultsInput) (*GetQueryResultsOutput, error) {
	q, err := s.queries.find(in.QueryId)
	if err != nil {
		return nil, err
	}
	out := &GetQueryResultsOutput{QueryLanguage: QueryLanguageCwli, Status: q.status, Results: [][]ResultField{}}
	for _, row := range q.answer.Rows {
		fields := []ResultField{}
		for _, cell := range row {
			fields = append(fields, ResultField{Field: &cell.Field, Value: &cell.Value})
		}
		out.Results = append(out.Results, fields)
	}
	out.Statistics = &QueryStatistics{
		RecordsMatched: new(float64(q.answer.Matched)), RecordsScanned: new(float64(q.answer.Scanned)),
		LogGroupsScanned: new(float64(len(q.groups))), ResultCount: new(float64(len(q.answer.Rows))),
	}
	return out, nil
}

func (s *Service) stopQuery(_ context.Context, in *StopQueryInput) (*StopQueryOutput, error) {
	s.queries.mu.Lock()
	defer s.queries.mu.Unlock()
	q := s.queries.byID[in.QueryId]
	if q == nil {
		return nil, moorage.Errorf(moorage.NotFound, "no query of the last hour has the id %s", in.QueryId)
	}
	if q.status != QueryStatusRunning {
		return nil, wrong("the query is not running: it is %s", q.status)
	}
	q.status = QueryStatusCancelled
	q.stop()
	return &StopQueryOutput{Success: new(true)}, nil
}

func (s *Service) describeQueries(_ context.Context, in *DescribeQueriesInput) (*DescribeQueriesOutput, error) {
	s.queries.mu.Lock()
	defer s.queries.mu.Unlock()
	out := &DescribeQueriesOutput{Queries: []QueryInfo{}}
	for _, q := range slices.Backward(s.queries.order) {
		if in.Status != "" && q.status != in.Status || in.LogGroupName != nil && !slices.Contains(q.groups, *in.LogGroupName) {
			continue
		}
		out.Queries = append(out.Queries, QueryInfo{
			QueryLanguage: QueryLanguageCwli, QueryId: &q.id, QueryString: &q.text, Status: q.status, CreateTime: millis(q.began),
			LogGroupName: new(cmp.Or(slices.Concat(q.groups, []string{""})...)), QueryDuration: new(q.took.Milliseconds()),
		})
	}
	return out, nil
}
