package wire

import (
	"net/http"
	"reflect"
)

// Protocol is one of AWS's wire protocols. Where a message has parts beside its body (labels, query,
// headers), they are bound by the model's locations, whatever the protocol.
type Protocol interface {
	// operation names the operation that r calls, where the message says so and not the path.
	// It may read the body if it puts it back.
	operation(m *Model, r *http.Request) string

	// parse reads a body, which is not empty, into a tree. It may set how d reads scalars and times.
	parse(d *decoder, s *Shape, body []byte, contentType string) (any, error)

	// write sends the members of an output that stand in the body.
	write(w http.ResponseWriter, c Call, s *Shape, out reflect.Value, status int) error

	writeFault(w http.ResponseWriter, c Call, f *fault)
}

var _ = []Protocol{restJSON{}, rpcJSON{}, query{}, rpcV2{}}

// model is the model of the service that is called.
func (c Call) model() *Model { return c.route.service.model }
