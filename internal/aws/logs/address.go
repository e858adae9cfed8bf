package logs

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/telemetry"
)

// addressed is a stream of a group, and who puts records there; the zero source is somebody outside.
type addressed struct {
	group, stream string
	from          telemetry.Source
}

// addresses remembers what was found a moment ago: exporters ask several times a second.
type addresses struct {
	mu    sync.Mutex
	known map[addressed]sighting
}

type sighting struct {
	to telemetry.Source
	at time.Time
}

// Bounds of what is remembered.
const (
	addressKept  = time.Minute
	maxAddresses = 1000
)

func (a *addresses) get(key addressed, now time.Time) (telemetry.Source, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f, ok := a.known[key]
	return f.to, ok && now.Sub(f.at) < addressKept
}

func (a *addresses) put(key addressed, to telemetry.Source, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known == nil || len(a.known) >= maxAddresses {
		a.known = map[addressed]sighting{}
	}
	a.known[key] = sighting{to, now}
}

// Address finds where log records go that come as OTLP and name a group and a stream; what is missing of those is
// made. NotFound, Denied and Quota as for PutLogEvents.
func (s *Service) Address(ctx context.Context, group, stream string) (telemetry.Source, error) {
	key, now := addressed{group: group, stream: stream}, time.Now()
	key.from, _ = telemetry.SourceOf(ctx)
	if to, ok := s.addresses.get(key, now); ok {
		return to, nil
	}
	if err := s.prepare(ctx, group, stream); err != nil {
		return telemetry.Source{}, err
	}
	to, err := s.putBy(ctx, &PutLogEventsInput{LogGroupName: group, LogStreamName: stream})
	if err == nil {
		s.addresses.put(key, to, now)
	}
	return to, err
}

// prepare makes a group that is no runtime's, and its stream, where they are missing.
func (s *Service) prepare(ctx context.Context, group, stream string) error {
	if strings.HasPrefix(group, runtimePrefix) {
		return nil
	}
	if _, err := s.find(ctx, &group, nil); moorage.CodeOf(err) == moorage.NotFound {
		if _, err := s.createLogGroup(ctx, &CreateLogGroupInput{LogGroupName: group}); err != nil && moorage.CodeOf(err) != moorage.Conflict {
			return err
		}
	}
	_, err := s.createLogStream(ctx, &CreateLogStreamInput{LogGroupName: group, LogStreamName: stream})
	if moorage.CodeOf(err) == moorage.Conflict { // it is there
		return nil
	}
	return err
}
