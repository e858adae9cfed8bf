package wire

import (
	"bytes"
	"errors"
	"net/http"
	"reflect"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"

	"github.com/moorage-dev/moorage"
)

// writeEvents sends an event stream: v is an iter.Seq2[Union, error]. An error ends the stream as an
// exception event, which SDKs raise by its name. A long silence is the handler's to fill, where proxies
// would cut it: an event whose members are all absent says nothing to any of the SDKs.
func (s *Service) writeEvents(w http.ResponseWriter, r *http.Request, union *Shape, v reflect.Value, status int) error {
	w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
	w.WriteHeader(status)
	out := eventWriter{service: s, w: w, flush: http.NewResponseController(w).Flush}
	if err := out.begin(); err != nil || v.IsNil() {
		return err
	}
	for event, failure := range v.Seq2() {
		err, _ := failure.Interface().(error)
		if err != nil {
			return out.exception(r, union, err)
		}
		if err := out.event(union, event); err != nil {
			return err
		}
	}
	return nil
}

// eventWriter frames events. Source: Smithy specification, Amazon event stream.
type eventWriter struct {
	service *Service
	w       http.ResponseWriter
	flush   func() error
	encoder *eventstream.Encoder
}

// begin shows the caller that the stream is there. Where the message, not the path, names operations, the
// members of the output beside the stream come in an event of their own, which SDKs wait for; no model
// has such members so far. Source: Smithy specification, Amazon event stream, initial-response messages.
func (e *eventWriter) begin() error {
	if _, rpc := e.service.model.Protocol.(rpcJSON); rpc {
		return e.send([]byte("{}"), ":message-type", "event", ":event-type", "initial-response", ":content-type", "application/json")
	}
	return e.flush()
}

func (e *eventWriter) event(union *Shape, v reflect.Value) error {
	for i := range union.Members {
		m := &union.Members[i]
		if absent(m, v.Field(i)) {
			continue
		}
		var payload bytes.Buffer
		encodeJSON(&payload, e.service.model, e.service.model.shape(m.Shape), v.Field(i))
		return e.send(payload.Bytes(), ":message-type", "event", ":event-type", m.Name, ":content-type", "application/json")
	}
	return nil // an empty union says nothing
}

// exception ends the stream. What the stream's own model does not have is sent as a plain error.
func (e *eventWriter) exception(r *http.Request, union *Shape, err error) error {
	call := CallOf(r.Context())
	f := faultOf(e.service.model, call.route.op, err)
	e.service.log(r.Context(), f, err)
	if name := streamed(union, f.name, err); name != "" {
		f.name = name
		return e.send(faultJSON(f, ""), ":message-type", "exception", ":exception-type", union.Exceptions[f.name], ":content-type", "application/json")
	}
	return e.send(nil, ":message-type", "error", ":error-code", f.name, ":error-message", f.message)
}

// streamed is the exception of a stream's own model that tells an error: the one by its name, or another of the same code, for what
// is called otherwise once a stream has begun. It is empty where there is none.
func streamed(union *Shape, name string, err error) string {
	names := []string{name}
	if e := (*moorage.Error)(nil); errors.As(err, &e) {
		names = append(names, faults[e.Code].exceptions...)
	}
	for _, name := range names {
		if union.Exceptions[name] != "" {
			return name
		}
	}
	return ""
}

func (e *eventWriter) send(payload []byte, headers ...string) error {
	if e.encoder == nil {
		e.encoder = eventstream.NewEncoder()
	}
	message := eventstream.Message{Payload: payload}
	for i := 0; i < len(headers); i += 2 {
		message.Headers.Set(headers[i], eventstream.StringValue(headers[i+1]))
	}
	if err := e.encoder.Encode(e.w, message); err != nil {
		return err
	}
	return e.flush()
}
