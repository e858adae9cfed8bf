// Package forward sends what comes in on to another OpenTelemetry backend, as OTLP over HTTP.
//
// The archive is its buffer: a cursor on disk says how far the backend has everything, and moves once it
// answered. A backend that is away gets what it missed when it is back, as long as the archive keeps it;
// what it refuses for good (any 4xx but 408 and 429) is logged and passed over. After a crash the last pieces
// may be sent twice: backends know spans by their ids.
//
// Spans and log records go on as they came, with the runtime and the session that the platform knows them
// to be of. Metrics do not: agents' backends get them from /metrics, or from the agents.
package forward

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
)

// Forwarder sends on. Its fields are set before Run.
type Forwarder struct {
	Archive *archive.Archive
	URL     string            // of the backend, before /v1/traces
	Header  map[string]string // of each request, such as Authorization
	Cursor  string            // file that says how far it came
	Client  *http.Client      // default one with a timeout of 30 seconds
	Log     *slog.Logger
}

const (
	pollEvery = 500 * time.Millisecond
	maxPieces = 16 // packs of spans have 128 KiB unpacked, or one trace
	firstWait = time.Second
	longest   = 30 * time.Second
)

// Run sends until ctx ends. The first time, it begins with what comes in from now on.
func (f *Forwarder) Run(ctx context.Context) {
	if f.Client == nil {
		f.Client = &http.Client{Timeout: 30 * time.Second}
	}
	at, err := f.begin(ctx)
	if err != nil {
		f.Log.Error("nothing is forwarded: find where to begin", "err", err)
		return
	}
	wait := firstWait
	for ctx.Err() == nil {
		next, sent, err := f.step(ctx, at)
		switch {
		case err != nil && ctx.Err() == nil:
			f.Log.Warn("forward telemetry", "to", f.URL, "again in", wait, "err", err)
			pause(ctx, max(wait, retryAfter(err)))
			wait = min(2*wait, longest)
		case !sent:
			pause(ctx, pollEvery)
		default:
			at, wait = next, firstWait
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func (f *Forwarder) begin(ctx context.Context) (at archive.Cursor, err error) {
	doc, err := os.ReadFile(f.Cursor)
	if errors.Is(err, os.ErrNotExist) {
		if at, err = f.Archive.End(ctx); err == nil {
			err = f.keep(at)
		}
		return at, err
	}
	if err == nil {
		err = json.Unmarshal(doc, &at)
	}
	return at, err
}

func (f *Forwarder) keep(at archive.Cursor) error {
	doc, err := json.Marshal(at)
	if err == nil {
		err = os.WriteFile(f.Cursor+".new", doc, 0o600)
	}
	if err == nil {
		err = os.Rename(f.Cursor+".new", f.Cursor)
	}
	return err
}

// step sends what came in after a cursor, if anything did, and moves the cursor.
func (f *Forwarder) step(ctx context.Context, at archive.Cursor) (next archive.Cursor, sent bool, err error) {
	found, err := f.Archive.Onward(ctx, at, maxPieces)
	if err != nil {
		return at, false, err
	}
	if found.Lost {
		f.Log.Warn("telemetry went from the archive before it was forwarded", "from", at.Partition)
	}
	if found.Next == at || found.Next == (archive.Cursor{}) {
		return at, false, nil
	}
	if err := f.sendSpans(ctx, found.Spans); err != nil {
		return at, false, err
	}
	if err := f.sendLogs(ctx, found.Logs); err != nil {
		return at, false, err
	}
	return found.Next, true, f.keep(found.Next)
}

func (f *Forwarder) sendSpans(ctx context.Context, pieces []archive.Piece) error {
	all := ptrace.NewTraces()
	for _, p := range pieces {
		t, err := f.Archive.Codec().Traces(p.Doc)
		if err != nil {
			return err
		}
		for i, resource := range t.ResourceSpans().All() {
			from := p.Sources[min(i, len(p.Sources)-1)]
			stamp(resource.Resource().Attributes(), from)
			for _, scope := range resource.ScopeSpans().All() {
				for _, span := range scope.Spans().All() {
					session(span.Attributes(), from)
				}
			}
		}
		t.ResourceSpans().MoveAndAppendTo(all.ResourceSpans())
	}
	if all.SpanCount() == 0 {
		return nil
	}
	body, err := ptraceotlp.NewExportRequestFromTraces(all).MarshalProto()
	if err != nil {
		return err
	}
	return f.post(ctx, "/v1/traces", body)
}

func (f *Forwarder) sendLogs(ctx context.Context, pieces []archive.Piece) error {
	all := plog.NewLogs()
	for _, p := range pieces {
		l, err := f.Archive.Codec().Logs(p.Doc)
		if err != nil {
			return err
		}
		for _, resource := range l.ResourceLogs().All() {
			stamp(resource.Resource().Attributes(), p.Sources[0])
			for _, scope := range resource.ScopeLogs().All() {
				for _, record := range scope.LogRecords().All() {
					session(record.Attributes(), p.Sources[0])
				}
			}
		}
		l.ResourceLogs().MoveAndAppendTo(all.ResourceLogs())
	}
	if all.LogRecordCount() == 0 {
		return nil
	}
	body, err := plogotlp.NewExportRequestFromLogs(all).MarshalProto()
	if err != nil {
		return err
	}
	return f.post(ctx, "/v1/logs", body)
}

// stamp says whose a resource is.
func stamp(attributes pcommon.Map, from telemetry.Source) {
	for key, value := range map[string]string{
		"moorage.runtime": from.Runtime, "moorage.endpoint": from.Endpoint, "moorage.version": from.Version, "aws.log.group.names": from.Group,
	} {
		if value != "" {
			attributes.PutStr(key, value)
		}
	}
	if _, named := attributes.Get("service.name"); !named && from.Runtime != "" {
		name, _, _ := strings.Cut(from.Runtime, "-")
		attributes.PutStr("service.name", name)
	}
}

func session(attributes pcommon.Map, from telemetry.Source) {
	if from.Caller != "" {
		attributes.PutStr("session.id", from.Caller)
	}
}

// refusal is an answer that says to send again, and when.
type refusal struct {
	status int
	text   string
	after  time.Duration
}

func (r *refusal) Error() string { return fmt.Sprintf("it answered %d: %s", r.status, r.text) }

func retryAfter(err error) time.Duration {
	var r *refusal
	if errors.As(err, &r) {
		return min(r.after, 10*time.Minute)
	}
	return 0
}

func (f *Forwarder) post(ctx context.Context, path string, body []byte) error {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(body) // a Buffer takes all
	z.Close()
	r, err := http.NewRequestWithContext(ctx, "POST", strings.TrimSuffix(f.URL, "/")+path, &packed)
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-protobuf")
	r.Header.Set("Content-Encoding", "gzip")
	for name, value := range f.Header {
		r.Header.Set(name, value)
	}
	answer, err := f.Client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 1000)) // for the log alone
	switch {
	case answer.StatusCode < 300:
		return nil
	case answer.StatusCode >= 400 && answer.StatusCode < 500 && answer.StatusCode != 429 && answer.StatusCode != 408:
		f.Log.Error("telemetry is refused for good, and passed over", "to", r.URL.String(), "status", answer.StatusCode, "answer", strings.ToValidUTF8(string(text), "?"))
		return nil
	}
	seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
	return &refusal{answer.StatusCode, strings.ToValidUTF8(string(text), "?"), time.Duration(seconds) * time.Second}
}
