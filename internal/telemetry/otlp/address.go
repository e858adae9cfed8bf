package otlp

import (
	"context"
	"net/http"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/telemetry"
)

// The headers by which exporters address log records to a log group and stream. Source: AWS, OTLP endpoints of
// CloudWatch Logs.
const (
	groupHeader  = "X-Aws-Log-Group"
	streamHeader = "X-Aws-Log-Stream"
)

// otlpStream is where log records of a runtime are that were addressed to no other stream.
const otlpStream = "otel-rt-logs"

// address is a log group and stream.
type address struct{ group, stream string }

type addressKey struct{}

func withAddress(r *http.Request) *http.Request {
	a := address{r.Header.Get(groupHeader), r.Header.Get(streamHeader)}
	if a == (address{}) {
		return r
	}
	return r.WithContext(context.WithValue(r.Context(), addressKey{}, a))
}

// address finds where the log records of a request go.
func (s *splitter) address(ctx context.Context) error {
	a, _ := ctx.Value(addressKey{}).(address)
	if a == (address{}) || s.inlet.Address == nil {
		return nil
	}
	if a.group == "" || a.stream == "" || len(a.group) > 512 || len(a.stream) > 512 {
		return moorage.Errorf(moorage.Invalid, "the headers x-aws-log-group and x-aws-log-stream go together, with at most 512 characters each")
	}
	to, err := s.inlet.Address(ctx, a.group, a.stream)
	if err != nil {
		return err
	}
	s.to = &to
	if a.stream != otlpStream {
		s.stream = a.stream
	}
	return nil
}

// addressed is where a record goes: a sandbox stays who it is, and a session that is claimed stays claimed.
func (s *splitter) addressed(from telemetry.Source) telemetry.Source {
	switch {
	case s.to == nil:
	case s.to.Group != "" && s.inside:
		from.Group = s.to.Group
	case s.to.Group != "":
		return telemetry.Source{Group: s.to.Group}
	case !s.inside:
		from.Runtime, from.Endpoint = s.to.Runtime, s.to.Endpoint
	}
	return from
}
