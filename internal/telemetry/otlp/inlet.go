package otlp

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	rpc "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/document"
)

// Bounds of a request in bytes. SDKs send 512 spans at a time, of two kilobytes on average.
const (
	MaxBody     = 4 << 20  // as sent
	MaxInflated = 16 << 20 // unpacked
)

// Inlet takes OTLP. Make one with [New].
type Inlet struct {
	keep   func(context.Context, telemetry.Batch) error
	codec  *document.Codec
	schema schema
	totals *totals
	log    *slog.Logger

	// Address finds where log records go that name a log group and stream of CloudWatch's: a Source with Group, or
	// the Runtime and Endpoint whose group it is. Nil passes over such names. It is set before the first request.
	Address func(ctx context.Context, group, stream string) (telemetry.Source, error)

	overruled, inherited atomic.Int64
}

// New makes an inlet. Keep returns when a batch is on disk, and a moorage.Throttled while there is no
// room for it.
func New(keep func(context.Context, telemetry.Batch) error, codec *document.Codec, log *slog.Logger) *Inlet {
	return &Inlet{keep: keep, codec: codec, schema: newSchema(), totals: newTotals(time.Now().UnixNano()), log: log}
}

// Overruled is how many spans and log records claimed another session or runtime than they came from.
func (i *Inlet) Overruled() int64 { return i.overruled.Load() }

// Inherited is how many spans were left out because the clone that sent them only remembers them: they
// began in the start that it is a copy of.
func (i *Inlet) Inherited() int64 { return i.inherited.Load() }

// ServeHTTP answers POST to any path that ends in /traces, /logs or /metrics, and over HTTP/2 the Export
// methods of OTLP's gRPC services.
func (i *Inlet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r = withAddress(r)
	if isGRPC(r) {
		i.serveGRPC(w, r)
		return
	}
	form, err := formOf(r)
	if err != nil {
		form = protobufForm
	} else {
		var answer exported
		if answer, err = i.take(w, r, form); err == nil {
			form.write(w, http.StatusOK, answer)
			return
		}
	}
	i.refuse(w, r, form, err)
}

// exported is an answer to an export request.
type exported interface {
	MarshalProto() ([]byte, error)
	MarshalJSON() ([]byte, error)
}

func (i *Inlet) take(w http.ResponseWriter, r *http.Request, f form) (exported, error) {
	signal, ok := i.signalOf(r.URL.Path)
	if !ok || r.Method != http.MethodPost {
		return nil, moorage.Errorf(moorage.NotFound, "%s %s is no OTLP endpoint: POST to /v1/traces, /v1/logs or /v1/metrics", r.Method, r.URL.Path)
	}
	raw, err := read(w, r)
	if err != nil {
		return nil, err
	}
	if f.json {
		err = checkJSONDepth(raw)
	} else {
		err = checkDepth(raw, signal.schema)
	}
	if err != nil {
		return nil, err
	}
	return signal.take(r.Context(), raw, f.json, time.Now())
}

// read returns the body, unpacked.
func read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	var body io.Reader = http.MaxBytesReader(w, r.Body, MaxBody)
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip":
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			return nil, badBody(err)
		}
		body = unzipped
	default:
		return nil, moorage.Errorf(moorage.Invalid, "the content encoding %q is not known; send gzip or none", encoding)
	}
	return inflate(body, r.ContentLength)
}

func badBody(err error) error {
	if over := (*http.MaxBytesError)(nil); errors.As(err, &over) {
		return tooLarge{MaxBody}
	}
	return &moorage.Error{Code: moorage.Invalid, Message: "the body could not be read", Err: err}
}

// tooLarge is a request of more than so many bytes. Clients do not send it again.
type tooLarge struct{ limit int }

func (e tooLarge) Error() string {
	return "the request is larger than " + strconv.Itoa(e.limit) + " bytes; send smaller batches"
}

// form is how a request is written, and its answer.
type form struct {
	json  bool
	media string
}

var (
	protobufForm = form{false, "application/x-protobuf"}
	jsonForm     = form{true, "application/json"}
)

func formOf(r *http.Request) (form, error) {
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch media {
	case "application/x-protobuf", "application/protobuf":
		return protobufForm, nil
	case "application/json":
		return jsonForm, nil
	}
	return form{}, moorage.Errorf(moorage.Invalid, "the content type %q is not known; send application/x-protobuf or application/json", media)
}

func (f form) write(w http.ResponseWriter, status int, answer exported) {
	marshal := answer.MarshalProto
	if f.json {
		marshal = answer.MarshalJSON
	}
	doc, err := marshal()
	if err != nil {
		status = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", f.media)
	w.Header().Set("Content-Length", strconv.Itoa(len(doc)))
	w.WriteHeader(status)
	w.Write(doc) // a client that is gone has no use for it
}

// failure writes google.rpc.Status, the answer that OTLP asks for.
type failure struct{ *rpc.Status }

func (f failure) MarshalProto() ([]byte, error) { return proto.Marshal(f.Status) }
func (f failure) MarshalJSON() ([]byte, error)  { return protojson.Marshal(f.Status) }

// answers are the statuses for what may go wrong. Clients send again after 429 and 503 only.
var answers = map[moorage.Code]struct {
	http int
	grpc codes.Code
}{
	moorage.Invalid:     {http.StatusBadRequest, codes.InvalidArgument},
	moorage.Denied:      {http.StatusForbidden, codes.PermissionDenied},
	moorage.Quota:       {http.StatusBadRequest, codes.FailedPrecondition},
	moorage.NotFound:    {http.StatusNotFound, codes.Unimplemented},
	moorage.Throttled:   {http.StatusTooManyRequests, codes.Unavailable}, // RESOURCE_EXHAUSTED would mean: never again
	moorage.Unavailable: {http.StatusServiceUnavailable, codes.Unavailable},
}

func (i *Inlet) refuse(w http.ResponseWriter, r *http.Request, f form, err error) {
	status, code, message := i.explain(r, err)
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	f.write(w, status, failure{&rpc.Status{Code: int32(code), Message: strings.ToValidUTF8(message, "�")}})
}
