package logs

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/store"
	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
)

type traceIDs = []telemetry.TraceID

// known is a log group as it is listed.
type known struct {
	name      string
	created   time.Time
	retention int
	bytes     int64
}

// find returns a group by its name or ARN. NotFound where there is none.
func (s *Service) find(ctx context.Context, name, identifier *string) (group, error) {
	wanted, err := groupOf(name, identifier)
	if err != nil {
		return group{}, err
	}
	wanted = nameIn(wanted)
	there, err := s.isThere(ctx, newGroup(wanted))
	if err != nil {
		return group{}, err
	}
	if !there {
		return group{}, notThere(wanted)
	}
	return s.retained(ctx, newGroup(wanted))
}

// retained has a group begin where its retention ends.
func (s *Service) retained(ctx context.Context, g group) (group, error) {
	return g, s.Store.View(ctx, func(tx *store.Tx) error {
		made, err := tx.LogGroups()
		for _, m := range made {
			if m.Name == g.name && m.Retention > 0 {
				g.since = time.Now().Add(-Days(m.Retention))
			}
		}
		return err
	})
}

// Days are as long as a retention counts them.
func Days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

// isThere looks where it costs least first: clients that tail a group ask every few seconds.
func (s *Service) isThere(ctx context.Context, g group) (there bool, err error) {
	if g.name == allSpans {
		return true, nil
	}
	err = s.Store.View(ctx, func(tx *store.Tx) error {
		if runtime, endpoint, ok := runtimeOf(g.name); ok {
			if _, err := tx.Endpoint(runtime, endpoint); err == nil {
				there = true
				return nil
			}
		}
		made, err := tx.LogGroups()
		there = slices.ContainsFunc(made, func(m store.LogGroup) bool { return m.Name == g.name })
		return err
	})
	if err != nil || there {
		return there, err
	}
	left, err := s.Archive.Sources(ctx, archive.RecordQuery{From: g.from, Runtime: g.runtime})
	return len(left) > 0, err
}

// groups lists what there is, by name: groups of endpoints, of what came in, and those that somebody made.
func (s *Service) groups(ctx context.Context) ([]known, error) {
	all := map[string]known{allSpans: {name: allSpans}}
	add := func(k known) {
		if before, ok := all[k.name]; ok {
			k.bytes += before.bytes
			if k.created.IsZero() || !before.created.IsZero() && before.created.Before(k.created) {
				k.created = before.created
			}
			k.retention = max(k.retention, before.retention)
		}
		all[k.name] = k
	}
	sources, err := s.Archive.Sources(ctx, archive.RecordQuery{})
	if err != nil {
		return nil, err
	}
	for _, from := range sources {
		add(known{name: groupName(from.Source), created: from.First, bytes: from.Bytes})
	}
	err = s.Store.View(ctx, func(tx *store.Tx) error { return s.stored(tx, add) })
	if err != nil {
		return nil, err
	}
	return slices.SortedFunc(maps.Values(all), func(a, b known) int { return cmp.Compare(a.name, b.name) }), nil
}

// many is more endpoints and runtimes than there can be.
const many = 100_000

func (s *Service) stored(tx *store.Tx, add func(known)) error {
	runtimes, err := tx.Runtimes("", many)
	if err != nil {
		return err
	}
	for _, rt := range runtimes {
		endpoints, err := tx.Endpoints(rt.ID, "", many)
		if err != nil {
			return err
		}
		for _, e := range endpoints {
			add(known{name: runtimePrefix + rt.ID + "-" + e.Name, created: e.CreatedAt})
		}
	}
	made, err := tx.LogGroups()
	for _, g := range made {
		add(known{name: g.Name, created: g.CreatedAt, retention: g.Retention})
	}
	return err
}

func (s *Service) describeLogGroups(ctx context.Context, in *DescribeLogGroupsInput) (*DescribeLogGroupsOutput, error) {
	all, err := s.groups(ctx)
	if err != nil {
		return nil, err
	}
	most := 50
	if in.Limit != nil {
		most = int(*in.Limit)
	}
	out := &DescribeLogGroupsOutput{LogGroups: []LogGroup{}}
	for _, g := range all {
		named := len(in.LogGroupIdentifiers) == 0 || slices.ContainsFunc(in.LogGroupIdentifiers, func(id string) bool { return nameIn(id) == g.name })
		if !named || !strings.HasPrefix(g.name, text(in.LogGroupNamePrefix)) || !strings.Contains(strings.ToLower(g.name), strings.ToLower(text(in.LogGroupNamePattern))) {
			continue
		}
		if in.NextToken != nil && g.name <= *in.NextToken {
			continue
		}
		if len(out.LogGroups) == most {
			out.NextToken = out.LogGroups[most-1].LogGroupName
			break
		}
		out.LogGroups = append(out.LogGroups, s.groupView(g))
	}
	return out, nil
}

