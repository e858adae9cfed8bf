package wire

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/moorage-dev/moorage"
)

// Operation names one operation of a model together with the Go types of its input and output.
type Operation[In, Out any] struct {
	Model *Model
	Name  string
}

// Options of a Service. The zero value works.
type Options struct {
	// MaxBody bounds a body that is parsed, in bytes. Default 8 MiB. Opaque bodies that are
	// streamed have the model's own limit.
	MaxBody int64
	// Logger hears of internal errors, under the request id. Default none.
	Logger *slog.Logger
}

const defaultMaxBody = 8 << 20

// Service serves one model over HTTP. Handlers, routes and middleware are added before it serves.
type Service struct {
	model   *Model
	options Options
	routes  map[string]*route   // by name
	byPlace map[string][]*route // by method and first segment of the path
	around  []func(http.Handler) http.Handler
	entry   http.Handler // around, ending in dispatch
}

// route is an operation or a hand-written handler at a place in the URL space.
type route struct {
	service *Service
	op      *OperationModel
	pattern uriPattern
	serve   http.Handler // nil: known, but not offered
}

// NewService makes a service that refuses every operation of the model by name.
func NewService(m *Model, o Options) *Service {
	if o.MaxBody == 0 {
		o.MaxBody = defaultMaxBody
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{model: m, options: o, routes: map[string]*route{}, byPlace: map[string][]*route{}}
	s.entry = http.HandlerFunc(s.dispatch)
	for i := range m.Operations {
		s.add(&m.Operations[i], nil)
	}
	return s
}

// Handle serves op by fn. The input that fn gets satisfies every constraint of the model.
// A nil output is an empty one. It panics when op belongs to another model, or is served already.
func Handle[In, Out any](s *Service, op Operation[In, Out], fn func(context.Context, *In) (*Out, error)) {
	rt := s.routes[op.Name]
	if rt == nil || s.model != op.Model || rt.serve != nil {
		panic(fmt.Sprintf("wire: %s cannot be added to %s", op.Name, s.model.Name))
	}
	rt.serve = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in := new(In)
		if err := s.bind(rt.op, r, reflect.ValueOf(in).Elem()); err != nil {
			WriteError(w, r, err)
			return
		}
		streams := s.streamsIn(rt.op) && waits(r.Body) // else a layer has read it all
		out, err := fn(r.Context(), in)
		if err != nil {
			WriteError(w, r, err)
			return
		}
		if out == nil {
			out = new(Out)
		}
		if streams {
			defer duplex(w, r)()
		}
		s.reply(w, r, rt.op, reflect.ValueOf(out).Elem())
	})
}

func (s *Service) streamsIn(op *OperationModel) bool {
	in := s.model.shape(op.Input)
	return in.Payload != 0 && s.model.shape(in.Members[in.Payload-1].Shape).Streaming
}

// duplex lets an agent answer before it has read all: net/http drops the rest of a body otherwise, once
// the reply begins. What nobody read has to be gone before the handler returns, or net/http's reader
// of the next request trips over its reader of this one. A caller who does not send it in time loses
// the connection, not the answer.
func duplex(w http.ResponseWriter, r *http.Request) (done func()) {
	connection := http.NewResponseController(w)
	connection.EnableFullDuplex() // an error means that the protocol always is
	body := r.Context().Value(callKey{}).(*Call).body
	return func() {
		connection.SetReadDeadline(time.Now().Add(drainTime)) // net/http sets its own for the next request
		io.CopyN(io.Discard, body, drainBytes)
	}
}

// How much of a body is read for nothing, so that its connection can be kept.
const (
	drainBytes = 256 << 10 // as net/http
	drainTime  = time.Second
)

// Route serves a place that the model does not have, such as a WebSocket beside an operation. The
// name is what OperationName and IAM actions call it; uri is a pattern as in OperationModel.
func (s *Service) Route(name, method, uri string, h http.Handler) {
	s.add(&OperationModel{Name: name, Method: method, URI: uri, Status: http.StatusOK}, h)
}

// Use puts a layer around all operations and routes, offered or not: inside it OperationName is
// known, and the body is unread. It answers with WriteError. The first added is the outermost.
func (s *Service) Use(layer func(http.Handler) http.Handler) {
	s.around = append(s.around, layer)
	s.entry = http.HandlerFunc(s.dispatch)
	for i := len(s.around) - 1; i >= 0; i-- {
		s.entry = s.around[i](s.entry)
	}
}

