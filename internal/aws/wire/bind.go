package wire

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/moorage-dev/moorage"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// bind fills in from r. Its error is coded and holds every violation that was found.
func (s *Service) bind(op *OperationModel, r *http.Request, in reflect.Value) error {
	if op.Input == 0 {
		return nil
	}
	shape := s.model.shape(op.Input)
	d := &decoder{model: s.model, text: true}
	if err := d.parts(shape, r, in); err != nil {
		return err
	}
	if err := s.bindBody(d, shape, r, in); err != nil {
		return err
	}
	return d.err()
}

// parts binds what stands beside the body: labels, query and headers.
func (d *decoder) parts(s *Shape, r *http.Request, in reflect.Value) error {
	call := CallOf(r.Context())
	if call.badQuery != nil {
		return cannotParse("the query string: %v", call.badQuery)
	}
	for i := range s.Members {
		m := &s.Members[i]
		switch m.In {
		case Label:
			d.beside(m, orNil(call.labels[m.key()], call.labels[m.key()] != ""), in.Field(i))
		case Query:
			d.times = ISO8601
			d.beside(m, d.multi(m, call.query[m.key()]), in.Field(i))
		case Header:
			d.times = HTTPDate
			d.beside(m, d.header(m, r.Header[m.key()]), in.Field(i))
		case PrefixHeaders:
			d.beside(m, prefixed(m.key(), r.Header), in.Field(i))
		}
	}
	return nil
}

func orNil(v any, present bool) any {
	if present {
		return v
	}
	return nil
}

// multi makes the tree of a query parameter: a list of all its values, or the first.
func (d *decoder) multi(m *Member, values []string) any {
	if len(values) == 0 {
		return nil
	}
	if d.model.shape(m.Shape).Type != List {
		return values[0]
	}
	list := make([]any, len(values))
	for i, v := range values {
		list[i] = v
	}
	return list
}

// header makes the tree of a header. Several lines of one header are one value with commas (RFC 9110, 5.3).
func (d *decoder) header(m *Member, lines []string) any {
	if len(lines) == 0 {
		return nil
	}
	value := strings.Join(lines, ",")
	if d.model.shape(m.Shape).Type != List {
		return value
	}
	var list []any
	for item := range strings.SplitSeq(value, ",") {
		list = append(list, strings.TrimSpace(item))
	}
	return list
}

func prefixed(prefix string, h http.Header) any {
	tree := map[string]any{}
	for name := range h {
		if len(name) > len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
			tree[strings.ToLower(name[len(prefix):])] = h.Get(name)
		}
	}
	return orNil(tree, len(tree) > 0)
}

// bindBody binds the members that travel in the body.
func (s *Service) bindBody(d *decoder, shape *Shape, r *http.Request, in reflect.Value) error {
	if shape.Payload != 0 {
		return s.bindPayload(d, &shape.Members[shape.Payload-1], r, in.Field(shape.Payload-1))
	}
	if !slices.ContainsFunc(shape.Members, func(m Member) bool { return m.In == Body }) {
		return nil
	}
	tree, err := s.readTree(d, shape, r)
	if err != nil {
		return err
	}
	if tree == nil {
		tree = map[string]any{}
	}
	d.structure(nil, shape, tree, in)
	return nil
}

// bindPayload binds the one member that is the whole body.
func (s *Service) bindPayload(d *decoder, m *Member, r *http.Request, into reflect.Value) error {
	shape := s.model.shape(m.Shape)
	if shape.Type != Blob {
		tree, err := s.readTree(d, shape, r)
		if err != nil {
			return err
		}
		d.member(nil, m, tree, into)
		return nil
	}
	at := &path{name: m.Name}
	if shape.Streaming {
		if shape.Limit.above(float64(r.ContentLength)) {
			d.fail(at, "%s", tooLong(shape.Limit))
		}
		body := r.Body
		if r.ContentLength < 0 { // else the length was checked, and the body ends there
			body = limitBody(body, shape.Limit, m.Name)
		}
		into.Set(reflect.ValueOf(body))
		return nil
	}
	raw, err := s.readAll(r)
	if err != nil {
		return err
	}
	d.length(at, shape, len(raw))
	into.SetBytes(raw)
	return nil
}

func tooLong(l Limit) string {
	return fmt.Sprintf("Member must have length less than or equal to %.0f", l.max)
}

// readTree reads and parses the body: nil when it is empty.
func (s *Service) readTree(d *decoder, shape *Shape, r *http.Request) (any, error) {
	raw, err := s.readAll(r)
	if err != nil || len(raw) == 0 {
		return nil, err
	}
	return s.model.Protocol.parse(d, shape, raw, r.Header.Get("Content-Type"))
}

func (s *Service) readAll(r *http.Request) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r.Body, s.options.MaxBody+1))
	if err != nil {
		return nil, readError(err)
	}
	if int64(len(raw)) > s.options.MaxBody {
		return nil, &fault{
			name: "RequestEntityTooLargeException", status: http.StatusRequestEntityTooLarge,
			message: fmt.Sprintf("the body is larger than %d bytes", s.options.MaxBody),
		}
	}
	return raw, nil
}

// readError passes a coded error on (a body is verified while it is read) and calls any other the
// sender's: the connection broke, or the framing did.
func readError(err error) error {
	var e *moorage.Error
	if errors.As(err, &e) {
		return err
	}
	return cannotParse("the body: %v", err)
}

func cannotParse(format string, args ...any) error {
	e := moorage.Errorf(moorage.Invalid, "the request cannot be parsed: "+format, args...)
	e.Reason = "CannotParse"
	return e
}

// limitedBody is a streamed body that ends in a coded error when it goes past its limit.
type limitedBody struct {
	io.ReadCloser
	left  float64 // bytes
	limit Limit
	name  string
}

func limitBody(body io.ReadCloser, l Limit, name string) io.ReadCloser {
	if l.set == 0 {
		return body
	}
	return &limitedBody{body, l.max, l, name}
}

func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.left -= float64(n)
	if b.left < 0 {
		d := &decoder{}
		d.fail(&path{name: b.name}, "%s", tooLong(b.limit))
		return 0, d.err()
	}
	return n, err
}