func (s *Service) groupView(g known) LogGroup {
	out := LogGroup{
		LogGroupName: &g.name, Arn: new(s.arn(g.name) + ":*"), LogGroupArn: new(s.arn(g.name)), MetricFilterCount: new(int32(0)),
		StoredBytes: &g.bytes, LogGroupClass: LogGroupClassStandard, CreationTime: millis(g.created),
	}
	if g.created.IsZero() {
		out.CreationTime = new(int64(0))
	}
	if g.retention > 0 {
		out.RetentionInDays = new(int32(g.retention))
	}
	return out
}

// stream is a log stream as it is listed.
type stream struct {
	name                 string
	created, first, last time.Time
}

// streams lists those of a group. Days on which a session printed nothing between others are among them.
func (s *Service) streams(ctx context.Context, g group) ([]stream, error) {
	all := map[string]stream{}
	add := func(name string, first, last time.Time) {
		one, ok := all[name]
		if !ok || first.Before(one.first) {
			one.first, one.created = first, first
		}
		if one.name = name; last.After(one.last) {
			one.last = last
		}
		all[name] = one
	}
	sources, err := s.Archive.Sources(ctx, archive.RecordQuery{From: g.from, Runtime: g.runtime})
	if err != nil {
		return nil, err
	}
	for _, from := range sources {
		if strings.HasPrefix(from.Source.Group, UsagePrefix) || from.Source.Group == archive.EventGroup {
			add(VendedStream, from.First, from.Last)
		}
		if from.Source.Group != "" || !g.lines {
			continue // its streams were made
		}
		if from.Source.Sandbox != "" {
			for day := from.First.Truncate(24 * time.Hour); !day.After(from.Last); day = day.Add(24 * time.Hour) {
				add(printedStream(day, from.Source), from.First, from.Last)
			}
		}
		add(otelStream, from.First, from.Last)
	}
	if g.spans != "" {
		add(g.spans, time.Time{}, time.Time{})
	}
	err = s.Store.View(ctx, func(tx *store.Tx) error {
		made, err := tx.LogStreams(g.name)
		for _, m := range made {
			add(m.Name, m.CreatedAt, m.CreatedAt)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return slices.SortedFunc(maps.Values(all), func(a, b stream) int { return cmp.Compare(a.name, b.name) }), nil
}

func (s *Service) streamThere(ctx context.Context, g group, name string) (bool, error) {
	all, err := s.streams(ctx, g)
	return slices.ContainsFunc(all, func(one stream) bool { return one.name == name }), err
}

func orMissing(err error, message string) error {
	if err != nil {
		return err
	}
	return moorage.Errorf(moorage.NotFound, "%s", message)
}

func (s *Service) describeLogStreams(ctx context.Context, in *DescribeLogStreamsInput) (*DescribeLogStreamsOutput, error) {
	g, err := s.find(ctx, in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	byTime := in.OrderBy == OrderByLastEventTime
	if byTime && in.LogStreamNamePrefix != nil {
		return nil, wrong("streams in the order of LastEventTime cannot be chosen by a prefix")
	}
	all, err := s.streams(ctx, g)
	if err != nil {
		return nil, err
	}
	if byTime {
		slices.SortStableFunc(all, func(a, b stream) int { return a.last.Compare(b.last) })
	}
	if in.Descending != nil && *in.Descending {
		slices.Reverse(all)
	}
	most := 50
	if in.Limit != nil {
		most = int(*in.Limit)
	}
	out := &DescribeLogStreamsOutput{LogStreams: []LogStream{}}
	waiting := in.NextToken != nil
	for _, one := range all {
		if waiting {
			waiting = one.name != *in.NextToken
			continue
		}
		if !strings.HasPrefix(one.name, text(in.LogStreamNamePrefix)) {
			continue
		}
		if len(out.LogStreams) == most {
			out.NextToken = out.LogStreams[most-1].LogStreamName
			break
		}
		out.LogStreams = append(out.LogStreams, s.streamView(g, one))
	}
	return out, nil
}

func (s *Service) streamView(g group, one stream) LogStream {
	out := LogStream{LogStreamName: &one.name, Arn: new(s.arn(g.name) + ":log-stream:" + one.name), StoredBytes: new(int64(0)), UploadSequenceToken: new(sequenceToken), CreationTime: new(int64(0))}
	if !one.created.IsZero() {
		out.CreationTime, out.FirstEventTimestamp, out.LastEventTimestamp, out.LastIngestionTime = millis(one.created), millis(one.first), millis(one.last), millis(one.last)
	}
	return out
}

func (s *Service) createLogGroup(ctx context.Context, in *CreateLogGroupInput) (*CreateLogGroupOutput, error) {
	all, err := s.groups(ctx)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(all, func(g known) bool { return g.name == in.LogGroupName }) {
		return nil, exists("log group", in.LogGroupName)
	}
	return nil, s.Store.Update(ctx, func(tx *store.Tx) error {
		made, err := tx.LogGroups()
		if err == nil && len(made) >= maxMade {
			err = tooMany("log groups")
		}
		if err != nil {
			return err
		}
		return tx.PutLogGroup(store.LogGroup{Name: in.LogGroupName, CreatedAt: time.Now()})
	})
}

// maxMade bounds log groups, and the streams of one, that somebody makes.
const maxMade = 10_000

func tooMany(what string) error {
	return &moorage.Error{Code: moorage.Quota, Exception: "LimitExceededException", Message: "there are 10,000 " + what + " already: delete some"}
}

// putStream makes a stream; false when it was there.
func putStream(tx *store.Tx, group, name string) (fresh bool, err error) {
	made, err := tx.LogStreams(group)
	if err == nil && len(made) >= maxMade {
		err = tooMany("streams in this log group")
	}
	if err != nil {
		return false, err
	}
	return tx.PutLogStream(store.LogStream{Group: group, Name: name, CreatedAt: time.Now()})
}

func (s *Service) createLogStream(ctx context.Context, in *CreateLogStreamInput) (*CreateLogStreamOutput, error) {
	g, err := s.find(ctx, &in.LogGroupName, nil)
	if err != nil {
		return nil, err
	}
	if there, err := s.streamThere(ctx, g, in.LogStreamName); err != nil || there {
		return nil, orExists(err, in.LogStreamName)
	}
	return nil, s.Store.Update(ctx, func(tx *store.Tx) error {
		fresh, err := putStream(tx, g.name, in.LogStreamName)
		if err == nil && !fresh {
			return exists("log stream", in.LogStreamName)
		}
		return err
	})
}

func orExists(err error, name string) error {
	if err != nil {
		return err
	}
	return exists("log stream", name)
}

func (s *Service) deleteLogGroup(ctx context.Context, in *DeleteLogGroupInput) (*DeleteLogGroupOutput, error) {
	return nil, s.Store.Update(ctx, func(tx *store.Tx) error {
		there, err := tx.DeleteLogGroup(in.LogGroupName)
		if err == nil && !there {
			if _, err := s.find(ctx, &in.LogGroupName, nil); err == nil {
				return wrong("%s is there as long as its runtime, or what it reported, is kept; it cannot be deleted by itself", in.LogGroupName)
			}
			return notThere(in.LogGroupName)
		}
		return err
	})
}

func (s *Service) deleteLogStream(ctx context.Context, in *DeleteLogStreamInput) (*DeleteLogStreamOutput, error) {
	return nil, s.Store.Update(ctx, func(tx *store.Tx) error {
		there, err := tx.DeleteLogStream(in.LogGroupName, in.LogStreamName)
		if err == nil && !there {
			return orMissing(nil, "The specified log stream does not exist, or was not made by CreateLogStream.")
		}
		return err
	})
}

func (s *Service) putRetentionPolicy(ctx context.Context, in *PutRetentionPolicyInput) (*PutRetentionPolicyOutput, error) {
	return nil, s.retain(ctx, in.LogGroupName, int(in.RetentionInDays))
}

func (s *Service) deleteRetentionPolicy(ctx context.Context, in *DeleteRetentionPolicyInput) (*DeleteRetentionPolicyOutput, error) {
	return nil, s.retain(ctx, in.LogGroupName, 0)
}

// retain sets how long a group is kept. A runtime's group gets a row for it.
func (s *Service) retain(ctx context.Context, name string, days int) error {
	g, err := s.find(ctx, &name, nil)
	if err != nil {
		return err
	}
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		return tx.PutLogGroup(store.LogGroup{Name: g.name, CreatedAt: time.Now(), Retention: days})
	})
}
