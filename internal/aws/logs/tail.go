package logs

import (
	"context"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
)

// A live tail shows what came in each second, so many events at most, for so long. Source: AWS, StartLiveTail.
const (
	tailEvery = time.Second
	tailMost  = 500
	tailFor   = 3 * time.Hour
)

func (s *Service) startLiveTail(ctx context.Context, in *StartLiveTailInput) (*StartLiveTailOutput, error) {
	t := &liveTail{Service: s, asked: in, groups: map[string]group{}}
	for _, id := range in.LogGroupIdentifiers {
		g, err := s.find(ctx, &id, nil)
		if err != nil {
			return nil, err
		}
		if !g.lines {
			return nil, wrong("%s has spans: watch those at /v1/tail, or in the console", g.name)
		}
		t.groups[g.name] = g
	}
	if len(in.LogStreamNames) > 0 && len(in.LogStreamNamePrefixes) > 0 {
		return nil, wrong("give logStreamNames or logStreamNamePrefixes, not both")
	}
	var q search
	if err := q.filter(in.LogEventFilterPattern); err != nil {
		return nil, err
	}
	t.match = q.match
	records, stop := s.Archive.Follow(func(from telemetry.Source) bool { return t.groups[groupName(from)].from != nil })
	return &StartLiveTailOutput{ResponseStream: t.events(ctx, records, stop)}, nil
}

// liveTail is one that is shown.
type liveTail struct {
	*Service
	asked  *StartLiveTailInput
	groups map[string]group
	match  func(string) bool

	pending []LiveTailSessionLogEvent
	sampled bool
}

func (t *liveTail) events(ctx context.Context, records <-chan archive.Followed, stop func()) iter.Seq2[StartLiveTailResponseStream, error] {
	return func(yield func(StartLiveTailResponseStream, error) bool) {
		defer stop()
		start := &LiveTailSessionStart{
			RequestId: new(wire.RequestID(ctx)), SessionId: new(uuid.NewString()), LogGroupIdentifiers: t.asked.LogGroupIdentifiers,
			LogStreamNames: t.asked.LogStreamNames, LogStreamNamePrefixes: t.asked.LogStreamNamePrefixes, LogEventFilterPattern: t.asked.LogEventFilterPattern,
		}
		if !yield(StartLiveTailResponseStream{SessionStart: start}, nil) {
			return
		}
		tick := time.NewTicker(tailEvery)
		defer tick.Stop()
		over := time.NewTimer(tailFor)
		defer over.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.ctx.Done():
				yield(StartLiveTailResponseStream{}, moorage.Errorf(moorage.Unavailable, "the server is stopping"))
				return
			case <-over.C:
				yield(StartLiveTailResponseStream{}, &moorage.Error{Code: moorage.Unavailable, Exception: "SessionTimeoutException", Message: "the session has been open for three hours"})
				return
			case some := <-records:
				t.take(some)
			case <-tick.C:
				if !yield(StartLiveTailResponseStream{SessionUpdate: t.update()}, nil) {
					return
				}
			}
		}
	}
}

func (t *liveTail) take(some archive.Followed) {
	t.sampled = t.sampled || some.Missed > 0
	for _, r := range some.Records {
		e := event{record: &r}
		g := t.groups[e.group()]
		message, stream := t.message(e), e.stream(g)
		if t.match != nil && !t.match(message) || !t.asks(stream) {
			continue
		}
		if len(t.pending) == tailMost {
			t.sampled = true
			return
		}
		t.pending = append(t.pending, LiveTailSessionLogEvent{
			LogStreamName: &stream, LogGroupIdentifier: new(t.Account + ":" + g.name), Message: &message, Timestamp: millis(e.time()), IngestionTime: millis(time.Now()),
		})
	}
}

func (t *liveTail) asks(stream string) bool {
	names, prefixes := t.asked.LogStreamNames, t.asked.LogStreamNamePrefixes
	return len(names)+len(prefixes) == 0 || slices.Contains(names, stream) ||
		slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(stream, p) })
}

func (t *liveTail) update() *LiveTailSessionUpdate {
	out := &LiveTailSessionUpdate{SessionMetadata: &LiveTailSessionMetadata{Sampled: new(t.sampled)}, SessionResults: append([]LiveTailSessionLogEvent{}, t.pending...)}
	t.pending, t.sampled = nil, false
	return out
}
