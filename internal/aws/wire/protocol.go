package wire

import (
	"net/http"
	"reflect"
)

// Protocol is one of AWS's wire protocols. Where a message has parts beside its body (labels, query,
// headers), they are bound by the model's locations, whatever the protocol.
type Protocol interface {
	// parse reads a body, which is not empty, into a tree. It may set how d reads scalars and times.
	parse(d *decoder, s *Shape, body []byte, contentType string) (any, error)

	// write sends the members of an output that stand in the body.
	write(w http.ResponseWriter, m *Model, s *Shape, out reflect.Value, status int) error

	writeFault(w http.ResponseWriter, f *fault, c Call)
}

var _ Protocol = restJSON{}
