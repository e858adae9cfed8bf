package wire

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"
)

// reply writes the output of an operation.
func (s *Service) reply(w http.ResponseWriter, r *http.Request, op *OperationModel, out reflect.Value) {
	shape := s.model.shape(op.Output)
	status := s.writeParts(w, shape, out, op.Status)
	err := s.writeBody(w, r, shape, out, status)
	if err != nil && r.Context().Err() == nil {
		s.options.Logger.WarnContext(r.Context(), "reply was cut short", "operation", op.Name, "requestId", RequestID(r.Context()), "error", err)
		panic(http.ErrAbortHandler) // the caller must not take half an answer for a whole one
	}
}

// writeParts sets the headers and returns the status. It fills a member for the status, since the Go
// SDK looks for it in the body.
func (s *Service) writeParts(w http.ResponseWriter, shape *Shape, out reflect.Value, status int) int {
	for i := range shape.Members {
		m, v := &shape.Members[i], out.Field(i)
		if m.In == StatusCode && v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
			v.Elem().SetInt(int64(status))
		}
		if m.In == Body || absent(m, v) {
			continue
		}
		if v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		switch m.In {
		case Header:
			w.Header().Set(m.key(), headerText(v))
		case PrefixHeaders:
			for it := v.MapRange(); it.Next(); {
				w.Header().Set(m.key()+it.Key().String(), it.Value().String())
			}
		case StatusCode:
			status = int(v.Int())
		}
	}
	return status
}

// headerText is a member as a header. Line breaks in a value are replaced by net/http.
func headerText(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return v.String()
	case reflect.Slice:
		items := make([]string, v.Len())
		for i := range items {
			items[i] = headerText(v.Index(i))
		}
		return strings.Join(items, ",")
	}
	if t, ok := v.Interface().(time.Time); ok {
		return t.UTC().Format(http.TimeFormat)
	}
	return fmt.Sprint(v.Interface())
}

func (s *Service) writeBody(w http.ResponseWriter, r *http.Request, shape *Shape, out reflect.Value, status int) error {
	if shape.Payload == 0 {
		return s.model.Protocol.write(w, CallOf(r.Context()), shape, out, status)
	}
	m, v := &shape.Members[shape.Payload-1], out.Field(shape.Payload-1)
	payload := s.model.shape(m.Shape)
	switch {
	case payload.Events:
		return s.writeEvents(w, r, payload, v, status)
	case payload.Streaming:
		return stream(r.Context(), w, v, status)
	case payload.Type == Blob:
		return writeWhole(w, "application/octet-stream", status, v.Bytes())
	}
	return s.model.Protocol.write(w, CallOf(r.Context()), payload, v, status)
}

// writeWhole sends a body that is all there. A content type that the output set stays.
func writeWhole(w http.ResponseWriter, contentType string, status int, body []byte) error {
	setDefault(w.Header(), "Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, err := w.Write(body)
	return err
}

func setDefault(h http.Header, name, value string) {
	if h.Get(name) == "" {
		h.Set(name, value)
	}
}

// stream copies a body to the caller, who sees whatever is here whenever more has to be waited for, and
// closes it: at its end, or as soon as the caller is gone. A nil body is an empty answer.
func stream(ctx context.Context, w http.ResponseWriter, v reflect.Value, status int) error {
	setDefault(w.Header(), "Content-Type", "application/octet-stream")
	body, _ := v.Interface().(io.ReadCloser)
	if body == nil {
		w.WriteHeader(status)
		return nil
	}
	defer body.Close()
	w.WriteHeader(status)
	return copyFlushing(ctx, w, body)
}

// buffered is a body that knows how many bytes it gives without waiting. 0 is not to know.
type buffered interface{ Buffered() int }

// waits reports whether a Read of body may wait.
func waits(body io.Reader) bool {
	b, ok := body.(buffered)
	return !ok || b.Buffered() == 0
}

// copyBuffers are of 32 KiB: streams come in small pieces, files in large ones.
var copyBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// copyFlushing flushes before every Read that may wait, the first included: the caller sees the status
// before the first byte. An answer that is all there leaves in one piece.
func copyFlushing(ctx context.Context, w http.ResponseWriter, body io.ReadCloser) error {
	flush := http.NewResponseController(w).Flush
	watched := false
	buf := copyBuffers.Get().(*[32 << 10]byte)
	defer copyBuffers.Put(buf)
	for {
		if waits(body) {
			if err := flush(); err != nil {
				return err
			}
			if !watched {
				watched = true
				defer context.AfterFunc(ctx, func() { body.Close() })() // wakes a Read that waits for the agent
			}
		}
		n, err := body.Read(buf[:])
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
