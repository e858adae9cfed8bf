package otlp

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/moorage-dev/moorage"
)

// services are the methods of OTLP's gRPC services, by the signal that they export.
var services = map[string]string{
	"/opentelemetry.proto.collector.trace.v1.TraceService/Export":     "traces",
	"/opentelemetry.proto.collector.logs.v1.LogsService/Export":       "logs",
	"/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": "metrics",
}

func isGRPC(r *http.Request) bool {
	return r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

// serveGRPC answers a unary call of gRPC: one message in, one out, the status in the trailer. Over HTTP/2
// this is all that an exporter needs, and it shares every bound with the other forms.
func (i *Inlet) serveGRPC(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
	status, message := codes.OK, ""
	answer, err := i.export(w, r)
	if err == nil {
		var doc []byte
		if doc, err = answer.MarshalProto(); err == nil {
			w.Write(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(doc))), doc...))
		}
	}
	if err != nil {
		_, status, message = i.explain(r, err)
	}
	w.Header().Set("Grpc-Status", strconv.Itoa(int(status)))
	w.Header().Set("Grpc-Message", url.PathEscape(message))
}

func (i *Inlet) export(w http.ResponseWriter, r *http.Request) (exported, error) {
	signal, ok := i.signalOf(services[r.URL.Path])
	if !ok {
		return nil, moorage.Errorf(moorage.NotFound, "%s is no method of OTLP", r.URL.Path)
	}
	raw, err := readFrame(w, r)
	if err != nil {
		return nil, err
	}
	if err := checkDepth(raw, signal.schema); err != nil {
		return nil, err
	}
	return signal.take(r.Context(), raw, false, time.Now())
}

// readFrame reads the one message of a call: a byte that says whether it is compressed, its length, and it.
func readFrame(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body := http.MaxBytesReader(w, r.Body, MaxBody)
	var head [5]byte
	if _, err := io.ReadFull(body, head[:]); err != nil {
		return nil, badBody(err)
	}
	size := binary.BigEndian.Uint32(head[1:])
	if size > MaxBody {
		return nil, tooLarge{MaxBody}
	}
	raw, err := io.ReadAll(io.LimitReader(body, int64(size)))
	if err != nil {
		return nil, badBody(err)
	}
	if head[0] == 0 {
		return raw, nil
	}
	if r.Header.Get("Grpc-Encoding") != "gzip" {
		return nil, moorage.Errorf(moorage.Invalid, "the compression %q is not known; send gzip or none", r.Header.Get("Grpc-Encoding"))
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, badBody(err)
	}
	return inflate(unzipped, int64(size))
}

// inflate reads what is packed, up to MaxInflated, and is quick about what has the expected size.
func inflate(from io.Reader, expected int64) ([]byte, error) {
	into := bytes.NewBuffer(make([]byte, 0, min(max(expected, 0), MaxBody)+bytes.MinRead))
	_, err := into.ReadFrom(io.LimitReader(from, MaxInflated+1))
	if err != nil {
		return nil, badBody(err)
	}
	raw := into.Bytes()
	if len(raw) > MaxInflated {
		return nil, tooLarge{MaxInflated}
	}
	return raw, nil
}

// explain turns an error into what the client is told: a status of HTTP, one of gRPC, and words. What is
// our own fault is logged and not shown.
func (i *Inlet) explain(r *http.Request, err error) (int, codes.Code, string) {
	if large := (tooLarge{}); errors.As(err, &large) {
		return http.StatusRequestEntityTooLarge, codes.InvalidArgument, large.Error()
	}
	answer, ok := answers[moorage.CodeOf(err)]
	if !ok {
		if r.Context().Err() == nil {
			i.log.ErrorContext(r.Context(), "take telemetry", "path", r.URL.Path, "err", err)
		}
		return http.StatusInternalServerError, codes.Internal, "internal error"
	}
	return answer.http, answer.grpc, err.Error()
}
