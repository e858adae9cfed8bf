package image

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
)

// transportTo is for one pull. It reads the embedded registry in-process and others over the network,
// as far as [reach] allows, and gives up on one that stalls.
func (s *Store) transportTo(registry string) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		if s.embedded(registry) && r.URL.Host == registry {
			return inProcess(s.registry, r)
		}
		return patient(s.reach.toward(registry, r), r, s.limits.Stall)
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// patient waits for each part of an answer no longer than stall.
func patient(next http.RoundTripper, r *http.Request, stall time.Duration) (*http.Response, error) {
	slow := moorage.Errorf(moorage.Unavailable, "registry %s sent nothing for %v", r.URL.Host, stall)
	ctx, cancel := context.WithCancelCause(r.Context())
	timer := time.AfterFunc(stall, func() { cancel(slow) })
	resp, err := next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		timer.Stop()
		cancel(nil)
		return nil, causeOf(ctx, err)
	}
	resp.Body = &patientBody{ReadCloser: resp.Body, ctx: ctx, timer: timer, stall: stall, cancel: cancel}
	return resp, nil
}

// causeOf prefers our reason for cancelling over the bare cancellation.
func causeOf(ctx context.Context, err error) error {
	if moorage.CodeOf(context.Cause(ctx)) == moorage.Unavailable {
		return context.Cause(ctx)
	}
	return err
}

// patientBody runs its clock only while somebody reads: a slow disk is not a slow registry.
type patientBody struct {
	io.ReadCloser
	ctx    context.Context // of the request: Read has no argument for it
	timer  *time.Timer
	stall  time.Duration
	cancel context.CancelCauseFunc
}

func (b *patientBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.stall)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	if err != nil && err != io.EOF {
		err = causeOf(b.ctx, err)
	}
	return n, err
}

func (b *patientBody) Close() error {
	b.timer.Stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}

// inProcess answers a request by a handler of our own, streaming. The handler ends when the body
// is closed or the request cancelled.
func inProcess(h http.Handler, r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	r = r.Clone(ctx)
	r.Host, r.RequestURI = r.URL.Host, r.URL.RequestURI()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	body, out := io.Pipe()
	w := &pipeWriter{header: http.Header{}, out: out, ready: make(chan struct{}), code: http.StatusOK}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer w.begin()
		out.CloseWithError(serve(h, w, r))
	}()
	select {
	case <-w.ready:
	case <-r.Context().Done():
		cancel()
		body.Close()
		<-done
		return nil, context.Cause(r.Context())
	}
	return &http.Response{
		StatusCode: w.code, Status: http.StatusText(w.code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, ContentLength: -1, Request: r, Body: &pipeBody{PipeReader: body, end: func() { cancel(); <-done }},
	}, nil
}

// serve survives a handler's panic, as net/http's server does.
func serve(h http.Handler, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("registry handler: %v", v)
		}
	}()
	h.ServeHTTP(w, r)
	return nil
}

// pipeWriter is a ResponseWriter whose body is read at the other end of a pipe.
type pipeWriter struct {
	header http.Header // the handler's, who may write trailers to it later
	sent   http.Header
	out    *io.PipeWriter
	once   sync.Once
	ready  chan struct{} // closed when code and header are final
	code   int
}

func (w *pipeWriter) Header() http.Header { return w.header }

func (w *pipeWriter) WriteHeader(code int) {
	w.once.Do(func() {
		w.code, w.sent = code, w.header.Clone()
		close(w.ready)
	})
}

func (w *pipeWriter) begin() { w.WriteHeader(http.StatusOK) }

func (w *pipeWriter) Write(p []byte) (int, error) {
	w.begin()
	return w.out.Write(p)
}

type pipeBody struct {
	*io.PipeReader
	end func()
}

func (b *pipeBody) Close() error {
	err := b.PipeReader.Close()
	b.end()
	return err
}
