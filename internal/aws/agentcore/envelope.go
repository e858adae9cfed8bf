package agentcore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/invoke"
)

// told is how the clients of one protocol are told of an error.
type told struct {
	status int
	code   int    // JSON-RPC
	event  string // AG-UI
}

// envelopes says how each protocol tells each kind of error. HTTP's own column is the service model's,
// see package wire; a row that a protocol has not is told as HTTP tells it.
// Source: AgentCore developer guide, MCP, A2A and AG-UI protocol contracts.
var envelopes = map[string]map[moorage.Code]told{
	"MCP": {
		moorage.Unauthenticated: {status: 401, code: -32001},
		moorage.Denied:          {status: 403, code: -32002},
		moorage.Throttled:       {status: 200, code: -32003},
		moorage.Quota:           {status: 200, code: -32003},
		moorage.NotFound:        {status: 200, code: -32004},
		moorage.Conflict:        {status: 200, code: -32005},
		moorage.Busy:            {status: 200, code: -32005},
		moorage.Invalid:         {status: 200, code: -32006},
		moorage.AgentFailed:     {status: 200, code: -32010},
		moorage.Unavailable:     {status: 200, code: -32603},
		moorage.Internal:        {status: 200, code: -32603},
	},
	"A2A": {
		moorage.NotFound:    {status: 404, code: -32051},
		moorage.Invalid:     {status: 400, code: -32052},
		moorage.Throttled:   {status: 429, code: -32053},
		moorage.Quota:       {status: 429, code: -32053},
		moorage.Conflict:    {status: 409, code: -32054},
		moorage.Busy:        {status: 409, code: -32054},
		moorage.AgentFailed: {status: 424, code: -32055},
		moorage.Unavailable: {status: 500, code: -32603},
		moorage.Internal:    {status: 500, code: -32603},
	},
	"AGUI": {
		moorage.Unauthenticated: {status: 401, event: "UNAUTHORIZED"},
		moorage.Denied:          {status: 403, event: "ACCESS_DENIED"},
		moorage.Invalid:         {status: 400, event: "VALIDATION_ERROR"},
		moorage.Throttled:       {status: 429, event: "RATE_LIMIT_EXCEEDED"},
		moorage.Quota:           {status: 429, event: "SERVICE_QUOTA_EXCEEDED"},
		moorage.Conflict:        {status: 409, event: "SESSION_BUSY"},
		moorage.Busy:            {status: 409, event: "SESSION_BUSY"},
		moorage.AgentFailed:     {status: 200, event: "AGENT_ERROR"},
		moorage.NotFound:        {status: 500, event: "INTERNAL_ERROR"},
		moorage.Unavailable:     {status: 500, event: "INTERNAL_ERROR"},
		moorage.Internal:        {status: 500, event: "INTERNAL_ERROR"},
	},
}

// notAcceptable is the one error that is told by the exception's name, not by its code.
var notAcceptable = told{status: http.StatusNotAcceptable, code: -32011}

// inEnvelopes is a layer around all operations: it has the errors of InvokeAgentRuntime told as the
// clients of the runtime's protocol expect them, those of authentication included.
func (h handlers) inEnvelopes(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := wire.CallOf(r.Context())
		if call.Operation != InvokeAgentRuntime.Name {
			next.ServeHTTP(w, r)
			return
		}
		protocol := h.invoke.Protocol(invoke.Address{Runtime: call.Label("agentRuntimeArn"), Account: call.Query("accountId"), Qualifier: call.Query("qualifier")})
		rows := envelopes[protocol]
		if rows == nil {
			next.ServeHTTP(w, r)
			return
		}
		e := &envelope{protocol: protocol, rows: rows}
		if protocol != "AGUI" {
			e.request = &remembered{ReadCloser: r.Body}
		}
		r = r.WithContext(context.WithValue(wire.WithEnvelope(r.Context(), e.write), envelopeKey{}, e))
		if e.request != nil {
			r.Body = e.request
		}
		next.ServeHTTP(w, r)
	})
}

// envelope tells the errors of one call.
type envelope struct {
	protocol string
	rows     map[moorage.Code]told
	request  *remembered // of the protocols on JSON-RPC
}

// protocolIs reports whether the call is for a runtime of that protocol. A nil envelope is one of HTTP.
func (e *envelope) protocolIs(name string) bool { return e != nil && e.protocol == name }