// Operations returns the model's operations and whether each is offered, in the model's order.
func (s *Service) Operations() []OperationStatus {
	out := make([]OperationStatus, 0, len(s.model.Operations))
	for i := range s.model.Operations {
		op := &s.model.Operations[i]
		out = append(out, OperationStatus{op.Name, op.Method, op.URI, s.routes[op.Name].serve != nil})
	}
	return out
}

// OperationStatus is one row of what a service offers.
type OperationStatus struct {
	Name, Method, URI string
	Offered           bool
}

func (s *Service) add(op *OperationModel, h http.Handler) {
	if s.routes[op.Name] != nil {
		panic(fmt.Sprintf("wire: %s is in %s twice", op.Name, s.model.Name))
	}
	rt := &route{service: s, op: op, pattern: parsePattern(op.URI), serve: h}
	s.routes[op.Name] = rt
	if op.URI == "" {
		return // named in the message
	}
	place := op.Method + " " + rt.pattern.parts[0].text
	s.byPlace[place] = append(s.byPlace[place], rt)
}

// find returns the route of a request and how well it fits.
func (s *Service) find(r *http.Request, path []string) (*route, map[string]string, fit) {
	if rt := s.routes[s.model.Protocol.operation(s.model, r)]; rt != nil {
		return rt, nil, exactFit
	}
	return s.findPath(r.Method, path)
}

// findPath finds the route of a path's escaped segments.
func (s *Service) findPath(method string, path []string) (*route, map[string]string, fit) {
	var (
		found  *route
		labels map[string]string
		best   = noFit
	)
	for _, rt := range s.byPlace[method+" "+path[0]] {
		if f, l := rt.pattern.match(path); f > best {
			found, labels, best = rt, l, f
		}
	}
	return found, labels, best
}

// ServeHTTP serves the model's own URL space. A path that it does not know is a 404.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) { Router{s}.ServeHTTP(w, r) }

// Router serves several models behind one address: AgentCore's two planes sign as one service, and
// only the path tells them apart. The closest pattern wins, whichever service has it.
type Router []*Service

func (services Router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := RequestID(r.Context())
	if id == "" {
		id = uuid.NewString()
	}
	w.Header()["X-Amzn-Requestid"] = []string{id}
	var (
		found  *route
		labels map[string]string
		best   = noFit
		path   = splitPath(EscapedPath(r.URL))
	)
	for _, s := range services {
		if rt, l, f := s.find(r, path); f > best {
			found, labels, best = rt, l, f
		}
	}
	call := &Call{RequestID: id, request: r, body: r.Body, response: w, route: found, labels: labels}
	if r.URL.RawQuery != "" {
		call.query, call.badQuery = url.ParseQuery(r.URL.RawQuery)
	}
	if found == nil {
		call.route = &route{service: services[0]}
		WriteError(w, r.WithContext(context.WithValue(r.Context(), callKey{}, call)), services.unknown(w, r))
		return
	}
	call.Service, call.Operation = found.service.model.SigningName, found.op.Name
	found.service.entry.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callKey{}, call)))
}

func (s *Service) dispatch(w http.ResponseWriter, r *http.Request) {
	call := r.Context().Value(callKey{}).(*Call)
	call.request = r // as the layers left it
	rt := call.route
	if rt.serve == nil {
		WriteError(w, r, &moorage.Error{
			Code: moorage.Unsupported, Op: rt.op.Name,
			Message: rt.op.Name + " is not supported by Moorage",
		})
		return
	}
	rt.serve.ServeHTTP(w, r)
}

// unknown is the error for a place where nothing is. What is there under other methods is named:
// clients that try GET before POST, as those of MCP do, look for a 405.
func (services Router) unknown(w http.ResponseWriter, r *http.Request) error {
	message := "there is no operation at " + r.Method + " " + strconv.Quote(r.URL.EscapedPath())
	allowed := services.methods(r.URL.EscapedPath())
	if len(allowed) == 0 {
		return &fault{name: "UnknownOperationException", status: http.StatusNotFound, message: message}
	}
	list := strings.Join(allowed, ", ")
	w.Header().Set("Allow", list)
	return &fault{name: "UnknownOperationException", status: http.StatusMethodNotAllowed, message: message + "; it takes " + list}
}

// methods lists those that a path has operations for.
func (services Router) methods(path string) (out []string) {
	segments := splitPath(path)
	for _, method := range []string{"DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"} {
		for _, s := range services {
			if _, _, f := s.findPath(method, segments); f > noFit {
				out = append(out, method)
				break
			}
		}
	}
	return out
}
