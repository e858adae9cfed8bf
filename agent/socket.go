package agent

import (
	"context"
	"fmt"
	"net/http"

	"github.com/coder/websocket"
)

// socket upgrades the connection and hands it to Server.WebSocket.
func (s *Server) socket(w http.ResponseWriter, r *http.Request) {
	if s.WebSocket == nil {
		writeError(w, Errorf(http.StatusNotFound, "No WebSocket handler defined"))
		return
	}
	// The platform has authenticated the caller and speaks for it: a browser's Origin names the page,
	// which is never this host.
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return // Accept has answered
	}
	s.running.Add(1)
	defer s.running.Done()
	conn.SetReadLimit(s.maxBody())
	goAway := context.AfterFunc(s.stopping, func() { conn.Close(websocket.StatusGoingAway, "the agent is stopping") })
	defer goAway()
	s.converse(s.context(r), conn)
}

// converse runs the handler and closes the connection with how that went.
func (s *Server) converse(ctx context.Context, conn *websocket.Conn) {
	defer conn.CloseNow()
	err := s.callSocket(ctx, conn)
	if err == nil {
		conn.Close(websocket.StatusNormalClosure, "")
		return
	}
	if websocket.CloseStatus(err) >= 0 || s.stopping.Err() != nil { // the other side ended it, or we did
		return
	}
	s.log().ErrorContext(ctx, "WebSocket handler failed", "error", err, "request", RequestOf(ctx))
	conn.Close(websocket.StatusInternalError, "the agent failed")
}

func (s *Server) callSocket(ctx context.Context, conn *websocket.Conn) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			s.logPanic(ctx, cause)
			err = fmt.Errorf("panic: %w", panicError(cause))
		}
	}()
	return s.WebSocket(ctx, conn)
}
