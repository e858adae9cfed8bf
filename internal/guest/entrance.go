package guest

import (
	"context"
	"net"
	"sync"

	"github.com/moorage-dev/moorage/internal/sandbox/door"
)

// entrance keeps connections that are no requests of HTTP from the server behind it.
type entrance struct {
	*door.Listener
	server *Server
	ctx    context.Context // of Serve
	work   sync.WaitGroup
}

// Accept implements net.Listener.
func (e *entrance) Accept() (net.Conn, error) {
	for {
		c, err := e.Listener.Accept()
		if err != nil {
			return nil, err
		}
		conn := c.(*door.Conn)
		switch {
		case conn.Question:
			e.work.Go(func() { e.answer(conn) })
		case conn.Brokered:
			e.work.Go(func() { e.broker(conn) })
		default:
			return c, nil
		}
	}
}

// answer says whether a name leads to the broker.
func (e *entrance) answer(c *door.Conn) {
	defer c.Close()
	c.Answer(func(name string) bool { return e.server.Brokered != nil && e.server.Brokered(name) }) // the gateway may be gone
}

// broker hands a connection of a session over. In a sandbox that has none yet nobody waits for an answer.
func (e *entrance) broker(c *door.Conn) {
	defer c.Close()
	who, err := e.server.Occupant(e.ctx, c.Sandbox)
	if err != nil || e.server.Broker == nil {
		return
	}
	e.server.Broker(e.ctx, c, who, c.Port)
}