func (e *envelope) write(w http.ResponseWriter, f wire.Fault) bool {
	row, ok := e.rows[f.Code]
	if f.Name == invoke.NotAcceptable {
		row, ok = notAcceptable, true
	}
	if !ok {
		return false
	}
	contentType, body := "application/json", []byte(nil)
	if e.request != nil {
		body = rpcError(e.id(row.status), row.code, f.Message)
	} else {
		contentType, body = eventStream, runError(row.event, f.Message)
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(row.status)
	w.Write(body) // the caller may be gone; then nobody minds
	return true
}

type envelopeKey struct{}

// envelopeOf returns the envelope of a call, or nil where HTTP's own shapes will do.
func envelopeOf(ctx context.Context) *envelope {
	e, _ := ctx.Value(envelopeKey{}).(*envelope)
	return e
}

// finish makes an answer end in an event that says why, should it break off: of an event stream whose
// status has long been sent, a client would learn only that it ended.
func (e *envelope) finish(ctx context.Context, answer *invoke.Answer) io.ReadCloser {
	if e == nil || !strings.HasPrefix(answer.Header.Get("Content-Type"), eventStream) || answer.Length >= 0 {
		return answer.Body
	}
	return &finished{ReadCloser: answer.Body, last: func(err error) []byte {
		var coded *moorage.Error
		if ctx.Err() != nil || !errors.As(err, &coded) {
			return nil // nobody listens, or there is nothing to say
		}
		row := e.rows[coded.Code]
		if e.request == nil {
			return append([]byte("\n\n"), runError(row.event, coded.Message)...)
		}
		return fmt.Appendf(nil, "\n\ndata: %s\n\n", rpcError(rpcID(e.request.head), row.code, coded.Message))
	}}
}

// finished is a stream that ends well, with a last event, where another would break off.
type finished struct {
	io.ReadCloser
	last func(error) []byte
	rest *bytes.Reader // of the last event, once there is one
}

func (f *finished) Read(p []byte) (int, error) {
	if f.rest != nil {
		return f.rest.Read(p)
	}
	n, err := f.ReadCloser.Read(p)
	if err == nil || err == io.EOF {
		return n, err
	}
	event := f.last(err)
	if event == nil {
		return n, err
	}
	f.rest = bytes.NewReader(event)
	return n, nil
}

// Buffered returns how many bytes a Read gives without waiting.
func (f *finished) Buffered() int {
	if b, ok := f.ReadCloser.(interface{ Buffered() int }); ok && f.rest == nil {
		return b.Buffered()
	}
	return 0
}

// id is that of the request which failed. A caller who may not call is not read from.
func (e *envelope) id(status int) json.RawMessage {
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		return nil
	}
	return rpcID(e.request.whole())
}

// rpcError is an error of JSON-RPC 2.0, its §5.1. A nil id is one that is not known.
func rpcError(id json.RawMessage, code int, message string) []byte {
	type failure struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	body, _ := json.Marshal(struct { // its parts always have JSON
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Error   failure         `json:"error"`
	}{"2.0", id, failure{code, message}})
	return body
}

const eventStream = "text/event-stream"

// runError is an event of AG-UI that ends a run.
func runError(code, message string) []byte {
	event, _ := json.Marshal(struct {
		Type    string `json:"type"`
		Message string `json:"message"`
		Code    string `json:"code"`
	}{"RUN_ERROR", message, code})
	return fmt.Appendf(nil, "data: %s\n\n", event)
}

// rpcID finds the id in as much of a JSON-RPC request as there is; nil when it is not to be found, or
// is none that JSON-RPC knows.
func rpcID(head []byte) json.RawMessage {
	d := json.NewDecoder(bytes.NewReader(head))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return nil
		}
		if name == "id" {
			return scalar(value)
		}
	}
	return nil
}

func scalar(value json.RawMessage) json.RawMessage {
	if len(value) > maxID || value[0] == '{' || value[0] == '[' {
		return nil
	}
	return value
}

const (
	maxID       = 4 << 10 // bytes
	maxRemember = 1 << 20
)

// remembered is a body that keeps its beginning, however it is read.
type remembered struct {
	io.ReadCloser
	head []byte
}

func (r *remembered) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.head = append(r.head, p[:min(n, maxRemember-len(r.head))]...)
	return n, err
}

// whole reads on to the end of the body, or of what is kept of it.
func (r *remembered) whole() []byte {
	io.Copy(io.Discard, io.LimitReader(r, int64(maxRemember-len(r.head)))) // what is there is better than nothing
	return r.head
}
