// Package logs answers as CloudWatch Logs does, from the telemetry archive. Types and constraints are
// generated; see api.gen.go.
//
// Log groups are a view of what is kept, so that nothing has to be set up:
//
//	/aws/bedrock-agentcore/runtimes/ID-ENDPOINT   a runtime's endpoint, from its creation on
//	    YYYY/MM/DD/[runtime-logs]SESSION          what the session's sandbox printed on that day
//	    otel-rt-logs                              log records that came as OTLP, one JSON document each
//	    spans                                     spans, likewise
//	aws/spans                                     all spans, in the stream default
//	/aws/vendedlogs/bedrock-agentcore/runtime/USAGE_LOGS/ID   processor and memory of a runtime's sessions
//	what a delivery of APPLICATION_LOGS says      what calls of a runtime said and were answered
//	/moorage/events                               what happened to telemetry itself: that some was removed, and why
//	/moorage/otlp/SERVICE                         log records of services elsewhere
//	whatever else CreateLogGroup made             what PutLogEvents put there
//
// The stream spans is read where it is asked for by name, and by queries; tailing a group shows lines
// only. A query of a runtime's group that requires the field kind, as those of the toolkits do that
// look for spans, finds none there: who sends it reads aws/spans as well and would see each twice.
//
// A retention policy hides what is older from the moment it is set; the files go when nothing in them is to be kept
// any more, once a day.
//
// Events have ids that stay. What PutLogEvents acknowledges is on disk.
package logs

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/store"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
	"github.com/moorage-dev/moorage/internal/telemetry/calls"
)

// Service is what the operations work on. Its fields are set before Serve; Close it once.
type Service struct {
	Archive         *archive.Archive
	Store           *store.DB
	Region, Account string
	Log             *slog.Logger

	addresses addresses
	vended    atomic.Pointer[map[string][]calls.Vended] // by ARN; nil when it has to be read
	queries   queries
	working   sync.WaitGroup
	stop      context.CancelFunc
	ctx       context.Context // of queries, which outlive the calls that start them
}

// Serve adds the operations to svc.
func (s *Service) Serve(svc *wire.Service) {
	s.ctx, s.stop = context.WithCancel(context.Background())
	wire.Handle(svc, FilterLogEvents, s.filterLogEvents)
	wire.Handle(svc, GetLogEvents, s.getLogEvents)
	wire.Handle(svc, GetLogRecord, s.getLogRecord)
	wire.Handle(svc, PutLogEvents, s.putLogEvents)
	wire.Handle(svc, StartLiveTail, s.startLiveTail)
	wire.Handle(svc, DescribeLogGroups, s.describeLogGroups)
	wire.Handle(svc, DescribeLogStreams, s.describeLogStreams)
	wire.Handle(svc, CreateLogGroup, s.createLogGroup)
	wire.Handle(svc, CreateLogStream, s.createLogStream)
	wire.Handle(svc, DeleteLogGroup, s.deleteLogGroup)
	wire.Handle(svc, DeleteLogStream, s.deleteLogStream)
	wire.Handle(svc, PutRetentionPolicy, s.putRetentionPolicy)
	wire.Handle(svc, DeleteRetentionPolicy, s.deleteRetentionPolicy)
	wire.Handle(svc, StartQuery, s.startQuery)
	wire.Handle(svc, StopQuery, s.stopQuery)
	wire.Handle(svc, GetQueryResults, s.getQueryResults)
	wire.Handle(svc, DescribeQueries, s.describeQueries)
	s.serveDeliveries(svc)
}

// ServeWrites adds to svc what agents may call from inside their sandboxes: to put events, whose source is
// then that of the request's context, and to make what they put them into.
func (s *Service) ServeWrites(svc *wire.Service) {
	wire.Handle(svc, PutLogEvents, s.putLogEvents)
	wire.Handle(svc, CreateLogGroup, s.createLogGroup)
	wire.Handle(svc, CreateLogStream, s.createLogStream)
}

// Close ends the queries that run.
func (s *Service) Close() {
	if s.stop != nil {
		s.stop()
		s.working.Wait()
	}
}

// UsagePrefix is what groups begin with into which the platform writes what runtimes use, each into VendedStream.
const (
	UsagePrefix  = "/aws/vendedlogs/bedrock-agentcore/runtime/USAGE_LOGS/"
	VendedStream = "default"
)

const (
	runtimePrefix = "/aws/bedrock-agentcore/runtimes/"
	otlpPrefix    = "/moorage/otlp/"
	allSpans      = "aws/spans"
	otelStream    = "otel-rt-logs"
	spanStream    = "spans"
	printedMark   = "[runtime-logs]"
)

// notThere is how AWS says that a group is missing; toolkits look for these words.
func notThere(group string) error {
	return moorage.Errorf(moorage.NotFound, "The specified log group does not exist: %s", group)
}

func exists(what, name string) error {
	return &moorage.Error{Code: moorage.Conflict, Exception: "ResourceAlreadyExistsException", Message: "The specified " + what + " already exists: " + name}
}

func wrong(format string, args ...any) error {
	return &moorage.Error{Code: moorage.Invalid, Exception: "InvalidParameterException", Message: moorage.Errorf(moorage.Invalid, format, args...).Message}
}

// arn names a log group; its streams and events have a star at the end.
func (s *Service) arn(group string) string {
	return "arn:aws:logs:" + s.Region + ":" + s.Account + ":log-group:" + group
}

// groupOf reads the name of a group, or its ARN. One of the two has to be given.
func groupOf(name, identifier *string) (string, error) {
	switch {
	case name != nil && identifier != nil:
		return "", wrong("give logGroupName or logGroupIdentifier, not both")
	case name != nil:
		return *name, nil
	case identifier != nil:
		return nameIn(*identifier), nil
	}
	return "", wrong("give logGroupName or logGroupIdentifier")
}

func nameIn(identifier string) string {
	if _, name, ok := strings.Cut(identifier, ":log-group:"); ok {
		return strings.TrimSuffix(name, ":*")
	}
	return identifier
}

// runtimeOf reads the runtime and endpoint of a group's name. A runtime's id may have hyphens, an
// endpoint's name has none.
func runtimeOf(group string) (runtime, endpoint string, ok bool) {
	name, ok := strings.CutPrefix(group, runtimePrefix)
	i := strings.LastIndexByte(name, '-')
	if !ok || i < 0 {
		return "", "", false
	}
	return name[:i], name[i+1:], true
}

func millis(t time.Time) *int64 { return new(t.UnixMilli()) }
