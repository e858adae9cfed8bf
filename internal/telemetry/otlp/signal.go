package otlp

import (
	"context"
	"fmt"
	"path"
	"time"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/telemetry"
)

// signal is one of the three things that OTLP carries.
type signal struct {
	schema message
	take   func(ctx context.Context, raw []byte, json bool, now time.Time) (exported, error)
}

func (i *Inlet) signalOf(url string) (signal, bool) {
	switch path.Base(url) {
	case "traces":
		return signal{i.schema.traces, i.takeTraces}, true
	case "logs":
		return signal{i.schema.logs, i.takeLogs}, true
	case "metrics":
		return signal{i.schema.metrics, i.takeMetrics}, true
	}
	return signal{}, false
}

func (i *Inlet) takeTraces(ctx context.Context, raw []byte, json bool, now time.Time) (exported, error) {
	if json {
		request := ptraceotlp.NewExportRequest()
		err := decode(raw, json, nil, request.UnmarshalJSON)
		if err == nil {
			raw, err = request.MarshalProto()
		}
		if err != nil {
			return nil, err
		}
	}
	s, err := i.keepTraces(ctx, raw, now)
	answer := ptraceotlp.NewExportResponse()
	if s.refused > 0 {
		answer.PartialSuccess().SetRejectedSpans(s.refused)
		answer.PartialSuccess().SetErrorMessage(fmt.Sprintf("%d spans have no trace id or no span id", s.refused))
	}
	return answer, err
}

// Keep takes spans that the platform made itself, for the source of ctx.
func (i *Inlet) Keep(ctx context.Context, spans ptrace.Traces) error {
	raw, err := new(ptrace.ProtoMarshaler).MarshalTraces(spans)
	if err == nil {
		_, err = i.keepTraces(ctx, raw, time.Now())
	}
	return err
}

func (i *Inlet) keepTraces(ctx context.Context, request []byte, now time.Time) (*splitter, error) {
	s := i.newSplitter(ctx, now)
	err := s.traces(request)
	if err == nil && len(s.order) > 0 {
		err = i.keep(ctx, s.batch())
	}
	return s, err
}

func (i *Inlet) takeLogs(ctx context.Context, raw []byte, json bool, now time.Time) (exported, error) {
	request := plogotlp.NewExportRequest()
	if err := decode(raw, json, request.UnmarshalProto, request.UnmarshalJSON); err != nil {
		return nil, err
	}
	s := i.newSplitter(ctx, now)
	if err := s.address(ctx); err != nil {
		return nil, err
	}
	s.logs(request.Logs())
	lines, err := s.lines()
	if err == nil && len(lines) > 0 {
		err = i.keep(ctx, telemetry.Batch{Received: now, Lines: lines})
	}
	return plogotlp.NewExportResponse(), err
}

func (i *Inlet) takeMetrics(ctx context.Context, raw []byte, json bool, now time.Time) (exported, error) {
	request := pmetricotlp.NewExportRequest()
	if err := decode(raw, json, request.UnmarshalProto, request.UnmarshalJSON); err != nil {
		return nil, err
	}
	points := i.newSplitter(ctx, now).metrics(request.Metrics())
	if len(points) == 0 {
		return pmetricotlp.NewExportResponse(), nil
	}
	return pmetricotlp.NewExportResponse(), i.keep(ctx, telemetry.Batch{Received: now, Points: points})
}

func decode(raw []byte, json bool, proto, text func([]byte) error) error {
	unmarshal := proto
	if json {
		unmarshal = text
	}
	if err := unmarshal(raw); err != nil {
		return &moorage.Error{Code: moorage.Invalid, Message: "the body is not an OTLP export request", Err: err}
	}
	return nil
}

func (i *Inlet) newSplitter(ctx context.Context, now time.Time) *splitter {
	s := &splitter{inlet: i, now: now, chunks: map[chunkKey]*chunk{}, pages: map[telemetry.Source]*page{}}
	s.from, s.inside = telemetry.SourceOf(ctx)
	if at := telemetry.BirthOf(ctx); !at.IsZero() {
		s.birth = at.UnixNano()
	}
	return s
}
